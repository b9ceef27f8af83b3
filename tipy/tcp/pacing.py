"""Pacing: spread segments over time instead of sending whatever cwnd allows at once.

Off unless the congestion control says how fast (`pacing_rate`, bytes per second). Each segment pushes the time of the
next one away by length / rate; bursts of two segments (or a millisecond's worth, with offload) are let through, so
that a timer is not needed for each.
"""

_BURST = 0.001                 # seconds of data that may leave at once


def allowance(tcb, mss):
    """How many bytes may leave now; 0: not yet, a timer has been set."""
    rate = tcb.cc.pacing_rate
    now = tcb.now()
    if tcb.pace_at is not None and tcb.pace_at > now + 1e-9:
        if tcb.pacer is None:
            tcb.pacer = tcb.tcp.timer(tcb, "pacing")
        tcb.pacer.restart_at(tcb.pace_at)
        return 0
    return max(2 * mss, int(rate * _BURST) // mss * mss)


def sent(tcb, length):
    """`length` bytes have left: when may the next ones?"""
    start = tcb.now() if tcb.pace_at is None else max(tcb.pace_at, tcb.now())
    tcb.pace_at = start + length / tcb.cc.pacing_rate
