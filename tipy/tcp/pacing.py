"""Pacing: spread segments over time instead of sending whatever cwnd allows at once.

Off unless the congestion control says how fast (`pacing_rate`, bytes per second), with one exception. While a loss is
repaired the peer's window cannot move, and if it is no larger than cwnd the pipe runs empty. When recovery ends, all
that cwnd allows would leave in one burst and overflow the next queue: for one round trip it is spread (`refill`;
RFC 6582 section 3.2 step 3 wants such a burst avoided).

Each segment pushes the time of the next one away by length / rate; bursts of two segments, or a millisecond's worth,
are let through, so that a timer is not needed for each.
"""

_BURST = 0.001                 # seconds of data that may leave at once


def refill(tcb):
    """Spread over the next round trip what cwnd allows."""
    tcb.refill_until = tcb.now() + tcb.rtt.srtt


def rate(tcb):
    """Bytes per second, or None: not paced."""
    asked = tcb.cc.pacing_rate
    if asked is None and tcb.refill_until is not None:
        if tcb.now() < tcb.refill_until:
            return tcb.cwnd * tcb.mss / tcb.rtt.srtt
        tcb.refill_until = None
    return asked


def allowance(tcb, mss, rate):
    """How many bytes may leave now; 0: not yet, a timer has been set."""
    burst = max(2 * mss, int(rate * _BURST) // mss * mss)
    if tcb.pace_at is None or tcb.pace_at <= tcb.now():
        return burst
    left = burst - round((tcb.pace_at - tcb.now()) * rate)
    if left >= mss:
        return left // mss * mss
    if tcb.pacer is None:
        tcb.pacer = tcb.tcp.timer(tcb, "pacing")
    tcb.pacer.restart_at(tcb.pace_at)
    return 0


def sent(tcb, length, rate):
    """`length` bytes have left: when may the next ones?"""
    start = tcb.now() if tcb.pace_at is None else max(tcb.pace_at, tcb.now())
    tcb.pace_at = start + length / rate
