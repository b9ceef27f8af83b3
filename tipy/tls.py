"""TLS over our sockets: what `ssl.SSLSocket` needs below itself. Edge: ssl, threading.

The C code behind `SSLContext.wrap_socket` reads and writes a kernel descriptor. For a socket of ours an
`Engine` takes its place (sslsocket.py sees to that): it has the methods of `_ssl._SSLSocket`, but lets
OpenSSL work on two memory buffers and moves their content through the channel itself. Everything above,
`SSLSocket` first of all, stays the standard library's.

Two points make it behave like the original. Exactly one TLS record is fetched at a time: what a program has
not asked for stays in the connection, where select sees it. And a non-blocking write encrypts no more than
the connection has room for: nothing is ever left behind that nobody would send.
"""

import ssl
import threading
import weakref

from tipy.sockets.base import NOW

_RECORD_HEADER = 5             # type, version, length (RFC 8446 section 5.1)
_RECORD = 16384                # bytes of plain text in a record
_LONGEST_OVERHEAD = 2048       # by which a TLS 1.2 record may exceed that (RFC 5246 section 6.2.3)
_OVERHEAD = 512                # what encryption may add to a record, generously
_TIMED_OUT = {"read": "The read operation timed out", "write": "The write operation timed out",
              "do_handshake": "_ssl.c: The handshake operation timed out",
              "shutdown": "The shutdown operation timed out"}


class Engine:
    """Stands for the `_ssl._SSLSocket` of one connection. Attributes not found here are OpenSSL's."""

    def __init__(self, context, sock, server_side, server_hostname, owner, session):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._socket = weakref.ref(sock)
        self._object = context._wrap_bio(self._incoming, self._outgoing, server_side, server_hostname,
                                         owner=owner, session=session)
        self._header = b""                 # of the record that is being fetched
        self._missing = 0                  # bytes of it that are still to come
        self._unsent = b""
        self._read_ahead = b""             # plain text met while looking for an alert
        self._state = threading.Lock()     # OpenSSL's objects, the buffers too, are not for two threads at once
        self._fetching, self._flushing = threading.Lock(), threading.Lock()
        sock._channel.before_close = self._pass_over_tickets

    def __getattr__(self, name):
        return getattr(self._object, name)

    @property
    def context(self):
        """The SSLContext; an SNI callback may set another."""
        return self._object.context

    @context.setter
    def context(self, context):
        self._object.context = context

    @property
    def session(self):
        """The SSLSession."""
        return self._object.session

    @session.setter
    def session(self, session):
        self._object.session = session

    # -- the calls that move data -----------------------------------------------------------------

    def do_handshake(self):
        """Shake hands."""
        self._run("do_handshake", self._object.do_handshake)

    def read(self, size=1024, buffer=None):
        """Up to `size` bytes, returned or put into `buffer` (then their number)."""
        if self._read_ahead:
            data, self._read_ahead = self._read_ahead[:size], self._read_ahead[size:]
            if buffer is None:
                return data
            memoryview(buffer).cast("B")[:len(data)] = data
            return len(data)
        if buffer is None:
            return self._run("read", self._object.read, size)
        return self._run("read", self._object.read, size, buffer)

    def write(self, data):
        """Send bytes; a blocking call sends all of them."""
        channel, deadline = self._channel()
        with memoryview(data) as view, view.cast("B") as flat:
            if deadline == NOW:
                return self._write_now(channel, flat)
            sent = 0
            while sent < len(flat) or not sent:
                sent += self._run("write", self._object.write, flat[sent:sent + 4 * _RECORD])
                if not len(flat):
                    break
            return sent

    def _write_now(self, channel, flat):
        self._flush(channel, NOW)
        with channel.gate:
            room = getattr(channel.endpoint, "room", 0) - _OVERHEAD
            gone = channel.endpoint.writable and room <= 0
        if room <= 0 and not gone:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)")
        return self._run("write", self._object.write, flat[:min(max(room, 1), _RECORD)])

    def shutdown(self):
        """Say good-bye (close_notify) and wait for the peer's; returns the socket, which is plain again."""
        self._run("shutdown", self._object.shutdown)
        return self._socket()

    # -- moving data ------------------------------------------------------------------------------

    def _channel(self):
        sock = self._socket()
        channel = sock._channel if sock is not None else None
        if channel is None:
            raise ssl.SSLError("Underlying socket connection gone")
        return channel, sock._deadline(channel)

    def _run(self, name, operation, *args):
        """Let OpenSSL do `operation`, feeding and emptying its buffers, within the socket's timeout."""
        channel, deadline = self._channel()
        try:
            while True:
                try:
                    with self._state:
                        result = operation(*args)
                except ssl.SSLWantReadError as error:
                    wanted = error
                except ssl.SSLError:
                    self._try_to_flush(channel)        # the alert that tells the peer
                    raise
                else:
                    self._finish(name, channel, deadline)
                    return result
                self._flush(channel, deadline)
                self._fetch(channel, deadline, wanted)
        except TimeoutError:
            raise TimeoutError(_TIMED_OUT[name]) from None

    def _finish(self, name, channel, deadline):
        """Send what a successful call leaves behind. Where that is only by the way (a server's session
        tickets at the end of a handshake) a peer that has gone is no failure of this call, as in OpenSSL."""
        try:
            self._flush(channel, deadline)
        except (BrokenPipeError, ConnectionResetError):
            if name == "write":
                self._hear_last_words(channel)
            if name in ("write", "shutdown"):
                raise

    def _hear_last_words(self, channel):
        """The connection is gone: an alert from the peer that says why is the error to report."""
        try:
            while True:
                self._fetch(channel, NOW, BlockingIOError())
                with self._state:
                    self._read_ahead += self._object.read(_RECORD)
                if not self._incoming.pending:
                    return
        except (ssl.SSLWantReadError, ssl.SSLEOFError, ssl.SSLZeroReturnError, BlockingIOError,
                ConnectionError):
            pass

    def _pass_over_tickets(self, tcb):
        """The connection is being closed with bytes unread, for which the peer would get a RST. If they are
        only what TLS itself sends (session tickets, a good-bye), they count as read. Inside the gate."""
        if not self._state.acquire(False):
            return
        try:
            unread = tcb.unread
            self._incoming.write(tcb.read(unread, True))
            if self._object.read(1):
                return
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            tcb.read(unread)
        except OSError:
            pass
        finally:
            self._state.release()

    def _flush(self, channel, deadline):
        """Send what OpenSSL has written."""
        if not self._outgoing.pending and not self._unsent:
            return
        with self._flushing:
            with self._state:                          # another thread may be writing there
                data = self._unsent + self._outgoing.read()
            self._unsent = b""
            sent = 0
            try:
                if data:
                    sent = channel.send(memoryview(data), 0, deadline, deadline != NOW)
            except BlockingIOError:
                pass
            finally:
                self._unsent = data[sent:] if deadline == NOW else b""
        if self._unsent:
            raise ssl.SSLWantWriteError(ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)")

    def _try_to_flush(self, channel):
        try:
            self._flush(channel, NOW)
        except OSError:
            pass

    def _fetch(self, channel, deadline, wanted):
        """Fetch one record, or what there is of it; `wanted` is raised if that would block."""
        with self._fetching:
            if self._incoming.pending:                 # another thread has fetched it
                return
            try:
                while len(self._header) < _RECORD_HEADER:
                    data = self._take(channel, deadline, _RECORD_HEADER - len(self._header))
                    if not data:
                        return
                    self._header += data
                    if len(self._header) == _RECORD_HEADER:
                        self._missing = _length_of_record(self._header)
                while self._missing:
                    data = self._take(channel, deadline, self._missing)
                    if not data:
                        return
                    self._missing -= len(data)
                self._header = b""
            except BlockingIOError:
                raise wanted from None

    def _take(self, channel, deadline, size):
        data = channel.receive(size, 0, deadline)
        with self._state:                              # another thread may be reading there
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
        return data


def _length_of_record(header):
    """Bytes that follow this header. 0 if it is none: what the peer speaks is not TLS, and OpenSSL shall say
    so now, not when enough of it has come to pass for a record."""
    kind, version, length = header[0], header[1], int.from_bytes(header[3:], "big")
    return length if 20 <= kind <= 24 and version == 3 and length <= _RECORD + _LONGEST_OVERHEAD else 0
