"""ICMPv4 (RFC 792, RFC 1122 3.2.2, next-hop MTU RFC 1191).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |     type      |     code      |           checksum            |
    +---------------+---------------+-------------------------------+
    |  "rest": id + sequence | unused + next-hop MTU | pointer ...  |
    +---------------------------------------------------------------+
    |   echo payload, or header and first bytes of the culprit      |
    +---------------------------------------------------------------+
"""

from struct import Struct
from typing import NamedTuple

from tipy.errors import PacketError

STRUCT = Struct("!BBHI")
HEADER_LENGTH = 8

ECHO_REPLY = 0
DESTINATION_UNREACHABLE = 3
SOURCE_QUENCH = 4
REDIRECT = 5
ECHO = 8
TIME_EXCEEDED = 11
PARAMETER_PROBLEM = 12
TIMESTAMP = 13
TIMESTAMP_REPLY = 14
ADDRESS_MASK = 17
ADDRESS_MASK_REPLY = 18

NET_UNREACHABLE = 0                    # codes of DESTINATION_UNREACHABLE
HOST_UNREACHABLE = 1
PROTOCOL_UNREACHABLE = 2
PORT_UNREACHABLE = 3
FRAGMENTATION_NEEDED = 4
SOURCE_ROUTE_FAILED = 5
TTL_EXCEEDED = 0                       # codes of TIME_EXCEEDED
REASSEMBLY_TIME_EXCEEDED = 1

ERRORS = frozenset({DESTINATION_UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM})

_NAMES = {
    ECHO_REPLY: "echo reply", ECHO: "echo request", DESTINATION_UNREACHABLE: "unreachable",
    SOURCE_QUENCH: "source quench", REDIRECT: "redirect", TIME_EXCEEDED: "time exceeded",
    PARAMETER_PROBLEM: "parameter problem", TIMESTAMP: "timestamp request",
    TIMESTAMP_REPLY: "timestamp reply", ADDRESS_MASK: "address mask request",
    ADDRESS_MASK_REPLY: "address mask reply",
}
_CODES = {
    (3, 0): "net unreachable", (3, 1): "host unreachable", (3, 2): "protocol unreachable",
    (3, 3): "port unreachable", (3, 4): "fragmentation needed", (3, 5): "source route failed",
    (11, 0): "TTL exceeded", (11, 1): "reassembly time exceeded",
}


class IcmpHeader(NamedTuple):
    """`rest` is the second 32-bit word as an int; what it means depends on the type."""
    type: int
    code: int
    checksum: int = 0
    rest: int = 0

    @classmethod
    def unpack(cls, frame, start: int, end: int) -> "IcmpHeader":
        """Header at frame[start:end], checksum not verified; PacketError "short"."""
        if start < 0 or not start + HEADER_LENGTH <= end <= len(frame):
            raise PacketError("short")
        return cls(*STRUCT.unpack_from(frame, start))

    def pack(self) -> bytes:
        """The 8 bytes, the checksum as the field says."""
        return STRUCT.pack(*self)

    @classmethod
    def echo(cls, type: int, id: int, sequence: int) -> "IcmpHeader":
        """An ECHO or ECHO_REPLY."""
        return cls(type, 0, 0, (id & 0xFFFF) << 16 | sequence & 0xFFFF)

    @property
    def id(self) -> int:
        """Identifier of an echo."""
        return self.rest >> 16

    @property
    def sequence(self) -> int:
        """Sequence number of an echo."""
        return self.rest & 0xFFFF

    @property
    def mtu(self) -> int:
        """Next-hop MTU of "fragmentation needed"; 0 from routers older than RFC 1191."""
        return self.rest & 0xFFFF

    @property
    def pointer(self) -> int:
        """Offset of the offending byte of a parameter problem."""
        return self.rest >> 24

    @property
    def is_error(self) -> bool:
        """Is it about another packet?  Errors are never answered with errors (RFC 1122 3.2.2)."""
        return self.type in ERRORS

    def __str__(self) -> str:
        name = _CODES.get((self.type, self.code)) or _NAMES.get(self.type) or f"type {self.type}"
        if self.type in (ECHO, ECHO_REPLY):
            return f"ICMP {name} id {self.id} seq {self.sequence}"
        if (self.type, self.code) == (DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED):
            return f"ICMP {name} mtu {self.mtu}"
        if self.type == PARAMETER_PROBLEM:
            return f"ICMP {name} at {self.pointer}"
        if self.code and (self.type, self.code) not in _CODES:
            return f"ICMP {name} code {self.code}"
        return f"ICMP {name}"
