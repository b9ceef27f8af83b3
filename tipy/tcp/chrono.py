"""How long a connection had something to send, and what held it up: tcp_info's busy_time, rwnd_limited and
sndbuf_limited. As in Linux one clock runs at a time, the highest of:

    BUSY      text is queued or in flight
    WINDOW    ... and the peer's window stands in the way of the next segment
    BUFFER    ... and all of it has been sent, while the user waits for room in the send buffer
"""

BUSY, WINDOW, BUFFER = 1, 2, 3


def start(tcb, what, now):
    """From now on `what` holds, unless something higher does."""
    if what > tcb.chrono:
        if tcb.chrono:
            _add(tcb, now)
        tcb.chrono, tcb.chrono_since = what, now


def stop(tcb, what, now):
    """`what` holds no more."""
    queue = tcb.sendq
    if queue is None or queue.start == queue.end:
        rest(tcb, now)
    elif what == tcb.chrono:
        _add(tcb, now)
        tcb.chrono = BUSY


def rest(tcb, now):
    """Nothing is queued any more."""
    if tcb.chrono:
        _add(tcb, now)
        tcb.chrono = 0


def _add(tcb, now):
    """Add what the running clock shows to its total, and start it anew."""
    if tcb.chrono_totals is None:
        tcb.chrono_totals = [0.0, 0.0, 0.0]
    tcb.chrono_totals[tcb.chrono - 1] += now - tcb.chrono_since
    tcb.chrono_since = now


def totals(tcb):
    """Seconds so far: (busy, of these limited by the window, by the buffer)."""
    busy, window, buffer = tcb.chrono_totals or (0.0, 0.0, 0.0)
    running = tcb.now() - tcb.chrono_since
    window += running * (tcb.chrono == WINDOW)
    buffer += running * (tcb.chrono == BUFFER)
    return busy + running * (tcb.chrono == BUSY) + window + buffer, window, buffer
