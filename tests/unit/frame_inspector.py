"""Looks at every frame a stack sends: nothing malformed may leave it.

No assert here: `-O` would take it away.
"""

from tipy.checksum import pseudo_header, residue
from tipy.wire.arp import ArpPacket
from tipy.wire.ethernet import TYPE_ARP, TYPE_IPV4, EthernetHeader
from tipy.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, IPv4Header
from tipy.wire.options import walk
from tipy.wire.tcp import FIN, RST, SYN, TcpHeader
from tipy.wire.udp import UdpHeader

SHORTEST = {2: 4, 3: 3, 4: 2, 5: 10, 8: 10}            # TCP option kind -> whole length (SACK: at least)


def wrong(frame, mac, ip, mtu=1500):
    """What is malformed about a frame sent by the stack with this MAC and IP address; None if nothing is."""
    ethernet = EthernetHeader.unpack(frame, 0, len(frame))
    if ethernet.src != mac or ethernet.src == ethernet.dst or not any(ethernet.dst):
        return f"MAC addresses {ethernet}"
    if len(frame) > 14 + mtu:
        return f"{len(frame)} bytes"
    if ethernet.type == TYPE_ARP:
        packet = ArpPacket.unpack(frame, 14, len(frame))
        return None if packet.sender_mac == mac else f"ARP sender {packet}"
    if ethernet.type != TYPE_IPV4:
        return f"EtherType {ethernet.type:#x}"
    return _wrong_packet(bytes(frame[14:]), ip)


def _wrong_packet(packet, ip):
    header = IPv4Header.unpack(packet, 0, len(packet))
    if header.total_length != len(packet) or residue(packet[:header.header_length]):
        return f"length or checksum of {header}"
    if header.src != ip or header.dst[0] in (0, 127) or header.dst == ip or not header.ttl:
        return f"addresses or TTL of {header}"
    if header.is_fragment:
        return None if header.offset + header.payload_length <= 65535 - 20 else f"fragment {header}"
    body = packet[header.header_length:]
    if header.protocol == PROTOCOL_ICMP:
        return f"ICMP checksum {body[:8].hex()}" if residue(body) else None
    if header.protocol in (PROTOCOL_TCP, PROTOCOL_UDP):
        if (residue(body) + pseudo_header(header.src, header.dst, header.protocol, len(body))) % 0xFFFF:
            return f"transport checksum {body[:20].hex()}"
        return _wrong_segment(body) if header.protocol == PROTOCOL_TCP else _wrong_datagram(body)
    return None


def _wrong_datagram(body):
    header = UdpHeader.unpack(body, 0, len(body))
    if header.length != len(body) or not header.checksum or not header.dst_port:
        return f"datagram {header}"
    return None


def _wrong_segment(body):
    header = TcpHeader.unpack(body, 0, len(body))
    ports = header.flags & RST or header.src_port and header.dst_port      # a RST mirrors what it answers
    if not ports or header.header_length > min(60, len(body)):
        return f"segment {header}"
    if header.flags & SYN and header.flags & (FIN | RST) or header.flags & FIN and header.flags & RST:
        return f"flags of {header}"
    if not header.flags:
        return f"a segment without flags {header}"
    broken = []
    for kind, start, end in walk(body, 20, header.header_length, broken):
        length = end - start + 2
        if kind not in SHORTEST or length < SHORTEST[kind] or kind != 5 and length != SHORTEST[kind]:
            return f"option {kind} of {length} bytes"
        if kind in (2, 3, 4) and not header.flags & SYN:
            return f"option {kind} without SYN"
    return f"broken options {body[20:header.header_length].hex()}" if broken else None
