"""The way up: is this a packet, is it for us, whose is it? (RFC 1122 3.2.1)

The checks run in the order in which they get more expensive, and each failure is a counter of its own: header
(version, lengths, checksum), destination, source, options, fragment. What is left goes to the raw sockets
that want it and to the transport of its protocol; for a protocol without either the sender is told.

The payload is cut at the header's total length: padding is no part of a packet.
"""

from struct import Struct, error as struct_error

import tipy.ipv4.options as ip_options
from tipy.address import format_ip
from tipy.errors import PacketError
from tipy.ipv4.addresses import HOST, MULTICAST, NOBODY
from tipy.log import channel
from tipy.wire.icmp import PARAMETER_PROBLEM
from tipy.wire.ipv4 import HEADER_LENGTH, MAX_PACKET, MF, PROTOCOL_IGMP, STRUCT, IPv4Header

_log = channel("ipv4")

_NUMBERS = Struct("!QQI")       # a header without options as three numbers


class Input:
    """What arrives. `addresses`, `reassembly`: of this stack.

    transports: protocol -> object with input(packet). observers: protocol -> fn(packet) -> bool, the raw
    sockets; True = somebody took it. report(packet, type, code, rest=0): sends an ICMP error; None until ICMP
    is there. unreachable(packet, kind): see IPv4.
    """

    def __init__(self, addresses, reassembly, counters, unreachable):
        self._addresses, self._reassembly, self._counters = addresses, reassembly, counters
        self._unreachable = unreachable
        self.transports = {}
        self.observers = {}
        self.report = None

    def input(self, packet, source_mac=None):
        """A packet arrived at packet.interface; its header is at packet.start."""
        counters = self._counters
        counters["ipv4.in"] += 1
        frame, start = packet.frame, packet.start
        try:
            first, tos, total, id, fragment, ttl, protocol, _, src, dst = STRUCT.unpack_from(frame, start)
        except struct_error:
            counters["ipv4.drop_short"] += 1
            return
        if first == 0x45:
            after = start + HEADER_LENGTH
            high, middle, low = _NUMBERS.unpack_from(frame, start)
            residue = (high + middle + low) % 0xFFFF   # of the whole header, see checksum.py; 2**64 = 1 as well
        else:
            after = start + ((first & 15) << 2)
            if first >> 4 != 4:
                counters["ipv4.drop_version"] += 1
                return
            if after < start + HEADER_LENGTH or after > packet.end:
                counters["ipv4.drop_header_length"] += 1
                return
            residue = int.from_bytes(frame[start:after], "big") % 0xFFFF
        end = start + total
        if not after <= end <= packet.end:
            if total or not packet.gso_size:
                counters["ipv4.drop_truncated"] += 1
                return
            end = packet.end                           # a super-segment too large for the field (BIG TCP)
        if residue:
            counters["ipv4.drop_checksum"] += 1
            return
        packet.network = start
        packet.start, packet.end = after, end
        packet.src, packet.dst, packet.protocol, packet.tos, packet.ttl = src, dst, protocol, tos, ttl
        met = (src, dst, packet.interface) in self._addresses.met and not packet.link_group
        if not met and not self._acceptable(packet):
            return
        if first != 0x45 or fragment & 0x3FFF:
            if not self._handle_specials(packet, id, fragment):
                return
        observers = self.observers
        taken = observers and protocol in observers and observers[protocol](packet)
        transport = self.transports.get(protocol)
        if transport is not None:
            transport.input(packet)
        elif not taken:
            counters["ipv4.no_protocol"] += 1
            self._unreachable(packet, "protocol")

    def _acceptable(self, packet):
        """Is it for us, from somebody who may speak? Sets packet.to_group, and remembers that two hosts have met."""
        counters, addresses, interface = self._counters, self._addresses, packet.interface
        kind = addresses.destination(packet.dst, interface)
        if kind != HOST:
            if kind == NOBODY:
                counters["ipv4.drop_not_ours"] += 1
                return False
            packet.to_group = True
            if kind == MULTICAST and packet.protocol != PROTOCOL_IGMP and not addresses.hears(
                    packet.dst, interface, packet.src):
                counters["ipv4.drop_source_filter"] += 1
                return False
        elif packet.link_group:
            counters["ipv4.drop_link_group"] += 1        # RFC 1122 3.3.6: unicast in a link broadcast
            return False
        if not addresses.may_speak(packet.src, interface) and not _asks_without_address(packet):
            counters["ipv4.drop_source"] += 1
            if __debug__ and _log.on:
                _log("%s cannot be a sender here", format_ip(packet.src))
            return False
        if kind == HOST:
            addresses.remember(packet.src, packet.dst, interface)
        return True

    def _handle_specials(self, packet, id, fragment):
        """Options and fragments; True if there is (now) a whole packet to go on with."""
        counters = self._counters
        try:
            if packet.start - packet.network > HEADER_LENGTH:
                packet.options = packet.frame[packet.network + HEADER_LENGTH:packet.start]
                ip_options.check(packet.frame, packet.network + HEADER_LENGTH, packet.start)
            if not fragment & 0x3FFF:
                return True
            counters["ipv4.fragments_in"] += 1
            whole = self._reassembly.add(packet, id, (fragment & 0x1FFF) << 3, fragment & MF != 0)
            if whole is None:
                return False
            self._replace(packet, *whole)
            return True
        except ip_options.ParameterProblem as problem:
            counters["ipv4.drop_options"] += 1
            if self.report is not None:
                self.report(packet, PARAMETER_PROBLEM, 0, problem.pointer << 24)
        except PacketError as error:
            counters["ipv4.drop_" + error.reason] += 1
        return False

    @staticmethod
    def _replace(packet, header, payload):
        """Make `packet` the reassembled one, with the header it would have had unfragmented."""
        total = len(header) + len(payload)
        if total > MAX_PACKET:
            raise PacketError("fragment_beyond_end")
        old = IPv4Header.unpack(header, 0, len(header), quoted=True)
        frame = memoryview(old._replace(total_length=total, mf=False, offset=0).pack() + payload)
        packet.frame, packet.network, packet.start, packet.end = frame, 0, len(header), len(frame)
        packet.tos, packet.ttl = old.tos, old.ttl
        packet.options = frame[HEADER_LENGTH:len(header)] if len(header) > HEADER_LENGTH else None
        packet.checked = False
        packet.gso_size = 0


def _asks_without_address(packet):
    """A switch that asks for group members in the place of a router has no address (RFC 4541 2.1.1)."""
    return packet.protocol == PROTOCOL_IGMP and packet.to_group and not any(packet.src)
