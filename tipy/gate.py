"""The gate: who may be inside the stack, and what must wait until they are out.

One lock per stack. Whoever is inside (`with gate:`) may read and change everything: connections, caches,
timers. The rules that keep one lock sound are kept here and nowhere else:

* Nothing climbs inside a descent. A packet that the stack sends to itself is put into `inside`, a queue that
  the lock holder empties just before it leaves; it never goes straight from `output()` into
  `segment_arrives`. Frames for another stack, and everything that observes (captures, traces, wake-ups of
  blocked threads), go through `after()`: they are called, in order, once the lock is released.
* Finalizers never take the lock. The garbage collector may run one in the middle of a locked region of the
  same thread; they hand their work to `later()`, which only appends to a deque.
* A signal handler never runs inside, nor on the way in or out as long as something is left to do there: see signals.py,
  `shield` and `nap`.
* The gate is not re-entrant. Entering it while inside can only be a hook (a congestion controller, a
  verdict) calling a socket: RuntimeError.
* Waiting is one operation: `wait(endpoint, predicate, deadline)`. How a blocked thread spends the time is the
  clock's affair, or the driver's: it reads the link instead of sleeping (`lead`).
"""

import errno
import threading
from collections import deque
from threading import get_ident

from tipy import signals
from tipy.log import channel

_log = channel("stack")
_LOOK_AGAIN = 0.5              # seconds
STOPPED = "the stack is not running (start it with stack.start())"


class Gate:
    """The lock of one stack and the queues around it.

    clock, timers: those of the stack. `poke`, if set, makes the driver come in soon (for work left by a
    finalizer); `lead`, if set, is its way of waiting, see driver.py. `on_error(exception)` is told of an
    exception that a queued call raised.
    """

    def __init__(self, clock, timers):
        self.clock = clock
        self.timers = timers
        self.inside = deque()              # callables, run by the lock holder before it leaves
        self.lead = None
        self.poke = None
        self.on_error = None
        self.down = None                   # why nothing may wait any more, or None
        self._life = 0                     # grows with each shut(): who waited then must not wait on in the next life
        self._lock = clock.lock(self)      # an RLock only because it knows its owner
        self._after = deque()              # (fn, args), run after the lock is released
        self._flushing = threading.RLock()  # held by the one thread that runs `_after`
        self._emptying = False             # it is doing so
        self._blocked = {}                 # waiter -> (endpoint, thread ident), of threads in wait()
        self.at_the_door = []             # an entry for each thread that found the lock taken
        self._crossing = False             # the main thread is on its way in or out: no signal handlers now

    def __enter__(self):
        if self._lock._is_owned():
            raise RuntimeError("a socket call from inside the stack (from a hook or a congestion controller) "
                               "is not possible: hand the work to another thread")
        if not self._lock.acquire(False):
            self._queue_up()
        return self

    def _queue_up(self):
        """Come in, though the lock is taken."""
        door = self.at_the_door               # a fork makes a new one
        door.append(None)
        try:
            while not self._lock.acquire(timeout=_LOOK_AGAIN):         # in the child of a fork it is another one
                pass
        finally:
            door.pop()

    def __exit__(self, *exc_info):
        if not self.inside and not self._after:        # nearly always: no step at which a handler could do harm
            self._lock.release()
            if signals.deferred:
                signals.deliver()
            return
        main = get_ident() == signals.main_ident
        if main:
            before, self._crossing = self._crossing, True
        try:
            self._leave()
        finally:
            if main:
                self._crossing = before
            if signals.deferred:
                signals.deliver()

    def shield(self, fn, *args):
        """Return fn(*args), a short job outside the lock that no signal handler may tear; they run later."""
        main = get_ident() == signals.main_ident
        if main:
            before, self._crossing = self._crossing, True
        try:
            return fn(*args)
        finally:
            if main:
                self._crossing = before
            if signals.deferred:
                signals.deliver()

    def nap(self, sleep, *args):
        """Return sleep(*args), which may take long: signal handlers may run, and end it by raising.

        Every call that blocks, inside `wait` or `shield`, is made through here.
        """
        if get_ident() != signals.main_ident:
            return sleep(*args)
        before = self._crossing
        try:
            self._crossing = False
            if signals.deferred:
                signals.deliver()
            return sleep(*args)
        finally:
            self._crossing = before

    # -- handing work over ------------------------------------------------------------------------

    def after(self, fn, *args):
        """Call fn(*args) once the lock is released; calls keep their order."""
        self._after.append((fn, args))

    def later(self, fn):
        """Have fn() run inside the gate, soon, without taking the lock here (for finalizers)."""
        self.inside.append(fn)
        if self.poke is not None:
            self.poke()

    def do(self, fn):
        """Run fn() inside the gate: now, or, if this thread is inside already, just before it leaves."""
        if self._lock._is_owned():
            self.inside.append(fn)
        else:
            with self:
                fn()

    def notify(self, endpoint):
        """Something about `endpoint` changed: update its file descriptor, wake who waits for it."""
        if endpoint.readiness is not None:
            endpoint.readiness.update()
        waiters = endpoint.waiters
        if waiters:
            endpoint.waiters = None
            for waiter in waiters:
                self._after.append((waiter.release, ()))

    # -- waiting ----------------------------------------------------------------------------------

    def wait(self, endpoint, predicate, deadline=None, owner=None):
        """Give up the lock until predicate() is true, or the clock reaches `deadline` (absolute seconds).

        Called inside; returns inside, with what predicate() says now. `owner`, for whom this waits, may be closed: that
        counts as well. Raises OSError(ENETDOWN) if the stack stops meanwhile. A signal handler that raises ends the
        wait with its exception.
        """
        lead, leading, life = self.lead, False, self._life
        try:
            while True:
                if self.down is not None or life != self._life:    # first, since stopping fulfils many a predicate
                    raise OSError(errno.ENETDOWN, self.down or STOPPED)
                if owner is not None and owner.closed or predicate():
                    return True
                if deadline is not None and self.clock.now() >= deadline:
                    return False
                if leading or lead is not None and lead.begin():
                    leading = True
                    lead.turn(endpoint, deadline)
                else:
                    self._sleep(endpoint, deadline)
        finally:
            if leading:
                lead.end()

    def pass_by(self):
        """Called inside by who has been here for long: see to what has arrived meanwhile, if that is anybody's business."""
        if self.lead is not None:
            self.lead.pass_by()

    def _sleep(self, endpoint, deadline):
        """Leave, sleep until `endpoint` has changed or `deadline` has come, and come back in."""
        waiter = self.clock.waiter(self, deadline)
        try:
            self.rest(endpoint, waiter, self.clock.block, self, waiter, deadline)
        finally:
            waiter.retire()

    def rest(self, endpoint, waiter, spend, *args):
        """Leave, call spend(*args) and come back in. waiter.release() is called as soon as `endpoint` changes."""
        ident = get_ident()
        main = ident == signals.main_ident
        self._blocked[waiter] = endpoint, ident
        if endpoint.waiters is None:
            endpoint.waiters = [waiter]
        else:
            endpoint.waiters.append(waiter)
        if main:
            before, self._crossing = self._crossing, True
        try:
            self._leave()
            spend(*args)
        finally:
            if not self._lock.acquire(False):
                self._queue_up()
            if main:
                self._crossing = before
            self._blocked.pop(waiter, None)            # a fork has emptied it
            waiters = endpoint.waiters
            if waiters == [waiter]:
                endpoint.waiters = None
            elif waiters and waiter in waiters:
                waiters.remove(waiter)

    def shut(self, reason):
        """Nothing may wait here any more: whoever does wakes with ENETDOWN and `reason`."""
        self.down = reason
        self._life += 1
        for waiter, (endpoint, _) in self._blocked.items():
            if endpoint.waiters and waiter in endpoint.waiters:
                endpoint.waiters.remove(waiter)
                self._after.append((waiter.release, ()))

    def reopen(self):
        """Undo `shut`: the stack starts (again)."""
        self.down = None

    def abandon(self, reason):
        """In the child of a fork: fresh locks; the old ones may be held by threads that are not there."""
        inside, self.down = self._lock._is_owned(), reason
        flushing = self._flushing._is_owned()
        self._lock, self._flushing = self.clock.lock(self), threading.RLock()
        if inside:                         # it has forked in here, and will leave
            self._lock.acquire()
        if flushing:
            self._flushing.acquire()
        self._emptying = False
        self.at_the_door = []
        self.inside.clear()
        self._after.clear()
        self._blocked.clear()
        self.poke = None
        self._crossing = False

    @property
    def crowded(self):
        """True if whoever is inside should leave soon: others want to come in, or work waits for that."""
        return bool(self.at_the_door or self._after or self.inside or signals.deferred)

    def step_aside(self):
        """The calling thread is about to run a signal handler: it must not be the one who reads the link."""
        if self.lead is not None:
            self.lead.step_aside()

    def busy_here(self):
        """True if the calling thread, the main one, must not be torn away by a signal handler now."""
        return self._crossing or self._lock._is_owned() or self._flushing._is_owned()

    def held(self):
        """True if the calling thread is inside."""
        return self._lock._is_owned()

    @property
    def quiet(self):
        """True if nothing is left that some thread has to do outside the lock."""
        return not self._after and not self._emptying

    def describe_waits(self):
        """One readable line for each blocked thread."""
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        return [f"{names.get(ident, ident)} waits for {endpoint!r}"
                for endpoint, ident in list(self._blocked.values())]

    # -- leaving ----------------------------------------------------------------------------------

    def _leave(self):
        try:
            if self.inside:
                self._drain()
        finally:
            self._lock.release()
        if self._after:
            self._flush()

    def _drain(self):
        inside = self.inside
        while inside:
            try:
                inside.popleft()()
            except Exception as error:     # one packet's failure must not take the others with it
                self._report(error)

    def _flush(self):
        """Run what was left for after. One thread does, so that frames keep their order; another that
        comes meanwhile leaves its share to it, and looks again once it has let go."""
        escaped = None                     # SystemExit and the like
        while self._after:
            if self._flushing._is_owned() or not self._flushing.acquire(False):
                break
            try:
                self._emptying = True
                after = self._after
                while after:
                    fn, args = after.popleft()
                    try:
                        fn(*args)
                    except Exception as error:
                        self._report(error)
                    except BaseException as error:
                        escaped = error
            finally:
                self._emptying = False
                self._flushing.release()
        if escaped is not None:
            raise escaped

    def _report(self, error):
        if self.on_error is not None:
            self.on_error(error)
        elif __debug__ and _log.on:
            _log("an exception was contained: %r", error)
