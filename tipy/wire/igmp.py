"""IGMP messages: versions 1 and 2 (RFC 1112 appendix I, RFC 2236), version 3 (RFC 3376 section 4).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |     type      |  max response |           checksum            |
    +---------------+---------------+-------------------------------+
    |                         group address                         |   to here: versions 1 and 2
    +-------+-+-----+---------------+-------------------------------+
    | resv  |S| QRV |     QQIC      |      number of sources        |   a query of version 3
    +-------+-+-----+---------------+-------------------------------+
    |                      source addresses ...                     |
    +---------------------------------------------------------------+

A report of version 3 has 16 zero bits and the number of records in the place of the group, then the records:

    +---------------+---------------+-------------------------------+
    |  record type  | auxiliary / 4 |      number of sources        |
    +---------------+---------------+-------------------------------+
    |              group address, sources, auxiliary data           |
    +---------------------------------------------------------------+
"""

from struct import Struct
from typing import NamedTuple

from tipy.address import format_ip
from tipy.checksum import checksum, residue
from tipy.errors import PacketError

STRUCT = Struct("!BBH4s")
HEADER_LENGTH = 8
QUERY, REPORT_V1, REPORT_V2, LEAVE, REPORT_V3 = 0x11, 0x12, 0x16, 0x17, 0x22

IS_INCLUDE, IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE, ALLOW, BLOCK = range(1, 7)       # types of records

_QUERY_V3 = Struct("!BBH")
_COUNTS = Struct("!BBHHH")
_RECORD = Struct("!BBH4s")
_WORDS = {1: "include", 2: "exclude", 3: "to include", 4: "to exclude", 5: "allow", 6: "block"}
_NAMES = {REPORT_V1: "IGMPv1 report", REPORT_V2: "IGMPv2 report", LEAVE: "IGMPv2 leave"}
_UNIT = 0.1                # s, of the maximum response time


class Query(NamedTuple):
    """What a router asks. group: 0.0.0.0 = for all groups; max_response: seconds in which to answer; sources:
    the ones asked about, of version 3."""
    version: int
    group: bytes
    max_response: float
    sources: tuple = ()

    def pack(self):
        """The bytes, checksum included; times up to 12.7 s."""
        code = 0 if self.version == 1 else round(self.max_response / _UNIT)
        body = b""
        if self.version == 3:
            body = _QUERY_V3.pack(2, 125, len(self.sources)) + b"".join(self.sources)
        return _sealed(STRUCT.pack(QUERY, code, 0, self.group) + body)

    def __str__(self):
        about = format_ip(self.group) if any(self.group) else "all groups"
        return f"IGMPv{self.version} query for {about}, answer within {self.max_response:.1f} s"


class Record(NamedTuple):
    """One record of a report of version 3."""
    type: int
    group: bytes
    sources: tuple = ()

    def __str__(self):
        sources = f" from {' '.join(map(format_ip, self.sources))}" if self.sources else ""
        return f"{_WORDS.get(self.type, self.type)} {format_ip(self.group)}{sources}"


class Report(NamedTuple):
    """What a member says. type: REPORT_V1, REPORT_V2, LEAVE (of one group) or REPORT_V3 (of its records)."""
    type: int
    group: bytes = bytes(4)
    records: tuple = ()

    def pack(self):
        """The bytes, checksum included."""
        if self.type != REPORT_V3:
            return _sealed(STRUCT.pack(self.type, 0, 0, self.group))
        parts = [_COUNTS.pack(REPORT_V3, 0, 0, 0, len(self.records))]
        for type, group, sources in self.records:
            parts += [_RECORD.pack(type, 0, len(sources), group), *sources]
        return _sealed(b"".join(parts))

    def __str__(self):
        if self.type == REPORT_V3:
            return "IGMPv3 report: " + ", ".join(map(str, self.records))
        return f"{_NAMES[self.type]} {format_ip(self.group)}"


def unpack(frame, start, end):
    """The Query or Report at frame[start:end]; PacketError "short", "checksum", "length", "type"."""
    if start < 0 or not start + HEADER_LENGTH <= end <= len(frame):
        raise PacketError("short")
    if residue(frame[start:end]):
        raise PacketError("checksum")
    type, code, _, group = STRUCT.unpack_from(frame, start)
    if type == QUERY:
        return _query(frame, start, end, code, group)
    if type == REPORT_V3:
        return Report(type, records=tuple(_records(frame, start, end)))
    if type in (REPORT_V1, REPORT_V2, LEAVE):
        return Report(type, group)
    raise PacketError("type")


def _query(frame, start, end, code, group):
    length = end - start
    if length == HEADER_LENGTH:
        return Query(2, group, code * _UNIT) if code else Query(1, group, 10.0)
    if length < HEADER_LENGTH + _QUERY_V3.size:
        raise PacketError("length")                    # RFC 3376 7.1
    first = start + HEADER_LENGTH + _QUERY_V3.size
    count = _QUERY_V3.unpack_from(frame, start + HEADER_LENGTH)[2]
    if first + 4 * count > end:
        raise PacketError("length")
    if code >= 128:                                    # RFC 3376 4.1.1: mantissa and exponent
        code = (code & 15 | 16) << ((code >> 4 & 7) + 3)
    return Query(3, group, code * _UNIT, _addresses(frame, first, count))


def _records(frame, start, end):
    position = start + HEADER_LENGTH
    for _ in range(_COUNTS.unpack_from(frame, start)[4]):
        if position + _RECORD.size > end:
            raise PacketError("length")
        type, auxiliary, count, group = _RECORD.unpack_from(frame, position)
        position += _RECORD.size
        if position + 4 * (count + auxiliary) > end:
            raise PacketError("length")
        yield Record(type, group, _addresses(frame, position, count))
        position += 4 * (count + auxiliary)


def _addresses(frame, position, count):
    return tuple(bytes(frame[at:at + 4]) for at in range(position, position + 4 * count, 4))


def _sealed(message):
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
