"""IPv4 header (RFC 791 3.1).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------+-------+---------------+-------------------------------+
    |version|  IHL  |      TOS      |         total length          |
    +-------+-------+---------------+-----+-------------------------+
    |        identification         |0 D M|     fragment offset     |
    +---------------+---------------+-----+-------------------------+
    |      TTL      |   protocol    |        header checksum        |
    +---------------+---------------+-------------------------------+
    |                            source                             |
    +---------------------------------------------------------------+
    |                          destination                          |
    +---------------------------------------------------------------+
    |                    options, 0 to 40 bytes                     |
    +---------------------------------------------------------------+

IHL counts 32-bit words and the fragment offset 8-byte units on the wire; both are bytes here. A super-segment that is
still to be cut may be longer than the total length can say: then 0 stands there, for "as long as the frame" (Linux's
BIG TCP). It never gets onto a wire.
"""

from struct import Struct
from typing import NamedTuple

from tipy.address import ANY, format_ip
from tipy.checksum import checksum as internet_checksum
from tipy.errors import PacketError

STRUCT = Struct("!BBHHHBBH4s4s")
HEADER_LENGTH = 20
MAX_PACKET = 65535         # what a 16-bit total length can say
DF = 0x4000
MF = 0x2000
PROTOCOL_ICMP = 1
PROTOCOL_IGMP = 2
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_NAMES = {PROTOCOL_ICMP: "ICMP", PROTOCOL_IGMP: "IGMP", PROTOCOL_TCP: "TCP", PROTOCOL_UDP: "UDP"}


class IPv4Header(NamedTuple):
    """Lengths and offset in bytes; src and dst 4 bytes each; options as they stand on the wire."""
    header_length: int = HEADER_LENGTH
    tos: int = 0
    total_length: int = HEADER_LENGTH
    id: int = 0
    df: bool = False
    mf: bool = False
    offset: int = 0
    ttl: int = 64
    protocol: int = 0
    checksum: int = 0
    src: bytes = ANY
    dst: bytes = ANY
    options: bytes = b""

    @classmethod
    def unpack(cls, frame, start: int, end: int, quoted: bool = False) -> "IPv4Header":
        """Header at frame[start:end]; PacketError "short", "version", "header_length" or "truncated".

        The checksum is not verified (residue over the header does that). `quoted`: the packet is cut, as
        inside an ICMP error, so its total length is not held against what is there.
        """
        if start < 0 or not start + HEADER_LENGTH <= end <= len(frame):
            raise PacketError("short")
        version, tos, total, id, flags, ttl, protocol, checksum, src, dst = STRUCT.unpack_from(frame, start)
        header_length = (version & 15) << 2
        if not total and end - start > MAX_PACKET:
            total = end - start
        if version >> 4 != 4:
            raise PacketError("version")
        if header_length < HEADER_LENGTH or start + header_length > end:
            raise PacketError("header_length")
        if not quoted and not header_length <= total <= end - start:
            raise PacketError("truncated")
        options = bytes(frame[start + HEADER_LENGTH:start + header_length]) if header_length > 20 else b""
        return cls(header_length, tos, total, id, flags & DF != 0, flags & MF != 0, (flags & 0x1FFF) << 3,
                   ttl, protocol, checksum, src, dst, options)

    def pack(self) -> bytes:
        """Header bytes: options padded to 32 bits with zeros, header length and checksum computed."""
        options = self.options + bytes(-len(self.options) % 4)
        flags = (DF if self.df else 0) | (MF if self.mf else 0) | self.offset >> 3
        version = 4 << 4 | HEADER_LENGTH + len(options) >> 2
        total = self.total_length if self.total_length <= MAX_PACKET else 0
        head = STRUCT.pack(version, self.tos, total, self.id, flags, self.ttl, self.protocol, 0,
                           self.src, self.dst) + options
        return head[:10] + internet_checksum(head).to_bytes(2, "big") + head[12:]

    @property
    def is_fragment(self) -> bool:
        """Only a part of a datagram: more follow, or it is not the first."""
        return self.mf or self.offset > 0

    def __str__(self) -> str:
        text = (f"{format_ip(self.src)} > {format_ip(self.dst)} "
                f"{PROTOCOL_NAMES.get(self.protocol, f'protocol {self.protocol}')}"
                f" length {self.total_length - self.header_length} ttl {self.ttl}")
        if self.is_fragment:
            text += f" fragment {self.id} at {self.offset}{'+' if self.mf else ''}"
        return text
