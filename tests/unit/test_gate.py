"""The rules that keep one lock sound (see tipy/gate.py), on a gate alone.

What they mean for a whole stack is in test_stack.py and test_signals.py.
"""

import contextlib
import errno
import gc
import threading
import weakref

import pytest

from stack_helpers import Thread, until
from tipy.clock import ManualClock, RealClock
from tipy.gate import Gate
from tipy.testing.calls import Call
from tipy.timers import Timers

JOIN = 20                      # seconds after which a thread counts as stuck


class Endpoint:
    def __init__(self):
        self.waiters = self.readiness = None
        self.ready = False


class Ring:
    """A readiness that counts."""

    updates = 0

    def update(self):
        self.updates += 1


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def gate(clock):
    gate = Gate(clock, Timers(clock))
    clock.attach(gate)
    return gate


def wait(gate, endpoint, deadline=None):
    with gate:
        return gate.wait(endpoint, lambda: endpoint.ready, deadline)


# -- the lock -------------------------------------------------------------------------------------


def test_gate_lets_one_thread_in(gate):
    order, inside, let_go = [], threading.Event(), threading.Event()

    def first():
        with gate:
            inside.set()
            let_go.wait(JOIN)
            order.append("first")

    def second():
        with gate:
            order.append("second")

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert inside.wait(JOIN)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    assert not gate.held()
    let_go.set()
    for thread in threads:
        thread.join(JOIN)
    assert order == ["first", "second"]


def test_whoever_is_inside_can_tell_that_others_want_in(gate):
    def visit():
        with gate:
            return gate.crowded

    with gate:
        assert not gate.crowded
        visitor = Thread(visit)
        until(lambda: gate.crowded)
    assert visitor.result() is False
    with gate:
        assert not gate.crowded
        gate.after(int)
        assert gate.crowded
    with gate:
        gate.inside.append(int)
        assert gate.crowded


def test_gate_entered_again_from_inside_is_an_error(gate):
    with gate:
        assert gate.held()
        with pytest.raises(RuntimeError, match="hook"):
            with gate:
                pass
        assert gate.held()
    assert not gate.held()


def test_exception_leaves_the_gate(gate):
    ran = []
    with pytest.raises(ZeroDivisionError):
        with gate:
            gate.inside.append(lambda: ran.append("inside"))
            gate.after(ran.append, "after")
            1 // 0
    assert not gate.held() and ran == ["inside", "after"]


# -- inside and after -----------------------------------------------------------------------------


def test_nothing_climbs_inside_a_descent(gate):
    """What the stack sends to itself is worked on when the sending call has returned, by the lock holder."""
    told = []

    def climb():
        told.append(("climb", gate.held()))
        gate.inside.append(lambda: told.append(("climb again", gate.held())))

    with gate:
        gate.inside.append(climb)
        told.append("still descending")
    assert told == ["still descending", ("climb", True), ("climb again", True)]


def test_what_is_left_for_after_runs_in_order_without_the_lock(gate):
    told = []

    def run(what):
        told.append((what, gate.held()))
        if what == 1:
            with gate:                                 # it may come back in
                gate.after(run, 3)
                gate.inside.append(lambda: told.append("inside"))

    with gate:
        gate.after(run, 1)
        gate.after(run, 2)
        assert told == []
    assert told == [(1, False), "inside", (2, False), (3, False)]


def test_exceptions_of_queued_calls_are_told_and_stop_nobody(gate):
    errors, ran = [], []
    gate.on_error = errors.append
    with gate:
        gate.inside.append(lambda: 1 // 0)
        gate.inside.append(lambda: ran.append("inside"))
        gate.after(lambda: [][0])
        gate.after(ran.append, "after")
    assert ran == ["inside", "after"]
    assert [type(error) for error in errors] == [ZeroDivisionError, IndexError]


def test_call_that_ends_the_program_does_not_keep_others_from_being_woken(gate):
    ran = []

    def leave():
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        with gate:
            gate.after(leave)
            gate.after(ran.append, "woken")
    assert ran == ["woken"] and not gate.held() and not gate.busy_here()


def test_another_thread_leaves_its_share_to_the_one_that_runs_the_queue(gate):
    """So calls keep their order, and nobody waits for somebody's slow callback."""
    order, in_callback, left = [], threading.Event(), threading.Event()

    def slow():
        in_callback.set()
        left.wait(JOIN)
        order.append("slow")

    def first():
        with gate:
            gate.after(slow)

    thread = threading.Thread(target=first)
    thread.start()
    assert in_callback.wait(JOIN)
    with gate:                                         # does not block
        gate.after(order.append, "second")
    assert order == []
    left.set()
    thread.join(JOIN)
    assert order == ["slow", "second"]


def test_many_threads_lose_no_call(gate):
    done = []

    def work(number):
        for turn in range(300):
            with gate:
                gate.after(done.append, (number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN)
    assert len(done) == 1800
    for number in range(6):
        assert [turn for who, turn in done if who == number] == list(range(300))


def test_do_runs_now_or_just_before_leaving(gate):
    ran = []
    gate.do(lambda: ran.append(gate.held()))
    assert ran == [True]
    with gate:
        gate.do(lambda: ran.append("later"))
        assert ran == [True]
    assert ran == [True, "later"]


# -- finalizers -----------------------------------------------------------------------------------


def test_finalizers_never_take_the_lock(gate):
    """The collector may run one in the middle of a locked region of the same thread."""
    closed = []

    class Handle:
        def __init__(self):
            self.me = self                             # only the collector ends it

        def __del__(self):
            gate.later(lambda: closed.append(gate.held()))

    with gate:
        Handle()
        gc.collect()
        assert closed == []
    assert closed == [True]


def test_finalizer_in_another_thread_does_not_wait_for_the_lock(gate):
    pokes = []
    gate.poke = lambda: pokes.append(1)
    with gate:
        thread = threading.Thread(target=gate.later, args=(int,))
        thread.start()
        thread.join(JOIN)
        assert not thread.is_alive() and pokes == [1]


# -- waiting --------------------------------------------------------------------------------------


def test_wait_gives_up_the_lock_and_returns_with_it(gate, clock):
    endpoint = Endpoint()
    held = []

    def work():
        with gate:
            gate.wait(endpoint, lambda: endpoint.ready)
            held.append(gate.held())

    call = Call(clock, work)
    with gate:                                         # it is free
        endpoint.ready = True
        gate.notify(endpoint)
    call.result()
    assert held == [True] and not gate.held() and endpoint.waiters in (None, [])


def test_notify_updates_the_descriptor_and_wakes_after_release(gate, clock):
    endpoint = Endpoint()
    endpoint.readiness = Ring()
    call = Call(clock, wait, gate, endpoint)
    with gate:
        endpoint.ready = True
        gate.notify(endpoint)
        gate.notify(endpoint)
        assert endpoint.readiness.updates == 2 and clock.waiting == 1
    assert clock.waiting == 0 and call.result()


def test_two_threads_may_wait_for_one_endpoint(gate, clock):
    endpoint = Endpoint()
    calls = [Call(clock, wait, gate, endpoint) for _ in range(2)]
    with gate:
        endpoint.ready = True
        gate.notify(endpoint)
    assert [call.result() for call in calls] == [True, True]


def test_exception_of_the_condition_ends_the_wait_with_the_lock_in_order(gate, clock):
    endpoint = Endpoint()

    def condition():
        if endpoint.ready:
            raise ZeroDivisionError
        return False

    def work():
        with gate:
            gate.wait(endpoint, condition)

    call = Call(clock, work)
    with gate:
        endpoint.ready = True
        gate.notify(endpoint)
    with pytest.raises(ZeroDivisionError):
        call.result()
    assert clock.waiting == 0 and not gate.held()


def test_stopped_stack_wakes_all_who_wait_with_enetdown(gate, clock):
    errors = []
    gate.on_error = errors.append
    endpoints = [Endpoint(), Endpoint()]
    calls = [Call(clock, wait, gate, endpoint, deadline) for endpoint, deadline in
             zip((endpoints[0], endpoints[0], endpoints[1]), (None, 50.0, None))]
    with gate:
        gate.notify(endpoints[1])                      # woken twice: no harm
        gate.shut("gone fishing")
    for call in calls:
        with pytest.raises(OSError, match="gone fishing") as caught:
            call.result()
        assert caught.value.errno == errno.ENETDOWN
    assert clock.waiting == 0 and errors == [] and gate.describe_waits() == []
    with pytest.raises(OSError, match="gone fishing"):
        wait(gate, endpoints[0])
    gate.reopen()
    endpoints[0].ready = True
    assert wait(gate, endpoints[0]) is True


def test_real_stop_tells_of_no_exception_for_those_woken_already():
    clock = RealClock()
    gate, endpoint, outcome = Gate(clock, Timers(clock)), Endpoint(), []
    errors = []
    gate.on_error = errors.append

    def work():
        try:
            wait(gate, endpoint)
        except OSError as error:
            outcome.append(error.errno)

    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(10_000_000):
        if gate.describe_waits():
            break
    with gate:
        gate.notify(endpoint)
        gate.shut("down")
    thread.join(JOIN)
    assert outcome == [errno.ENETDOWN] and errors == []


def test_gate_keeps_no_endpoint_alive(gate, clock):
    endpoint = Endpoint()
    seen = weakref.ref(endpoint)
    call = Call(clock, wait, gate, endpoint, 1.0)
    clock.advance(1)
    assert call.result() is False
    del endpoint, call
    gc.collect()
    assert seen() is None


# -- fork -----------------------------------------------------------------------------------------


def test_abandoned_gate_has_fresh_locks_and_is_down():
    clock = RealClock()
    gate = Gate(clock, Timers(clock))
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with contextlib.suppress(RuntimeError), gate:  # a child would not have this thread, and it leaves another lock
            inside.set()
            leave.wait(JOIN)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(JOIN)
    gate.inside.append(lambda: 1 // 0)
    gate.abandon("the parent's")                       # what a child does whose holder is not there
    with gate:
        with pytest.raises(OSError, match="the parent's"):
            gate.wait(Endpoint(), lambda: False)
    leave.set()
    thread.join(JOIN)


def test_gate_abandoned_from_inside_is_left_as_usual():
    """A hook has forked: its child comes out of the `with` it is in."""
    gate = Gate(RealClock(), Timers(RealClock()))
    with gate:
        gate.abandon("the parent's")
        assert gate.held()
    assert not gate.held()
    with gate:
        pass


def test_a_wait_of_a_former_life_ends_though_the_stack_runs_again():
    """stop() and start() may both be over before a blocked thread is back inside."""
    clock = RealClock()
    gate = Gate(clock, Timers(clock))

    def block(gate, waiter, deadline):
        with gate:
            gate.shut("stopped")
            gate.reopen()

    clock.block = block
    with pytest.raises(OSError) as caught, gate:
        gate.wait(Endpoint(), lambda: False)
    assert caught.value.errno == errno.ENETDOWN
