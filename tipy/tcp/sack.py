"""Reading SACK blocks: which of the segments in flight has the peer got? (RFC 2018, 2883, 6675)

The blocks of an ACK mark records as SACKed, splitting those they cut. A first block that lies below the ACK, or
inside the second block, is a DSACK: it reports data that arrived twice, so a retransmission was needless.
"""

from tipy.tcp import rack
from tipy.tcp.loss import Phase, loss_state
from tipy.tcp.records import find, split
from tipy.tcp.seq import unwrap


def tag(tcb, seg, news, prior_una):
    """Apply the SACK blocks of `seg` to the records; what is learned goes into `news` (ack.News)."""
    loss = loss_state(tcb)
    una = tcb.snd_una
    blocks = [(unwrap(left, una), unwrap(right, una)) for left, right in seg.options.sack]
    if not loss.sacked_out:
        loss.fack = una                        # where the peer has reneged, what it had is forgotten
    duplicate = _duplicate(tcb, loss, seg.ack, blocks, news, prior_una)
    if seg.ack < prior_una - tcb.max_window or not tcb.packets_out:
        return
    low = tcb.snd_nxt
    valid = [(block, index == 0 and duplicate) for index, block in enumerate(blocks)
             if _valid(tcb, loss, *block, index == 0 and duplicate)]
    for (left, right), is_duplicate in sorted(valid):
        low = min(low, _mark(tcb, loss, left, right, is_duplicate, news))
    if loss.phase is not Phase.LOSS or loss.undo_marker is not None:
        if low < loss.fack:
            loss.saw_reordering(tcb, low)
    _merge(tcb)


def _duplicate(tcb, loss, ack, blocks, news, prior_una):
    """Is the first block a DSACK? If so, account for it (RFC 2883 section 4)."""
    left, right = blocks[0]
    if not (left < ack or len(blocks) > 1 and right <= blocks[1][1] and left >= blocks[1][0]):
        return False
    length = right - left
    if length <= 0 or length > tcb.max_window:
        return False
    count = -(-length // tcb.mss)
    if count == 1 and loss.tlp_end is not None and loss.tlp_end == right:
        news.tlp_duplicate = True
    loss.dsack_count += count
    if loss.dsack_count > tcb.total_retrans:
        return False                           # the network duplicated it, not we
    loss.dsack_seen = True
    if loss.reordering_seen and not news.tlp_duplicate:
        loss.rack_dsack = True
    news.dsack = True
    news.delivered += count
    if loss.undo_marker is not None and loss.undo_retrans > 0 and loss.undo_marker < right <= prior_una:
        loss.undo_retrans = max(loss.undo_retrans - count, 0)
    return True


def _valid(tcb, loss, left, right, duplicate):
    """Could the peer have meant this block? (as Linux's tcp_is_sackblock_valid)"""
    if right > tcb.snd_nxt or left >= right or left >= tcb.snd_nxt:
        return False
    if left > tcb.snd_una:
        return True                            # one that begins at SND.UNA contradicts its own ACK
    if not duplicate or loss.undo_marker is None:
        return False
    if right > tcb.snd_una:
        return False
    return left >= loss.undo_marker or right > loss.undo_marker and left >= right - tcb.max_window


def _mark(tcb, loss, left, right, duplicate, news):
    """Mark what lies in left..right as SACKed. Returns the lowest sequence number that had been overtaken."""
    records, mss = tcb.records, tcb.mss
    low = tcb.snd_nxt
    index = max(find(records, left), 0)
    while index < len(records):
        record = records[index]
        if record.seq >= right:
            break
        if record.count > 1 and (duplicate or not record.sacked) and (record.seq < left or record.end > right):
            if record.seq < left:              # the block begins inside: keep what is before it apart
                at = record.seq + -(-(left - record.seq) // mss) * mss
            else:                              # it ends inside: whole segments only
                at = record.seq + (right - record.seq) // mss * mss
            if record.seq < at < record.end:
                split(tcb, index, at, mss)
                record = records[index]
        if record.seq >= left and record.end <= right:
            low = min(low, _delivered(tcb, loss, record, duplicate, news))
        index += 1
    return low


def _delivered(tcb, loss, record, duplicate, news):
    """The peer has this record. Returns its sequence number if it was overtaken (reordering), else snd_nxt."""
    overtaken = tcb.snd_nxt
    if duplicate and record.ever:
        if loss.undo_marker is not None and loss.undo_retrans > 0 and record.end > loss.undo_marker:
            loss.undo_retrans = max(loss.undo_retrans - record.count, 0)
        if record.sacked and record.seq < loss.fack:
            overtaken = record.seq
    if record.end <= tcb.snd_una:
        return overtaken                       # this very ACK has it, too
    if not record.sacked:
        rack.advance(tcb, loss, record)
        if record.resent:
            # a retransmission not marked lost stays counted as in flight: it may yet arrive
            if record.lost:
                loss.unmark_lost(record)
                loss.clear_resent(record)
        else:
            if not record.ever:
                if record.seq < loss.fack:
                    overtaken = record.seq     # never sent again, yet here: the path reorders
                if record.end <= loss.high_seq:
                    news.original_delivered = True
                if not record.lost:            # else it waited for a lost ACK: that is no round trip
                    if news.first_sacked is None:
                        news.first_sacked = record.sent_at
                    news.last_sacked = record.sent_at
            loss.unmark_lost(record)
        record.sacked = True
        loss.sacked_out += record.count
        news.data_sacked = True
        news.delivered += record.count
        tcb.delivered += record.count
        loss.fack = max(loss.fack, record.end)
    if duplicate:
        loss.clear_resent(record)
    return overtaken


def _merge(tcb):
    """Join neighbouring SACKed records that have nothing else to tell, so that the list stays short."""
    records = tcb.records
    previous, kept = None, []
    for record in records:
        if (previous is not None and previous.sacked and record.sacked and previous.ever == record.ever
                and not previous.resent and not record.resent and not previous.fin):
            previous.end, previous.fin = record.end, record.fin
            previous.count += record.count
        else:
            kept.append(record)
            previous = record
    if len(kept) != len(records):
        records[:] = kept
