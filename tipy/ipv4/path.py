"""The way to one destination, and how large a packet may be on it.

A Path is the answer to "how do I get from here to there": a transport asks once (`IPv4.path`), keeps it and
sends along it. It does not hold the neighbour's MAC, which may change, nor the path MTU, which is looked up
when it is asked for.

Path MTU discovery (RFC 1191): a router that cannot forward a packet with DF says what would fit. The
transport checks that it really sent that packet and calls `PathMtus.lower`. Nobody can push an estimate below
MIN_PMTU (an attacker would make us send confetti): a smaller claim is remembered as MIN_PMTU and "locked",
and then DF is no longer set on this path, so that routers may fragment. The estimate is forgotten after
MTU_EXPIRES, to notice that the path got better.
"""

from tipy.address import BROADCAST_MAC, format_ip, is_multicast, multicast_mac
from tipy.wire.ipv4 import MAX_PACKET

MIN_PMTU = 552             # Linux's ip_rt_min_pmtu
LEAST_MTU = 68             # RFC 791: every link carries this; smaller claims are lies
MTU_EXPIRES = 600.0        # s
CAP = 512                  # destinations remembered, the oldest goes first


class PathMtus:
    """What is known of the path MTU, per destination."""

    def __init__(self, clock):
        self._clock = clock
        self.known = {}                        # dst -> (mtu, locked, when to forget it)

    def get(self, dst):
        """(mtu, locked) of a destination, or None."""
        entry = self.known.get(dst)
        if entry is None:
            return None
        if entry[2] <= self._clock.now():
            del self.known[dst]
            return None
        return entry[:2]

    def lower(self, dst, mtu, current):
        """A router says that only `mtu` bytes fit; `current` is what was believed. True if that changed."""
        if mtu < LEAST_MTU or mtu >= current:
            return False
        if len(self.known) >= CAP and dst not in self.known:
            del self.known[next(iter(self.known))]
        self.known.pop(dst, None)
        self.known[dst] = (max(mtu, MIN_PMTU), mtu < MIN_PMTU, self._clock.now() + MTU_EXPIRES)
        return True


class Path:
    """A way from `src` to `dst`.

    interface   where packets leave: .name .loopback
    link        what takes them there: .mtu .tx_checksum .tso_max
    next_hop    the neighbour to hand them to (None on loopback and to groups)
    mac         the link address, where it follows from dst (broadcast, multicast), else None
    broadcast, multicast, loopback: what kind of destination it is
    loops       a copy of what is sent comes back to our own sockets (broadcast; for multicast the
                sender decides)
    generation  compare with ipv4.addresses.generation: if it differs, addresses or routes have changed since
    """

    header_length = 20         # bytes of an IP header without options
    least_mtu = LEAST_MTU

    __slots__ = ("src", "dst", "interface", "link", "next_hop", "mac", "broadcast", "multicast", "loopback",
                 "loops", "generation", "sum", "_mtus")

    def __init__(self, src, dst, interface, next_hop, broadcast, generation, mtus):
        self.src = src
        self.dst = dst
        self.interface = interface
        self.link = interface.link
        self.next_hop = next_hop
        self.broadcast = broadcast
        self.multicast = is_multicast(dst)
        self.loopback = interface.loopback
        self.mac = BROADCAST_MAC if broadcast else multicast_mac(dst) if self.multicast else None
        self.loops = broadcast
        self.generation = generation
        self.sum = (int.from_bytes(src, "big") + int.from_bytes(dst, "big")) % 0xFFFF      # for header checksums
        self._mtus = mtus

    @property
    def mtu(self):
        """Largest packet in bytes, now: what the interface takes, or less if a router said so."""
        mtu = self.link.mtu
        if mtu > MAX_PACKET:
            mtu = MAX_PACKET
        if self._mtus.known and self.dst in self._mtus.known:
            known = self._mtus.get(self.dst)
            if known is not None and known[0] < mtu:
                return known[0]
        return mtu

    @property
    def may_forbid_fragments(self):
        """False if routers must be allowed to fragment here (the path MTU is below MIN_PMTU)."""
        if self._mtus.known and self.dst in self._mtus.known:
            known = self._mtus.get(self.dst)
            return known is None or not known[1]
        return True

    def __repr__(self):
        via = f" via {format_ip(self.next_hop)}" if self.next_hop not in (None, self.dst) else ""
        return f"<path {format_ip(self.src)} > {format_ip(self.dst)}{via} dev {self.interface.name}>"
