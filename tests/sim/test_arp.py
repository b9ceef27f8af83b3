"""ARP: resolving, caching, answering; address conflict detection; what spoofers must not achieve."""

import pytest
from network_host import (BROADCAST_MAC, GATEWAY, MAC, OTHER_MAC, OWN, PEER, PEER_MAC, Host, ip)

from tipy.address import ANY
from tipy.clock import ManualClock
from tipy.wire.arp import REPLY, REQUEST, ArpPacket
from tipy.wire.ethernet import TYPE_ARP

UDP = 17


def send(host, dst=PEER, data=b"data", port=7):
    """One UDP datagram."""
    with host.gate:
        endpoint = host.udp.endpoint()
        endpoint.connect(dst, port)
        endpoint.send(data)
    return endpoint


def requests(host):
    return [(dst, packet.target_ip) for dst, packet in host.take_arp() if packet.operation == REQUEST]


def mac_used_for(host, dst=PEER):
    """Where a packet to dst goes now (None: it is held)."""
    host.take()
    send(host, dst)
    frames = [frame for frame in host.take() if frame[12:14] == b"\x08\x00"]
    return frames[0][:6] if frames else None


# -- resolving --------------------------------------------------------------------------------------------

def test_first_packet_asks_by_broadcast_and_waits():
    host = Host()
    send(host)
    (dst, packet), = host.take_arp()
    assert dst == BROADCAST_MAC
    assert packet == (REQUEST, MAC, OWN, bytes(6), PEER)


def test_reply_releases_the_packet_to_the_neighbour():
    host = Host()
    send(host)
    host.take()
    host.hear_reply()
    frame, = host.take()
    assert frame[:6] == PEER_MAC and frame.endswith(b"data")
    assert mac_used_for(host) == PEER_MAC


def test_hosts_beyond_the_network_are_reached_through_the_gateway():
    host = Host()
    send(host, ip("10.1.1.1"))
    assert requests(host) == [(BROADCAST_MAC, GATEWAY)]


def test_three_packets_are_held_and_the_oldest_give_way():
    host = Host()
    for number in range(5):
        send(host, data=b"number %d" % number)
    assert len(host.take_arp()) == 1
    host.hear_reply()
    assert [frame[-8:] for frame in host.take()] == [b"number 2", b"number 3", b"number 4"]
    assert host.counters["arp.drop_held"] == 2


def test_all_fragments_of_a_datagram_are_held_as_one():
    host = Host()
    for _ in range(3):
        send(host, data=bytes(65507))
    host.take()
    host.hear_reply()
    assert len(host.take()) == 3 * 45
    assert host.counters["arp.drop_held"] == 0


def test_held_packets_are_copies():
    host = Host()
    data = bytearray(b"before")
    send(host, data=data)
    data[:] = b"after!"
    host.take()
    host.hear_reply()
    assert host.take()[0].endswith(b"before")


def test_silence_is_asked_once_a_second_three_times_then_unreachable():
    host = Host()
    endpoint = send(host)
    asked = []
    for _ in range(40):
        asked += [host.clock.now()] * len(requests(host))
        host.clock.advance(0.125)
    assert asked == [0.0, 1.0, 2.0]
    assert endpoint.error == 113                               # EHOSTUNREACH
    assert host.arp.entries() == [] and host.counters["arp.unresolved"] == 1


def test_every_held_packets_transport_is_told():
    host = Host()
    endpoints = [send(host, port=port) for port in (1, 2, 3)]
    host.clock.advance(2.9)
    assert [endpoint.error for endpoint in endpoints] == [0, 0, 0]
    host.clock.advance(0.2)
    assert [endpoint.error for endpoint in endpoints] == [113] * 3


def test_many_packets_do_not_ask_more_often():
    host = Host()
    for _ in range(30):
        send(host)
        host.clock.advance(0.09)
    assert len(requests(host)) == 3


def test_after_giving_up_the_next_packet_asks_again():
    host = Host()
    send(host)
    host.clock.advance(5)
    host.take()
    send(host)
    assert len(requests(host)) == 1


def test_settings_govern_patience():
    host = Host(arp_reply_timeout=0.25, arp_retries=2)
    endpoint = send(host)
    host.clock.advance(0.49)
    assert endpoint.error == 0
    host.clock.advance(0.02)
    assert endpoint.error == 113


# -- answering --------------------------------------------------------------------------------------------

def test_request_for_our_address_is_answered():
    host = Host()
    host.hear_arp(REQUEST, PEER_MAC, PEER, OWN)
    assert host.take_arp() == [(PEER_MAC, ArpPacket(REPLY, MAC, OWN, PEER_MAC, PEER))]


def test_who_asks_for_us_is_known_afterwards():
    host = Host()
    host.hear_arp(REQUEST, PEER_MAC, PEER, OWN)
    assert mac_used_for(host) == PEER_MAC


def test_request_for_others_is_neither_answered_nor_remembered():
    host = Host()
    host.hear_arp(REQUEST, PEER_MAC, PEER, GATEWAY)
    assert host.take() == [] and host.arp.entries() == []


def test_probe_of_another_host_for_our_address_is_answered():
    host = Host()
    host.hear_arp(REQUEST, PEER_MAC, ANY, OWN)
    assert host.take_arp() == [(PEER_MAC, ArpPacket(REPLY, MAC, OWN, PEER_MAC, ANY))]
    assert host.arp.entries() == []


def test_padding_is_ignored():
    host = Host()
    packet = ArpPacket(REQUEST, PEER_MAC, PEER, bytes(6), OWN).pack()
    host.hear(TYPE_ARP, packet + b"padding" * 3, dst_mac=BROADCAST_MAC)
    assert len(host.take_arp()) == 1


def test_answer_does_not_wait_for_the_old_owner():
    host = Host()
    host.know()
    host.hear_arp(REQUEST, PEER_MAC, PEER, OWN)
    host.take()
    host.hear_arp(REQUEST, OTHER_MAC, PEER, OWN)
    assert (OTHER_MAC, REPLY) in [(dst, packet.operation) for dst, packet in host.take_arp()]


# -- malformed --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("length", range(28))
def test_short_packets_are_dropped(length):
    host = Host()
    host.hear(TYPE_ARP, ArpPacket(REQUEST, PEER_MAC, PEER, bytes(6), OWN).pack()[:length])
    assert host.take() == [] and host.counters["arp.drop_short"] == 1


@pytest.mark.parametrize("at, value", [(0, 2), (2, 9), (4, 5), (5, 16)])
def test_other_hardware_and_protocols_are_dropped(at, value):
    host = Host()
    packet = bytearray(ArpPacket(REQUEST, PEER_MAC, PEER, bytes(6), OWN).pack())
    packet[at] = value
    host.hear(TYPE_ARP, bytes(packet))
    assert host.take() == [] and host.counters["arp.drop_format"] == 1


@pytest.mark.parametrize("operation", [0, 3, 4, 8, 9, 65535])
def test_other_operations_are_dropped(operation):
    host = Host()
    host.hear_arp(operation, PEER_MAC, PEER, OWN)
    assert host.take() == [] and host.counters["arp.drop_operation"] == 1


@pytest.mark.parametrize("mac", [BROADCAST_MAC, b"\x01\x00\x5e\0\0\x01", bytes(6)])
def test_group_and_zero_macs_are_never_cached(mac):
    host = Host()
    send(host)
    packet = ArpPacket(REPLY, mac, PEER, MAC, OWN).pack()
    host.hear(TYPE_ARP, packet, src_mac=PEER_MAC)
    assert host.counters["arp.drop_sender_mac"] == 1
    assert mac_used_for(host) is None


@pytest.mark.parametrize("address",
                         ["192.168.2.255", "192.168.2.0", "255.255.255.255", "224.0.0.1", "127.0.0.1",
                                     "0.1.2.3", "240.0.0.1"])
def test_addresses_that_no_host_has_are_not_cached(address):
    host = Host()
    host.hear_arp(REQUEST, PEER_MAC, ip(address), OWN)
    assert host.arp.entries() == [] and host.take() == []


# -- the life of an entry ---------------------------------------------------------------------------------

def test_entry_in_use_is_refreshed_at_its_own_mac_before_it_ends():
    host = Host(arp_cache_ttl=60.0)
    send(host)
    host.hear_reply()
    host.take()
    host.clock.advance(56.9)
    assert requests(host) == []
    host.clock.advance(0.2)
    assert requests(host) == [(PEER_MAC, PEER)]
    host.hear_reply()
    send(host)
    host.clock.advance(30)
    assert mac_used_for(host) == PEER_MAC and len(host.arp.entries()) == 1


def test_unused_entry_ends_with_its_lifetime_and_no_question():
    host = Host(arp_cache_ttl=60.0)
    host.hear_arp(REQUEST, PEER_MAC, PEER, OWN)
    host.take()
    host.clock.advance(59.9)
    assert len(host.arp.entries()) == 1
    host.clock.advance(0.2)
    assert host.arp.entries() == [] and host.take() == []


def test_entry_that_is_not_confirmed_is_removed():
    host = Host(arp_cache_ttl=60.0)
    send(host)
    host.hear_reply()
    host.take()
    host.clock.advance(60.1)
    assert requests(host) == [(PEER_MAC, PEER)] * 3
    assert host.arp.entries() == []
    assert mac_used_for(host) is None


def test_static_entries_stay():
    host = Host()
    host.arp.add("192.168.2.199", "02:00:00:00:00:02")
    host.clock.advance(100_000)
    host.hear_arp(REPLY, OTHER_MAC, PEER, OWN)
    host.hear_arp(REQUEST, OTHER_MAC, PEER, OWN)
    host.clock.advance(100)
    assert mac_used_for(host) == PEER_MAC
    host.arp.remove("192.168.2.199")
    assert mac_used_for(host) is None


def test_adding_a_neighbour_releases_what_waits_for_it():
    host = Host()
    send(host)
    host.take()
    host.arp.add(PEER, PEER_MAC)
    assert len(host.take()) == 1
    host.clock.advance(10)
    assert host.take() == []


@pytest.mark.parametrize("address, mac",
                         [("192.168.2.199", "ff:ff:ff:ff:ff:ff"), ("192.168.2.199", "nonsense"),
                                          ("192.168.2", "02:00:00:00:00:02"), (b"123", PEER_MAC)])
def test_nonsense_is_not_added(address, mac):
    with pytest.raises(ValueError):
        Host().arp.add(address, mac)


def test_cache_has_a_cap_and_the_least_recently_used_goes():
    host = Host("10.0.0.1/8", gateway=None)
    host.arp.add("10.9.9.9", PEER_MAC)
    neighbours = [ip(f"10.0.{1 + number // 250}.{1 + number % 250}") for number in range(512 + 100)]
    for number, address in enumerate(neighbours):
        host.hear_arp(REQUEST, PEER_MAC, address, host.address)
        if number % 50 == 0:
            with host.gate:
                host.arp.lookup(neighbours[0])
    known = {entry[0] for entry in host.arp.entries()}
    assert len(known) == 512
    assert neighbours[0] in known and neighbours[-1] in known and ip("10.9.9.9") in known
    assert neighbours[1] not in known and host.counters["arp.evicted"] == 101
    assert len(host.timers) <= 512


# -- spoofing ---------------------------------------------------------------------------------------------

def test_unsolicited_reply_makes_no_entry():
    host = Host()
    host.hear_arp(REPLY, PEER_MAC, PEER, OWN)
    host.hear_arp(REQUEST, PEER_MAC, PEER, PEER)               # an announcement
    assert host.arp.entries() == []


@pytest.mark.parametrize("operation, target", [(REPLY, OWN), (REQUEST, OWN), (REQUEST, PEER)])
def test_claim_asks_the_old_owner_who_keeps_the_entry(operation, target):
    host = Host()
    send(host)
    host.hear_reply()
    host.clock.advance(2)
    host.take()
    host.hear_arp(operation, OTHER_MAC, PEER, target)
    assert (PEER_MAC, PEER) in requests(host)
    assert mac_used_for(host) == PEER_MAC
    host.hear_reply()
    host.clock.advance(10)
    assert mac_used_for(host) == PEER_MAC and host.counters["arp.moved"] == 0


def test_claim_is_believed_when_the_old_owner_is_silent():
    host = Host()
    send(host)
    host.hear_reply()
    host.clock.advance(2)
    host.hear_arp(REQUEST, OTHER_MAC, PEER, PEER)
    host.clock.advance(1.9)
    assert mac_used_for(host) == PEER_MAC
    host.clock.advance(0.2)
    assert mac_used_for(host) == OTHER_MAC and host.counters["arp.moved"] == 1


def test_flood_of_claims_asks_the_old_owner_once_a_second():
    host = Host()
    send(host)
    host.hear_reply()
    host.clock.advance(2)
    host.take()
    for number in range(100):
        host.hear_arp(REPLY, b"\x02\0\0\0\1" + bytes((number,)), PEER, OWN)
        host.clock.advance(0.01)
    assert len(requests(host)) == 1


# -- our own address --------------------------------------------------------------------------------------

def starting(**options):
    host = Host(ready=False, **options)
    host.start()
    return host


def test_address_is_probed_then_announced_and_usable_within_a_second():
    host = starting()
    assert host.arp.state == "probing"
    host.clock.advance(0.9)
    packets = host.take_arp()
    assert [dst for dst, _ in packets] == [BROADCAST_MAC] * 4
    assert [packet.sender_ip for _, packet in packets] == [ANY, ANY, ANY, OWN]
    assert {packet.target_ip for _, packet in packets} == {OWN}
    assert host.arp.state == "usable" and host.ipv4.is_local(OWN)
    host.clock.advance(10)
    assert [str(packet) for _,
            packet in host.take_arp()] == ["ARP announce 192.168.2.200 is-at 02:00:00:00:00:01"]


def test_rfc_timing_can_be_had():
    host = starting(arp_probe_wait=1.0, arp_probe_min=1.0, arp_probe_max=2.0, arp_announce_wait=2.0)
    host.clock.advance(3.9)
    assert host.arp.state == "probing"
    host.clock.advance(3.2)
    assert host.arp.state == "usable"


def test_nobody_is_answered_and_nothing_sent_from_an_address_that_is_probed():
    host = starting()
    host.hear_arp(REQUEST, PEER_MAC, PEER, OWN)
    host.hear_ip(1, b"\x08\x00\xf7\xff\0\0\0\0")
    assert host.take() == []
    with pytest.raises(OSError):
        send(host)


def test_acd_off_makes_the_address_usable_at_once_in_silence():
    host = starting(acd=False)
    assert host.arp.state == "usable" and host.take() == []
    host.clock.advance(10)
    assert host.take() == []


@pytest.mark.parametrize("operation, target", [(REPLY, ANY), (REQUEST, OWN), (REQUEST, PEER)])
def test_anybody_who_speaks_as_the_probed_address_is_a_conflict(operation, target):
    host = starting()
    host.clock.advance(0.3)
    host.hear_arp(operation, OTHER_MAC, OWN, target)
    assert host.arp.state == "conflict"
    assert host.conflicts[0].mac == "02:00:00:00:00:03" and host.conflicts[0].address == "192.168.2.200"
    host.take()
    host.clock.advance(10)
    assert host.take() == [] and not host.ipv4.is_local(OWN)


def test_probe_of_another_host_for_the_same_address_is_a_conflict():
    host = starting()
    host.hear_arp(REQUEST, OTHER_MAC, ANY, OWN)
    assert host.arp.state == "conflict" and len(host.conflicts) == 1


def test_our_own_probe_coming_back_is_no_conflict():
    host = starting()
    host.hear_arp(REQUEST, MAC, ANY, OWN)
    host.hear_arp(REQUEST, MAC, OWN, OWN)
    host.clock.advance(1)
    assert host.arp.state == "usable" and host.conflicts == []


def test_waiting_for_the_address_is_possible_through_the_gate():
    host = starting(clock=ManualClock(auto=True))
    with host.gate:
        assert host.gate.wait(host.arp.detection, lambda: host.arp.state != "probing")
    assert host.arp.state == "usable" and host.clock.now() < 1


def test_address_in_use_is_defended_once_in_ten_seconds():
    host = Host()
    for _ in range(99):
        host.hear_arp(REQUEST, OTHER_MAC, OWN, PEER)
        host.clock.advance(0.1)
    assert [str(packet) for _,
            packet in host.take_arp()] == ["ARP announce 192.168.2.200 is-at 02:00:00:00:00:01"]
    assert len(host.conflicts) == 1 and host.counters["arp.conflict_packets"] == 99
    host.clock.advance(1)
    host.hear_arp(REPLY, OTHER_MAC, OWN, OWN)
    assert len(host.conflicts) == 2 and host.arp.state == "usable"


def test_our_own_address_is_never_cached():
    host = Host()
    host.hear_arp(REQUEST, OTHER_MAC, OWN, OWN)
    host.hear_arp(REPLY, OTHER_MAC, OWN, OWN)
    assert host.arp.entries() == []


def test_stop_forgets_all_but_static_entries():
    host = Host()
    host.hear_arp(REQUEST, PEER_MAC, PEER, OWN)
    host.arp.add(GATEWAY, OTHER_MAC)
    with host.gate:
        host.arp.stop()
    assert [entry[0] for entry in host.arp.entries()] == [GATEWAY] and len(host.timers) == 0
