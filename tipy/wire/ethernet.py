"""Ethernet II (IEEE 802.3 clause 3.2.6, RFC 894).

     0                   1                   2                   3                   4
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7
    +-----------------------------------------------------------------------------------------------+
    |                                        destination MAC                                        |
    +-----------------------------------------------------------------------------------------------+
    |                                          source MAC                                           |
    +-------------------------------+---------------------------------------------------------------+
    |           EtherType           |  payload, padded to 46 bytes on a real wire; FCS never seen   |
    +-------------------------------+---------------------------------------------------------------+

A type below 0x600 is an 802.3 length, not a protocol: such frames have no handler here.
"""

from struct import Struct
from typing import NamedTuple

from tipy.address import format_mac
from tipy.errors import PacketError

STRUCT = Struct("!6s6sH")
HEADER_LENGTH = 14
TYPE_IPV4 = 0x0800
TYPE_ARP = 0x0806
TYPE_IPV6 = 0x86DD


class EthernetHeader(NamedTuple):
    """dst and src are MACs (6 bytes), type is the EtherType."""
    dst: bytes
    src: bytes
    type: int

    @classmethod
    def unpack(cls, frame, start: int, end: int) -> "EthernetHeader":
        """Header at frame[start:end]; PacketError "short" when there is less than 14 bytes."""
        if start < 0 or not start + 14 <= end <= len(frame):
            raise PacketError("short")
        return cls(*STRUCT.unpack_from(frame, start))

    def pack(self) -> bytes:
        """The 14 bytes."""
        return STRUCT.pack(*self)

    def __str__(self) -> str:
        return f"{format_mac(self.src)} > {format_mac(self.dst)} type 0x{self.type:04x}"
