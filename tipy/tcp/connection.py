"""The user's side of a connection: RFC 9293 section 3.10.1 to 3.10.6 (SEND, RECEIVE, CLOSE, ABORT, STATUS).

Everything here is called with the gate held and returns at once; blocking is the socket layer's business. Each call
changes fields and then asks `output` to decide what to send.
"""

import errno

from tipy.buffers import SendQueue
from tipy.errors import os_error
from tipy.tcp import chrono, congestion, cwnd_validation, info, text, urgent
from tipy.tcp.output import output
from tipy.tcp.states import (CAN_RECEIVE, CAN_SEND, CLOSED, CLOSE_WAIT, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, LAST_ACK,
                             OPENING, SYN_RECEIVED, SYN_SENT, TIME_WAIT)
from tipy.tcp.tcb import Tcb
from tipy.tcp.time_wait import travel_light
from tipy.tcp.timeouts import keepalive_times

_ROOM = 1 << 17                # room worth a wake-up when little is left to send
_CHUNK = 1 << 19               # at most so much is taken in one write


class Connection(Tcb):
    """A TCP connection as its user sees it."""

    __slots__ = ()

    # -- what can be asked ------------------------------------------------------------------------

    @property
    def connected(self):
        """The handshake is done (and the connection not gone)."""
        return self.state not in OPENING and self.state is not CLOSED

    @property
    def unread(self):
        """Bytes waiting to be read."""
        return self.receiveq.length if self.receiveq is not None else 0

    @property
    def visible(self):
        """Those of them that an ordinary read sees: not the urgent byte."""
        queue = self.receiveq
        if queue is None or not queue.length:
            return 0
        return queue.length if self.urgent is None else queue.length - urgent.hidden(self)

    @property
    def unsent(self):
        """Bytes written and not yet acknowledged (SIOCOUTQ)."""
        return len(self.sendq) if self.sendq is not None else 0

    @property
    def capacity(self):
        """How many bytes the send queue may hold: two congestion windows, and what it once grew to; SO_SNDBUF
        fixes it."""
        fixed = self.options.sndbuf
        if fixed:
            return fixed
        wanted = 2 * self.cwnd * self.mss
        if wanted > self.sndbuf:
            self.sndbuf = max(min(wanted, self.tcp.settings.sndbuf_max), self.sndbuf)
        return self.sndbuf

    @property
    def lowat(self):
        """TCP_NOTSENT_LOWAT: how many bytes may wait to be sent for the first time; None = no limit."""
        return self.options.notsent_lowat or self.tcp.settings.notsent_lowat

    @property
    def room(self):
        """How many bytes `write` would take now, before it sends anything."""
        queue, room = self.sendq, self.capacity
        if queue is not None:
            room -= queue.end - queue.start
        if room <= 0:
            return 0
        lowat = self.lowat
        if not lowat:
            return room
        unsent = max(self.snd_end - self.snd_nxt, 0)       # whole segments, the last one may be begun
        return min(room, -(-max(lowat, unsent) // self.mss) * self.mss - unsent)

    @property
    def enough_room(self):
        """Room worth waking a writer for: a third of the queue is free, as on Linux, or there is some and little is
        left to send: a writer woken later would write in bursts."""
        queue = self.sendq
        if queue is None:
            return True
        used = len(queue)
        lowat = self.lowat
        if lowat and queue.end - self.snd_nxt >= lowat:
            return False
        capacity = self.capacity
        if used * 3 <= capacity * 2:
            return True
        return queue.end - self.snd_nxt < capacity >> 3 and capacity - used >= _ROOM

    @property
    def readable(self):
        """A read would not block: enough data, the end of the stream, or an error."""
        queue = self.receiveq
        if queue is not None and queue.length and (self.options.rcvlowat == 1 and self.urgent is None or self._enough):
            return True
        return self.eof or self.rcv_shut or bool(self.error) or self.state is CLOSED

    @property
    def _enough(self):
        """What is visible is worth waking a reader for (SO_RCVLOWAT)."""
        visible = self.visible
        return visible > 0 and visible >= min(self.options.rcvlowat, self.rcv.space)

    @property
    def writable(self):
        """A write would not block: room, or an error to report."""
        if self.state in CAN_SEND and not self.fin_queued:
            return self.enough_room
        return self.state not in OPENING

    def take_error(self):
        """The pending error (errno or 0); reading it clears it (SO_ERROR)."""
        error, self.error = self.error, 0
        return error

    def info(self):
        """The kernel's tcpi_* fields as a dict (see info.py)."""
        return info.fields(self)

    # -- RECEIVE ----------------------------------------------------------------------------------

    def read(self, count, peek=False):
        """Up to `count` bytes; b"" at the end of the stream. Call when readable; may raise the pending error."""
        queue = self.receiveq
        if queue is None or not queue.length:
            self._nothing_to_read()
            return b""
        if self.urgent is not None:
            count = urgent.before_read(self, count)
        data = queue.read(count, peek)
        if not peek:
            self._after_read()
        return data

    def read_into(self, buffer, peek=False):
        """Like `read`, into a writable memoryview; the number of bytes."""
        queue = self.receiveq
        if queue is None or not queue.length:
            self._nothing_to_read()
            return 0
        if self.urgent is not None:
            buffer = buffer[:urgent.before_read(self, len(buffer))]
        count = queue.read_into(buffer, peek)
        if not peek:
            self._after_read()
        return count

    def discard(self, count):
        """Drop up to `count` bytes unread (MSG_TRUNC); the number of bytes."""
        queue = self.receiveq
        if queue is None or not queue.length:
            self._nothing_to_read()
            return 0
        if self.urgent is not None:
            count = urgent.before_read(self, count)
        count = queue.discard(count)
        self._after_read()
        return count

    def read_urgent(self, peek=False):
        """The urgent byte (MSG_OOB); see urgent.py for the errors."""
        return urgent.read(self, peek)

    def _nothing_to_read(self):
        if self.error:
            code = self.take_error()
            raise os_error(errno.ECONNRESET if code == errno.EPIPE else code)

    def _after_read(self):
        """Buffer space is free again: perhaps the peer should know."""
        queued = self.receiveq.length
        rcv = self.rcv
        rcv.user_read(self.rcv_nxt - queued, self.now(), self.rtt.srtt)
        if text.read(self, queued):
            self.ack_now = True
            output(self)
        elif self.state in CAN_RECEIVE:
            if rcv.worth_telling(self.rcv_nxt, queued, self.rcv_mss):
                self.ack_now = True
                output(self)

    # -- SEND -------------------------------------------------------------------------------------

    def write(self, view, more=False, record=False):
        """Take as much of `view` as there is room for; the number of bytes (0: none now).

        more=True (MSG_MORE): a partial segment waits for the next write. record=True (MSG_EOR): no segment will hold
        both the end of this and what is written after it. Raises BrokenPipeError, the pending error, or ENOTCONN.
        """
        if self.state not in CAN_SEND or self.fin_queued:
            if self.state not in OPENING or self.fin_queued:
                self._cannot_send()
        elif self.error:
            raise os_error(self.take_error())
        count = self._take(view, more, record)
        if count < len(view) and self.lowat:               # what has been sent since made room
            piece = count
            while piece:
                piece = self._take(view[count:], more, record)
                count += piece
            if count < len(view) and self.sendq is not None and self.sendq.end > self.snd_nxt:
                self.push_marks.append(self.sendq.end)
        return count

    def _take(self, view, more, record):
        """Take what there is room for, and send; the number of bytes."""
        size = len(view)
        room = self.room
        count = size if size <= room and size <= _CHUNK else min(room, _CHUNK)
        self.wants_room = count < size
        if count <= 0:
            return 0
        queue = self.sendq
        if queue is None:
            queue = self.sendq = SendQueue(self.iss + 1)
            self.push_marks = []
        now = self.now()
        if not self.packets_out:
            cwnd_validation.restart_after_idle(self, now)
        if queue.start == queue.end:
            chrono.start(self, chrono.BUSY, now)
        if count < size:
            view = view[:count]
        kept = view.obj                                    # as long as the view is
        queue.append(view if type(kept) is bytes and len(kept) <= 2 * count else bytes(view))
        if not more if count == size else not self.lowat:
            self.push_marks.append(queue.end)
        if record and count == size:
            if self.record_ends is None:
                self.record_ends = []
            self.record_ends.append(queue.end)
        if self.state in CAN_SEND:
            output(self, more and count == size)
        return count

    def write_urgent(self, view):
        """Like `write`; the last byte is urgent (MSG_OOB)."""
        view = view[:min(self.room, _CHUNK)]
        if self.sendq is not None or view:
            self.snd_up = self.snd_end + len(view)
        return self.write(view)

    def _cannot_send(self):
        if self.error:
            raise os_error(self.take_error())
        raise os_error(errno.EPIPE)

    # -- CLOSE, ABORT -----------------------------------------------------------------------------

    def shutdown_read(self):
        """Nothing more will be read: reads return b"" when the queue is empty. Data is still acknowledged."""
        self.rcv_shut = True
        self.tcp.gate.notify(self)

    def shutdown_write(self):
        """Nothing more will be written: a FIN goes out after what is queued."""
        if self.fin_queued or self.state is CLOSED:
            return
        if self.state is SYN_SENT:
            self.tcp.forget(self)
            return
        self._queue_fin(at_once=False)
        self.tcp.gate.notify(self)

    def close(self):
        """The user lets go: send what is queued and a FIN, or a RST if there is unread data (RFC 2525)."""
        if self.orphan:
            return
        self.orphan = True
        linger = self.options.linger
        if self.state is SYN_SENT:
            self.tcp.forget(self)
        elif self.unread or linger is not None and linger <= 0:
            self.abort()
        elif self.state is CLOSED:
            self.tcp.forget(self)
        elif not self.fin_queued:
            self._queue_fin()
        elif self.state is FIN_WAIT_2:
            self.tcp.start_fin_wait_2(self)
        elif self.state is TIME_WAIT:
            travel_light(self)

    def abort(self):
        """Send a RST and forget the connection. TIME-WAIT ends by itself: there is nobody left to tell."""
        self.orphan = True
        if self.state is not TIME_WAIT:
            self.tcp.abort(self)

    def _queue_fin(self, at_once=True):
        """The FIN goes out behind what is queued; during a handshake `at_once` or (as on Linux) when that is done."""
        self.fin_queued = True
        if self.state is SYN_RECEIVED and not at_once:
            return
        if self.state is CLOSE_WAIT:
            self.enter(LAST_ACK)
        elif self.state in (ESTABLISHED, SYN_RECEIVED):
            self.enter(FIN_WAIT_1)
        output(self)

    # -- options ----------------------------------------------------------------------------------

    def options_changed(self):
        """The socket layer has changed `options`: act on those that act at once."""
        options = self.options
        if options.rcvbuf and self.rcv.space != options.rcvbuf // 2:
            self.rcv.resize(options.rcvbuf)
        if options.window_clamp:
            self.rcv.clamp(options.window_clamp)
        if self.state is CLOSED:
            return
        if options.quickack or options.quickack is not self.quickack:
            self._quick_ack(options.quickack)
        if options.congestion and options.congestion != self.cc.name:
            chosen = congestion.find(options.congestion)
            self.cc.release()
            self.cc = chosen(self)
        if self.connected:
            self.update_mss()
            if options.keepalive and not self.orphan and self.state is not TIME_WAIT:
                silent = self.now() - max(self.last_heard, self.last_received)
                self.arm_life(max(keepalive_times(self)[0] - silent, 0.0))
            output(self, nagle=not options.nodelay)    # TCP_NODELAY pushes out even what a cork holds

    def _quick_ack(self, on):
        """TCP_QUICKACK was set: how to go on from here. What follows may change that again (tcp(7))."""
        self.quickack = on
        self.interactive = not on
        if on and self.ack_due and not self.unread:
            self.ack_now = True
