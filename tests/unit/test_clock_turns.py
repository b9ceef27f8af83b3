"""Several program threads in virtual time: one at a time, in a fixed order, and an error instead of a hang."""

import queue
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from stack_helpers import JOIN, Endpoint
from tipy import signals, turns
from tipy.clock import ManualClock
from tipy.gate import Gate
from tipy.timers import Timers


class Program:
    """Threads on one clock and one gate, and what they did in which order."""

    def __init__(self):
        self.clock = ManualClock(auto=True)
        self.gate = Gate(self.clock, Timers(self.clock))
        self.clock.attach(self.gate)
        self.threads = []
        self.story = []        # (who, what, when)

    def tell(self, what):
        self.story.append((threading.current_thread().name, what, self.clock.now()))

    def wait(self, endpoint, deadline=None):
        with self.gate:
            return self.gate.wait(endpoint, lambda: endpoint.ready, deadline)

    def make_ready(self, endpoint):
        with self.gate:
            endpoint.ready = True
            self.gate.notify(endpoint)

    def call(self):
        """Call into the stack, and wait for nothing."""
        with self.gate:
            pass

    def start(self, name, fn, *args):
        """Start a thread; what it raises is told."""
        def run():
            try:
                fn(*args)
            except Exception as error:
                self.tell(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=run, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def join(self):
        for thread in self.threads:
            thread.join(JOIN)
            if thread.is_alive():
                raise AssertionError(f"{thread.name} is stuck; so far: {self.story}")


@pytest.fixture
def program():
    return Program()


@pytest.fixture(params=[1e-6, 5e-3])
def eager(request):
    """The interpreter changes threads very often, or seldom."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield
    sys.setswitchinterval(before)


def compute(seconds=0.02):
    """Use CPU time outside the stack."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


# -- the turns ------------------------------------------------------------------------------------


def test_time_stands_still_while_another_thread_computes(program, eager):
    def idle():
        program.clock.sleep(1)
        program.tell("slept")

    def busy():
        program.call()
        compute()
        program.tell("computed")
        program.clock.sleep(2)

    program.start("idle", idle), program.start("busy", busy)
    program.join()
    assert program.story == [("busy", "computed", 0.0), ("idle", "slept", 1.0)]


def test_thread_that_was_started_but_has_not_called_yet_holds_up_time(program, eager):
    def late():
        compute()
        program.tell("called")
        program.clock.sleep(1)

    program.start("late", late)
    program.clock.sleep(5)
    program.tell("slept")
    program.join()
    assert program.story == [("late", "called", 0.0), ("MainThread", "slept", 5.0)]


def test_turns_go_round_in_the_order_of_the_starts(program, eager):
    def run(number):
        compute(0.02 - 0.005 * number)                 # the last one started is the first to arrive
        for _ in range(3):
            program.clock.sleep(1)
            program.tell("turn")

    for number in range(4):
        program.start(f"t{number}", run, number)
    program.join()
    assert [(who, when) for who, _, when in program.story] == \
        [(f"t{number}", when) for when in (1.0, 2.0, 3.0) for number in range(4)]


def test_thread_that_is_woken_runs_when_the_waker_waits(program, eager):
    endpoint = Endpoint()

    def sleeper():
        program.wait(endpoint)
        program.tell("woken")

    def waker():
        program.clock.sleep(1)
        program.make_ready(endpoint)
        compute()
        program.call()
        program.tell("still at it")
        program.clock.sleep(1)
        program.tell("done")

    program.start("sleeper", sleeper), program.start("waker", waker)
    program.join()
    assert program.story == [("waker", "still at it", 1.0), ("sleeper", "woken", 1.0), ("waker", "done", 2.0)]


def test_thread_that_ends_leaves_its_turn_to_others(program, eager):
    for number in range(30):
        program.start(f"t{number}", program.call)
    program.join()
    program.clock.sleep(1)
    assert program.clock.now() == 1.0


def test_advance_lets_the_others_have_their_turns(program, eager):
    def worker():
        for _ in range(3):
            program.clock.sleep(1)
            program.tell("at work")

    program.start("worker", worker)
    program.clock.advance(2.5)
    program.tell("advanced")
    program.join()
    assert program.story == [("worker", "at work", 1.0), ("worker", "at work", 2.0),
                             ("MainThread", "advanced", 2.5), ("worker", "at work", 3.0)]


def test_timers_of_the_same_moment_run_before_a_deadline_counts(program):
    endpoint, other = Endpoint(), Gate(program.clock, Timers(program.clock))
    program.clock.attach(other)
    program.gate.timers.after(1, int)

    def become_ready():
        endpoint.ready = True
        other.after(program.make_ready, endpoint)

    other.timers.after(1, become_ready)
    assert program.wait(endpoint, 1.0) is True


def test_exception_in_a_timer_is_raised_in_one_thread_and_the_others_go_on(program):
    endpoint = Endpoint()
    program.gate.timers.after(1, lambda: 1 // 0)
    program.start("a", program.wait, endpoint, 2.0), program.start("b", program.wait, endpoint, 3.0)
    program.join()
    (_, what, when), = program.story
    assert what.startswith("ZeroDivisionError") and when == 1.0
    assert program.clock.waiting == 0


def test_stepped_clock_neither_sleeps_nor_waits():
    clock = ManualClock()
    with pytest.raises(RuntimeError, match="auto=True"):
        clock.sleep(1)
    with pytest.raises(RuntimeError, match="auto=True"):
        clock.wait(bool)


# -- waits outside the stack ----------------------------------------------------------------------


def test_main_thread_may_join_threads_that_wait_in_the_stack(program, eager):
    def run():
        program.clock.sleep(1)
        program.tell("slept")

    threads = [program.start(name, run) for name in "ab"]
    for thread in threads:
        thread.join()
    program.call()
    program.tell("joined")
    assert program.story == [("a", "slept", 1.0), ("b", "slept", 1.0), ("MainThread", "joined", 1.0)]


def test_thread_woken_from_a_join_comes_before_time_moves(program, eager):
    first = program.start("first", program.clock.sleep, 1)

    def second():
        first.join()
        compute()
        program.call()
        program.tell("joined")

    def third():
        program.clock.sleep(2)
        program.tell("slept")

    program.start("second", second), program.start("third", third)
    program.join()
    assert program.story == [("second", "joined", 1.0), ("third", "slept", 2.0)]


def test_event_between_program_threads(program, eager):
    event = threading.Event()

    def waiter():
        program.call()
        event.wait()
        compute()
        program.call()
        program.tell("told")

    def teller():
        program.clock.sleep(3)
        event.set()
        program.clock.sleep(1)

    program.start("waiter", waiter), program.start("teller", teller)
    program.join()
    assert program.story == [("waiter", "told", 3.0)]


def test_queues_between_program_threads(program, eager):
    """Two workers hand each other a ball: time moves a second for each throw, and never between them."""
    one, two = queue.Queue(), queue.Queue()

    def play(mine, other):
        while (ball := mine.get()) < 20:
            program.tell(ball)
            program.clock.sleep(1)
            other.put(ball + 1)
        other.put(ball + 1)

    program.start("one", play, one, two), program.start("two", play, two, one)
    one.put(0)
    program.join()
    assert program.story == [(("one", "two")[ball % 2], ball, float(ball)) for ball in range(20)]


def test_barrier_and_semaphore(program, eager):
    barrier, semaphore = threading.Barrier(3), threading.Semaphore(1)

    def run(number):
        program.clock.sleep(number)
        barrier.wait()
        with semaphore:                                # also a wait of a thread that has it, in the stack
            program.clock.sleep(1)
        program.tell("through")

    for number in range(3):
        program.start(f"t{number}", run, number)
    program.join()
    assert sorted(when for _, _, when in program.story) == [3.0, 4.0, 5.0]


def test_predicate_waits_for_what_the_clock_cannot_see(program, eager):
    lock = threading.Lock()
    lock.acquire()

    def waiter():
        assert program.clock.wait(lambda: lock.acquire(False))
        program.tell("has it")

    program.start("waiter", waiter)
    program.clock.sleep(2)
    lock.release()
    program.join()
    assert program.story == [("waiter", "has it", 2.0)] and lock.locked()


def test_predicate_waits_no_longer_than_its_timeout(program):
    assert program.clock.wait(bool, 3) is False and program.clock.now() == 3.0
    assert program.clock.wait(lambda: True, 3) is True and program.clock.now() == 3.0


# -- errors instead of hangs ----------------------------------------------------------------------


def test_error_says_who_waits_for_what(program):
    def run(name):
        program.wait(Endpoint(name))

    thread = program.start("reader", run, "a message")
    program.start("writer", run, "room")
    thread.join()
    program.join()
    (who, what, _), (other, later, _) = program.story
    assert (who, other) == ("reader", "writer")        # one after the other: the first may have set the second free
    assert "nothing is left that could happen: reader waits for <a message>; writer waits for <room>" in what
    assert "MainThread is outside, at " in what and "test_clock_turns.py" in what
    assert "writer waits for <room>" in later and "reader" not in later


def test_error_of_one_may_set_the_other_free(program):
    endpoint = Endpoint("news")

    def first():
        try:
            program.wait(Endpoint("nothing"))
        finally:
            program.make_ready(endpoint)

    def second():
        program.wait(endpoint)
        program.tell("got it")

    program.start("first", first), program.start("second", second)
    program.join()
    assert [who for who, _, _ in program.story] == ["first", "second"]
    assert program.story[1][1] == "got it"


@pytest.mark.parametrize("kind", ["lock", "simple queue"])
def test_wait_that_cannot_be_understood_is_an_error_that_says_where(program, kind):
    """The thread has the turn and stands still: the other one is told, and its end sets the first one free."""
    program.clock.patience = 1.0
    lock, simple = threading.Lock(), queue.SimpleQueue()
    lock.acquire()

    def stand_still():
        program.call()
        if kind == "lock":
            lock.acquire()
        else:
            simple.get()
        program.tell("free")

    def other():
        try:
            program.clock.sleep(1)
        finally:
            lock.release()
            simple.put(None)

    program.start("stubborn", stand_still), program.start("other", other)
    program.join()
    assert sorted(who for who, _, _ in program.story) == ["other", "stubborn"]
    what, = (what for who, what, _ in program.story if who == "other")
    assert what.startswith("RuntimeError: time cannot move: stubborn stands still at ")
    assert "in stand_still" in what and "other waits for 1 s to pass" in what


def test_thread_that_never_called_is_left_alone_after_a_while(program):
    program.clock.patience = 0.1
    lock = threading.Lock()
    lock.acquire()
    thread = program.start("stranger", lock.acquire)
    program.clock.sleep(1)
    assert program.clock.now() == 1.0
    lock.release()
    thread.join(JOIN)


def test_threads_older_than_the_clock_do_not_count():
    lock = threading.Lock()
    lock.acquire()
    thread = threading.Thread(target=lock.acquire, daemon=True)
    thread.start()
    program = Program()
    program.clock.patience = 0.0                       # with that thread it would be over at once
    program.clock.sleep(1)
    lock.release()
    thread.join(JOIN)


def test_process_that_uses_the_cpu_may_take_as_long_as_it_likes(program, monkeypatch):
    """Each look at the real clock finds it 100 s later; half of them have been spent computing."""
    looks = iter(range(10 ** 9))
    monkeypatch.setattr(turns, "time", SimpleNamespace(
        monotonic=lambda: 100.0 * next(looks), process_time=lambda: 50.0 * next(looks)))

    def busy():
        program.call()
        compute(0.1)

    program.start("busy", busy), program.start("idle", program.clock.sleep, 1)
    program.join()
    assert program.story == [] and program.clock.now() == 1.0 and next(looks) > 1


def test_exception_in_a_predicate_is_raised_where_it_belongs(program):
    ready = []

    def torn():
        program.clock.wait(lambda: ready[0] if program.clock.now() else False)

    def other():
        program.clock.sleep(1)
        program.tell("slept")
        program.clock.sleep(1)
        program.tell("slept")

    program.start("torn", torn), program.start("other", other)
    program.join()
    assert program.story == [("other", "slept", 1.0), ("torn", "IndexError: list index out of range", 1.0),
                             ("other", "slept", 2.0)]


def test_interrupt_takes_the_turn_from_whoever_has_it(program):
    """A signal handler that raises ends the main thread's wait, also while another thread computes."""
    program.clock.patience = 1000
    let_go, computing = threading.Lock(), threading.Event()
    let_go.acquire()

    def busy():
        program.call()
        computing.set()
        let_go.acquire()                               # not understood: as if it computed
        program.call()
        program.tell("went on")

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        program.start("busy", busy)
        kicker = threading.Thread(target=kick, args=(computing,), daemon=True)
        kicker.start()
        with pytest.raises(KeyboardInterrupt):
            program.clock.sleep(1)
        assert program.clock.now() == 0.0
        program.call()
        let_go.release()
        program.join()
        kicker.join(JOIN)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert program.story == [("busy", "went on", 0.0)]


def kick(computing):
    computing.wait(JOIN)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


def test_signal_handler_may_call_in_while_its_thread_waits(program):
    before = signal.signal(signal.SIGUSR1, lambda *_: program.call() or program.tell("handled"))
    signals.protect(program.gate)
    try:
        program.gate.timers.after(1, lambda: signal.raise_signal(signal.SIGUSR1))
        program.start("other", program.clock.sleep, 2)
        program.clock.sleep(3)
        program.join()
    finally:
        signals.unprotect(program.gate)
        signal.signal(signal.SIGUSR1, before)
    assert [what for _, what, _ in program.story] == ["handled"] and program.clock.now() == 3.0


def test_thread_that_waits_by_another_clock_does_not_hold_up_this_one(program):
    """As when the collector closes a socket of a program that is long gone, in the middle of the next one."""
    later = Program()
    later.start("later", program.clock.sleep, 1)
    later.clock.sleep(7)
    later.join()
    assert (program.clock.now(), later.clock.now()) == (1.0, 7.0)


def test_thread_may_end_between_two_looks_at_it(program, monkeypatch):
    go = threading.Event()
    ending = program.start("ending", go.wait, JOIN)
    look = turns.outside.living

    def living():
        if looks:
            go.set()
            ending.join(JOIN)
        looks.append(look())
        return looks[-1]

    looks = []
    monkeypatch.setattr(turns.outside, "living", living)
    monkeypatch.setattr(turns.outside, "wait_of", lambda *_: "a wait")
    program.clock.sleep(1)
    assert program.clock.now() == 1.0 and program.story == []
