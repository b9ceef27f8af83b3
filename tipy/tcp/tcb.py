"""The transmission control block: everything one connection knows, under the names of RFC 9293 section 3.3.1.

Sequence numbers are unwrapped ints (seq.py). Windows `cwnd` and `ssthresh` count segments, everything else bytes;
times are seconds of the stack's clock. Queues, timers and records are made when first needed: an idle
connection costs this object and little else.

`enter` is the one place that changes the state. Who may send what is decided in output.py alone.
"""

from functools import partial

from tipy.link.base import BIG_TCP_PAYLOAD
from tipy.log import channel
from tipy.tcp import congestion
from tipy.tcp.rto import RttEstimator
from tipy.tcp.states import CLOSED, MOVES
from tipy.tcp.window import ReceiveWindow

_log = channel("tcp")

HEADER = 20                    # bytes of a TCP header without options
TIMESTAMP_OPTION = 12          # bytes of nop, nop, timestamp


class Tcb:
    """One connection. Fields only, and what can be derived from them; see connection.py for the user's calls."""

    __slots__ = (
        # who
        "tcp", "now", "local", "remote", "path", "options", "state", "listener", "accepted", "orphan", "__weakref__",
        # send sequence space (RFC 9293 figure 3)
        "snd_una", "snd_nxt", "snd_wnd", "snd_wl1", "snd_up", "iss", "max_window", "snd_wscale",
        "sendq", "sndbuf", "fin_queued", "push_marks", "record_ends", "small_end", "mss", "peer_mss", "tso_max",
        # receive sequence space (figure 4)
        "rcv_nxt", "irs", "rcv_up", "rcv", "receiveq", "early", "sack_blocks", "dsack", "eof", "rcv_shut", "urgent",
        # options negotiated
        "sack_ok", "wscale_ok", "ts_ok", "ts_offset", "ts_recent", "ts_recent_age",
        "ecn_ok", "ecn_echo", "ecn_cwr", "ecn_seen",
        # acknowledging
        "ack_now", "ack_due", "last_ack_sent", "quick_acks", "quickack", "interactive", "last_received", "last_sent",
        "rcv_mss", "last_size", "pushed", "full_segments",
        # timers: one for retransmission, TLP, RACK and persist (`pending` says which), one for delayed ACKs,
        # one for the connection's life (handshake, keepalive, FIN-WAIT-2, TIME-WAIT)
        "retransmission", "pending", "delayed_ack", "life", "pacer", "pace_at", "refill_until",
        "rtt", "retries", "probes_out", "persist_backoff", "persist_since", "syn_sent_at", "fin_at", "last_heard",
        "keepalives_out", "challenged_at",
        # congestion control and loss recovery (recovery.py)
        "cc", "cwnd", "ssthresh", "prior_cwnd", "cwnd_limited", "max_packets_out", "cwnd_usage_seq", "cwnd_used",
        "cwnd_stamp", "records", "transmissions", "packets_out", "loss",
        # totals for tcp_info
        "total_retrans", "bytes_acked", "bytes_received", "segs_in", "segs_out", "data_segs_in", "data_segs_out",
        "lost_total", "delivered", "chrono", "chrono_since", "chrono_totals",
        # towards the user
        "error", "soft_error", "waiters", "readiness", "wants_room", "trace",
    )

    def __init__(self, tcp, local, remote, path, options):
        settings = tcp.settings
        self.tcp = tcp
        self.now = tcp.clock.now               # the stack's time in seconds
        self.local, self.remote, self.path, self.options = local, remote, path, options
        self.state = CLOSED
        self.listener = None
        self.accepted = self.orphan = False
        now = self.now()
        self.start_at(tcp.numbers.initial(local, remote, now))
        self.snd_wnd = self.snd_wl1 = self.max_window = self.snd_wscale = 0
        self.sendq = self.push_marks = self.record_ends = None
        self.receiveq = self.early = self.sack_blocks = self.dsack = self.urgent = None
        self.sndbuf = settings.sndbuf
        self.fin_queued = self.eof = self.rcv_shut = False
        self.peer_mss = 536
        self.mss = 536
        self.tso_max = BIG_TCP_PAYLOAD         # of a super-segment, if the link takes so much
        self.rcv_nxt = self.irs = self.rcv_up = 0
        self.rcv = ReceiveWindow(settings, options, self.advertised_mss)
        self.sack_ok = bool(settings.sack)
        self.wscale_ok = False
        self.ts_ok = bool(settings.timestamps)
        self.ts_offset = tcp.numbers.timestamp_offset(local, remote) if self.ts_ok else 0
        self.ts_recent, self.ts_recent_age = 0, 0.0
        self.ecn_ok = self.ecn_echo = self.ecn_cwr = self.ecn_seen = False
        self.ack_now = self.ack_due = self.interactive = False
        self.last_ack_sent = 0
        self.quick_acks = None                 # None until the first data arrives
        self.quickack = None                   # TCP_QUICKACK as last heeded
        self.last_received = self.last_sent = self.last_heard = now
        self.rcv_mss = 536
        self.last_size = self.pushed = 0
        self.full_segments = 0
        self.retransmission = self.pending = self.delayed_ack = self.life = self.pacer = None
        self.pace_at = self.refill_until = None
        self.rtt = RttEstimator(settings)
        self.retries = self.probes_out = self.keepalives_out = 0
        self.persist_backoff = 0
        self.persist_since = None
        self.syn_sent_at = now
        self.fin_at = None                     # where the stream ends, if the FIN came ahead of a gap
        self.challenged_at = None
        self.cwnd = congestion.INITIAL_WINDOW
        self.ssthresh = congestion.INFINITE
        self.prior_cwnd = 0
        self.cwnd_limited = False
        self.max_packets_out = self.cwnd_used = 0
        self.cwnd_stamp = now
        self.records = []
        self.transmissions = 0                 # of records, first ones and others
        self.packets_out = 0
        self.loss = None                       # LossState, made with the first sign of loss
        self.total_retrans = self.bytes_acked = self.bytes_received = self.segs_in = self.segs_out = 0
        self.data_segs_in = self.data_segs_out = self.lost_total = self.delivered = 0
        self.chrono, self.chrono_since, self.chrono_totals = 0, now, None
        self.error = self.soft_error = 0
        self.wants_room = False                # a write has not taken everything
        self.waiters = self.readiness = None
        self.trace = None if tcp.trace is None else partial(tcp.trace, self.name)
        self.cc = congestion.find(options.congestion or settings.congestion_control)(self)

    def start_at(self, iss):
        """Use this initial send sequence number."""
        self.iss = iss
        self.snd_una = self.snd_nxt = self.snd_up = self.small_end = self.cwnd_usage_seq = iss

    # -- state ------------------------------------------------------------------------------------

    def enter(self, state):
        """Change the state. The only place that does; ValueError for a move RFC 9293 does not know."""
        if state not in MOVES[self.state]:
            raise ValueError(f"no such move: {self.state} -> {state}")
        if __debug__ and _log.on:
            _log("%r: %s -> %s", self, self.state, state)
        if self.trace is not None:
            self.tell("state", old=str(self.state), new=str(state))
        self.state = state

    def tell(self, event, **details):
        """A trace event for whoever follows this connection: trace(time, event, details), outside the lock.

        Events: "state" (old, new), "window" (cwnd, ssthresh, srtt, in_flight), "recovery" (old, new phase),
        "retransmit" (seq, reason), "probe" (seq, reason), "undo" (reason).
        """
        if self.trace is not None:
            self.tcp.gate.after(self.trace, self.now(), event, details)

    # -- derived ----------------------------------------------------------------------------------

    @property
    def snd_end(self):
        """The sequence number after the last byte the user has written (FIN not counted)."""
        return self.sendq.end if self.sendq is not None else self.iss + 1

    @property
    def fin_sent(self):
        """True once a FIN has been given a sequence number on the wire."""
        return self.fin_queued and self.snd_nxt > self.snd_end

    @property
    def snd_window_end(self):
        """The first sequence number the peer does not allow us to send."""
        return self.snd_una + self.snd_wnd

    @property
    def left_out(self):
        """Segments known to have left the network: SACKed or lost."""
        loss = self.loss
        return 0 if loss is None else loss.sacked_out + loss.lost_out

    @property
    def in_flight(self):
        """Segments believed to be in the network (the "pipe" of RFC 6675)."""
        loss = self.loss
        if loss is None:
            return self.packets_out
        return self.packets_out - loss.sacked_out - loss.lost_out + loss.retrans_out

    @property
    def advertised_mss(self):
        """The MSS our SYN announces (RFC 6691): what fits our interface, capped by TCP_MAXSEG."""
        cap = self.options.maxseg or self.tcp.settings.mss
        headers = self.path.header_length + HEADER
        mss = min(self.path.link.mtu, 65535) - headers
        return max(min(mss, cap, 65535) if cap else min(mss, 65535), self.path.least_mtu - headers)

    @property
    def option_bytes(self):
        """Bytes of TCP options on an ordinary data segment."""
        return TIMESTAMP_OPTION if self.ts_ok else 0

    def update_mss(self):
        """Recompute the payload of a full segment: peer's MSS, path MTU, options, half of a tiny window."""
        path = self.path
        mss = min(self.peer_mss, path.mtu - path.header_length - HEADER)
        cap = self.options.maxseg or self.tcp.settings.mss
        if cap:
            mss = min(mss, cap)
        mss = max(mss, 48) - self.option_bytes
        if self.options.ip_options:
            mss -= (len(self.options.ip_options) + 3) & ~3
        if self.max_window:
            limit = self.max_window >> 1 if self.max_window > 536 else self.max_window
            mss = min(mss, max(limit, 68 - HEADER))
        self.mss = max(mss, 8)

    @property
    def name(self):
        """Local and remote end, readable."""
        return f"{self.tcp.format(self.local)} <> {self.tcp.format(self.remote)}"

    def __repr__(self):
        return f"<tcp {self.name} {self.state}>"

    # -- timers -----------------------------------------------------------------------------------

    def arm(self, what, delay):
        """Set the retransmission timer; `what` is "rto", "tlp", "reorder" or "persist"."""
        self.arm_at(what, self.now() + delay)

    def arm_at(self, what, deadline):
        """The same for an absolute time."""
        timer = self.retransmission
        if timer is None:
            timer = self.retransmission = self.tcp.timer(self, "retransmission")
        self.pending = what
        timer.restart_at(deadline)

    def disarm(self):
        """Stop the retransmission timer."""
        if self.pending is not None:
            self.pending = None
            self.retransmission.cancel()

    def arm_life(self, delay):
        """Set the timer of the connection's life: keepalive, FIN-WAIT-2, TIME-WAIT."""
        if self.life is None:
            self.life = self.tcp.timer(self, "life")
        self.life.restart(delay)

    def stop_timers(self):
        """Stop all timers of this connection, for good."""
        self.stop_senders_timers()
        if self.life is not None:
            self.life.end()
            self.life = None

    def stop_senders_timers(self):
        """Stop those that only a connection with something to say needs, for good."""
        for timer in (self.retransmission, self.delayed_ack, self.pacer):
            if timer is not None:
                timer.end()
        self.pending = self.retransmission = self.delayed_ack = self.pacer = None
