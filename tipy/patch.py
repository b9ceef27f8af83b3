"""Putting tipy in the place of the socket module of this process.

    tipy.install()              from now on, for good
    with tipy.patched(): ...    for a while

The module object that `import socket` gives stays what it is, so whoever holds it needs no news; what
changes are a few names in it: the class `socket`, the enums and functions that go with it, and `_socket`,
the layer its own functions call. `create_connection` and its relatives stay the stdlib's and now build our
sockets, because they look `socket` up in that module; a program that replaces names there is obeyed, as
ever.

Modules that imported one of those names (`from socket import socket`) are swept: wherever a loaded module,
or a class in one, holds the old object, it gets the new one. `ssl.SSLSocket` inherits from the socket
class, so its class body is run again (see sslsocket.py). What was made before stays as it was: kernel
sockets go on working, and subclasses of the old class, other than ssl's, remain kernel sockets. `import
_socket`, which gevent does, finds our layer, too.

No stack is started here: sockets belong to the default stack, or fail with ENETDOWN and the sentence that
says what to do.
"""

import contextlib
import importlib
import sys
import threading
import types

from tipy import sslsocket
from tipy.imports import no_longer_awaited, when_imported

_SPARED = ("tipy", "socket", "_socket")        # these modules are not swept
_lock = threading.RLock()
_patch = None                  # the one in force
_depth = 0                     # how many `patched()` made it so


def install():
    """Replace the socket module in this process, for good. Idempotent."""
    global _patch
    with _lock:
        if _patch is None:
            _patch = _Patch()
            _patch.apply()


def uninstall():
    """Undo install(). Sockets made meanwhile stay what they are. Idempotent."""
    global _patch
    with _lock:
        if _patch is not None:
            patch, _patch = _patch, None
            patch.undo()


@contextlib.contextmanager
def patched():
    """install() for the time of a `with` block. Blocks may be nested; after install() they change nothing."""
    global _depth
    with _lock:
        mine = _patch is None or _depth > 0
        _depth += mine
        install()
    try:
        yield
    finally:
        with _lock:
            _depth -= mine
            if mine and not _depth:
                uninstall()


class _Patch:
    """One replacement: what is exchanged for what, and how to undo it."""

    def __init__(self):
        import tipy.socket
        self.kernel = importlib.import_module("socket")
        self.ours = sys.modules["tipy.socket"]     # it has put itself in the place of the module first made
        self.known = set(sys.modules)
        self.changes = []                          # [(namespace or class, name, old value)]

    def apply(self):
        """Exchange the names, here and wherever they were imported."""
        space = vars(self.kernel)
        differences = list(self._differences())
        self.ours.setdefaulttimeout(self.kernel.getdefaulttimeout())
        for name, _, new in differences:
            self._change(space, name, new)
        self._change(sys.modules, "_socket", self.ours._socket)
        self._sweep(self.known, [(old, new) for _, old, new in differences])
        when_imported("ssl", self._change_ssl)

    def undo(self):
        """Put the old names back, also where modules imported meanwhile hold the new ones."""
        for target, name, value in reversed(self.changes):
            _set(target, name, value)
        pairs = [(new, self.kernel.__dict__[name]) for name, _, new in self._differences()]
        self._sweep(set(sys.modules) - self.known, pairs)
        no_longer_awaited("ssl", self._change_ssl)
        if "ssl" in sys.modules and "ssl" not in self.known:
            sslsocket.install(sys.modules["ssl"], self.kernel)

    def _differences(self):
        """(name, the kernel's, ours) of what has to be ours: what the layer below replaces, the class, the
        enums. The functions that Lib/socket.py defines stay: they look these names up."""
        space, layer = vars(self.kernel), vars(self.ours._socket)
        for name, new in vars(self.ours).items():
            old = space.get(name, new)
            if old is new or name.startswith("__"):
                continue
            if (name == "_socket" or new is layer.get(name) or isinstance(new, type)
                    or type(new).__module__ == self.ours.__name__):
                yield name, old, new

    def _change_ssl(self, module):
        before = module.SSLSocket
        sslsocket.install(module, self.ours)
        if module.SSLSocket is not before:
            self.changes += [(vars(module), "SSLSocket", before),
                             (module.SSLContext, "sslsocket_class", before)]
            self._sweep(self.known, [(before, module.SSLSocket)])

    def _change(self, target, name, new):
        self.changes.append((target, name, vars(target)[name] if isinstance(target, type) else target[name]))
        _set(target, name, new)

    def _sweep(self, names, pairs):
        """Exchange the first of each pair for the second in the modules called `names` and their classes."""
        exchange = {id(old): (old, new) for old, new in pairs if not isinstance(old, bool)}
        for name in names:
            module = sys.modules.get(name)
            if isinstance(module, types.ModuleType) and name.partition(".")[0] not in _SPARED:
                for member in self._sweep_space(vars(module), exchange):
                    if isinstance(member, type) and member.__module__ == name:
                        self._sweep_class(member, exchange)

    def _sweep_space(self, space, exchange):
        members = list(space.items())
        for name, value in members:
            old, new = exchange.get(id(value), (None, None))
            if old is not None and old is value:
                self._change(space, name, new)
        return [value for _, value in members]

    def _sweep_class(self, cls, exchange):
        for name, value in list(vars(cls).items()):
            old, new = exchange.get(id(value), (None, None))
            if old is not None and old is value and not name.startswith("__"):
                with contextlib.suppress(AttributeError, TypeError):       # a class that forbids it
                    self._change(cls, name, new)


def _set(target, name, value):
    if isinstance(target, dict):
        target[name] = value
    else:
        setattr(target, name, value)
