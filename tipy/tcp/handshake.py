"""SYN-RECEIVED after a passive open: what a segment must look like before anything of it counts.

The peer may not have seen our SYN,ACK yet, so its segments are held against less than those of a connection: what
follows is the order of Linux's tcp_check_req. A simultaneous open is checked like any other connection (input.py).
"""

from tipy.tcp.challenge import allowed
from tipy.tcp.output import handshake_timeout, output, send_syn
from tipy.tcp.seq import MASK, ticks_back
from tipy.wire.tcp import ACK, RST, SYN


def may_go_on(tcb, seg):
    """True if the checks of RFC 9293 section 3.10.7.4 are next; else the segment has had its answer."""
    flags = seg.flags & (SYN | ACK | RST)
    past = not flags & RST and _is_past(tcb, seg)
    if flags == SYN and seg.seq == tcb.irs and not past:
        _again(tcb)
    elif flags & (ACK | RST) == ACK and seg.ack != tcb.iss + 1:        # whatever its place and its timestamp
        tcb.tcp.reset_for(tcb.path, tcb.local, tcb.remote, seg)
    elif past or not _in_window(tcb, seg) or flags & ACK and echo_is_wrong(tcb, seg):
        if not flags & RST:
            bare = seg.end == seg.seq or flags & SYN   # these are answered at a limited rate
            tcb.ack_now = not bare or allowed(tcb)
            output(tcb)
    elif flags & SYN and not flags & RST and seg.seq != tcb.irs:       # another one: this goes back to LISTEN
        tcb.tcp.reset_for(tcb.path, tcb.local, tcb.remote, seg)
        tcb.tcp.forget(tcb)
    else:
        return bool(flags & (ACK | RST))
    return False


def _again(tcb):
    """The same SYN: our SYN,ACK was lost, or is late. (It may come without the timestamps it had before: some peers
    leave out options when nobody answers.)"""
    if allowed(tcb):
        send_syn(tcb)
        tcb.arm("syn", handshake_timeout(tcb))


def _is_past(tcb, seg):
    stamp = seg.options.timestamp
    return tcb.ts_ok and stamp is not None and ticks_back(tcb.ts_recent, stamp[0]) > 1


def _in_window(tcb, seg):
    """Something new in it must lie in the window. A segment without text may also lie right behind it."""
    nxt, edge = tcb.rcv_nxt, tcb.rcv.edge
    return seg.seq == nxt or seg.end > nxt and seg.seq < edge or seg.seq == seg.end == edge


def echo_is_wrong(tcb, seg):
    """RFC 7323 section 3.2 as Linux: an echo of something we never sent discredits the segment."""
    stamp = seg.options.timestamp
    if stamp is None or not tcb.ts_ok or not stamp[1] or tcb.syn_sent_at is None:     # None: a cookie, nobody knows
        return False
    now = (int(tcb.now() * 1000) + tcb.ts_offset) & MASK
    sent = (int(tcb.syn_sent_at * 1000) + tcb.ts_offset) & MASK
    return (stamp[1] - sent) & MASK > (now - sent) & MASK
