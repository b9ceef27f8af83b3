"""The ACK step of segment_arrives (RFC 9293 section 3.10.7.4, fifth check): what was acknowledged, and what follows.

In this order: is the ACK acceptable; the send window; SACK blocks; which records are done; round-trip time; the
retransmission timer; loss recovery; congestion window. Nothing is sent here, `output` follows; only F-RTO, which wants
new data sent before retransmissions, sends that first.
"""

from tipy.link.base import LARGEST_PAYLOAD
from tipy.tcp import alarm, chrono, cwnd_validation, rack, recovery, sack
from tipy.tcp.loss import DUPLICATE_THRESHOLD, Phase, loss_state
from tipy.tcp.output import has_unsent, send_new
from tipy.tcp.seq import MASK
from tipy.tcp.states import CAN_SEND
from tipy.wire.tcp import ECE, SYN

_CHALLENGE, _DROP, _OK = "challenge", "drop", "ok"


class News:
    """What one ACK brought: filled step by step, read by loss recovery."""

    __slots__ = ("advanced", "acked", "data_sacked", "dsack", "tlp_duplicate", "original_delivered", "retrans_acked",
                 "not_duplicate", "ece", "lost_again", "set_timer", "reneging", "delivered", "first_sacked",
                 "last_sacked", "echo_ms", "send_new", "first_acked", "last_acked")

    def __init__(self):
        self.advanced = False              # SND.UNA moved
        self.acked = 0                     # wire segments newly acknowledged, in order
        self.data_sacked = self.dsack = self.tlp_duplicate = False
        self.original_delivered = False    # data sent once only was (S)ACKed, from below high_seq
        self.retrans_acked = self.not_duplicate = self.ece = self.lost_again = False
        self.set_timer = self.reneging = self.send_new = False
        self.delivered = 0                 # wire segments newly known delivered, in order or not
        self.first_sacked = self.last_sacked = self.first_acked = self.last_acked = None
        self.echo_ms = None                # when the segment echoed was sent, in ms of our clock

    def older_than(self, moment):
        """The timestamp echoed is older than what was sent at `moment`: the ACK is not for that (RFC 3522)."""
        return self.echo_ms is not None and self.echo_ms < int(moment * 1000)


def advance(tcb, ack, now):
    """SND.UNA moves to `ack`, and there is nothing else to say: the short form of `process` for a connection that has
    not lost anything so far (prediction.py)."""
    tcb.bytes_acked += ack - tcb.snd_una
    tcb.snd_una = ack
    tcb.retries = tcb.probes_out = tcb.keepalives_out = tcb.soft_error = 0
    tcb.last_heard = now
    first = tcb.records[0].sent_at
    acked, latest = _drop(tcb, ack, now)
    if latest is not None:
        rtt = tcb.rtt
        rtt.sample(now - first)
        if now - latest < rtt.min_rtt:
            rtt.min_rtt = now - latest
        tcb.cc.on_rtt(now - latest)
    if acked:
        alarm.rearm(tcb, now)
        tcb.cwnd_stamp = now
        if cwnd_validation.may_grow(tcb):
            tcb.cc.on_ack(acked)
    if tcb.trace is not None:
        _tell_window(tcb)


def tell_writer(tcb):
    """SND.UNA has moved: perhaps there is room worth waking the user for, if he may still write."""
    if tcb.state in CAN_SEND and tcb.enough_room:
        if tcb.wants_room:
            tcb.wants_room = False
            chrono.stop(tcb, chrono.BUFFER, tcb.now())
        tcb.tcp.gate.notify(tcb)


def _tell_window(tcb):
    tcb.tell("window", cwnd=tcb.cwnd, ssthresh=tcb.ssthresh, srtt=tcb.rtt.srtt, in_flight=tcb.in_flight)


def process(tcb, seg):
    """Apply the acknowledgment of `seg`. Returns "ok", "drop" (an ACK is due) or "challenge" (RFC 5961)."""
    una, ack = tcb.snd_una, seg.ack
    if ack > tcb.snd_nxt:
        return _DROP
    if ack < una - max(tcb.max_window, 1) and ack < una:
        return _CHALLENGE
    tcb.last_heard = tcb.now()
    tcb.probes_out = tcb.keepalives_out = 0
    news = News()
    if seg.options.timestamp is not None and tcb.ts_ok and seg.options.timestamp[1]:
        news.echo_ms = echo_ms(tcb, seg.options.timestamp[1])
    if ack < una:
        if seg.options.sack and tcb.sack_ok:
            _old(tcb, seg, news, una)
        return _OK
    news.advanced = ack > una
    news.not_duplicate = _update_window(tcb, seg) or len(seg.text) > 0
    if tcb.ecn_ok and seg.flags & ECE and not seg.flags & SYN:
        news.ece = True
    tcb.soft_error = 0
    tcb.snd_una = ack
    if tcb.packets_out:
        _in_flight(tcb, seg, news, una, ack)
    else:
        _nothing_in_flight(tcb, seg, news, una, ack)
    return _OK


def _nothing_in_flight(tcb, seg, news, una, ack):
    """Everything was acknowledged before: a late DSACK, or the answer to a window probe."""
    if tcb.loss is not None:
        if seg.options.sack and tcb.sack_ok:
            sack.tag(tcb, seg, news, una)
        if news.dsack:
            recovery.on_ack(tcb, tcb.loss, news, una, 0)
        if tcb.loss.tlp_end is not None:
            recovery.on_probe_acked(tcb, tcb.loss, news, ack)
    _window_may_have_opened(tcb)


def _in_flight(tcb, seg, news, una, ack):
    """The steps for an ACK of data in flight, in the order of this file's first lines."""
    lost_before = tcb.lost_total
    prior_fack = tcb.loss.fack if tcb.loss is not None and tcb.loss.sacked_out else una
    if seg.options.sack and tcb.sack_ok:
        sack.tag(tcb, seg, news, una)
    if news.advanced:
        tcb.retries = 0
        if tcb.loss is not None:
            tcb.loss.stalled_since = None
        tcb.bytes_acked += ack - una
        _clean(tcb, ack, news, prior_fack)
    if tcb.records and tcb.records[0].sacked:
        news.reneging = True
    _measure(tcb, news)
    loss = tcb.loss
    if loss is None and (news.ece or not (news.advanced or news.not_duplicate)):
        loss = loss_state(tcb)
    if loss is not None:
        _recover(tcb, loss, news, una, ack, seg.wire_count)
    if news.set_timer:
        alarm.rearm(tcb, tcb.now())
    if loss is not None and loss.reducing:
        recovery.reduce(tcb, loss, news.delivered + news.acked, tcb.lost_total - lost_before, news.advanced)
    elif news.acked or news.data_sacked and loss.reordering > DUPLICATE_THRESHOLD:
        tcb.cwnd_stamp = tcb.now()                     # where the path reorders, SACKs are progress as well
        if cwnd_validation.may_grow(tcb):
            tcb.cc.on_ack(news.delivered + news.acked)
    if tcb.trace is not None:
        _tell_window(tcb)
    if news.send_new:
        loss.frto = bool(send_new(tcb, nagle=False))
        loss.repair = not loss.frto


def _recover(tcb, loss, news, una, ack, wire_count):
    """Something is, or was, wrong: let loss recovery have a look."""
    rack.update_window(tcb, loss, una)
    if loss.tlp_end is not None:
        recovery.on_probe_acked(tcb, loss, news, ack)
    plain = news.advanced or news.not_duplicate
    if not plain or news.data_sacked or news.ece or news.dsack or loss.phase is not Phase.OPEN:
        duplicates = 0 if plain or news.dsack else wire_count
        recovery.on_ack(tcb, loss, news, una, duplicates)


def _old(tcb, seg, news, una):
    """An ACK that was overtaken: its SACK blocks are still news."""
    sack.tag(tcb, seg, news, una)
    loss = tcb.loss
    recovery.on_ack(tcb, loss, news, una, 0)


def _update_window(tcb, seg):
    """Take SND.WND from the segment unless it is older than the one it was last taken from, or takes back what was
    granted, as Linux does. True if it was taken: then the segment is no duplicate."""
    window = seg.wnd << tcb.snd_wscale if not seg.flags & SYN else seg.wnd
    if not (seg.ack > tcb.snd_una or brings_window(tcb, seg.seq, window)):
        return False
    tcb.snd_wl1 = seg.seq
    if window != tcb.snd_wnd:
        new_window(tcb, window)
    return True


def brings_window(tcb, seq, window):
    """May a segment at `seq` that acknowledges nothing new change SND.WND to `window`?"""
    return seq > tcb.snd_wl1 or seq == tcb.snd_wl1 and (window > tcb.snd_wnd or not window)


def new_window(tcb, window):
    """SND.WND is `window` from now on."""
    tcb.snd_wnd = window
    if has_unsent(tcb):
        cwnd_validation.restart_after_idle(tcb, tcb.now())
    if window > tcb.max_window:
        tcb.max_window = window
        tcb.update_mss()


def _window_may_have_opened(tcb):
    """Nothing was in flight: perhaps this is the answer to a window probe."""
    if tcb.pending == "persist":
        next_segment = max(min(tcb.snd_end - tcb.snd_nxt, tcb.mss), 1)
        if tcb.snd_window_end >= tcb.snd_nxt + next_segment:
            tcb.persist_backoff = 0
            tcb.persist_since = None
            tcb.disarm()
        else:
            tcb.persist_backoff = max(tcb.persist_backoff, tcb.rtt.backoff)
            alarm.watch_window(tcb)


def _clean(tcb, ack, news, prior_fack):
    """What `ack` acknowledges is done: draw the conclusions, then drop it."""
    loss = tcb.loss
    low = None
    for record in tcb.records:
        whole = record.end <= ack
        count = record.count if whole else _partial(tcb, record, ack)
        if not count:
            break
        if record.ever:
            news.retrans_acked = True
        elif not record.sacked:
            if not record.lost:                        # else it waited for a lost ACK: that is no round trip
                news.last_acked = record.sent_at
                if news.first_acked is None:
                    news.first_acked = record.sent_at
            if low is None:
                low = record.seq
            if loss is not None and record.end <= loss.high_seq:
                news.original_delivered = True
        if loss is not None:
            if record.sacked:
                news.delivered -= count                # counted when it was SACKed
            elif not (record.ever and news.older_than(record.sent_at)):
                rack.advance(tcb, loss, record)
            loss.forget(record, count)
        if not whole:
            break
    news.acked, latest = _drop(tcb, ack, tcb.now())
    if not news.acked and latest is None:
        return
    news.set_timer = news.not_duplicate = True
    if loss is None:
        return
    if not tcb.sack_ok:
        news.delivered += recovery.remove_duplicates(tcb, loss, news.acked) - news.acked
        if news.retrans_acked:
            news.original_delivered = False
    elif low is not None and low < prior_fack:
        loss.saw_reordering(tcb, low)                  # a hole filled without our doing


def _forget_marks(marks, ack):
    while marks and marks[0] <= ack:
        marks.pop(0)


def _drop(tcb, ack, now):
    """Forget records and bytes before `ack`. Returns (wire segments, when the last of them was sent or None)."""
    records = tcb.records
    if ack == tcb.snd_nxt and records:                 # all of it
        acked, latest = tcb.packets_out, records[-1].sent_at
        records.clear()
        tcb.packets_out = 0
    else:
        acked, latest = _drop_records(tcb, records, ack)
        tcb.packets_out -= acked
    tcb.delivered += acked
    queue = tcb.sendq
    if queue is not None and queue.start < ack:
        if ack < queue.end:
            queue.release(ack)
            _forget_marks(tcb.push_marks, ack)
            if tcb.record_ends:
                _forget_marks(tcb.record_ends, ack)
        else:
            queue.clear()
            chrono.rest(tcb, now)
            tcb.push_marks.clear()
            tcb.record_ends = None
    if tcb.snd_up < ack:
        tcb.snd_up = ack
    return acked, latest


def _drop_records(tcb, records, ack):
    """The same for the records, if `ack` may be anywhere among them."""
    done = acked = 0
    latest = None
    for record in records:
        if record.end > ack:
            count = _partial(tcb, record, ack)         # the first wire segments of a super-segment
            if count:
                tcb.tso_max = LARGEST_PAYLOAD          # it was cut on its way: large ones have no advantage there
                acked += count
                latest = record.sent_at
                record.count -= count
            record.seq = max(record.seq, ack)
            break
        done += 1
        acked += record.count
        latest = record.sent_at
    if done:
        del records[:done]
    return acked, latest


def _partial(tcb, record, ack):
    """How many of the wire segments of a record are acknowledged, if `ack` lies inside it."""
    if record.count == 1 or ack <= record.seq:
        return 0
    left = -(-(record.end - record.fin - ack) // tcb.mss) or 1
    return max(record.count - left, 0)


def _measure(tcb, news):
    """Take a round-trip sample: from data sent once only, or from the timestamp echoed (RFC 7323 section 4)."""
    now = tcb.now()
    if news.first_acked is not None and not news.retrans_acked:
        rtt = now - news.first_acked
        latest = now - news.last_acked
    elif news.first_sacked is not None:
        rtt = now - news.first_sacked
        latest = now - news.last_sacked
    elif news.acked and news.dsack:
        # Our retransmission arrived, as a duplicate: earlier ACKs were lost, and the timestamp echoed is as old as they
        # are. That measures nothing, but the network works.
        tcb.rtt.end_back_off()
        return
    elif news.acked and news.echo_ms is not None:
        rtt = latest = now - news.echo_ms / 1000
    else:
        return
    if rtt < 0:
        return
    tcb.rtt.sample(rtt)
    if latest < tcb.rtt.min_rtt:
        tcb.rtt.min_rtt = latest
    tcb.cc.on_rtt(latest)
    if not news.set_timer and news.first_sacked is not None and tcb.records and rtt > now - tcb.records[0].sent_at:
        news.set_timer = True


def echo_ms(tcb, echo):
    """When (ms of our clock) we sent the TSval that is echoed."""
    now = int(tcb.now() * 1000)
    return now - ((now + tcb.ts_offset - echo) & MASK)
