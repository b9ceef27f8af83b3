"""A host made of the network layers only (no stack, no sockets), in virtual time, for the tests of those
layers.

`Host` stands on a MemoryLink; `sent` collects the frames it sends. Two hosts on a `Hub` talk to each other.
This is a helper, where -O strips asserts: it only builds, tests judge.
"""

import random
from collections import Counter
from types import SimpleNamespace

from tipy.address import parse_ip, parse_network
from tipy.arp import Arp
from tipy.clock import ManualClock
from tipy.ethernet import Ethernet
from tipy.gate import Gate
from tipy.icmp import Icmp
from tipy.igmp import Igmp
from tipy.ipv4 import IPv4
from tipy.link.memory import MemoryLink
from tipy.raw import Raw
from tipy.timers import Timers
from tipy.udp import Udp
from tipy.wire.arp import REPLY, REQUEST, ArpPacket
from tipy.wire.ethernet import TYPE_ARP, TYPE_IPV4, EthernetHeader
from tipy.wire.ipv4 import IPv4Header

MAC, PEER_MAC, OTHER_MAC = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02", b"\x02\0\0\0\0\x03"
BROADCAST_MAC = b"\xff" * 6


def ip(text):
    """Address bytes."""
    return parse_ip(text)


OWN, PEER, GATEWAY = ip("192.168.2.200"), ip("192.168.2.199"), ip("192.168.2.1")


def settings(**changes):
    """Defaults for the layers under test."""
    values = dict(ttl=64, acd=True, arp_probe_wait=0.05, arp_probe_min=0.1, arp_probe_max=0.2,
                  arp_announce_wait=0.25, arp_reply_timeout=1.0, arp_retries=3, arp_cache_ttl=60.0,
                  arp_cache_size=512, defragmentation_timeout=30.0, ephemeral_ports=(32768, 60999),
                  pmtu_discovery=True)
    return SimpleNamespace(**{**values, **changes})


class Host:
    """ethernet, arp, ipv4, icmp, udp and raw on a memory link. ready=False leaves the address unprobed."""

    def __init__(self, address="192.168.2.200/24", mac=MAC, gateway="192.168.2.1", mtu=1500, clock=None,
                 ready=True, link=None, **changes):
        self.clock = clock or ManualClock()
        self.timers = Timers(self.clock)
        self.gate = Gate(self.clock, self.timers)
        self.clock.attach(self.gate)
        self.rng = random.Random(7)
        self.counters = Counter()
        self.settings = settings(**changes)
        self.sent = []
        self.link = link or MemoryLink(mtu, self.sent.append)
        self.link.attach(self)
        self.mac = mac
        self.conflicts = []
        self.failures = []
        self.gate.on_error = self.failures.append
        self._build(address, gateway)
        if ready:
            self.arp.addresses[self.address] = self.network
            self.arp.detection.address, self.arp.detection.state = self.address, "usable"
            self._usable()

    def _build(self, address, gateway):
        rest = self.gate, self.timers, self.clock, self.rng, self.counters, self.settings
        self.address, self.network = parse_network(address)
        self.gateway = parse_ip(gateway) if gateway else None
        self.ethernet = Ethernet(self.link, self.mac, self.counters)
        self.arp = Arp(self.ethernet, *rest)
        self.arp.detection.on_conflict = self.conflicts.append
        self.ipv4 = IPv4(*rest)
        self.interface = self.ipv4.add_interface("tap7", self.link, self.ethernet, self.arp)
        self.icmp = Icmp(self.ipv4, self.clock, self.counters, self.settings)
        self.igmp = Igmp(self.ipv4, self.timers, self.rng, self.counters)
        self.udp = Udp(self.ipv4, self.gate, self.rng, self.counters, self.settings)
        self.raw = Raw(self.ipv4, self.gate, self.counters, self.settings)

    def _usable(self):
        self.ipv4.add_address(self.interface, self.address, self.network)
        if self.gateway:
            self.ipv4.add_gateway(self.interface, self.gateway)

    def start(self):
        """Probe for the address as a stack does."""
        with self.gate:
            self.arp.start_probe(self.address, self.network, self._usable)

    def receive(self, batch):
        """What links call."""
        with self.gate:
            for frame, checked, gso_size in batch:
                self.ethernet.input(frame, checked, gso_size)

    # -- for tests that are the wire -------------------------------------------------------------------

    def know(self, address=PEER, mac=PEER_MAC):
        """A neighbour that need not be asked for."""
        self.arp.add(address, mac)

    def take(self):
        """The frames sent since last time."""
        frames, self.sent[:] = list(self.sent), []
        return frames

    def take_arp(self):
        """ARP packets sent since last time, as (destination MAC, ArpPacket); other frames are lost."""
        return [(frame[:6], ArpPacket.unpack(frame, 14, len(frame))) for frame in self.take()
                if EthernetHeader.unpack(frame, 0, len(frame)).type == TYPE_ARP]

    def take_ip(self):
        """IPv4 packets sent since last time, as (IPv4Header, payload bytes)."""
        packets = []
        for frame in self.take():
            if EthernetHeader.unpack(frame, 0, len(frame)).type == TYPE_IPV4:
                header = IPv4Header.unpack(frame, 14, len(frame))
                packets.append((header, frame[14 + header.header_length:14 + header.total_length]))
        return packets

    def hear_arp(self, operation, sender_mac, sender_ip, target_ip, target_mac=bytes(6), dst=None):
        """An ARP packet arrives; dst: the frame's destination MAC (broadcast for requests, else ours)."""
        packet = ArpPacket(operation, sender_mac, sender_ip, target_mac, target_ip)
        dst = dst or (BROADCAST_MAC if operation == REQUEST else self.mac)
        self.link.deliver(EthernetHeader(dst, sender_mac, TYPE_ARP).pack() + packet.pack())

    def hear_reply(self, sender_ip=PEER, sender_mac=PEER_MAC):
        """A neighbour answers our ARP request."""
        self.hear_arp(REPLY, sender_mac, sender_ip, self.address, self.mac)

    def hear_ip(self, protocol, payload, src=PEER, dst=None, src_mac=PEER_MAC, dst_mac=None, **fields):
        """An IPv4 packet arrives; fields as in IPv4Header."""
        options = fields.get("options", b"")
        fields.setdefault("total_length", 20 + len(options) + -len(options) % 4 + len(payload))
        header = IPv4Header(protocol=protocol, src=src, dst=dst or self.address, **fields).pack()
        self.hear(TYPE_IPV4, header + payload, src_mac, dst_mac)

    def hear(self, ethertype, payload, src_mac=PEER_MAC, dst_mac=None):
        """A frame arrives."""
        self.link.deliver(EthernetHeader(dst_mac or self.mac, src_mac, ethertype).pack() + payload)
