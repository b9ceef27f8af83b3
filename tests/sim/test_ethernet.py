"""Ethernet: what is let in, who gets it, what may leave."""

import errno

import pytest
from network_host import BROADCAST_MAC, MAC, OTHER_MAC, PEER_MAC, Host

from tipy.errors import PacketError
from tipy.link.base import Offload
from tipy.wire.ethernet import EthernetHeader

TYPE = 0x88B5                  # for local experiments (IEEE 802)


def listening(**options):
    """A host with a handler for TYPE, and the list of what it got."""
    host = Host(**options)
    got = []
    host.ethernet.register(TYPE, lambda packet, src: got.append((packet, src)))
    return host, got


def payload(packet):
    return bytes(packet.frame[packet.start:packet.end])


def test_frame_for_us_reaches_the_handler_of_its_type():
    host, got = listening()
    host.hear(TYPE, b"hello")
    (packet, src), = got
    assert payload(packet) == b"hello" and src == PEER_MAC
    assert packet.interface is host.interface and not packet.link_group


@pytest.mark.parametrize("dst", [BROADCAST_MAC, b"\x01\x00\x5e\x00\x00\x01", b"\x33\x33\x00\x00\x00\x01"])
def test_frame_for_a_group_is_taken_and_marked(dst):
    host, got = listening()
    host.hear(TYPE, b"all", dst_mac=dst)
    assert got[0][0].link_group


def test_frame_for_another_host_is_dropped():
    host, got = listening()
    host.hear(TYPE, b"", dst_mac=OTHER_MAC)
    assert not got and host.counters["ethernet.drop_not_ours"] == 1


@pytest.mark.parametrize("length", range(14))
def test_frame_without_a_whole_header_is_dropped(length):
    host, got = listening()
    host.link.deliver((MAC + PEER_MAC + TYPE.to_bytes(2, "big"))[:length])
    assert not got and host.counters["ethernet.drop_short"] == 1


def test_frame_above_the_mtu_is_dropped_unless_it_is_a_super_frame():
    host, got = listening()
    frame = EthernetHeader(MAC, PEER_MAC, TYPE).pack() + bytes(1501)
    host.receive([(frame, False, 0)])
    assert not got and host.counters["ethernet.drop_overlong"] == 1
    host.receive([(frame[:-1], False, 0), (frame, True, 1448)])
    assert [packet.gso_size for packet, _ in got] == [0, 1448]
    assert got[1][0].checked


def test_frame_from_a_group_address_is_dropped():
    host, got = listening()
    host.hear(TYPE, b"", src_mac=b"\x03\0\0\0\0\x02")
    assert not got and host.counters["ethernet.drop_source"] == 1


@pytest.mark.parametrize("ethertype", [0x0000, 0x0026, 0x05DC, 0x05FF, 0x86DD, 0x9000])
def test_frame_of_a_type_without_handler_is_dropped(ethertype):
    host, _ = listening()
    host.hear(ethertype, bytes(46))
    assert host.counters["ethernet.drop_type"] == 1


def test_a_packet_error_of_a_handler_is_a_counted_drop():
    host = Host()

    def handler(packet, src):
        raise PacketError("nonsense")
    host.ethernet.register(TYPE, handler)
    host.hear(TYPE, b"")
    assert host.counters["ethernet.drop_nonsense"] == 1


def test_handlers_are_one_per_type_and_never_for_lengths():
    host, _ = listening()
    with pytest.raises(OSError) as caught:
        host.ethernet.register(TYPE, print)
    assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(ValueError):
        host.ethernet.register(0x05FF, print)
    host.ethernet.unregister(TYPE)
    host.ethernet.register(TYPE, print)


def test_user_frames_leave_with_our_address_and_without_padding():
    host, _ = listening()
    with host.gate:
        host.ethernet.send(PEER_MAC, TYPE, [b"he", b"llo"])
    assert host.take() == [PEER_MAC + MAC + TYPE.to_bytes(2, "big") + b"hello"]


def test_nothing_above_the_mtu_leaves_unless_the_link_cuts_it():
    host, _ = listening()
    with host.gate:
        with pytest.raises(OSError) as caught:
            host.ethernet.send(PEER_MAC, TYPE, [bytes(1000), bytes(501)])
        host.ethernet.send(PEER_MAC, TYPE, [bytes(2000)], Offload(1448, 20, 16, 52))
    assert caught.value.errno == errno.EMSGSIZE
    assert [len(frame) for frame in host.take()] == [2014]
