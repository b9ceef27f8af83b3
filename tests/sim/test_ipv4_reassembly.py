"""Reassembly: any order, and every attack on it."""

import random

import pytest
from network_host import OTHER_MAC, OWN, Host, ip
from test_ipv4_input import PROTOCOL, Transport

from tipy.ipv4 import reassembly

DATA = bytes(random.Random(1).randbytes(4000))


def listening(**options):
    host = Host(**options)
    return host, Transport(host)


def hear(host, offset, data, more=True, id=77, **fields):
    fields.setdefault("protocol", PROTOCOL)
    host.hear_ip(fields.pop("protocol"), data, id=id, mf=more, offset=offset, **fields)


def pieces(data, size):
    return [(offset, data[offset:offset + size], offset + size < len(data)) for offset in range(0, len(data),
                                                                                                size)]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_with_duplicates_gives_the_datagram_once(seed):
    host, transport = listening()
    rng = random.Random(seed)
    fragments = pieces(DATA, rng.choice([8, 64, 576, 1480]))
    rng.shuffle(fragments)
    for position, fragment in enumerate(fragments):
        hear(host, *fragment)
        if transport.packets:
            break
        if rng.random() < 0.3:
            hear(host, *fragments[rng.randrange(position + 1)])
    assert transport.payloads == [DATA]
    assert len(host.ipv4._reassembly) == 0 and len(host.timers) == 0


def test_whole_packet_looks_as_if_it_had_never_been_cut():
    host, transport = listening()
    for fragment in reversed(pieces(DATA, 1472)):
        hear(host, *fragment, tos=8, ttl=33, options=b"\x94\x04\0\0")
    packet, = transport.packets
    raw = bytes(packet.frame[packet.network:packet.end])
    assert int.from_bytes(raw[2:4], "big") == 24 + 4000 and raw[6:8] == b"\0\0"
    assert int.from_bytes(raw[:24], "big") % 0xFFFF == 0
    assert (packet.tos, packet.ttl, bytes(packet.options)) == (8, 33, b"\x94\x04\0\0")


def test_largest_datagram_is_put_together():
    host, transport = listening()
    data = bytes(65515)
    for fragment in pieces(data, 1480):
        hear(host, *fragment)
    assert transport.payloads == [data]


def test_key_is_source_destination_protocol_and_id():
    host, transport = listening()
    hear(host, 0, bytes(8))
    hear(host, 8, b"x", more=False, id=78)
    hear(host, 8, b"x", more=False, src=ip("192.168.2.198"))
    hear(host, 8, b"x", more=False, protocol=254)
    assert not transport.packets
    hear(host, 8, b"x", more=False)
    assert transport.payloads == [bytes(8) + b"x"]


# -- attacks ----------------------------------------------------------------------------------------------

OVERLAPS = {
    "teardrop": [(0, 32, True), (24, 28, False)],
    "contained": [(0, 64, True), (16, 32, True)],
    "contained at the end": [(0, 64, True), (48, 64, True)],
    "contained at the start": [(0, 64, True), (0, 32, True)],
    "bonk": [(32, 64, False), (24, 40, True)],
    "covers": [(16, 32, True), (0, 64, True)],
    "same start, longer": [(0, 32, True), (0, 64, True)],
    "across two": [(8, 32, True), (32, 64, False), (24, 40, True)],
    "beyond the end": [(8, 16, False), (16, 24, True)],
    "end before what is there": [(32, 64, True), (8, 16, False)],
    "two ends": [(8, 16, False), (16, 24, False)],
}


@pytest.mark.parametrize("name", OVERLAPS)
def test_overlap_discards_the_datagram_and_all_that_follows(name):
    host, transport = listening()
    for start, end, more in OVERLAPS[name]:
        hear(host, start, DATA[start:end], more)
    assert host.counters["ipv4.drop_fragment_overlap"] == 1
    for start in range(0, 128, 8):
        hear(host, start, DATA[start:start + 8], more=start < 120)
    assert not transport.packets
    host.know()
    host.clock.advance(31)
    assert host.take() == [] and len(host.ipv4._reassembly) == 0


def test_duplicate_with_other_bytes_is_an_overlap():
    host, transport = listening()
    hear(host, 0, b"12345678")
    hear(host, 0, b"12345678")
    assert host.counters["ipv4.drop_fragment_duplicate"] == 1
    hear(host, 0, b"87654321")
    hear(host, 8, b"x", more=False)
    assert not transport.packets and host.counters["ipv4.drop_fragment_overlap"] == 1


@pytest.mark.parametrize("offset, size", [(65528, 8), (65512, 8), (65504, 100), (65528, 1400)])
def test_ping_of_death_is_dropped_before_anything_is_stored(offset, size):
    host, _ = listening()
    hear(host, offset, bytes(size), more=False, protocol=1)
    assert host.counters["ipv4.drop_fragment_beyond_end"] == 1 and len(host.ipv4._reassembly) == 0


@pytest.mark.parametrize("size", [0, 1, 7, 9])
def test_lengths_that_leave_holes_are_dropped(size):
    host, _ = listening()
    hear(host, 8, bytes(size))
    assert host.counters["ipv4.drop_fragment_length"] == 1 and len(host.ipv4._reassembly) == 0


def test_open_datagrams_are_capped_and_the_oldest_go():
    host, transport = listening()
    for id in range(300):
        hear(host, 0, bytes(8), id=id)
    assert len(host.ipv4._reassembly) == reassembly.MAX_DATAGRAMS == len(host.timers)
    hear(host, 8, b"x", more=False, id=0)
    assert not transport.packets
    hear(host, 8, b"x", more=False, id=299)
    assert len(transport.packets) == 1


def test_bytes_are_capped():
    host, _ = listening()
    for id in range(40):
        for offset in range(0, 60000, 1480):
            hear(host, offset, bytes(1480), id=id)
    assert host.ipv4._reassembly._cost <= reassembly.MAX_BYTES
    assert 10 < len(host.ipv4._reassembly) < 20
    assert len(host.timers) == len(host.ipv4._reassembly)


def test_tiny_pieces_count_what_they_cost():
    host, _ = listening()
    for id in range(8):
        for offset in range(8, 60000, 16):
            hear(host, offset, bytes(8), id=id)
    assert host.ipv4._reassembly._cost <= reassembly.MAX_BYTES
    held = sum(len(d.pieces) for d in host.ipv4._reassembly._datagrams.values())
    assert held <= reassembly.MAX_BYTES // (8 + reassembly.PIECE_OVERHEAD)


# -- time -------------------------------------------------------------------------------------------------

def test_incomplete_datagram_is_forgotten_and_the_sender_told():
    host, _ = listening()
    host.know()
    hear(host, 0, DATA[:1480])
    host.clock.advance(20)
    hear(host, 2960, DATA[2960:], more=False)
    host.clock.advance(9.9)
    assert host.take() == []
    host.clock.advance(0.2)
    (_, payload), = host.take_ip()
    assert payload[:2] == bytes((11, 1)) and payload[28:].startswith(DATA[:100])
    assert len(host.ipv4._reassembly) == 0 and host.counters["ipv4.reassembly_timeout"] == 1


def test_without_the_first_fragment_nobody_is_told():
    host, _ = listening()
    host.know()
    hear(host, 1480, DATA[1480:2960])
    host.clock.advance(31)
    assert host.take() == [] and host.counters["ipv4.reassembly_timeout"] == 1


def test_nobody_is_told_about_broadcast_fragments():
    host, _ = listening()
    host.know()
    hear(host, 0, DATA[:8], dst=ip("192.168.2.255"))
    host.clock.advance(31)
    assert host.take() == []


def test_timeout_is_a_setting():
    host, _ = listening(defragmentation_timeout=5.0)
    hear(host, 0, DATA[:8])
    host.clock.advance(5.1)
    assert len(host.ipv4._reassembly) == 0


# -- the rest ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("codepoints, outcome",
                         [((2, 3), 3), ((1, 1), 1), ((2, 2), 2), ((0, 0), 0), ((0, 3), None)])
def test_congestion_marks_survive(codepoints, outcome):
    host, transport = listening()
    hear(host, 0, bytes(8), tos=codepoints[0])
    hear(host, 8, b"x", more=False, tos=codepoints[1])
    assert [packet.tos for packet in transport.packets] == ([] if outcome is None else [outcome])


def test_stop_forgets_fragments():
    host, _ = listening()
    hear(host, 0, bytes(8))
    with host.gate:
        host.ipv4.stop()
    assert len(host.timers) == 0 and host.ipv4._reassembly._cost == 0


def test_fragments_of_others_are_not_collected():
    host, _ = listening()
    hear(host, 0, bytes(8), dst=ip("192.168.2.9"))
    hear(host, 0, bytes(8), src=OWN, src_mac=OTHER_MAC)
    assert len(host.ipv4._reassembly) == 0
