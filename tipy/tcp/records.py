"""What is in flight: one record per transmission, in sequence order.

A record is a byte range of the stream that left in one go (one wire segment, or a super-segment of many
with offload), with the time it was last sent and what has become of it. Ranges are split where a SACK block or a
retransmission cuts them, and SACKed neighbours are merged again, so a list stays short however long the
window is. The bytes themselves stay in the send queue.
"""

from bisect import bisect_right


class Sent:
    """seq..end was sent at `sent_at`.

    order     its last transmission was the connection's order-th: tells apart those of one instant
    count     wire segments it stands for (the unit of cwnd)
    sacked    the peer has it
    lost      believed lost
    resent    a retransmission of it is in the network
    ever      it has been sent more than once (Karn: no RTT sample)
    judged    RACK has found this transmission lost: if that is taken back, not by the same evidence again
    fin       its last sequence number is the FIN
    """

    __slots__ = ("seq", "end", "sent_at", "order", "count", "sacked", "lost", "resent", "ever", "judged", "fin")

    def __init__(self, seq, end, sent_at, order, count, fin=False):
        self.seq = seq
        self.end = end
        self.sent_at = sent_at
        self.order = order
        self.count = count
        self.sacked = self.lost = self.resent = self.ever = self.judged = False
        self.fin = fin

    def __repr__(self):
        marks = "".join(letter for letter, on in zip("SLRef", (self.sacked, self.lost, self.resent, self.ever,
                                                               self.fin)) if on)
        return f"<sent {self.seq}..{self.end} {marks}>"


def find(records, seq):
    """Index of the record that contains `seq`; len(records) if it lies beyond, -1 if before."""
    index = bisect_right(records, seq, key=_start) - 1
    if index >= 0 and records[index].end <= seq:
        index += 1
    return index


def split(tcb, index, at, mss):
    """Cut tcb.records[index] at sequence number `at`; its count is shared out as `mss` cuts the bytes. A single wire
    segment that is cut counts as two from now on."""
    records, loss = tcb.records, tcb.loss
    first = records[index]
    assert first.seq < at < first.end, (first.seq, at, first.end)
    rest = Sent(at, first.end, first.sent_at, first.order, 1, first.fin)
    rest.sacked, rest.lost, rest.resent, rest.ever = first.sacked, first.lost, first.resent, first.ever
    rest.judged = first.judged
    first.end, first.fin = at, False
    if first.count > 1:
        total = first.count
        first.count = min(max(-(-(at - first.seq) // mss), 1), total - 1)
        rest.count = total - first.count
    else:
        tcb.packets_out += 1
        if loss is not None:
            loss.sacked_out += first.sacked
            loss.lost_out += first.lost
            loss.retrans_out += first.resent
    records.insert(index + 1, rest)


def _start(record):
    return record.seq
