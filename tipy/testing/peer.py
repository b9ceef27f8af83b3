"""A TCP peer driven by hand: it says what a test tells it to, and looks closely at what comes back.

    bed = Bed()
    peer = Peer(bed)
    sock = peer.established()
    peer.send("P.", payload=b"hello")
    peer.expect(".", ack=6, after=0.04)

Numbers are relative (segments.py): the peer's SYN and the stack's SYN are 0 each. What is left out of `send`
goes on where the conversation stands: the next sequence number, everything acknowledged that came in order,
the window of last time, timestamps once agreed. A sequence number that is given counts for that segment only.

Expectations raise AssertionError themselves, with the conversation so far, so they also hold under `python
-O`.
"""

from tipy.testing.bed import LOCAL_PORT, REMOTE_PORT
from tipy.testing.segments import build, flag_bits, flag_order, parse, relative
from tipy.wire import icmp, tcp

ANY = object()                 # an expectation that is not one
AUTO = object()
TOLERANCE = 0.0015             # seconds by which a timer may be early or late
MSS = 1000                     # round numbers read well
RTT = 0.1


class Peer:
    """The other end of one connection. `iss` is its first sequence number, `port` and `local_port` its and
    the stack's."""

    def __init__(self, bed, *, port=REMOTE_PORT, local_port=LOCAL_PORT, iss=10000, address=None):
        self.bed = bed
        self.address = address or bed.remote
        self.port, self.local_port = port, local_port
        self.iss, self.stack_iss = iss, None
        self.next = 0                  # relative number of the next byte to send
        self.got = 0                   # relative number after what came in order
        self.win = 65535               # of the next segment, as on the wire
        self.timestamps = False        # put on every segment; `offset` milliseconds ahead of the clock
        self.offset = 100000
        self.last_tsval = 0
        self.scale = 0                 # the stack's window scale, 0 unless both offered one
        self._offered = False
        self.segments = []             # arrived, not yet expected
        bed.peers.append(self)

    def owns(self, dst, wire):
        """Is this segment (TcpHeader, sent to `dst`) for this peer?"""
        if dst != self.address or wire.dst_port != self.port:
            return False
        return self.local_port in (None, wire.src_port)

    # -- sending --------------------------------------------------------------------------------------

    def send(self, flags, seq=None, ack=None, *, payload=b"", win=None, mss=None, ws=None, sack_ok=False,
             ts=AUTO, sack=(), raw_options=None, urgent=0, tos=0, spoil=False):
        """Send a segment.

        flags     like "S", ".", "P.", "F."; "" for none
        payload   bytes, or an int: so many bytes of a pattern that depends on the sequence number
        win       the window field; stays for the segments after it
        ts        (value, echo); None = none; left out: the clock's, once timestamps are agreed
        sack      ((left, right), ...), relative to the stack's numbers
        raw_options   option bytes instead of all the others
        """
        in_order = seq is None
        if "S" in flags:
            self._offered = ws is not None
        seq = self.next if in_order else seq
        if isinstance(payload, int):
            payload = pattern(seq, payload)
        if win is not None:
            self.win = win
        if ts is AUTO:
            ts = (self.tsval(), self.last_tsval) if self.timestamps else None
        base = self.stack_iss or 0
        blocks = tuple((left + base & 0xFFFFFFFF, right + base & 0xFFFFFFFF) for left, right in sack)
        options = tcp.TcpOptions(mss, ws, sack_ok, ts, blocks)
        raw = tcp.pack_options(options, "S" in flags) if raw_options is None else raw_options
        ack = 0 if "." not in flags and ack is None else (self.got if ack is None else ack) + base
        header = tcp.TcpHeader(self.port, self.local_port, self.iss + seq & 0xFFFFFFFF, ack & 0xFFFFFFFF,
                               flags=flag_bits(flags), window=self.win, urgent=urgent)
        if in_order and "R" not in flags:
            self.next += len(payload) + ("S" in flags) + ("F" in flags)
        packet = build(self.address, self.bed.local, header, raw, payload, tos=tos, spoil=spoil)
        if len(packet) > self.bed.link.mtu:
            raise ValueError(f"a packet of {len(packet)} bytes does not fit the link's MTU")
        if spoil:
            self.bed.note("a spoiled segment")
        else:
            self._note(">", parse(packet, self.bed.now(), self.iss, self.stack_iss))
        self.bed.deliver(packet)

    def send_data(self, length, **rest):
        """Send `length` bytes of the pattern with PSH."""
        self.send("P.", payload=length, **rest)

    def tsval(self):
        """The peer's timestamp clock: milliseconds."""
        return int(round(self.bed.now() * 1000)) + self.offset & 0xFFFFFFFF

    def icmp(self, type, code, *, seq, mtu=0, quote=8, source=None, length=1000):
        """An ICMP error about a segment of the stack that began with (relative) `seq`. `quote`: bytes of TCP
        quoted."""
        header = tcp.TcpHeader(self.local_port, self.port, (self.stack_iss or 0) + seq & 0xFFFFFFFF,
                               self.iss + self.next & 0xFFFFFFFF, flags=tcp.ACK, window=1000)
        packet = build(self.bed.local, self.address, header, b"", bytes(length))
        self.bed.deliver_icmp(type, code, mtu, packet[:20 + quote], source)

    def fragmentation_needed(self, mtu, *, seq):
        """ICMP "fragmentation needed" with a next-hop MTU, about the segment that began with `seq`."""
        self.icmp(icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, seq=seq, mtu=mtu)

    # -- receiving ------------------------------------------------------------------------------------

    def receive(self, packet):
        """What the bed calls with each IPv4 packet for this peer."""
        header_length = (packet[0] & 15) << 2
        wire = tcp.TcpHeader.unpack(packet, header_length, len(packet))
        if self.local_port is None:
            self.local_port = wire.src_port
        if wire.flags & tcp.SYN:
            if self.stack_iss != wire.seq:
                self.stack_iss, self.got = wire.seq, 0
        segment = parse(packet, self.bed.now(), self.stack_iss, self.iss)
        if wire.flags & tcp.SYN:
            self.scale = segment.options.window_scale or 0
        if segment.options.timestamp is not None:
            self.last_tsval = segment.options.timestamp[0]
        if segment.seq <= self.got < segment.end and "R" not in segment.flags:
            self.got = segment.end
        self._note("<", segment)
        self.segments.append(segment)

    def room(self, segment):
        """The window of a segment of the stack in bytes."""
        return segment.win << (self.scale if self._offered and "S" not in segment.flags else 0)

    def take(self):
        """All segments that arrived and were not expected yet."""
        segments, self.segments[:] = list(self.segments), []
        return segments

    def expect(self, flags, seq=ANY, ack=ANY, *, length=None, payload=ANY, win=ANY, mss=ANY, ws=ANY,
               sack_ok=ANY, ts=ANY, sack=(), raw_options=ANY, urgent=ANY, tos=ANY, within=None, after=None):
        """The next segment, which must be as said; AssertionError otherwise.

        flags      exactly these, "P" too ("?" in the text: with or without PSH)
        length     of the payload; left out: none unless flags have PSH, then some
        sack       the blocks in their order; left out: there must be none
        ts         True or False: is there a timestamp; or the (value, echo) itself; mss, ws: a value or None
        after      it must come when so many seconds from now have passed, not earlier, not later; virtual
                   time moves on
        within     it must come within so many seconds; virtual time moves on just as far as needed
        """
        self._pass(within, after, flags)
        if not self.segments:
            self.fail(f"nothing was sent, expected {_wanted(flags, seq, ack, length, payload)}")
        segment = self.segments.pop(0)
        if "?" in flags:
            flags = flags.replace("?", "P" if "P" in segment.flags else "")
        if payload is not ANY:
            length = len(payload)
        elif length is None:
            length = ANY if "P" in flags and segment.length else "P" in flags or 0
        options = segment.options
        if isinstance(ts, bool):
            ts_came, ts = options.timestamp is not None, ts
        else:
            ts_came = options.timestamp
        self._compare(segment, flags=(flag_order(flags), segment.flags), seq=(seq, segment.seq),
                      ack=(ack, segment.ack), length=(length, segment.length), win=(win, segment.win),
                      payload=(payload, segment.payload), mss=(mss, options.mss),
                      ws=(ws, options.window_scale), sack_ok=(sack_ok, options.sack_permitted),
                      ts=(ts, ts_came), sack=(sack if sack is ANY else tuple(sack), options.sack),
                      raw_options=(raw_options, segment.raw_options), urgent=(urgent, segment.urgent),
                      tos=(tos, segment.ip.tos))
        return segment

    def expect_data(self, seq, length=ANY, **rest):
        """The next segment carries data from `seq` on; PSH may be set or not."""
        return self.expect("?.", seq, length=length, **rest)

    def expect_flight(self, *starts, length=MSS, **rest):
        """Segments of `length` bytes that start at these numbers, in this order, and nothing after them."""
        segments = [self.expect_data(start, length, **rest) for start in starts]
        self.expect_nothing()
        return segments

    def expect_nothing(self, seconds=0.0):
        """No segment is waiting, and none comes for so many seconds."""
        if seconds:
            self.bed.advance(seconds)
        if self.segments:
            self.fail(f"expected nothing, came {self.segments[0]}")

    def fail(self, text):
        """Raise AssertionError with the conversation so far."""
        raise AssertionError(f"{text}\n{self.bed.story()}")

    def _pass(self, within, after, flags):
        """Move time until a segment comes; with `after` it must come exactly then. Time stops where it
        came."""
        if after is not None:
            start = self.bed.now()
            self._await(after + TOLERANCE)
            if self.segments and self.segments[0].time < start + after - TOLERANCE:
                self.fail(f"expected {flags} only {after} s after {start:.4f}, came {self.segments[0]}")
        elif within is not None:
            self._await(within)

    def _await(self, seconds):
        bed = self.bed
        limit = bed.now() + seconds
        while not self.segments:
            deadline = bed.clock.next_deadline()
            if deadline is None or deadline > limit:
                bed.advance(max(limit - bed.now(), 0))
                return
            bed.advance(max(deadline - bed.now(), 0))

    def _compare(self, segment, **pairs):
        wrong = [f"{name} {came!r} (expected {wanted!r})" for name, (wanted, came) in pairs.items()
                 if wanted is not ANY and wanted != came]
        if wrong:
            self.fail(f"{segment}\nhas {', '.join(wrong)}")

    def _note(self, direction, segment):
        port = f" [{self.port}]" if len(self.bed.peers) > 1 else ""
        text = str(segment)
        self.bed.trace.append(f"{text[:10]}  {direction}{port}{text[10:]}")

    # -- where a test starts --------------------------------------------------------------------------
    # Each leads to the state its name says and returns the stack's socket; nothing is left unexpected.

    def syn(self, *, mss=MSS, ws=None, sack=True, ts=False, **rest):
        """Send a SYN with these options."""
        self.timestamps = False
        self.send("S", mss=mss, ws=ws, sack_ok=sack, ts=(self.tsval(), 0) if ts else None, **rest)

    def syn_sent(self, **how):
        """The stack has sent its SYN."""
        sock = self.bed.connecting(self.local_port, self.port, **how)
        self.expect("S", 0)
        return sock

    def syn_received(self, listener=None, *, prepare=None, **options):
        """The stack has answered the peer's SYN; returns the listening socket."""
        if listener is None:
            listener = self.bed.listener(self.local_port, prepare=prepare)
        self.syn(**options)
        self.expect("S.", 0, 1)
        self.timestamps = bool(options.get("ts"))
        return listener

    def established(self, *, active=False, prepare=None, listener=None, win=65535, keep=False, rtt=RTT,
                    **options):
        """A connection opened by the peer, or (active) by the stack. `keep`: returns (socket, listener).
        `rtt`: the round trip of the handshake in seconds."""
        if active:
            sock = self.syn_sent(prepare=prepare)
            self.bed.advance(rtt)
            self.answer_syn(win=win, **options)
            return sock
        own, listener = listener is None, self.syn_received(listener, prepare=prepare, win=win, **options)
        self.bed.advance(rtt)
        self.send(".")
        self.expect_nothing()
        sock = self.bed.accept(listener)
        if keep:
            return sock, listener
        if own:
            listener.close()
        return sock

    def answer_syn(self, *, mss=MSS, ws=None, sack=True, ts=False, win=65535):
        """Send the SYN-ACK that completes an active open, and take the ACK of it."""
        options = dict(mss=mss, ws=ws, sack_ok=sack, win=win)
        self.send("S.", ts=(self.tsval(), self.last_tsval) if ts else None, **options)
        self.timestamps = ts
        self.expect(".", 1, 1)

    def fin_wait_1(self, *, close=False, **how):
        """The stack has sent a FIN after no data, not acknowledged."""
        sock = self.established(**how)
        self.end(sock, close)
        self.expect("F.", 1, 1)
        return sock

    def fin_wait_2(self, *, close=False, **how):
        """The stack's FIN is acknowledged, the peer has not closed."""
        sock = self.fin_wait_1(close=close, **how)
        self.send(".")
        self.expect_nothing()
        return sock

    def closing(self, *, close=False, **how):
        """Both have sent FINs that crossed; the stack's is not acknowledged."""
        sock = self.fin_wait_1(close=close, **how)
        self.send("F.", ack=1)
        self.expect(".", 2, 2)
        return sock

    def time_wait(self, *, close=False, **how):
        """The stack closed first and has acknowledged the peer's FIN."""
        sock = self.fin_wait_2(close=close, **how)
        self.send("F.")
        self.expect(".", 2, 2)
        return sock

    def close_wait(self, **how):
        """The peer has closed, the stack's program has not."""
        sock = self.established(**how)
        self.send("F.")
        self.expect(".", 1, 2, within=0.3)
        return sock

    def last_ack(self, *, close=False, **how):
        """Both have closed, the peer first; the stack's FIN is not acknowledged."""
        sock = self.close_wait(**how)
        self.end(sock, close)
        self.expect("F.", 1, 2)
        return sock

    @staticmethod
    def end(sock, close):
        """shutdown(SHUT_WR), or close()."""
        if close:
            sock.close()
        else:
            sock.shutdown(1)


def pattern(seq, length):
    """`length` bytes that say where in the stream (relative number `seq`) they belong; period 251."""
    start = (seq - 1) % 251
    cycle = bytes(range(251))
    return (cycle * (length // 251 + 2))[start:start + length]


def _wanted(flags, seq, ack, length, payload):
    parts = [flag_order(flags.replace("?", "")) if flags else "a segment"]
    for name, value in (("seq", seq), ("ack", ack)):
        if value is not ANY:
            parts.append(f"{name} {value}")
    if payload is not ANY:
        length = len(payload)
    if length is not None and length is not ANY:
        parts.append(f"length {length}")
    return " ".join(parts)


__all__ = ["ANY", "MSS", "RTT", "Peer", "pattern", "relative"]
