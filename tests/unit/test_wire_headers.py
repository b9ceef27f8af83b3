"""Ethernet, ARP, IPv4, ICMP and UDP headers: known bytes, broken ones, and the readable line."""

import pytest

from tipy.address import parse_ip, parse_mac
from tipy.checksum import residue
from tipy.errors import PacketError
from tipy.wire import arp, icmp, udp
from tipy.wire.arp import ArpPacket
from tipy.wire.ethernet import TYPE_ARP, EthernetHeader
from tipy.wire.icmp import IcmpHeader
from tipy.wire.ipv4 import IPv4Header
from tipy.wire.udp import UdpHeader

A, B = parse_ip("192.168.2.199"), parse_ip("192.168.2.200")
MAC_A, MAC_B = parse_mac("02:00:00:00:00:01"), parse_mac("02:00:00:00:00:02")
IP_BYTES = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")     # a well-known worked example


def reason_of(call, *arguments, **keywords):
    with pytest.raises(PacketError) as caught:
        call(*arguments, **keywords)
    return caught.value.reason


def test_ethernet():
    header = EthernetHeader(MAC_B, MAC_A, TYPE_ARP)
    frame = header.pack()
    assert frame == MAC_B + MAC_A + b"\x08\x06"
    assert EthernetHeader.unpack(memoryview(frame), 0, 14) == header
    assert str(header) == "02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x0806"
    assert reason_of(EthernetHeader.unpack, frame, 0, 13) == "short"
    assert reason_of(EthernetHeader.unpack, frame, 1, 15) == "short"


def test_arp_request():
    packet = ArpPacket(arp.REQUEST, MAC_A, A, bytes(6), B)
    assert packet.pack() == bytes.fromhex("0001080006040001") + MAC_A + A + bytes(6) + B
    assert ArpPacket.unpack(b"xx" + packet.pack() + bytes(18), 2, 48) == packet
    assert str(packet) == "ARP who-has 192.168.2.200 tell 192.168.2.199"


def test_arp_in_words():
    assert str(ArpPacket(arp.REPLY, MAC_B, B, MAC_A, A)) == "ARP 192.168.2.200 is-at 02:00:00:00:00:02"
    probe = ArpPacket(arp.REQUEST, MAC_B, bytes(4), bytes(6), B)
    assert probe.is_probe and str(probe) == "ARP probe for 192.168.2.200 by 02:00:00:00:00:02"
    announcement = ArpPacket(arp.REQUEST, MAC_B, B, bytes(6), B)
    assert not announcement.is_probe
    assert str(announcement) == "ARP announce 192.168.2.200 is-at 02:00:00:00:00:02"


@pytest.mark.parametrize("at, value", [(1, 6), (2, 9), (4, 8), (5, 16)])
def test_arp_for_something_else(at, value):
    frame = bytearray(ArpPacket(arp.REQUEST, MAC_A, A, bytes(6), B).pack())
    frame[at] = value
    assert reason_of(ArpPacket.unpack, frame, 0, 28) == "format"


def test_arp_short():
    assert reason_of(ArpPacket.unpack, bytes(27), 0, 27) == "short"


def test_ipv4_known_bytes():
    header = IPv4Header.unpack(IP_BYTES + bytes(95), 0, 115)
    assert header == IPv4Header(20, 0, 115, 0, True, False, 0, 64, 17, 0xB861,
                                parse_ip("192.168.0.1"), parse_ip("192.168.0.199"), b"")
    assert header.pack() == IP_BYTES
    assert str(header) == "192.168.0.1 > 192.168.0.199 UDP length 95 ttl 64"


def test_ipv4_options_are_padded_and_counted():
    packed = IPv4Header(total_length=24, protocol=6, src=A, dst=B, options=b"\x94\x04\x00").pack()
    assert len(packed) == 24 and packed[0] == 0x46 and residue(packed) == 0
    header = IPv4Header.unpack(packed, 0, 24)
    assert (header.header_length, header.options) == (24, b"\x94\x04\x00\x00")


def test_ipv4_fragment():
    header = IPv4Header(total_length=1500, id=7, mf=True, offset=1480, protocol=1, src=A, dst=B)
    again = IPv4Header.unpack(header.pack() + bytes(1480), 0, 1500)
    assert (again.mf, again.df, again.offset, again.is_fragment) == (True, False, 1480, True)
    assert str(again) == "192.168.2.199 > 192.168.2.200 ICMP length 1480 ttl 64 fragment 7 at 1480+"


@pytest.mark.parametrize("first, length, reason", [
    (0x45, 19, "short"), (0x65, 115, "version"), (0x44, 115, "header_length"), (0x40, 115, "header_length"),
    (0x4F, 50, "header_length"), (0x45, 114, "truncated"),
])
def test_ipv4_broken(first, length, reason):
    frame = bytes([first]) + IP_BYTES[1:] + bytes(95)
    assert reason_of(IPv4Header.unpack, frame, 0, length) == reason


def test_ipv4_total_length_below_header_length():
    frame = bytearray(IP_BYTES)
    frame[2:4] = b"\0\x13"
    assert reason_of(IPv4Header.unpack, frame, 0, 20) == "truncated"


def test_ipv4_total_length_zero_stands_for_a_frame_longer_than_the_field_can_say():
    head = IPv4Header(total_length=70_000, protocol=6, src=A, dst=B).pack()
    assert head[2:4] == b"\0\0" and residue(head) == 0
    assert IPv4Header.unpack(head + bytes(69_980), 0, 70_000).total_length == 70_000
    assert reason_of(IPv4Header.unpack, head + bytes(65_515), 0, 65_535) == "truncated"


def test_ipv4_quoted_may_be_cut():
    assert IPv4Header.unpack(IP_BYTES, 0, 20, quoted=True).total_length == 115


def test_icmp_echo():
    header = IcmpHeader.echo(icmp.ECHO, 0x1234, 5)
    assert header.pack() == bytes.fromhex("0800000012340005")
    assert IcmpHeader.unpack(header.pack(), 0, 8) == header
    assert (header.id, header.sequence, header.is_error) == (0x1234, 5, False)
    assert str(header) == "ICMP echo request id 4660 seq 5"


def test_icmp_errors_in_words():
    needed = IcmpHeader(icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, 0, 1400)
    assert (str(needed), needed.mtu, needed.is_error) == ("ICMP fragmentation needed mtu 1400", 1400, True)
    problem = IcmpHeader(icmp.PARAMETER_PROBLEM, 0, 0, 20 << 24)
    assert (str(problem), problem.pointer) == ("ICMP parameter problem at 20", 20)
    assert str(IcmpHeader(icmp.TIME_EXCEEDED, 0)) == "ICMP TTL exceeded"
    assert str(IcmpHeader(icmp.DESTINATION_UNREACHABLE, 13)) == "ICMP unreachable code 13"
    assert str(IcmpHeader(icmp.SOURCE_QUENCH, 0)) == "ICMP source quench"
    assert str(IcmpHeader(200, 0)) == "ICMP type 200"


def test_icmp_short():
    assert reason_of(IcmpHeader.unpack, bytes(7), 0, 7) == "short"


def test_udp():
    header = UdpHeader(40000, 53, 12, 0xABCD)
    frame = header.pack() + b"data"
    assert frame == bytes.fromhex("9c400035000cabcd") + b"data"
    assert UdpHeader.unpack(frame, 0, 12) == header
    assert str(header) == "40000 > 53 UDP length 4"


@pytest.mark.parametrize("length, end, reason", [(8, 7, "short"), (7, 8, "length"), (9, 8, "length"),
                                                 (0, 8, "length")])
def test_udp_broken(length, end, reason):
    frame = udp.STRUCT.pack(1, 2, length, 0)
    assert reason_of(UdpHeader.unpack, frame, 0, end) == reason


def test_udp_quoted_may_be_cut():
    assert UdpHeader.unpack(udp.STRUCT.pack(1, 2, 500, 0), 0, 8, quoted=True).length == 500
