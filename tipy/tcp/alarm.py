"""Which retransmission timer is running. There is one per connection, and `Tcb.pending` says what for:

    "rto"       something is in flight; when the timer fires it is taken for lost (RFC 6298)
    "tlp"       the same, but first the tail is probed, after two round trips (RFC 8985 section 7)
    "reorder"   RACK waits for the end of its reordering window (RFC 8985 section 6.2)
    "persist"   nothing is in flight, something is left to send, and only the peer's window (or Nagle, or a
                cork) stands in the way (RFC 9293 section 3.8.6.1)

Here the timers are set; timeouts.py says what happens when they fire.
"""

_MIN_PERSIST = 0.2             # floor of the persist timer, Linux's TCP_RTO_MIN
_TIMER_SLACK = 0.002           # Linux's TCP_TIMEOUT_MIN


def watch_new_data(tcb, probe, now):
    """New data has just been sent: see that a timer watches over it."""
    if not (probe and schedule_probe(tcb, False, now)) and tcb.pending != "rto":
        rearm_rto(tcb)


def rearm(tcb, now):
    """An ACK has moved things on, or nothing was in flight before: start the tail loss probe again, or the RTO."""
    if not tcb.packets_out:
        tcb.disarm()
    elif not schedule_probe(tcb, True, now):
        rearm_rto(tcb)


def rearm_rto(tcb):
    """(Re)start the retransmission timer, or stop it if nothing is in flight (RFC 6298 section 5)."""
    if not tcb.packets_out:
        tcb.disarm()
        return
    delay = tcb.rtt.rto
    if tcb.pending in ("reorder", "tlp"):
        delay = max(rto_left(tcb, tcb.now()), _TIMER_SLACK)
    tcb.arm("rto", delay)


def rto_left(tcb, now):
    """Seconds until the RTO of the oldest segment in flight; negative if it is over."""
    return tcb.rtt.rto - (now - tcb.records[0].sent_at)


def schedule_probe(tcb, advancing, now):
    """Start the tail loss probe timer if this connection may probe now (RFC 8985 section 7.2). True if so."""
    loss, rtt, settings = tcb.loss, tcb.rtt, tcb.tcp.settings
    if not settings.recovery or not tcb.packets_out or not tcb.sack_ok or loss is not None and not loss.may_probe:
        return False
    if rtt.srtt:
        delay = 2 * rtt.srtt + (settings.rto_min if tcb.packets_out == 1 else _TIMER_SLACK)
    else:
        delay = settings.rto_initial
    left = rtt.rto if advancing else rto_left(tcb, now)
    tcb.arm_at("tlp", now + (left if 0 < left < delay else delay))
    return True


def watch_window(tcb):
    """Start the persist timer: the RTO as it stands, doubled with each probe, but not past the user's time-out. (After a
    timeout that no round trip has ended Linux backs off twice: the count is one for the RTO and the probes.)"""
    base = max(tcb.rtt.rto, _MIN_PERSIST)
    delay = min(base * (1 << min(tcb.persist_backoff, 16)), tcb.tcp.settings.rto_max)
    limit = tcb.options.user_timeout
    if limit and tcb.persist_since is not None:
        delay = min(delay, max(tcb.persist_since + limit - tcb.now(), _TIMER_SLACK))
    tcb.arm("persist", delay)
