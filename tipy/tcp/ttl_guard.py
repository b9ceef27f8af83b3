"""IP_MINTTL, the generalized TTL security mechanism (RFC 5082): a segment that has come further than the socket
allows is dropped before anybody looks at it. Neighbours that agree on TTL 255 cannot be attacked from afar.

The guard stands before TCP only once a socket has asked for it: whoever does not, pays nothing.
"""

from struct import Struct

from tipy.tcp.transmit import PROTOCOL

_PORTS = Struct("!HH")


class TtlGuard:
    """Takes the place of `tcp` at its IPv4."""

    def __init__(self, tcp):
        self._tcp = tcp
        self.icmp_error = tcp.icmp_error

    def input(self, packet):
        """A packet with protocol 6 arrived."""
        tcp = self._tcp
        if packet.end - packet.start >= _PORTS.size:
            src_port, dst_port = _PORTS.unpack_from(packet.frame, packet.start)
            remote = packet.src, src_port
            holder = tcp.connections.get((packet.dst, dst_port, *remote)) or tcp.find_listener(
                packet.dst, dst_port, remote, packet.interface)
            if holder is not None and packet.ttl < holder.options.min_ttl:
                tcp.counters["tcp.drop_min_ttl"] += 1
                return
        tcp.input(packet)


def watch(tcp):
    """From now on look at the TTL of what arrives for `tcp`."""
    tcp.ipv4.register(PROTOCOL, TtlGuard(tcp))
