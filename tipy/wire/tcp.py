"""TCP header (RFC 9293 3.1) and its options (RFC 9293 3.2, RFC 7323, RFC 2018).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-------------------------------+-------------------------------+
    |          source port          |       destination port        |
    +-------------------------------+-------------------------------+
    |                        sequence number                        |
    +---------------------------------------------------------------+
    |                     acknowledgment number                     |
    +-------+-------+-+-+-+-+-+-+-+-+-------------------------------+
    | offset|  rsv  |C|E|U|A|P|R|S|F|            window             |
    +-------+-------+-+-+-+-+-+-+-+-+-------------------------------+
    |           checksum            |        urgent pointer         |
    +-------------------------------+-------------------------------+
    |                    options, 0 to 40 bytes                     |
    +---------------------------------------------------------------+

    kind 2 length 4   maximum segment size        kind 5 length 2+8n  SACK blocks (left, right)
    kind 3 length 3   window scale                kind 8 length 10    timestamps (value, echo reply)
    kind 4 length 2   SACK permitted

Sequence numbers are as on the wire, 32 bits; unwrapping them is the business of the TCP layer.
"""

from struct import Struct
from typing import NamedTuple

from tipy.errors import PacketError
from tipy.wire.options import walk

STRUCT = Struct("!HHIIBBHHH")
QUOTED = Struct("!HHI")                # what an ICMP error is sure to quote: both ports and seq
HEADER_LENGTH = 20
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = 1, 2, 4, 8, 16, 32, 64, 128

MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMP = 2, 3, 4, 5, 8
MAX_WINDOW_SCALE = 14
MAX_OPTIONS = 40

# Nearly every segment: behind the fixed part nop, nop, timestamps (TSval, TSecr).
STAMPED = Struct("!HHIIBBHHHIII")
STAMPED_OFFSET = STAMPED.size << 2     # its header length as the byte has it
ALIGNED_TIMESTAMP = 0x0101080A

_TIMESTAMP = Struct("!II")


def flags_text(flags: int) -> str:
    """Flags as tcpdump writes them, in bit order: F S R P . (ACK) U E (ECE) W (CWR)."""
    return "".join(letter for bit, letter in enumerate("FSRP.UEW") if flags >> bit & 1) or "none"


class TcpHeader(NamedTuple):
    """The fixed part; `header_length` counts bytes, options included."""
    src_port: int
    dst_port: int
    seq: int = 0
    ack: int = 0
    header_length: int = HEADER_LENGTH
    flags: int = 0
    window: int = 0
    checksum: int = 0
    urgent: int = 0

    @classmethod
    def unpack(cls, frame, start: int, end: int) -> "TcpHeader":
        """Header at frame[start:end], checksum not verified; PacketError "short" or "header_length"."""
        if start < 0 or not start + HEADER_LENGTH <= end <= len(frame):
            raise PacketError("short")
        src_port, dst_port, seq, ack, offset, *rest = STRUCT.unpack_from(frame, start)
        header_length = offset >> 4 << 2
        if not HEADER_LENGTH <= header_length <= end - start:
            raise PacketError("header_length")
        return cls(src_port, dst_port, seq, ack, header_length, *rest)

    def pack(self) -> bytes:
        """The fixed 20 bytes, every field as it says; options are to follow."""
        return STRUCT.pack(self.src_port, self.dst_port, self.seq, self.ack, self.header_length << 2,
                           self.flags, self.window, self.checksum, self.urgent)

    def __str__(self) -> str:
        return f"{self.src_port} > {self.dst_port} {self.describe()}"

    def describe(self, seq: int | None = None, ack: int | None = None) -> str:
        """Flags, seq, ack and window in words; `seq` and `ack` replace the wire's, e.g. by relative ones."""
        text = f"{flags_text(self.flags)} seq {self.seq if seq is None else seq}"
        if self.flags & ACK:
            text += f" ack {self.ack if ack is None else ack}"
        text += f" win {self.window}"
        if self.flags & URG:
            text += f" urg {self.urgent}"
        return text


class TcpOptions(NamedTuple):
    """What a segment's options say: timestamp (value, echo reply), sack (left, right) wire numbers."""
    mss: int | None = None
    window_scale: int | None = None
    sack_permitted: bool = False
    timestamp: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()

    def __str__(self) -> str:
        words = []
        if self.mss is not None:
            words.append(f"mss {self.mss}")
        if self.sack_permitted:
            words.append("sackOK")
        if self.timestamp is not None:
            words.append("TS val %d ecr %d" % self.timestamp)
        if self.window_scale is not None:
            words.append(f"wscale {self.window_scale}")
        if self.sack:
            words.append("sack " + "".join("{%d:%d}" % block for block in self.sack))
        return f"<{','.join(words)}>" if words else ""


NO_OPTIONS = TcpOptions()


def parse_options(frame, start: int, end: int) -> TcpOptions:
    """Options in frame[start:end]. Never raises: an option of the wrong length is passed over, a broken list
    ends where it breaks. A window scale above 14 is read as 14 (RFC 7323 2.3). The last of a kind counts."""
    if start >= end:
        return NO_OPTIONS
    mss = scale = timestamp = None
    permitted, sack = False, ()
    for kind, value, after in walk(frame, start, end):
        length = after - value
        if kind == TIMESTAMP and length == 8:
            timestamp = _TIMESTAMP.unpack_from(frame, value)
        elif kind == SACK and length and length % 8 == 0:
            sack = tuple(_TIMESTAMP.unpack_from(frame, at) for at in range(value, after, 8))
        elif kind == MSS and length == 2:
            mss = frame[value] << 8 | frame[value + 1]
        elif kind == WINDOW_SCALE and length == 1:
            scale = min(frame[value], MAX_WINDOW_SCALE)
        elif kind == SACK_PERMITTED and length == 0:
            permitted = True
    return TcpOptions(mss, scale, permitted, timestamp, sack)


def pack_options(options: TcpOptions, syn: bool) -> bytes:
    """Option bytes in Linux's layout, a multiple of 4: SACK permitted fills the two bytes that would pad the
    timestamp; without one of them NOPs do. On a SYN: mss, sackOK, TS, nop, wscale (20 bytes with all);
    otherwise TS, then as many SACK blocks as the 40 bytes hold."""
    parts = []
    permitted = syn and options.sack_permitted
    if syn and options.mss is not None:
        parts.append(b"\x02\x04" + options.mss.to_bytes(2, "big"))
    if options.timestamp is not None:
        parts.append((b"\x04\x02\x08\x0a" if permitted else b"\x01\x01\x08\x0a")
                     + _TIMESTAMP.pack(*options.timestamp))
    elif permitted:
        parts.append(b"\x01\x01\x04\x02")
    if syn and options.window_scale is not None:
        parts.append(b"\x01\x03\x03" + bytes((options.window_scale,)))
    if options.sack and not syn:
        room = 3 if options.timestamp is not None else 4
        blocks = options.sack[:room]
        parts.append(b"\x01\x01\x05" + bytes((2 + 8 * len(blocks),)))
        parts.extend(_TIMESTAMP.pack(*block) for block in blocks)
    return b"".join(parts)
