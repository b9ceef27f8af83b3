"""A sleep whose end others keep putting off.

The driver's thread stands back while threads of the application lead (see driver.py), and has to be back about a
millisecond after the last of them has left. If it looked every millisecond, each look would cost the leader 50 us: the
two would pass the interpreter's lock to each other, through the scheduler. So whoever leaves puts the end of the sleep
off, and the sleeper sleeps on. That takes a timer which the kernel keeps, timerfd_create(2): Python has it from 3.13 on
only, so it is called by ctypes. Where there is none, `Tick` looks every millisecond.
"""

import os
import threading
from time import monotonic

_LENGTH = 0.0015               # seconds that a fuse burns
_RENEW = 0.0005                # it is put off once less than that is left
_MONOTONIC = 1                 # CLOCK_MONOTONIC


class Tick:
    """The fuse of systems without timerfd."""

    def __init__(self):
        self._until = 0.0
        self._bell = threading.Lock()
        self._bell.acquire()

    def burning(self):
        """True if its end has been put off, and has not come yet."""
        return monotonic() < self._until

    def put_off(self, now):
        """Burn for about a millisecond from `now` on. One thread at a time. If another calls burn_down meanwhile, the
        fuse may seem to burn without end: the sleeper then needs another reason to stop (the driver has been stopped).
        """
        self._until = now + _LENGTH

    def burn_down(self):
        """End the sleep."""
        self._until = 0.0
        try:
            self._bell.release()
        except RuntimeError:                           # it rings already
            pass

    def wait(self):
        """Sleep until it has burnt down, or for no reason."""
        self._bell.acquire(timeout=_LENGTH)

    def close(self):
        """Nothing to release."""


class Fuse(Tick):
    """The same on a timer of the kernel's."""

    def __init__(self):
        """OSError, AttributeError or TypeError if this system has no such timers."""
        import ctypes
        super().__init__()
        library = ctypes.PyDLL(None, use_errno=True)   # keeps the interpreter's lock: setting a timer is short
        self._set = library.timerfd_settime
        self._set.argtypes = ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
        setting = ctypes.c_long * 4                    # struct itimerspec: interval, then value; seconds, nanoseconds
        self._length, self._now = setting(0, 0, 0, int(_LENGTH * 1e9)), setting(0, 0, 0, 1)
        self._fd = library.timerfd_create(_MONOTONIC, os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def put_off(self, now):
        """As above; costs nothing while a third of it is left."""
        if self._until - now < _RENEW:
            self._until = now + _LENGTH
            self._set(self._fd, 0, self._length, None)

    def burn_down(self):
        """As above."""
        self._until = 0.0
        self._set(self._fd, 0, self._now, None)

    def wait(self):
        """As above. If nobody puts it off it never burns: sleep until somebody does, and then as long as it burns."""
        try:
            os.read(self._fd, 8)
        except OSError:                                # closed
            pass

    def close(self):
        """Release the timer; nobody may be waiting any more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def fuse():
    """The best there is here."""
    try:
        return Fuse()
    except (OSError, AttributeError, TypeError, ImportError):
        return Tick()
