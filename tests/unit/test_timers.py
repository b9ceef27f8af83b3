"""Timers: one heap, in order, restarted without cost, nothing left behind."""

import gc
import random
import weakref

import pytest

from tipy.clock import ManualClock
from tipy.timers import Timers


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def timers(clock):
    return Timers(clock)


def run_to(clock, timers, time):
    clock.advance(time - clock.now())
    timers.expire(clock.now())


def test_timer_fires_once_at_its_time(clock, timers):
    fired = []
    timers.after(2.0, lambda: fired.append(clock.now()))
    run_to(clock, timers, 1.999)
    assert fired == [] and len(timers) == 1
    run_to(clock, timers, 2.0)
    run_to(clock, timers, 9.0)
    assert fired == [2.0] and len(timers) == 0 and timers.next_deadline() is None


def test_timers_fire_in_order_and_equal_ones_in_the_order_they_were_set(timers):
    fired = []
    for delay, name in ((3, "d"), (1, "a"), (2, "b"), (2, "c")):
        timers.after(delay, lambda name=name: fired.append(name))
    timers.expire(3)
    assert fired == ["a", "b", "c", "d"]


def test_restart_later_earlier_and_cancel(timers):
    fired = []
    timer = timers.timer(lambda: fired.append("x"))
    assert not timer.armed
    timer.restart(1)
    timer.restart(5)
    assert timers.next_deadline() == 5
    timer.restart(2)
    assert timers.next_deadline() == 2 and timer.deadline == 2
    timer.cancel()
    timer.cancel()
    assert timers.next_deadline() is None and not timer.armed
    timer.restart(3)
    timers.expire(10)
    assert fired == ["x"]


def test_callback_may_set_and_cancel_timers(timers):
    fired = []
    victim = timers.after(2, lambda: fired.append("victim"))

    def first():
        fired.append("first")
        victim.cancel()
        timers.after(0, lambda: fired.append("at once"))

    timers.after(1, first)
    timers.expire(5)
    assert fired == ["first", "at once"]


def test_clear_forgets_all_and_timers_can_be_used_again(timers):
    fired = []
    timer = timers.after(1, lambda: fired.append(1))
    timers.clear()
    assert not timer.armed and len(timers) == 0
    timer.cancel()
    timer.restart(1)
    timers.expire(1)
    assert fired == [1]


def test_exception_of_one_callback_does_not_take_the_others_with_it(timers):
    fired, told = [], []

    def fail():
        raise ZeroDivisionError("one")

    timers.on_error = told.append
    timers.after(1, fail)
    timers.after(1, lambda: fired.append(1))
    timers.expire(1)
    assert fired == [1] and [str(error) for error in told] == ["one"]


def test_exception_comes_through_if_nobody_is_told(timers):
    timers.after(1, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        timers.expire(1)
    assert timers.next_deadline() is None


def test_sleeper_is_woken_for_an_earlier_deadline_only(timers):
    woken = []
    timers.wake = lambda: woken.append(timers.alarm)
    timers.after(5, int)
    assert woken == []                                 # nobody sleeps
    timers.alarm = 5
    timers.after(7, int)
    timers.after(3, int)
    assert woken == [3]


@pytest.mark.parametrize("moves", [(7200, 0.04), (7200, None, 1, None), (60, 30, 10, 5)])
def test_heap_stays_small_however_a_timer_is_moved(clock, timers, moves):
    timers.after(100_000, int)                         # so that nothing behind it comes to the top
    timer = timers.timer(int)
    for _ in range(5000):
        for delay in moves:
            timer.cancel() if delay is None else timer.restart(delay)
        run_to(clock, timers, clock.now() + 0.05)
    assert len(timers._heap) < 1000 and len(timers) <= 2


def test_ended_timer_does_not_keep_its_connection_alive(timers):
    class Connection:
        def keepalive(self):
            pass

    kept = [Connection() for _ in range(600)]
    seen = weakref.WeakSet(kept)
    timers.after(1, int)
    for timer in [timers.after(7200, connection.keepalive) for connection in kept]:
        timer.end()
        timer.end()
    kept.clear()
    gc.collect()
    assert not seen and len(timers) == 1


def test_cancelled_timers_are_swept_out(timers):
    live = timers.after(7200, int)
    for _ in range(10_000):
        timers.after(7200, int).cancel()
    assert len(timers._heap) <= 512 and len(timers) == 1 and live.armed


def test_timers_of_the_next_life_are_swept_as_early_as_those_of_the_first(timers):
    for _ in range(10_000):
        timers.after(7200, int)
    timers.clear()
    for _ in range(10_000):
        timers.after(7200, int).cancel()
    assert len(timers._heap) <= 512


def test_any_sequence_fires_what_a_plain_list_would(clock):
    """Against the simplest model: a dictionary of deadlines."""
    for seed in range(30):
        rng, clock = random.Random(seed), ManualClock()
        timers, fired, model, expected = Timers(clock), [], {}, []
        pool = [timers.timer(lambda number=number: fired.append((clock.now(), number)))
                for number in range(12)]
        for _ in range(400):
            number = rng.randrange(len(pool))
            action = rng.random()
            if action < 0.6:
                delay = rng.choice((0.25, 1, 2, 8, 64))
                pool[number].restart(delay)
                model[number] = clock.now() + delay
            elif action < 0.8:
                pool[number].cancel()
                model.pop(number, None)
            else:
                run_to(clock, timers, clock.now() + rng.choice((0.25, 0.5, 4)))
                due = [number for number, deadline in model.items() if deadline <= clock.now()]
                expected += [(clock.now(), number) for number in due]
                for number in due:
                    del model[number]
            assert timers.next_deadline() == min(model.values(), default=None), f"seed {seed}"
            assert len(timers) == len(model), f"seed {seed}"
        assert sorted(fired) == sorted(expected), f"seed {seed}"
