"""IPv4, the way down: headers, fragments, options, the loopback, routes, path MTU."""

import errno

import pytest
from network_host import BROADCAST_MAC, GATEWAY, OWN, PEER, Host, ip
from test_ipv4_input import PROTOCOL, Transport

from tipy.address import ANY, LOOPBACK, Network
from tipy.ipv4 import options as ip_options
from tipy.ipv4.interface import LOOPBACK_CAP
from tipy.link.base import Offload
from tipy.link.memory import MemoryLink


def ready(**options):
    host = Host(**options)
    host.know()
    host.know(GATEWAY, b"\x02\0\0\0\0\x09")
    return host


def send(host, payload, dst=PEER, src=None, **fields):
    with host.gate:
        host.ipv4.send(host.ipv4.path(dst, src), PROTOCOL, [payload], **fields)
    return host.take_ip()


def refused(number, call, *args, **options):
    with pytest.raises(OSError) as caught:
        call(*args, **options)
    assert caught.value.errno == number


# -- headers ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fields", [{}, {"ttl": 1, "tos": 0x1C}, {"df": True, "id": 0xFFFF}, {"ttl": 255}])
def test_header_is_right_and_sums_to_zero(fields):
    host = ready()
    with host.gate:
        host.ipv4.send(host.ipv4.path(PEER), PROTOCOL, [b"pay", b"load"], **fields)
    frame, = host.take()
    assert int.from_bytes(frame[14:34], "big") % 0xFFFF == 0
    (header, payload), = send(host, b"payload", **fields)
    assert payload == b"payload" and header.total_length == 27
    assert (header.src, header.dst, header.protocol) == (OWN, PEER, PROTOCOL)
    assert (header.ttl, header.tos, header.df) == (fields.get("ttl", 64), fields.get("tos", 0),
                                                   "df" in fields)


def test_every_checksum_is_right():
    host = ready()
    for id in range(0, 0x10000, 97):
        with host.gate:
            host.ipv4.send(host.ipv4.path(PEER), PROTOCOL, [b""], df=True, id=id)
    frames = host.take()
    assert len(frames) == 676
    assert all(int.from_bytes(frame[14:34], "big") % 0xFFFF == 0 for frame in frames)


def test_atomic_packets_have_id_0_and_others_one_per_destination():
    host = ready()
    assert send(host, b"", df=True)[0][0].id == 0
    assert send(host, b"", df=True, id=5)[0][0].id == 5
    first = [send(host, b"")[0][0].id for _ in range(4)]
    other = [send(host, b"", ip("10.0.0.1"))[0][0].id for _ in range(4)]
    for ids in (first, other):
        assert [(after - before) & 0xFFFF for before, after in zip(ids, ids[1:], strict=False)] == [1, 1, 1]
    assert abs(first[0] - other[0]) > 10


# -- fragments --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mtu", [68, 296, 576, 1500])
@pytest.mark.parametrize("size", [1, 47, 48, 49, 1480, 1481, 2960, 8008, 65515])
def test_fragments_fit_and_add_up(size, mtu):
    host = ready(mtu=mtu)
    data = bytes(i * 7 & 0xFF for i in range(size))
    packets = send(host, data)
    assert b"".join(payload for _, payload in packets) == data
    assert len({header.id for header, _ in packets}) == 1
    at = 0
    for header, payload in packets:
        assert header.offset == at and header.total_length <= mtu
        assert header.mf == (at + len(payload) < size) and not header.df
        at += len(payload)


def test_df_forbids_fragments():
    host = ready()
    refused(errno.EMSGSIZE, send, host, bytes(1481), df=True)
    assert len(send(host, bytes(1480), df=True)) == 1


@pytest.mark.parametrize("mtu", [0, 19, 20, 27])
def test_an_mtu_without_room_is_an_error_not_a_loop(mtu):
    refused(errno.EMSGSIZE, send, ready(mtu=mtu), bytes(100))


def test_nothing_exceeds_65535_bytes():
    host = ready()
    refused(errno.EMSGSIZE, send, host, bytes(65516))
    refused(errno.EMSGSIZE, send, host, bytes(65512), options=b"\x94\x04\0\0")


def test_copied_options_only_go_into_later_fragments():
    host = ready(mtu=100)
    alert, record = b"\x94\x04\0\0", b"\x07\x0b\x04" + bytes(8)
    packets = send(host, bytes(200), options=ip_options.prepare(record + alert))
    assert [header.options for header, _ in packets] == [record + alert + b"\0", alert, alert]
    assert b"".join(payload for _, payload in packets) == bytes(200)


def test_super_packets_are_never_fragmented():
    host = ready()
    host.link.tso_max = 65000
    packets = send(host, bytes(30000), df=True, offload=Offload(1448, 20, 16, 52))
    assert len(packets) == 1


# -- options ----------------------------------------------------------------------------------------------

def test_options_are_sent_padded():
    host = ready()
    (header, payload), = send(host, b"x", options=ip_options.prepare(b"\x07\x07\x04\0\0\0\0"))
    assert header.options == b"\x07\x07\x04\0\0\0\0\0" and header.header_length == 28 and payload == b"x"


@pytest.mark.parametrize("options",
                         [b"\x07", b"\x07\x00", b"\x07\x02\x04", b"\x07\x07\x03\0\0\0\0", bytes(41),
                                     b"\x83\x07\x08\0\0\0\0", b"\x83\x06\x04\0\0\0", b"\x83\x03\x04",
                                     b"\x94\x05\0\0",
                                     b"\x83\x07\x04\0\0\0\0\x89\x07\x04\0\0\0\0"])
def test_malformed_options_are_the_callers_mistake(options):
    refused(errno.EINVAL, ip_options.prepare, options)


def test_source_route_goes_to_its_first_hop():
    host = ready()
    hops = ip_options.prepare(b"\x83\x0b\x04" + GATEWAY + ip("10.0.0.1"))
    with host.gate:
        host.ipv4.send(host.ipv4.path(PEER), PROTOCOL, [b"x"], options=hops)
    frame, = host.take()
    assert frame[:6] == b"\x02\0\0\0\0\x09" and frame[30:34] == GATEWAY
    assert frame[34:46] == b"\x83\x0b\x04" + ip("10.0.0.1") + PEER + b"\0"


# -- loopback ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dst, src", [("127.0.0.1", "127.0.0.1"), ("127.1.2.3", "127.0.0.1"),
                                      ("192.168.2.200", "192.168.2.200"), ("0.0.0.0", "127.0.0.1")])
def test_own_addresses_are_reached_inside(dst, src):
    host = ready()
    transport = Transport(host)
    with host.gate:
        host.ipv4.send(host.ipv4.path(ip(dst)), PROTOCOL, [b"me"])
        assert not transport.packets                   # nothing climbs inside a descent
    assert transport.payloads == [b"me"] and host.take() == []
    assert transport.packets[0].src == ip(src)
    assert transport.packets[0].interface is host.ipv4.loopback


def test_loopback_carries_the_largest_packet_whole():
    host = ready()
    transport = Transport(host)
    path = host.ipv4.path(LOOPBACK)
    assert path.mtu == 65535 and path.loopback and path.link.tx_checksum
    send(host, bytes(65515), LOOPBACK)
    assert len(transport.payloads[0]) == 65515 and host.counters["ipv4.fragments_out"] == 0


def test_loopback_believes_checksums_only_where_it_was_asked_to_finish_them():
    host = ready()
    transport = Transport(host)
    send(host, b"a", LOOPBACK)
    send(host, b"b", LOOPBACK, offload=Offload(0, 20, 6, 28))
    assert [packet.checked for packet in transport.packets] == [False, True]


def test_loopback_queue_is_bounded():
    host = ready()
    transport = Transport(host)
    path = host.ipv4.path(LOOPBACK)
    with host.gate:
        for _ in range(LOOPBACK_CAP + 50):
            host.ipv4.send(path, PROTOCOL, [b""])
    assert len(transport.packets) == LOOPBACK_CAP and host.counters["loopback.drop_full"] == 50


def test_loopback_works_without_any_other_interface():
    host = Host(ready=False)
    transport = Transport(host)
    send(host, b"x", LOOPBACK)
    assert transport.payloads == [b"x"]
    refused(errno.ENETUNREACH, host.ipv4.path, PEER)


# -- routes -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("address, dst, hop", [
    ("192.168.2.200/24", "192.168.2.7", "192.168.2.7"), ("192.168.2.200/24", "192.168.3.7", "192.168.2.1"),
    ("192.168.2.200/31", "192.168.2.201", "192.168.2.201"), ("192.168.2.200/31", "192.168.2.202",
                                                             "192.168.2.1"),
    ("192.168.2.200/32", "192.168.2.201", "192.168.2.1"), ("192.168.2.200/32", "8.8.8.8", "192.168.2.1"),
    ("192.168.2.200/0", "8.8.8.8", "8.8.8.8"),
])
def test_next_hop(address, dst, hop):
    path = Host(address).ipv4.path(ip(dst))
    assert (path.next_hop, path.src) == (ip(hop), OWN) and not path.loopback


@pytest.mark.parametrize("dst", ["10.0.0.1", "192.168.3.1"])
def test_no_route_is_network_unreachable(dst):
    refused(errno.ENETUNREACH, Host(gateway=None).ipv4.path, ip(dst))


def test_longest_prefix_wins():
    host = Host()
    before = host.ipv4.addresses.generation
    host.ipv4.addresses.add_route(Network(ip("10.0.0.0"), 8), ip("192.168.2.2"), host.interface)
    host.ipv4.addresses.add_route(Network(ip("10.1.0.0"), 16), ip("192.168.2.3"), host.interface)
    assert host.ipv4.path(ip("10.1.2.3")).next_hop == ip("192.168.2.3")
    assert host.ipv4.path(ip("10.2.2.3")).next_hop == ip("192.168.2.2")
    assert host.ipv4.path(ip("11.0.0.1")).next_hop == GATEWAY
    assert host.ipv4.addresses.generation > before
    host.ipv4.addresses.remove_route(Network(ip("10.1.0.0"), 16), ip("192.168.2.3"), host.interface)
    assert host.ipv4.path(ip("10.1.2.3")).next_hop == ip("192.168.2.2")


def test_removed_address_is_nobody_any_more():
    host = Host()
    with host.gate:
        host.ipv4.remove_address(host.interface, OWN)
    assert not host.ipv4.is_local(OWN)
    refused(errno.ENETUNREACH, host.ipv4.path, ip("192.168.2.9"))


@pytest.mark.parametrize("dst, src, number", [
    ("192.168.2.1", "192.168.2.201", errno.EADDRNOTAVAIL), ("192.168.2.1", "127.0.0.1", errno.EINVAL),
    ("0.0.0.1", None, errno.EINVAL), ("192.168.2.1", "192.168.2.255", errno.EADDRNOTAVAIL),
])
def test_impossible_paths(dst, src, number):
    refused(number, Host().ipv4.path, ip(dst), ip(src) if src else None)


@pytest.mark.parametrize("dst", ["255.255.255.255", "192.168.2.255"])
def test_broadcast_path_needs_no_arp_and_comes_back_to_us(dst):
    host = Host()
    transport = Transport(host)
    with host.gate:
        path = host.ipv4.path(ip(dst))
        host.ipv4.send(path, PROTOCOL, [b"all"])
    assert path.broadcast and path.src == OWN
    frame, = host.take()
    assert frame[:6] == BROADCAST_MAC
    assert transport.payloads == [b"all"] and transport.packets[0].to_group


def test_multicast_path_has_the_groups_mac():
    host = Host()
    path = host.ipv4.path(ip("239.129.2.3"))
    assert path.multicast and path.mac == b"\x01\x00\x5e\x01\x02\x03"


def test_broadcast_without_an_address_comes_from_nowhere():
    host = Host(ready=False)
    assert host.ipv4.path(ip("255.255.255.255")).src == ANY


# -- path MTU ---------------------------------------------------------------------------------------------

def test_path_mtu_is_lowered_for_a_destination_and_forgotten():
    host = ready()
    path = host.ipv4.path(PEER)
    assert path.mtu == 1500 and host.ipv4.path_mtu(PEER) is None
    assert host.ipv4.lower_path_mtu(PEER, 1400)
    assert path.mtu == host.ipv4.path_mtu(PEER) == 1400 and host.ipv4.path(GATEWAY).mtu == 1500
    host.clock.advance(601)
    assert path.mtu == 1500


@pytest.mark.parametrize("mtu", [1500, 1501, 9000, 65535, 67, 0, -1])
def test_claims_that_are_no_news_or_lies_are_ignored(mtu):
    host = ready()
    assert not host.ipv4.lower_path_mtu(PEER, mtu)
    assert host.ipv4.path(PEER).mtu == 1500


@pytest.mark.parametrize("mtu", [68, 300, 551])
def test_path_mtu_has_a_floor_below_which_routers_may_fragment(mtu):
    host = ready()
    assert host.ipv4.lower_path_mtu(PEER, mtu)
    path = host.ipv4.path(PEER)
    assert path.mtu == 552 and not path.may_forbid_fragments
    assert not send(host, b"x", df=True)[0][0].df


def test_path_mtu_is_not_raised_again():
    host = ready()
    host.ipv4.lower_path_mtu(PEER, 1000)
    assert not host.ipv4.lower_path_mtu(PEER, 1200)
    assert host.ipv4.path(PEER).mtu == 1000


def test_path_mtu_cache_has_a_cap():
    host = ready()
    for number in range(1000):
        host.ipv4.lower_path_mtu(ip(f"10.0.{number // 250}.{1 + number % 250}"), 1000)
    assert len(host.ipv4._mtus.known) == 512


def test_packets_are_cut_to_the_path_mtu():
    host = ready()
    host.ipv4.lower_path_mtu(PEER, 1000)
    assert [header.total_length for header, _ in send(host, bytes(1480))] == [996, 524]


def test_two_interfaces_have_two_indices():
    host = Host()
    other = host.ipv4.add_interface("tap8", MemoryLink(), type("E", (), {"register": lambda *a: None})(),
                                    None)
    assert (host.ipv4.loopback.index, host.interface.index, other.index) == (1, 2, 3)
