"""Signal handlers and the stack: they may raise between any two bytecodes, and may use sockets themselves."""

import asyncio
import errno
import random
import signal
import threading

import pytest

from tipy import driver, signals
from tipy.clock import RealClock
from tipy.gate import Gate
from tipy.timers import Timers
from stack_helpers import A, B, JOIN, Thread, cable, connected, make, open_things, until, until_blocked

# An interrupt may also fall into a weak reference's callback or a __del__, where Python can only report it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

STORM = 2000                   # signals
INTERVAL = 0.0003              # seconds from one to the next
BOUND = 400_000                # steps after which a storm counts as stuck


class Interrupted(KeyboardInterrupt):
    """What the handler of a storm raises."""


@pytest.fixture(autouse=True)
def restore():
    """The handlers as they were, and no alarm under way."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGALRM, signal.SIGUSR1, signal.SIGINT)}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def loopback():
    with make() as stack:
        yield stack
    assert stack.errors == []


@pytest.fixture(params=["loopback", "cable"])
def pair(request):
    """(client, server) within one stack, or over a link with a descriptor, which a blocked thread reads."""
    if request.param == "loopback":
        with make() as stack:
            yield connected(stack)
            assert stack.errors == []
        return
    ends = cable()
    with make(ends[0], "10.0.0.1") as a, make(ends[1], "10.0.0.2") as b:
        yield connected(a, b)
        assert a.errors == [] and b.errors == []


# -- a storm of KeyboardInterrupts ----------------------------------------------------------------


def pattern(start, size):
    return bytes((at * 7 + (at >> 8)) & 0xFF for at in range(start, start + size))


def written(sock):
    """Bytes that the stack has taken: an interrupted send() cannot tell its caller."""
    tcb = sock._channel.endpoint
    return tcb.snd_end - tcb.iss - 1


def consumed(sock):
    """Bytes that recv() has given: an interrupted one cannot say so either."""
    tcb = sock._channel.endpoint
    with sock._channel.gate:               # the two change together
        return tcb.rcv_nxt - tcb.irs - 1 - tcb.unread


def echo(sock):
    """Send back what comes; how many bytes, and whether they were the pattern."""
    at, good = 0, True
    while data := sock.recv(10_000):
        good = good and data == pattern(at, len(data))
        at += len(data)
        sock.sendall(data)
    sock.shutdown(1)
    return at, good


class Storm:
    """Signals at short intervals. The handler raises once each time it is armed; and again after a while, for what it
    raises in somebody's finalizer is lost."""

    def __init__(self):
        self.count = self.raised = 0
        self.armed = False             # True; then the number of signals at which it raises again

    def __call__(self, signum, frame):
        self.count += 1
        if self.armed is True or self.armed and self.count >= self.armed:
            self.armed = self.count + 200
            self.raised += 1
            raise Interrupted

    def blow(self, step):
        """Call step() again and again while the storm lasts."""
        signal.signal(signal.SIGALRM, self)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
        for _ in range(BOUND):
            if self.count >= STORM:
                break
            try:
                self.armed = True
                step()
                self.armed = False
            except Interrupted:
                self.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_storm_of_interrupts_leaves_the_connection_whole(pair):
    client, server = pair
    echoing, rng, storm, wrong = Thread(echo, server), random.Random(1), Storm(), []

    def step():
        """Send something if all has come back, else receive: it must be the pattern, from where we stand."""
        at, sent = consumed(client), written(client)
        if at == sent:
            client.send(pattern(sent, rng.choice((1, 100, 3000, 20_000))))
            return
        data = client.recv(rng.choice((1, 100, 3000, 20_000)))
        if data != pattern(at, len(data)):
            wrong.append((at, len(data)))

    storm.blow(step)
    assert storm.count >= STORM and storm.raised > STORM // 10
    client.shutdown(1)
    at = consumed(client)
    while data := client.recv(10_000):
        assert data == pattern(at, len(data))
        at += len(data)
    assert wrong == [] and at == written(client)
    assert echoing.result() == (at, True)


def test_storm_against_blocked_calls_leaves_nobody_waiting(pair):
    """recv() and accept() that never get anything: each interrupt ends one, and takes its waiter along."""
    client, server = pair
    stack = client._channel.stack
    storm = Storm()
    storm.blow(lambda: client.recv(10))
    assert storm.raised > STORM // 10
    assert stack.gate.describe_waits() == [] and not client._channel.endpoint.waiters
    server.sendall(b"still there")
    assert client.recv(100) == b"still there"


def test_storm_while_connections_come_and_go(loopback):
    listener = loopback.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(100)
    address, socket = listener.getsockname(), loopback.socket

    def serve():
        served = 0
        while True:
            sock, _ = listener.accept()
            with sock:
                data = sock.recv(10)
                if data == b"end":
                    return served
                served += 1

    serving, storm = Thread(serve), Storm()

    def step():
        with socket.create_connection(address) as sock:
            sock.sendall(b"x")

    storm.blow(step)
    with socket.create_connection(address) as sock:
        sock.sendall(b"end")
    assert serving.result() > 10
    listener.close()


# -- handlers that use sockets --------------------------------------------------------------------


def test_handler_that_uses_sockets_of_the_stack_does_not_deadlock(pair):
    client, server = pair
    echoing, stack = Thread(echo, server), client._channel.stack
    mine, theirs = (stack.socket.socket(stack.socket.AF_INET, stack.socket.SOCK_DGRAM) for _ in range(2))
    theirs.bind(("127.0.0.1", 0))
    told, over = [], []

    def handler(signum, frame):
        mine.sendto(b"%d" % len(told), theirs.getsockname())
        told.append(theirs.recv(100))
        if not over:
            signal.setitimer(signal.ITIMER_REAL, INTERVAL)

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL)
    at = 0
    for turn in range(BOUND):
        if len(told) >= STORM // 4:
            break
        size = (1, 500, 5000)[turn % 3]
        client.sendall(pattern(at, size))
        end = at + size
        while at < end:
            data = client.recv(end - at)
            assert data == pattern(at, len(data))
            at += len(data)
    over.append(True)                                  # a handler that runs from here on sets no further alarm
    signal.setitimer(signal.ITIMER_REAL, 0)
    client.shutdown(1)
    assert client.recv(10) == b"" and echoing.result() == (at, True)
    assert len(told) >= STORM // 4 and told == [b"%d" % number for number in range(len(told))]


def test_handler_runs_while_a_call_blocks_and_the_call_goes_on(pair):
    """PEP 475."""
    client, server = pair
    signal.signal(signal.SIGUSR1, lambda signum, frame: server.sendall(b"from the handler"))
    main = threading.main_thread().ident
    stack = client._channel.stack

    def send_signal():
        until_blocked(stack)
        signal.pthread_kill(main, signal.SIGUSR1)

    sender = Thread(send_signal)
    assert client.recv(100) == b"from the handler"
    sender.result()


def test_handler_that_raises_ends_a_blocked_call_at_once(pair):
    client, _ = pair
    stack = client._channel.stack

    def handler(signum, frame):
        raise TimeoutError("enough")                   # an OSError, but none of the stack's

    signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident

    def send_signal():
        until_blocked(stack)
        signal.pthread_kill(main, signal.SIGUSR1)

    sender = Thread(send_signal)
    with pytest.raises(TimeoutError, match="enough"):
        client.recv(100)
    sender.result()
    assert stack.gate.describe_waits() == []


def test_handler_that_raises_ends_a_call_that_asks_the_link(monkeypatch):
    """The leader looks for an answer inside the gate: it leaves for the handler."""
    monkeypatch.setattr("tipy.driver._SPIN", 10 * JOIN)
    ends = cable()
    with make(ends[0], A) as a, make(ends[1], B) as b:
        client, _server = connected(a, b)
        a._driver._spin = 10 * JOIN
        main = threading.main_thread().ident

        def send_signal():
            until(lambda: a._driver._leader == main)
            signal.pthread_kill(main, signal.SIGUSR1)

        def handler(signum, frame):
            raise TimeoutError("enough")

        signal.signal(signal.SIGUSR1, handler)
        sender = Thread(send_signal)
        with pytest.raises(TimeoutError, match="enough"):
            client.recv(100)
        sender.result()


# -- the gate alone -------------------------------------------------------------------------------


class Endpoint:
    waiters = readiness = None


@pytest.fixture
def gate():
    clock = RealClock()
    gate = Gate(clock, Timers(clock))
    signals.protect(gate)
    yield gate
    signals.unprotect(gate)


def raise_interrupted(signum, frame):
    raise Interrupted


def test_signal_inside_is_handled_when_the_thread_has_left(gate):
    seen = []
    signal.signal(signal.SIGUSR1, lambda signum, frame: seen.append((gate.held(), frame.f_code.co_name)))
    with gate:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        assert seen == []
    assert [held for held, _ in seen] == [False]       # two of a kind are one, as the kernel sees it


def test_interrupt_inside_comes_after_all_that_was_left_to_do(gate):
    done = []
    signal.signal(signal.SIGUSR1, raise_interrupted)
    with pytest.raises(Interrupted):
        with gate:
            gate.inside.append(lambda: done.append("inside"))
            gate.after(done.append, "after")
            signal.raise_signal(signal.SIGUSR1)
    assert done == ["inside", "after"] and not gate.busy_here()


def test_interrupt_while_others_are_woken_does_not_keep_the_rest_waiting(gate):
    done = []
    signal.signal(signal.SIGUSR1, raise_interrupted)
    with pytest.raises(Interrupted):
        with gate:
            gate.after(signal.raise_signal, signal.SIGUSR1)
            gate.after(done.append, "woken")
    assert done == ["woken"]


def test_interrupt_on_the_way_back_in_waits_until_the_thread_is_in_and_out_again(gate):
    """The wait is over, but another thread holds the lock: raising now would leave without it."""
    signal.signal(signal.SIGUSR1, raise_interrupted)
    main, endpoint = threading.main_thread().ident, Endpoint()
    taken, reached = threading.Event(), []

    def hold():
        with gate:
            taken.set()
            signal.pthread_kill(main, signal.SIGUSR1)
            until(lambda: signals.deferred)

    holders = []

    def block(gate, waiter, deadline):                 # what the driver or the clock does otherwise
        holders.append(Thread(hold))
        taken.wait(20)

    gate.clock.block = block
    with pytest.raises(Interrupted):
        with gate:
            gate.wait(endpoint, lambda: bool(holders))
            reached.append(gate.held())
    holders[0].result()
    assert reached == [True] and gate.describe_waits() == [] and not endpoint.waiters


def test_one_handler_that_raises_does_not_lose_the_other_signal(gate):
    seen = []
    signal.signal(signal.SIGUSR1, raise_interrupted)
    signal.signal(signal.SIGALRM, lambda signum, frame: seen.append(signum))
    with pytest.raises(Interrupted):
        with gate:
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGALRM)
    assert seen == [signal.SIGALRM] and not signals.deferred


def test_signal_that_comes_on_the_way_out_does_not_hold_up_the_one_before(gate, monkeypatch):
    told = []
    signal.signal(signal.SIGUSR1, lambda *_: told.append("deferred"))
    signal.signal(signal.SIGALRM, raise_interrupted)
    lock = gate._lock

    class Lock:
        acquire, _is_owned = lock.acquire, lock._is_owned

        def release(self):
            lock.release()
            signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(gate, "_lock", Lock())
    with pytest.raises(Interrupted):
        with gate:
            signal.raise_signal(signal.SIGUSR1)
            assert told == []
    assert told == ["deferred"] and not signals.deferred


def test_shield_defers_and_nap_lets_through(gate):
    told = []
    signal.signal(signal.SIGUSR1, lambda signum, frame: told.append("handler"))

    def job():
        signal.raise_signal(signal.SIGUSR1)
        told.append("job")
        gate.nap(told.append, "nap")
        signal.raise_signal(signal.SIGUSR1)
        told.append("end")

    gate.shield(job)
    assert told == ["job", "handler", "nap", "end", "handler"]


def test_other_threads_are_not_concerned(gate):
    """Only the main thread runs handlers; a gate held by another does not keep it from doing so."""
    seen, inside, leave = [], threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda signum, frame: seen.append(signum))

    def hold():
        with gate:
            inside.set()
            leave.wait(20)

    holder = Thread(hold)
    assert inside.wait(20)
    signal.raise_signal(signal.SIGUSR1)
    assert seen == [signal.SIGUSR1]
    leave.set()
    holder.result()


# -- what programs see ----------------------------------------------------------------------------


def test_programs_see_their_own_handlers():
    def mine(signum, frame):
        pass

    def yours(signum, frame):
        pass

    signal.signal(signal.SIGUSR1, mine)
    with make():
        assert signal.getsignal(signal.SIGUSR1) is mine
        assert signal.signal(signal.SIGUSR1, yours) is mine
        assert signal.getsignal(signal.SIGUSR1) is yours
        assert signal.signal(signal.SIGUSR1, signal.SIG_IGN) is yours
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
        assert signal.signal(signal.SIGUSR1, mine) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGUSR1) is mine


def test_wrong_handler_or_signal_is_refused_as_ever():
    with make():
        with pytest.raises(TypeError):
            signal.signal(signal.SIGUSR1, "nonsense")
        with pytest.raises(ValueError):
            signal.signal(12345, lambda *args: None)
        with pytest.raises(OSError):
            signal.signal(signal.SIGKILL, lambda *args: None)
        assert signal.getsignal(signal.SIGKILL) in (None, signal.SIG_DFL)


def test_everything_is_as_before_after_the_last_stop():
    def mine(signum, frame):
        pass

    signal.signal(signal.SIGUSR1, mine)
    before = signal.signal, signal.getsignal, {n: signal.getsignal(n) for n in signal.valid_signals()}
    first, second = make(), make()
    first.start()
    second.start()
    kept_signal, kept_getsignal = signal.signal, signal.getsignal
    first.stop()
    assert signal.getsignal(signal.SIGUSR1) is mine
    second.stop()
    assert (signal.signal, signal.getsignal) == before[:2]
    assert {n: signal.getsignal(n) for n in signal.valid_signals()} == before[2]
    assert kept_signal(signal.SIGUSR1, signal.SIG_IGN) is mine      # "from signal import signal", meanwhile
    assert kept_getsignal(signal.SIGUSR1) is signal.SIG_IGN is signal.getsignal(signal.SIGUSR1)


def test_handler_set_while_a_stack_runs_stays():
    seen = []
    with make():
        signal.signal(signal.SIGUSR1, lambda signum, frame: seen.append(signum))
    signal.raise_signal(signal.SIGUSR1)
    assert seen == [signal.SIGUSR1]


def test_asyncio_runner_cancels_on_interrupt_and_restores_the_handler():
    """asyncio.Runner compares handlers: it must find the default one, and its own."""
    with make():
        ended = []

        async def main():
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
        assert ended == ["cancelled"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_asyncio_signal_handlers_work():
    with make():
        async def main():
            loop, seen = asyncio.get_running_loop(), []
            done = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, lambda: (seen.append(1), done.set()))
            signal.raise_signal(signal.SIGUSR1)
            await asyncio.wait_for(done.wait(), 20)
            loop.remove_signal_handler(signal.SIGUSR1)
            return seen

        assert asyncio.run(main()) == [1]


def test_stack_started_and_stopped_by_another_thread_touches_no_handler():
    before = signal.signal, signal.getsignal(signal.SIGINT)

    def live():
        with make() as stack:
            client, server = connected(stack)
            client.sendall(b"x")
            return server.recv(10)

    assert Thread(live).result() == b"x"
    assert (signal.signal, signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize("kind", ["loopback", "cable"])
def test_interrupts_of_start_and_stop_leave_nothing_half_done(kind):
    before, names = open_things(), (signal.signal, signal.getsignal)
    rng, storm = random.Random(1), Storm()
    signal.signal(signal.SIGALRM, storm)
    for _ in range(150):
        ends = cable() if kind == "cable" else [None]
        stack = make(ends[0])
        signal.setitimer(signal.ITIMER_REAL, rng.choice((0.00005, 0.0002, 0.0005, 0.001)), INTERVAL)
        for step in (stack.start, stack.stop):
            try:
                storm.armed = True
                step()
                storm.armed = False
            except Interrupted:
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        stack.stop()
        for end in ends:
            if end is not None:
                end.close()
        assert (signal.signal, signal.getsignal) == names and set(threading.enumerate()) == before[0]
        assert stack.errors == [] and stack.status != "running"
    assert storm.raised > 20 and open_things() == before


def test_handler_may_wait_in_a_socket_call_while_the_main_thread_waits_in_another():
    """The main thread reads the link then; while the handler runs the stack is served by its own thread."""
    ends = cable()
    with make(ends[0], "10.0.0.1") as a, make(ends[1], "10.0.0.2") as b:
        _wait_in_a_handler(a, connected(a, b), connected(a, b))
        assert a.errors == b.errors == []


def test_handler_may_stop_the_stack_whose_link_the_main_thread_reads(monkeypatch):
    """The leader has stepped aside for the handler, and is the leader all the same: stop() does not wait for it."""
    def never(seconds):
        assert not seconds, "stop() waits for the thread it runs in"

    monkeypatch.setattr(driver, "sleep", never)
    ends = cable()
    with make(ends[0], "10.0.0.1") as a, make(ends[1], "10.0.0.2") as b:
        client, _server = connected(a, b)
        signal.signal(signal.SIGUSR1, lambda signum, frame: a.stop())

        def interrupt():
            until_blocked(a)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

        interrupting = Thread(interrupt)
        with pytest.raises(OSError) as caught:
            client.recv(1)
        assert caught.value.errno == errno.ENETDOWN
        interrupting.result()
        monkeypatch.undo()


def _wait_in_a_handler(stack, pair, other):
    first, far = pair
    second, echo = other
    echoing = Thread(lambda: echo.sendall(echo.recv(10)))
    answers = []

    def handler(signum, frame):
        second.settimeout(10)
        second.sendall(b"question")
        answers.append(second.recv(10))

    signal.signal(signal.SIGUSR1, handler)

    def interrupt():
        until_blocked(stack)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        until(lambda: answers)
        far.sendall(b"x")

    interrupting = Thread(interrupt)
    assert first.recv(1) == b"x" and answers == [b"question"]
    echoing.result()
    interrupting.result()
