"""SOCK_DGRAM and SOCK_RAW: one call, one datagram, on a UdpEndpoint or a RawEndpoint.

The endpoint queues and sends; here are the blocking calls and the cut of a datagram that is longer than the
caller's buffer; what sendmsg and recvmsg carry besides the data is in ancillary.py. A raw socket hands out
whole IP packets, header included, and names its peer with port 0, as the kernel does.
"""

import errno

from tipy.address import ANY
from tipy.errors import os_error
from tipy.sockets import ancillary
from tipy.sockets.base import FAULT, HANGUP, NOW, PEER_DONE, READABLE, WRITABLE, Channel, destination
from tipy.sockets.constants import (MSG_DONTWAIT, MSG_ERRQUEUE, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC, SHUT_RD,
                                    SHUT_RDWR, SHUT_WR, SOCK_RAW)

_MOST = 65535              # bytes held back for one datagram; what is really too large the endpoint says


class _Cork:
    """A datagram in pieces (MSG_MORE): its data so far, where the first piece was to go, how. sticky: UDP_CORK is
    on, so that it waits until that is switched off."""

    __slots__ = ("data", "remote", "override", "sticky")

    def __init__(self, sticky):
        self.data, self.remote, self.override, self.sticky = None, None, None, sticky


class Datagram(Channel):
    """A UDP or raw socket; `type` and `proto` tell which."""

    __slots__ = ("type", "proto", "shut", "corked")

    def __init__(self, stack, type, proto):
        with stack.gate:
            if stack.gate.down is not None:
                raise os_error(errno.ENETDOWN, stack.gate.down)
            endpoint = stack.raw.endpoint(proto) if type == SOCK_RAW else stack.udp.endpoint()
        super().__init__(stack, endpoint)
        self.type = type
        self.proto = proto
        self.shut = 0                      # bit 1: reading, bit 2: writing
        self.corked = None                 # a _Cork

    @property
    def options(self):
        """Where the options live: the endpoint itself."""
        return self.endpoint

    def options_changed(self):
        """Tell the endpoint, which remembers its port and the way it sent last."""
        self.endpoint.options_changed()

    # -- names ------------------------------------------------------------------------------------

    def bind(self, ip, port):
        """Take a local address; port 0 lets the stack choose."""
        with self.gate:
            self.alive()
            self.endpoint.bind(ip, port)

    def connect(self, ip, port, deadline=None):
        """Fix the peer: send() goes there, only its datagrams arrive, ICMP errors are reported."""
        with self.gate:
            self.alive()
            self.endpoint.connect(destination(ip), port)

    def local(self):
        """(ip, port) of this end."""
        with self.gate:
            self.alive()
            return self.endpoint.local

    def remote(self):
        """(ip, port) of the peer, or ENOTCONN."""
        with self.gate:
            self.alive()
            if self.endpoint.remote is None:
                raise os_error(errno.ENOTCONN)
            return self.endpoint.remote

    # -- sending and receiving --------------------------------------------------------------------

    def send(self, view, flags, deadline, everything=False, remote=None, told=()):
        """Send `view` as one datagram, to `remote` or the connected peer; returns its length. told: ancillary
        data, [(level, type, view)]."""
        if flags & MSG_OOB:
            raise os_error(errno.EOPNOTSUPP)
        # the packet may wait, the caller's buffer may change
        data = view if type(view.obj) is bytes else memoryview(bytes(view))
        with self.gate:
            self.alive()
            endpoint = self.endpoint
            if remote is not None:
                if remote[0] == ANY:
                    remote = destination(ANY), remote[1]
                if not endpoint.broadcast and self.stack.ipv4.is_broadcast(remote[0]):
                    raise os_error(errno.EACCES)       # before anything that may be wrong besides
            override = ancillary.parse(told, self.stack.ipv4) if told else None
            try:
                if flags & MSG_MORE or self.corked is not None:
                    self._send_piece(data, remote, override, flags & MSG_MORE)
                    return len(data)
                return endpoint.send(data, remote, override)
            finally:
                self.settle()              # a pending error, if there was one, has been told

    def _send_piece(self, data, remote, override, more):
        """A piece of a datagram; the whole is sent with the first one that has no MSG_MORE, to where the first
        piece was to go."""
        if getattr(self.endpoint, "hdrincl", False):           # whole packets are never in pieces
            self.endpoint.send(data, remote, override)
            return
        cork = self.corked or _Cork(False)
        if cork.data is None:
            if remote is None and self.endpoint.remote is None:
                raise os_error(errno.EDESTADDRREQ)
            cork.data, cork.remote, cork.override = bytearray(), remote, override
        cork.data += data
        self.corked = cork
        if len(cork.data) > _MOST:
            self.cork(cork.sticky)
            raise os_error(errno.EMSGSIZE)
        if not more and not cork.sticky:
            self.uncork()

    def cork(self, sticky):
        """Begin anew; sticky (UDP_CORK): what is sent is held back until uncork()."""
        self.corked = _Cork(True) if sticky else None

    def uncork(self):
        """Send what was held back, if anything was."""
        cork, self.corked = self.corked, None
        if cork is not None and cork.data is not None:
            self.endpoint.send(memoryview(bytes(cork.data)), cork.remote, cork.override)

    def take(self, flags, deadline):
        """The next datagram; None once reading was shut down."""
        if flags & MSG_OOB:
            raise os_error(errno.EOPNOTSUPP)
        with self.gate:
            self.alive()
            endpoint = self.endpoint
            if not endpoint.readable:
                if flags & MSG_DONTWAIT and deadline is None:
                    deadline = NOW
                self.wait(lambda: endpoint.readable, deadline, self.rcvtimeo)
            try:
                return endpoint.receive(flags & MSG_PEEK != 0)
            finally:
                self.settle()

    def receive(self, size, flags, deadline):
        """Up to `size` bytes of the next datagram; the rest of it is lost."""
        return self.receive_message(size, flags, deadline, False)[0]

    def receive_into(self, view, flags, deadline):
        """The same into a buffer; returns the count (the full length with MSG_TRUNC)."""
        return self.receive_from_into(view, flags, deadline)[0]

    def receive_from_into(self, view, flags, deadline):
        """(count, remote) of the next datagram."""
        if flags & MSG_ERRQUEUE:
            data, _, _, remote = self.receive_error(len(view))
            view[:len(data)] = data
            return len(data), remote
        datagram = self.take(flags, deadline)
        if datagram is None:
            return 0, None
        data = datagram.data
        count = min(len(data), len(view))
        view[:count] = data[:count]
        return len(data) if flags & MSG_TRUNC else count, datagram.remote

    def receive_message(self, size, flags, deadline, wanted=True):
        """As recvmsg sees it: (data, [(level, type, value)], flags, remote); wanted: the ancillary data."""
        if flags & MSG_ERRQUEUE:
            return self.receive_error(size)
        datagram = self.take(flags, deadline)
        if datagram is None:
            return b"", [], 0, None
        data = datagram.data
        cut = len(data) > size
        result = bytes(data[:size]) if cut else bytes(data)
        if cut and flags & MSG_TRUNC:
            result += bytes(len(data) - size)      # the kernel tells the length; the bytes are gone
        told = []
        if wanted and (self.flags or self.endpoint.timestamps):
            told = ancillary.about(datagram, self.flags or {}, self.gate.clock, self.stack.ipv4)
        return result, told, MSG_TRUNC if cut else 0, datagram.remote

    def receive_error(self, size):
        """MSG_ERRQUEUE: what became of a datagram of ours; EAGAIN if nothing is known, it never waits."""
        with self.gate:
            self.alive()
            error = self.endpoint.take_send_error()
            self.settle()
        if error is None:
            raise os_error(errno.EAGAIN)
        flags = MSG_ERRQUEUE | (MSG_TRUNC if len(error.data) > size else 0)
        return error.data[:size], [ancillary.about_error(error)], flags, error.remote

    # -- ending -----------------------------------------------------------------------------------

    def shutdown(self, how):
        """As Linux: ENOTCONN without a peer, but what is blocked in recv wakes all the same."""
        with self.gate:
            self.alive()
            if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
                raise os_error(errno.EINVAL)
            self.shut |= how + 1
            connected = self.endpoint.remote is not None
            self.endpoint.shutdown(how)
            if not connected:
                raise os_error(errno.ENOTCONN)

    def drop(self, linger=True):
        """See Channel.drop."""
        self.endpoint.close()

    # -- state ------------------------------------------------------------------------------------

    def take_error(self):
        """SO_ERROR: the pending errno, once."""
        try:
            return self.endpoint.take_error()
        finally:
            self.settle()

    def poll(self):
        """See Channel.poll."""
        bits = WRITABLE
        if self.endpoint.waiting:
            bits |= READABLE
        if self.endpoint.error or self.endpoint.errors:
            bits |= FAULT
        if self.shut & 1:
            bits |= PEER_DONE | READABLE
        if self.shut == 3:
            bits |= HANGUP
        return bits

    def unread(self):
        """Unknown for datagrams: every change counts as an arrival."""
        return None
