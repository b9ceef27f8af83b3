"""What every internet socket has, whatever its transport.

A channel is the shared part of one or more Python socket objects. Its methods take the gate, do their work
and leave; those that may block take a deadline:

    None        wait as long as it takes (SO_RCVTIMEO and SO_SNDTIMEO then count)
    NOW         do not wait: BlockingIOError
    a number    absolute seconds of the stack's clock, then TimeoutError("timed out")

Who keeps a channel open: without a file descriptor exactly one socket object does; with one, the kernel
counts for us, duplicates in other processes included (readiness.py).
"""

import errno

from tipy.address import ANY, LOOPBACK
from tipy.errors import os_error

NOW = float("-inf")

# what poll() reports: the bits of Channel.poll
READABLE = 1
WRITABLE = 2
PEER_DONE = 4              # the peer will send nothing more
HANGUP = 8                 # nor shall we: POLLHUP
BROKEN = 16                # reset or refused: POLLERR
URGENT = 32                # an urgent byte waits: POLLPRI
FAULT = 64                 # an error waits, and the socket lives on: POLLERR alone


class Channel:
    """Base of Stream and Datagram. `family`, `type`, `proto` are what SO_DOMAIN ... report."""

    __slots__ = ("stack", "gate", "endpoint", "readiness", "closed", "attached", "rcvtimeo", "sndtimeo",
                 "flags", "__weakref__")

    type = proto = None

    def __init__(self, stack, endpoint=None):
        self.stack = stack
        self.gate = stack.gate
        self.endpoint = endpoint           # what does the work, and whose waiters and readiness count
        self.readiness = None
        self.closed = False
        self.attached = 0                  # Python socket objects that use this channel
        self.rcvtimeo = self.sndtimeo = 0.0
        self.flags = None                  # options that are only remembered: {(level, name): value}

    # -- for subclasses ---------------------------------------------------------------------------

    def alive(self):
        """Raise unless the channel is open and its stack runs. Called first thing inside the gate."""
        if self.closed:
            raise os_error(errno.EBADF)
        if self.gate.down is not None:
            raise os_error(errno.ENETDOWN, self.gate.down)

    def wait(self, predicate, deadline, patience=0.0):
        """Wait for predicate(); inside the gate. `patience`: seconds of SO_RCVTIMEO or SO_SNDTIMEO."""
        if deadline == NOW:
            raise os_error(errno.EAGAIN)
        limit = deadline
        if deadline is None and patience:
            limit = self.gate.clock.now() + patience
        arrived = self.gate.wait(self.endpoint, predicate, limit, self)
        if self.closed:
            raise os_error(errno.EBADF)
        if not arrived:
            raise TimeoutError("timed out") if deadline is not None else os_error(errno.EAGAIN)

    def settle(self):
        """Bring the file descriptor, if there is one, up to date after a call from the program."""
        if self.readiness is not None:
            self.readiness.update()

    def use(self, endpoint):
        """From now on `endpoint` does the work."""
        if self.endpoint is not None:
            self.endpoint.readiness = None
        self.endpoint = endpoint
        endpoint.readiness = self.readiness

    def poll(self):
        """The state as READABLE | WRITABLE | ... Inside the gate."""
        raise NotImplementedError

    def drop(self, linger=True):
        """Let the endpoint go; inside the gate. May wait only if `linger`."""
        raise NotImplementedError

    # -- the same for all -------------------------------------------------------------------------

    def close(self, linger=True):
        """The last reference is gone. Blocked calls of other threads end with EBADF."""
        with self.gate:
            self._close(linger)

    def discard(self):
        """close() for finalizers: run by whoever is inside the gate next, never waits."""
        self._close(False)

    def _close(self, linger):
        if self.closed:
            return
        self.closed = True
        readiness, self.readiness = self.readiness, None
        if readiness is not None:
            if self.endpoint is not None:
                self.endpoint.readiness = None
            readiness.close()
        if self.endpoint is not None:
            self.gate.notify(self.endpoint)
        self.drop(linger)

    def unsupported(self, *args):
        """EOPNOTSUPP: a call that this type of socket does not have."""
        raise os_error(errno.EOPNOTSUPP)

    listen = accept = unsupported


def destination(ip):
    """Where a packet to `ip` goes: to the unspecified address means to this host."""
    return LOOPBACK if ip == ANY else ip
