"""The driver: who reads the link and keeps the timers, in real time. The only file that starts threads.

By default its own thread does: it sleeps until the link has frames, a timer falls due or somebody pokes it, and then
serves the stack (a batch of frames, the timers that are due) with the gate taken once.

Handing a frame over to a thread that waits for it costs 20 us, as much as a whole round trip of the kernel. So an
application thread that would otherwise sleep *leads* (`begin`, `turn`, `end`, called by Gate.wait): it polls the link
and serves the stack itself until what it waits for has happened. One thread leads at a time. Meanwhile the driver's
thread stands back (if both polled, both would wake for each frame), and it comes back by itself about a millisecond
after the leader has left (fuse.py): a program that receives in a loop leads again and again, and must not pay for a
wake-up each time.

Waking a CPU that sleeps costs as much again. So a leader whose last wait was short asks the link again and again for a
moment before it goes to sleep. It stays inside the gate for that, which saves it a tenth of a round trip; another
thread that wants to come in meanwhile has to be woken at the door, and waits for some 30 us.
"""

import os
import select
import threading
from threading import get_ident
from time import monotonic, sleep

from tipy.fuse import fuse

_LONGEST_SLEEP = 60.0          # seconds; nothing depends on it
_SPIN = 80e-6                  # how long a leader asks before it sleeps
_SHORT = 2 * _SPIN             # a wait that makes it ask next time
_POLITE = 200e-6               # how long a leader that comes back lets others go first
_PATIENCE = 5.0                # seconds that stop() gives the thread, and the leader, to come to an end
_NEVER = float("inf")
_yield = getattr(os, "sched_yield", int)


class _Bell:
    """Wakes a thread out of poll(). Ringing takes no lock: finalizers and other threads do it."""

    def __init__(self):
        if hasattr(os, "eventfd"):
            self._read_end = self._write_end = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read_end, self._write_end = os.pipe()
            os.set_blocking(self._read_end, False)
            os.set_blocking(self._write_end, False)
        self._rung = False
        self.poll = select.poll()
        self.poll.register(self._read_end, select.POLLIN)

    def ring(self, write=os.write):
        """Have whoever polls here look round."""
        if not self._rung:
            self._rung = True
            try:                                       # not os.write: `os` is gone when finalizers run at the very end
                write(self._write_end, b"\1\0\0\0\0\0\0\0")
            except OSError:                            # full: it will wake; closed: nobody polls any more
                pass

    release = ring                                     # as the waiter of a thread that leads

    def wait(self, milliseconds):
        """Sleep until rung, the link is readable, or time is up."""
        self._heed(not self._rung and self.poll.poll(milliseconds))

    def ask(self, gate, until):
        """Look again and again, without sleeping, inside the gate: True if something has happened, False once the time
        `until` has come or others need the gate."""
        poll = self.poll.poll
        while not gate.crowded:
            ready = poll(0)
            if ready:
                if ready[0][0] == self._read_end or self._rung:
                    self._heed(ready)
                return True
            if monotonic() > until:
                break
            _yield()                                   # perhaps who shall answer wants this very CPU
        return False

    def _heed(self, ready):
        """What poll() has said: if it was the bell, that is over."""
        if self._rung or ready and ready[0][0] == self._read_end:     # its write may come after our last read
            self._rung = False
            try:
                os.read(self._read_end, 512)
            except OSError:
                pass

    def close(self):
        """Release the descriptors."""
        self._rung = True                              # no late ring shall write to another's descriptor
        for fd in {self._read_end, self._write_end}:
            os.close(fd)


class _PlainBell:
    """The bell of a system without poll(), Windows: links there have no descriptor to be watched."""

    def __init__(self):
        self._rung = False
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self):
        """As above; releasing a lock is not taking one."""
        if not self._rung:
            self._rung = True
            try:
                self._silence.release()
            except RuntimeError:                       # nobody has noticed the last ring yet
                pass

    release = ring

    def wait(self, milliseconds):
        """Sleep until rung, or time is up."""
        self._silence.acquire(timeout=milliseconds / 1000)
        self._rung = False

    def close(self):
        """Nothing to release."""


class Driver:
    """Runs one stack in real time. `stack`: gate, timers, clock, link, serve(), link_failed(error)."""

    def __init__(self, stack):
        self._stack = stack
        self._running = False
        bell = _Bell if hasattr(select, "poll") else _PlainBell
        self._bell = bell()                            # of the driver's own thread
        self._leader_bell = bell()
        self._leader = None                            # ident of the thread that leads
        self._holder = None                            # the same, also while it has stepped aside, until end() is through
        self._fuse = fuse()                            # put off by every leader that leaves
        self._aside = False                            # the thread stands back
        self._more = False                             # the leader has reason to look again at once
        self._spin = 0.0                               # seconds for which a leader asks before it sleeps
        self._link_fd = None
        self._close_later = False
        self._watched = ()                             # callables, see watch()
        self._thread = threading.Thread(target=self._run, name=f"tipy {stack.name}", daemon=True)

    @property
    def ident(self):
        """The thread's."""
        return self._thread.ident

    def start(self):
        """Start the thread."""
        stack = self._stack
        stack.timers.wake = stack.gate.poke = self.poke
        if stack.link is not None and stack.link.fileno() is not None:
            self._link_fd = stack.link.fileno()
            self._bell.poll.register(self._link_fd, select.POLLIN)
            self._leader_bell.poll.register(self._link_fd, select.POLLIN)
            stack.gate.lead = self
        self._running = True
        self._thread.start()

    def stop(self):
        """End the thread and wait for it. Not to be called inside the gate."""
        self._running = False
        self._fuse.burn_down()
        self._bell.ring()
        self._leader_bell.ring()
        try:
            if threading.current_thread() is not self._thread:
                self._thread.join(_PATIENCE)           # longer only if a callback of the user's holds it up
        finally:
            self._let_go()
            until = monotonic() + _PATIENCE
            while self._holder not in (None, get_ident()) and monotonic() < until:
                sleep(0.001)
            if self._holder is None:
                self._close()
            else:                                      # a callback or signal handler of the leader's, see end()
                self._close_later = True

    def forget(self):
        """In the child of a fork: the thread is not there; only its descriptors are left to close."""
        self._running = False
        self._let_go()
        self._close()

    def _let_go(self):
        """Nothing of the stack leads here any more: this object, and what it watches, can go."""
        stack = self._stack
        stack.gate.lead = None
        stack.timers.alarm = -_NEVER
        stack.timers.wake = stack.gate.poke = None
        self._watched = ()

    def _close(self):
        self._fuse.close()
        self._bell.close()
        self._leader_bell.close()

    def watch(self, fd, look):
        """Call look(), inside the gate, soon after `fd` has become readable (and whenever the stack is served)."""
        self._watched += (look,)
        for bell in (self._bell, self._leader_bell):
            bell.poll.register(fd, select.POLLIN)
        self.poke()

    def poke(self):
        """Have whoever serves the stack look round soon. Takes no lock."""
        if self._leader is not None:
            self._leader_bell.ring()
        else:
            self._bell.ring()

    # -- the driver's thread ----------------------------------------------------------------------

    def _run(self):
        stack, bell = self._stack, self._bell
        timeout = 0
        while self._running:
            if self._leader is not None or self._fuse.burning():
                self._stand_back()
                timeout = 0
                continue
            if timeout:
                bell.wait(timeout)
                if self._leader is not None:           # it has rung to have this thread stand back
                    continue
            with stack.gate:
                more = self._serve()
            timeout = 0 if more else self._until_alarm()

    def _serve(self):
        """Serve the stack once, inside the gate. True if there may well be more."""
        stack = self._stack
        timers = stack.timers
        timers.alarm = -_NEVER
        try:
            more = stack.serve()
        except OSError as error:
            more = False
            self._unplug()
            stack.gate.after(stack.link_failed, error)
        for look in self._watched:
            look()
        deadline = timers.expire(stack.clock.now())
        if self._running:                              # else nobody will come: it has been stopped in here, or forked
            timers.alarm = deadline if deadline is not None else _NEVER
        return more

    def _until_alarm(self):
        """Milliseconds to the next deadline. None falls earlier than `timers.alarm` says, or it would have rung."""
        left = self._stack.timers.alarm - self._stack.clock.now()
        if left <= 0:
            return 0
        return (left if left < _LONGEST_SLEEP else _LONGEST_SLEEP) * 1000

    def _unplug(self):
        """The link is dead: stop polling it."""
        if self._link_fd is not None:
            for bell in (self._bell, self._leader_bell):
                bell.poll.unregister(self._link_fd)
            self._link_fd = None

    def _stand_back(self):
        """Sleep until no thread has led for about a millisecond."""
        self._aside = True                             # before looking, as begin() looks after it has become the leader
        while self._running and (self._leader is not None or self._fuse.burning()):
            self._fuse.wait()
        self._aside = False

    # -- leading, all of it inside the gate -------------------------------------------------------

    def begin(self):
        """Have the calling thread lead from now on, until end(). False if somebody else does, if there is no link, or if
        the driver has stopped."""
        if not self._running or self._link_fd is None:
            return False
        if self._holder is not None:
            self.step_aside()                          # a callback or a signal handler of the leader's own, perhaps
            return False
        self._holder = self._leader = get_ident()
        self._more = False
        if not self._aside:
            self._bell.ring()                          # the thread is polling: let it stand back
        return True

    def turn(self, endpoint, deadline):
        """Wait until the link is readable, a timer falls due, `endpoint` has changed or the clock reaches `deadline`; then
        serve the stack. The gate is left meanwhile, but not if something happens at once."""
        if self._leader is None:                       # after step_aside()
            self._leader = self._holder
        bell, gate, before = self._leader_bell, self._stack.gate, monotonic()
        if self._more or not (self._spin and bell.ask(gate, before + self._spin)):
            timeout = 0 if self._more else self._until_alarm()
            if deadline is not None:
                timeout = max(min(timeout, (deadline - self._stack.clock.now()) * 1000), 0)
            gate.rest(endpoint, bell, self._sleep, timeout)
            self._spin = _SPIN if monotonic() - before < _SHORT else 0.0
        self._more = self._running and self._serve()

    def _sleep(self, timeout):
        """The leader's, outside the gate. Where there is always something to read it would be back each time before those
        are in who have been woken at the door: they go first."""
        gate = self._stack.gate
        gate.nap(self._leader_bell.wait, timeout)
        until = monotonic() + _POLITE
        while gate.at_the_door and monotonic() < until:
            sleep(0)                                   # lets other threads run

    def pass_by(self):
        """Serve the stack once, without waiting. A thread that writes without pause is inside most of the time: if it takes
        the ACKs with it, the driver's thread need not come in, lock by lock, for each of them."""
        if self.begin():
            try:
                self._serve()
            finally:
                self.end()

    def step_aside(self):
        """If the calling thread leads: let the driver's thread serve the stack until the next turn."""
        if self._leader == get_ident():
            self._leader = None
            self._fuse.burn_down()

    def end(self):
        """The calling thread does not lead any more."""
        self._leader = None                            # first: a fuse that ends before finds nobody leading
        self._fuse.put_off(monotonic())
        self._holder = None                            # last: stop() may close the fuse now
        if self._close_later:
            self._close()
