"""An ICMP error that arrived (or a failure of our own that looks like one), as transports get to see it."""

from typing import NamedTuple


class IcmpError(NamedTuple):
    """Something became of a packet that we sent.

    errno       what a socket would report; `hard`: reported even to sockets that did not ask (Linux's
                icmp_err_convert), else a hint that may pass
    type, code  of the ICMP message; mtu: the next-hop MTU of "fragmentation needed", else 0
    local, remote  addresses of the packet that we sent; protocol: its IP protocol
    transport   memoryview of the beginning of its transport header, at least 8 bytes
    source      who says so: a router's address, or our own when a neighbour did not answer ARP
    """
    errno: int
    hard: bool
    type: int
    code: int
    mtu: int
    local: bytes
    remote: bytes
    protocol: int
    transport: memoryview
    source: bytes

    @property
    def is_local(self):
        """A failure on our own host: no neighbour to send to."""
        return self.source == self.local
