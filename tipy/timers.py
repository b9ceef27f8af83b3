"""The deadlines of one stack: a single heap.

TCP restarts its retransmission timer with every acknowledgement, thousands of times for each time it
fires. So a Timer is an object that stays in the heap: restarting it *later* only moves its `deadline`
field, and the heap entry is corrected when it comes to the top. Cancelling leaves the entry behind as
well, and so does restarting it *earlier*; the heap is swept whenever it has doubled. A timer that is not
needed again is ended: it forgets what it was to call, so that a two-hour keepalive timer does not keep a
closed connection alive for two hours.

Callbacks run with the stack's gate held, in order of their deadlines.
"""

from heapq import heapify, heappop, heappush

_NEVER = float("inf")
_SWEEP_FROM = 256              # below this many entries a sweep is not worth its while


class Timer:
    """A deadline that can be moved. Made by `Timers.timer` or `Timers.after`, never directly."""

    __slots__ = ("_timers", "_fn", "deadline", "_entry")

    def __init__(self, timers, fn):
        self._timers = timers
        self._fn = fn
        self.deadline = None           # absolute seconds, None = not armed
        self._entry = None             # the heap's entry (deadline, serial, self) that counts

    @property
    def armed(self):
        """True while the timer is going to fire."""
        return self.deadline is not None

    def restart(self, delay):
        """Fire `delay` seconds from now, whatever was set before."""
        self.restart_at(self._timers.clock.now() + delay)

    def restart_at(self, deadline):
        """Fire at the absolute time `deadline`, whatever was set before."""
        self.deadline = deadline
        entry = self._entry
        if entry is None or deadline < entry[0]:
            self._timers._push(self, deadline)

    def cancel(self):
        """Do not fire. Idempotent."""
        self.deadline = None

    def end(self):
        """Do not fire, now or ever: let go of what was to be called. Idempotent."""
        self.deadline = self._fn = None


class Timers:
    """All timers of a stack.

    alarm, wake: a thread that sleeps until `alarm` is woken by `wake()` when an earlier deadline is set;
    `alarm` is minus infinity while nobody sleeps. `on_error(exception)` is told of what a callback raised,
    so that the others still run; None lets it through.
    """

    def __init__(self, clock):
        self.clock = clock
        self._heap = []                # (deadline, serial, timer); dead unless it is an armed timer's _entry
        self._serial = 0
        self._sweep_at = _SWEEP_FROM   # entries
        self.alarm = -_NEVER
        self.wake = None
        self.on_error = None

    def __len__(self):
        """The number of armed timers."""
        return len(self._live())

    def timer(self, fn):
        """An unarmed timer that will call fn()."""
        return Timer(self, fn)

    def after(self, delay, fn):
        """An armed timer: fn() is called `delay` seconds from now."""
        timer = Timer(self, fn)
        timer.restart(delay)
        return timer

    def next_deadline(self):
        """Absolute time of the next timer to fire, or None."""
        heap = self._heap
        while heap:
            entry = heap[0]
            timer = entry[2]
            if timer._entry is not entry:
                heappop(heap)
            elif timer.deadline == entry[0]:
                return timer.deadline
            else:
                self._settle(timer)
        return None

    def expire(self, now):
        """Call every function that is due at `now`, earliest first. Returns when to come again, or None: that may be
        earlier than the next deadline, as a timer that is started and cancelled all the time stays where it is."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            deadline = self.next_deadline()
            if deadline is None or deadline > now:
                break
            timer = heappop(heap)[2]
            timer._entry = timer.deadline = None
            try:
                timer._fn()
            except Exception as error:
                if self.on_error is None:
                    raise
                self.on_error(error)
        return heap[0][0] if heap else None

    def clear(self):
        """Forget every timer (the stack is stopping)."""
        for _, _, timer in self._heap:
            timer.deadline = timer._entry = None
        self._heap.clear()
        self._sweep_at = _SWEEP_FROM

    def _push(self, timer, deadline):
        heap = self._heap
        if len(heap) >= self._sweep_at:
            self._sweep()
        self._serial += 1
        timer._entry = (deadline, self._serial, timer)
        heappush(heap, timer._entry)
        if deadline < self.alarm:
            self.alarm = deadline
            self.wake()

    def _settle(self, timer):
        """The top entry's timer was cancelled or moved: drop the entry, or move it to its place."""
        heappop(self._heap)
        timer._entry = None
        if timer.deadline is not None:
            self._push(timer, timer.deadline)

    def _sweep(self):
        """Drop the dead entries."""
        live = self._live()
        for entry in self._heap:
            timer = entry[2]
            if timer._entry is entry and timer.deadline is None:
                timer._entry = None
        heapify(live)
        self._heap[:] = live
        self._sweep_at = max(2 * len(live), _SWEEP_FROM)

    def _live(self):
        return [entry for entry in self._heap if entry[2]._entry is entry and entry[2].deadline is not None]
