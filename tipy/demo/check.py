"""Reading the demo's capture back: is every frame whole, and every checksum right?

Only what the demo itself writes is understood: little-endian pcapng, enhanced packet blocks, Ethernet.
"""

from struct import Struct

from tipy.checksum import pseudo_header, residue
from tipy.errors import PacketError
from tipy.wire.arp import ArpPacket
from tipy.wire.ethernet import HEADER_LENGTH, TYPE_ARP, TYPE_IPV4, EthernetHeader
from tipy.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, IPv4Header

_BLOCK = Struct("<II")
_PACKET = Struct("<IIIII")
_ENHANCED_PACKET = 6


def check_capture(path):
    """(frames, list of what is wrong with some of them) of the capture at `path`."""
    with open(path, "rb") as file:
        frames, faults = 0, []
        for frame in _frames(file, faults):
            frames += 1
            fault = _fault(frame)
            if fault:
                faults.append(f"frame {frames}: {fault}")
    return frames, faults


def _frames(file, faults):
    while head := file.read(_BLOCK.size):
        if len(head) < _BLOCK.size:
            break
        kind, length = _BLOCK.unpack(head)
        body = file.read(length - _BLOCK.size)
        if len(body) != length - _BLOCK.size or body[-4:] != head[4:]:
            break
        if kind == _ENHANCED_PACKET:
            captured = _PACKET.unpack_from(body)[3]
            yield memoryview(body)[_PACKET.size:_PACKET.size + captured]
    else:
        return
    faults.append("the file ends in the middle of a block")


def _fault(frame):
    """What is wrong with a frame, or None."""
    try:
        ethertype = EthernetHeader.unpack(frame, 0, len(frame)).type
        if ethertype == TYPE_ARP:
            ArpPacket.unpack(frame, HEADER_LENGTH, len(frame))
        elif ethertype == TYPE_IPV4:
            return _ipv4_fault(frame)
    except PacketError as error:
        return error.reason
    return None


def _ipv4_fault(frame):
    ip = IPv4Header.unpack(frame, HEADER_LENGTH, len(frame))
    start = HEADER_LENGTH + ip.header_length
    if residue(frame[HEADER_LENGTH:start]):
        return "IPv4 header checksum"
    if ip.mf or ip.offset:                     # its transport checksum spans several frames
        return None
    data = frame[start:HEADER_LENGTH + ip.total_length]
    if ip.protocol == PROTOCOL_ICMP and residue(data):
        return "ICMP checksum"
    if ip.protocol in (PROTOCOL_TCP, PROTOCOL_UDP):
        absent = ip.protocol == PROTOCOL_UDP and data[6:8] == b"\x00\x00"
        if not absent and (residue(data) + pseudo_header(ip.src, ip.dst, ip.protocol, len(data))) % 0xFFFF:
            return "transport checksum"
    return None
