"""RACK: loss by time instead of by counting (RFC 8985).

Of all segments known to be delivered, remember the one that was *sent* last. (The RFC compares times, and positions
within one instant; here transmissions are numbered.) A segment sent before that one and still not acknowledged, although
a round trip plus a reordering window has passed, is lost. That holds for retransmissions as well, which no count of
duplicate ACKs can judge.

The reordering window is a quarter of the smallest RTT; it is zero as long as the path has shown no reordering and
three segments above the hole have arrived, and it grows when DSACKs show that we were too quick.
"""

from tipy.tcp.loss import DUPLICATE_THRESHOLD, Phase

_PERSIST = 16                  # recoveries for which a widened reordering window is kept
_TIMER_SLACK = 0.002


def advance(tcb, loss, record):
    """`record` was delivered: remember when it was sent, if that is the latest (section 6.2 step 2)."""
    rtt = tcb.now() - record.sent_at
    if record.ever and rtt < tcb.rtt.min_rtt - 1e-7:
        return                                 # it must have been the original that arrived
    loss.rack_advanced = True
    loss.rack_rtt = rtt
    if (record.order, record.end) > (loss.rack_order, loss.rack_end):
        loss.rack_order, loss.rack_end = record.order, record.end


def detect(tcb, loss):
    """Mark lost what RACK finds lost. Returns the seconds until it may find more, or 0 (step 5)."""
    now = tcb.now()
    window = loss.rack_rtt + reordering_window(tcb, loss)
    wait, order = 0.0, loss.rack_order
    for record in tcb.records:
        if record.sacked or record.judged or record.lost and not record.resent:
            continue
        if record.order > order or record.order == order and record.end >= loss.rack_end:
            if not record.ever:
                break                          # this one and all that follow were sent later
            continue
        left = record.sent_at + window - now
        if left <= 1e-9:
            loss.mark_lost(tcb, record)
            record.judged = True
        elif left > wait:
            wait = left
    return wait


def mark_lost(tcb, loss):
    """An ACK has been processed: look for losses and set the timer for those not yet certain. True if set."""
    if not loss.rack_advanced:
        return False
    loss.rack_advanced = False
    wait = detect(tcb, loss)
    if wait:
        tcb.arm("reorder", wait + _TIMER_SLACK)
    return wait > 0


def time_left(tcb, loss, record):
    """Seconds until `record` counts as lost, reordering window aside."""
    return record.sent_at + loss.rack_rtt - tcb.now()


def reordering_window(tcb, loss):
    """How long to wait for a late segment (step 4)."""
    if not loss.reordering_seen:
        if loss.phase >= Phase.RECOVERY or loss.sacked_out >= max(loss.reordering, DUPLICATE_THRESHOLD):
            return 0.0
    rtt = tcb.rtt
    smallest = rtt.min_rtt if rtt.min_rtt != float("inf") else rtt.srtt
    return min(smallest / 4 * loss.rack_steps, rtt.srtt)


def update_window(tcb, loss, prior_una):
    """Widen the reordering window, once per round trip, if a DSACK showed a needless retransmission."""
    if loss.rack_dsack and prior_una < loss.rack_round_end:
        loss.rack_dsack = False                # not a round trip since the last change
    if loss.rack_dsack:
        loss.rack_steps = min(loss.rack_steps + 1, 255)
        loss.rack_dsack = False
        loss.rack_round_end = tcb.snd_nxt
        loss.rack_persist = _PERSIST
    elif not loss.rack_persist:
        loss.rack_steps = 1
