"""What Python can tell for certain about a thread that waits for another."""

import threading
from types import SimpleNamespace

import pytest

from tipy import outside

JOIN = 20                      # seconds after which a thread counts as stuck


@pytest.fixture
def start():
    """start(fn) -> a thread that runs it; afterwards `start.end()` has been called and all have ended."""
    threads, over = [], threading.Event()

    def starter(fn):
        threads.append(threading.Thread(target=fn, daemon=True))
        threads[-1].start()
        return threads[-1]

    starter.over = over
    yield starter
    over.set()
    for thread in threads:
        thread.join(JOIN)
        if thread.is_alive():
            raise AssertionError("a thread is stuck")


def wait_of(thread):
    return outside.wait_of(thread, outside.living())


def until_it_waits(thread):
    pause = threading.Event()
    for _ in range(JOIN * 1000):
        wait = wait_of(thread)
        if wait is not None:
            return wait
        pause.wait(0.001)
    raise AssertionError("the thread was never seen to wait")


def test_wait_for_an_event_is_one_wait_until_it_is_set(start):
    thread = start(start.over.wait)
    wait = until_it_waits(thread)
    assert wait_of(thread) == wait


def test_next_wait_is_another_one(start):
    first = threading.Event()

    def twice():
        first.wait()
        start.over.wait()

    thread = start(twice)
    wait = until_it_waits(thread)
    first.set()
    for _ in range(JOIN * 1000):
        now = until_it_waits(thread)
        if now != wait:
            break
    assert now != wait


def test_notified_thread_does_not_wait_any_more(start):
    """Although it has not run yet: it cannot get the condition's lock."""
    condition = threading.Condition()

    def sleep():
        with condition:
            condition.wait()

    thread = start(sleep)
    until_it_waits(thread)
    with condition:
        condition.notify()
        assert wait_of(thread) is None


def test_join_is_a_wait_for_a_thread_that_lives(start):
    awaited = start(start.over.wait)
    thread = start(awaited.join)
    until_it_waits(thread)
    alive = outside.living()
    del alive[awaited]                                 # as if it had ended, and nobody had been told yet
    assert outside.wait_of(thread, alive) is None


def test_raw_lock_is_no_wait_that_can_be_told(start):
    lock = threading.Lock()
    lock.acquire()
    thread = start(lock.acquire)
    pause = threading.Event()
    for _ in range(50):
        assert wait_of(thread) is None
        pause.wait(0.001)
    lock.release()


def test_thread_that_has_ended_does_not_live(start):
    thread = start(int)
    thread.join(JOIN)
    assert thread not in outside.living() and threading.current_thread() in outside.living()


@pytest.mark.parametrize("numbers, expected", [
    ([12, 11, 13], [11, 12, 13]),
    ([300, 32760, 301, 32767], [32760, 32767, 300, 301]),          # they began again
    ([100, 5000, 101], [100, 101, 5000]),                          # others were started in between
    ([None, 12, 11], [11, 12, None]),                              # just being started
    ([], []),
])
def test_order_of_starts_is_the_order_of_the_systems_numbers(monkeypatch, numbers, expected):
    monkeypatch.setattr(outside.sys, "platform", "linux")
    threads = [SimpleNamespace(native_id=number) for number in numbers]
    assert [thread.native_id for thread in outside.in_order(threads)] == expected
