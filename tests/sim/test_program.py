"""Programs of several threads in virtual time: the same packets at the same times, whatever the system does."""

import queue
import threading
import time

import pytest
from programs import NEAR, PORT, Net, outcomes

JOIN = 20                      # seconds after which a thread counts as stuck


def run(*threads):
    """Start them in order and join them, as programs do."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def burn(seconds):
    """Compute for so long, outside the stack."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def echo(net, listener, clients):
    """Serve `clients`, each for as long as it likes; tell of timeouts."""
    for _ in range(clients):
        sock, address = listener.accept()
        net.tell("accepted", address)
        with sock:
            sock.settimeout(0.3)
            while True:
                try:
                    data = sock.recv(4096)
                except TimeoutError:
                    net.tell("nothing for a while")
                    continue
                if not data:
                    break
                burn(0.0002)
                sock.sendall(data.upper())


def ask(net, number):
    """A client with a timeout and sleeps of its own."""
    with net.far.socket.create_connection((NEAR, PORT), timeout=60 + number) as sock:
        for question in range(4):
            burn(0.0001 * number)
            sock.sendall(b"question %d of %d;" % (question, number) * 100)
            answer = b""
            while len(answer) < 1600:
                answer += sock.recv(4096)
            net.tell(number, answer[:15])
            net.clock.sleep(0.25 * (number + 1))


def three_threads(net):
    listener = net.near.socket.create_server((NEAR, PORT))
    run(threading.Thread(target=echo, args=(net, listener, 2)),
        *(threading.Thread(target=ask, args=(net, number)) for number in range(2)))
    listener.close()


def test_server_and_two_clients_do_the_same_at_the_same_times_always():
    first, *others = outcomes(three_threads, 20)
    story, frames = first
    assert len(frames) > 60 and frames[-1][0] > 2
    assert [what[1] for what in story if what[1] in (0, 1)] == [0, 0, 0, 0, 1, 1, 1, 1]   # one after the other
    assert ("nothing for a while",) in [what[1:] for what in story]
    for other in others:
        assert other[0] == story
        assert other[1] == frames


def test_wire_with_other_faults_is_another_story():
    """The comparison above compares something."""
    stories = []
    for loss in (0.03, 0.2):
        with Net(loss) as net:
            three_threads(net)
        stories.append(net.frames)
    assert stories[0] != stories[1]


def handed_over(net):
    """A server with a thread for each client, a queue of results, an event that says when to begin."""
    results, listening = queue.Queue(), threading.Event()

    def serve():
        listener = net.near.socket.create_server((NEAR, PORT))
        net.clock.sleep(1)
        listening.set()
        workers = []
        for _ in range(3):
            sock, _ = listener.accept()
            workers.append(threading.Thread(target=answer, args=(sock,)))
            workers[-1].start()
        for worker in workers:
            worker.join()
        listener.close()

    def answer(sock):
        with sock:
            while data := sock.recv(100):
                net.clock.sleep(0.01 * len(data))
                sock.sendall(data)

    def client(number):
        listening.wait()
        with net.far.socket.create_connection((NEAR, PORT)) as sock:
            for size in range(1, 5):
                sock.sendall(bytes(size * number + 1))
                results.put((number, size, len(sock.recv(100))))

    threads = [threading.Thread(target=serve),
               *(threading.Thread(target=client, args=(number,)) for number in range(3))]
    for thread in threads:
        thread.start()
    for _ in range(12):
        net.tell(*results.get())
    for thread in threads:
        thread.join()


def test_queues_events_and_threads_of_threads_keep_the_order():
    first, *others = outcomes(handed_over, 10)
    assert len(first[0]) == 12 and first[0][0][0] > 1.0
    assert all(other == first for other in others)


def test_hosts_that_each_live_in_a_thread():
    """Stacks are made, started and stopped by threads of their own."""
    def program(net):
        done = threading.Event()

        def host():
            with net.near:
                listener = net.near.socket.create_server((NEAR, PORT))
                echo(net, listener, 1)
                done.wait()
                listener.close()

        def guest():
            with net.far:
                net.clock.sleep(1)
                ask(net, 0)
                net.clock.sleep(5)                     # for the last words
            done.set()

        net.near.stop(), net.far.stop()
        run(threading.Thread(target=host), threading.Thread(target=guest))

    first, *others = outcomes(program, 5)
    assert len(first[0]) >= 5
    assert all(other == first for other in others)


def test_program_in_which_all_wait_for_each_other_ends_with_the_reasons():
    with Net() as net:
        listener = net.near.socket.create_server((NEAR, PORT))
        reasons = []

        def read(connect):
            sock = connect()
            try:
                sock.recv(1)
            except RuntimeError as error:
                reasons.append(str(error))
            sock.close()

        ends = {"server": lambda: listener.accept()[0],
                "client": lambda: net.far.socket.create_connection((NEAR, PORT))}
        run(*(threading.Thread(target=read, args=(connect,), name=name) for name, connect in ends.items()))
        listener.close()
    # the server learns of it; it closes its end, so the client's recv returns
    assert len(reasons) == 1
    assert reasons[0].startswith("nothing is left that could happen: server waits for <tcp 10.0.0.1:80")
    assert "client waits for <tcp 10.0.0.2:" in reasons[0] and "MainThread is outside, at " in reasons[0]


def test_thread_that_waits_with_the_turn_for_a_lock_is_named():
    """Two threads share a socket and a lock: one waits in the stack with the lock, the other for the lock."""
    with Net() as net:
        net.clock.patience = 1.0
        listener, lock, reasons = net.near.socket.create_server((NEAR, PORT)), threading.Lock(), []
        sock = net.far.socket.create_connection((NEAR, PORT))
        peer, _ = listener.accept()

        def hold():
            with lock:
                try:
                    sock.recv(1)
                except RuntimeError as error:
                    reasons.append(str(error))

        def want():
            net.clock.sleep(1)
            with lock:
                sock.sendall(b"x")

        run(threading.Thread(target=hold, name="holder"), threading.Thread(target=want, name="wanter"))
        assert peer.recv(1) == b"x"
        for each in (sock, peer, listener):
            each.close()
    assert len(reasons) == 1 and reasons[0].startswith("time cannot move: wanter stands still at ")
    assert "test_program.py" in reasons[0] and "in want" in reasons[0] and "holder waits for <tcp" in reasons[0]


@pytest.mark.parametrize("joined", [True, False])
def test_daemon_server_needs_no_end(joined):
    """The main thread talks to a server that accepts for ever, and leaves it behind."""
    with Net() as net:
        def serve():
            listener = net.near.socket.create_server((NEAR, PORT))
            try:
                while True:
                    sock, _ = listener.accept()
                    sock.sendall(b"hello")
                    sock.close()
            except OSError as error:
                net.tell(type(error).__name__)
            listener.close()

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        net.clock.sleep(0.1)
        for _ in range(3):
            with net.far.socket.create_connection((NEAR, PORT)) as sock:
                assert sock.recv(10) == b"hello"
        net.near.stop()
        if joined:
            server.join(JOIN)
    server.join(JOIN)
    assert [what for _, what in net.story] == ["OSError"]
