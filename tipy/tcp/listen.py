"""Passive open: LISTEN (RFC 9293 section 3.10.7.2), the SYN queue, the accept queue, SYN cookies.

A SYN makes a connection in SYN-RECEIVED that belongs to its Listener until the handshake is done (SYN queue), then
until the user accepts it (accept queue). Both are bounded by the backlog. When the SYN queue is full, the state of
further handshakes is kept in the peer's hands: the ISN of the SYN,ACK is a cookie (RFC 4987 section 3.6), its timestamp
remembers options, and the connection is made of them when the ACK brings them back. When the accept queue is full,
SYNs and final ACKs are dropped; peers try again.
"""

from collections import deque

from tipy.tcp.output import send_syn
from tipy.tcp.seq import MASK
from tipy.wire.tcp import ACK, CWR, ECE, RST, SYN

_COOKIE_SECONDS = 120.0        # cookies are believed for so long after the SYN queue overflowed


class Listener:
    """A local (ip, port) on which connections are accepted.

    waiters, readiness: see gate.py; both change with the accept queue.
    """

    __slots__ = ("tcp", "local", "backlog", "options", "waiters", "readiness", "children", "_ready", "_overflowed",
                 "closed", "owner")

    def __init__(self, tcp, local, backlog, options, owner):
        self.tcp, self.local, self.options, self.owner = tcp, local, options, owner
        self.backlog = max(0, min(backlog, tcp.settings.somaxconn))
        self.waiters = self.readiness = None
        self.children = {}                     # remote -> connection in SYN-RECEIVED (the SYN queue)
        self._ready = deque()                  # the accept queue
        self._overflowed = None                # when the SYN queue was last full
        self.closed = False

    def __repr__(self):
        return f"<tcp listener {self.tcp.format(self.local)}>"

    @property
    def ready(self):
        """A connection waits to be accepted."""
        return bool(self._ready)

    def accept(self):
        """The connection that has waited longest, or None."""
        if not self._ready:
            return None
        tcb = self._ready.popleft()
        tcb.accepted = True
        tcb.listener = None
        return tcb

    def close(self):
        """Stop listening; connections nobody has accepted are reset."""
        if self.closed:
            return
        self.closed = True
        self.tcp.stop_listening(self)
        for tcb in list(self.children.values()):       # handshakes under way are forgotten in silence, as on Linux
            tcb.listener = None
            self.tcp.forget(tcb)
        for tcb in list(self._ready):
            tcb.listener = None
            self.tcp.abort(tcb)
        self.children.clear()
        self._ready.clear()
        self.tcp.gate.notify(self)

    # -- segments ---------------------------------------------------------------------------------

    def segment_arrives(self, packet, remote, seg, iss=None):
        """A segment for no connection but for this listener; `iss` for a SYN that follows a TIME-WAIT."""
        flags = seg.flags
        if flags & RST:
            return
        local = packet.dst, self.local[1]
        if flags & ACK:
            if not flags & SYN and self._cookie_returns(packet, local, remote, seg):
                return
            self.tcp.reset_unknown(packet, local, remote, seg)
        elif flags & SYN and not flags & 1 and not packet.to_group and not packet.link_group:
            self._syn(packet, local, remote, seg, iss)

    def _syn(self, packet, local, remote, seg, iss):
        counters = self.tcp.counters
        if self._accept_queue_full():
            counters["tcp.drop_accept_queue_full"] += 1
            return
        settings = self.tcp.settings
        if len(self.children) > self.backlog or len(self.children) >= settings.max_syn_backlog:
            self._overflowed = self.tcp.clock.now()
            if settings.syncookies:
                self._send_cookie(packet, local, remote, seg)
            else:
                counters["tcp.drop_syn_queue_full"] += 1
            return
        tcb = self.tcp.embryo(self, packet, local, remote, seg, iss)
        if tcb is None:
            return
        self.children[remote] = tcb
        send_syn(tcb)
        tcb.arm("syn", settings.rto_initial)

    def _accept_queue_full(self):
        return len(self._ready) > self.backlog

    # -- handshakes under way ---------------------------------------------------------------------

    def may_complete(self, tcb, bare):
        """The final ACK is here (`bare`: without text): may the connection become ESTABLISHED?"""
        if self._accept_queue_full():
            self.tcp.counters["tcp.drop_accept_queue_full"] += 1
            return False
        wait = self.options.defer_accept
        if wait and bare and tcb.syn_sent_at is not None and self.tcp.clock.now() - tcb.syn_sent_at < wait:
            tcb.retries = max(tcb.retries, 0)
            return False                       # TCP_DEFER_ACCEPT: only data wakes the server
        return True

    def completed(self, tcb):
        """The handshake is done: on to the accept queue."""
        self.children.pop(tcb.remote, None)
        self._ready.append(tcb)
        self.tcp.gate.notify(self)

    def lost(self, tcb):
        """A connection that was never accepted is gone."""
        self.children.pop(tcb.remote, None)
        if tcb in self._ready and not tcb.unread and not tcb.error:
            self._ready.remove(tcb)

    # -- SYN cookies ------------------------------------------------------------------------------

    def _send_cookie(self, packet, local, remote, seg):
        tcp = self.tcp
        tcp.counters["tcp.syncookies_sent"] += 1
        cookie = tcp.numbers.cookie(local, remote, seg.seq, seg.options.mss or 536, tcp.clock.now())
        tcp.send_stateless_syn_ack(packet, local, remote, seg, cookie, self.options)

    def _cookie_returns(self, packet, local, remote, seg):
        """An ACK without a connection: does it bring back a cookie of ours? True if a connection was made."""
        tcp, now = self.tcp, self.tcp.clock.now()
        if self._overflowed is None or now - self._overflowed > _COOKIE_SECONDS or not tcp.settings.syncookies:
            return False
        mss = tcp.numbers.check_cookie(local, remote, (seg.seq - 1) & MASK, (seg.ack - 1) & MASK, now)
        if mss is None:
            tcp.counters["tcp.syncookies_bad"] += 1
            return False
        if self._accept_queue_full():
            tcp.counters["tcp.drop_accept_queue_full"] += 1
            return True
        tcp.counters["tcp.syncookies_good"] += 1
        tcp.from_cookie(self, packet, local, remote, seg, mss)
        return True


def offered_ecn(flags):
    """True if a SYN asks for ECN (RFC 3168 section 6.1.1)."""
    return flags & (ECE | CWR) == ECE | CWR


