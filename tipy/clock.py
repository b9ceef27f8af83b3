"""Time, and how a thread waits for it.

A stack is handed a clock; nothing below the edge knows another time. `RealClock` is the machine's
monotonic clock. `ManualClock` stands still until somebody moves it:

* stepped (the default): `advance(seconds)` runs what falls due, in order. A call that must block waits in
  its thread until another thread delivers a frame or advances the clock. In the thread that made the clock
  (and so drives it) nobody could end the wait: it raises at once.
* auto: a blocking call itself jumps from deadline to deadline until its condition holds. If nothing is left
  that could happen, RuntimeError says who waits for what.

The gate (gate.py) does the waiting; a clock only says how one blocked thread spends its time (`block`).
"""

import threading
import time


class _Waiter:
    """A blocked thread. It sleeps on a lock, or, if it polls meanwhile (driver.py), is woken by `bell`."""

    __slots__ = ("_lock", "bell", "woken")

    def __init__(self):
        self._lock = threading.Lock()
        self._lock.acquire()
        self.bell = None
        self.woken = False

    def release(self):
        """Wake the thread. Idempotent."""
        if not self.woken:
            self.woken = True
            bell = self.bell
            if bell is not None:
                bell()
            self._lock.release()

    def sleep(self, timeout):
        """Sleep until woken, at most `timeout` seconds (-1 = no limit)."""
        self._lock.acquire(True, timeout)


class RealClock:
    """The machine's monotonic time, in seconds."""

    manual = False
    now = staticmethod(time.monotonic)

    @staticmethod
    def waiter():
        """What a blocked thread sleeps on until somebody calls its release()."""
        return _Waiter()

    def block(self, gate, waiter, deadline):
        """Sleep until `waiter` is released or the clock reaches `deadline` (None = no limit)."""
        if deadline is None:
            waiter.sleep(-1)
        else:
            timeout = deadline - self.now()
            if timeout > 0:
                waiter.sleep(min(timeout, threading.TIMEOUT_MAX))

    def attach(self, gate):
        """A stack starts to live by this clock."""

    def detach(self, gate):
        """A stack has stopped living by this clock."""


class _VirtualWaiter:
    """A blocked thread in virtual time. It stops counting as waiting the moment it is woken, not when
    the machine gets round to running it: `waiting` is exact for whoever drives the clock."""

    __slots__ = ("_clock", "_lock", "woken")

    def __init__(self, clock):
        self._clock = clock
        self._lock = threading.Lock()
        self._lock.acquire()
        self.woken = False

    def release(self):
        if not self.woken:
            self.woken = True
            self._clock._count(-1)
            self._lock.release()

    def acquire(self):
        self._lock.acquire()


class ManualClock:
    """Virtual time in seconds, moved by `advance` (or by blocking calls, with auto=True).

    Several stacks may share one clock; their timers then run in one common order.
    """

    manual = True

    def __init__(self, start=0.0, auto=False):
        self._now = float(start)
        self.auto = auto
        self.waiting = 0               # threads blocked in a stack that lives by this clock
        self._driver = threading.get_ident()
        self._gates = []
        self._counting = threading.Lock()

    def now(self):
        """The current virtual time."""
        return self._now

    def advance(self, seconds):
        """Move time forward, running every timer that falls due, at its own time, in order."""
        if seconds < 0:
            raise ValueError("time only moves forward")
        target = self._now + seconds
        while self._run_next(target):
            pass
        self._now = target

    def next_deadline(self):
        """When the next timer of any stack falls due, or None."""
        deadlines = [d for d in (gate.timers.next_deadline() for gate in self._gates) if d is not None]
        return min(deadlines, default=None)

    def attach(self, gate):
        """A stack starts to live by this clock."""
        if gate not in self._gates:
            self._gates.append(gate)

    def detach(self, gate):
        """A stack has stopped living by this clock."""
        if gate in self._gates:
            self._gates.remove(gate)

    def waiter(self):
        """See RealClock.waiter."""
        if not self.auto and threading.get_ident() == self._driver:
            raise RuntimeError("this call would block for ever: the thread that drives a manual clock "
                               "must not wait on it (block in another thread, or use auto=True)")
        self._count(+1)
        return _VirtualWaiter(self)

    def block(self, gate, waiter, deadline):
        """See RealClock.block."""
        if self.auto:
            self._run_until(waiter, deadline)
            return
        alarm = None
        if deadline is not None:
            with gate:
                alarm = gate.timers.timer(waiter.release)
                alarm.restart_at(deadline)
        try:
            waiter.acquire()
        finally:
            if alarm is not None:
                with gate:
                    alarm.cancel()

    def _run_until(self, waiter, deadline):
        limit = float("inf") if deadline is None else deadline
        while not waiter.woken:
            if not self._run_next(limit):
                if deadline is None:
                    raise RuntimeError("nothing is left that could happen: " + self._who_waits())
                self._now = max(self._now, deadline)
                waiter.release()

    def _run_next(self, limit):
        """Run the timers of the next deadline not after `limit`; False if there is none."""
        due = None
        for gate in self._gates:
            deadline = gate.timers.next_deadline()
            if deadline is not None and deadline <= limit and (due is None or deadline < due[0]):
                due = deadline, gate
        if due is None:
            return False
        deadline, gate = due
        self._now = max(self._now, deadline)
        with gate:
            gate.timers.expire(self._now)
        return True

    def _who_waits(self):
        waits = [what for gate in self._gates for what in gate.describe_waits()]
        return "; ".join(waits) or "no stack is running on this clock"

    def _count(self, change):
        with self._counting:
            self.waiting += change
