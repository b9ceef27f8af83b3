"""Which addresses are ours, who may speak, and which routes lead out.

Two questions are asked about every packet that arrives, and each is answered here and nowhere else (for hosts that
have met, from memory):

* `may_speak(src, interface)`: can this be the address of another host? Not our own address (the land attack),
  0/8, 127/8 from a wire, 224/4 and above, nor the network or broadcast address of a subnet of ours
  (RFC 1122 3.2.1.3, RFC 6890).
* `destination(dst, interface)`: is it for us, and as what: HOST, BROADCAST, MULTICAST, or NOBODY. Any of our
  addresses is accepted on any interface (the weak host model of RFC 1122 3.3.4.2, as Linux does).

Routes are few: the longest matching prefix wins, found by walking a list.
"""

from typing import NamedTuple

from tipy.address import LIMITED_BROADCAST, Network, is_multicast
from tipy.ipv4.membership import NOBODY as NO_SOURCE
from tipy.ipv4.membership import merge

NOBODY, HOST, BROADCAST, MULTICAST = 0, 1, 2, 3
ALL_HOSTS = b"\xe0\x00\x00\x01"          # every host is a member (RFC 1112 4)
_MOST_MET = 1024


class Route(NamedTuple):
    """Packets for `network` leave by `interface`, to `next_hop` (None: the destination is a neighbour)."""
    network: Network
    next_hop: bytes | None
    interface: object


class Addresses:
    """The addresses and routes of a stack.

    generation grows with every change: who keeps a Path compares it. met: (src, dst, interface) of packets from a
    host to us, for which both questions have been answered with yes; forgotten when our addresses change.
    """

    def __init__(self, loopback):
        self.loopback = loopback
        self.interfaces = [loopback]
        self.generation = 0
        self.met = set()
        self.routes = []                       # longest prefix first
        self.own = {}                         # ip -> interface, without 127/8
        self._kinds = {LIMITED_BROADCAST: BROADCAST, ALL_HOSTS: MULTICAST}
        self._mute = frozenset()               # unicast-looking addresses that no host can have
        self._groups = {}                      # (multicast ip, interface) -> ({owner: Filter}, all merged)

    # -- the two questions -----------------------------------------------------------------------------

    def may_speak(self, src, interface):
        """Can a packet from this source address be genuine, on this interface?"""
        if interface is self.loopback:
            return src[0] == 127 or src in self.own
        first = src[0]
        return 0 < first < 224 and first != 127 and src not in self.own and src not in self._mute

    def destination(self, dst, interface):
        """HOST, BROADCAST, MULTICAST (joined groups only) or NOBODY."""
        kind = self._kinds.get(dst)
        if kind is not None:
            return kind if kind != MULTICAST or self.is_joined(dst, interface) else NOBODY
        return HOST if dst[0] == 127 and interface is self.loopback else NOBODY

    def remember(self, src, dst, interface):
        """A packet from `src` to our address `dst` was found good."""
        if len(self.met) >= _MOST_MET:
            self.met.clear()
        self.met.add((src, dst, interface))

    # -- ours ------------------------------------------------------------------------------------------

    def is_local(self, ip):
        """One of our own unicast addresses, all of 127/8 included."""
        return ip in self.own or ip[0] == 127

    def is_broadcast(self, ip):
        """255.255.255.255, or the directed broadcast address of a network of ours."""
        return self._kinds.get(ip) == BROADCAST

    def is_group(self, ip):
        """A broadcast address or a multicast group, joined or not."""
        return self._kinds.get(ip) == BROADCAST or is_multicast(ip)

    def interface_of(self, ip):
        """The interface that has this address, or None."""
        return self.own.get(ip)

    def add(self, interface, ip, network):
        """The interface has this address from now on; the network becomes a connected route.

        A /31 (RFC 3021) has two hosts and no broadcast address; a /32 has no neighbours at all.
        """
        interface.addresses[ip] = network
        if interface not in self.interfaces:
            self.interfaces.append(interface)
        if network.length < 32:
            self._insert(Route(network, None, interface))
        self._rebuild()

    def remove(self, interface, ip):
        """The interface no longer has this address."""
        network = interface.addresses.pop(ip)
        if network not in interface.addresses.values():
            self.routes = [r for r in self.routes
                           if (r.network, r.next_hop, r.interface) != (network, None, interface)]
        self._rebuild()

    def _rebuild(self):
        self.own = {ip: interface for interface in self.interfaces for ip in interface.addresses}
        networks = [n for interface in self.interfaces for n in interface.addresses.values()
                    if n.broadcast is not None]
        self._mute = frozenset(n.prefix for n in networks) | frozenset(n.broadcast for n in networks)
        self._kinds = {LIMITED_BROADCAST: BROADCAST, ALL_HOSTS: MULTICAST}
        self._kinds.update((n.broadcast, BROADCAST) for n in networks)
        self._kinds.update((ip, MULTICAST) for ip, _ in self._groups)
        self._kinds.update((ip, HOST) for ip in self.own)
        self.met.clear()
        self.generation += 1

    # -- groups ----------------------------------------------------------------------------------------

    def listen(self, owner, group, interface, wanted):
        """`owner` wants this multicast group there from `wanted`, a Filter (membership.NOBODY: no more of it).
        Returns the interface's Filter for the group before and after."""
        key = group, interface
        owners, before = self._groups.get(key) or ({}, NO_SOURCE)
        if wanted == NO_SOURCE:
            owners.pop(owner, None)
        else:
            owners[owner] = wanted
        after = merge(owners.values())
        if owners:
            self._groups[key] = owners, after
            self._kinds[group] = MULTICAST
        else:
            self._groups.pop(key, None)
            if group != ALL_HOSTS and not any(joined == group for joined, _ in self._groups):
                self._kinds.pop(group, None)
        return before, after

    def is_joined(self, group, interface):
        """Do we accept packets to this group there? By loopback come copies of what we sent anywhere."""
        if group == ALL_HOSTS or (group, interface) in self._groups:
            return True
        return interface is self.loopback and any(joined == group for joined, _ in self._groups)

    def hears(self, group, interface, source):
        """Does any of us who have joined this group want to hear of it from this source?"""
        if group == ALL_HOSTS:
            return True
        return any(wanted.admits(source) for (joined, where), (_, wanted) in self._groups.items()
                   if joined == group and (where is interface or interface is self.loopback))

    def groups_on(self, interface):
        """{multicast group joined on an interface: its Filter}; what everybody belongs to is not among them."""
        return {group: wanted for (group, where), (_, wanted) in self._groups.items()
                if where is interface and group != ALL_HOSTS}

    # -- routes ----------------------------------------------------------------------------------------

    def add_route(self, network, next_hop, interface):
        """Packets for `network` (Network(ANY, 0) = all others) go through the gateway `next_hop`.

        The gateway is taken to be a neighbour even if no connected network holds it (a /32 has none).
        """
        self._insert(Route(network, next_hop, interface))
        self.generation += 1

    def remove_route(self, network, next_hop, interface):
        """Undo add_route; what is not there is not missed."""
        self.routes = [route for route in self.routes if route != Route(network, next_hop, interface)]
        self.generation += 1

    def _insert(self, route):
        if route not in self.routes:
            self.routes.append(route)
            self.routes.sort(key=lambda r: -r.network.length)      # stable: the older of equals wins

    def lookup(self, dst, interface=None):
        """The Route for this destination, on this interface if given, or None."""
        for route in self.routes:
            if dst in route.network and (interface is None or route.interface is interface):
                return route
        if (dst == LIMITED_BROADCAST or is_multicast(dst)) and len(self.interfaces) > 1:
            return Route(Network.of(dst, 32), None, interface or self.interfaces[1])
        return None

    def source_for(self, route, dst):
        """Our address to use towards `dst` by this route: in the network of the next hop, if possible."""
        neighbour = route.next_hop or dst
        addresses = route.interface.addresses
        for ip, network in addresses.items():
            if neighbour in network:
                return ip
        return next(iter(addresses), None)
