"""A TCP segment as a test reads it: numbers relative to both ends' initial sequence numbers, flags as
tcpdump's text.

Relative means: a SYN has number 0, the first byte of data 1. Numbers that lie before the start are negative.
Where an end has not sent its SYN yet its numbers stand as they are on the wire.
"""

from typing import NamedTuple

from tipy.checksum import pseudo_header, residue
from tipy.wire import tcp
from tipy.wire.ipv4 import IPv4Header

FLAG_LETTERS = "FSRP.UEW"


def relative(number, base):
    """A wire number as the signed distance from `base`, or as it is if there is no base (None)."""
    if base is None:
        return number
    return (number - base + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def flag_bits(text):
    """The flags named in a text like "S." as the header's bits; ValueError for an unknown letter."""
    bits = 0
    for letter in text:
        bits |= 1 << FLAG_LETTERS.index(letter)
    return bits


def flag_order(text):
    """The same flags in tcpdump's order, "none" for none."""
    return tcp.flags_text(flag_bits(text))


class Segment(NamedTuple):
    """One segment the stack sent.

    time        seconds of the clock when it was sent
    flags       as tcpdump writes them: "S.", "P.", "FP.", "none"
    seq, ack    relative; ack is 0 without the ACK flag
    payload     bytes
    win         the window field as it stands on the wire
    options     TcpOptions, SACK blocks relative; raw_options the bytes
    urgent, ip  the urgent pointer; the IPv4 header
    """

    time: float
    flags: str
    seq: int
    ack: int
    payload: bytes
    win: int
    options: tcp.TcpOptions
    raw_options: bytes
    urgent: int
    ip: IPv4Header
    wire: tcp.TcpHeader

    @property
    def length(self):
        """Bytes of payload."""
        return len(self.payload)

    @property
    def end(self):
        """The sequence number after this segment, SYN and FIN counted."""
        return self.seq + len(self.payload) + ("S" in self.flags) + ("F" in self.flags)

    def __str__(self):
        text = f"{self.time:10.4f}  {self.flags:3} {self.seq}:{self.seq + self.length}({self.length})"
        if "." in self.flags:
            text += f" ack {self.ack}"
        text += f" win {self.win}"
        if "U" in self.flags:
            text += f" urg {self.urgent}"
        return f"{text} {self.options}".rstrip()


def parse(packet, time, local_iss, remote_iss):
    """The Segment in an IPv4 packet (bytes) sent by the end whose SYN was `local_iss`.

    AssertionError if a checksum is wrong: nothing a stack sends may be.
    """
    header = IPv4Header.unpack(packet, 0, len(packet))
    start, end = header.header_length, header.total_length
    body = packet[start:end]
    if residue(packet[:start]):
        raise AssertionError("the stack sent a wrong IPv4 header checksum")
    if (residue(body) + pseudo_header(header.src, header.dst, 6, len(body))) % 0xFFFF:
        raise AssertionError("the stack sent a wrong TCP checksum")
    wire = tcp.TcpHeader.unpack(packet, start, end)
    raw = body[20:wire.header_length]
    options = tcp.parse_options(raw, 0, len(raw))
    blocks = tuple((relative(left, remote_iss), relative(right, remote_iss)) for left, right in options.sack)
    ack = relative(wire.ack, remote_iss) if wire.flags & tcp.ACK else wire.ack
    return Segment(time, tcp.flags_text(wire.flags), relative(wire.seq, local_iss), ack,
                   body[wire.header_length:], wire.window, options._replace(sack=blocks), raw, wire.urgent,
                   header, wire)


def build(src, dst, header, options=b"", payload=b"", *, tos=0, ttl=64, spoil=False):
    """An IPv4 packet (bytes) with these addresses (bytes), TcpHeader, option bytes and payload.

    Header length and checksums are computed; `spoil` makes the TCP checksum wrong.
    """
    options += bytes(-len(options) % 4)
    header = header._replace(header_length=20 + len(options), checksum=0)
    body = header.pack() + options + payload
    total = pseudo_header(src, dst, 6, len(body)) + residue(body)
    checksum = (-total + (1 if spoil else 0)) % 0xFFFF
    body = body[:16] + checksum.to_bytes(2, "big") + body[18:]
    ip = IPv4Header(20, tos, 20 + len(body), 0, True, False, 0, ttl, 6, 0, src, dst)
    return ip.pack() + body
