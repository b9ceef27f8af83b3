"""One arriving segment, with its sequence numbers unwrapped: the SEG.* variables of RFC 9293."""

from tipy.tcp.seq import unwrap
from tipy.wire.tcp import FIN, SYN


class Segment:
    """An arriving segment.

    seq, ack    as on the wire until `unwrap`, then unwrapped
    end         seq + length, where SYN and FIN count one each
    wnd         the window field, not yet scaled
    text        memoryview of the payload
    options     TcpOptions
    wire_mss    payload per wire segment, if the link (or batch.py) made one of several
    wire_count  wire segments it stands for
    """

    __slots__ = ("seq", "ack", "end", "flags", "wnd", "up", "text", "options", "wire_mss", "wire_count", "tos")

    def __init__(self, seq, ack, flags, wnd, up, text, options, gso_size, tos):
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.wnd = wnd
        self.up = up
        self.text = text
        self.options = options
        self.tos = tos
        length = len(text)
        self.end = seq + length + (flags & FIN) + ((flags & SYN) >> 1)
        if gso_size and length > gso_size:
            self.wire_mss = gso_size
            self.wire_count = -(-length // gso_size)
        else:
            self.wire_mss = length
            self.wire_count = 1

    @property
    def length(self):
        """SEG.LEN: payload plus one each for SYN and FIN."""
        return self.end - self.seq

    def unwrap(self, rcv_nxt, snd_una):
        """Replace the wire's numbers by unwrapped ones near the connection's own."""
        length = self.end - self.seq
        self.seq = unwrap(self.seq, rcv_nxt)
        self.end = self.seq + length
        self.ack = unwrap(self.ack, snd_una)
