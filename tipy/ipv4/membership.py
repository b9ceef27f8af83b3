"""From which sources a multicast group is wanted (RFC 3376 section 2 and 3).

Each socket that listens to a group on an interface has a Filter of its own. The interface's is what all of
them need together (`merge`): that is what routers are told, and what input lets in; each socket then applies
its own again, for another one may want more.
"""

from typing import NamedTuple


class Filter(NamedTuple):
    """A filter mode and its list. exclude: from everybody but `sources`; else from `sources` only."""
    exclude: bool
    sources: frozenset = frozenset()

    def admits(self, source):
        """May datagrams from this address (bytes) pass?"""
        return (source in self.sources) != self.exclude


EVERYBODY = Filter(True)
NOBODY = Filter(False)                     # as good as not being a member


def merge(filters):
    """The Filter of an interface from those of its sockets (RFC 3376 3.2)."""
    included = frozenset().union(*(each.sources for each in filters if not each.exclude))
    excluded = [each.sources for each in filters if each.exclude]
    if excluded:
        return Filter(True, excluded[0].intersection(*excluded[1:]) - included)
    return Filter(False, included)
