"""segment_arrives: RFC 9293 section 3.10.7, in its order.

CLOSED and LISTEN belong to no connection: layer.py and listen.py. SYN-SENT (3.10.7.3) and TIME-WAIT (time_wait.py) have
functions of their own. In all other states every segment passes the same numbered checks (3.10.7.4), each a small
function that says whether to go on:

    0  PAWS (RFC 7323 section 5)       4  the SYN bit
    1  the sequence number             5  the ACK field
    2  the RST bit                     6  the URG bit
    3  (security: obsolete)            7  the segment text,  8  the FIN bit

Then `output` sends what has become due. Left out of the RFC: precedence and security. Added: challenge ACKs (5961).
"""

import errno

from tipy.tcp import ack, handshake, text, time_wait, urgent
from tipy.tcp.challenge import allowed, challenge
from tipy.tcp.listen import offered_ecn
from tipy.tcp.output import output, send_ack, send_syn
from tipy.tcp.seq import MASK, ticks_back
from tipy.tcp.states import (CAN_RECEIVE, CAN_SEND, CLOSED, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2,
                             LAST_ACK, SYN_RECEIVED, SYN_SENT, TIME_WAIT)
from tipy.wire.tcp import ACK, CWR, ECE, FIN, NO_OPTIONS, PSH, RST, SYN, URG

PAWS_FORGET = 24 * 86400.0     # a timestamp this old says nothing any more (RFC 7323 section 5.5)
PAWS_WINDOW = 1                # ticks by which a timestamp may run backwards, as on Linux
_AFTER_FIN = frozenset({CLOSE_WAIT, LAST_ACK, CLOSING})


def segment_arrives(tcb, seg):
    """Process a segment for a connection in any state but CLOSED and LISTEN."""
    tcb.segs_in += seg.wire_count
    if tcb.state is SYN_SENT:
        syn_sent(tcb, seg)
        return
    seg.unwrap(tcb.rcv_nxt, tcb.snd_una)
    if tcb.state is TIME_WAIT:
        time_wait.segment_arrives(tcb, seg)
        return
    if tcb.state is SYN_RECEIVED and tcb.listener is not None and not handshake.may_go_on(tcb, seg):
        return
    if not seg.flags & (ACK | RST | SYN):
        return                                         # no peer of ours would say that; Linux does not answer it either
    for check in CHECKS:
        if not check(tcb, seg):
            break
    output(tcb)


# -- 3.10.7.3 SYN-SENT ----------------------------------------------------------------------------

def syn_sent(tcb, seg):
    """A segment in SYN-SENT."""
    flags = seg.flags
    seg.unwrap(seg.seq, tcb.snd_una)
    if flags & ACK:
        if not tcb.iss < seg.ack <= tcb.snd_nxt or handshake.echo_is_wrong(tcb, seg):
            if not flags & RST:
                tcb.tcp.reset_for(tcb.path, tcb.local, tcb.remote, seg)
            return
        if flags & RST:
            tcb.tcp.fail(tcb, errno.ECONNREFUSED)
            return
    elif flags & RST:
        return
    if not flags & SYN:
        return
    tcb.irs = seg.seq
    tcb.rcv_nxt = tcb.rcv_up = seg.seq + 1
    negotiate(tcb, seg)
    tcb.rcv.edge = tcb.rcv_nxt + tcb.rcv.wnd
    tcb.last_ack_sent = tcb.rcv_nxt
    if flags & ACK:
        tcb.ecn_ok = tcb.tcp.settings.ecn == 1 and flags & (ECE | CWR) == ECE
        _syn_acked(tcb, seg)
        tcb.enter(ESTABLISHED)
        tcb.tcp.established(tcb)
        _rest_of_syn(tcb, seg)
        tcb.ack_now = True                             # carried by the first data, if there is some
        output(tcb)
        tcb.tcp.gate.notify(tcb)
    else:                                              # simultaneous open: both ends have sent a SYN
        tcb.enter(SYN_RECEIVED)
        tcb.ecn_ok = tcb.tcp.settings.ecn == 1 and offered_ecn(flags)
        tcb.snd_wnd, tcb.snd_wl1 = seg.wnd, seg.seq
        tcb.max_window = max(tcb.max_window, seg.wnd)
        send_syn(tcb)


def negotiate(tcb, seg):
    """Take over what the peer's SYN offers: an option counts if both sides have sent it."""
    options, settings = seg.options, tcb.tcp.settings
    tcb.peer_mss = max(options.mss or 536, 48)
    tcb.sack_ok = tcb.sack_ok and options.sack_permitted
    if tcb.ts_ok and options.timestamp is not None:
        tcb.ts_recent = options.timestamp[0]
        tcb.ts_recent_age = tcb.now()
    else:
        tcb.ts_ok = False
    tcb.wscale_ok = bool(settings.window_scaling) and options.window_scale is not None
    if tcb.wscale_ok:
        tcb.snd_wscale = min(options.window_scale, 14)
    else:
        tcb.snd_wscale = 0
        tcb.rcv.no_scaling()
    tcb.update_mss()
    tcb.rcv_mss = max(min(tcb.advertised_mss, tcb.mss, max(tcb.rcv.wnd // 2, 88), 536), 88)


def _syn_acked(tcb, seg):
    """Our SYN is acknowledged: measure the round trip, take the window."""
    tcb.snd_una = seg.ack
    tcb.snd_wnd = seg.wnd if seg.flags & SYN else seg.wnd << tcb.snd_wscale
    tcb.snd_wl1 = seg.seq
    tcb.max_window = max(tcb.max_window, tcb.snd_wnd)
    tcb.last_heard = tcb.last_received = tcb.last_sent = now = tcb.now()
    if not tcb.retries and tcb.syn_sent_at is not None:
        tcb.rtt.sample(now - tcb.syn_sent_at)
    elif tcb.ts_ok and seg.options.timestamp is not None and seg.options.timestamp[1]:
        tcb.rtt.sample(max(now - ack.echo_ms(tcb, seg.options.timestamp[1]) / 1000, 0.0))
    elif tcb.retries:
        tcb.rtt.syn_was_lost()
    if tcb.retries > 1:
        tcb.cwnd = min(tcb.cwnd, 1) if tcb.cc.name != "none" else tcb.cwnd
    tcb.retries = 0
    tcb.disarm()
    tcb.update_mss()
    tcb.rcv.connected(tcb.advertised_mss)


def _rest_of_syn(tcb, seg):
    """Text or FIN that came with the SYN,ACK."""
    if seg.text or seg.flags & FIN:
        seg.seq += 1
        text_step(tcb, seg)
        fin_step(tcb, seg)


# -- 3.10.7.4 all other states --------------------------------------------------------------------

def paws_step(tcb, seg):
    """Protection against wrapped sequence numbers (RFC 7323 section 5): drop segments from the past."""
    if not tcb.ts_ok:
        return True
    stamp = seg.options.timestamp
    if stamp is None:
        if seg.flags & (RST | SYN):
            return True                                # a SYN is always challenged: a peer that began anew must learn
        tcb.tcp.counters["tcp.drop_no_timestamp"] += 1
        return False
    if ticks_back(tcb.ts_recent, stamp[0]) <= PAWS_WINDOW:
        return True
    if tcb.now() - tcb.ts_recent_age > PAWS_FORGET or seg.flags & RST or _disordered(tcb, seg):
        return True
    tcb.tcp.counters["tcp.drop_paws"] += 1
    if seg.flags & SYN:
        challenge(tcb)
    else:
        _out_of_window(tcb, seg)
    return False


def _disordered(tcb, seg):
    """True for a bare ACK that tells nothing new and is only a little late: it was overtaken, by a card with several
    queues perhaps. Linux does not answer it either."""
    if not seg.flags & ACK or seg.end != seg.seq or seg.seq != tcb.rcv_nxt or seg.ack != tcb.snd_una:
        return False
    if ack.brings_window(tcb, seg.seq, seg.wnd << tcb.snd_wscale):
        return False
    return ticks_back(tcb.ts_recent, seg.options.timestamp[0]) <= tcb.rtt.rto * 1200     # ms: 1.2 RTO


def sequence_step(tcb, seg):
    """First check: does the segment lie in the receive window? Else it is answered with an ACK."""
    nxt = tcb.rcv_nxt
    edge = tcb.rcv.edge
    seq, end = seg.seq, seg.end - (seg.flags & FIN)    # a bare FIN needs no window
    if seq == nxt and end <= edge:
        return True
    if seg.flags & RST and seq >= edge and seq != nxt:
        return False                                   # RFC 5961: outside the window, however slightly
    if seg.end >= tcb.last_ack_sent and seq <= edge:
        if (seg.end <= edge if tcb.eof else end <= edge or tcb.receiveq is None or not tcb.receiveq.length):
            return True
    tcb.tcp.counters["tcp.drop_sequence"] += 1
    if seg.flags & RST:
        if tcb.state in _AFTER_FIN and seq == nxt - 1:
            _reset(tcb)
        return False
    if seg.flags & SYN:
        challenge(tcb)
        return False
    _out_of_window(tcb, seg)
    return False


def _out_of_window(tcb, seg):
    """Answer with an ACK; a DSACK says which bytes came again (RFC 2883)."""
    if seg.end == seg.seq:                             # no text: mind the rate, or two ends might echo for ever
        tcb.ack_now = allowed(tcb) or tcb.ack_now
        return
    tcb.ack_now = True
    if seg.seq < tcb.rcv_nxt:
        text.came_again(tcb, seg.seq, min(seg.end, tcb.rcv_nxt))


def rst_step(tcb, seg):
    """Second check (RFC 5961 section 3): only a RST at exactly RCV.NXT resets."""
    if not seg.flags & RST:
        return True
    if seg.seq == tcb.rcv_nxt or tcb.state in _AFTER_FIN and seg.seq == tcb.rcv_nxt - 1:
        _reset(tcb)
    elif tcb.sack_blocks and seg.seq == max(right for _, right in tcb.sack_blocks):
        _reset(tcb)                                    # the peer has counted early data it never saw us ask for
    else:
        challenge(tcb)
    return False


def _reset(tcb):
    """The peer's RST is good: the connection is gone."""
    tcb.tcp.counters["tcp.resets_in"] += 1
    if tcb.state is SYN_RECEIVED and tcb.listener is not None:
        tcb.tcp.forget(tcb)                            # a passive open goes back to LISTEN, silently
    else:
        tcb.tcp.fail(tcb, errno.EPIPE if tcb.state is CLOSE_WAIT else errno.ECONNRESET)


def syn_step(tcb, seg):
    """Fourth check (RFC 5961 section 4): a SYN on a live connection is challenged, wherever it lies."""
    if not seg.flags & SYN:
        return True
    if (tcb.state is SYN_RECEIVED and tcb.listener is None and seg.seq == tcb.irs and seg.flags & ACK
            and seg.end == seg.seq + 1 and seg.ack == tcb.snd_nxt):
        return True                                    # simultaneous open: the peer's half of it
    challenge(tcb)
    return False


def ack_step(tcb, seg):
    """Fifth check: the ACK field; with it SYN-RECEIVED becomes ESTABLISHED and our FIN may be acknowledged."""
    if not seg.flags & ACK:
        return False
    if tcb.state is SYN_RECEIVED and not _complete_handshake(tcb, seg):
        return False
    _update_timestamp(tcb, seg)
    before = tcb.snd_una
    verdict = ack.process(tcb, seg)
    if verdict != "ok":
        challenge(tcb)
        return False
    if tcb.snd_una > before:
        _after_ack(tcb)
    return tcb.state is not CLOSED and tcb.state is not TIME_WAIT


def _complete_handshake(tcb, seg):
    """The ACK of our SYN in SYN-RECEIVED. False: the segment goes no further."""
    if not tcb.iss < seg.ack <= tcb.snd_nxt:
        tcb.tcp.reset_for(tcb.path, tcb.local, tcb.remote, seg)
        return False
    listener = tcb.listener
    if listener is not None:
        bare = not seg.text and not seg.flags & FIN
        if not listener.may_complete(tcb, bare):
            return False
        tcb.challenged_at = None                       # what the handshake was asked does not count any more
    _syn_acked(tcb, seg)
    tcb.enter(ESTABLISHED)
    tcb.tcp.established(tcb)
    if tcb.fin_queued:                                 # shutdown() came before the handshake was done
        tcb.enter(FIN_WAIT_1)
    if listener is not None:
        listener.completed(tcb)
    else:
        tcb.tcp.gate.notify(tcb)
    return True


def _update_timestamp(tcb, seg):
    """TS.Recent follows segments that cover Last.ACK.sent (RFC 7323 section 4.3) and whose ACK is acceptable."""
    if tcb.ts_ok and seg.options.timestamp is not None and seg.seq <= tcb.last_ack_sent:
        if seg.ack > tcb.snd_nxt or seg.ack < tcb.snd_una - tcb.max_window:
            return
        value = seg.options.timestamp[0]
        if ticks_back(tcb.ts_recent, value) <= 0:
            tcb.ts_recent = value
            tcb.ts_recent_age = tcb.now()


def _after_ack(tcb):
    """SND.UNA has moved: room for the user to write, and perhaps the end of our half of the connection."""
    state, tcp = tcb.state, tcb.tcp
    if tcb.fin_queued and tcb.snd_una > tcb.snd_end:
        if state is FIN_WAIT_1:
            tcb.enter(FIN_WAIT_2)
            if tcb.orphan:
                tcp.start_fin_wait_2(tcb)
            tcp.gate.notify(tcb)
        elif state is CLOSING:
            tcp.start_time_wait(tcb)
        elif state is LAST_ACK:
            tcp.forget(tcb)
        return
    if tcb.wants_room or tcb.waiters or tcb.readiness is not None:
        ack.tell_writer(tcb)


def urg_step(tcb, seg):
    """Sixth check: the urgent pointer, which points behind the urgent byte's place (RFC 6093)."""
    if seg.flags & URG and seg.up and tcb.state in CAN_RECEIVE:
        if urgent.announced(tcb, seg.seq + seg.up):
            tcb.tcp.gate.notify(tcb)
    if tcb.urgent is not None and seg.text and urgent.pick(tcb, seg):
        tcb.tcp.gate.notify(tcb)
    return True


def text_step(tcb, seg):
    """Seventh: the text, in the states in which the peer may still send."""
    if seg.end == seg.seq:
        return True
    new = seg.seq + len(seg.text) > tcb.rcv_nxt        # text never seen before, or a FIN behind such text
    if tcb.state in CAN_RECEIVE:
        if new and (tcb.orphan or tcb.rcv_shut) and tcb.state is not ESTABLISHED:
            return _refuse(tcb, seg)                   # nobody will ever read this (RFC 2525 section 2.17)
        if text.beyond_window(tcb, seg):
            return True
        text.note_fin(tcb, seg)
        if text.receive(tcb, seg):
            if tcb.waiters or tcb.readiness is not None:
                tcb.tcp.gate.notify(tcb)
    elif seg.seq < tcb.rcv_nxt:
        if new:
            return _refuse(tcb, seg)                   # text where the peer's FIN was
        text.came_again(tcb, seg.seq, seg.end)         # most likely the FIN again
    return True


def _refuse(tcb, seg):
    """Text that has no place to go: the connection is reset."""
    tcb.tcp.reset_for(tcb.path, tcb.local, tcb.remote, seg)
    tcb.tcp.fail(tcb, errno.EPIPE if tcb.state is CLOSE_WAIT else errno.ECONNRESET)
    return False


def fin_step(tcb, seg):
    """Eighth: the FIN, once everything before it has arrived."""
    if not text.fin_reached(tcb) or tcb.state not in CAN_RECEIVE:
        return True
    tcb.rcv_nxt += 1
    tcb.eof = tcb.ack_now = True
    tcb.sack_blocks = tcb.early = None                 # after this there is nothing
    tcp, state = tcb.tcp, tcb.state
    if state is ESTABLISHED:
        tcb.enter(CLOSE_WAIT)
    elif state is FIN_WAIT_1:
        send_ack(tcb)                                  # with what there is to say about duplicates, as on Linux
        tcb.enter(CLOSING)
    elif state is FIN_WAIT_2:
        send_ack(tcb)
        tcp.start_time_wait(tcb)
    tcb.dsack = None
    tcp.gate.notify(tcb)
    return True


CHECKS = (paws_step, sequence_step, rst_step, syn_step, ack_step, urg_step, text_step, fin_step)
