"""What happens when a connection's timers fire (RFC 9293 section 3.10.8).

The retransmission timer stands for several things (alarm.py); giving up is decided by the number of retransmissions
(`retries2`, turned into a time as Linux does) or by TCP_USER_TIMEOUT (RFC 5482).
"""

import errno
from bisect import insort

from tipy.tcp import alarm, recovery
from tipy.tcp.loss import loss_state
from tipy.tcp.output import (end_of_record, handshake_timeout, has_unsent, output, retransmit, retransmit_lost,
                             segment_size, send_probe, send_segment, send_syn)
from tipy.tcp.records import split
from tipy.tcp.states import CLOSE_WAIT, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT

_ORPHAN_RETRIES = 8
_KEEPS_ALIVE = frozenset({ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, FIN_WAIT_2})


def retransmission(tcb):
    """The retransmission timer fired."""
    pending, tcb.pending = tcb.pending, None
    _PENDING[pending](tcb)


# -- handshake ------------------------------------------------------------------------------------

def _handshake(tcb):
    """No answer to our SYN or SYN,ACK: again, after 1 s, 2 s, 4 s ..., then give up."""
    settings, options = tcb.tcp.settings, tcb.options
    active = tcb.listener is None
    limit = (options.syncnt or settings.syn_retries) if active else settings.synack_retries
    waited = tcb.now() - tcb.syn_sent_at
    if tcb.retries >= limit or active and options.user_timeout and waited >= options.user_timeout:
        if active:
            tcb.tcp.fail(tcb, tcb.soft_error or errno.ETIMEDOUT)
        else:
            tcb.tcp.forget(tcb)
        return
    tcb.retries += 1
    tcb.total_retrans += 1
    tcb.tell("retransmit", seq=0, reason="SYN timeout")
    send_syn(tcb)
    tcb.arm("syn", handshake_timeout(tcb))


# -- retransmission time-out ----------------------------------------------------------------------

def _rto(tcb):
    """Nothing has been acknowledged for an RTO: the oldest segment goes again, cwnd restarts at one (RFC 6298)."""
    if not tcb.records:
        return
    if not tcb.snd_wnd:                                # the peer has shrunk its window to nothing: this is a probe
        if _never_opened(tcb):
            tcb.tcp.fail(tcb, tcb.soft_error or errno.ETIMEDOUT)
            return
        recovery.enter_loss(tcb)
    else:
        if _given_up(tcb):
            tcb.tcp.fail(tcb, tcb.soft_error or errno.ETIMEDOUT)
            return
        recovery.enter_loss(tcb)
        tcb.retries += 1
        tcb.tcp.path_may_be_black_hole(tcb)
    loss = tcb.loss
    head = tcb.records[0]
    tcb.tell("retransmit", seq=head.seq - tcb.iss, reason="RTO")
    if retransmit(tcb, 0):
        head = tcb.records[0]
        if not head.resent:
            head.resent = True
            loss.retrans_out += head.count
        loss.note_retransmission(tcb, head)
    tcb.rtt.back_off()
    tcb.arm("rto", _clamped(tcb, tcb.rtt.rto))


def _never_opened(tcb):
    """The window closed on what was in flight: silence ends that, and TCP_USER_TIMEOUT although the peer answers."""
    limit = tcb.options.user_timeout
    if limit:
        since = tcb.loss.stalled_since if tcb.loss is not None else None
        if tcb.now() - (tcb.records[0].sent_at if since is None else since) >= limit - 1e-9:
            return True
    return tcb.now() - tcb.last_heard > tcb.tcp.settings.rto_max


def _given_up(tcb):
    """Has the connection been retransmitting for too long? (R2 of RFC 9293 section 3.8.3)"""
    limit = tcb.tcp.settings.retries2
    if tcb.orphan and tcb.rtt.rto >= tcb.tcp.settings.rto_max:
        limit = min(limit, _ORPHAN_RETRIES)
    since = tcb.loss.stalled_since if tcb.loss is not None else None
    if not tcb.retries or since is None:
        return False
    return tcb.now() - since >= (tcb.options.user_timeout or model_timeout(tcb.tcp.settings, limit)) - 1e-9


def model_timeout(settings, retries):
    """Seconds that `retries` retransmissions take when they start at rto_min and double up to rto_max."""
    total, rto = 0.0, settings.rto_min
    for _ in range(retries + 1):
        total += min(rto, settings.rto_max)
        rto *= 2
    return total


def _clamped(tcb, delay):
    """Do not sleep past the user's time-out."""
    limit = tcb.options.user_timeout
    since = tcb.loss.stalled_since if tcb.loss is not None else None
    if not limit or since is None:
        return delay
    return min(delay, max(since + limit - tcb.now(), 0.001))


# -- tail loss probe, reordering ------------------------------------------------------------------

def _tlp(tcb):
    """Two round trips without an ACK: send something that makes the peer say what it has (RFC 8985 section 7.3)."""
    loss = loss_state(tcb)
    if not tcb.records:
        return
    if loss.tlp_end is None:
        loss.tlp_resent = not _probe_with_new(tcb)
        if not loss.tlp_resent or _resend_tail(tcb):
            loss.tlp_end = tcb.snd_nxt
            tcb.tell("retransmit" if loss.tlp_resent else "probe", seq=tcb.records[-1].seq - tcb.iss, reason="TLP")
            tcb.arm("rto", tcb.rtt.rto)
            return
    tcb.arm("rto", max(alarm.rto_left(tcb, tcb.now()), 0.002))


def _probe_with_new(tcb):
    """Send one segment never sent before, even beyond cwnd; False if there is none or the window has no room."""
    mss = segment_size(tcb)
    length = min(end_of_record(tcb) - tcb.snd_nxt, mss)
    room = tcb.snd_window_end - tcb.snd_nxt
    fin = tcb.fin_queued and tcb.snd_nxt + length == tcb.snd_end and length < room
    if length < 0 or length > room or not length and not fin:
        return False
    send_segment(tcb, tcb.snd_nxt, length, fin, mss)
    return True


def _resend_tail(tcb):
    """Send the last segment again."""
    index = len(tcb.records) - 1
    tail = tcb.records[index]
    if tail.count > 1:
        length = tail.end - tail.fin - tail.seq
        at = tail.seq + (length - 1) // tcb.mss * tcb.mss      # the MSS may have been another when it was sent
        if at > tail.seq:
            split(tcb, index, at, tcb.mss)
            index += 1
    return retransmit(tcb, index)


def _reorder(tcb):
    """RACK has waited long enough for late segments. Lost ones are sent again; new ones wait for the next ACK."""
    if tcb.records and recovery.on_reorder_timer(tcb):
        retransmit_lost(tcb)


# -- zero window ----------------------------------------------------------------------------------

def _persist(tcb):
    """Nothing in flight, something to send, and no window (or a cork): probe (RFC 9293 section 3.8.6.1)."""
    if tcb.packets_out or not has_unsent(tcb):
        tcb.probes_out = 0
        tcb.persist_since = None
        return
    now = tcb.now()
    if tcb.persist_since is None:
        tcb.persist_since = now
    limit = tcb.options.user_timeout
    if limit and now - tcb.persist_since >= limit - 1e-9 or tcb.probes_out >= _most_probes(tcb):
        tcb.tcp.fail(tcb, tcb.soft_error or errno.ETIMEDOUT)
        return
    room = tcb.snd_window_end - tcb.snd_nxt
    if room > 0:                                       # Nagle, a cork or the window's edge held it: send it now
        mss = segment_size(tcb)
        length = min(end_of_record(tcb) - tcb.snd_nxt, room, mss)
        if length and tcb.snd_nxt + length not in tcb.push_marks:
            insort(tcb.push_marks, tcb.snd_nxt + length)
        send_segment(tcb, tcb.snd_nxt, length, tcb.fin_queued and tcb.snd_nxt + length == tcb.snd_end and length < room,
                     mss)
        tcb.persist_backoff = 0
        alarm.watch_new_data(tcb, False, tcb.now())
        return
    send_probe(tcb)
    tcb.probes_out += 1
    backoff = max(tcb.persist_backoff, tcb.rtt.backoff)
    if backoff < tcb.tcp.settings.retries2:
        tcb.persist_backoff = backoff + 1
    alarm.watch_window(tcb)


def _most_probes(tcb):
    """Unanswered window probes before giving up; an orphan whose peer is silent gets fewer."""
    return _ORPHAN_RETRIES if tcb.orphan else tcb.tcp.settings.retries2


_PENDING = {"syn": _handshake, "rto": _rto, "tlp": _tlp, "reorder": _reorder, "persist": _persist, None: lambda tcb: None}


# -- the other timers -----------------------------------------------------------------------------

def delayed_ack(tcb):
    """Nothing came along to carry the ACK."""
    if tcb.ack_due:
        tcb.ack_now = True
        tcb.interactive = False                        # it is no conversation after all
        output(tcb)


def pacing(tcb):
    """It is time for the next paced segment."""
    output(tcb)


def life(tcb):
    """The timer of the connection's life: TIME-WAIT and FIN-WAIT-2 are over, or it is time for a keepalive."""
    if tcb.state is TIME_WAIT or tcb.state is FIN_WAIT_2 and tcb.orphan:
        tcb.tcp.forget(tcb)
    elif tcb.options.keepalive and tcb.state in _KEEPS_ALIVE:
        _keepalive(tcb)


def keepalive_times(tcb):
    """(idle, interval, count) of this connection's keepalives."""
    settings, options = tcb.tcp.settings, tcb.options
    return (options.keepidle or settings.keepalive_time, options.keepintvl or settings.keepalive_intvl,
            options.keepcnt or settings.keepalive_probes)


def _keepalive(tcb):
    """Idle long enough? Ask the peer whether it is still there (RFC 9293 section 3.8.4)."""
    idle, interval, count = keepalive_times(tcb)
    if tcb.packets_out or has_unsent(tcb):
        tcb.arm_life(idle)
        return
    silent = tcb.now() - max(tcb.last_heard, tcb.last_received)
    if silent < idle - 1e-9:
        tcb.arm_life(idle - silent)
        return
    limit = tcb.options.user_timeout
    if (limit and silent >= limit and tcb.keepalives_out) or not limit and tcb.keepalives_out >= count:
        tcb.tcp.abort(tcb, errno.ETIMEDOUT)
        return
    send_probe(tcb)
    tcb.keepalives_out += 1
    tcb.arm_life(interval)
