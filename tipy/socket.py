"""The drop-in `socket` module.

The interpreter's own Lib/socket.py is executed here, in a new module, over our `_socket` layer instead of
the C one: makefile, create_connection, create_server, the enums, sendfile, repr and whatever else this Python
version has are the stdlib's own code and behave as there. What is ours is the layer below: the socket class
(sockets/api.py), the names (sockets/names.py), and nothing else; inet_*, hton*, the constants come from
the interpreter's `_socket`.

Importing this module starts nothing. `socket.socket` belongs to the default stack (the running one started
last); `make_module(stack)` makes the same namespace bound to one stack, for `stack.socket`.
"""

import builtins
import functools
import itertools
import sys
import types
import weakref
from importlib.machinery import PathFinder

import _socket

from tipy import sslsocket
from tipy.imports import when_imported
from tipy.sockets import arguments, handle
from tipy.sockets.api import Socket
from tipy.sockets.names import Names
from tipy.sockets.readiness import channel_of

_numbers = itertools.count(1)
_REPLACED = ("socket", "SocketType", "getaddrinfo", "getnameinfo", "gethostbyname", "gethostbyname_ex",
             "gethostbyaddr", "getdefaulttimeout", "setdefaulttimeout", "close", "has_ipv6")


class Space:
    """What the sockets of one namespace share: their stack, the name functions, the default timeout."""

    def __init__(self, stack=None):
        self._stack = weakref.ref(stack) if stack is not None else None
        self.names = Names(_Resolvers(self))
        self.default_timeout = None

    def stack(self):
        """The stack new sockets belong to; OSError(ENETDOWN) with what to do if there is none."""
        if self._stack is not None:
            return self._stack()
        from tipy.stack import default_stack
        return default_stack()


class _Resolvers:
    """Asks the resolver of the stack that a namespace belongs to at that moment."""

    def __init__(self, space):
        self._space = space

    def addresses(self, name):
        """See Resolver."""
        return self._space.stack().resolver.addresses(name)

    def name(self, ip):
        """See Resolver."""
        return self._space.stack().resolver.name(ip)


@functools.cache
def _library():
    """The code object of the interpreter's Lib/socket.py."""
    return PathFinder.find_spec("socket").loader.get_code("socket")


def _layer(space):
    """A module with the names of `_socket`, for one namespace."""
    layer = types.ModuleType("_socket", _socket.__doc__)
    layer.__dict__.update((name, value) for name, value in vars(_socket).items()
                          if name not in _REPLACED and not name.startswith("__"))
    layer.socket = layer.SocketType = type("socket", (Socket,), {
        "__slots__": (), "__module__": "_socket", "__doc__": _socket.socket.__doc__, "_space": space})
    layer.has_ipv6 = False
    layer.getdefaulttimeout = lambda: space.default_timeout
    layer.setdefaulttimeout = functools.partial(_set_default_timeout, space)
    layer.close = _close
    for name in ("getaddrinfo", "getnameinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        setattr(layer, name, getattr(space.names, name))
    return layer


def _set_default_timeout(space, timeout, /):
    """setdefaulttimeout(timeout): for sockets of this namespace made from now on."""
    space.default_timeout = arguments.timeout(timeout)


def _close(fd, /):
    """close(integer) -> None: close a socket's descriptor, as os.close does."""
    channel = channel_of(fd)
    _socket.close(fd)
    if channel is not None:
        with channel.gate:
            handle.fd_closed(channel, fd)


def _fill(module, space):
    """Execute Lib/socket.py in `module`, where `import _socket` finds our layer."""
    layer = _layer(space)

    def import_(name, *args, **kwargs):
        return layer if name == "_socket" else builtins.__import__(name, *args, **kwargs)

    namespace = module.__dict__
    namespace["__builtins__"] = {**vars(builtins), "__import__": import_}
    # the enums look their module up by name; one bound to a stack is found there for that moment only
    stranger = sys.modules.get(module.__name__) is not module
    if stranger:
        sys.modules[module.__name__] = module
    try:
        exec(_library(), namespace)
    finally:
        if stranger:
            del sys.modules[module.__name__]
    namespace["__builtins__"] = builtins.__dict__
    _complete(module)


def _complete(module):
    """What cannot be as it is in Lib/socket.py: os.sendfile would write past the stack."""
    use_sendfile = getattr(module.socket, "_sendfile_use_sendfile", None)
    if use_sendfile is not None:
        module.socket._sendfile_use_sendfile = _sendfile(module, use_sendfile)


def _sendfile(module, original):
    """socket._sendfile_use_sendfile: the same checks and results, the bytes through the stack."""
    os, io, giveup = module.os, module.io, module._GiveupOnSendfile

    def _sendfile_use_sendfile(self, file, offset=0, count=None):
        if self.__class__._channel.__get__(self) is None:
            return original(self, file, offset, count)
        self._check_sendfile_params(file, offset, count)
        try:
            descriptor = file.fileno()
            size = os.fstat(descriptor).st_size
            os.lseek(descriptor, 0, os.SEEK_CUR)
        except (AttributeError, io.UnsupportedOperation, OSError) as error:
            raise giveup(error)            # not a regular file
        if not size:
            return 0
        if self.gettimeout() == 0:
            raise ValueError("non-blocking sockets are not supported")
        sent = 0
        try:
            while count is None or sent < count:
                piece = os.pread(descriptor, min(65536, count - sent if count else 65536), offset + sent)
                if not piece:
                    break
                view = memoryview(piece)
                while view:
                    taken = self.send(view)
                    sent += taken
                    view = view[taken:]
            return sent
        finally:
            if sent and hasattr(file, "seek"):
                file.seek(offset + sent)

    return _sendfile_use_sendfile


def _patch_stdlib(module):
    """What else needs to know when `module` has taken the place of the stdlib's socket module."""
    try:
        import ssl
    except ImportError:                    # a Python without it
        return
    sslsocket.install(ssl, module)


def make_module(stack):
    """A module like `socket` whose sockets belong to `stack`."""
    module = types.ModuleType(f"tipy.socket-{next(_numbers)}", _library_doc())
    _fill(module, Space(stack))
    return module


def _library_doc():
    return sys.modules[__name__].__doc__


def _become_default():
    """Put the default namespace in this module's place."""
    module = types.ModuleType(__name__)
    module.__dict__.update(__spec__=__spec__, __loader__=__loader__, __package__=__package__,
                           __file__=__file__, make_module=make_module)
    sys.modules[__name__] = module
    _fill(module, Space())
    module.patch_stdlib = lambda: _patch_stdlib(module)
    when_imported("ssl", lambda ssl: sslsocket.support(ssl, module))


_become_default()
