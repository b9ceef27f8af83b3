"""What UDP and raw endpoints have in common: options, a bounded queue of datagrams, errors, groups.

An endpoint is what the socket layer holds. Everything here is called inside the gate and never blocks: the
socket layer waits with `gate.wait(endpoint, lambda: endpoint.readable)`.

The queue is bounded in bytes, each datagram counted with what it costs besides its data: a flood of empty
ones fills it as well. As in Linux a datagram is taken while the queue is not over `rcvbuf`, so that one of
any size fits an empty queue.

Errors: `error` is pending and reported once, by whatever is called next. An endpoint with `recverr`
(IP_RECVERR) also keeps what became of each datagram, in a queue of its own (MSG_ERRQUEUE).
"""

import errno
from collections import deque
from typing import NamedTuple

from tipy.errors import os_error
from tipy.groups import Groups
from tipy.wire.icmp import DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED

DEFAULT_RCVBUF = DEFAULT_SNDBUF = 212992       # Linux's rmem_default, wmem_default
OVERHEAD = 256                                 # bytes a queued datagram costs besides its data

MAX_ERRORS = 64                                # queued for MSG_ERRQUEUE; what comes then is lost

# values of IP_MTU_DISCOVER; the last two never set DF nor believe routers, INTERFACE never fragments either
PMTU_DONT, PMTU_WANT, PMTU_DO, PMTU_PROBE, PMTU_INTERFACE, PMTU_OMIT = range(6)
_BELIEVERS = (PMTU_WANT, PMTU_DO)              # these let a router lower the path MTU
ORIGIN_LOCAL, ORIGIN_ICMP = 1, 2               # values of sock_extended_err.ee_origin


class Datagram(NamedTuple):
    """One datagram that arrived. data: memoryview; remote: (ip, port); local: our ip, or the group's; time:
    when, by the stack's clock, if the endpoint has `timestamps`; port: the one it was sent to; options: the IP
    options of its packet."""
    data: memoryview
    remote: tuple
    local: bytes
    ttl: int
    tos: int
    interface: object
    port: int = 0
    time: float = 0.0
    options: bytes = b""


class SendError(NamedTuple):
    """What became of a datagram that we sent (struct sock_extended_err). remote: where it should have gone;
    offender: the ip that says so, or None; data: the beginning of its payload, as far as it was quoted."""
    errno: int
    origin: int
    type: int
    code: int
    info: int
    offender: bytes | None
    remote: tuple
    data: bytes


class Override(NamedTuple):
    """For one datagram only (ancillary data of sendmsg): None = as the endpoint's options say."""
    ttl: int | None = None
    tos: int | None = None
    source: bytes | None = None
    interface: object = None


_AS_USUAL = Override()


class DatagramEndpoint:
    """Base of UdpEndpoint and RawEndpoint.

    local, remote: (ip, port); remote is None while not connected. Options are plain attributes: ttl (None =
    the stack's), tos, ip_options (from ipv4.options.prepare), broadcast, reuse_address, reuse_port, rcvbuf,
    sndbuf, pmtu_discovery (a PMTU_ value), multicast_ttl, multicast_loop, multicast_interface,
    multicast_all, multicast_address (what IP_MULTICAST_IF was given), device (an interface: only there),
    recverr, timestamps. waiters, readiness: the gate's.
    """

    freebind = False               # any address may be bound
    bind_no_port = False           # bind(ip, 0) leaves the port to the first send

    def __init__(self, gate, counters, name, network, pmtu_discovery):
        self.waiters = None
        self.readiness = None
        self.local = (network.any_address, 0)
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
        self.multicast_address = network.any_address
        self.multicast_all = True
        self.device = None
        self.recverr = False
        self.timestamps = False
        self.error = 0                 # pending errno
        self.errors = None             # deque of SendError, made when first needed
        self.closed = False
        self.read_shut = self.write_shut = False
        self.groups = Groups(network, self)
        self.drops = 0                 # datagrams that found the queue full
        self._gate, self._counters, self._name, self._network = gate, counters, name, network
        self._queue = None             # deque, made when first needed
        self._queued = 0               # what it costs, bytes

    # -- state the socket layer asks for ---------------------------------------------------------------

    @property
    def readable(self):
        """A receive would not block: a datagram, an error, or the end."""
        return bool(self._queue) or self.error != 0 or self.read_shut

    @property
    def waiting(self):
        """A datagram waits."""
        return bool(self._queue)

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

    # -- errors ----------------------------------------------------------------------------------------

    def take_send_error(self):
        """The oldest SendError, or None. With the last one that came by ICMP its errno is forgotten too."""
        if not self.errors:
            return None
        error = self.errors.popleft()
        following = self.errors[0] if self.errors else None
        if following is not None and following.origin == ORIGIN_ICMP:
            self.error = following.errno
        elif error.origin == ORIGIN_ICMP:
            self.error = 0
        if not self.errors:
            self._gate.notify(self)
        return error

    def keep_errors(self, on):
        """IP_RECVERR. Off: those that wait are forgotten."""
        self.recverr = on
        if not on:
            self.errors = None

    def icmp_error(self, error, port, data, told=True):
        """An IcmpError about a datagram to remote `port` with payload `data`. `told`: report its errno if it
        is hard (a connected endpoint); with `recverr` everything is reported."""
        too_big = (error.type, error.code) == (DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED)
        if too_big and self.pmtu_discovery not in _BELIEVERS:
            return
        if self.recverr:
            self._keep(SendError(error.errno, ORIGIN_ICMP, error.type, error.code, error.mtu, error.source,
                                 (error.remote, port), bytes(data)))
            self.fail(error.errno)
        elif told and (error.hard or too_big or error.is_local):
            self.fail(error.errno)

    def _keep(self, error):
        if self.errors is None:
            self.errors = deque()
        if len(self.errors) >= MAX_ERRORS:
            self._counters[self._name + ".drop_errors_full"] += 1
            return
        self.errors.append(error)
        self._gate.notify(self)

    # -- groups ----------------------------------------------------------------------------------------

    def wants_group(self, ip, interface, source):
        """Does a datagram from `source` to this broadcast address or group, which came by `interface`,
        concern us? (IP_MULTICAST_ALL is Linux's: also groups that only others have joined.)"""
        joined = self.groups.wants(ip, interface, source) if self.groups else None
        if joined is not None:
            return joined
        return self.multicast_all or self._network.is_broadcast(ip)

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
        if self.device is not None and self.device is not datagram.interface:
            return False
        if self.timestamps:
            datagram = datagram._replace(time=self._gate.clock.now())
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
        self._queue = self.errors = None
        self._queued = 0
        self.groups.leave_all()
        self._gate.notify(self)
        return True

    # -- helpers of the sending side -------------------------------------------------------------------

    def _check_sending(self):
        if self.error:
            raise os_error(self.take_error())
        if self.write_shut:
            raise os_error(errno.EPIPE)

    def _way(self, ip, override=_AS_USUAL):
        """The Path to `ip`, as options and the override say; EACCES to a broadcast address without leave."""
        network = self._network
        src, interface = override.source or self.local[0], override.interface or self.device
        if network.is_group(src):
            src = None
        if network.is_group(ip) and not network.is_broadcast(ip):
            interface = interface or self.multicast_interface
            if src is None or not any(src):
                src = self.multicast_address
        path = network.path(ip, src, interface)
        if path.broadcast and not self.broadcast:
            raise os_error(errno.EACCES)
        if path.multicast:
            self._decide_loop(path)
        return path

    def _decide_loop(self, path):
        """Does a copy of what is sent to this group come back to ourselves?"""
        path.loops = self.multicast_loop and self._network.is_joined(path.dst, path.interface)

    def _forbids_fragments(self, path, length, port):
        """(df, fits) for a packet of `length` bytes: DONT never sets DF, WANT does while the packet fits, DO
        and PROBE always (then a larger one is EMSGSIZE; PROBE ignores what routers said)."""
        how = self.pmtu_discovery
        mtu = path.link.mtu if how >= PMTU_PROBE else path.mtu
        fits = length <= mtu
        if not fits and how in (PMTU_DO, PMTU_PROBE, PMTU_INTERFACE):
            if self.recverr:
                self._keep(SendError(errno.EMSGSIZE, ORIGIN_LOCAL, 0, 0, mtu, None, (path.dst, port), b""))
            raise os_error(errno.EMSGSIZE)
        return how in (PMTU_WANT, PMTU_DO, PMTU_PROBE) and fits, fits
