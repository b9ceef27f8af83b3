"""ICMPv4: ping, and what routers and hosts say about packets that did not arrive (RFC 792, RFC 1122 3.2.2).

Three jobs:

* answer echo requests (not those to a group: the smurf attack);
* send errors about packets that arrived, for IP and the transports: `error`. Rules against amplification:
  never about an ICMP error, a group, a source that cannot answer, or a fragment other than the first; at most
  576 bytes; a token bucket of 50/s for all and of 1/s after a burst of 6 for each destination (Linux's
  figures);
* turn errors that arrive into IcmpError for the transport whose packet they quote. ICMP only checks that the
  quoted packet could be ours; whether it was really sent is for the transport to say, before it believes.

Redirect, source quench, timestamp and mask messages are counted and ignored (RFC 6633, RFC 1122 3.2.2).
Echo replies are for raw sockets, which get every ICMP packet before this layer sees it.
"""

import errno

from tipy.address import format_ip, is_multicast
from tipy.checksum import checksum, residue, update
from tipy.errors import PacketError
from tipy.ipv4 import IcmpError
from tipy.ipv4.options import echo as echo_options
from tipy.log import channel
from tipy.wire import icmp as wire
from tipy.wire.ipv4 import PROTOCOL_ICMP, IPv4Header

MAX_ERROR = 576                    # bytes of IP packet
RATE, BURST = 50.0, 50.0           # errors per second in all
PEER_RATE, PEER_BURST = 1.0, 6.0   # and to one destination
PEERS_CAP = 256                    # destinations remembered, the oldest goes first
INTERNETWORK_CONTROL = 0xC0        # precedence of errors (RFC 1812 4.3.2.5, as Linux)

_ENONET = getattr(errno, "ENONET", 64)
_UNREACHABLE = (                   # code -> (errno, hard): Linux's icmp_err_convert
    (errno.ENETUNREACH, False), (errno.EHOSTUNREACH, False), (errno.ENOPROTOOPT, True),
    (errno.ECONNREFUSED, True), (errno.EMSGSIZE, False), (errno.EOPNOTSUPP, False),
    (errno.ENETUNREACH, True), (errno.EHOSTDOWN, True), (_ENONET, True), (errno.ENETUNREACH, True),
    (errno.EHOSTUNREACH, True), (errno.ENETUNREACH, False), (errno.EHOSTUNREACH, False),
    (errno.EHOSTUNREACH, True), (errno.EHOSTUNREACH, True), (errno.EHOSTUNREACH, True))
_PLATEAUS = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)      # RFC 1191 7.1
_INFORMATIONAL = frozenset({wire.ECHO_REPLY, wire.ECHO, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43})

_log = channel("icmp")


class TokenBucket:
    """At most `burst` at once and `rate` per second in the long run."""

    __slots__ = ("rate", "burst", "tokens", "time")

    def __init__(self, rate, burst, now):
        self.rate, self.burst = rate, burst
        self.tokens, self.time = burst, now

    def take(self, now):
        """True if one more is allowed now."""
        self.tokens = min(self.burst, self.tokens + (now - self.time) * self.rate)
        self.time = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Icmp:
    """The ICMPv4 of a stack. Registers itself with `ipv4`, for its protocol and for errors to be sent."""

    def __init__(self, ipv4, clock, counters, settings):
        self._ipv4, self._clock, self._counters, self._settings = ipv4, clock, counters, settings
        self._bucket = TokenBucket(RATE, BURST, clock.now())
        self._peers = {}                       # ip -> TokenBucket
        self._actions = {wire.ECHO: self._echo,
                         wire.DESTINATION_UNREACHABLE: self._unreachable,
                         wire.TIME_EXCEEDED: self._time_exceeded,
                         wire.PARAMETER_PROBLEM: self._parameter_problem}
        ipv4.register(PROTOCOL_ICMP, self)
        ipv4.report = self.error

    # -- what arrives ----------------------------------------------------------------------------------

    def input(self, packet):
        """An ICMP packet arrived; packet.start is its header."""
        counters = self._counters
        frame, start, end = packet.frame, packet.start, packet.end
        try:
            header = wire.IcmpHeader.unpack(frame, start, end)
        except PacketError as error:
            counters["icmp.drop_" + error.reason] += 1
            return
        if not packet.checked and residue(frame[start:end]):
            counters["icmp.drop_checksum"] += 1
            return
        counters["icmp.in"] += 1
        action = self._actions.get(header.type)
        if action is None:
            counters["icmp.ignored"] += 1
            return
        action(packet, header)

    def icmp_error(self, error):
        """An error about an ICMP packet of ours: raw sockets hear of it, nobody else sent one."""

    def _echo(self, packet, header):
        """RFC 1122 3.2.2.6: the same data back, from the address that was asked."""
        if packet.to_group:
            self._counters["icmp.drop_echo_group"] += 1
            return
        data = packet.frame[packet.start + wire.HEADER_LENGTH:packet.end]
        field = update(header.checksum, wire.ECHO << 8 | header.code, wire.ECHO_REPLY << 8)
        if field == 0 and not header.rest and not any(data):
            field = 0xFFFF                               # nothing but zeros: only this zero verifies
        reply = wire.IcmpHeader(wire.ECHO_REPLY, 0, field, header.rest)
        options = b""
        if packet.options:
            options = echo_options(bytes(packet.options), packet.dst, int(self._clock.now() * 1000))
        self._counters["icmp.echo_replies"] += 1
        self._send(packet.src, packet.dst, [reply.pack(), data], packet.tos, options)

    def _unreachable(self, packet, header):
        if header.code >= len(_UNREACHABLE):
            self._counters["icmp.ignored"] += 1
            return
        self._deliver(packet, header, *_UNREACHABLE[header.code])

    def _time_exceeded(self, packet, header):
        self._deliver(packet, header, errno.EHOSTUNREACH, False)

    def _parameter_problem(self, packet, header):
        self._deliver(packet, header, errno.EPROTO, True)

    def _deliver(self, packet, header, error_number, hard):
        """Find the packet of ours that is quoted, and tell its transport."""
        frame, start = packet.frame, packet.start + wire.HEADER_LENGTH
        try:
            quoted = IPv4Header.unpack(frame, start, packet.end, quoted=True)
            transport = frame[start + quoted.header_length:packet.end]
            if quoted.offset or len(transport) < 8:
                raise PacketError("quoted_short")
            if packet.to_group or not self._ipv4.is_local(quoted.src) or is_multicast(quoted.dst):
                raise PacketError("quoted_stranger")
        except PacketError as error:
            self._counters["icmp.drop_" + error.reason] += 1
            return
        mtu = 0
        if (header.type, header.code) == (wire.DESTINATION_UNREACHABLE, wire.FRAGMENTATION_NEEDED):
            mtu = header.mtu or _next_plateau(quoted.total_length)
        self._counters["icmp.errors_in"] += 1
        if __debug__ and _log.on:
            _log("%s from %s about %s", header, format_ip(packet.src), quoted)
        self._ipv4.deliver_error(IcmpError(error_number, hard, header.type, header.code, mtu, quoted.src,
                                           quoted.dst, quoted.protocol, transport, packet.src))

    # -- what we say -----------------------------------------------------------------------------------

    def error(self, packet, type, code, rest=0):
        """Send an ICMP error about a packet that arrived, if the rules allow it; True if it was sent."""
        if not self._may_complain(packet):
            self._counters["icmp.errors_suppressed"] += 1
            return False
        if not packet.interface.loopback and not self._within_limits(packet.src):
            self._counters["icmp.errors_limited"] += 1
            return False
        end = min(packet.end, packet.network + MAX_ERROR - self._ipv4.header_length - wire.HEADER_LENGTH)
        quote = packet.frame[packet.network:end]
        head = wire.IcmpHeader(type, code, 0, rest).pack()
        field = checksum(quote, residue(head))
        self._counters["icmp.errors_out"] += 1
        self._send(packet.src, packet.dst, [head[:2] + field.to_bytes(2, "big") + head[4:], quote],
                   INTERNETWORK_CONTROL)
        return True

    def _may_complain(self, packet):
        """RFC 1122 3.2.2: not about ICMP errors, groups, and later fragments."""
        frame = packet.frame
        if packet.to_group or packet.link_group:
            return False
        if int.from_bytes(frame[packet.network + 6:packet.network + 8], "big") & 0x1FFF:
            return False
        if packet.protocol == PROTOCOL_ICMP:
            return packet.start < packet.end and frame[packet.start] in _INFORMATIONAL
        return True

    def _within_limits(self, peer):
        now = self._clock.now()
        bucket = self._peers.get(peer)
        if bucket is None:
            if len(self._peers) >= PEERS_CAP:
                del self._peers[next(iter(self._peers))]
            bucket = self._peers[peer] = TokenBucket(PEER_RATE, PEER_BURST, now)
        return bucket.take(now) and self._bucket.take(now)

    def _send(self, dst, src, parts, tos, options=b""):
        """Send from the address that was asked, if the way back exists."""
        try:
            path = self._ipv4.path(dst, src)
            self._ipv4.send(path, PROTOCOL_ICMP, parts, tos=tos, options=options)
        except OSError:
            self._counters["icmp.drop_no_route"] += 1


def _next_plateau(length):
    """What an old router that does not tell its MTU may mean, for a packet of `length` (RFC 1191 5)."""
    return next((plateau for plateau in _PLATEAUS if plateau < length), _PLATEAUS[-1])
