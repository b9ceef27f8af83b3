"""The socket class of our `_socket` layer: every call with CPython's argument checks, words and exceptions.

Each method looks whether there is a channel. If so, arguments are converted (arguments.py) and the channel
does the work; if not, the socket is closed, or the kernel's own and the base class's method does it.
"""

import errno
import operator
import sys

from tipy.errors import os_error
from tipy.sockets import ancillary, arguments
from tipy.sockets.constants import SOCK_STREAM, SOL_SOCKET
from tipy.sockets.handle import Handle, Ticket, endpoint_name, loose_fd
from tipy.sockets import datagram_options, group_options, tcp_options  # noqa: F401  (enter theirs into the table)
from tipy.sockets.options import get_option, set_option

_real = Handle.__base__
_audit = sys.audit
_ITEM = "tuple" if sys.version_info >= (3, 14) else "sequence"         # what CPython calls it


def lend(call, view, *args):
    """call(view, ...). If it fails, the traceback must not hold on to the view: the program that catches the
    error may want to resize its bytearray."""
    try:
        return call(view, *args)
    except OSError as error:
        view.release()
        error.__context__ = None
        raise error.with_traceback(None)


class Socket(Handle):
    """Base of every namespace's `_socket.socket`."""

    __slots__ = ()

    # -- names ------------------------------------------------------------------------------------

    def bind(self, address, /):
        """bind(address)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.bind(self, address)
        ip, port = arguments.address(address, "bind", self._space.names)
        _audit("socket.bind", self, address)
        channel.bind(ip, port)

    def getsockname(self):
        """getsockname() -> address info"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.getsockname(self)
        return endpoint_name(channel.local())

    def getpeername(self):
        """getpeername() -> address info"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.getpeername(self)
        return endpoint_name(channel.remote())

    # -- connections ------------------------------------------------------------------------------

    def connect(self, address, /):
        """connect(address)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.connect(self, address)
        self._connect(channel, address)

    def _connect(self, channel, address):
        ip, port = arguments.address(address, "connect", self._space.names)
        _audit("socket.connect", self, address)
        channel.connect(ip, port, self._deadline(channel))

    def connect_ex(self, address, /):
        """connect_ex(address) -> errno"""
        channel = self._channel
        if channel is None:
            return errno.EBADF if self._shape is not None else _real.connect_ex(self, address)
        ip, port = arguments.address(address, "connect_ex", self._space.names)
        _audit("socket.connect", self, address)
        try:
            channel.connect(ip, port, self._deadline(channel))
        except TimeoutError as error:
            return error.errno or errno.EAGAIN
        except OSError as error:
            return error.errno
        return 0

    def listen(self, backlog=None, /):
        """listen([backlog])"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.listen(self, *(() if backlog is None else (backlog,)))
        channel.listen(128 if backlog is None else max(arguments.c_int(backlog), 0))

    def _accept(self):
        """_accept() -> (something for socket(fileno=...), address info)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real._accept(self)
        child, remote = channel.accept(self._deadline(channel))
        return Ticket(child, loose_fd), endpoint_name(remote)

    def shutdown(self, how, /):
        """shutdown(flag)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.shutdown(self, how)
        channel.shutdown(arguments.c_int(how))

    # -- sending ----------------------------------------------------------------------------------

    def send(self, data, flags=0, /):
        """send(data[, flags]) -> count"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.send(self, data, flags)
        return lend(channel.send, arguments.readable(data), arguments.c_int(flags), self._deadline(channel))

    def sendall(self, data, flags=0, /):
        """sendall(data[, flags])"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.sendall(self, data, flags)
        lend(channel.send, arguments.readable(data), arguments.c_int(flags), self._deadline(channel), True)

    def sendto(self, data, *args):
        """sendto(data[, flags], address) -> count"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.sendto(self, data, *args)
        if len(args) == 1:
            flags, address = 0, args[0]
        elif len(args) == 2:
            flags, address = args
        else:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(args) + 1} given)")
        view, flags = arguments.readable(data), arguments.c_int(flags)
        remote = arguments.address(address, "sendto", self._space.names)
        _audit("socket.sendto", self, address)
        if channel.type == SOCK_STREAM:
            return lend(channel.send, view, flags, self._deadline(channel))
        return lend(channel.send, view, flags, self._deadline(channel), False, remote)

    def sendmsg(self, buffers, ancdata=(), flags=0, address=None, /):
        """sendmsg(buffers[, ancdata[, flags[, address]]]) -> count"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.sendmsg(self, buffers, ancdata, flags, address)
        views = arguments.views(buffers, "sendmsg", 1, arguments.readable)
        told = _check_ancillary(ancdata)
        flags = arguments.c_int(flags)
        remote = None
        if address is not None:
            remote = arguments.address(address, "sendmsg", self._space.names)
        _audit("socket.sendmsg", self, address)
        data = views[0] if len(views) == 1 else memoryview(b"".join(views))
        if channel.type == SOCK_STREAM:
            for level, kind, _ in told:                # TCP looks at nothing else
                if level == SOL_SOCKET:
                    ancillary.check_socket_level(kind)
            return lend(channel.send, data, flags, self._deadline(channel))
        return lend(channel.send, data, flags, self._deadline(channel), False, remote, told)

    # -- receiving --------------------------------------------------------------------------------

    def recv(self, size, flags=0, /):
        """recv(buffersize[, flags]) -> data"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.recv(self, size, flags)
        size = operator.index(size)
        if size < 0:
            raise ValueError("negative buffersize in recv")
        if not size and channel.type == SOCK_STREAM:
            return b""
        return channel.receive(size, arguments.c_int(flags), self._deadline(channel))

    def recv_into(self, buffer, nbytes=0, flags=0):
        """recv_into(buffer, [nbytes[, flags]]) -> nbytes_read"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.recv_into(self, buffer, nbytes, flags)
        view = arguments.room(buffer, nbytes, "recv_into")
        if not view and channel.type == SOCK_STREAM:
            return 0
        return lend(channel.receive_into, view, arguments.c_int(flags), self._deadline(channel))

    def recvfrom(self, size, flags=0, /):
        """recvfrom(buffersize[, flags]) -> (data, address info)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.recvfrom(self, size, flags)
        size = operator.index(size)
        if size < 0:
            raise ValueError("negative buffersize in recvfrom")
        data, _, _, remote = channel.receive_message(size, arguments.c_int(flags), self._deadline(channel))
        return data, None if remote is None else endpoint_name(remote)

    def recvfrom_into(self, buffer, nbytes=0, flags=0):
        """recvfrom_into(buffer[, nbytes[, flags]]) -> (nbytes, address info)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.recvfrom_into(self, buffer, nbytes, flags)
        view = arguments.room(buffer, nbytes, "recvfrom_into",
                              "nbytes is greater than the length of the buffer")
        flags, deadline = arguments.c_int(flags), self._deadline(channel)
        if channel.type == SOCK_STREAM:
            return lend(channel.receive_into, view, flags, deadline), None
        count, remote = lend(channel.receive_from_into, view, flags, deadline)
        return count, None if remote is None else endpoint_name(remote)

    def recvmsg(self, size, ancbufsize=0, flags=0, /):
        """recvmsg(bufsize[, ancbufsize[, flags]]) -> (data, ancdata, msg_flags, address)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.recvmsg(self, size, ancbufsize, flags)
        size = operator.index(size)
        if size < 0:
            raise ValueError("negative buffer size in recvmsg()")
        return self._recvmsg(channel, size, ancbufsize, flags)

    def recvmsg_into(self, buffers, ancbufsize=0, flags=0, /):
        """recvmsg_into(buffers[, ancbufsize[, flags]]) -> (nbytes, ancdata, msg_flags, address)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.recvmsg_into(self, buffers, ancbufsize, flags)
        views = arguments.views(buffers, "recvmsg_into", 1,
                                lambda buffer: arguments.writable(buffer, "recvmsg_into"))
        data, told, out, address = self._recvmsg(channel, sum(map(len, views)), ancbufsize, flags)
        rest = memoryview(data)
        for view in views:
            count = min(len(view), len(rest))
            view[:count] = rest[:count]
            rest = rest[count:]
        return len(data), told, out, address

    def _recvmsg(self, channel, size, space, flags):
        space = operator.index(space)
        if not 0 <= space < 2 ** 31:
            raise ValueError("invalid ancillary data buffer length")
        flags, deadline = arguments.c_int(flags), self._deadline(channel)
        data, told, out, remote = channel.receive_message(size, flags, deadline)
        told, clipped = ancillary.clip(told, space) if told else ([], 0)
        return data, told, out | clipped, None if remote is None else endpoint_name(remote)

    # -- options ----------------------------------------------------------------------------------

    def getsockopt(self, level, option, buflen=0, /):
        """getsockopt(level, option[, buffersize]) -> value"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.getsockopt(self, level, option, buflen)
        level, option, buflen = map(arguments.c_int, (level, option, buflen))
        if not 0 <= buflen <= 1024:
            raise OSError("getsockopt buflen out of range")
        return get_option(channel, level, option, buflen)

    def setsockopt(self, level, option, *value):
        """setsockopt(level, option, value: int | bytes), setsockopt(level, option, None, optlen: int)"""
        channel = self._channel
        if channel is None:
            return self._passed() and _real.setsockopt(self, level, option, *value)
        if not value:
            raise TypeError("setsockopt() takes exactly 3 arguments (2 given)")
        level, option = arguments.c_int(level), arguments.c_int(option)
        set_option(channel, level, option, _option_bytes(value))

    def tcp_info(self):
        """The connection's state and figures, a mapping by the kernel's tcpi_* names."""
        channel = self._channel
        if channel is None:
            raise os_error(errno.EBADF)
        if channel.type != SOCK_STREAM or channel.endpoint is None or channel.listening:
            raise os_error(errno.ENOTCONN)
        with channel.gate:
            return channel.endpoint.info()


def _check_ancillary(ancdata):
    """sendmsg's ancillary data as [(level, type, view)]."""
    try:
        items = list(ancdata)
    except TypeError:
        raise TypeError("sendmsg() argument 2 must be an iterable") from None
    checked = []
    for item in items:
        try:
            level, kind, data = item
        except (TypeError, ValueError):
            raise TypeError(f"[sendmsg() ancillary data items]() argument must be 3-item {_ITEM}, "
                            f"not {type(item).__name__}") from None
        checked.append((operator.index(level), operator.index(kind), arguments.readable(data)))
    return checked


def _option_bytes(value):
    """The buffer setsockopt hands the kernel."""
    if len(value) == 2:
        if value[0] is not None:
            raise TypeError("setsockopt() argument 3 must be None when the length is given")
        if operator.index(value[1]) > 0:
            raise os_error(errno.EFAULT)   # what the kernel says to a null pointer
        return b""
    value, = value
    if isinstance(value, int):
        return arguments.c_int(value).to_bytes(4, sys.byteorder, signed=True)
    return bytes(arguments.readable(value))


