"""The text step of segment_arrives: putting the byte stream together, and when to acknowledge it.

In-order bytes go to the receive queue, early ones are kept until the gap before them is filled, and reported to the
peer as SACK blocks (RFC 2018): the newest first, after a DSACK if something came twice (RFC 2883).

ACKs (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2): at once for the first segments of a connection, for every
second full segment on the wire, for anything out of order, and for a FIN; when the user has read all there is, unless
an answer may be expected; else within `delayed_ack` seconds.
"""

from tipy.buffers import ReceiveQueue, Reassembly
from tipy.wire.tcp import CWR, FIN, PSH

_MAX_QUICK = 16                # segments acknowledged at once when a connection starts
_MAX_BLOCKS = 4
_WORTH_ROOM = 128              # bytes; shorter segments do not open the window further
_ECN_CE = 3


def receive(tcb, seg):
    """Take the text or FIN of `seg`, which the sequence check has let pass. True if anything new is readable."""
    text, seq = seg.text, seg.seq
    end = seq + len(text)
    if seg.flags & CWR and tcb.ecn_ok:
        tcb.ecn_echo = False
        tcb.ack_now = True                             # the peer's window may be down to one segment
    nxt = tcb.rcv_nxt
    if seg.end <= nxt:                                 # all of it is old: say so
        came_again(tcb, seq, seg.end)
        return False
    if not text:
        if seg.flags & FIN and seq > nxt:
            _early_fin(tcb, seq)
        return False
    if tcb.ecn_ok:
        _heed_marks(tcb, seg.tos & _ECN_CE)
    tcb.data_segs_in += seg.wire_count
    if end <= nxt:                                     # old text, a new FIN
        _duplicate(tcb, seq, end)
        return False
    if seq < nxt:
        _duplicate(tcb, seq, nxt)
        text = text[nxt - seq:]
        seq = nxt
    if tcb.options.rcvbuf and _refused(tcb, seq > nxt):
        return False
    if seq > nxt:
        _keep_early(tcb, seg, text)
        return False
    if tcb.rcv.current(nxt) == 0:                      # a window probe: its text is not taken
        tcb.ack_now = True
        return False
    _in_order(tcb, seg, text)
    return True


def _heed_marks(tcb, mark):
    """Congestion on the way of new text is echoed until CWR comes, and two ACKs go at once, since the peer's window may be
    small; also if a mark is missing, which it is on retransmissions (RFC 3168 section 6.1; Linux)."""
    if mark == _ECN_CE and not tcb.ecn_echo or not mark and tcb.ecn_seen:
        _hurry(tcb, 2)
    if mark:
        tcb.ecn_seen = True
        tcb.ecn_echo = tcb.ecn_echo or mark == _ECN_CE


def _refused(tcb, early):
    """True if the user has made the buffer (SO_RCVBUF) smaller than what waits in it: then no text is taken. As on Linux
    bytes count twice, a segment that comes next finds an empty queue open, and for it early text is let go."""
    limit = tcb.options.rcvbuf
    waiting = tcb.receiveq.length if tcb.receiveq is not None else 0
    kept = len(tcb.early) if tcb.early is not None else 0
    if 2 * (waiting + kept) <= limit or not early and not waiting:
        return False
    if kept and not early:
        tcb.early = tcb.sack_blocks = None             # RFC 2018 section 8 allows it
        if 2 * waiting <= limit:
            return False
    tcb.tcp.counters["tcp.drop_receive_queue_full"] += 1
    tcb.ack_now = True
    return True


def beyond_window(tcb, seg):
    """True for text or a FIN that begins where the window ends: it is not taken, and the peer hears so at once. (A bare
    FIN that comes next needs no window.)"""
    if seg.seq < tcb.rcv.edge or seg.seq == tcb.rcv_nxt and not seg.text:
        return False
    if seg.text:
        tcb.data_segs_in += seg.wire_count
    tcb.ack_now = True
    _hurry(tcb)
    return True


def take(tcb, text, flags, size, count, now):
    """The text of a segment that is known to be the next one and to fit the window, while nothing is there early: the short
    form of `receive` (prediction.py). size, count: of its wire segments."""
    tcb.data_segs_in += count
    if tcb.options.rcvbuf and _refused(tcb, False):
        return
    length = _append(tcb, text)
    if tcb.sack_blocks:
        tcb.sack_blocks = [block for block in tcb.sack_blocks if block[1] > tcb.rcv_nxt]
    _note_size(tcb, size, flags)
    if size >= _WORTH_ROOM:
        tcb.rcv.data_arrived(length)
    _schedule_ack(tcb, size, count, now)


def _append(tcb, text):
    """`text` is next: it can be read. Its length."""
    queue = tcb.receiveq
    if queue is None:
        queue = tcb.receiveq = ReceiveQueue()
    length = queue.append(text)
    tcb.rcv_nxt += length
    tcb.bytes_received += length
    return length


def _in_order(tcb, seg, text):
    _append(tcb, text)
    if seg.flags & FIN:
        tcb.early = tcb.sack_blocks = None             # here the stream ends, whatever came early behind it
    queue, nxt = tcb.receiveq, tcb.rcv_nxt
    early = tcb.early
    if early is not None and early.ranges:
        first = early.ranges[0]
        if first[0] < nxt:                             # what had come early has come again
            _duplicate(tcb, first[0], min(first[1], nxt))
        before = nxt
        for view in early.pop_ready(nxt):
            queue.append(view)
            nxt += len(view)
        tcb.rcv_nxt = nxt
        tcb.bytes_received += nxt - before
        tcb.sack_blocks = [block for block in tcb.sack_blocks or () if block[1] > nxt]
        tcb.ack_now = True                             # a gap was filled, wholly or in part (RFC 5681)
    elif tcb.sack_blocks:
        tcb.sack_blocks = [block for block in tcb.sack_blocks if block[1] > nxt]
    if tcb.fin_at is not None and tcb.fin_at < tcb.rcv_nxt:
        _duplicate(tcb, tcb.fin_at, tcb.fin_at + 1)    # the stream goes on: that FIN was not the peer's, its number
        tcb.fin_at = None                              # was used twice
    _note_size(tcb, seg.wire_mss, seg.flags)
    if seg.wire_mss >= _WORTH_ROOM:
        tcb.rcv.data_arrived(len(text))
    _schedule_ack(tcb, seg.wire_mss, seg.wire_count, tcb.now())


def _note_size(tcb, size, flags):
    """What a segment's size tells, as Linux guesses it: the size of a full one, or that the peer's program has said
    all it had to say (`pushed`; 2 = more than once): then it may wait for our ACK."""
    last, tcb.last_size = tcb.last_size, 0
    if size >= tcb.rcv_mss:
        if size > tcb.rcv_mss:
            tcb.rcv_mss = min(size, tcb.advertised_mss)
        if flags & PSH and not tcb.pushed:
            tcb.pushed = 1
        return
    if size >= 536 or size >= 88 and not flags & PSH:
        tcb.last_size = size
        if size == last:                               # twice the same: full segments are as small as that now
            tcb.rcv_mss = size
            return
    tcb.pushed = 2 if tcb.pushed else 1


def read(tcb, queued):
    """The user has read, `queued` bytes are left. True if the ACK that is due should go now, not wait for company."""
    if not tcb.ack_due:
        return False
    return (tcb.rcv_nxt - tcb.last_ack_sent > tcb.rcv_mss
            or not queued and (tcb.pushed == 2 or tcb.pushed == 1 and not tcb.interactive))


def _schedule_ack(tcb, size, count, now):
    """Data has arrived in order, in `count` segments of `size` bytes: acknowledge it now, or a little later?"""
    if tcb.quick_acks is None:
        tcb.quick_acks = _quick(tcb)
    elif now - tcb.last_received > tcb.rtt.rto:        # after a silence the sender is in slow start again
        tcb.quick_acks = max(tcb.quick_acks, _quick(tcb))
    tcb.last_received = now
    if size >= tcb.rcv_mss:
        tcb.full_segments += count
    elif tcb.rcv_nxt - tcb.last_ack_sent > tcb.rcv_mss:
        tcb.full_segments += 2
    if tcb.full_segments >= 2 or tcb.ack_now or tcb.quick_acks and not tcb.interactive:
        tcb.ack_now = True
    else:
        tcb.ack_due = True
        timer = tcb.delayed_ack
        if timer is None:
            timer = tcb.delayed_ack = tcb.tcp.timer(tcb, "delayed_ack")
        if timer.deadline is None:                     # it is not running
            timer.restart_at(now + tcb.tcp.settings.delayed_ack)


def came_again(tcb, left, right):
    """A segment of nothing new: the peer must learn at once what we have."""
    tcb.ack_now = True
    _hurry(tcb)
    _duplicate(tcb, left, right)


def _hurry(tcb, most=_MAX_QUICK):
    """Acknowledge the next segments at once, at most so many."""
    if tcb.quick_acks is not None:
        tcb.quick_acks = max(tcb.quick_acks, min(_quick(tcb), most))
        tcb.interactive = False


def _quick(tcb):
    return min(tcb.rcv.wnd // (2 * tcb.rcv_mss) or 2, _MAX_QUICK)


def _duplicate(tcb, left, right):
    """Bytes that were here already: the next ACK says which."""
    if tcb.sack_ok and tcb.tcp.settings.dsack:
        if tcb.dsack is not None and left <= tcb.dsack[1] and right >= tcb.dsack[0]:
            tcb.dsack = min(left, tcb.dsack[0]), max(right, tcb.dsack[1])
        elif tcb.dsack is None:
            tcb.dsack = left, right


def _keep_early(tcb, seg, text):
    """A segment ahead of a gap: keep it, tell the peer."""
    seq = seg.seq
    tcb.ack_now = True
    if tcb.early is None:
        tcb.early = Reassembly(tcb.tcp.settings.max_early_ranges)
    kept = tcb.early.insert(seq, text)
    if kept is None:
        tcb.tcp.counters["tcp.drop_early_full"] += 1
        return
    _note_size(tcb, seg.wire_mss, seg.flags)
    left, right, duplicate = kept
    if tcb.accepted or tcb.listener is None:
        tcb.rcv.data_arrived(len(text))
    if not tcb.sack_ok:
        return
    if seg.flags & FIN and any(known > tcb.fin_at >= start for start, known in tcb.sack_blocks or ()):
        start, end = duplicate or (tcb.fin_at, tcb.fin_at) # its FIN comes for the second time
        if end == tcb.fin_at:
            duplicate = start, end + 1
    if duplicate is not None:
        _duplicate(tcb, *duplicate)
    _report(tcb, left, right)


def _report(tcb, left, right):
    """left..right has come early: the newest block, first, and joined with those it touches."""
    if right == tcb.fin_at:
        right += 1                                     # the FIN has a sequence number as well
    blocks = []
    for block in tcb.sack_blocks or ():
        if block[1] < left or block[0] > right:
            blocks.append(block)
        else:
            left, right = min(left, block[0]), max(right, block[1])
    blocks.insert(0, (left, right))
    tcb.sack_blocks = blocks[:_MAX_BLOCKS]


def _early_fin(tcb, seq):
    """A FIN without text ahead of a gap."""
    tcb.ack_now = True
    if not tcb.sack_ok or seq != tcb.fin_at:
        return
    if any(left <= seq < right for left, right in tcb.sack_blocks or ()):
        _duplicate(tcb, seq, seq + 1)
    _report(tcb, seq, seq)


def note_fin(tcb, seg):
    """The segment carries a FIN: where the stream ends. It counts once everything before it has arrived."""
    if seg.flags & FIN and seg.end > tcb.rcv_nxt and (tcb.fin_at is None or seg.seq <= tcb.rcv_nxt):
        tcb.fin_at = seg.end - 1


def fin_reached(tcb):
    """True if the peer's FIN is the next thing in the stream."""
    return tcb.fin_at is not None and tcb.rcv_nxt == tcb.fin_at and not tcb.eof
