"""IPv4 (RFC 791, RFC 1122 section 3): packets to and from addresses.

    addresses.py    which addresses are ours, who may speak, routes
    path.py         the way to a destination and its MTU
    interface.py    Ethernet and the loopback
    input.py        what arrives, up to the transports
    output.py       what leaves: headers, fragments
    reassembly.py   fragments that arrive
    membership.py   from whom a group is wanted
    options.py      IP options
    icmp_error.py   what became of a packet

`IPv4` puts them together. ICMP, UDP, TCP and raw sockets stand on it and do not know each other: each
registers for its protocol, asks for a `path`, sends along it, and is told of errors.
"""

import errno

from tipy.address import ANY, LIMITED_BROADCAST, LOOPBACK, Network, is_multicast
from tipy.errors import os_error
from tipy.ipv4.addresses import Addresses
from tipy.ipv4.icmp_error import IcmpError
from tipy.ipv4.input import Input
from tipy.ipv4.interface import EthernetInterface, Loopback
from tipy.ipv4.membership import EVERYBODY
from tipy.ipv4.output import Output
from tipy.ipv4.path import Path, PathMtus
from tipy.ipv4.reassembly import Reassembly
from tipy.wire.ethernet import TYPE_IPV4
from tipy.wire.icmp import (DESTINATION_UNREACHABLE, HOST_UNREACHABLE, PORT_UNREACHABLE, PROTOCOL_UNREACHABLE,
                            REASSEMBLY_TIME_EXCEEDED, TIME_EXCEEDED)

__all__ = ["IPv4", "IcmpError", "Path"]

_MOST_PATHS = 1024             # remembered
_KINDS = {"port": PORT_UNREACHABLE, "protocol": PROTOCOL_UNREACHABLE, "host": HOST_UNREACHABLE}


class IPv4:
    """The IPv4 layer of one stack. It has a loopback interface from the start (127.0.0.1/8).

    Ports and demultiplexing above compare addresses as bytes; ANY is `any_address`.
    """

    version = 4
    any_address = ANY
    header_length = 20

    def __init__(self, gate, timers, clock, rng, counters, settings):
        self.counters = counters
        self._mtus = PathMtus(clock)
        self._paths = {}                       # (dst, src, interface) -> Path, of single hosts
        self.loopback = Loopback(gate, counters, self._from_loopback)
        self.addresses = Addresses(self.loopback)
        self._reassembly = Reassembly(timers, counters, settings, self._reassembly_expired)
        self._input = Input(self.addresses, self._reassembly, counters, self.unreachable)
        self._output = Output(rng, counters, settings, self.loopback, self.path)
        self.input = self._input.input
        self.send = self._output.send
        self.send_raw = self._output.send_raw
        self.may_speak = self.addresses.may_speak
        self.is_local = self.addresses.is_local
        self.is_broadcast = self.addresses.is_broadcast
        self.is_group = self.addresses.is_group

    # -- setting up ------------------------------------------------------------------------------------

    def add_interface(self, name, link, ethernet, arp):
        """An Ethernet interface without an address so far; returns it. Packets are received from now on."""
        interfaces = self.addresses.interfaces
        interface = EthernetInterface(name, len(interfaces) + 1, link, ethernet, arp, self._unresolved)
        interfaces.append(interface)
        ethernet.register(TYPE_IPV4, self.input)
        return interface

    def add_address(self, interface, ip, network):
        """Use this address from now on (ARP must have it in `arp.addresses` too, see Arp.start_probe)."""
        self.addresses.add(interface, ip, network)

    def remove_address(self, interface, ip):
        """Stop using this address. KeyError if the interface does not have it."""
        self.addresses.remove(interface, ip)

    def add_gateway(self, interface, gateway):
        """The default route: everything that is not on a connected network goes through `gateway`."""
        self.addresses.add_route(Network(ANY, 0), gateway, interface)

    def register(self, protocol, transport):
        """transport.input(packet) gets what arrives for this protocol, transport.icmp_error(error) what
        became of packets it sent."""
        self._input.transports[protocol] = transport

    @property
    def observers(self):
        """protocol -> fn(packet) -> bool: the raw sockets, asked before the transport."""
        return self._input.observers

    @property
    def report(self):
        """fn(packet, type, code, rest=0) that sends an ICMP error about an arrived packet; set by Icmp."""
        return self._input.report

    @report.setter
    def report(self, fn):
        self._input.report = fn

    def stop(self):
        """Forget what is under way: fragments, queued loopback packets, path MTUs."""
        self._reassembly.clear()
        self.loopback.clear()
        self._mtus.known.clear()
        self._paths.clear()

    # -- finding the way -------------------------------------------------------------------------------

    def path(self, dst, src=None, interface=None):
        """The Path to `dst`, from our address `src` if given (None or 0.0.0.0 = choose).

        interface: only this way. OSError: EADDRNOTAVAIL if src is not ours, ENETUNREACH if no route leads
        there, EINVAL for 0/8 and if a loopback address would leave the host. To send to a broadcast address
        is the transport's decision (`.broadcast`). Connections to one host share a Path.
        """
        known = self._paths.get((dst, src, interface))
        if known is not None and known.generation == self.addresses.generation:
            return known
        path = self._find_path(dst, src, interface)
        if not path.broadcast and not path.multicast:  # whose senders each decide about `loops`
            if len(self._paths) >= _MOST_PATHS:
                self._paths.clear()
            self._paths[dst, src, interface] = path
        return path

    def _find_path(self, dst, src, interface):
        addresses = self.addresses
        if src is not None and not any(src):
            src = None
        if src is not None and not addresses.is_local(src):
            raise os_error(errno.EADDRNOTAVAIL)
        if dst == ANY:
            dst = src or LOOPBACK
        if interface is addresses.loopback and is_multicast(dst):
            return Path(src or LOOPBACK, dst, interface, None, False, addresses.generation, self._mtus)
        if addresses.is_local(dst):
            if interface not in (None, self.loopback, addresses.own.get(dst)):
                raise os_error(errno.ENETUNREACH)
            own = src or (LOOPBACK if dst[0] == 127 else dst)
            return Path(own, dst, self.loopback, None, False, addresses.generation, self._mtus)
        if dst[0] == 0 or (src is not None and src[0] == 127):
            raise os_error(errno.EINVAL)
        route = addresses.lookup(dst, interface)
        if route is None:
            raise os_error(errno.ENETUNREACH)
        if src is None:
            src = addresses.source_for(route, dst)
            if src is None:
                if dst != LIMITED_BROADCAST:
                    raise os_error(errno.ENETUNREACH)
                src = ANY                                # a host that is asking for its address (DHCP)
        broadcast = addresses.is_broadcast(dst)
        group = broadcast or is_multicast(dst)
        return Path(src, dst, route.interface, None if group else route.next_hop or dst, broadcast,
                    addresses.generation, self._mtus)

    def path_mtu(self, dst):
        """The path MTU a router told us of, in bytes, or None."""
        known = self._mtus.get(dst)
        return known[0] if known is not None else None

    def lower_path_mtu(self, dst, mtu):
        """A transport believes an ICMP "fragmentation needed". True if the estimate changed."""
        try:
            current = self.path(dst).mtu
        except OSError:
            return False
        changed = self._mtus.lower(dst, mtu, current)
        if changed:
            self.counters["ipv4.path_mtu_lowered"] += 1
        return changed

    # -- multicast -------------------------------------------------------------------------------------

    def interface_for(self, index=0, ip=ANY, group=None):
        """The interface with this index, else with this address, else by which packets to `group` leave;
        None if there is no such one."""
        if index:
            return next((each for each in self.addresses.interfaces if each.index == index), None)
        if any(ip):
            return self.loopback if ip[0] == 127 else self.addresses.own.get(ip)
        route = self.addresses.lookup(group)
        return route.interface if route is not None else None

    def listen(self, owner, group, interface, wanted=EVERYBODY):
        """IPMulticastListen of RFC 3376 section 2: from now on `owner` (a socket, anything hashable) receives
        what comes to this multicast group there from whom `wanted`, a Filter, admits; with membership.NOBODY
        nothing any more. OSError(EINVAL) if it is no group."""
        if not is_multicast(group):
            raise os_error(errno.EINVAL)
        before, after = self.addresses.listen(owner, group, interface, wanted)
        if before != after and self.membership is not None and not interface.loopback:
            self.membership(interface, group, before, after)

    membership = None          # set by Igmp: fn(interface, group, Filter before, after), told of every change

    def is_joined(self, group, interface):
        """Do we receive packets to this multicast group there?"""
        return self.addresses.is_joined(group, interface)

    # -- errors ----------------------------------------------------------------------------------------

    def unreachable(self, packet, kind):
        """Tell the sender of a packet that arrived that it cannot be delivered: kind is "port", "protocol"
        or "host". (ICMP decides whether it may.)"""
        if self._input.report is not None:
            self._input.report(packet, DESTINATION_UNREACHABLE, _KINDS[kind])

    def deliver_error(self, error):
        """Hand an IcmpError to the transport of its protocol and to the raw sockets."""
        for handler in (self._input.transports.get(error.protocol), self.raw_errors):
            if handler is not None:
                handler.icmp_error(error)

    raw_errors = None          # set by Raw: told of every error

    def _reassembly_expired(self, first):
        if self._input.report is not None:
            self._input.report(first, TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED)

    def _unresolved(self, packet):
        """ARP gave up on the next hop of a packet (bytes) of ours: the transport learns it."""
        self.counters["ipv4.unresolved"] += 1
        src, dst = packet[12:16], packet[16:20]
        transport = memoryview(packet)[(packet[0] & 15) << 2:]
        self.deliver_error(IcmpError(errno.EHOSTUNREACH, False, DESTINATION_UNREACHABLE, HOST_UNREACHABLE, 0,
                                     src, dst, packet[9], transport, src))

    def _from_loopback(self, packet):
        self.input(packet)
