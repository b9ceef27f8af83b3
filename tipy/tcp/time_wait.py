"""TIME-WAIT: both ends have said all they had to say, but old segments may still be on their way.

What can arrive, and what becomes of it (RFC 9293 section 3.10.7.4, in the order of Linux's tcp_timewait_state_process):

    a bare ACK or a RST at RCV.NXT    the ACK is what ends a handshake or a probe: nothing. The RST ends TIME-WAIT only
                                      if `rfc1337` is off (RFC 1337: it may be as old as everything else here)
    a SYN newer than all before       a listener may have it: the connection begins anew (RFC 6191)
    anything else but a RST           an ACK; a FIN says that our last ACK was lost
"""

from tipy.tcp.challenge import allowed
from tipy.tcp.options import Options
from tipy.tcp.output import send_ack
from tipy.tcp.seq import ticks_back
from tipy.wire.tcp import ACK, RST, SYN

_USUAL = Options()


def travel_light(tcb):
    """Nobody will ask this connection anything any more, and it sends nothing but ACKs: let go of what only a sender
    needs. A busy server has thousands of them."""
    tcb.stop_senders_timers()
    tcb.cc = tcb.rtt = tcb.loss = tcb.early = tcb.records = tcb.sendq = tcb.push_marks = tcb.record_ends = None
    if not vars(tcb.options):
        tcb.options = _USUAL


def segment_arrives(tcb, seg):
    """A segment for a connection in TIME-WAIT."""
    flags, stamp, settings = seg.flags, seg.options.timestamp, tcb.tcp.settings
    past = tcb.ts_ok and stamp is not None and ticks_back(tcb.ts_recent, stamp[0]) > 0
    if seg.seq == tcb.rcv_nxt and (seg.end == seg.seq or flags & RST) and not past:
        if flags & RST and not settings.rfc1337:
            tcb.tcp.forget(tcb)
            return
        if not flags & RST:
            tcb.arm_life(settings.time_wait)
        if stamp is not None and tcb.ts_ok:
            tcb.ts_recent, tcb.ts_recent_age = stamp[0], tcb.now()
        return
    if flags & RST:
        return
    if flags & SYN and not flags & ACK and not past and tcb.tcp.reopen_time_wait(tcb, seg):
        return
    if past or flags & ACK:
        tcb.arm_life(settings.time_wait)
    if seg.text or seg.end > seg.seq and not flags & SYN or allowed(tcb):
        send_ack(tcb)
