"""Header prediction: the short way for a segment that is just what was expected next (Jacobson's, from 4.4BSD).

Nearly every segment of a healthy connection is: it comes in ESTABLISHED, with no flags but ACK and PSH and no option but
the timestamp, exactly at RCV.NXT and within the window, with an acceptable ACK, and nothing is lost, early or urgent. Each
of the numbered checks of input.py would let it pass, and do with it what is done here. So this is only a short cut, which
a reader of the RFC may skip: tests/property/test_prediction.py compares both ways to the last variable.
"""

from tipy.tcp import ack as ack_step, text as text_step
from tipy.tcp.output import output
from tipy.tcp.seq import MASK


def predicted(tcb, seq, ack, flags, wnd, stamp, text, gso_size):
    """Process a segment for a connection in ESTABLISHED if it is just what was expected; else False, and nothing has been
    changed.

    The caller has looked at flags and options. seq, ack, wnd: as on the wire; stamp: its TSval, if the connection uses
    timestamps; text: memoryview; gso_size: see Segment.
    """
    nxt, una, length = tcb.rcv_nxt, tcb.snd_una, len(text)
    advance = ack - una & MASK
    window = wnd << tcb.snd_wscale
    if (seq != nxt & MASK or length > tcb.rcv.edge - nxt or advance > tcb.snd_nxt - una or not (advance or length)
            or not window or tcb.loss is not None or tcb.fin_at is not None or tcb.urgent is not None or tcb.ecn_ok
            or tcb.early is not None and tcb.early.ranges or tcb.pending == "persist" or advance and not tcb.records
            or tcb.ts_ok and stamp - tcb.ts_recent & MASK >= 0x80000000):
        return False
    now, tcp = tcb.now(), tcb.tcp
    if tcb.ts_ok and nxt <= tcb.last_ack_sent:
        tcb.ts_recent, tcb.ts_recent_age = stamp, now
    size, count = length, 1
    if gso_size and length > gso_size:
        size, count = gso_size, -(-length // gso_size)
    tcb.segs_in += count
    if advance or ack_step.brings_window(tcb, nxt, window):
        if window != tcb.snd_wnd:
            ack_step.new_window(tcb, window)
        tcb.snd_wl1 = nxt
    if advance:
        ack_step.advance(tcb, una + advance, now)
    else:
        tcb.keepalives_out = 0                         # the peer is there, if it has nothing to acknowledge
    if length:
        text_step.take(tcb, text, flags, size, count, now)
    if tcb.waiters or tcb.wants_room or tcb.readiness is not None:
        if advance:
            ack_step.tell_writer(tcb)
        if length:
            tcp.gate.notify(tcb)
    queue, batch = tcb.sendq, tcp.batch
    if tcb.ack_now or queue is not None and queue.end > tcb.snd_nxt:       # else there is nothing to decide
        if batch is None:
            output(tcb)
        else:
            batch.due[tcb] = None                      # one decision for all that came in this batch
    return True
