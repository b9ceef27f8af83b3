"""SOCK_STREAM: the calls of a TCP socket on a Tcb or a Listener.

A stream starts without an endpoint. `connect` gives it a Tcb, `listen` a Listener, `accept` makes a new
stream around a finished Tcb. A connect that failed leaves its dead Tcb here, so that poll and SO_ERROR
still tell; the next connect replaces it. What Linux does decides wherever RFC 9293's user calls leave room.
"""

import errno

from tipy.address import ANY
from tipy.errors import os_error
from tipy.sockets import ancillary
from tipy.sockets.base import (BROKEN, FAULT, HANGUP, NOW, PEER_DONE, READABLE, URGENT, WRITABLE, Channel,
                               destination)
from tipy.sockets.constants import (MSG_DONTWAIT, MSG_EOR, MSG_ERRQUEUE, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_TRUNC,
                                    MSG_WAITALL, SHUT_RD, SHUT_RDWR, SHUT_WR, SOCK_STREAM, SOL_SOCKET)
from tipy.tcp.options import Options
from tipy.tcp.states import (CLOSED, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT_1, LAST_ACK, OPENING, PEER_FINISHED,
                             SYN_SENT, TIME_WAIT)

_GONE = frozenset({CLOSED, TIME_WAIT})
_LINGERING = frozenset({FIN_WAIT_1, CLOSING, LAST_ACK})
_NOT_INHERITED = {(SOL_SOCKET, "SO_PRIORITY")}
_RARE_RECV = MSG_WAITALL | MSG_TRUNC | MSG_OOB | MSG_ERRQUEUE
_BULK = 1 << 16               # bytes in one call: a program that writes like this is inside the stack most of the time


class Stream(Channel):
    """A TCP socket: not connected, connecting, connected or listening."""

    __slots__ = ("bound", "_options", "listening", "pending", "pushback", "read_shut", "before_close")

    type = SOCK_STREAM
    proto = 6

    def __init__(self, stack, tcb=None):
        super().__init__(stack, tcb)
        self.bound = None                  # (ip, port) after bind()
        self._options = None if tcb is not None else Options()
        self.listening = False
        self.pending = False               # a connect() has not reported its outcome yet
        self.pushback = b""                # bytes handed out on the descriptor and taken back
        self.read_shut = False
        self.before_close = None           # called inside the gate with the connection, see tls.py

    @property
    def options(self):
        """The Options that count now."""
        return self._options if self.endpoint is None else self.endpoint.options

    def options_changed(self):
        """Tell a connection, and the port table, that options are different."""
        if self.bound is not None:
            options = self.options
            self.stack.tcp.ports.change(self, reuse_address=options.reuse_address,
                                        reuse_port=options.reuse_port)
        if self.endpoint is not None and not self.listening:
            self.endpoint.options_changed()

    # -- names ------------------------------------------------------------------------------------

    def bind(self, ip, port):
        """Take a local address; port 0 lets the stack choose."""
        with self.gate:
            self.alive()
            if self.bound is not None or self.endpoint is not None:
                raise os_error(errno.EINVAL)
            if port or not self.options.bind_no_port:
                self._reserve(ip, port)
            else:
                self.bound = ip, 0         # connect() or listen() will choose

    def _reserve(self, ip, port):
        options = self.options
        if ip != ANY and not options.freebind and not self.stack.ipv4.is_local(ip):
            raise os_error(errno.EADDRNOTAVAIL)
        port = self.stack.tcp.ports.bind(self, ip, port, reuse_address=options.reuse_address,
                                         reuse_port=options.reuse_port)
        self.bound = ip, port

    def local(self):
        """(ip, port) of this end; zeros as long as there is none."""
        with self.gate:
            self.alive()
            if self.endpoint is not None and not self._failed():
                return self.endpoint.local
            return self.bound or (ANY, 0)

    def remote(self):
        """(ip, port) of the peer, or ENOTCONN."""
        with self.gate:
            self.alive()
            tcb = self.endpoint
            if tcb is None or self.listening or not tcb.connected or tcb.state is TIME_WAIT:
                raise os_error(errno.ENOTCONN)
            return tcb.remote

    # -- opening ----------------------------------------------------------------------------------

    def connect(self, ip, port, deadline):
        """Open a connection; EINPROGRESS, EALREADY, EISCONN as Linux."""
        with self.gate:
            self.alive()
            if self.listening:
                raise os_error(errno.EISCONN)
            tcb = self.endpoint
            if self.pending:
                if deadline == NOW and not tcb.connected and tcb.state is not CLOSED:
                    raise os_error(errno.EALREADY)
            elif tcb is not None and not self._failed():
                raise os_error(errno.EISCONN)
            else:
                self._open(destination(ip), port)
                if deadline == NOW:
                    raise os_error(errno.EINPROGRESS)
            self._opened(deadline)

    def _open(self, ip, port):
        options = self.options
        tcb = self.stack.tcp.connect(self.bound or (None, 0), (ip, port), options,
                                     self if self.bound else None)
        if self.readiness is not None and self.readiness.broken:
            self.readiness.renew()
        self._options = options
        self.use(tcb)
        self.pending = True
        self.settle()

    def _opened(self, deadline):
        """Wait for the outcome of the connection attempt, and report it once."""
        tcb = self.endpoint
        try:
            if tcb.state in OPENING:
                self.wait(lambda: tcb.state not in OPENING, deadline, self.sndtimeo)
        except BlockingIOError:
            raise os_error(errno.EINPROGRESS) from None
        self.pending = False
        if tcb.connected:
            return
        raise os_error(tcb.take_error() or errno.ECONNABORTED)

    def _reported(self):
        """True if connect() has told that it failed, or was stopped by shutdown(): this is no connection any more."""
        return not self.pending and not self.endpoint.error and self._failed()

    def _failed(self):
        """True for the Tcb of a connection attempt that came to nothing."""
        tcb = self.endpoint
        return not self.listening and tcb.state is CLOSED and not tcb.rcv_nxt    # no SYN ever came

    def listen(self, backlog):
        """Accept connections from now on; a second call changes the backlog."""
        with self.gate:
            self.alive()
            if self.listening:
                self.endpoint.backlog = backlog
                return
            if self.endpoint is not None and not self._failed():
                raise os_error(errno.EINVAL)
            options = self.options
            if self.bound is None or not self.bound[1]:
                self._reserve(self.bound[0] if self.bound else ANY, 0)
            listener = self.stack.tcp.listen(self.bound, backlog, options, self)
            self._options = options
            self.listening = True
            self.use(listener)
            self.settle()

    def accept(self, deadline):
        """The next connection as a new Stream."""
        with self.gate:
            self.alive()
            if not self.listening:
                raise os_error(errno.EINVAL)
            listener = self.endpoint
            tcb = listener.accept()
            while tcb is None:
                self.wait(lambda: listener.ready or not self.listening, deadline, self.rcvtimeo)
                if not self.listening:
                    raise os_error(errno.EINVAL)
                tcb = listener.accept()
            self.settle()
            child = Stream(self.stack, tcb)
            child.rcvtimeo, child.sndtimeo = self.rcvtimeo, self.sndtimeo
            if self.flags:
                child.flags = {name: value for name, value in self.flags.items() if name not in _NOT_INHERITED}
            return child, tcb.remote

    # -- sending ----------------------------------------------------------------------------------

    def send(self, view, flags, deadline, everything=False):
        """Send bytes of `view` and return how many were taken.

        A blocking call (deadline None) sends all of it, as the kernel does; one with a deadline returns
        with what there was room for, unless `everything`.
        """
        if flags & MSG_DONTWAIT and deadline is None:
            deadline = NOW
        with self.gate:
            self.alive()
            tcb = self._sender(deadline)
            if flags & MSG_OOB:
                return self._send_urgent(tcb, view, deadline)
            try:
                sent, size = tcb.write(view, flags & MSG_MORE != 0, flags & MSG_EOR != 0), len(view)
                if sent >= _BULK:
                    self.gate.pass_by()
                if sent < size:
                    sent = self._send_rest(tcb, view, sent, flags, deadline, everything)
                return sent
            finally:
                self.settle()

    def _sender(self, deadline):
        tcb = self.endpoint
        if tcb is None or self.listening:
            raise os_error(errno.EPIPE)
        if self.readiness is not None and not self.readiness.collect():
            # what went straight to the descriptor comes first
            self.wait(self.readiness.collect, deadline, self.sndtimeo)
        if tcb.state in OPENING:
            self.wait(lambda: tcb.state not in OPENING, deadline, self.sndtimeo)
        return tcb

    def _send_rest(self, tcb, view, sent, flags, deadline, everything):
        size = len(view)
        while sent < size and (everything or not sent or deadline is None):
            try:
                if not tcb.writable:
                    self.wait(lambda: tcb.writable, deadline, self.sndtimeo)
                if sent and not everything and tcb.state is CLOSED:
                    break                  # the error waits for the next call
                sent += tcb.write(view[sent:], flags & MSG_MORE != 0, flags & MSG_EOR != 0)
            except OSError:
                if not sent or everything:
                    raise
                break
        return sent

    def _send_urgent(self, tcb, view, deadline):
        """MSG_OOB: the last byte is urgent (RFC 6093: kept for programs that use it)."""
        if not tcb.writable:
            self.wait(lambda: tcb.writable, deadline, self.sndtimeo)
        sent = tcb.write_urgent(view)
        self.settle()
        return sent

    # -- receiving --------------------------------------------------------------------------------

    def receive(self, size, flags, deadline):
        """Up to `size` bytes, b"" at the end of the stream."""
        with self.gate:
            self.alive()
            if flags & _RARE_RECV or self.pushback:
                return self._receive_rarely(size, flags, deadline)
            tcb = self._await_data(flags, deadline, size)
            if tcb.error and _ended(tcb):
                return b""
            try:
                return tcb.read(size, flags & MSG_PEEK != 0)
            finally:
                self.settle()              # also when an error has been told

    def receive_into(self, view, flags, deadline):
        """Fill `view` as far as there is data; returns the number of bytes, 0 at the end."""
        with self.gate:
            self.alive()
            if flags & _RARE_RECV or self.pushback:
                data = self._receive_rarely(len(view), flags, deadline)
                view[:len(data)] = data
                return len(data)
            tcb = self._await_data(flags, deadline, len(view))
            if tcb.error and _ended(tcb):
                return 0
            try:
                return tcb.read_into(view, flags & MSG_PEEK != 0)
            finally:
                self.settle()

    def receive_message(self, size, flags, deadline):
        """As recvmsg sees it: (data, [(level, type, value)], flags, None)."""
        data = self.receive(size, flags, deadline)
        told = []
        if self.flags:
            with self.gate:
                told = ancillary.about_stream(self.endpoint, data, self.flags, self.gate.clock)
        return data, told, 0, None

    def _await_data(self, flags, deadline, size):
        """The Tcb, once a read of `size` bytes may go on. SO_RCVLOWAT makes a blocking read wait, though not for more
        than it asks for, and a poll; without waiting what is there can be read (as Linux)."""
        tcb = self.endpoint
        if tcb is None or self.listening or tcb.state is CLOSED and self._reported():
            raise os_error(errno.ENOTCONN)
        if not tcb.readable:
            if flags & MSG_DONTWAIT and deadline is None:
                deadline = NOW
            if deadline == NOW and tcb.visible:
                return tcb
            if tcb.options.rcvlowat == 1:
                self.wait(lambda: tcb.readable, deadline, self.rcvtimeo)
                return tcb
            least = max(size, 1) if deadline is None else float("inf")
            if tcb.visible < least:
                self.wait(lambda: tcb.readable or tcb.visible >= least, deadline, self.rcvtimeo)
        return tcb

    def _receive_rarely(self, size, flags, deadline):
        if flags & MSG_ERRQUEUE:
            raise os_error(errno.EAGAIN)
        if flags & MSG_OOB:
            return self._receive_urgent(flags)
        peek = flags & MSG_PEEK != 0
        # without a deadline the descriptor counts as blocking; with one, MSG_WAITALL has nothing to wait for
        wanted = size if flags & MSG_WAITALL and deadline is None and not flags & MSG_DONTWAIT else 1
        data = self._gather(size, wanted, peek, flags, deadline)
        self.settle()
        return bytes(len(data)) if flags & MSG_TRUNC else data     # cut: the kernel only tells the length

    def _gather(self, size, wanted, peek, flags, deadline):
        """At least `wanted` bytes unless the stream ends; an error counts only if nothing came."""
        data = self.pushback[:size]
        if not peek:
            self.pushback = self.pushback[len(data):]
        while len(data) < wanted:
            try:
                tcb = self._await_data(flags, deadline, size - len(data))
                if peek and wanted > 1 and tcb.unread < wanted - len(data):
                    self.wait(lambda: tcb.unread >= wanted - len(data) or tcb.eof
                              or tcb.state is CLOSED, deadline, self.rcvtimeo)
                piece = b"" if tcb.error and _ended(tcb) else tcb.read(size - len(data), peek)
            except OSError:
                if not data:
                    raise
                break
            data += piece
            if not piece or peek:
                break
        return data

    def _receive_urgent(self, flags):
        """MSG_OOB: the urgent byte, which lies beside the stream."""
        if self.endpoint is None or self.listening:
            raise os_error(errno.ENOTCONN)
        byte = self.endpoint.read_urgent(flags & MSG_PEEK != 0)
        self.settle()
        return byte

    # -- ending -----------------------------------------------------------------------------------

    def shutdown(self, how):
        """Close one direction or both (SHUT_RD, SHUT_WR, SHUT_RDWR)."""
        with self.gate:
            self.alive()
            if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
                raise os_error(errno.EINVAL)
            tcb = self.endpoint
            if self.listening:
                if how != SHUT_WR:
                    self._unlisten()
                return
            if tcb is None or tcb.state in _GONE:
                raise os_error(errno.ENOTCONN)
            if tcb.state is SYN_SENT:
                tcb.abort()
                tcb.error = errno.ECONNRESET               # as Linux, where this is a disconnect
                self.pending = False
            else:
                self._shutdown(tcb, how)
            self.gate.notify(tcb)
            self.settle()

    def _shutdown(self, tcb, how):
        if how != SHUT_WR:
            self.read_shut = True
            tcb.shutdown_read()
        if how == SHUT_RD:
            return
        if self.readiness is not None:
            self.readiness.after_collecting(tcb.shutdown_write)
        else:
            tcb.shutdown_write()

    def _unlisten(self):
        """shutdown(SHUT_RD) of a listener: back to a bound socket; a blocked accept() gets EINVAL."""
        listener = self.endpoint
        self.listening = False
        self._options = listener.options
        self.endpoint = None
        self.stack.tcp.ports.change(self, listening=False)
        listener.readiness = None
        listener.close()
        self.gate.notify(listener)
        self.settle()

    def drop(self, linger=True):
        """See Channel.drop: FIN, or RST with SO_LINGER 0 or unread data (RFC 2525)."""
        endpoint = self.endpoint
        if self.bound is not None:         # a connection keeps the port by a binding of its own
            self.stack.tcp.ports.release(self)
        if endpoint is None:
            return
        if self.listening:
            endpoint.close()
            return
        if self.before_close is not None and endpoint.unread:
            self.before_close(endpoint)
        if endpoint.options.linger == 0 or self.pushback:
            endpoint.abort()
        else:
            patience = endpoint.options.linger
            endpoint.close()
            if linger and patience:
                self._linger(endpoint, patience)

    def _linger(self, tcb, patience):
        """close() with SO_LINGER: until all is acknowledged, at most `patience` seconds."""
        try:
            self.gate.wait(tcb, lambda: tcb.state not in _LINGERING, self.gate.clock.now() + patience)
        except OSError:
            pass                           # the stack stopped: nothing to wait for

    # -- state ------------------------------------------------------------------------------------

    def take_error(self):
        """SO_ERROR: the pending errno, once."""
        tcb = self.endpoint
        if tcb is None or self.listening:
            return 0
        try:
            return tcb.take_error()
        finally:
            self.settle()

    def poll(self):
        """See Channel.poll."""
        endpoint = self.endpoint
        if endpoint is None:
            return WRITABLE
        if self.listening:
            return READABLE if endpoint.ready else 0
        state = endpoint.state
        if state is CLOSED:
            done = READABLE | WRITABLE | PEER_DONE | HANGUP
            return done | BROKEN if endpoint.error else done
        bits = FAULT if endpoint.error else 0
        if self.pushback or endpoint.readable:
            bits |= READABLE
        if endpoint.urgent is not None and self._urgent_waits(endpoint):
            bits |= URGENT
        if endpoint.connected and endpoint.writable:
            bits |= WRITABLE
        if state in PEER_FINISHED or self.read_shut:
            bits |= PEER_DONE | READABLE
            if state is not CLOSE_WAIT and state is not ESTABLISHED:
                bits |= HANGUP | WRITABLE
        return bits

    @staticmethod
    def _urgent_waits(tcb):
        urgent = tcb.urgent
        return urgent.byte is not None and not urgent.taken and not tcb.options.oobinline

    def unread(self):
        """Bytes that wait to be read: tells a new arrival from an old one."""
        return 0 if self.endpoint is None or self.listening else self.endpoint.unread


def _ended(tcb):
    """The stream came to its end in order. A RST that followed is for writers to learn of: reads go on
    returning b"" (measured on Linux 6: FIN, then RST)."""
    return tcb.eof and not tcb.unread
