"""Time and waiting: the real clock, the manual one stepped, the manual one in auto mode."""

import threading

import pytest

from stack_helpers import JOIN, Endpoint
from tipy.clock import ManualClock, RealClock
from tipy.gate import Gate
from tipy.testing.calls import Call
from tipy.timers import Timers


def make_gate(clock):
    gate = Gate(clock, Timers(clock))
    clock.attach(gate)
    return gate


def wait(gate, endpoint, deadline=None):
    with gate:
        return gate.wait(endpoint, lambda: endpoint.ready, deadline)


def make_ready(gate, endpoint):
    with gate:
        endpoint.ready = True
        gate.notify(endpoint)


@pytest.fixture
def stepped():
    return ManualClock()


@pytest.fixture
def auto():
    return ManualClock(auto=True)


# -- stepped --------------------------------------------------------------------------------------


def test_time_stands_still_until_it_is_moved(stepped):
    assert stepped.now() == 0.0
    stepped.advance(1.5)
    assert stepped.now() == 1.5
    with pytest.raises(ValueError):
        stepped.advance(-1)


def test_clock_starts_where_it_is_told():
    assert ManualClock(start=17179.25).now() == 17179.25


def test_advance_runs_what_falls_due_at_its_own_time_in_order(stepped):
    first, second = make_gate(stepped), make_gate(stepped)
    ran = []
    for gate, delay in ((first, 3), (second, 2), (first, 1), (second, 9)):
        gate.timers.after(delay, lambda delay=delay: ran.append((delay, stepped.now())))
    assert stepped.next_deadline() == 1
    stepped.advance(5)
    assert ran == [(1, 1.0), (2, 2.0), (3, 3.0)] and stepped.now() == 5.0 and stepped.next_deadline() == 9


def test_advance_runs_also_what_a_timer_sets(stepped):
    gate, ran = make_gate(stepped), []

    def again():
        ran.append(stepped.now())
        if len(ran) < 4:
            gate.timers.after(1, again)

    gate.timers.after(1, again)
    stepped.advance(3)
    assert ran == [1.0, 2.0, 3.0] and stepped.next_deadline() == 4.0


def test_timers_run_inside_the_gate(stepped):
    gate, held = make_gate(stepped), []
    gate.timers.after(1, lambda: held.append(gate.held()))
    stepped.advance(1)
    assert held == [True] and not gate.held()


def test_gate_detached_has_no_timers_any_more(stepped):
    gate = make_gate(stepped)
    gate.timers.after(1, lambda: 1 // 0)
    stepped.detach(gate)
    stepped.detach(gate)
    assert stepped.next_deadline() is None
    stepped.advance(2)


def test_waiting_raises_at_once_in_the_thread_that_drives_the_clock(stepped):
    gate, endpoint = make_gate(stepped), Endpoint()
    with pytest.raises(RuntimeError, match="thread that drives a manual clock"):
        wait(gate, endpoint)
    assert stepped.waiting == 0 and not endpoint.waiters and not gate.held() and gate.describe_waits() == []


def test_no_wait_is_needed_for_what_is_already_so(stepped):
    gate, endpoint = make_gate(stepped), Endpoint()
    endpoint.ready = True
    assert wait(gate, endpoint) is True
    endpoint.ready = False
    assert wait(gate, endpoint, deadline=0.0) is False


def test_blocked_thread_counts_until_the_moment_it_is_woken(stepped):
    gate, endpoint = make_gate(stepped), Endpoint()
    call = Call(stepped, wait, gate, endpoint)
    assert stepped.waiting == 1 and call.blocked
    make_ready(gate, endpoint)
    assert stepped.waiting == 0                        # whether the thread has run or not
    assert call.result() is True


def test_blocked_thread_wakes_when_time_reaches_its_deadline(stepped):
    gate, endpoint = make_gate(stepped), Endpoint()
    call = Call(stepped, wait, gate, endpoint, 2.0)
    assert stepped.next_deadline() == 2.0
    stepped.advance(1.9)
    assert stepped.waiting == 1
    stepped.advance(0.2)
    assert stepped.waiting == 0 and call.result() is False


def test_deadline_is_set_before_the_thread_counts_as_waiting(stepped):
    """Otherwise whoever drives the clock may advance past a deadline nobody watches yet."""
    gate = make_gate(stepped)
    for _ in range(200):
        endpoint, outcome = Endpoint(), []
        thread = threading.Thread(target=lambda: outcome.append(wait(gate, endpoint, stepped.now() + 1)))
        thread.start()
        for _ in range(10_000_000):
            if stepped.waiting:
                break
        stepped.advance(1)
        assert stepped.waiting == 0
        thread.join(JOIN)
        assert outcome == [False]


def test_woken_thread_leaves_no_alarm_behind(stepped):
    gate, endpoint = make_gate(stepped), Endpoint()
    call = Call(stepped, wait, gate, endpoint, 100.0)
    make_ready(gate, endpoint)
    assert call.result() is True
    assert len(gate.timers) == 0 and stepped.next_deadline() is None


def test_notified_in_vain_the_thread_waits_again(stepped):
    gate, endpoint = make_gate(stepped), Endpoint()
    call = Call(stepped, wait, gate, endpoint)
    for _ in range(50):
        with gate:
            gate.notify(endpoint)
        assert call.blocked and stepped.waiting == 1
    make_ready(gate, endpoint)
    assert call.result() is True


def test_many_threads_are_counted_and_woken_exactly(stepped):
    gate = make_gate(stepped)
    endpoints = [Endpoint(f"e{number}") for number in range(10)]
    calls = [Call(stepped, wait, gate, endpoint) for endpoint in endpoints]
    for left in range(10, 0, -1):
        assert stepped.waiting == left
        make_ready(gate, endpoints[left - 1])
    assert stepped.waiting == 0 and all(call.result() for call in calls)


def test_manual_clock_starts_no_thread():
    before = threading.active_count()
    clock = ManualClock()
    make_gate(clock).timers.after(1, int)
    clock.advance(2)
    assert threading.active_count() == before


# -- auto -----------------------------------------------------------------------------------------


def test_auto_wait_jumps_from_deadline_to_deadline(auto):
    gate, other, endpoint, ran = make_gate(auto), make_gate(auto), Endpoint(), []
    other.timers.after(5, lambda: ran.append(auto.now()))

    def become_ready():
        endpoint.ready = True
        gate.notify(endpoint)

    gate.timers.after(30, become_ready)
    gate.timers.after(31, lambda: ran.append("too far"))
    assert wait(gate, endpoint) is True
    assert auto.now() == 30.0 and ran == [5.0] and auto.waiting == 0


def test_auto_wait_ends_at_its_deadline(auto):
    gate, endpoint = make_gate(auto), Endpoint()
    gate.timers.after(10, int)
    assert wait(gate, endpoint, deadline=7.0) is False
    assert auto.now() == 7.0 and auto.waiting == 0 and auto.next_deadline() == 10.0


def test_auto_wait_for_what_cannot_happen_names_who_waits_for_what(auto):
    gate, endpoint = make_gate(auto), Endpoint("connection to nowhere")
    gate.timers.after(10, int)
    name = threading.current_thread().name
    with pytest.raises(RuntimeError, match=f"nothing is left that could happen: {name} waits for "
                                           "<connection to nowhere>"):
        wait(gate, endpoint)
    assert auto.now() == 10.0 and auto.waiting == 0 and not gate.held() and not endpoint.waiters
    assert gate.describe_waits() == []


def test_exception_in_a_timer_leaves_nobody_waiting(auto):
    gate, endpoint = make_gate(auto), Endpoint()
    gate.timers.after(1, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        wait(gate, endpoint)
    assert auto.waiting == 0 and not gate.held()


# -- real -----------------------------------------------------------------------------------------


def test_real_time_moves_by_itself_and_forward():
    clock = RealClock()
    earlier = clock.now()
    for _ in range(1_000_000):
        if clock.now() > earlier:
            break
    assert clock.now() > earlier


def test_real_wait_ends_by_notification():
    gate, endpoint, outcome = make_gate(RealClock()), Endpoint(), []
    thread = threading.Thread(target=lambda: outcome.append(wait(gate, endpoint)))
    thread.start()
    make_ready(gate, endpoint)
    thread.join(JOIN)
    assert outcome == [True]


def test_real_wait_ends_at_its_deadline():
    clock = RealClock()
    gate, endpoint = make_gate(clock), Endpoint()
    deadline = clock.now() + 0.01
    assert wait(gate, endpoint, deadline) is False
    assert clock.now() >= deadline and not endpoint.waiters


def test_waiter_may_be_released_twice():
    waiter = RealClock().waiter(None, None)
    waiter.release()
    waiter.release()
    waiter.sleep(JOIN)
    assert waiter.woken
