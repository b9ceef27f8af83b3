"""A host without a stack: sends hand-made frames on a link and keeps what arrives."""

import select
from collections import Counter

from tipy.address import BROADCAST_MAC, parse_ip, parse_mac
from tipy.checksum import checksum, pseudo_header, residue_of
from tipy.clock import RealClock
from tipy.gate import Gate
from tipy.lab import STACK
from tipy.link import Offload
from tipy.timers import Timers
from tipy.wire.arp import REPLY, REQUEST, ArpPacket
from tipy.wire.ethernet import TYPE_ARP, TYPE_IPV4, EthernetHeader
from tipy.wire.ipv4 import PROTOCOL_TCP, PROTOCOL_UDP, IPv4Header

MAC = parse_mac("02:00:00:00:02:00")
IP = parse_ip(STACK)
_PATIENCE = 5000                      # milliseconds for something that comes at once


class BareHost:
    """Stands where the stack will: `link` is attached to it."""

    def __init__(self, link, mac=MAC):
        self.mac = mac
        self.counters = Counter()
        self.failures = []
        self.gate = Gate(clock := RealClock(), Timers(clock))
        self.link = link
        link.open()
        link.attach(self)

    def link_failed(self, error):
        self.failures.append(error)

    def send_arp(self, operation, target_mac, target_ip):
        packet = ArpPacket(operation, self.mac, IP, target_mac, target_ip)
        to = BROADCAST_MAC if operation == REQUEST else target_mac
        with self.gate:
            self.link.send([EthernetHeader(to, self.mac, TYPE_ARP).pack() + packet.pack()])

    def send_ipv4(self, to_mac, src, dst, protocol, parts, offload=None):
        length = 20 + sum(map(len, parts))
        header = IPv4Header(total_length=length, protocol=protocol, src=src, dst=dst).pack()
        with self.gate:
            self.link.send([EthernetHeader(to_mac, self.mac, TYPE_IPV4).pack() + header, *parts], offload)

    def until(self, wanted):
        """The first arriving (frame, checked, gso_size) for which wanted(frame); ARP requests are
        answered."""
        poll = select.poll()
        poll.register(self.link.fileno(), select.POLLIN)
        while poll.poll(_PATIENCE):
            for entry in self.link.receive_batch():
                self._answer(bytes(entry[0]))
                if wanted(bytes(entry[0])):
                    return entry
        raise AssertionError("the frame waited for did not come")

    def mac_of(self, ip):
        """Ask by ARP."""
        self.send_arp(REQUEST, bytes(6), ip)
        replies = (arp_of(bytes(self.until(lambda frame: arp_of(frame, REPLY))[0]), REPLY) for _ in range(10))
        return next(reply.sender_mac for reply in replies if reply.sender_ip == ip)

    def _answer(self, frame):
        request = arp_of(frame, REQUEST)
        if request is not None and request.target_ip == IP:
            self.send_arp(REPLY, request.sender_mac, request.sender_ip)


def arp_of(frame, operation):
    """The ArpPacket of that operation in the frame, or None."""
    if frame[12:14] != TYPE_ARP.to_bytes(2, "big"):
        return None
    packet = ArpPacket.unpack(frame, 14, len(frame))
    return packet if packet.operation == operation else None


def udp_payload(frame):
    """The payload of a UDP datagram that is one frame, or None."""
    if frame[12:14] != b"\x08\x00" or frame[23] != PROTOCOL_UDP:
        return None
    return frame[42:38 + int.from_bytes(frame[38:40], "big")]


def transport_checksum_is_good(frame):
    """Verify the TCP or UDP checksum of an unfragmented packet."""
    header = IPv4Header.unpack(frame, 14, len(frame))
    length = header.total_length - header.header_length
    start = 14 + header.header_length
    pseudo = pseudo_header(header.src, header.dst, header.protocol, length)
    return residue_of([pseudo.to_bytes(4, "big"), frame[start:start + length]]) == 0


def udp_datagram(src, dst, src_port, dst_port, payload, partial):
    """(parts, offload): complete, or with its checksum left open."""
    length = 8 + len(payload)
    pseudo = pseudo_header(src, dst, PROTOCOL_UDP, length)
    head = b"".join(number.to_bytes(2, "big") for number in (src_port, dst_port, length))
    if partial:
        return [head + (pseudo % 0xFFFF).to_bytes(2, "big"), payload], Offload(0, 20, 6, 28)
    return [head + checksum(head + payload, pseudo).to_bytes(2, "big"), payload], None


def tcp_super_segment(src, dst, payload, mss):
    """(parts, offload) of one segment to be cut into pieces of `mss` bytes."""
    pseudo = pseudo_header(src, dst, PROTOCOL_TCP, 20 + len(payload))
    head = bytes.fromhex("1388 1770 fffffc18 00000001 50 18 ffff") + (pseudo % 0xFFFF).to_bytes(2, "big")
    return [head + bytes(2), payload], Offload(mss, 20, 16, 40)
