"""The sleep whose end others put off: both kinds do the same."""

import os
import threading
from time import monotonic

import pytest

from tipy.fuse import Fuse, Tick, fuse

JOIN = 30.0
KINDS = [Tick] + ([Fuse] if isinstance(fuse(), Fuse) else [])


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def one(request):
    made = request.param()
    yield made
    made.close()


def sleeper(one):
    """A thread that sleeps as the driver's does: until the fuse, once it burns, has burnt down."""
    lit, over = threading.Event(), threading.Event()

    def sleep():
        while not lit.is_set() or one.burning():
            one.wait()
        over.set()

    threading.Thread(target=sleep, daemon=True).start()
    return lit, over


def test_it_burns_down_by_itself(one):
    assert not one.burning()
    lit, over = sleeper(one)
    one.put_off(monotonic())
    lit.set()
    assert over.wait(JOIN) and not one.burning()


def test_putting_it_off_again_and_again(one):
    lit, over = sleeper(one)
    lit.set()
    until = monotonic() + 0.02
    while monotonic() < until:
        one.put_off(monotonic())
    assert over.wait(JOIN)


def test_burning_down_at_once(one):
    lit, over = sleeper(one)
    one.put_off(monotonic() + 3600)
    assert one.burning()
    lit.set()
    one.burn_down()
    assert over.wait(JOIN) and not one.burning()


def test_it_can_be_put_off_after_it_has_burnt_down(one):
    one.burn_down()
    one.put_off(monotonic() + 3600)
    assert one.burning()


@pytest.mark.skipif(Fuse not in KINDS, reason="no timerfd_create here")
def test_its_descriptor_is_not_inherited_and_is_closed_once():
    one = Fuse()
    fd = one._fd
    assert not os.get_inheritable(fd)
    one.close()
    with pytest.raises(OSError):
        os.fstat(fd)
    one.close()
    one.put_off(monotonic())                           # a leader that leaves after the stack has stopped
    one.burn_down()
    one.wait()
