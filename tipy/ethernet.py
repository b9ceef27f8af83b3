"""Ethernet II: the first layer a frame meets (RFC 894, IEEE 802.3 clause 3).

A frame says who it is for (destination MAC), who sent it, and what it carries (the EtherType). This layer
keeps what is for us: our own MAC, the broadcast address, any multicast address (which groups matter is known
one floor up); and hands it to the handler of its EtherType. Padding is not looked at here: only the layer
above knows how long its packet really is, and it cuts there.

Outgoing frames are not padded: a virtual link has no minimum length, and the driver of a real card pads with
zeros. So nothing of our memory can leave as padding ("etherleak", CVE-2003-0001).

What may live here: addressing and demultiplexing. Nothing that remembers.
"""

import errno
from struct import error as struct_error

from tipy.errors import PacketError, os_error
from tipy.packet import Packet
from tipy.wire.ethernet import HEADER_LENGTH, STRUCT

_FIRST_TYPE = 0x600        # smaller values are 802.3 lengths


class Ethernet:
    """One Ethernet interface.

    link: where frames go; mac: our address, 6 bytes; counters: a Counter. `interface` is put into every
    Packet on its way up (the IP layer's idea of where it came in).
    """

    def __init__(self, link, mac, counters):
        self.link = link
        self.mac = mac
        self.counters = counters
        self.interface = None
        self._handlers = {}

    def register(self, ethertype, handler):
        """Call handler(packet, source_mac), inside the gate, for each frame of this EtherType.

        packet.start:end is the payload, padding included. A PacketError from the handler is counted as
        ethernet.drop_<reason>. Raises ValueError for a type that is an 802.3 length, OSError(EADDRINUSE)
        for one that has a handler.
        """
        if not _FIRST_TYPE <= ethertype <= 0xFFFF:
            raise ValueError(f"EtherType 0x{ethertype:04x} is not between 0x0600 and 0xffff")
        if ethertype in self._handlers:
            raise os_error(errno.EADDRINUSE, f"EtherType 0x{ethertype:04x} has a handler already")
        self._handlers[ethertype] = handler

    def unregister(self, ethertype):
        """Forget the handler of this type, if there is one."""
        self._handlers.pop(ethertype, None)

    def input(self, frame, checked=False, gso_size=0):
        """A frame (bytes-like) arrived. checked, gso_size: see Packet."""
        counters = self.counters
        try:
            dst, src, ethertype = STRUCT.unpack_from(frame)
        except struct_error:
            counters["ethernet.drop_short"] += 1
            return
        end = len(frame)
        if end > self.link.mtu + HEADER_LENGTH and not gso_size:
            counters["ethernet.drop_overlong"] += 1
            return
        group = dst != self.mac            # or it is not ours
        if group and not dst[0] & 1:
            counters["ethernet.drop_not_ours"] += 1
            return
        if src[0] & 1:                     # a group cannot send
            counters["ethernet.drop_source"] += 1
            return
        handler = self._handlers.get(ethertype)
        if handler is None:
            counters["ethernet.drop_type"] += 1
            return
        counters["ethernet.in"] += 1
        view = frame if type(frame) is memoryview else memoryview(frame)
        packet = Packet(view, HEADER_LENGTH, end, self.interface, group, checked, gso_size)
        try:
            handler(packet, src)
        except PacketError as error:
            counters["ethernet.drop_" + error.reason] += 1

    def send(self, dst_mac, ethertype, parts, offload=None):
        """Send one frame: `parts` is the payload as a list of buffers.

        OSError(EMSGSIZE) above the link's MTU, unless `offload` says that the link cuts it (gso_size > 0).
        """
        if offload is None or not offload.gso_size:
            if sum(map(len, parts)) > self.link.mtu:
                raise os_error(errno.EMSGSIZE)
        self.transmit(dst_mac, ethertype, parts, offload)

    def transmit(self, dst_mac, ethertype, parts, offload=None):
        """`send` for IP, which has made sure that the packet fits."""
        self.counters["ethernet.out"] += 1
        self.link.send([STRUCT.pack(dst_mac, self.mac, ethertype), *parts], offload)
