"""Who owns which local port: one table for TCP, one for UDP.

Two questions: may this owner have (ip, port)? Linux's rules, for addresses that overlap (equal, or one of
them ANY):

* both said SO_REUSEADDR before and neither listens: yes (for UDP nobody ever listens, so: yes);
* both said SO_REUSEPORT: yes;
* otherwise EADDRINUSE.

And: which port, if the owner does not care? A random one (RFC 6056 3.3.1): an attacker off the path must
guess it. A few random tries find a free one unless nearly all are taken; then the range is walked once from a
random start. Connections to different remote addresses may share a local port: `connect` hands out a used one
only if no free one is left and `in_use(port)` says that the 4-tuple is new.

Connections accepted by a listener share its port and block it as Linux's do: a new listener without
SO_REUSEADDR must wait until they are gone (`inherit`).
"""

import errno

from tipy.errors import os_error

_TRIES = 16


class _Binding:
    __slots__ = ("ip", "port", "reuse_address", "reuse_port", "listening", "shared")

    def __init__(self, ip, port, reuse_address, reuse_port, shared=False):
        self.ip = ip
        self.port = port
        self.reuse_address = reuse_address
        self.reuse_port = reuse_port
        self.listening = False
        self.shared = shared               # taken by connect: others may connect from here too

    def conflicts(self, other, listening):
        """May they not stand side by side? `listening`: one of them listens."""
        if self.ip != other.ip and any(self.ip) and any(other.ip):
            return False
        if self.reuse_port and other.reuse_port:
            return False
        return listening or not (self.reuse_address and other.reuse_address)


class PortTable:
    """Bindings of one protocol. Owners are any hashable objects; each has at most one binding.

    settings.ephemeral_ports: (lowest, highest), both included.
    """

    def __init__(self, rng, settings):
        self._rng, self._settings = rng, settings
        self._ports = {}                       # port -> {owner: _Binding}
        self._owners = {}                      # owner -> _Binding

    def __len__(self):
        return len(self._owners)

    def __contains__(self, owner):
        return owner in self._owners

    def in_use(self, port):
        """Does anybody have this port, on any address?"""
        return port in self._ports

    def bind(self, owner, ip, port, *, reuse_address=False, reuse_port=False):
        """Give (ip, port) to `owner`, port 0 = choose one; returns the port.

        OSError: EINVAL if the owner has a binding, EADDRINUSE in conflict or if no port is left.
        """
        if owner in self._owners:
            raise os_error(errno.EINVAL)
        if port == 0:
            port = self._free_port()
            if port is None:
                raise os_error(errno.EADDRINUSE)
        binding = _Binding(ip, port, reuse_address, reuse_port)
        for other in self._ports.get(port, {}).values():
            if binding.conflicts(other, other.listening):
                raise os_error(errno.EADDRINUSE)
        self._add(owner, binding)
        return port

    def connect(self, owner, ip, in_use):
        """Choose a local port for a connection from `ip`; returns it.

        in_use(port): would the 4-tuple with this port collide with a connection? OSError(EADDRNOTAVAIL) if
        every port of the range is taken.
        """
        port = self._free_port()
        if port is None:
            port = next((port for port in self._walk() if not in_use(port)
                         and all(binding.shared for binding in self._ports[port].values())), None)
        if port is None:
            raise os_error(errno.EADDRNOTAVAIL)
        self._add(owner, _Binding(ip, port, False, False, shared=True))
        return port

    def inherit(self, owner, ip, parent):
        """`owner`, a connection made by `parent` (a listener), stands on its port too, with address `ip`."""
        above = self._owners[parent]
        self._add(owner, _Binding(ip, above.port, above.reuse_address, above.reuse_port, above.shared))

    def listen(self, owner):
        """`owner` is going to listen: check again, for two may have shared the port until now.

        OSError(EADDRINUSE) if somebody else listens there, or does not agree to share.
        """
        binding = self._owners[owner]
        for other_owner, other in self._ports[binding.port].items():
            if other_owner is not owner and binding.conflicts(other, other.listening):
                raise os_error(errno.EADDRINUSE)
        binding.listening = True

    def change(self, owner, *, reuse_address=None, reuse_port=None, ip=None, listening=None):
        """Options or the address of a bound owner have changed; None leaves a field as it is."""
        binding = self._owners.get(owner)
        if binding is None:
            return
        for name, value in (("reuse_address", reuse_address), ("reuse_port", reuse_port), ("ip", ip),
                            ("listening", listening)):
            if value is not None:
                setattr(binding, name, value)

    def release(self, owner):
        """Take back what `owner` has; idempotent."""
        binding = self._owners.pop(owner, None)
        if binding is not None:
            owners = self._ports[binding.port]
            del owners[owner]
            if not owners:
                del self._ports[binding.port]

    def clear(self):
        """Take everything back (the stack stops)."""
        self._ports.clear()
        self._owners.clear()

    def _add(self, owner, binding):
        self._owners[owner] = binding
        owners = self._ports.get(binding.port)
        if owners is None:
            self._ports[binding.port] = {owner: binding}
        else:
            owners[owner] = binding

    def _free_port(self):
        """A port nobody has, or None."""
        low, high = self._settings.ephemeral_ports
        for _ in range(_TRIES):
            port = self._rng.randrange(low, high + 1)
            if port not in self._ports:
                return port
        return next((port for port in self._walk() if port not in self._ports), None)

    def _walk(self):
        """Every port of the range once, from a random start."""
        low, high = self._settings.ephemeral_ports
        start = self._rng.randrange(low, high + 1)
        yield from range(start, high + 1)
        yield from range(low, start)
