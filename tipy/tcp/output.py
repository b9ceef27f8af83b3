"""Sending: `output` is the one place that decides what a connection sends (RFC 9293 section 3.8).

User calls, arriving segments and timers change fields of the Tcb and call `output`. It looks, in this order:

1. lost segments, as far as cwnd allows, if an ACK asks for them (that, and which ones are lost, was decided in
   recovery.py): what the user does brings no retransmissions;
2. new data, as far as cwnd, the peer's window, Nagle and silly-window avoidance allow, with the FIN on its end;
3. an ACK, if one is due and nothing sent so far has carried it;
4. a timer, if something is left that nothing in flight will trigger.

Segments are cut in pieces of up to `tso_max` bytes, a multiple of the MSS, which the link cuts further; a link
without that talent gets one MSS at a time from the same code. transmit.py puts them into bytes.
"""

from bisect import bisect_right

from tipy.link.base import LARGEST_PAYLOAD
from tipy.tcp import alarm, chrono, cwnd_validation, pacing
from tipy.tcp.loss import Phase
from tipy.tcp.records import Sent, split
from tipy.tcp.states import CAN_TRANSMIT, OPENING, SYN_RECEIVED, SYN_SENT
from tipy.tcp.transmit import timestamp, transmit
from tipy.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN, TcpOptions, pack_options

ECT0 = 0x02
_SOON = 0.002                          # seconds
_BURST = 44                            # segments: 64 KB of ordinary size


def output(tcb, hold=False, nagle=True):
    """Send whatever may be sent now. hold=True (MSG_MORE): keep a partial segment back this time."""
    state = tcb.state
    if state in CAN_TRANSMIT:
        loss = tcb.loss
        if loss is not None and loss.repair:
            loss.repair = False
            retransmit_lost(tcb)
        queue = tcb.sendq
        if queue is not None and queue.end > tcb.snd_nxt or tcb.fin_queued and has_unsent(tcb):
            if tcb.packets_out or tcb.fin_queued or not send_alone(tcb, queue, hold):
                send_new(tcb, hold, nagle)
            if (tcb.waiters or tcb.readiness is not None) and tcb.lowat:
                tcb.tcp.gate.notify(tcb)                   # less is unsent now: perhaps the user may write
            if not tcb.packets_out and tcb.pending is None and has_unsent(tcb):
                alarm.watch_window(tcb)
    if tcb.ack_now:
        send_ack(tcb)


def has_unsent(tcb):
    """True if the user has written something (data or FIN) that was never sent."""
    return tcb.snd_nxt < tcb.snd_end + tcb.fin_queued


# -- new data -------------------------------------------------------------------------------------

def send_alone(tcb, queue, hold):
    """Nothing is in flight: if one segment holds all that is to be sent, and nothing stands in its way, send it. This is how
    a conversation goes, and only a short cut: the rest of `send_new` asks what has an answer here. False: not sent."""
    seq, end, cc = tcb.snd_nxt, queue.end, tcb.cc
    length = end - seq
    if (length > tcb.mss or end > tcb.snd_una + tcb.snd_wnd or tcb.cwnd < 1 or hold or tcb.options.cork or tcb.record_ends
            or tcb.pending is not None or tcb.loss is not None or tcb.sack_blocks or tcb.dsack is not None or tcb.ecn_ok
            or cc.pacing_rate is not None or tcb.refill_until is not None or tcb.chrono == chrono.WINDOW):
        return False
    marks, now = tcb.push_marks, tcb.now()
    if length < tcb.mss:
        tcb.small_end = end
    tcb.snd_nxt = end
    tcb.transmissions += 1
    tcb.records.append(Sent(seq, end, now, tcb.transmissions, 1))
    tcb.packets_out = 1
    transmit(tcb, seq, ACK | PSH if marks and marks[-1] == end else ACK, queue.slice(seq, end), length, length)
    alarm.rearm(tcb, now)
    cwnd_validation.validate(tcb, tcb.cwnd == 1, now)
    return True


def send_new(tcb, hold=False, nagle=True, limit=None):
    """Send data never sent before, at most `limit` segments; the number of segments sent."""
    mss = tso = most = segment_size(tcb)
    end_of_data, window_end, cwnd = tcb.snd_end, tcb.snd_una + tcb.snd_wnd, tcb.cwnd
    if end_of_data - tcb.snd_nxt > mss or tcb.packets_out > 1:
        tso = super_segment(tcb, mss)
        if tso > mss:                                      # at most half a window, a long one a quarter
            most = min(tso, max(min(cwnd >> 1, _BURST), cwnd >> 2, 1) * mss)
    sent, limited, blocked = 0, False, False
    rate = None
    if limit is None and (tcb.cc.pacing_rate is not None or tcb.refill_until is not None):
        rate = pacing.rate(tcb)
    while limit is None or limit > 0:
        seq = tcb.snd_nxt
        length = unsent = end_of_data - seq
        if tcb.record_ends:
            length = end_of_record(tcb) - seq
        together = length                                  # what may go out in one segment, if it is large enough
        fin = tcb.fin_queued
        if unsent < 0 or unsent == 0 and not fin:          # below 0: the FIN has been sent
            break
        quota = (cwnd - (tcb.packets_out if tcb.loss is None else tcb.in_flight)) * mss
        if quota <= 0:
            limited = True
            break
        piece = most
        if rate is not None:
            allowed = pacing.allowance(tcb, mss, rate)
            if not allowed:
                break
            piece = min(most, allowed)
        if length > mss:
            if length > piece:
                length = piece
            if length > quota:
                length = quota
            if limit is not None:
                length = min(length, limit * mss)
        window = window_end - seq
        if length > window:
            length = window // mss * mss                   # never a partial segment at the window's edge
            if length <= 0:
                blocked = True
                break
        if (length < piece and tso > mss and together == unsent and tcb.packets_out * mss >= tso and tcb.rtt.srtt < _SOON
                and not fin and limit is None):
            limited = quota < piece
            break                                          # the next ACK is near, and will find a full one
        partial = length % mss
        if partial and not (length == together and (together < unsent or _may_send_partial(tcb, hold, nagle))):
            length -= partial
        fin = fin and length == unsent and length < window
        if not length and not fin:
            break
        count = send_segment(tcb, seq, length, fin, mss)
        sent += count
        if rate is not None:
            pacing.sent(tcb, length, rate)
        if length == unsent and fin == tcb.fin_queued:     # that was all
            break
        if limit is not None:
            limit -= count
    _note_sending(tcb, sent, limited, blocked, limit is None)
    return sent


def _note_sending(tcb, sent, limited, blocked, probe):
    """After `send_new`: what was in the way, cwnd (`limited`) or the peer's window (`blocked`), and which timer runs."""
    now = tcb.now()
    if blocked:
        chrono.start(tcb, chrono.WINDOW, now)
    elif tcb.chrono == chrono.WINDOW:
        chrono.stop(tcb, chrono.WINDOW, now)
    loss, in_flight = tcb.loss, tcb.packets_out
    if loss is not None:
        in_flight = tcb.in_flight
        if loss.reducing:
            loss.prr_out += sent
    if sent and tcb.pending != "rto" and tcb.pending != "reorder":
        alarm.watch_new_data(tcb, probe, now)
    if sent or limited:
        cwnd_validation.validate(tcb, limited or in_flight >= tcb.cwnd, now)


def end_of_record(tcb):
    """Where the user's record (MSG_EOR) to which SND.NXT belongs ends, or all he has written."""
    marks = tcb.record_ends or ()
    index = bisect_right(marks, tcb.snd_nxt)
    return marks[index] if index < len(marks) else tcb.snd_end


def _may_send_partial(tcb, hold, nagle):
    """Nagle's question (RFC 9293 section 3.7.4), as Minshall put it: a segment smaller than the MSS waits
    while another such one is unacknowledged. CORK and MSG_MORE make it wait in any case, a FIN and urgent data in none."""
    if tcb.fin_queued or not nagle or tcb.snd_up > tcb.snd_una:
        return True
    options = tcb.options
    if hold or options.cork:
        return False
    return options.nodelay or not tcb.packets_out or tcb.small_end <= tcb.snd_una


def send_segment(tcb, seq, length, fin, mss):
    """Send seq..seq+length for the first time, with the FIN if `fin`, and remember that it is in flight.
    The number of wire segments."""
    end = seq + length
    flags = ACK | (FIN if fin else 0)
    if tcb.push_marks and _has_push(tcb, seq, end):
        flags |= PSH
    tos = 0
    if tcb.ecn_ok and length:
        tos = ECT0
        if tcb.ecn_cwr:
            tcb.ecn_cwr = False
            flags |= CWR
    if length % mss:
        tcb.small_end = end
    count = -(-length // mss) or 1
    tcb.snd_nxt = end + fin
    tcb.transmissions += 1
    tcb.records.append(Sent(seq, end + fin, tcb.now(), tcb.transmissions, count, fin))
    tcb.packets_out += count
    transmit(tcb, seq, flags, tcb.sendq.slice(seq, end) if length else [], length, mss, tos)
    return count


def _has_push(tcb, seq, end):
    """True if a write of the user's ended just here: what follows it in a segment makes it no end any more."""
    marks = tcb.push_marks
    if marks[-1] == end:                               # nearly always
        return end > seq
    index = bisect_right(marks, end)
    return index > 0 and marks[index - 1] == end > seq


def segment_size(tcb):
    """Payload of a full segment now: the MSS less the SACK blocks this segment has to carry."""
    blocks = tcb.sack_blocks
    if not blocks and tcb.dsack is None:
        return tcb.mss
    count = min(len(blocks or ()) + (tcb.dsack is not None), 3 if tcb.ts_ok else 4)
    return tcb.mss - 4 - 8 * count


def super_segment(tcb, mss):
    """Largest payload of one super-segment now, a multiple of `mss`; `mss` itself on a link that does not cut, and while
    there is urgent data, since the pieces would all have the same urgent pointer."""
    if tcb.snd_up > tcb.snd_una:
        return mss
    return min(tcb.path.link.tso_max, tcb.tso_max) // mss * mss or mss


# -- retransmissions ------------------------------------------------------------------------------

def retransmit_lost(tcb):
    """Send again what is marked lost and not yet sent again, oldest first, while cwnd allows."""
    loss = tcb.loss
    records = tcb.records
    index = 0
    rearm = False
    while index < len(records) and loss.retrans_out < loss.lost_out:
        quota = tcb.cwnd - tcb.in_flight
        if quota <= 0:
            break
        record = records[index]
        if record.lost and not record.sacked and not record.resent:
            if not retransmit(tcb, index, quota):
                break
            record.resent = True
            loss.retrans_out += record.count
            loss.note_retransmission(tcb, record)
            if tcb.trace is not None:
                tcb.tell("retransmit", seq=record.seq - tcb.iss, reason=_reason(tcb, loss))
            if loss.reducing:
                loss.prr_out += record.count
            if index == 0 and tcb.pending != "reorder":
                rearm = True
        index += 1
    if rearm:
        tcb.arm("rto", tcb.rtt.rto)


def _reason(tcb, loss):
    """Why a segment marked lost is sent again, for the trace."""
    if loss.phase is Phase.LOSS:
        return "RTO" if tcb.retries or loss.frto else "path MTU or RTO"
    return "RACK" if tcb.sack_ok and tcb.tcp.settings.recovery else "fast retransmit"


def retransmit(tcb, index, segments=1):
    """Send records[index] again, at most `segments` segments of it (the rest becomes a record of its own).
    False if the peer's window does not allow it."""
    record = tcb.records[index]
    mss = segment_size(tcb)
    if record.seq < tcb.snd_una:                       # part of it was acknowledged meanwhile
        record.seq = tcb.snd_una
    window = tcb.snd_window_end - record.seq
    if window <= 0:
        if record.seq != tcb.snd_una:
            return False
        window = mss
    tcb.tso_max = LARGEST_PAYLOAD                      # perhaps what is larger does not get through
    most = min(max(segments, 1) * mss, super_segment(tcb, mss))
    if most > window:
        most = max(window // mss * mss, min(window, mss))
    length = record.end - record.seq - record.fin
    if length > most:
        split(tcb, index, record.seq + most, mss)
        length = most
    elif length < mss and record.count == 1:
        length = _collapse(tcb, index, min(mss, window))
    fin = record.fin
    flags = ACK | (FIN if fin else 0)
    if tcb.push_marks and _has_push(tcb, record.seq, record.seq + length):
        flags |= PSH
    tcb.transmissions += 1
    record.sent_at, record.order = tcb.now(), tcb.transmissions
    record.ever, record.judged = True, False
    tcb.total_retrans += record.count
    views = tcb.sendq.slice(record.seq, record.seq + length) if length else []
    transmit(tcb, record.seq, flags, views, length, mss)
    return True


def _collapse(tcb, index, room):
    """Let small records that follow ride along with this one, as far as one segment holds them."""
    records = tcb.records
    record = records[index]
    loss = tcb.loss
    while index + 1 < len(records) and not record.fin:
        after = records[index + 1]
        length = after.end - record.seq - after.fin
        if length > room or after.count > 1 or after.sacked or tcb.record_ends and record.end in tcb.record_ends:
            break
        if after.lost or after.resent:
            loss.forget(after, after.count)
        tcb.packets_out -= after.count
        record.end, record.fin = after.end, after.fin
        del records[index + 1]
    return record.end - record.seq - record.fin


# -- ACKs, probes, resets -------------------------------------------------------------------------

def send_ack(tcb):
    """Send a bare ACK now."""
    if tcb.state in OPENING and not tcb.rcv_nxt:
        return
    transmit(tcb, _acceptable(tcb), ACK, [], 0, 0)


def _acceptable(tcb):
    """The sequence number of a segment without text: SND.NXT, but not beyond the window of a peer that has shrunk it,
    who might drop it (Linux's tcp_acceptable_seq)."""
    beyond = tcb.snd_nxt - tcb.snd_window_end
    in_handshake = tcb.listener is not None and tcb.state is SYN_RECEIVED
    if beyond <= 0 or in_handshake or tcb.wscale_ok and beyond < 1 << tcb.rcv.scale:
        return tcb.snd_nxt
    return tcb.snd_window_end


def send_probe(tcb):
    """A segment the peer must answer: empty, one below SND.UNA (window probe, keepalive)."""
    transmit(tcb, tcb.snd_una - 1, ACK, [], 0, 0)


def send_reset(tcb):
    """Tell the peer that this connection is gone."""
    if tcb.state is SYN_SENT:
        transmit(tcb, tcb.snd_nxt, RST, [], 0, 0)
    else:
        transmit(tcb, _acceptable(tcb), RST | ACK, [], 0, 0)


def handshake_timeout(tcb):
    """Seconds to wait for an answer to a SYN or SYN,ACK: 1, 2, 4 ..."""
    settings = tcb.tcp.settings
    return min(settings.rto_initial * (1 << tcb.retries), settings.rto_max)


def send_syn(tcb):
    """Send our SYN (SYN-SENT) or SYN,ACK (SYN-RECEIVED), first or again: same ISN, same options."""
    settings = tcb.tcp.settings
    first = not tcb.retries
    flags = SYN
    if tcb.state is SYN_RECEIVED:
        flags |= ACK
        if tcb.ecn_ok:
            flags |= ECE
    elif settings.ecn == 1 and first:
        flags |= ECE | CWR
    active = tcb.listener is None          # we offer what we can do; a SYN,ACK repeats what both can
    stamped = settings.timestamps if active else tcb.ts_ok
    options = TcpOptions(mss=tcb.advertised_mss,
                         window_scale=tcb.rcv.offered if (settings.window_scaling if active else tcb.wscale_ok) else None,
                         sack_permitted=bool(settings.sack) if active else tcb.sack_ok,
                         timestamp=(timestamp(tcb), tcb.ts_recent) if stamped else None)
    tcb.snd_nxt = tcb.iss + 1
    transmit(tcb, tcb.iss, flags, [], 0, 0, options=pack_options(options, True))

