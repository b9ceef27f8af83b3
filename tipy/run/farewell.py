"""The last seconds of a stack whose program has ended.

What the program left open is closed as the kernel closes the connections of a process that is gone: a FIN
after what was sent, or a RST where data was not read. The kernel goes on without the process; we cannot, so
we stay until all that was sent has been acknowledged, as long as the peer keeps on acknowledging.

Daemon threads are still there, perhaps blocked in recv(). On the kernel's sockets they never learn how it
ends, so they shall not learn it here: nobody wakes them, and one that comes with another call is never let
in.
"""

from threading import Lock, get_ident          # as they are now: the program may replace them

from tipy import stack as stacks
from tipy.gate import Gate
from tipy.tcp.states import CLOSED, FIN_WAIT_2, TIME_WAIT

_PATIENCE = 2.0                        # seconds without any progress, then we leave
_COURTESY = 0.2                        # seconds a peer has to close its side, too
_GLANCE = 0.01
_DELIVERED = frozenset({FIN_WAIT_2, TIME_WAIT, CLOSED})
_DONE = frozenset({TIME_WAIT, CLOSED})


class _LastGate(Gate):
    """What the stack's gate becomes: only those are let in who were in before."""

    def __enter__(self):
        if get_ident() not in self.welcome:
            never = Lock()
            never.acquire()
            never.acquire()
        return super().__enter__()

    def notify(self, endpoint):
        """Wake nobody."""

    def shut(self, reason):
        """Wake nobody, here neither."""


def see_off(stack, wait=True):
    """Close all connections of `stack` and wait until they are delivered. What is left for it is stop()."""
    with stack.gate as gate:
        gate.welcome = {get_ident(), stack._driver.ident, *(ident for _, ident in gate._blocked.values())}
        gate.__class__ = _LastGate
        # what `threading` notes of a thread's end it looks up by number, and gevent gives threads other numbers
        stack._driver._thread._delete = lambda: None
        for listener in [each for group in stack.tcp.listeners.values() for each in group]:
            listener.close()
        for tcb in list(stack.tcp.connections.values()):
            tcb.close()
        if wait:
            _await_delivery(stack)
    stacks._running.append(stack)              # once more than stop() takes it out: socket() still finds it


def _await_delivery(stack):
    gate, clock, connections = stack.gate, stack.clock, stack.tcp.connections
    nobody = _Nobody()
    progress, deadline = None, 0
    while any(tcb.state not in _DELIVERED for tcb in connections.values()):
        before, progress = progress, sum(tcb.snd_una for tcb in connections.values())
        if progress != before:
            deadline = clock.now() + _PATIENCE
        elif clock.now() > deadline:
            return
        gate.wait(nobody, bool, clock.now() + _GLANCE)
    deadline = clock.now() + _COURTESY
    while clock.now() < deadline and any(tcb.state not in _DONE for tcb in connections.values()):
        gate.wait(nobody, bool, clock.now() + _GLANCE)


class _Nobody:
    """An endpoint at which nothing ever happens."""

    waiters = readiness = None
