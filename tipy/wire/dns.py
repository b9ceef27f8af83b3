"""DNS messages (RFC 1035 section 4).

      0  1  2  3  4  5  6  7  8  9  0  1  2  3  4  5
    +-----------------------------------------------+
    |                      id                       |
    +--+-----------+--+--+--+--+--------+-----------+
    |QR|  opcode   |AA|TC|RD|RA|   Z    |   rcode   |
    +--+-----------+--+--+--+--+--------+-----------+
    |  questions, answers, authority, additional    |   four counts of 16 bits
    +-----------------------------------------------+
    |  question: name, type, class                  |
    |  record: name, type, class, TTL, length, data |
    +-----------------------------------------------+

A name is a tuple of labels (bytes), without the root's empty one, as it came: compare `folded` names.

On the wire a name is a list of labels, which may end in a pointer to an earlier place of the message. This is
where resolvers have died (pointer loops, pointers to themselves, labels over the end). Here one walker,
`read_name`, reads all of them: each pointer must lead to before everything read so far for this name, so that
loops are impossible, and a name is at most 255 bytes and MAX_POINTERS pointers long.
"""

from struct import Struct
from typing import NamedTuple

from tipy.errors import PacketError

STRUCT = Struct("!HHHHHH")
HEADER_LENGTH = 12
MAX_NAME = 255             # bytes on the wire, the root's included
MAX_LABEL = 63
MAX_POINTERS = 32          # a packer that makes sense needs one per name
MAX_RECORDS = 1024         # in one message

TYPE_A, TYPE_NS, TYPE_CNAME, TYPE_SOA, TYPE_PTR, TYPE_TXT, TYPE_AAAA = 1, 2, 5, 6, 12, 16, 28
CLASS_IN = 1
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
OPCODE, RCODE = 0x7800, 0x000F
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)

_QUESTION = Struct("!HH")
_RECORD = Struct("!HHIH")
_SOA_NUMBERS = Struct("!IIIII")
_HOST = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class Question(NamedTuple):
    """What is asked: name, type, class."""
    name: tuple
    type: int
    cls: int = CLASS_IN


class Record(NamedTuple):
    """A resource record. ttl in seconds; data: an address (bytes) for A, a name for CNAME, PTR and NS, for
    SOA the seconds for which "no such name" may be believed; raw bytes for the rest."""
    name: tuple
    type: int
    cls: int
    ttl: int
    data: object


class Message(NamedTuple):
    """A whole message."""
    id: int
    flags: int
    questions: tuple = ()
    answers: tuple = ()
    authority: tuple = ()
    additional: tuple = ()

    @property
    def rcode(self):
        """NOERROR, NXDOMAIN, ..."""
        return self.flags & RCODE

    @classmethod
    def unpack(cls, data, start=0, end=None):
        """The message data[start:end]; PacketError for whatever is wrong with it."""
        message = bytes(data[start:end])
        if len(message) < HEADER_LENGTH:
            raise PacketError("short")
        id, flags, *counts = STRUCT.unpack_from(message)
        if sum(counts) > MAX_RECORDS:
            raise PacketError("records")
        position = HEADER_LENGTH
        questions = []
        for _ in range(counts[0]):
            question, position = _read_question(message, position)
            questions.append(question)
        sections = []
        try:
            for count in counts[1:]:
                sections.append([])
                for _ in range(count):
                    record, position = _read_record(message, position)
                    sections[-1].append(record)
        except PacketError:
            if not flags & TC:                         # else it may have been cut anywhere
                raise
        return cls(id, flags, tuple(questions), *map(tuple, sections))

    def pack(self):
        """The bytes; names are not compressed."""
        sections = self.answers, self.authority, self.additional
        parts = [STRUCT.pack(self.id, self.flags, len(self.questions), *map(len, sections))]
        for name, type, cls in self.questions:
            parts += pack_name(name), _QUESTION.pack(type, cls)
        for record in sum(sections, ()):
            data = _pack_data(record)
            parts += pack_name(record.name), _RECORD.pack(*record[1:4], len(data)), data
        return b"".join(parts)

    def __str__(self):
        asked = ", ".join(f"{name_text(question.name)} type {question.type}" for question in self.questions)
        if not self.flags & QR:
            return f"DNS {self.id} query {asked}"
        return f"DNS {self.id} reply {asked} rcode {self.rcode}, {len(self.answers)} answers"


# -- names ------------------------------------------------------------------------------------------------


def read_name(message, start):
    """(name, offset behind it) of the name at message[start:]; PacketError if it is none. The bounded
    walker."""
    labels = []
    length = 1
    position, behind, floor, pointers = start, None, start, 0
    while True:
        if not 0 <= position < len(message):
            raise PacketError("name_overrun")
        size = message[position]
        if size >= 0xC0:
            if position + 2 > len(message):
                raise PacketError("name_overrun")
            target = (size & 0x3F) << 8 | message[position + 1]
            pointers += 1
            if not HEADER_LENGTH <= target < floor or pointers > MAX_POINTERS:
                raise PacketError("name_pointer")
            if behind is None:
                behind = position + 2
            position = floor = target
            continue
        if size > MAX_LABEL:
            raise PacketError("name_label")
        position += 1
        if not size:
            return tuple(labels), position if behind is None else behind
        length += size + 1
        if length > MAX_NAME:
            raise PacketError("name_long")
        if position + size > len(message):
            raise PacketError("name_overrun")
        labels.append(message[position:position + size])
        position += size


def pack_name(name):
    """The bytes of a name; ValueError if a label or the name is too long, or a label empty."""
    if not all(0 < len(label) <= MAX_LABEL for label in name):
        raise ValueError("a label has 1 to 63 bytes")
    packed = b"".join(bytes((len(label),)) + label for label in name) + b"\0"
    if len(packed) > MAX_NAME:
        raise ValueError("a name has at most 255 bytes")
    return packed


def parse_name(text):
    """The name that `text` (ASCII, with or without the last dot) means; ValueError if it cannot be one."""
    if text in ("", "."):
        return ()
    name = tuple(label.encode("ascii") for label in text.removesuffix(".").split("."))
    pack_name(name)
    return name


def name_text(name):
    """As people write it, "www.example.org"; bytes outside of printable ASCII, dots and backslashes as
    \\DDD."""
    return ".".join("".join(chr(byte) if 0x21 <= byte <= 0x7E and byte not in b".\\" else f"\\{byte:03d}"
                            for byte in label) for label in name)


def folded(name):
    """The name in small letters: what to compare (RFC 4343)."""
    return tuple(label.lower() for label in name)


def is_hostname(name):
    """Only letters, digits, hyphens and underscores: may be given to programs as a host's name."""
    return bool(name) and all(_HOST.issuperset(label) and not label.startswith(b"-") for label in name)


# -- questions and records --------------------------------------------------------------------------------


def _read_question(message, position):
    name, position = read_name(message, position)
    if position + _QUESTION.size > len(message):
        raise PacketError("question_overrun")
    return Question(name, *_QUESTION.unpack_from(message, position)), position + _QUESTION.size


def _read_record(message, position):
    name, position = read_name(message, position)
    start = position + _RECORD.size
    if start > len(message):
        raise PacketError("record_overrun")
    type, cls, ttl, length = _RECORD.unpack_from(message, position)
    end = start + length
    if end > len(message):
        raise PacketError("record_overrun")
    if ttl >> 31:
        ttl = 0                                        # RFC 2181 8
    return Record(name, type, cls, ttl, _read_data(message, type, cls, start, end)), end


def _read_data(message, type, cls, start, end):
    if cls != CLASS_IN:
        return message[start:end]
    if type in (TYPE_CNAME, TYPE_PTR, TYPE_NS):
        name, behind = read_name(message, start)
        if behind != end:
            raise PacketError("record_length")
        return name
    if type == TYPE_SOA:
        _, behind = read_name(message, start)
        _, behind = read_name(message, behind)
        if behind + _SOA_NUMBERS.size != end:
            raise PacketError("record_length")
        return _SOA_NUMBERS.unpack_from(message, behind)[4]
    if type == TYPE_A and end - start != 4:
        raise PacketError("record_length")
    return message[start:end]


def _pack_data(record):
    if isinstance(record.data, bytes):
        return record.data
    if record.type == TYPE_SOA:
        return b"\0\0" + _SOA_NUMBERS.pack(1, 3600, 600, 86400, record.data)
    return pack_name(record.data)
