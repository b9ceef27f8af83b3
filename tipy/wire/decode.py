"""A whole frame as one readable line: who, what, flags, sequence numbers, length.

    192.168.2.199:40312 > 192.168.2.200:8000 S. seq 0 ack 1 win 64240 <mss 1460,sackOK>

`describe` is stateless and shows sequence numbers as on the wire. A `Describer` remembers where each
connection started and shows them relative to that, as people count. Neither ever raises: what cannot be read
is said to be malformed, behind everything that could be read.
"""

from tipy.address import format_ip
from tipy.errors import PacketError
from tipy.wire import dns, icmp, igmp, tcp
from tipy.wire.arp import ArpPacket
from tipy.wire.ethernet import HEADER_LENGTH, TYPE_ARP, TYPE_IPV4, EthernetHeader
from tipy.wire.icmp import IcmpHeader
from tipy.wire.ipv4 import (PROTOCOL_ICMP, PROTOCOL_IGMP, PROTOCOL_NAMES, PROTOCOL_TCP, PROTOCOL_UDP,
                            IPv4Header)
from tipy.wire.tcp import TcpHeader, parse_options
from tipy.wire.udp import HEADER_LENGTH as UDP_HEADER_LENGTH
from tipy.wire.udp import UdpHeader

_DNS_PORT = 53


def describe(frame) -> str:
    """One line about an Ethernet frame (bytes-like), sequence numbers as on the wire."""
    return Describer(connections=0).describe(frame)


class Describer:
    """Describes the frames of a conversation one after the other, with relative sequence numbers.

    At most `connections` directions of connections are remembered, the oldest is forgotten first; with 0
    sequence numbers are absolute.
    """

    def __init__(self, connections: int = 1024):
        self._limit = connections
        self._start = {}                   # (src, src port, dst, dst port) -> its first sequence number

    def describe(self, frame) -> str:
        """One line about an Ethernet frame (bytes-like)."""
        view = memoryview(frame)
        try:
            header = EthernetHeader.unpack(view, 0, len(view))
        except PacketError:
            return f"malformed frame length {len(view)}"
        try:
            if header.type == TYPE_IPV4:
                return self._ipv4(view, HEADER_LENGTH, len(view))
            if header.type == TYPE_ARP:
                return str(ArpPacket.unpack(view, HEADER_LENGTH, len(view)))
        except PacketError as error:
            return f"{header} malformed ({error.reason}) length {len(view)}"
        return f"{header} length {len(view) - HEADER_LENGTH}"

    def _ipv4(self, view, start, end):
        ip = IPv4Header.unpack(view, start, end)
        end = start + ip.total_length
        start += ip.header_length
        if ip.offset:
            return str(ip)
        try:
            if ip.protocol == PROTOCOL_TCP:
                text = self._tcp(ip, view, start, end)
            elif ip.protocol == PROTOCOL_UDP:
                text = self._udp(ip, UdpHeader.unpack(view, start, end, quoted=ip.mf), view, start, end)
            elif ip.protocol == PROTOCOL_ICMP:
                text = f"{format_ip(ip.src)} > {format_ip(ip.dst)} {_icmp(view, start, end)}"
            elif ip.protocol == PROTOCOL_IGMP:
                text = f"{format_ip(ip.src)} > {format_ip(ip.dst)} {igmp.unpack(view, start, end)}"
            else:
                return str(ip)
        except PacketError as error:
            return f"{ip} malformed ({error.reason})"
        return f"{text} fragment {ip.id} at 0+" if ip.mf else text

    def _udp(self, ip, udp, view, start, end):
        text = f"{_ends(ip, udp.src_port, udp.dst_port)} UDP length {udp.length - 8}"
        if _DNS_PORT not in (udp.src_port, udp.dst_port) or ip.mf:
            return text
        try:
            return f"{text} {dns.Message.unpack(view, start + UDP_HEADER_LENGTH, start + udp.length)}"
        except PacketError as error:
            return f"{text} malformed DNS ({error.reason})"

    def _tcp(self, ip, view, start, end):
        header = TcpHeader.unpack(view, start, end)
        options = parse_options(view, start + tcp.HEADER_LENGTH, start + header.header_length)
        length = end - start - header.header_length
        there = (ip.src, header.src_port, ip.dst, header.dst_port)
        back = (ip.dst, header.dst_port, ip.src, header.src_port)
        seq, ack, sack = header.seq, header.ack, options.sack
        if self._limit:
            start_of_seq = self._first(there, seq if header.flags & tcp.SYN else seq - 1,
                                       new=header.flags & tcp.SYN)
            seq = seq - start_of_seq & 0xFFFFFFFF
            if header.flags & tcp.ACK:
                start_of_ack = self._first(back, ack - 1)
                ack = ack - start_of_ack & 0xFFFFFFFF
                sack = tuple((left - start_of_ack & 0xFFFFFFFF, right - start_of_ack & 0xFFFFFFFF)
                             for left, right in sack)
        text = f"{_ends(ip, header.src_port, header.dst_port)} {header.describe(seq, ack)}"
        shown = options._replace(sack=sack)
        return text + (f" {shown}" if str(shown) else "") + (f" length {length}" if length else "")

    def _first(self, key, number, new=False):
        """Where this direction's numbers start: `number`, unless known from before."""
        known = self._start.get(key)
        if known is not None and not new:
            return known
        self._start[key] = number
        if len(self._start) > self._limit:
            del self._start[next(iter(self._start))]
        return number


def _ends(ip, src_port, dst_port):
    return f"{format_ip(ip.src)}:{src_port} > {format_ip(ip.dst)}:{dst_port}"


def _icmp(view, start, end):
    header = IcmpHeader.unpack(view, start, end)
    payload = start + icmp.HEADER_LENGTH
    if not header.is_error:
        return f"{header} length {end - payload}"
    return f"{header} ({_quoted(view, payload, end)})"


def _quoted(view, start, end):
    """The packet an ICMP error is about, as far as it is quoted."""
    try:
        ip = IPv4Header.unpack(view, start, end, quoted=True)
    except PacketError as error:
        return f"malformed ({error.reason})"
    start += ip.header_length
    name = PROTOCOL_NAMES.get(ip.protocol, f"protocol {ip.protocol}")
    if ip.protocol in (PROTOCOL_TCP, PROTOCOL_UDP) and not ip.offset and start + 8 <= end:
        src_port, dst_port, _ = tcp.QUOTED.unpack_from(view, start)
        return f"{_ends(ip, src_port, dst_port)} {name}"
    return f"{format_ip(ip.src)} > {format_ip(ip.dst)} {name}"
