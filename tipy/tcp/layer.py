"""The TCP layer of one stack: who gets an arriving segment, and the life of connections as a whole.

    input() -> a connection (prediction.py, input.py) | a listener (listen.py) | nobody: RST

Connections are found by their four-tuple, listeners by (ip, port), the exact address before the wildcard. What a
segment may not do is decided before that: a bad checksum, a broken header or a source that may not speak is counted
and dropped.
"""

import errno
from functools import partial

from tipy.address import format_ip
from tipy.checksum import pseudo_header, residue
from tipy.errors import os_error
from tipy.log import channel
from tipy.packet import Packet
from tipy.tcp import chrono, recovery, time_wait, timeouts
from tipy.tcp.batch import Batch
from tipy.tcp.connection import Connection
from tipy.tcp.input import negotiate, segment_arrives
from tipy.tcp.isn import SequenceNumbers
from tipy.tcp.listen import Listener, offered_ecn
from tipy.tcp.options import Options
from tipy.tcp.output import has_unsent, output, send_reset, send_syn
from tipy.tcp.prediction import predicted
from tipy.tcp.segment import Segment
from tipy.tcp.seq import MASK, unwrap
from tipy.tcp.states import (CLOSED, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, LAST_ACK, OPENING,
                             SYN_RECEIVED, SYN_SENT, TIME_WAIT)
from tipy.tcp.tcb import TIMESTAMP_OPTION
from tipy.tcp.transmit import PROTOCOL, send_bare
from tipy.tcp.window import ReceiveWindow
from tipy.wire.icmp import (DESTINATION_UNREACHABLE, HOST_UNREACHABLE, NET_UNREACHABLE, REASSEMBLY_TIME_EXCEEDED,
                            TIME_EXCEEDED)
from tipy.wire.tcp import (ACK, ALIGNED_TIMESTAMP, HEADER_LENGTH, NO_OPTIONS, PSH, QUOTED, RST, STAMPED,
                           STAMPED_OFFSET, STRUCT, SYN, TcpOptions, flags_text, pack_options, parse_options)

_log = channel("tcp.segments")

_STATELESS = Options()
_ISS_STEP = 65537              # a connection that follows a TIME-WAIT starts so far above it, as Linux
_SENDS_RESET = frozenset({SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT})
_SENDS_RESET_IF_UNSENT = frozenset({CLOSING, LAST_ACK})
_NO_WAY_BACK = frozenset({NET_UNREACHABLE, HOST_UNREACHABLE})


class Tcp:
    """TCP (RFC 9293). Constructed by the stack; `ports` is this protocol's PortTable."""

    def __init__(self, ipv4, ports, gate, timers, clock, rng, counters, settings):
        self.ipv4, self.ports, self.gate, self.timers = ipv4, ports, gate, timers
        self.addresses = ipv4.addresses
        self.clock, self.rng, self.counters, self.settings = clock, rng, counters, settings
        self.numbers = SequenceNumbers(rng)
        self.connections = {}                  # (local ip, local port, remote ip, remote port) -> Connection
        self.listeners = {}                    # (ip, port) -> [Listener, ...]
        self.time_waits = {}                   # connections in TIME-WAIT, oldest first
        self.batch = None                      # a Batch, while several frames are handed in
        self.trace = None                      # fn(name, time, event, details): follows all new connections
        self.elsewhere = None                  # fn(packet): True if another process takes it, see tipy.workers
        ipv4.register(PROTOCOL, self)

    # -- arriving segments ------------------------------------------------------------------------

    def input(self, packet):
        """A packet with protocol 6 arrived."""
        frame, start, end = packet.frame, packet.start, packet.end
        counters = self.counters
        length = end - start
        if length >= STAMPED.size:                     # what lies behind the fixed part counts if it is a timestamp
            (src_port, dst_port, seq, ack, offset, flags, wnd, _, up,
             kinds, stamp, echo) = STAMPED.unpack_from(frame, start)
        elif length >= HEADER_LENGTH:
            src_port, dst_port, seq, ack, offset, flags, wnd, _, up = STRUCT.unpack_from(frame, start)
            kinds = None
        else:
            counters["tcp.drop_short"] += 1
            return
        text_start = start + (offset >> 4 << 2)
        if text_start < start + HEADER_LENGTH or text_start > end:
            counters["tcp.drop_header_length"] += 1
            return
        tcb = self.connections.get((packet.dst, dst_port, packet.src, src_port))
        if not packet.checked:
            pseudo = (tcb.path.sum + PROTOCOL + length if tcb is not None
                      else pseudo_header(packet.src, packet.dst, PROTOCOL, length))
            if (residue(frame[start:end]) + pseudo) % 0xFFFF:
                counters["tcp.drop_checksum"] += 1
                return
        counters["tcp.in"] += 1
        text = frame[text_start:end]
        if __debug__ and _log.on:
            _log("in %s:%d > %s:%d %s seq %d ack %d win %d len %d", format_ip(packet.src), src_port,
                 format_ip(packet.dst), dst_port, flags_text(flags), seq, ack, wnd, len(text))
        batch = self.batch
        raw_options = None
        if batch is not None:
            raw_options = frame[start + HEADER_LENGTH:text_start]
            if batch.tcb is not None:
                if not packet.gso_size and batch.couple(tcb, seq, ack, flags, wnd, raw_options, packet.tos, text):
                    return
                batch.flush()
        options = None
        if offset != STAMPED_OFFSET or kinds != ALIGNED_TIMESTAMP:         # nearly every segment has just that
            options = parse_options(frame, start + HEADER_LENGTH, text_start)
            stamp = options.timestamp[0] if options.timestamp is not None and not options.sack else None
        if (tcb is not None and tcb.state is ESTABLISHED and flags & ~PSH == ACK
                and (stamp is not None if tcb.ts_ok else options is NO_OPTIONS)
                and predicted(tcb, seq, ack, flags, wnd, stamp, text, packet.gso_size)):
            if batch is not None:
                batch.follow(tcb, ack, flags, wnd, raw_options, stamp, packet.tos, text, packet.gso_size)
            return
        if options is None:
            options = TcpOptions(timestamp=(stamp, echo))
        seg = Segment(seq, ack, flags, wnd, up, text, options, packet.gso_size, packet.tos)
        if tcb is not None:
            segment_arrives(tcb, seg)
        elif not packet.to_group and not packet.link_group:
            self._no_connection(packet, (packet.src, src_port), dst_port, seg)
        else:
            counters["tcp.drop_group"] += 1

    def begin_batch(self):
        """Several frames are about to be handed in: decide what to send once, after the last (`end_batch`)."""
        self.batch = Batch(self.gate.on_error)

    def end_batch(self):
        """The batch is through."""
        batch = self.batch
        try:
            batch.flush()
        finally:
            self.batch = None
        batch.end()

    def _no_connection(self, packet, remote, port, seg):
        listener = self.find_listener(packet.dst, port, remote, packet.interface)
        if packet.src == packet.dst and remote[1] == port:
            self.counters["tcp.drop_land"] += 1        # nobody talks to himself from one port
        elif not remote[1]:
            self.counters["tcp.drop_port_zero"] += 1
        elif self.elsewhere is not None and (listener is None or seg.flags & (SYN | ACK | RST) != SYN) \
                and self.elsewhere(packet):
            return
        elif listener is not None:
            listener.segment_arrives(packet, remote, seg)
        else:
            self.reset_unknown(packet, (packet.dst, port), remote, seg)

    def find_listener(self, ip, port, remote, interface):
        """The Listener for a SYN from `remote` to (ip, port) that came by `interface`, or None."""
        for local in ((ip, port), (self.ipv4.any_address, port)):
            listeners = self.listeners.get(local)
            if listeners and (len(listeners) > 1 or listeners[0].options.device is not None):
                listeners = _heard_by(listeners, interface)
            if listeners:
                if len(listeners) == 1:
                    return listeners[0]
                return listeners[self.numbers.timestamp_offset((ip, port), remote) % len(listeners)]  # SO_REUSEPORT
        return None

    def icmp_error(self, error):
        """Something became of a segment of ours (RFC 5927: only believed if its sequence number is in flight)."""
        if len(error.transport) < QUOTED.size:
            return
        local_port, remote_port, seq = QUOTED.unpack_from(error.transport)
        tcb = self.connections.get((error.local, local_port, error.remote, remote_port))
        if tcb is None:
            return
        seq = unwrap(seq, tcb.snd_una)
        if (error.type, error.code) == (TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED):
            return                                     # a fragment was lost: TCP will notice, and send it again
        if not tcb.snd_una <= seq < max(tcb.snd_nxt, tcb.snd_una + 1):
            self.counters["tcp.drop_icmp_sequence"] += 1
            return
        if error.errno == errno.EMSGSIZE and error.mtu:
            if tcb.state is not SYN_RECEIVED or tcb.listener is None:    # no SYN,ACK is too large
                self._packet_too_big(tcb, error.mtu)
        elif tcb.state in OPENING:
            if tcb.listener is None:
                self.fail(tcb, error.errno)
            elif error.type != DESTINATION_UNREACHABLE or error.code in _NO_WAY_BACK:
                self.forget(tcb)                       # as Linux: our SYN,ACK does not find its way; the peer may try again
        elif tcb.options.recverr:                      # IP_RECVERR: the user wants to know at once
            tcb.error = error.errno
            self.gate.notify(tcb)
        else:
            tcb.soft_error = error.errno               # it may pass; reported if the connection times out

    def _packet_too_big(self, tcb, mtu):
        """A router needs smaller packets (RFC 1191): cut what is in flight anew and send it at once."""
        before = tcb.mss
        if not self.settings.pmtu_discovery or not self.ipv4.lower_path_mtu(tcb.remote[0], mtu):
            if tcb.path.mtu >= mtu + 1:
                return
        tcb.update_mss()
        if tcb.mss < before and tcb.records:
            recovery.resend_oversized(tcb)
            output(tcb)

    # -- answers without a connection -------------------------------------------------------------

    def reset_unknown(self, packet, local, remote, seg):
        """RFC 9293 section 3.10.7.1: a segment nobody is waiting for is answered with a RST."""
        if seg.flags & RST:
            return
        try:
            path = self.ipv4.path(remote[0], local[0])
        except OSError:
            return
        self.reset_for(path, local, remote, seg)

    def reset_for(self, path, local, remote, seg):
        """Send the RST that `seg` deserves: in the sequence space its sender believes in."""
        self.counters["tcp.resets_out"] += 1
        if seg.flags & ACK:
            send_bare(self, path, local, remote, seg.ack & MASK, 0, RST, 0, _STATELESS)
        else:
            send_bare(self, path, local, remote, 0, seg.end & MASK, RST | ACK, 0, _STATELESS)

    def send_stateless_syn_ack(self, packet, local, remote, seg, iss, options):
        """A SYN,ACK for which nothing is remembered (SYN cookies): the MSS option and, if the peer stamps its segments,
        those that our timestamp can remember."""
        try:
            path = self.ipv4.path(remote[0], local[0])
        except OSError:
            return
        mss = min(path.link.mtu - path.header_length - HEADER_LENGTH, 65535)
        answer, offered, settings = TcpOptions(mss=mss), seg.options, self.settings
        stamped = offered.timestamp is not None and settings.timestamps
        window = ReceiveWindow(settings, options, mss - TIMESTAMP_OPTION if stamped else mss)
        if stamped:
            scale = offered.window_scale if settings.window_scaling else None
            sack = bool(offered.sack_permitted and settings.sack)
            stamp = self.numbers.cookie_stamp(local, remote, self.clock.now(), scale, sack)
            answer = TcpOptions(mss, None if scale is None else window.offered, sack, (stamp, offered.timestamp[0]))
        send_bare(self, path, local, remote, iss, (seg.seq + 1) & MASK, SYN | ACK, window.initial(0), options,
                  pack_options(answer, True))

    # -- opening ----------------------------------------------------------------------------------

    def connect(self, local, remote, options, owner=None):
        """Active OPEN: a connection in SYN-SENT.

        local: (ip or None, port or 0); owner: whoever holds that port in `ports`, if bound. OSError: ENETUNREACH,
        EADDRNOTAVAIL (no port left, or the four-tuple exists), EACCES for a broadcast address.
        """
        path = self.ipv4.path(remote[0], local[0], options.device)
        if path.broadcast or path.multicast:
            raise os_error(errno.ENETUNREACH)
        ip = path.src
        remote = path.dst, remote[1]
        port = local[1]
        if port:
            old = self.connections.get((ip, port, *remote))
            if old is not None and not self._may_replace(old):
                raise os_error(errno.EADDRNOTAVAIL)
            tcb = Connection(self, (ip, port), remote, path, options)
            if old is not None:
                tcb.start_at(old.snd_nxt + _ISS_STEP & MASK)
            if owner is not None and owner in self.ports:
                self.ports.inherit(tcb, ip, owner)
        else:
            key = object()
            port = self.ports.connect(key, ip, lambda port: (ip, port, *remote) in self.connections)
            tcb = Connection(self, (ip, port), remote, path, options)
            self.ports.inherit(tcb, ip, key)
            self.ports.release(key)
        self.connections[(ip, port, *remote)] = tcb
        tcb.rcv.initial(0)
        tcb.enter(SYN_SENT)
        self.counters["tcp.active_opens"] += 1
        tcb.syn_sent_at = self.clock.now()
        send_syn(tcb)
        tcb.arm("syn", self.settings.rto_initial)
        return tcb

    def _may_replace(self, old):
        """May a connection in TIME-WAIT give way to a new one with the same addresses?"""
        if old.state is TIME_WAIT and old.ts_ok and self.clock.now() - old.last_heard > 1.0:
            self.forget(old)
            return True
        return False

    def listen(self, local, backlog, options, owner=None):
        """Passive OPEN on (ip, port), whose binding in `ports` is `owner`'s. OSError(EADDRINUSE) as Linux."""
        if owner is not None:
            self.ports.listen(owner)
        listener = Listener(self, local, backlog, options, owner)
        self.listeners.setdefault(local, []).append(listener)
        return listener

    def stop_listening(self, listener):
        """A listener is closing."""
        listeners = self.listeners.get(listener.local, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self.listeners.pop(listener.local, None)

    def embryo(self, listener, packet, local, remote, seg, iss=None):
        """A SYN for a listener: the connection in SYN-RECEIVED (its SYN,ACK is not sent yet). iss: instead of a
        fresh one."""
        try:
            path = self.ipv4.path(remote[0], local[0])
        except OSError:
            self.counters["tcp.drop_no_route"] += 1
            return None
        tcb = Connection(self, local, remote, path, listener.options.inherited())
        if iss is not None:
            tcb.start_at(iss)
        tcb.listener = listener
        tcb.irs = seg.seq
        tcb.rcv_nxt = tcb.rcv_up = tcb.last_ack_sent = seg.seq + 1
        tcb.rcv.initial(tcb.rcv_nxt)
        negotiate(tcb, seg)
        tcb.rcv.start(tcb.advertised_mss - tcb.option_bytes)       # whole segments, as large as the peer's will be
        tcb.rcv.initial(tcb.rcv_nxt)
        tcb.ecn_ok = bool(self.settings.ecn) and offered_ecn(seg.flags)
        tcb.snd_wnd, tcb.snd_wl1 = seg.wnd, seg.seq
        tcb.max_window = seg.wnd
        tcb.segs_in += 1
        if listener.owner is not None and listener.owner in self.ports:
            self.ports.inherit(tcb, local[0], listener.owner)
        tcb.enter(SYN_RECEIVED)
        self.connections[(*local, *remote)] = tcb
        self.counters["tcp.passive_opens"] += 1
        return tcb

    def from_cookie(self, listener, packet, local, remote, seg, mss):
        """A SYN cookie came back: make the connection it stands for, as if it had been there all along."""
        options, stamp = TcpOptions(mss=mss), seg.options.timestamp
        if stamp is not None and self.settings.timestamps:
            scale, sack = self.numbers.check_cookie_stamp(local, remote, stamp[1])
            options = TcpOptions(mss, scale, sack, (stamp[0], 0))
        syn = Segment((seg.seq - 1) & MASK, 0, SYN, seg.wnd, 0, seg.text[:0], options, 0, 0)
        tcb = self.embryo(listener, packet, local, remote, syn, (seg.ack - 1) & MASK)
        if tcb is None:
            return
        tcb.snd_nxt = tcb.iss + 1
        tcb.syn_sent_at = None                         # nobody knows
        listener.children[remote] = tcb
        segment_arrives(tcb, seg)

    def established(self, tcb):
        """A connection has just become ESTABLISHED."""
        self.counters["tcp.established"] += 1
        if tcb.options.keepalive:
            tcb.arm_life(timeouts.keepalive_times(tcb)[0])

    # -- ending -----------------------------------------------------------------------------------

    def start_fin_wait_2(self, tcb):
        """An orphan in FIN-WAIT-2 waits for the peer's FIN, but not for ever."""
        wait = tcb.options.linger2
        if wait is not None and wait < 0:
            self.abort(tcb)
        else:
            tcb.arm_life(wait or self.settings.fin_timeout)

    def start_time_wait(self, tcb):
        """Both FINs are acknowledged; wait until no old segment can turn up any more (RFC 9293 section 3.6.1)."""
        tcb.enter(TIME_WAIT)
        tcb.disarm()
        tcb.arm_life(self.settings.time_wait)
        self.time_waits[tcb] = None
        if tcb.orphan:
            time_wait.travel_light(tcb)
        if len(self.time_waits) > self.settings.max_time_wait:
            self.counters["tcp.time_wait_evicted"] += 1
            self.forget(next(iter(self.time_waits)))

    def reopen_time_wait(self, tcb, seg):
        """A SYN for a connection in TIME-WAIT, clearly newer than it: let a listener have it (RFC 6191)."""
        if seg.flags & (ACK | RST):
            return False
        stamp = seg.options.timestamp
        newer = seg.seq > tcb.rcv_nxt or (tcb.ts_ok and stamp is not None
                                          and 0 < (stamp[0] - tcb.ts_recent) & MASK < 0x80000000)
        listener = self.find_listener(*tcb.local, tcb.remote, tcb.path.interface)
        if not newer or listener is None:
            return False
        self.forget(tcb)
        seg.seq &= MASK
        seg.ack &= MASK
        packet = Packet(seg.text, 0, 0, tcb.path.interface)
        packet.src, packet.dst = tcb.remote[0], tcb.local[0]
        listener.segment_arrives(packet, tcb.remote, seg, tcb.snd_nxt + _ISS_STEP & MASK)
        return True

    def abort(self, tcb, error=0):
        """End a connection with a RST, `error` for the user."""
        if tcb.state in _SENDS_RESET or tcb.state in _SENDS_RESET_IF_UNSENT and has_unsent(tcb):
            self.counters["tcp.resets_out"] += 1
            send_reset(tcb)
        if error:
            self.fail(tcb, error)
        else:
            self.forget(tcb)

    def fail(self, tcb, error):
        """The connection is gone, without a word to the peer; the user learns `error`."""
        if not tcb.orphan:
            tcb.error = error
        self.forget(tcb)

    def forget(self, tcb):
        """Take a connection out of the tables: CLOSED. Idempotent."""
        if tcb.state is CLOSED:
            return
        listener, tcb_key = tcb.listener, (*tcb.local, *tcb.remote)
        tcb.enter(CLOSED)
        tcb.stop_timers()
        tcb.ack_now = False
        if tcb.records:
            tcb.records.clear()
        tcb.packets_out = 0
        tcb.loss = None
        tcb.sendq = tcb.early = tcb.push_marks = tcb.record_ends = None
        chrono.rest(tcb, self.clock.now())
        if self.connections.get(tcb_key) is tcb:
            del self.connections[tcb_key]
        self.time_waits.pop(tcb, None)
        self.ports.release(tcb)
        if listener is not None:
            listener.lost(tcb)
        self.gate.notify(tcb)

    def stop(self):
        """The stack stops: reset every connection, close every listener."""
        for listeners in list(self.listeners.values()):
            for listener in list(listeners):
                listener.close()
        for tcb in list(self.connections.values()):
            self.abort(tcb, 0 if tcb.orphan else errno.ENETDOWN)
        self.ports.clear()

    # -- services to connections ------------------------------------------------------------------

    def timer(self, tcb, name):
        """A timer that calls timeouts.<name>(tcb)."""
        return self.timers.timer(partial(getattr(timeouts, name), tcb))

    def renew_path(self, tcb):
        """Addresses or routes have changed: find the way again. False if there is none any more."""
        try:
            tcb.path = self.ipv4.path(tcb.remote[0], tcb.local[0], tcb.options.device)
        except OSError as error:
            tcb.soft_error = error.errno
            self.counters["tcp.send_failed"] += 1
            return False
        return True

    def path_may_be_black_hole(self, tcb):
        """Full segments with DF vanish and no ICMP says why (RFC 4821 section 7.7): try smaller ones."""
        if tcb.retries < 3 or not self.settings.pmtu_discovery or tcb.path.loopback:
            return
        if any(record.sacked and record.end - record.seq >= tcb.mss for record in tcb.records):
            return                                     # full ones do get through: this is loss
        if tcb.records and tcb.records[0].end - tcb.records[0].seq >= tcb.mss > 1024:
            self.counters["tcp.black_hole_suspected"] += 1
            self._packet_too_big(tcb, max(1024 + 40 + tcb.option_bytes, 1064))

    @staticmethod
    def format(address):
        """(ip, port) readable."""
        return f"{format_ip(address[0])}:{address[1]}"


def _heard_by(listeners, interface):
    """Those of the listeners that SO_BINDTODEVICE lets hear what comes by `interface`: the ones bound to it first."""
    return ([listener for listener in listeners if listener.options.device is interface]
            or [listener for listener in listeners if listener.options.device is None])
