"""The driver in real time: its thread, and application threads that read the link themselves."""

import os
import threading

import pytest

from stack_helpers import A, B, JOIN, MAC, Thread, cable, connected, make, until, until_blocked
from tipy.address import parse_mac
from tipy.driver import _Bell

OWN_TYPE = 0x88B5


@pytest.fixture
def pair():
    """Two stacks on a link with a descriptor."""
    ends = cable()
    with make(ends[0], A) as a, make(ends[1], B) as b:
        yield a, b
    assert a.errors == [] and b.errors == []


@pytest.fixture(params=["no link", "link"])
def stack(request):
    """A stack with and without something to read."""
    ends = cable() if request.param == "link" else [None]
    with make(ends[0]) as stack:
        yield stack
    for end in ends[1:]:
        end.close()
    assert stack.errors == []


# -- timers ---------------------------------------------------------------------------------------


def test_timer_set_by_another_thread_fires_though_the_driver_sleeps(stack):
    """Each is earlier than what the driver sleeps for: it has to be woken, every time."""
    for turn in range(500):
        fired = threading.Event()
        with stack.gate:
            stack.timers.after(1000 - turn, int)
            stack.timers.after((turn % 3) * 0.0005, fired.set)
        assert fired.wait(JOIN)


def test_timers_set_by_many_threads_all_fire(stack):
    def work():
        for _ in range(200):
            fired = threading.Event()
            with stack.gate:
                stack.timers.after(0.0002, fired.set)
            if not fired.wait(JOIN):
                return False
        return True

    assert all(thread.result() for thread in [Thread(work) for _ in range(4)])


def test_timers_run_while_a_thread_reads_the_link(pair):
    a, b = pair
    client, server = connected(a, b)
    reading = Thread(client.recv, 10)
    until_blocked(a)
    for _ in range(200):
        fired = threading.Event()
        with a.gate:
            a.timers.after(0.0005, fired.set)
        assert fired.wait(JOIN)
    server.sendall(b"x")
    assert reading.result() == b"x"


def test_work_left_by_a_finalizer_is_done_though_nobody_comes_in(stack):
    for _ in range(200):
        done = threading.Event()
        stack.gate.later(done.set)
        assert done.wait(JOIN)


def test_work_left_just_before_a_thread_leads_does_not_wait_for_a_frame(pair, monkeypatch):
    """It rang for the driver's thread, which stands back when it sees the leader."""
    a, b = pair
    client, _server = connected(a, b)
    driver, done = a._driver, threading.Event()
    begin = driver.begin

    def leave_work_and_lead():
        a.gate.later(done.set)
        return begin()

    monkeypatch.setattr(driver, "begin", leave_work_and_lead)
    reading = Thread(client.recv, 10)
    assert done.wait(JOIN)
    client.close()
    with pytest.raises(OSError):
        reading.result()


# -- reading the link -----------------------------------------------------------------------------


def test_frames_are_handled_though_no_program_waits(pair):
    a, b = pair
    seen = []
    b.ethernet.register(OWN_TYPE, lambda packet, mac: seen.append(bytes(packet.frame[14:packet.end])))
    for number in range(200):
        with a.gate:
            a.ethernet.send(parse_mac(MAC[B]), OWN_TYPE, [b"%d" % number])
        if number % 50 == 49:
            until(lambda: len(seen) == number + 1)
    assert seen == [b"%d" % number for number in range(200)]


def test_many_threads_wait_at_once_and_each_gets_its_own(pair):
    """Only one can read the link; it wakes the others for what is theirs, and the next one takes over."""
    a, b = pair
    pairs = [connected(a, b) for _ in range(12)]

    def play(client, number):
        total = 0
        for turn in range(60):
            client.sendall(b"%03d%03d" % (number, turn))
            answer = b""
            while len(answer) < 6:
                answer += client.recv(6 - len(answer))
            total += answer == b"%03d%03d" % (number, turn)
        return total

    def echo(server):
        while data := server.recv(100):
            server.sendall(data)

    echoes = [Thread(echo, server) for _, server in pairs]
    players = [Thread(play, client, number) for number, (client, _) in enumerate(pairs)]
    assert [player.result() for player in players] == [60] * 12
    for client, _ in pairs:
        client.close()
    for thread in echoes:
        thread.result()


def test_leader_hands_over_when_its_own_wait_is_over(pair):
    a, b = pair
    first, second = connected(a, b), connected(a, b)
    readers = [Thread(client.recv, 10) for client, _ in (first, second)]
    until_blocked(a, 2)
    first[1].sendall(b"one")
    assert readers[0].result() == b"one"
    second[1].sendall(b"two")
    assert readers[1].result() == b"two"


def test_wait_ends_at_its_deadline_while_reading_the_link(pair):
    a, b = pair
    client, _server = connected(a, b)
    client.settimeout(0.01)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            client.recv(10)
    assert a.gate.describe_waits() == []


def test_close_by_another_thread_wakes_the_one_that_reads_the_link(pair):
    a, b = pair
    for _ in range(50):
        client, server = connected(a, b)
        reading = Thread(client.recv, 10)
        until_blocked(a)
        client.close()
        with pytest.raises(OSError):
            reading.result()
        server.close()


def test_stop_while_threads_read_the_link():
    for _ in range(30):
        ends = cable()
        with make(ends[0], A) as a, make(ends[1], B) as b:
            pairs = [connected(a, b) for _ in range(3)]
            readers = [Thread(client.recv, 10) for client, _ in pairs]
            until_blocked(a, 3)
            a.stop()
            for reader in readers:
                with pytest.raises(OSError):
                    reader.result()
            assert a.errors == []


# -- looking for a moment without leaving the gate -------------------------------------------------


@pytest.fixture
def patient(pair, monkeypatch):
    """The pair, `a`'s leader asking for as long as a test may take before it sleeps."""
    monkeypatch.setattr("tipy.driver._SPIN", 10 * JOIN)
    pair[0]._driver._spin = 10 * JOIN
    return pair


def leading(a, b):
    """(a thread that reads from a client of `a`, and leads there; that client; its server)"""
    client, server = connected(a, b)
    reading = Thread(client.recv, 10)
    until(lambda: a._driver._leader is not None)
    return reading, client, server


def test_leader_that_asks_finds_what_arrives(patient):
    a, b = patient
    client, server = connected(a, b)
    for number in range(50):
        reading = Thread(client.recv, 10)
        server.sendall(b"%d" % number)
        assert reading.result() == b"%d" % number


def test_leader_that_asks_lets_others_in(patient):
    reading, client, server = leading(*patient)
    for _ in range(50):
        assert Thread(client.getpeername).result() == server.getsockname()
    server.sendall(b"done")
    assert reading.result() == b"done"


def test_leader_that_asks_wakes_those_it_reads_for(patient):
    a, b = patient
    first, second = connected(a, b), connected(a, b)
    readers = [Thread(client.recv, 10) for client, _ in (first, second)]
    until_blocked(a)                                   # one of them; the other asks
    for _, server in (second, first):
        server.sendall(b"hello")
    assert [reader.result() for reader in readers] == [b"hello"] * 2


def test_leader_that_asks_does_what_a_finalizer_left(patient):
    reading, _client, server = leading(*patient)
    for _ in range(50):
        done = threading.Event()
        patient[0].gate.later(done.set)
        assert done.wait(JOIN)
    server.sendall(b"done")
    assert reading.result() == b"done"


def test_stop_while_a_leader_asks(patient):
    reading, _client, _server = leading(*patient)
    patient[0].stop()
    with pytest.raises(OSError):
        reading.result()


# -- bells ----------------------------------------------------------------------------------------


def test_bell_rung_once_or_often_wakes_once():
    bell = _Bell()
    for _ in range(5):
        bell.ring()
    bell.wait(60_000)
    bell.wait(0)
    assert not bell._rung
    bell.close()


def test_bell_rung_while_it_is_being_answered_is_not_lost():
    """However ringing and waiting interleave."""
    bell, rung, heard = _Bell(), [0], [0]
    turns = 3000

    def ring():
        for _ in range(turns):
            rung[0] += 1
            bell.ring()
            while heard[0] < rung[0]:
                turn.acquire(timeout=JOIN)

    turn = threading.Semaphore(0)
    ringing = Thread(ring)
    while heard[0] < turns:
        bell.wait(JOIN * 1000)
        if heard[0] < rung[0]:
            heard[0] = rung[0]
            turn.release()
    ringing.result()
    bell.close()


def test_closed_bell_writes_to_nobody():
    """Its descriptor's number may belong to somebody else by then."""
    bell = _Bell()
    bell.close()
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    for _ in range(3):
        bell.ring()
    with pytest.raises(BlockingIOError):
        os.read(read_end, 10)
    os.close(read_end), os.close(write_end)


def test_bell_whose_write_comes_after_the_answer_does_not_ring_for_ever():
    """The flag is set before the descriptor is written to; a waiter may have been woken by something else meanwhile."""
    bell = _Bell()
    os.write(bell._write_end, (1).to_bytes(8, "little"))
    bell.wait(JOIN * 1000)
    assert bell.poll.poll(0) == []
    bell.close()


def test_nobody_leads_a_driver_that_has_stopped(pair):
    """Its descriptors may be another's by now."""
    a, _ = pair
    driver = a._driver
    a.stop()
    with a.gate:
        assert not driver.begin()


def test_stop_by_a_callback_does_not_wait_for_the_leader(pair, monkeypatch):
    monkeypatch.setattr("tipy.driver._PATIENCE", 100 * JOIN)
    a, b = pair
    client, _server = connected(a, b)
    reading = Thread(client.recv, 10)
    until_blocked(a)

    def have_it_stopped():
        with a.gate:
            a.gate.after(a.stop)

    Thread(have_it_stopped).result()
    assert a.status != "running"
    with pytest.raises(OSError):
        reading.result()
