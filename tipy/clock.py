"""Time, and how a thread waits for it.

A stack is handed a clock; nothing below the edge knows another time. `RealClock` is the machine's
monotonic clock. `ManualClock` stands still until somebody moves it:

* stepped (the default): `advance(seconds)` runs what falls due, in order. A call that must block waits in
  its thread until another thread delivers a frame or advances the clock. In the thread that made the clock
  (and so drives it) nobody could end the wait: it raises at once.
* auto: a blocking call itself jumps from deadline to deadline until its condition holds. If nothing is left
  that could happen, RuntimeError says who waits for what. Several threads take turns, so that the same program
  does the same at the same times, always: turns.py has the rules.

The gate (gate.py) does the waiting; a clock only says how one blocked thread spends its time (`block`).
"""

import threading
import time

from tipy import signals
from tipy.turns import TurnLock, Turns, just_do

_NEVER = float("inf")
# Seconds that the main thread sleeps at most before Python looks for signals: one that comes between the last look and
# the sleep (on builds without the GIL a lock spins there, for up to milliseconds) would wait for the sleep's end.
_GLANCE = 1.0
_STEPPED = "only with auto=True: this clock is moved by advance()"


class _Waiter:
    """A blocked thread. It sleeps on a lock."""

    __slots__ = ("_lock", "woken")

    def __init__(self):
        self._lock = threading.Lock()
        self._lock.acquire()
        self.woken = False

    def release(self):
        """Wake the thread. Idempotent."""
        if not self.woken:
            self.woken = True
            self._lock.release()

    def retire(self):
        """Its thread is awake again."""

    def sleep(self, timeout):
        """Sleep until woken, at most `timeout` seconds."""
        self._lock.acquire(True, timeout)


class RealClock:
    """The machine's monotonic time, in seconds."""

    manual = False
    now = staticmethod(time.monotonic)

    @classmethod
    def wall(cls, moment):
        """Nanoseconds since 1970 at `moment` of this clock."""
        return time.time_ns() - round((cls.now() - moment) * 1e9)

    @staticmethod
    def waiter(gate, deadline):
        """What a blocked thread sleeps on until somebody calls its release(). Called inside `gate`."""
        return _Waiter()

    def block(self, gate, waiter, deadline):
        """Sleep until `waiter` is released or the clock reaches `deadline` (None = no limit), or for no reason."""
        timeout = _GLANCE if threading.get_ident() == signals.main_ident else threading.TIMEOUT_MAX
        if deadline is not None:
            timeout = min(timeout, deadline - self.now())
        if timeout > 0:
            gate.nap(waiter.sleep, timeout)

    @staticmethod
    def lock(gate):
        """A new lock for `gate`, an RLock."""
        return threading.RLock()

    def attach(self, gate):
        """A stack starts to live by this clock."""

    def detach(self, gate):
        """A stack has stopped living by this clock."""


class _VirtualWaiter:
    """A blocked thread in virtual time. It stops counting as waiting the moment it is woken, not when
    the machine gets round to running it: `waiting` is exact for whoever drives the clock. What will wake it
    at its deadline is a timer like any other, set before it counts."""

    __slots__ = ("_clock", "_lock", "_alarm")

    def __init__(self, clock, alarm):
        self._clock = clock
        self._alarm = alarm
        self._lock = threading.Lock()
        self._lock.acquire()
        clock._waiters.add(self)

    @property
    def woken(self):
        return self not in self._clock._waiters

    def release(self):
        """Wake the thread. Idempotent, from whichever thread."""
        try:
            self._clock._waiters.remove(self)      # one step: only one caller gets through
        except KeyError:
            return
        self._lock.release()

    def retire(self):
        """Its thread is awake again: it counts no more, its alarm need not ring. Called inside the gate."""
        self.release()
        if self._alarm is not None:
            self._alarm.end()

    def sleep(self):
        """Sleep until woken."""
        self._lock.acquire()


class ManualClock:
    """Virtual time in seconds, moved by `advance` (or by blocking calls, with auto=True).

    Several stacks may share one clock; their timers then run in one common order.

    With auto=True the threads of a program take turns: one runs, from its first call into a stack until it waits
    there, and time moves only when all of them wait. They may start and join each other, and wait for each other
    with what stands on `threading.Condition`: events, `queue.Queue`, semaphores, futures. For everything else there
    are `sleep` and `wait`, and `event_loop` for asyncio. A thread that stands still elsewhere (a raw lock,
    `queue.SimpleQueue`, `time.sleep`, input) holds up time: after `patience` seconds of real time those who wait
    for their turn get a RuntimeError that says where it stands.
    """

    manual = True
    patience = 20.0

    def __init__(self, start=0.0, auto=False):
        self._now = float(start)
        self._driver = threading.get_ident()
        self._gates = []
        self._waiters = set()
        self._turns = Turns(self) if auto else None

    @property
    def auto(self):
        """True if blocking calls move the time."""
        return self._turns is not None

    @property
    def waiting(self):
        """The number of threads blocked in a stack that lives by this clock."""
        return len(self._waiters)

    @property
    def quiet(self):
        """True if no thread is on its way to sleep, or about to wake another."""
        return all(gate.quiet for gate in list(self._gates))

    def now(self):
        """The current virtual time."""
        return self._now

    @staticmethod
    def wall(moment):
        """See RealClock.wall; this time began in 1970."""
        return round(moment * 1e9)

    def advance(self, seconds):
        """Move time forward, running every timer that falls due, at its own time, in order.

        With auto=True this is `sleep`: other threads of the program have their turns meanwhile.
        """
        if seconds < 0:
            raise ValueError("time only moves forward")
        if self.auto:
            self.sleep(seconds)
            return
        target = self._now + seconds
        while self.move(target):
            pass

    def sleep(self, seconds):
        """time.sleep() in virtual time. For auto=True; otherwise RuntimeError."""
        self._wait(bool, self._now + seconds, f"{seconds} s to pass")

    def wait(self, predicate, timeout=None, what=None):
        """Wait, in virtual time, until predicate() is true or `timeout` seconds have passed (None = no limit). Returns
        whether it was true; once it was, it is not called again.

        For what other threads do outside the stacks; it may have effects: `clock.wait(lambda: lock.acquire(False))`.
        It is called whenever all threads wait, by any of them, and must neither wait nor use a socket. `what` it is
        stands in error messages. For auto=True; otherwise RuntimeError. RuntimeError also if nothing is left that
        could make it true.
        """
        return self._wait(predicate, None if timeout is None else self._now + timeout, what or repr(predicate))

    def _wait(self, happened, deadline, what):
        if not self.auto:
            raise RuntimeError(_STEPPED)
        while True:
            if self._gates:
                gate = self._gates[0]
                happily = gate.shield(self._turns.wait, happened, deadline, what, gate.nap)
            else:
                happily = self._turns.wait(happened, deadline, what, just_do)
            if happily or deadline is not None and self._now >= deadline:
                return happily

    def event_loop(self):
        """A new asyncio event loop that lives by this clock (auto=True): its time() is now(), it waits as a blocking
        call does. `asyncio.Runner(loop_factory=clock.event_loop)`; sockets must be a stack's, see virtual_loop.py."""
        if not self.auto:
            raise RuntimeError(_STEPPED)
        from tipy.virtual_loop import VirtualLoop
        return VirtualLoop(self)

    def next_deadline(self):
        """When the next timer of any stack falls due, or None."""
        due = self._next()
        return None if due is None else due[0]

    def attach(self, gate):
        """A stack starts to live by this clock."""
        if gate not in self._gates:
            self._gates.append(gate)

    def detach(self, gate):
        """A stack has stopped living by this clock."""
        if gate in self._gates:
            self._gates.remove(gate)

    def lock(self, gate):
        """See RealClock.lock."""
        if not self.auto:
            return threading.RLock()
        self._turns.take(None)                         # who makes a stack is in order, too
        return TurnLock(self._turns, gate)

    def waiter(self, gate, deadline):
        """See RealClock.waiter."""
        if self.auto:
            return _VirtualWaiter(self, None)
        if threading.get_ident() == self._driver:
            raise RuntimeError("this call would block for ever: the thread that drives a manual clock "
                               "must not wait on it (block in another thread, or use auto=True)")
        if deadline is None:
            return _VirtualWaiter(self, None)
        alarm = gate.timers.timer(lambda: waiter.release())
        alarm.restart_at(deadline)
        waiter = _VirtualWaiter(self, alarm)
        return waiter

    def block(self, gate, waiter, deadline):
        """See RealClock.block."""
        if self.auto:
            self._turns.wait(lambda: waiter.woken, deadline, None, gate.nap)
        else:
            gate.nap(waiter.sleep)

    def move(self, limit):
        """Run the timers of the next deadline not after `limit` (seconds or infinity); if there is none, it is `limit`
        now, and False is returned. For `Turns`."""
        if self._run_next(limit):
            return True
        if limit < _NEVER:
            self._now = max(self._now, limit)
        return False

    def describe_waits(self):
        """One line for each thread blocked in a stack."""
        return [what for gate in self._gates for what in gate.describe_waits()]

    def _next(self):
        """(deadline, gate) of the timer to run next, or None."""
        due = None
        for gate in list(self._gates):
            with gate:
                deadline = gate.timers.next_deadline()
            if deadline is not None and (due is None or deadline < due[0]):
                due = deadline, gate
        return due

    def _run_next(self, limit):
        """Run the timers of the next deadline not after `limit`; False if there is none."""
        due = self._next()
        if due is None or due[0] > limit:
            return False
        deadline, gate = due
        self._now = max(self._now, deadline)
        with gate:
            gate.timers.expire(self._now)
        return True
