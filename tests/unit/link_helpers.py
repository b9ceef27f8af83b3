"""What the tests of links share: frames, a reader of frames, the least of a stack, a link that is read.

No assert here: `-O` would take it away.
"""

import random

from tipy.checksum import checksum, pseudo_header, residue
from tipy.clock import ManualClock
from tipy.gate import Gate
from tipy.link.base import Link
from tipy.timers import Timers
from tipy.wire.ethernet import EthernetHeader
from tipy.wire.ipv4 import IPv4Header
from tipy.wire.tcp import ACK, TcpHeader
from tipy.wire.udp import UdpHeader

ETHERNET = EthernetHeader(bytes(6), bytes(6), 0x0800).pack()
SRC, DST = b"\x0a\0\0\1", b"\x0a\0\0\2"
OPTIONS = bytes.fromhex("0101080a0000000500000006")


def tcp_frame(payload, partial=True, seq=0xFFFFFF00, id=0xFFFF, flags=ACK, ip_options=b""):
    """An Ethernet frame with timestamps; its TCP checksum holds only the pseudo-header, or is complete."""
    length = 32 + len(payload)
    ip = IPv4Header(total_length=20 + len(ip_options) + length, id=id, df=True, protocol=6, src=SRC, dst=DST,
                    options=ip_options)
    pseudo = pseudo_header(SRC, DST, 6, length)
    tcp = TcpHeader(1000, 80, seq, 7, 32, flags, 500)
    value = pseudo if partial else checksum(tcp.pack() + OPTIONS + payload, pseudo)
    return ETHERNET + ip.pack() + tcp._replace(checksum=value).pack() + OPTIONS + payload


def udp_frame(payload, value=None):
    pseudo = pseudo_header(SRC, DST, 17, 8 + len(payload))
    udp = UdpHeader(1, 2, 8 + len(payload), pseudo if value is None else value)
    ip = IPv4Header(total_length=28 + len(payload), protocol=17, src=SRC, dst=DST)
    return ETHERNET + ip.pack() + udp.pack() + payload


def verified(frame):
    """(IPv4Header, TcpHeader, payload) of a wire frame; AssertionError if a length or checksum is wrong."""
    ip = IPv4Header.unpack(frame, 14, len(frame))
    start = 14 + ip.header_length
    if len(frame) != 14 + ip.total_length:
        raise AssertionError(f"{len(frame)} bytes, but the IP total length is {ip.total_length}")
    if residue(frame[14:start]) != 0:
        raise AssertionError("wrong IP header checksum")
    if (residue(frame[start:]) + pseudo_header(ip.src, ip.dst, 6, len(frame) - start)) % 0xFFFF != 0:
        raise AssertionError("wrong TCP checksum")
    tcp = TcpHeader.unpack(frame, start, len(frame))
    return ip, tcp, frame[start + tcp.header_length:]


class Host:
    """The least a link needs of a stack."""

    def __init__(self):
        self.clock = ManualClock()
        self.timers = Timers(self.clock)
        self.gate = Gate(self.clock, self.timers)
        self.clock.attach(self.gate)
        self.rng = random.Random(1)
        self.received = []

    def receive(self, batch):
        with self.gate:
            self.received += [(bytes(frame), checked, gso) for frame, checked, gso in batch]

    @property
    def frames(self):
        return [frame for frame, _, _ in self.received]


class QueueLink(Link):
    """A link that is read, as a TAP is, with offload."""

    tx_checksum = True
    tso_max = 65000

    def __init__(self):
        self.arriving = []

    def fileno(self):
        return 7

    def receive_batch(self):
        batch, self.arriving = self.arriving[:64], self.arriving[64:]
        return batch

    def send(self, parts, offload=None):
        raise OSError(5, "down")
