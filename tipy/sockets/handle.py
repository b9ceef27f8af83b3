"""A Python socket object's identity and life: its channel, its descriptor, its timeout, its end.

It inherits the interpreter's own `_socket.socket`, whose file descriptor stays -1 until a program asks for
`fileno()`. That base class does two things for us: `isinstance` and C code that insists on a socket are
content; and families other than AF_INET pass straight through to the kernel, for a socket without a channel
calls the base class's methods.

Finalizers never take the lock: `__del__` leaves its work to whoever is inside the gate next.
"""

import errno
import operator
import sys
import warnings
from functools import lru_cache

import _socket

from tipy.address import ANY, format_ip
from tipy.errors import os_error
from tipy.sockets import arguments
from tipy.sockets.base import NOW
from tipy.sockets.constants import (AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, SOCK_CLOEXEC, SOCK_DGRAM,
                                    SOCK_NONBLOCK, SOCK_RAW, SOCK_STREAM)
from tipy.sockets.datagram import Datagram
from tipy.sockets.readiness import Readiness, channel_of
from tipy.sockets.stream import Stream

_real = _socket.socket
_FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC
_audit = sys.audit


class Ticket:
    """What `_accept` returns in the place of a descriptor: `socket(fileno=ticket)` takes the channel over.

    A descriptor is made only if somebody insists on a number."""

    __slots__ = ("channel", "make", "_fd")

    def __init__(self, channel, make):
        self.channel, self.make, self._fd = channel, make, None

    def fileno(self):
        """A real descriptor of the accepted connection."""
        if self._fd is None:
            self._fd = self.make(self.channel)
        return self._fd

    __index__ = fileno

    def __del__(self):
        channel = self.channel
        if channel is not None and self._fd is None:
            channel.gate.later(channel.discard)


_text = lru_cache(1024)(format_ip)         # a program meets few hosts, and asks for their names with each datagram


def endpoint_name(address):
    """(ip bytes, port) as programs see it."""
    return _text(address[0]), address[1]


def make_channel(stack, kind, proto):
    """A new channel for socket(AF_INET, kind, proto), or the kernel's errno for what does not exist."""
    if kind == SOCK_STREAM:
        if proto not in (0, IPPROTO_TCP):
            raise os_error(errno.EPROTONOSUPPORT)
        return Stream(stack)
    if kind == SOCK_DGRAM:
        if proto not in (0, IPPROTO_UDP):
            raise os_error(errno.EPROTONOSUPPORT)
        return Datagram(stack, kind, IPPROTO_UDP)
    if kind == SOCK_RAW:
        if not 0 < proto < 256:
            raise os_error(errno.EPROTONOSUPPORT if 0 <= proto < 256 else errno.EINVAL)
        return Datagram(stack, kind, proto)
    raise os_error(errno.ESOCKTNOSUPPORT if 0 <= kind < 11 else errno.EINVAL)


class Handle(_real):
    """A socket object's life. `_space` is its namespace: stack(), names, default_timeout."""

    __slots__ = ("_channel", "_timeout", "_shape")
    _space = None

    def __new__(cls, *args, **kwargs):
        self = _real.__new__(cls)
        self._channel = None
        self._timeout = None
        self._shape = None                 # (family, type, proto) of an internet socket, also when closed
        return self

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        if fileno is None:
            self._create(AF_INET if family == -1 else family, SOCK_STREAM if type == -1 else type,
                         0 if proto == -1 else proto)
        else:
            self._adopt(family, type, proto, fileno)

    def _create(self, family, kind, proto):
        family, kind, proto = operator.index(family), operator.index(kind), operator.index(proto)
        if family == AF_INET6:
            raise os_error(errno.EAFNOSUPPORT)
        if family != AF_INET:
            _real.__init__(self, family, kind, proto)
            self._inherit_timeout(kind & SOCK_NONBLOCK)
            return
        _audit("socket.__new__", self, family, kind, proto)
        channel = make_channel(self._space.stack(), kind & ~_FLAGS, proto)
        self._attach(channel, (family, kind & ~_FLAGS, proto))
        self._inherit_timeout(kind & SOCK_NONBLOCK)

    def _adopt(self, family, kind, proto, fileno):
        """socket(fileno=...): a descriptor of ours finds its channel again, any other is the kernel's."""
        channel, fd = None, -1
        if fileno.__class__ is Ticket and fileno._fd is None:
            channel, fileno.channel = fileno.channel, None
        elif isinstance(fileno, int) and fileno >= 0:
            fd = int(fileno)
            channel = channel_of(fd)
        elif fileno.__class__ is Ticket:
            fd, channel = fileno._fd, fileno.channel
        if channel is None:
            _real.__init__(self, family, kind, proto, fileno)
            self._inherit_timeout(False)
            return
        if kind != -1:
            kind = operator.index(kind) & ~_FLAGS
        self._attach(channel, (AF_INET if family == -1 else operator.index(family),
                               channel.type if kind == -1 else kind,
                               channel.proto if proto == -1 else operator.index(proto)), fd)
        self._inherit_timeout(False)

    def _attach(self, channel, shape, fd=-1):
        if fd >= 0:
            _real.__init__(self, _socket.AF_UNIX, SOCK_STREAM, 0, fd)
        self._shape = shape
        self._channel = channel
        if fd < 0 and channel.readiness is None:
            channel.attached += 1
            return
        with channel.gate:
            channel.attached += 1
            if fd not in channel.readiness.fds:
                channel.readiness.fds.append(fd)
            channel.readiness.unbridge()

    def _inherit_timeout(self, nonblocking):
        timeout = 0.0 if nonblocking else self._space.default_timeout
        if timeout is not None:
            self.settimeout(timeout)

    # -- what it is -------------------------------------------------------------------------------

    @property
    def family(self):
        """the socket family"""
        return self._shape[0] if self._shape is not None else _real.family.__get__(self)

    @property
    def type(self):
        """the socket type"""
        return self._shape[1] if self._shape is not None else _real.type.__get__(self)

    @property
    def proto(self):
        """the socket protocol"""
        return self._shape[2] if self._shape is not None else _real.proto.__get__(self)

    @property
    def timeout(self):
        """the socket timeout"""
        return self._timeout if self._shape is not None else _real.timeout.__get__(self)

    def __repr__(self):
        if self._shape is None:
            return _real.__repr__(self)
        return "<socket object, fd=%i, family=%i, type=%i, proto=%i>" % (_real.fileno(self), *self._shape)

    def _name(self, method):
        """getsockname or getpeername for a repr that must not take the lock; None if unknown."""
        channel = self._channel
        endpoint = channel.endpoint
        if endpoint is not None:
            name = getattr(endpoint, method, None)
        else:
            name = (channel.bound or (ANY, 0)) if method == "local" else None
        return endpoint_name(name) if name is not None else None

    def __del__(self):
        # never takes the lock: the collector may run this while this very thread holds it
        if _real is None:                  # the interpreter is ending, and has emptied this module already
            return
        channel = getattr(self, "_channel", None)      # a signal may have torn __new__
        if channel is None:
            if _real.fileno(self) >= 0:
                _real.__del__(self)
            return
        cls = self.__class__
        text = "unclosed <%s.%s fd=%i, family=%s, type=%s, proto=%i" % (
            cls.__module__, cls.__qualname__, _real.fileno(self), self.family, self.type, self.proto)
        for label, name in (("laddr", self._name("local")), ("raddr", self._name("remote"))):
            if name is not None:
                text += f", {label}={name}"
        warnings.warn(text + ">", ResourceWarning, stacklevel=2, source=self)
        self._channel = None
        fd = self._give_up_fd()
        channel.gate.later(lambda: release(channel, fd))

    def _give_up_fd(self):
        """Close the descriptor, if there is one, and return its number or -1."""
        fd = _real.fileno(self)
        if fd >= 0:
            _real.close(self)
        return fd

    def _passed(self):
        """True if this socket is the kernel's; EBADF if it is one of ours and closed."""
        if self._shape is not None:
            raise os_error(errno.EBADF)
        return True

    # -- the descriptor ---------------------------------------------------------------------------

    def fileno(self):
        """fileno() -> integer

        A real descriptor for select, poll and epoll, made at the first call."""
        fd, channel = _real.fileno(self), self._channel
        if fd >= 0 or channel is None:
            return fd
        with channel.gate:                 # several threads may ask at once, one of them makes it
            if self._channel is None or channel.closed:
                return -1
            if _real.fileno(self) < 0:
                _real.__init__(self, _socket.AF_UNIX, SOCK_STREAM, 0, _make_fd(channel))
                _real.setblocking(self, self._timeout is None)
            return _real.fileno(self)

    def detach(self):
        """detach() -> file descriptor

        The descriptor goes on living: it carries the connection's data itself until socket(fileno=fd)
        takes it back."""
        channel = self._channel
        if channel is None:
            return _real.detach(self)
        self.fileno()
        with channel.gate:
            if self._channel is None:      # another thread was faster
                return -1
            self._channel = None
            fd = _real.detach(self)
            channel.attached -= 1
            if not channel.attached and channel.readiness is not None:
                channel.readiness.bridge()
        return fd

    def close(self):
        """close()

        Close the socket. It cannot be used after this call."""
        channel = self._channel
        if channel is None:
            if self._shape is None:        # if it is ours, another thread may be about to close the descriptor
                _real.close(self)
            return
        if channel.gate.held():            # a finalizer of the program's, run by the collector in here
            self._channel = None
            fd = self._give_up_fd()
            channel.gate.later(lambda: release(channel, fd))
            return
        with channel.gate:                 # both in one go: nothing may arrive in between
            if self._channel is None:      # another thread was faster
                return
            self._channel = None
            fd = _real.fileno(self)
            try:
                self._give_up_fd()
            finally:
                release(channel, fd, linger=True)

    # -- timeouts ---------------------------------------------------------------------------------

    def settimeout(self, value, /):
        """settimeout(timeout): None blocks, 0 does not, a number of seconds is the limit of each call."""
        if self._shape is None:
            return _real.settimeout(self, value)
        value = arguments.timeout(value)
        if self._channel is None:
            raise os_error(errno.EBADF)
        self._timeout = value
        if _real.fileno(self) >= 0:
            _real.setblocking(self, value is None)

    def gettimeout(self):
        """gettimeout() -> timeout"""
        return self._timeout if self._shape is not None else _real.gettimeout(self)

    def setblocking(self, flag, /):
        """setblocking(flag)"""
        if self._shape is None:
            return _real.setblocking(self, flag)
        self.settimeout(None if flag else 0.0)

    def getblocking(self):
        """getblocking() -> bool"""
        return self._timeout != 0.0 if self._shape is not None else _real.getblocking(self)

    def _deadline(self, channel):
        timeout = self._timeout
        if timeout is None:
            return None
        return channel.gate.clock.now() + timeout if timeout else NOW


def release(channel, fd, linger=False):
    """A socket object let go of `channel`; inside the gate. The last one closes it."""
    channel.attached -= 1
    readiness = channel.readiness
    if readiness is None:
        channel._close(linger)
        return
    if fd in readiness.fds:
        readiness.fds.remove(fd)
    if readiness.hung_up():
        if readiness.collect():
            channel._close(linger)
        else:
            readiness.after_collecting(channel.discard)
    elif not channel.attached:
        readiness.bridge()


def fd_closed(channel, fd):
    """A descriptor of `channel` was closed by its number; inside the gate."""
    readiness = channel.readiness
    if readiness is not None and readiness.hung_up():
        readiness.after_collecting(channel.discard)


def _make_fd(channel):
    """A near end of the channel's pair; inside the gate."""
    if channel.readiness is None:
        channel.readiness = Readiness(channel)
        if channel.endpoint is not None:
            channel.endpoint.readiness = channel.readiness
        fd = channel.readiness.first_fd()
        channel.readiness.update()
        return fd
    raise os_error(errno.EBADF)            # somebody closed the descriptor behind the socket's back


def loose_fd(channel):
    """A descriptor that no socket object owns yet."""
    with channel.gate:
        return _make_fd(channel)
