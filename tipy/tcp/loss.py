"""What a connection knows about its losses: the scoreboard's totals and the state of recovery.

    OPEN       nothing unusual
    DISORDER   duplicate ACKs or SACKs, nothing believed lost yet
    CWR        the window is coming down because of ECN, a tail loss probe, or local trouble
    RECOVERY   segments are believed lost and are sent again (fast retransmit)
    LOSS       the retransmission timer fired

(the `ca_state` of Linux and of tcp_info). The object is made at the first sign of trouble; until then a connection
is OPEN and all counts are 0. What to conclude from an ACK is in recovery.py, when a segment is lost in rack.py.
"""

from enum import IntEnum

DUPLICATE_THRESHOLD = 3        # RFC 5681: ACKs that mean "lost", not "reordered"
MAX_REORDERING = 300


class Phase(IntEnum):
    """Where a connection stands in loss recovery; numbers as in tcpi_ca_state."""

    OPEN = 0
    DISORDER = 1
    CWR = 2
    RECOVERY = 3
    LOSS = 4


class LossState:
    """Counts are in wire segments; see records.Sent for the marks they count."""

    __slots__ = (
        "phase", "sacked_out", "lost_out", "retrans_out", "high_seq", "fack",
        "undo_marker", "undo_retrans", "retrans_stamp", "stalled_since", "prior_ssthresh", "prior_cwnd", "prr_delivered", "prr_out",
        "reordering", "reordering_seen", "dsack_seen", "dsack_count", "reneged", "frto", "repair",
        "rack_order", "rack_end", "rack_rtt", "rack_advanced", "rack_steps", "rack_persist", "rack_dsack",
        "rack_round_end", "tlp_end", "tlp_resent")

    def __init__(self, tcb):
        self.phase = Phase.OPEN
        self.sacked_out = self.lost_out = self.retrans_out = 0
        self.high_seq = tcb.snd_nxt            # recovery is over when everything up to here is acknowledged
        self.fack = tcb.snd_una                # the end of the highest SACKed range
        self.undo_marker = None                # snd_una when the last reduction began, while it may be undone
        self.undo_retrans = 0                  # retransmissions since then not yet known to be needless
        self.retrans_stamp = None              # when the first of them was sent
        self.stalled_since = None              # when, since SND.UNA last moved, something was first sent again
        self.prior_ssthresh = 0
        self.prior_cwnd = 0
        self.prr_delivered = self.prr_out = 0
        self.reordering = DUPLICATE_THRESHOLD
        self.reordering_seen = 0
        self.dsack_seen = False
        self.dsack_count = 0
        self.reneged = self.frto = False
        self.repair = False                    # an ACK has asked for retransmissions: output sends them
        self.rack_order = 0                    # the last transmission of those known to be delivered
        self.rack_end = 0
        self.rack_rtt = 0.0
        self.rack_advanced = False
        self.rack_steps = 1
        self.rack_persist = 0
        self.rack_dsack = False
        self.rack_round_end = tcb.snd_una      # snd_nxt when the reordering window last grew
        self.tlp_end = None                    # snd_nxt after the outstanding tail loss probe
        self.tlp_resent = False

    @property
    def open(self):
        """Nothing unusual is going on."""
        return self.phase is Phase.OPEN

    @property
    def may_probe(self):
        """A tail loss probe makes sense: no other recovery is under way."""
        return (self.phase is Phase.OPEN or self.phase is Phase.CWR) and self.tlp_end is None

    @property
    def reducing(self):
        """cwnd is being brought down by proportional rate reduction."""
        return self.phase is Phase.CWR or self.phase is Phase.RECOVERY

    def mark_lost(self, tcb, record):
        """This record is believed lost (if a retransmission of it was out: lost again)."""
        if record.sacked:
            return
        if record.lost:
            if record.resent:
                record.resent = False
                self.retrans_out -= record.count
                tcb.lost_total += record.count
        else:
            record.lost = True
            self.lost_out += record.count
            tcb.lost_total += record.count

    def unmark_lost(self, record):
        """This record is not lost after all."""
        if record.lost:
            record.lost = False
            self.lost_out -= record.count

    def clear_resent(self, record):
        """No retransmission of this record is in the network any more."""
        if record.resent:
            record.resent = False
            self.retrans_out -= record.count

    def forget(self, record, count):
        """`count` wire segments of this record leave the list: take them out of all totals."""
        if record.sacked:
            self.sacked_out -= count
        if record.lost:
            self.lost_out -= count
        if record.resent:
            self.retrans_out -= count

    def note_retransmission(self, tcb, record):
        """A record has just been sent again."""
        if self.retrans_stamp is None:
            self.retrans_stamp = tcb.now()
        if self.stalled_since is None:
            self.stalled_since = tcb.now()
        self.undo_retrans = max(self.undo_retrans, 0) + record.count

    def saw_reordering(self, tcb, low):
        """Something at `low` was delivered although later data had been: the path reorders by that much. What is
        not SACKed any more has been overtaken by an ACK for all of it: then SND.UNA is the end, as in Linux."""
        distance = (self.fack if self.sacked_out and tcb.sack_ok else tcb.snd_una) - low
        if distance <= 0:
            return
        segments = -(-distance // tcb.mss)
        if segments > self.reordering:
            self.reordering = min(segments, MAX_REORDERING)
        self.reordering_seen += 1


def loss_state(tcb):
    """The connection's LossState, made if there is none yet."""
    if tcb.loss is None:
        tcb.loss = LossState(tcb)
    return tcb.loss
