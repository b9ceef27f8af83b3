"""ARP for IPv4 over Ethernet (RFC 826; probes and announcements RFC 5227).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------------------------------+-------------------------------+
    |        hardware type 1        |     protocol type 0x0800      |
    +---------------+---------------+-------------------------------+
    |      6        |      4        |           operation           |
    +---------------+---------------+-------------------------------+
    |                          sender MAC                           |
    |                               +-------------------------------+
    |                               |           sender IP           |
    +-------------------------------+-------------------------------+
    |                               |           target MAC          |
    +-------------------------------+                               |
    |                                                               |
    +---------------------------------------------------------------+
    |                           target IP                           |
    +---------------------------------------------------------------+
"""

from struct import Struct
from typing import NamedTuple

from tipy.address import ANY, format_ip, format_mac
from tipy.errors import PacketError

STRUCT = Struct("!HHBBH6s4s6s4s")
LENGTH = 28
REQUEST = 1
REPLY = 2


class ArpPacket(NamedTuple):
    """One request or reply; MACs are 6 bytes, IPs 4."""
    operation: int
    sender_mac: bytes
    sender_ip: bytes
    target_mac: bytes
    target_ip: bytes

    @classmethod
    def unpack(cls, frame, start: int, end: int) -> "ArpPacket":
        """Packet at frame[start:end], padding after it ignored; PacketError "short" or "format"."""
        if start < 0 or not start + LENGTH <= end <= len(frame):
            raise PacketError("short")
        hardware, protocol, mac_length, ip_length, *fields = STRUCT.unpack_from(frame, start)
        if (hardware, protocol, mac_length, ip_length) != (1, 0x0800, 6, 4):
            raise PacketError("format")
        return cls(*fields)

    def pack(self) -> bytes:
        """The 28 bytes."""
        return STRUCT.pack(1, 0x0800, 6, 4, *self)

    @property
    def is_probe(self) -> bool:
        """RFC 5227 1.1: a request that has no sender address yet."""
        return self.operation == REQUEST and self.sender_ip == ANY

    def __str__(self) -> str:
        sender, target = format_ip(self.sender_ip), format_ip(self.target_ip)
        mac = format_mac(self.sender_mac)
        if self.is_probe:
            return f"ARP probe for {target} by {mac}"
        if self.sender_ip == self.target_ip:
            return f"ARP announce {sender} is-at {mac}"
        if self.operation == REQUEST:
            return f"ARP who-has {target} tell {sender}"
        if self.operation == REPLY:
            return f"ARP {sender} is-at {mac}"
        return f"ARP operation {self.operation} {sender} > {target}"
