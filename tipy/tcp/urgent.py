"""Urgent data (RFC 9293 section 3.8.5, RFC 6093): one byte that a peer may point at.

RFC 6093 tells new programs not to use it; old ones (telnet, ftp, rlogin) do. As in every BSD descendant the urgent
pointer points *behind* the urgent byte; that byte is taken out of the stream and handed out by recv(MSG_OOB), unless
SO_OOBINLINE leaves it in. An ordinary read never crosses the mark.
"""

import errno

from tipy.errors import os_error


class UrgentByte:
    """Where the urgent byte is, and the byte once it has arrived."""

    __slots__ = ("seq", "byte", "taken")

    def __init__(self, seq):
        self.seq = seq
        self.byte = None
        self.taken = False


def read_position(tcb):
    """The sequence number of the next byte the user will read."""
    return tcb.rcv_nxt - tcb.eof - (tcb.receiveq.length if tcb.receiveq is not None else 0)


def announced(tcb, up):
    """A segment's urgent pointer says that the urgent byte lies just before sequence number `up`. True if new: a
    pointer to what is here already is a repetition, and could not be found in the queue any more."""
    seq = up - 1
    if seq < tcb.rcv_nxt or tcb.urgent is not None and seq <= tcb.urgent.seq:
        return False
    tcb.rcv_up = up
    tcb.urgent = UrgentByte(seq)
    return True


def pick(tcb, seg):
    """The text of `seg` is being received: is the urgent byte in it?"""
    urgent = tcb.urgent
    offset = urgent.seq - seg.seq
    if urgent.byte is None and 0 <= offset < len(seg.text):
        urgent.byte = seg.text[offset]
        return True
    return False


def before_read(tcb, count):
    """How many of `count` bytes an ordinary read may take: it stops at the mark, and steps over it."""
    urgent = tcb.urgent
    offset = urgent.seq - read_position(tcb)
    if offset < 0:
        return count
    if offset == 0:
        if not tcb.options.oobinline:
            tcb.receiveq.discard(1)
        if urgent.taken or tcb.options.oobinline:
            tcb.urgent = None
        return count
    return min(count, offset)


def hidden(tcb):
    """1 if the next byte in the queue is the urgent one, which ordinary reads do not see."""
    return int(not tcb.options.oobinline and tcb.urgent.seq == read_position(tcb))


def read(tcb, peek):
    """recv(MSG_OOB): the urgent byte. EINVAL if there is none (any more), EAGAIN if it has not arrived."""
    urgent = tcb.urgent
    if urgent is None or urgent.taken or tcb.options.oobinline:
        raise os_error(errno.EINVAL)
    if urgent.byte is None:
        raise os_error(errno.EAGAIN)
    if not peek:
        urgent.taken = True
        if urgent.seq < read_position(tcb):
            tcb.urgent = None
    return bytes((urgent.byte,))
