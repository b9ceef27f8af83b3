"""cwnd is only worth what has been tested (RFC 7661, in Linux's form; RFC 5681 section 4.1).

A window that the application did not fill has not been tested: it must not grow, and after a while of not being
filled, or of silence, it decays towards what was used.
"""

from tipy.tcp import chrono
from tipy.tcp.congestion import INFINITE, INITIAL_WINDOW


def validate(tcb, limited, now):
    """Note, after sending, whether cwnd was the limit (`limited`)."""
    packets_out = tcb.packets_out
    if tcb.snd_una >= tcb.cwnd_usage_seq or limited or not tcb.cwnd_limited and packets_out > tcb.max_packets_out:
        tcb.cwnd_limited = limited
        tcb.max_packets_out = packets_out
        tcb.cwnd_usage_seq = tcb.snd_nxt
    if may_grow(tcb):
        tcb.cwnd_used, tcb.cwnd_stamp = 0, now
    else:
        if tcb.wants_room and tcb.snd_nxt >= tcb.snd_end:
            chrono.start(tcb, chrono.BUFFER, now)
        if packets_out > tcb.cwnd_used:
            tcb.cwnd_used = packets_out
        if now - tcb.cwnd_stamp >= tcb.rtt.rto and tcb.tcp.settings.slow_start_after_idle:
            _application_limited(tcb)
            tcb.cwnd_stamp = now


def may_grow(tcb):
    """True if cwnd was the limit lately; in slow start it is enough that more than half of it was used."""
    return tcb.cwnd_limited or tcb.cwnd < 2 * tcb.max_packets_out and tcb.cwnd < tcb.ssthresh


def restart_after_idle(tcb, now):
    """About to send after a silence: halve cwnd for each RTO of it, down to the initial window."""
    idle, rto = now - tcb.last_sent, tcb.rtt.rto
    if (idle <= rto or tcb.packets_out or not tcb.data_segs_out or not tcb.tcp.settings.slow_start_after_idle
            or tcb.cc.name == "none"):
        return
    tcb.ssthresh = remembered_ssthresh(tcb)
    floor = min(INITIAL_WINDOW, tcb.cwnd)
    idle -= rto
    while idle > 0 and tcb.cwnd > floor:
        tcb.cwnd >>= 1
        idle -= rto
    tcb.cwnd = max(tcb.cwnd, floor)
    tcb.cwnd_stamp = now
    tcb.cwnd_used = 0
    tcb.cc.on_idle()


def remembered_ssthresh(tcb):
    """ssthresh that does not forget what the window was worth: at least 3/4 of cwnd (RFC 2861)."""
    if tcb.loss is not None and tcb.loss.reducing:
        return tcb.ssthresh
    if tcb.ssthresh == INFINITE:
        return max(INFINITE, (tcb.cwnd >> 1) + (tcb.cwnd >> 2))
    return max(tcb.ssthresh, (tcb.cwnd >> 1) + (tcb.cwnd >> 2))


def _application_limited(tcb):
    """For a whole RTO the application used less than cwnd: meet it half-way."""
    loss = tcb.loss
    if (loss is not None and not loss.open) or tcb.cc.name == "none":
        return
    used = max(tcb.cwnd_used, INITIAL_WINDOW)
    if used < tcb.cwnd:
        tcb.ssthresh = remembered_ssthresh(tcb)
        tcb.cwnd = (tcb.cwnd + used) >> 1
    tcb.cwnd_used = 0
