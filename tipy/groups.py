"""The multicast groups of one socket: membership and its source filters (RFC 3376, RFC 3678), as Linux keeps
them.

A group is joined from everybody, then sources may be blocked; or it is joined from one source after the
other. To change from one way to the other is possible as long as no source has been named.
"""

import errno

from tipy.errors import os_error
from tipy.ipv4.membership import EVERYBODY, NOBODY, Filter

MAX_GROUPS = 20                # joined by one socket, as Linux's igmp_max_memberships
MAX_SOURCES = 10               # named for one group, as its igmp_max_msf


class Groups:
    """What an endpoint has joined. `network`: the IPv4 it is told to; `owner`: the endpoint."""

    __slots__ = ("_network", "_owner", "_joined")

    def __init__(self, network, owner):
        self._network, self._owner = network, owner
        self._joined = {}              # (group, interface) -> (Filter, have sources been named?)

    def __len__(self):
        return len(self._joined)

    def interface_of(self, group):
        """Where this group was joined, or None."""
        return next((interface for joined, interface in self._joined if joined == group), None)

    def join(self, group, interface, wanted=EVERYBODY, named=False):
        """Receive what is sent to a multicast group on an interface. OSError: EINVAL if it is none,
        EADDRINUSE if joined, ENOBUFS if that are too many."""
        if (group, interface) in self._joined:
            raise os_error(errno.EADDRINUSE)
        if len(self._joined) >= MAX_GROUPS:
            raise os_error(errno.ENOBUFS)
        self._set(group, interface, wanted, named)

    def leave(self, group, interface):
        """Undo join; OSError(EADDRNOTAVAIL) if not joined."""
        if (group, interface) not in self._joined:
            raise os_error(errno.EADDRNOTAVAIL)
        del self._joined[group, interface]
        self._network.listen(self._owner, group, interface, NOBODY)

    def leave_all(self):
        """The endpoint is closed."""
        for group, interface in list(self._joined):
            self.leave(group, interface)

    def add_source(self, group, interface, source, exclude):
        """Name one more source: to block (`exclude`) or to hear, which joins the group if need be. OSError:
        EINVAL if the group is not joined or the other way, EADDRNOTAVAIL if it is named, ENOBUFS."""
        if not exclude and (group, interface) not in self._joined:
            self.join(group, interface, Filter(False, frozenset((source,))), True)
            return
        sources = self._named(group, interface, exclude)
        if len(sources) >= MAX_SOURCES:
            raise os_error(errno.ENOBUFS)
        if source in sources:
            raise os_error(errno.EADDRNOTAVAIL)
        self._set(group, interface, Filter(exclude, sources | {source}), True)

    def drop_source(self, group, interface, source, exclude):
        """Undo add_source; the group is left with the last source heard. OSError: EINVAL, EADDRNOTAVAIL."""
        sources = self._named(group, interface, exclude)
        if source not in sources:
            raise os_error(errno.EADDRNOTAVAIL)
        if not exclude and len(sources) == 1:
            self.leave(group, interface)
        else:
            self._set(group, interface, Filter(exclude, sources - {source}), True)

    def set_filter(self, group, interface, wanted):
        """Replace the Filter of a joined group as a whole; NOBODY leaves. OSError: EINVAL if not joined (to
        leave: EADDRNOTAVAIL), ENOBUFS."""
        if len(wanted.sources) > MAX_SOURCES:
            raise os_error(errno.ENOBUFS)
        if wanted == NOBODY:
            self.leave(group, interface)
        elif (group, interface) not in self._joined:
            raise os_error(errno.EINVAL)
        else:
            self._set(group, interface, wanted, bool(wanted.sources))

    def wants(self, group, interface, source):
        """True or False for a datagram from `source` that came by `interface` to a group that is joined there
        (copies of our own come by loopback), None if it is not."""
        answer = None
        for (joined, where), (wanted, _) in self._joined.items():
            if joined == group and (where is interface or interface.loopback):
                answer = answer or wanted.admits(source)
        return answer

    def _named(self, group, interface, exclude):
        """The sources named so far, in this mode."""
        wanted, named = self._joined.get((group, interface), (None, False))
        if wanted is None or named and wanted.exclude != exclude:
            raise os_error(errno.EINVAL)
        return wanted.sources

    def _set(self, group, interface, wanted, named):
        self._network.listen(self._owner, group, interface, wanted)
        self._joined[group, interface] = wanted, named
