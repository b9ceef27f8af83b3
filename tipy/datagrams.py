"""What UDP and raw endpoints have in common: options, a bounded queue of datagrams, a pending error.

An endpoint is what the socket layer holds. Everything here is called inside the gate and never blocks: the
socket layer waits with `gate.wait(endpoint, lambda: endpoint.readable)`.

The queue is bounded in bytes, each datagram counted with what it costs besides its data: a flood of empty
ones fills it as well. As in Linux a datagram is taken while the queue is not over `rcvbuf`, so that one of
any size fits an empty queue.
"""

import errno
from collections import deque
from typing import NamedTuple

from tipy.errors import os_error

DEFAULT_RCVBUF = DEFAULT_SNDBUF = 212992       # Linux's rmem_default, wmem_default
OVERHEAD = 256                                 # bytes a queued datagram costs besides its data

PMTU_DONT, PMTU_WANT, PMTU_DO, PMTU_PROBE = range(4)       # values of IP_MTU_DISCOVER


class Datagram(NamedTuple):
    """One datagram that arrived. data: memoryview; remote: (ip, port); local: our ip, or the group's."""
    data: memoryview
    remote: tuple
    local: bytes
    ttl: int
    tos: int
    interface: object


class DatagramEndpoint:
    """Base of UdpEndpoint and RawEndpoint.

    local, remote: (ip, port); remote is None while not connected. Options are plain attributes: ttl (None =
    the stack's), tos, ip_options (from ipv4.options.prepare), broadcast, reuse_address, reuse_port, rcvbuf,
    sndbuf, pmtu_discovery (a PMTU_ value), multicast_ttl, multicast_loop, multicast_interface,
    multicast_all. waiters, readiness: the gate's.
    """

    def __init__(self, gate, counters, name, any_address, pmtu_discovery):
        self.waiters = None
        self.readiness = None
        self.local = (any_address, 0)
        self.remote = None
        self.ttl = None
        self.tos = 0
        self.ip_options = b""
        self.broadcast = False
        self.reuse_address = self.reuse_port = False
        self.rcvbuf, self.sndbuf = DEFAULT_RCVBUF, DEFAULT_SNDBUF
        self.pmtu_discovery = PMTU_WANT if pmtu_discovery else PMTU_DONT
        self.multicast_ttl = 1
        self.multicast_loop = True
        self.multicast_interface = None
        self.multicast_all = True
        self.error = 0                 # pending errno
        self.closed = False
        self.read_shut = self.write_shut = False
        self.groups = {}               # multicast groups joined, -> interface
        self.drops = 0                 # datagrams that found the queue full
        self._gate, self._counters, self._name = gate, counters, name
        self._queue = None             # deque, made when first needed
        self._queued = 0               # what it costs, bytes

    # -- state the socket layer asks for ---------------------------------------------------------------

    @property
    def readable(self):
        """A receive would not block: a datagram, an error, or the end."""
        return bool(self._queue) or self.error != 0 or self.read_shut

    @property
    def writable(self):
        """A send would not block: always, nothing is queued on the way down."""
        return True

    @property
    def eof(self):
        """Nothing more will be received."""
        return self.read_shut and not self._queue

    @property
    def unread(self):
        """Bytes of data in the first datagram (FIONREAD), 0 if there is none."""
        return len(self._queue[0].data) if self._queue else 0

    def take_error(self):
        """The pending errno, which is then forgotten (SO_ERROR); 0 if there is none."""
        error, self.error = self.error, 0
        return error

    # -- receiving -------------------------------------------------------------------------------------

    def receive(self, peek=False):
        """The next Datagram, or None; raises the pending error first. peek: leave it in the queue."""
        if self.error:
            raise os_error(self.take_error())
        if not self._queue:
            return None
        if peek:
            return self._queue[0]
        datagram = self._queue.popleft()
        self._queued -= len(datagram.data) + OVERHEAD
        if not self._queue and self.readiness is not None:
            self._gate.notify(self)        # no longer readable
        return datagram

    def deliver(self, datagram):
        """A datagram arrived for this endpoint; False if it had to be dropped."""
        if self.read_shut:
            return False
        if self._queued > self.rcvbuf:
            self.drops += 1
            self._counters[self._name + ".drop_full"] += 1
            return False
        if self._queue is None:
            self._queue = deque()
        self._queue.append(datagram)
        self._queued += len(datagram.data) + OVERHEAD
        self._gate.notify(self)
        return True

    def fail(self, error_number):
        """Something went wrong: the next call reports it."""
        self.error = error_number
        self._gate.notify(self)

    # -- ending ----------------------------------------------------------------------------------------

    def shutdown(self, how):
        """0: no more receiving, 1: no more sending, 2: both."""
        if how in (0, 2):
            self.read_shut = True
        if how in (1, 2):
            self.write_shut = True
        self._gate.notify(self)

    def _close(self):
        """Common part of close(); True the first time."""
        if self.closed:
            return False
        self.closed = self.read_shut = self.write_shut = True
        self._queue = None
        self._queued = 0
        self._gate.notify(self)
        return True

    # -- helpers of the sending side -------------------------------------------------------------------

    def _check_sending(self):
        if self.error:
            raise os_error(self.take_error())
        if self.write_shut:
            raise os_error(errno.EPIPE)

    def _forbids_fragments(self, path, length):
        """(df, fits) for a packet of `length` bytes: DONT never sets DF, WANT does while the packet fits, DO
        and PROBE always (then a larger one is EMSGSIZE; PROBE ignores what routers said)."""
        mtu = path.interface.mtu if self.pmtu_discovery == PMTU_PROBE else path.mtu
        fits = length <= mtu
        if self.pmtu_discovery >= PMTU_DO and not fits:
            raise os_error(errno.EMSGSIZE)
        return self.pmtu_discovery != PMTU_DONT and fits, fits
