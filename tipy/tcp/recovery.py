"""Loss recovery: what an ACK, or a timer, says about segments lost, and what it does to the window.

    OPEN -- SACK, duplicate ACK --> DISORDER -- something is lost --> RECOVERY -- all acknowledged --> OPEN
      any -- retransmission timer --> LOSS -- all acknowledged --> OPEN
      any of these -- it was all a mistake (undo) --> OPEN, with the window as it was

Which segment is lost is decided by RACK (rack.py) with SACK, by duplicate ACKs without (NewReno, RFC 6582). The window
comes down by proportional rate reduction (PRR, RFC 6937): about one segment leaves for each one delivered, so that
it reaches ssthresh just when recovery ends. A reduction is undone when DSACKs or timestamps prove every
retransmission needless (RFC 3522, 3708, 4015); after a timeout, F-RTO (RFC 5682) looks for the same proof.
The cases and their order follow Linux's tcp_fastretrans_alert, the best tested there is.
"""

from tipy.tcp import alarm, pacing, rack
from tipy.tcp.congestion import INFINITE
from tipy.tcp.cwnd_validation import remembered_ssthresh
from tipy.tcp.loss import DUPLICATE_THRESHOLD, Phase, loss_state
from tipy.tcp.output import has_unsent
from tipy.tcp.records import split

_EXIT_BURST = 32               # segments that may leave at once when recovery ends


def on_ack(tcb, loss, news, prior_una, duplicates):
    """Draw the conclusions from an ACK that says something unusual, or comes while recovering.

    news: ack.News; duplicates: how many duplicate ACKs it counts for. Sets news.send_new (F-RTO wants new data sent
    rather than retransmissions).
    """
    if not tcb.packets_out:
        loss.sacked_out = 0
    if news.ece:
        loss.prior_ssthresh = 0
    if news.reneging and news.advanced:
        _reneging(tcb, news)
        return
    if loss.phase is Phase.OPEN:
        loss.retrans_stamp = None
    elif tcb.snd_una >= loss.high_seq:
        if loss.phase is Phase.CWR:
            if tcb.snd_una != loss.high_seq:
                end_reduction(tcb, loss)
                _enter(tcb, loss, Phase.OPEN)
        elif loss.phase is Phase.RECOVERY:
            if not tcb.sack_ok:
                loss.sacked_out = 0
            if _try_undo_recovery(tcb, loss, news):
                return
            end_reduction(tcb, loss)
    if loss.phase is Phase.RECOVERY:
        if not news.advanced:
            if not tcb.sack_ok:
                _add_duplicates(tcb, loss, news, duplicates)
        elif _try_undo_partial(tcb, loss, news, prior_una):
            return
        if _try_undo_dsack(tcb, loss):
            _try_to_open(tcb, loss, news)
        _find_losses(tcb, loss, news)
        if loss.phase is not Phase.RECOVERY:
            if not loss.lost_out:
                return
            enter_recovery(tcb, loss, news.ece)
        loss.repair = True
    elif loss.phase is Phase.LOSS:
        _in_loss(tcb, loss, news, duplicates)
        _find_losses(tcb, loss, news)
        if not (loss.phase is Phase.OPEN or news.lost_again):
            return
        _outside_recovery(tcb, loss, news, duplicates)
    else:
        _outside_recovery(tcb, loss, news, duplicates)


def _outside_recovery(tcb, loss, news, duplicates):
    """OPEN, DISORDER, CWR (or just out of LOSS): is it time to recover?"""
    if not tcb.sack_ok:
        if news.advanced:
            loss.sacked_out = 0
        _add_duplicates(tcb, loss, news, duplicates)
    if loss.phase <= Phase.DISORDER:
        _try_undo_dsack(tcb, loss)
    _find_losses(tcb, loss, news)
    if not loss.lost_out:
        _try_to_open(tcb, loss, news)
        return
    enter_recovery(tcb, loss, news.ece)
    loss.repair = True


def _find_losses(tcb, loss, news):
    if not tcb.records:
        return
    if not tcb.sack_ok:
        _newreno(tcb, loss, news.advanced)
        return
    retransmitted = loss.retrans_out
    if tcb.tcp.settings.recovery:
        if rack.mark_lost(tcb, loss):
            news.set_timer = False
    else:
        _by_count(tcb, loss)
    if retransmitted > loss.retrans_out:
        news.lost_again = True


def _by_count(tcb, loss):
    """RFC 6675 without RACK: lost is what lies `reordering` segments below the highest SACKed one."""
    above = loss.sacked_out
    for record in tcb.records:
        if above < loss.reordering or record.seq >= loss.fack:
            break
        if record.sacked:
            above -= record.count
        elif not record.ever:
            loss.mark_lost(tcb, record)


def _newreno(tcb, loss, advanced):
    """Without SACK: the first segment is lost after three duplicate ACKs, and after each partial ACK."""
    if (loss.phase < Phase.RECOVERY and loss.sacked_out >= loss.reordering
            or loss.phase is Phase.RECOVERY and advanced):
        head = tcb.records[0]
        if not head.lost:
            if head.count > 1 and head.end - head.fin - head.seq > tcb.mss:
                split(tcb, 0, head.seq + tcb.mss, tcb.mss)
            loss.mark_lost(tcb, head)


def _add_duplicates(tcb, loss, news, duplicates):
    """Without SACK each duplicate ACK stands for one segment delivered somewhere above the hole."""
    if duplicates:
        before = loss.sacked_out
        loss.sacked_out += duplicates
        _limit_duplicates(tcb, loss, 0)
        delivered = max(loss.sacked_out - before, 0)
        tcb.delivered += delivered
        news.delivered += delivered


def remove_duplicates(tcb, loss, acked):
    """`acked` segments were acknowledged: one filled the hole, the others account for duplicate ACKs. The number
    of those that no duplicate ACK had reported."""
    delivered = max(acked - loss.sacked_out, min(acked, 1))
    loss.sacked_out = max(loss.sacked_out - max(acked - 1, 0), 0)
    _limit_duplicates(tcb, loss, acked)
    return delivered


def _limit_duplicates(tcb, loss, acked):
    """More duplicate ACKs than segments in flight: that is reordering."""
    holes = min(max(loss.lost_out, 1), tcb.packets_out)
    if loss.sacked_out + holes > tcb.packets_out:
        loss.sacked_out = tcb.packets_out - holes
        loss.reordering = min(tcb.packets_out + acked, 300)
        loss.reordering_seen += 1


# -- moving between the phases --------------------------------------------------------------------

def _enter(tcb, loss, phase):
    if phase is not loss.phase and tcb.trace is not None:
        tcb.tell("recovery", old=loss.phase.name, new=phase.name, cwnd=tcb.cwnd, ssthresh=tcb.ssthresh)
    loss.phase = phase


def enter_recovery(tcb, loss, ece=False):
    """Segments are lost: bring the window down and send them again."""
    loss.prior_ssthresh = 0
    _init_undo(tcb, loss)
    if not loss.reducing:
        if not ece:
            loss.prior_ssthresh = remembered_ssthresh(tcb)
        init_reduction(tcb, loss)
    _enter(tcb, loss, Phase.RECOVERY)


def enter_cwr(tcb):
    """The window must come down, nothing is lost (ECN, RFC 3168)."""
    loss = loss_state(tcb)
    loss.prior_ssthresh = 0
    if loss.phase < Phase.CWR:
        loss.undo_marker = None
        init_reduction(tcb, loss)
        _enter(tcb, loss, Phase.CWR)


def enter_loss(tcb):
    """The retransmission timer fired: everything in flight is suspect (RFC 5681 section 3.1, 5682)."""
    loss = loss_state(tcb)
    fresh = loss.phase < Phase.RECOVERY
    _mark_all_lost(tcb, loss)
    if (loss.phase <= Phase.DISORDER or loss.high_seq <= tcb.snd_una
            or loss.phase is Phase.LOSS and not tcb.retries):
        loss.prior_ssthresh = remembered_ssthresh(tcb)
        loss.prior_cwnd = tcb.cwnd
        tcb.ssthresh = tcb.cc.on_loss()
        tcb.cc.on_rto()
        _init_undo(tcb, loss)
    tcb.cc.start_over()
    if tcb.cc.name != "none":
        tcb.cwnd = tcb.in_flight + 1
    if loss.phase <= Phase.DISORDER and loss.sacked_out >= DUPLICATE_THRESHOLD:
        loss.reordering = min(loss.reordering, DUPLICATE_THRESHOLD)
    _enter(tcb, loss, Phase.LOSS)
    loss.high_seq = tcb.snd_nxt
    loss.tlp_end = None
    if tcb.ecn_ok:
        tcb.ecn_cwr = True
    loss.frto = fresh or tcb.retries > 0


def _mark_all_lost(tcb, loss):
    records = tcb.records
    reneged = bool(records) and records[0].sacked
    if reneged:                                # the peer threw away what it had SACKed: it may (RFC 2018)
        loss.sacked_out = 0
        loss.reneged = True
    elif not tcb.sack_ok:
        loss.sacked_out = 0
    by_time = tcb.sack_ok and tcb.tcp.settings.recovery
    for index, record in enumerate(records):
        if reneged:
            record.sacked = False
        elif index and by_time and rack.time_left(tcb, loss, record) > 0:
            continue                           # sent too recently to be judged
        loss.mark_lost(tcb, record)


def _reneging(tcb, news):
    """The ACK stops right below data it once SACKed. Linux waits a little; then the timer decides."""
    tcb.arm("rto", max(tcb.rtt.srtt / 2, 0.01))
    news.set_timer = False


def init_reduction(tcb, loss):
    """Start to bring cwnd down to a new ssthresh."""
    loss.high_seq = tcb.snd_nxt
    loss.tlp_end = None
    loss.prior_cwnd = tcb.cwnd
    loss.prr_delivered = loss.prr_out = 0
    tcb.ssthresh = tcb.cc.on_loss()
    tcb.cc.start_over()
    if tcb.ecn_ok:
        tcb.ecn_cwr = True


def reduce(tcb, loss, delivered, lost, advanced):
    """Proportional rate reduction (RFC 6937, with 9937's choice between the two bounds)."""
    if delivered <= 0 or not loss.prior_cwnd or tcb.cc.name == "none":
        return
    in_flight = tcb.in_flight
    delta = tcb.ssthresh - in_flight
    loss.prr_delivered += delivered
    if delta < 0:
        count = -(-tcb.ssthresh * loss.prr_delivered // loss.prior_cwnd) - loss.prr_out
    else:
        count = max(loss.prr_delivered - loss.prr_out, delivered)
        if advanced and not lost:
            count += 1
        count = min(delta, count)
    if loss.prr_delivered - loss.prr_out > 2 * _EXIT_BURST:
        count = min(count, 2 * delivered)              # the peer's window held us back: catch up at slow start's pace
    count = max(count, 0 if loss.prr_out else 1)       # entering recovery always sends one
    tcb.cwnd = max(in_flight + count, 1)


def end_reduction(tcb, loss):
    """Recovery is over: cwnd is what ssthresh says. If little is in flight, not all of it at once."""
    if tcb.ssthresh < INFINITE and (loss.phase is Phase.CWR or loss.undo_marker is not None):
        tcb.cwnd = tcb.ssthresh
        tcb.cwnd_stamp = tcb.now()
        if min(tcb.cwnd, tcb.snd_wnd // tcb.mss) > tcb.in_flight + _EXIT_BURST:
            pacing.refill(tcb)


# -- undo -----------------------------------------------------------------------------------------

def _init_undo(tcb, loss):
    loss.undo_marker = tcb.snd_una
    loss.undo_retrans = loss.retrans_out
    if loss.tlp_end is not None and loss.tlp_resent:
        loss.undo_retrans += 1
    if not loss.undo_retrans:
        loss.undo_retrans = -1                 # nothing sent again yet: nothing that could be needless


def _original_arrived(tcb, loss, news):
    """The timestamp echoed is older than our first retransmission: the ACK is for the original (RFC 3522)."""
    return loss.retrans_stamp is not None and news.older_than(loss.retrans_stamp)


def _may_undo(tcb, loss, news):
    return loss.undo_marker is not None and (loss.undo_retrans == 0 or _original_arrived(tcb, loss, news))


def _undo(tcb, loss, unmark, reason):
    """Take the last reduction back."""
    if unmark:
        for record in tcb.records:
            loss.unmark_lost(record)
    if loss.prior_ssthresh:
        tcb.cwnd = max(tcb.cwnd, loss.prior_cwnd)
        if loss.prior_ssthresh > tcb.ssthresh:
            tcb.ssthresh = loss.prior_ssthresh
            tcb.ecn_cwr = False
        tcb.cc.on_undo()
    tcb.cwnd_stamp = tcb.now()
    loss.undo_marker = None
    loss.rack_advanced = True
    if tcb.trace is not None:
        tcb.tell("undo", reason=reason, cwnd=tcb.cwnd, ssthresh=tcb.ssthresh)


def _any_retransmission(tcb):
    return bool(tcb.records) and (tcb.loss.retrans_out > 0 or tcb.records[0].ever)


def _stays_without_sack(tcb, loss):
    """NewReno: stay until something above high_seq is acknowledged, or old duplicates restart it (RFC 6582)."""
    if tcb.snd_una == loss.high_seq and not tcb.sack_ok:
        if not _any_retransmission(tcb):
            loss.retrans_stamp = None
        return True
    return False


def _try_undo_recovery(tcb, loss, news):
    """Recovery is complete. True: stay in this phase a little longer."""
    if _may_undo(tcb, loss, news):
        _undo(tcb, loss, False, "timestamp" if loss.undo_retrans else "DSACK")
    elif loss.rack_persist:
        loss.rack_persist -= 1
    if _stays_without_sack(tcb, loss):
        return True
    _enter(tcb, loss, Phase.OPEN)
    loss.reneged = False
    return False


def _try_undo_dsack(tcb, loss):
    """Every retransmission of this recovery was reported as a duplicate."""
    if loss.undo_marker is not None and not loss.undo_retrans:
        loss.rack_persist = min(16, loss.rack_persist + 1)
        _undo(tcb, loss, False, "DSACK")
        return True
    return False


def _try_undo_partial(tcb, loss, news, prior_una):
    """A partial ACK for originals: they were late, not lost. True: leave it at that for this ACK."""
    if loss.undo_marker is not None and _original_arrived(tcb, loss, news):
        loss.saw_reordering(tcb, prior_una)
        if loss.retrans_out:
            return True
        if not _any_retransmission(tcb):
            loss.retrans_stamp = None
        _undo(tcb, loss, True, "timestamp")
        _try_keep_open(tcb, loss)
    return False


def _try_undo_loss(tcb, loss, news, frto):
    """After a timeout: was it spurious?"""
    if not (frto or _may_undo(tcb, loss, news)):
        return False
    _undo(tcb, loss, True, "F-RTO" if frto else "timestamp" if loss.undo_retrans else "DSACK")
    tcb.retries = 0
    if _stays_without_sack(tcb, loss):
        return True
    if frto or tcb.sack_ok:
        _enter(tcb, loss, Phase.OPEN)
        loss.reneged = False
    return True


def _in_loss(tcb, loss, news, duplicates):
    """An ACK after a timeout (RFC 5682 sections 2.1 and 3.1)."""
    recovered = tcb.snd_una >= loss.high_seq
    if news.advanced and _try_undo_loss(tcb, loss, news, False):
        return
    if loss.frto:
        if news.original_delivered and _try_undo_loss(tcb, loss, news, True):
            return                             # data never sent again has arrived: nothing was lost
        if tcb.snd_nxt > loss.high_seq:
            if news.data_sacked or duplicates:
                loss.frto = False              # the loss was real
        elif news.advanced and not recovered:
            loss.high_seq = tcb.snd_nxt
            if has_unsent(tcb) and tcb.snd_window_end > tcb.snd_nxt:
                news.send_new = True           # try new data, or the FIN, before more retransmissions
                return
            loss.frto = False
    if recovered:
        _try_undo_recovery(tcb, loss, news)
        return
    if not tcb.sack_ok:
        if tcb.snd_nxt > loss.high_seq and duplicates:
            _add_duplicates(tcb, loss, news, duplicates)
        elif news.advanced:
            loss.sacked_out = 0
    loss.repair = True


def _try_keep_open(tcb, loss):
    phase = Phase.DISORDER if tcb.left_out or _any_retransmission(tcb) else Phase.OPEN
    if loss.phase is not phase:
        _enter(tcb, loss, phase)
        loss.high_seq = tcb.snd_nxt


def _try_to_open(tcb, loss, news):
    if not _any_retransmission(tcb):
        loss.retrans_stamp = None
    if news.ece:
        enter_cwr(tcb)
    if loss.phase is not Phase.CWR:
        _try_keep_open(tcb, loss)


# -- tail loss probes -----------------------------------------------------------------------------

def on_probe_acked(tcb, loss, news, ack):
    """Has the tail loss probe repaired a loss, or was it needless? (RFC 8985 section 7.4)"""
    if ack < loss.tlp_end:
        return
    if not loss.tlp_resent or news.tlp_duplicate:
        loss.tlp_end = None
    elif ack > loss.tlp_end:                   # the probe filled a hole: one loss, one reduction
        init_reduction(tcb, loss)
        _enter(tcb, loss, Phase.CWR)
        end_reduction(tcb, loss)
        _try_keep_open(tcb, loss)
    elif not (news.advanced or news.not_duplicate or news.data_sacked):
        loss.tlp_end = None


def on_reorder_timer(tcb):
    """RACK's reordering window is over: what has not come is lost. True if something was found lost."""
    loss = loss_state(tcb)
    before, lost_before = tcb.in_flight, tcb.lost_total
    wait = rack.detect(tcb, loss)
    if tcb.in_flight == before:
        alarm.rearm_rto(tcb)
        return False
    if loss.phase is not Phase.RECOVERY:
        enter_recovery(tcb, loss)
        reduce(tcb, loss, 1, tcb.lost_total - lost_before, False)
    if wait:
        tcb.arm("reorder", wait + 0.002)
    else:
        alarm.rearm_rto(tcb)
    return True


def resend_oversized(tcb):
    """The path takes smaller packets than we sent: those in flight that are too big are gone. They are sent again
    without being held against the window, for this was no congestion (RFC 1191 section 6.5)."""
    loss = loss_state(tcb)
    found = False
    for record in tcb.records:
        if not record.sacked and record.end - record.seq - record.fin > tcb.mss:
            count = -(-(record.end - record.seq - record.fin) // tcb.mss)
            loss.clear_resent(record)
            loss.mark_lost(tcb, record)
            loss.lost_out += count - record.count
            tcb.packets_out += count - record.count
            record.count = count
            found = True
    if found and not tcb.sack_ok:
        loss.sacked_out = 0                            # duplicate ACKs counted them; they are lost now
    loss.repair = loss.repair or found
    if found and loss.phase is not Phase.LOSS:
        loss.high_seq = tcb.snd_nxt
        tcb.ssthresh = remembered_ssthresh(tcb)
        loss.prior_ssthresh = 0
        loss.undo_marker = None
        _enter(tcb, loss, Phase.LOSS)
