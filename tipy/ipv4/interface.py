"""Interfaces as IP sees them: something that takes packets for a next hop.

`EthernetInterface` resolves the next hop by ARP and hands frames to the link. `Loopback` is the interface
inside the stack: what is sent to one of our own addresses comes back in. It never does so within the call
that sends (nothing climbs inside a descent): packets wait in a bounded queue which the lock holder empties
before it leaves.
"""

from collections import deque

from tipy.packet import Packet
from tipy.wire.ethernet import TYPE_IPV4

LOOPBACK_MTU = 65536       # as Linux; a packet is at most 65535
LOOPBACK_CAP = 1000        # packets in the queue, as Linux's netdev_max_backlog


class EthernetInterface:
    """An interface on an Ethernet link.

    index: its number (IP_PKTINFO). link: knows .mtu .tx_checksum .tso_max. addresses: ip -> Network.
    unresolved(packet bytes) is called when a neighbour did not answer ARP.
    """

    loopback = False

    def __init__(self, name, index, link, ethernet, arp, unresolved):
        self.name = name
        self.index = index
        self.link = link
        self.ethernet = ethernet
        self.arp = arp
        self.addresses = {}
        self._unresolved = unresolved
        ethernet.interface = self

    def transmit(self, path, packet, offload):
        """Send one packet, a list of buffers that begins with the IP header."""
        mac = path.mac or self.arp.lookup(path.next_hop)
        if mac is not None:
            self.ethernet.transmit(mac, TYPE_IPV4, packet, offload)
        else:
            self.arp.hold(path.next_hop, TYPE_IPV4, [(packet, offload)], self._unresolved)

    def transmit_all(self, path, packets):
        """Send the fragments of one datagram: held together if the neighbour is not known yet."""
        mac = path.mac or self.arp.lookup(path.next_hop)
        if mac is not None:
            for packet in packets:
                self.ethernet.transmit(mac, TYPE_IPV4, packet)
        else:
            self.arp.hold(path.next_hop, TYPE_IPV4, [(packet, None) for packet in packets], self._unresolved)

    def __repr__(self):
        return f"<interface {self.name}>"


class Loopback:
    """127.0.0.0/8 and the way to our own addresses. input(packet) is where packets come back in. It is its own link."""

    loopback = True
    name = "lo"
    index = 1
    mtu = LOOPBACK_MTU
    tx_checksum = True         # nothing can corrupt a packet here: partial checksums stay unfinished
    tso_max = 0                # nor need segments be cut: the MTU is as large as a packet can be

    def __init__(self, gate, counters, input):
        self.link = self
        self.addresses = {}
        self._gate, self._counters, self._input = gate, counters, input
        self._queue = deque()

    def transmit(self, path, packet, offload):
        """Queue one packet for ourselves."""
        if len(self._queue) >= LOOPBACK_CAP:
            self._counters["loopback.drop_full"] += 1
            return
        self._queue.append((b"".join(packet), offload is not None))
        self._gate.inside.append(self._deliver)

    def transmit_all(self, path, packets):
        """Queue the fragments of one datagram."""
        for packet in packets:
            self.transmit(path, packet, None)

    def _deliver(self):
        if self._queue:
            frame, checked = self._queue.popleft()
            self._counters["loopback.packets"] += 1
            self._input(Packet(memoryview(frame), 0, len(frame), self, checked=checked))

    def clear(self):
        """Lose what is queued (the stack stops)."""
        self._queue.clear()

    def __repr__(self):
        return "<interface lo>"
