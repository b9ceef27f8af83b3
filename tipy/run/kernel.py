"""Destinations left to the kernel: `tipy run --kernel CIDR`.

A socket does not know where it will be used when it is made. So each begins as ours; one that is bound to,
connected to, or used to send to an address in these networks becomes a kernel socket at that moment: same
object, same descriptor number if there is one already, same timeout, and the options set so far are set
again.
"""

import os
import sys
import weakref

from tipy.sockets.constants import AF_INET
from tipy.sockets.handle import Handle, endpoint_name, release

_real = Handle.__base__                # the interpreter's own; `import _socket` finds our layer by now
_CALLS = {"bind": 0, "connect": 0, "connect_ex": 0, "sendto": -1, "sendmsg": 3}    # where the address stands


def leave_to_kernel(networks):
    """From now on these networks (a list of Network) are the kernel's, in the default socket namespace."""
    import tipy.socket
    module = sys.modules["tipy.socket"]
    split = _Split(networks, module._socket.socket)
    split.apply()


class _Split:
    """Wraps the calls that tell where a socket is used."""

    def __init__(self, networks, socket_class):
        self._networks = networks
        self._class = socket_class
        self._options = weakref.WeakKeyDictionary()    # socket -> [setsockopt's arguments]

    def apply(self):
        """Put the wrappers in place."""
        for name, address_at in _CALLS.items():
            setattr(self._class, name, self._deciding(getattr(self._class, name), address_at))
        self._class.setsockopt = self._remembering(self._class.setsockopt)

    def _deciding(self, method, address_at):
        def call(sock, *args):
            if sock._channel is not None and self._is_kernels(sock, args, address_at):
                self._become_kernels(sock)
            return method(sock, *args)

        call.__name__ = method.__name__
        call.__doc__ = method.__doc__
        return call

    def _remembering(self, method):
        def setsockopt(sock, *args):
            method(sock, *args)
            if sock._channel is not None:
                self._options.setdefault(sock, []).append(args)

        setsockopt.__doc__ = method.__doc__
        return setsockopt

    def _is_kernels(self, sock, args, address_at):
        try:
            host = args[address_at][0]
            ip = sock._space.names.resolve(host) if isinstance(host, str) else None
        except (IndexError, TypeError, OSError, ValueError):
            return False                               # the call itself will complain
        return ip is not None and any(ip in network for network in self._networks)

    def _become_kernels(self, sock):
        channel, timeout, fd = sock._channel, sock._timeout, _real.fileno(sock)
        kernel = _real(AF_INET, sock.type, sock.proto)
        try:
            for args in self._options.pop(sock, ()):
                kernel.setsockopt(*args)
            bound = channel.local()
            if bound[1]:
                kernel.bind(endpoint_name(bound))
        except OSError:
            kernel.close()
            raise
        number = kernel.detach()
        if fd >= 0:
            os.dup2(number, fd, inheritable=False)
            os.close(number)
            number = fd
        sock._channel = sock._shape = None
        _real.__init__(sock, AF_INET, kernel.type, kernel.proto, number)
        _real.settimeout(sock, timeout)
        with channel.gate:
            release(channel, fd)
