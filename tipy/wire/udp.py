"""UDP (RFC 768).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------------------------------+-------------------------------+
    |          source port          |       destination port        |
    +-------------------------------+-------------------------------+
    |            length             |           checksum            |
    +-------------------------------+-------------------------------+

A checksum field of 0 says "none" (IPv4 only); a sum that comes out as 0 is sent as 0xFFFF.
"""

from struct import Struct
from typing import NamedTuple

from tipy.errors import PacketError

STRUCT = Struct("!HHHH")
HEADER_LENGTH = 8


class UdpHeader(NamedTuple):
    """`length` counts header and payload."""
    src_port: int
    dst_port: int
    length: int = HEADER_LENGTH
    checksum: int = 0

    @classmethod
    def unpack(cls, frame, start: int, end: int, quoted: bool = False) -> "UdpHeader":
        """Header at frame[start:end], checksum not verified; PacketError "short" or "length".

        `quoted`: the datagram is cut, as inside an ICMP error, so its length is not looked at.
        """
        if start < 0 or not start + HEADER_LENGTH <= end <= len(frame):
            raise PacketError("short")
        header = cls(*STRUCT.unpack_from(frame, start))
        if not quoted and not HEADER_LENGTH <= header.length <= end - start:
            raise PacketError("length")
        return header

    def pack(self) -> bytes:
        """The 8 bytes, length and checksum as the fields say."""
        return STRUCT.pack(*self)

    def __str__(self) -> str:
        return f"{self.src_port} > {self.dst_port} UDP length {self.length - HEADER_LENGTH}"
