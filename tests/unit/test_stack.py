"""Whole stacks: the rules of the lock as programs meet them, starting and stopping, several at once, fork."""

import errno
import gc
import os
import signal
import struct
import sys
import threading

import pytest

import tipy
import tipy.socket
import tipy.stack
from stack_helpers import (A, B, JOIN, MAC, Thread, cable, connected, make, open_things, until, until_blocked,
                           virtual_pair)
from tipy.address import parse_mac
from tipy.clock import ManualClock
from tipy.errors import PacketError, SetupError
from tipy.link.memory import MemoryLink, Wire
from tipy.link.wrapper import Observer
from tipy.settings import Settings
from tipy.stack import Stack, default_stack
from tipy.tcp import congestion

OWN_TYPE = 0x88B5              # an EtherType for experiments
PROTOCOL = 253                 # an IP protocol for experiments


@pytest.fixture(autouse=True)
def nobody_is_left():
    """A test that fails half-way must not fail the others."""
    yield
    for stack in list(tipy.stack._running):
        stack.stop()


@pytest.fixture
def loopback():
    with make() as stack:
        yield stack
    assert stack.errors == []


@pytest.fixture
def wire():
    """(a, b) on a link with a descriptor, in real time."""
    ends = cable()
    with make(ends[0], A) as a, make(ends[1], B) as b:
        yield a, b
    assert a.errors == [] and b.errors == []


def own_frame(to, payload=b"hello"):
    return parse_mac(MAC[to]) + parse_mac("02:00:00:00:00:77") + OWN_TYPE.to_bytes(2, "big") + payload


def udp(stack, ip=None):
    sock = stack.socket.socket(stack.socket.AF_INET, stack.socket.SOCK_DGRAM)
    if ip:
        sock.bind((ip, 0))
    return sock


# -- nothing climbs inside a descent --------------------------------------------------------------


class Callers:
    """A transport that notes which functions are being executed when a packet reaches it."""

    def __init__(self):
        self.seen = []

    def input(self, packet):
        names, frame = set(), sys._getframe(1)
        while frame is not None:
            names.add((os.path.basename(os.path.dirname(frame.f_code.co_filename)), frame.f_code.co_name))
            frame = frame.f_back
        self.seen.append(names)

    def icmp_error(self, error):
        pass


def test_loopback_packet_does_not_climb_inside_the_call_that_sends_it(loopback):
    callers = Callers()
    with loopback.gate:
        loopback.ipv4.register(PROTOCOL, callers)
        loopback.ipv4.send(loopback.ipv4.path(b"\x7f\0\0\1"), PROTOCOL, [b"x"])
        assert callers.seen == []
    assert len(callers.seen) == 1 and ("ipv4", "send") not in callers.seen[0]


def test_frame_in_memory_climbs_when_the_sender_has_let_go_of_its_lock():
    _, a, b = virtual_pair()
    held = []
    b.ethernet.register(OWN_TYPE, lambda packet, mac: held.append((a.gate.held(), b.gate.held())))
    with a.gate:
        a.ethernet.send(parse_mac(MAC[B]), OWN_TYPE, [b"x"])
        assert held == []
    assert held == [(False, True)]
    a.stop(), b.stop()


def test_stacks_that_answer_each_other_do_not_pile_up_calls():
    """Two handlers that bounce a frame 5000 times: the answers queue, they do not recurse."""
    _, a, b = virtual_pair()
    left, deepest = [5000], [0]

    def bounce(stack, to):
        def handler(packet, mac):
            depth, frame = 0, sys._getframe()
            while frame is not None:
                depth, frame = depth + 1, frame.f_back
            deepest[0] = max(deepest[0], depth)
            if left[0]:
                left[0] -= 1
                stack.ethernet.send(parse_mac(MAC[to]), OWN_TYPE, [b"x"])
        return handler

    a.ethernet.register(OWN_TYPE, bounce(a, B))
    b.ethernet.register(OWN_TYPE, bounce(b, A))
    with a.gate:
        a.ethernet.send(parse_mac(MAC[B]), OWN_TYPE, [b"x"])
    assert left == [0] and deepest[0] < 200 and a.errors == b.errors == []
    a.stop(), b.stop()


def test_loopback_queue_is_bounded(loopback):
    with loopback.gate:
        path = loopback.ipv4.path(b"\x7f\0\0\1")
        for _ in range(3000):
            loopback.ipv4.send(path, PROTOCOL, [b"x"])
        assert len(loopback.gate.inside) <= 1000
    assert loopback.counters["loopback.drop_full"] == 2000


# -- hooks and observers --------------------------------------------------------------------------


def test_socket_call_from_a_hook_is_an_error_and_harms_nothing():
    _, a, b = virtual_pair()
    sock, caught = udp(b, B), []

    def hook(packet, mac):
        for call in (lambda: sock.sendto(b"x", (A, 9)), sock.getsockname, b.stop, lambda: udp(b, B)):
            try:
                call()
            except RuntimeError as error:
                caught.append(str(error))

    b.ethernet.register(OWN_TYPE, hook)
    with a.gate:
        a.ethernet.send(parse_mac(MAC[B]), OWN_TYPE, [b"x"])
    assert len(caught) == 4 and all("from inside the stack" in text for text in caught)
    assert b.status == "running" and b.errors == []
    a.stop(), b.stop()


@pytest.mark.parametrize("name, advice", [("cubik", "did you mean 'cubic'?"), ("bbr", "choose from cubic, reno, none")])
def test_unknown_congestion_control_is_an_error_at_once(name, advice):
    with pytest.raises(ValueError) as caught:
        Stack(link=MemoryLink(), settings=Settings(congestion_control=name))
    assert str(caught.value).startswith(f"congestion_control={name!r}: ") and advice in str(caught.value)


def test_unknown_congestion_control_of_the_environment_is_one_sentence(monkeypatch):
    monkeypatch.setenv("TIPY_CONGESTION_CONTROL", "cubik")
    with pytest.raises(SetupError, match="did you mean 'cubic'"):
        Stack(link=MemoryLink())
    with pytest.raises(ValueError, match="did you mean 'reno'"):
        Stack(link=MemoryLink(), congestion_control="rino")


def test_socket_call_from_a_congestion_control_is_an_error():
    caught = []

    class Chatty(congestion.CongestionControl):
        name = "chatty"
        sock = None

        def on_ack(self, acked):
            try:
                self.sock.send(b"more")
            except RuntimeError as error:
                caught.append(str(error))
            self.slow_start(acked)

        def on_loss(self):
            return 2

    with make() as stack:
        client, server = connected(stack)
        client._channel.endpoint.cc = Chatty(client._channel.endpoint)
        Chatty.sock = server
        sending = Thread(client.sendall, bytes(500_000))
        left = 500_000
        while left:
            left -= len(server.recv(left))
        sending.result()
        assert caught and all("from inside the stack" in text for text in caught) and stack.errors == []


class Reporter(Observer):
    """Sends a datagram about each frame it sees; those about its own datagrams it leaves out."""

    def __init__(self, inner, own_type_only=True):
        super().__init__(inner)
        self.report = None
        self.held = []

    def saw(self, when, sent, frame, open_ends):
        if self.report is not None and frame[12:14] == OWN_TYPE.to_bytes(2, "big"):
            self.held.append(self.host.gate.held())
            self.report(b"sent" if sent else b"arrived")


def test_observer_may_use_sockets_of_the_stack_it_observes():
    clock, wire = ManualClock(), Wire()
    link = Reporter(wire.port())
    with make(link, A, clock=clock) as a, make(wire.port(), B, clock=clock) as b:
        clock.advance(1)
        listener, sock = udp(b, B), udp(a, A)
        listener.setblocking(False)
        link.report = lambda text: sock.sendto(text, listener.getsockname())
        with a.gate:
            a.ethernet.send(parse_mac(MAC[B]), OWN_TYPE, [b"x"])
        with b.gate:
            b.ethernet.send(parse_mac(MAC[A]), OWN_TYPE, [b"x"])
        assert [listener.recv(10), listener.recv(10)] == [b"sent", b"arrived"]
        assert link.held == [False, False] and a.errors == b.errors == []


@pytest.mark.parametrize("who", ["driver", "leader"])
def test_observer_may_stop_the_stack(who):
    """From the driver's thread, or from a blocked call that reads the link: nobody waits for himself."""
    before, ends = open_things(), cable()
    link = Reporter(ends[0])
    with make(link, A) as a, make(ends[1], B) as b:
        client, _server = connected(a, b)
        link.report = lambda text: a.stop()

        def send():
            if who == "leader":
                until_blocked(a)
            with b.gate:
                b.ethernet.send(parse_mac(MAC[A]), OWN_TYPE, [b"x"])

        sending = Thread(send)
        if who == "leader":
            with pytest.raises(OSError) as caught:
                client.recv(10)
            assert caught.value.errno == errno.ENETDOWN
        sending.result()
        until(lambda: a.status != "running")
        assert a.errors == [] and link.held == [False]
    until(lambda: open_things() == before)


@pytest.mark.parametrize("size, by_itself", [(1 << 16, True), (100, False)])
def test_thread_that_writes_much_serves_the_stack_in_passing(size, by_itself):
    """Without waiting for anything: all of it has room. A small write is not held up."""
    ends = cable()
    with make(ends[0], A) as a, make(ends[1], B) as b:
        client, server = connected(a, b)
        client.setsockopt(a.socket.SOL_SOCKET, a.socket.SO_SNDBUF, 1 << 20)
        serve, threads = a.serve, []

        def watched():
            threads.append(threading.get_ident())
            return serve()
        a.serve = watched
        client.sendall(bytes(size))
        assert (threading.get_ident() in threads) == by_itself
        received = 0
        while received < size:
            received += len(server.recv(size))
        assert a.errors == b.errors == []


# -- finalizers -----------------------------------------------------------------------------------


def test_socket_collected_inside_the_locked_region_does_not_deadlock(loopback):
    client, server = connected(loopback)
    cycle = [client]
    cycle.append(cycle)
    del client, cycle
    with loopback.gate:
        with pytest.warns(ResourceWarning):
            gc.collect()                               # runs the socket's __del__ here
    assert server.recv(10) == b""


# -- life -----------------------------------------------------------------------------------------


def blocked_calls(stack, other):
    """{name: a call that blocks for ever}, from `stack` to `other`."""
    socket = stack.socket
    listener = socket.socket()
    listener.bind(("127.0.0.1" if other is stack else A, 0))
    listener.listen()
    client, server = connected(stack, other)
    full, _kept = connected(stack, other)
    datagrams = udp(stack, "127.0.0.1")
    return {"accept": listener.accept, "recv": lambda: client.recv(10),
            "recvfrom": lambda: datagrams.recvfrom(10),
            "sendall": lambda: full.sendall(bytes(1 << 25))}, (server, _kept)


@pytest.mark.parametrize("kind", ["loopback", "cable"])
def test_stop_wakes_blocked_calls_with_enetdown(kind):
    ends = cable() if kind == "cable" else [None]
    stacks = [make(end, address) for end, address in zip(ends, (A, B))]
    for stack in stacks:
        stack.start()
    calls, kept = blocked_calls(stacks[0], stacks[-1])
    threads = {name: Thread(call) for name, call in calls.items()}
    until_blocked(stacks[0], len(threads))
    stacks[0].stop()
    for name, thread in threads.items():
        with pytest.raises(OSError) as caught:
            thread.result()
        assert caught.value.errno == errno.ENETDOWN, name
        assert "not running" in str(caught.value), name
    assert stacks[0].errors == [] and stacks[0].gate.describe_waits() == []
    stacks[-1].stop()


def test_stop_wakes_calls_blocked_in_virtual_time():
    clock, a, b = virtual_pair()
    clock.advance(1)
    sock = udp(a, A)
    reading = Thread(sock.recv, 10)
    until(lambda: clock.waiting == 1)
    a.stop()
    assert clock.waiting == 0
    with pytest.raises(OSError) as caught:
        reading.result()
    assert caught.value.errno == errno.ENETDOWN
    b.stop()


def test_stopped_stack_says_so_in_every_call(loopback):
    client, server = connected(loopback)
    loopback.stop()
    for call in (lambda: client.send(b"x"), lambda: client.recv(1), client.getpeername,
                 lambda: udp(loopback, "127.0.0.1"), lambda: server.shutdown(1)):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.ENETDOWN and "stack.start()" in str(caught.value)
    client.close(), server.close()


def test_start_and_stop_may_be_called_twice_and_status_tells(loopback):
    stack = make()
    assert stack.status != "running" and "start()" in stack.status
    stack.stop()
    stack.start()
    stack.start()
    assert stack.status == "running"
    stack.stop()
    stack.stop()
    assert stack.status != "running" and "start()" in stack.status


def test_stop_by_several_threads_at_once():
    for _ in range(50):
        stack = make()
        stack.start()
        barrier = threading.Barrier(4)

        def stop():
            barrier.wait(JOIN)
            stack.stop()

        for thread in [Thread(stop) for _ in range(4)]:
            thread.result()
        assert stack.errors == [] and default_is_not(stack)


def default_is_not(stack):
    try:
        return default_stack() is not stack
    except OSError:
        return True


@pytest.mark.parametrize("kind", ["loopback", "memory", "cable"])
def test_hundred_lives_leave_nothing(kind):
    def live():
        if kind == "cable":
            ends = cable()
            with make(ends[0], A) as a, make(ends[1], B) as b:
                talk(a, b)
        elif kind == "memory":
            clock, a, b = virtual_pair(auto=True)
            clock.advance(1)
            talk(a, b)
            a.stop(), b.stop()
            assert clock.next_deadline() is None and clock.waiting == 0
        else:
            with make() as stack:
                talk(stack, stack)

    live()                                             # what is imported and opened once
    before = open_things()
    for _ in range(100):
        live()
    assert open_things() == before


def talk(a, b):
    client, server = connected(a, b)
    client.fileno()                                    # a descriptor is to be given back as well
    client.sendall(b"hello")
    assert server.recv(10) == b"hello"
    client.close(), server.close()


@pytest.mark.parametrize("kind", ["loopback", "memory"])
def test_stack_lives_again_after_stop(kind):
    if kind == "memory":
        clock, a, b = virtual_pair(auto=True)
        clock.advance(1)
    else:
        a = b = make()
        a.start()
    for _ in range(3):
        client, server = connected(a, b)
        a.stop()
        a.start()
        assert a.status == "running"
        if kind == "memory":
            clock.advance(1)
        with pytest.raises(OSError):
            client.sendall(b"x")
            client.recv(10)                            # that connection is gone for good
        talk(a, b)
        client.close(), server.close()
    a.stop(), b.stop()
    assert a.errors == b.errors == []


def test_stop_resets_connections():
    clock, a, b = virtual_pair(auto=True)
    clock.advance(1)
    client, server = connected(a, b)
    a.stop()
    with pytest.raises(ConnectionResetError):
        server.recv(10)
    b.stop()


def test_failed_start_leaves_nothing_and_status_tells_why():
    before = open_things()

    class Missing(MemoryLink):
        def open(self):
            raise OSError(errno.ENODEV, "there is no such thing")

    class Refusing(MemoryLink):
        closed = False

        def attach(self, host):
            super().attach(host)
            raise OSError(errno.EBUSY, "not now")

        def close(self):
            super().close()
            self.closed = True

    for link, text in ((Missing(), "no such thing"), (Refusing(), "not now")):
        stack = make(link)
        with pytest.raises(OSError, match=text):
            stack.start()
        assert text in stack.status and default_is_not(stack)
        stack.stop()
        assert text in stack.status
    assert link.closed and open_things() == before


def test_start_that_finds_a_conflict_stops_again():
    ends = cable()
    with make(ends[0], A):
        settings = Settings.load(use_user_files=False, address=f"{A}/24", mac=MAC[B])
        second = Stack(link=ends[1], settings=settings)
        with pytest.raises(tipy.AddressConflict if hasattr(tipy, "AddressConflict") else OSError) as caught:
            second.start()
        assert caught.value.mac == parse_mac(MAC[A]) or MAC[A] in str(caught.value)
        assert MAC[A] in second.status and default_is_not(second)


def test_dying_link_wakes_blocked_calls_and_status_tells_why(wire):
    a, b = wire
    client, server = connected(a, b)

    def die():
        raise OSError(errno.EBADFD, "the device was unplugged")

    def read():
        while True:
            client.recv(10)

    reading = Thread(read)
    until_blocked(a)
    a.link.receive_batch = die
    until(lambda: server.send(b"x") and a.status != "running")
    with pytest.raises(OSError, match="unplugged") as caught:
        reading.result()
    assert caught.value.errno == errno.ENETDOWN and "unplugged" in a.status
    a.stop()


# -- several stacks -------------------------------------------------------------------------------


def test_default_stack_is_the_running_one_started_last():
    with pytest.raises(OSError) as caught:
        tipy.socket.socket().bind(("", 0))
    assert caught.value.errno == errno.ENETDOWN
    assert "no tipy stack is running" in str(caught.value) and "stack.start()" in str(caught.value)
    first, second, third = make(), make(), make()
    first.start()
    assert default_stack() is first
    second.start()
    third.start()
    assert default_stack() is third
    second.stop()
    assert default_stack() is third
    third.stop()
    assert default_stack() is first
    first.start()                                      # it runs: nothing changes
    second.start()
    assert default_stack() is second
    second.stop(), first.stop()
    with pytest.raises(OSError):
        default_stack()


def test_stacks_side_by_side_do_not_share_ports_or_connections():
    with make() as first, make() as second:
        for stack in (first, second):
            listener = stack.socket.socket()
            listener.bind(("127.0.0.1", 7777))
            listener.listen()
            stack.listener = listener
        client = first.socket.create_connection(("127.0.0.1", 7777))
        first.listener.accept()[0].sendall(b"first")
        assert client.recv(10) == b"first"
        second.listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.listener.accept()


def test_three_stacks_on_one_wire_and_clock():
    clock, wire = ManualClock(auto=True), Wire()
    addresses = [f"10.0.0.{number}" for number in (1, 2, 3)]
    stacks = [Stack(link=wire.port(), clock=clock, seed=number, settings=Settings.load(
        use_user_files=False, address=f"{address}/24", mac=f"02:00:00:00:00:0{number}"))
        for number, address in enumerate(addresses)]
    for stack in stacks:
        stack.start()
    clock.advance(2)
    for client in stacks:
        for server in stacks:
            if client is not server:
                talk(client, server)
    for stack in stacks:
        stack.stop()
        assert stack.errors == []
    assert clock.next_deadline() is None


class Recorder:
    """Stands on a wire in the place of a stack and keeps what it hears."""

    def __init__(self, clock):
        self.clock = clock
        self.frames = []

    def receive(self, batch):
        self.frames += [(self.clock.now(), bytes(frame)) for frame, _, _ in batch]


def test_seed_makes_a_stack_repeatable():
    def trace():
        clock, wire = ManualClock(auto=True), Wire()
        recorder = Recorder(clock)
        wire.port().attach(recorder)
        with make(wire.port(), A, clock=clock, seed=5) as a, make(wire.port(), B, clock=clock, seed=6) as b:
            clock.advance(1)
            talk(a, b)
        return recorder.frames

    first = trace()
    assert len(first) > 8 and trace() == first


# -- no frame kills -------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), MemoryError(), RecursionError(), SystemExit(1),
                                   struct.error("short")], ids=repr)
def test_frame_whose_handling_fails_is_contained_in_virtual_time(error):
    clock, a, b = virtual_pair(auto=True)
    clock.advance(1)

    def fail(packet, mac):
        raise error

    b.ethernet.register(OWN_TYPE, fail)
    for _ in range(20):
        with a.gate:
            a.ethernet.send(parse_mac(MAC[B]), OWN_TYPE, [b"x"])
    assert b.counters["stack.exceptions"] == 20 and b.errors == [error] * 16 and a.errors == []
    talk(a, b)
    a.stop(), b.stop()


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), SystemExit(1)], ids=repr)
def test_frame_whose_handling_fails_does_not_end_the_thread(error):
    ends = cable()
    with make(ends[0], A) as a, make(ends[1], B) as b:
        threads = set(threading.enumerate())

        def fail(packet, mac):
            raise error

        b.ethernet.register(OWN_TYPE, fail)
        for _ in range(20):
            with a.gate:
                a.ethernet.send(parse_mac(MAC[B]), OWN_TYPE, [b"x"])
        until(lambda: b.counters["stack.exceptions"] == 20)
        assert set(threading.enumerate()) == threads
        talk(a, b)


def test_other_frames_of_the_batch_are_still_handled():
    clock, a, b = virtual_pair()
    seen = []

    def handle(packet, mac):
        seen.append(bytes(packet.frame[14:15]))
        if seen[-1] == b"1":
            raise ZeroDivisionError

    b.ethernet.register(OWN_TYPE, handle)
    b.receive([(own_frame(B, b"%d" % number), False, 0) for number in range(3)])
    assert seen == [b"0", b"1", b"2"]
    a.stop(), b.stop()


def test_packet_error_of_a_handler_is_a_drop_not_an_exception():
    _, a, b = virtual_pair()

    def refuse(packet, mac):
        raise PacketError("ugly")

    b.ethernet.register(OWN_TYPE, refuse)
    b.receive([(own_frame(B), False, 0)])
    assert b.counters["ethernet.drop_ugly"] == 1 and b.counters["stack.exceptions"] == 0
    a.stop(), b.stop()


@pytest.mark.parametrize("kind", ["virtual", "real"])
def test_timer_that_fails_is_contained(kind):
    if kind == "virtual":
        clock = ManualClock()
        stack = make(clock=clock)
    else:
        stack = make()
    with stack:
        fired = threading.Event()
        with stack.gate:
            stack.timers.after(0.001, lambda: 1 // 0)
            stack.timers.after(0.002, fired.set)
        if kind == "virtual":
            clock.advance(1)
        assert fired.wait(JOIN)
        assert stack.counters["stack.exceptions"] == 1 and isinstance(stack.errors[0], ZeroDivisionError)


# -- fork -----------------------------------------------------------------------------------------


def in_child(fn):
    """Run fn() in a forked child; its result as text, or what it raised."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            text = str(fn())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        finally:
            os.write(write_end, text.encode()[:4000])
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as file:
        text = file.read().decode()
    os.waitpid(pid, 0)
    return text


def hold(gate):
    """(a thread that is inside `gate`, the event that lets it leave)"""
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with gate:
            inside.set()
            leave.wait(JOIN)

    holder = Thread(stay)
    assert inside.wait(JOIN)
    return holder, leave


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
quiet = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@needs_fork
@quiet
def test_sockets_inherited_by_a_child_are_down_and_the_parent_is_unaffected(wire):
    a, b = wire
    client, server = connected(a, b)
    numbered, _ = connected(a, b)
    numbered.fileno()
    listener = a.socket.socket()
    listener.bind((A, 0))
    listener.listen()

    def child():
        told = []
        for call in (lambda: client.send(b"from the child"), lambda: client.recv(1), listener.accept,
                     lambda: numbered.send(b"x"), lambda: udp(a, A), tipy.socket.socket):
            try:
                told.append(str(call()))
            except OSError as error:
                told.append(errno.errorcode[error.errno])
        client.close(), listener.close(), numbered.close()
        gc.collect()
        a.stop(), b.stop()
        return told, a.status

    sent = a.counters["ethernet.out"], b.counters["ethernet.out"]
    status = "this stack belongs to the parent process: start another in the child"
    assert in_child(child) == str((["ENETDOWN"] * 6, status))
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(10)                                # no data, no FIN and no RST has come from the child
    server.setblocking(True)
    assert (a.counters["ethernet.out"], b.counters["ethernet.out"]) == sent
    client.sendall(b"from the parent")
    assert server.recv(100) == b"from the parent"


@needs_fork
@quiet
@pytest.mark.parametrize("where", ["inside", "after", "timer", "at the door"])
def test_child_of_a_fork_within_a_call_comes_out_of_it(wire, where):
    """A hook, a timer or a signal handler forks while its thread is inside, on its way out or waits to come in."""
    a, b = wire
    client, server = connected(a, b)
    pids = []

    def fork(*_):
        if not pids:
            pids.append(os.fork())

    def within():
        if where == "inside":
            with a.gate:
                a.gate.inside.append(fork)
        elif where == "after":
            with a.gate:
                a.gate.after(fork)
        elif where == "timer":
            with a.gate:
                a.timers.after(0, fork)
            client.settimeout(0.2)
            with pytest.raises(OSError):
                client.recv(1)
        else:
            holder, leave = hold(a.gate)
            before = signal.signal(signal.SIGUSR1, fork)
            main = threading.main_thread().ident

            def knock():
                until(lambda: a.gate.crowded)
                signal.pthread_kill(main, signal.SIGUSR1)
                until(lambda: pids)
                leave.set()

            knocker = Thread(knock)
            with a.gate:
                signal.signal(signal.SIGUSR1, before)
            if pids[0]:
                holder.result(), knocker.result()
        with a.gate:
            pass
        client.close()

    read_end, write_end = os.pipe()
    try:
        within()
        told = "fine"
    except BaseException as error:
        told = repr(error)
    if pids == [0]:
        os.write(write_end, told.encode()[:4000])
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as file:
        assert (told, file.read().decode()) == ("fine", "fine")
    os.waitpid(pids[0], 0)
    assert server.recv(10) == b""                      # of the parent's connection; nothing has come from the child


@needs_fork
@quiet
def test_child_starts_a_stack_of_its_own(loopback):
    client, server = connected(loopback)

    def child():
        from tipy.testing import start_loopback
        before = threading.active_count()
        stop = start_loopback()
        talk(default_stack(), default_stack())
        stop()
        return before, threading.active_count()

    assert in_child(child) == "(1, 1)"
    client.sendall(b"still here")
    assert server.recv(100) == b"still here"


@needs_fork
@quiet
def test_fork_while_other_threads_are_inside_and_waiting(loopback):
    """The child's locks are fresh, whoever held the old ones."""
    client, server = connected(loopback)
    reading = Thread(client.recv, 10)
    until_blocked(loopback)
    holding, leave = hold(loopback.gate)

    def child():
        try:
            server.send(b"x")
        except OSError as error:
            return errno.errorcode[error.errno]

    assert in_child(child) == "ENETDOWN"
    leave.set()
    holding.result()
    server.sendall(b"here")
    assert reading.result() == b"here"


@needs_fork
@quiet
def test_child_of_a_thread_may_use_signals(loopback):
    """In the child the thread that forked is the main one."""
    import signal

    def child():
        seen = []
        with make() as stack:
            signal.signal(signal.SIGUSR1, lambda signum, frame: seen.append(stack.gate.held()))
            with stack.gate:
                signal.raise_signal(signal.SIGUSR1)
            talk(stack, stack)
        return seen

    assert Thread(in_child, child).result() == "[False]"


@needs_fork
@quiet
def test_child_leaves_a_manual_clock_alone():
    clock, a, b = virtual_pair(auto=True)
    clock.advance(1)
    client, server = connected(a, b)

    def child():
        clock.advance(1000)
        return a.errors, b.errors, clock.next_deadline(), clock.waiting

    assert in_child(child) == "([], [], None, 0)"
    client.sendall(b"x")
    assert server.recv(10) == b"x"
    a.stop(), b.stop()
