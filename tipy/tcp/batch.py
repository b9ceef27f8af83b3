"""Several frames at once: one decision to send for all of them, and segments put together before they are processed.

A link without segmentation offload delivers a stream in segments of one MSS, up to 64 in a batch. Most of them continue
the one before and say nothing else new. So once header prediction has taken a segment, those that continue it are
coupled, and pass the checks as one segment of so many wire segments, just as a link with offload would have delivered
them (and as Linux does; there it is called GRO). Each has passed its checksum by then. What comes out of order, ends a
record (PSH) or has more to tell meets the checks by itself.
"""

from tipy.tcp.input import segment_arrives
from tipy.tcp.output import output
from tipy.tcp.prediction import predicted
from tipy.tcp.segment import Segment
from tipy.tcp.seq import MASK
from tipy.tcp.states import ESTABLISHED
from tipy.wire.tcp import ACK, PSH, parse_options


class Batch:
    """The segments of one batch of frames. due: connections that have to call output() when it is through; on_error:
    told of exceptions."""

    __slots__ = ("due", "tcb", "_on_error", "_like", "_stamp", "_texts", "_size", "_first", "_next", "_room")

    def __init__(self, on_error):
        self.due = {}
        self.tcb = None                        # whose segments may be coupled
        self._on_error = on_error

    def follow(self, tcb, ack, flags, wnd, options, stamp, tos, text, gso_size):
        """Couple what continues a segment that header prediction has just taken. options: its option bytes."""
        length = len(text)
        if flags != ACK or not length or 0 < gso_size < length or tcb.options.rcvbuf:
            return
        self.tcb, self._like, self._stamp = tcb, (ack, wnd, options, tos), stamp
        self._texts, self._size = [], length
        self._first = self._next = tcb.rcv_nxt & MASK
        self._room = tcb.rcv.edge - tcb.rcv_nxt

    def couple(self, tcb, seq, ack, flags, wnd, options, tos, text):
        """Take a segment that continues the one before; False if it does not. Arguments as of Segment."""
        length = len(text)
        if (seq != self._next or tcb is not self.tcb or flags & ~PSH != ACK or (ack, wnd, options, tos) != self._like
                or not 0 < length <= self._size or length > self._room):
            return False
        self._texts.append(text)
        self._next = seq + length & MASK
        self._room -= length
        if flags & PSH or length < self._size:
            self.flush(flags)
        return True

    def flush(self, flags=ACK):
        """Process what has been coupled so far; nothing continues it any more. flags: those of the last one."""
        tcb, self.tcb = self.tcb, None
        if tcb is None or not self._texts:
            return
        texts = self._texts
        text = texts[0] if len(texts) == 1 else memoryview(b"".join(texts))    # the copy saves the reader many calls
        self._guarded(self._arrives, tcb, flags, text, len(texts[0]))

    def _arrives(self, tcb, flags, text, size):
        ack, wnd, options, tos = self._like
        if not (tcb.state is ESTABLISHED and predicted(tcb, self._first, ack, flags, wnd, self._stamp, text, size)):
            options = parse_options(options, 0, len(options))
            segment_arrives(tcb, Segment(self._first, ack, flags, wnd, 0, text, options, size, tos))

    def end(self):
        """All have been processed: send what has become due."""
        for tcb in self.due:
            self._guarded(output, tcb)

    def _guarded(self, fn, *args):
        try:
            fn(*args)
        except (Exception, SystemExit) as error:       # costs this connection's turn, not the others'
            self._on_error(error)
