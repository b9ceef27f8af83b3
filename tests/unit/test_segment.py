"""Super-segments cut to wire size, checksums completed."""

import pytest

from tests.unit.link_helpers import DST, SRC, tcp_frame, udp_frame, verified
from tipy.checksum import residue
from tipy.link.base import Offload
from tipy.link.segment import complete, cut
from tipy.wire.ipv4 import IPv4Header
from tipy.wire.tcp import ACK, CWR, FIN, PSH

@pytest.mark.parametrize("size, gso_size, pieces", [(4000, 1000, 4), (4001, 1000, 5), (1001, 1000, 2),
                                                    (1000, 1000, 1), (65000, 1448, 45), (200_000, 1448, 139)])
def test_cut_pieces_are_right_in_every_field(size, gso_size, pieces):
    payload = bytes(n & 0xFF for n in range(size))
    frame = tcp_frame(payload, flags=ACK | PSH | FIN | CWR, ip_options=b"\x94\x04\0\0")
    result = [verified(piece) for piece in cut(frame, True, gso_size)]
    assert len(result) == pieces
    assert b"".join(data for _, _, data in result) == payload
    for number, (ip, tcp, data) in enumerate(result):
        assert tcp.seq == (0xFFFFFF00 + number * gso_size) % 2**32
        assert ip.id == (0xFFFF + number) % 2**16
        assert (ip.df, ip.options, tcp.header_length, tcp.ack) == (True, b"\x94\x04\0\0", 32, 7)
        last = number == pieces - 1
        assert bool(tcp.flags & PSH) == bool(tcp.flags & FIN) == last
        assert bool(tcp.flags & CWR) == (number == 0)
        assert last or len(data) == gso_size


def test_send_side_cuts_the_same():
    payload = bytes(5000)
    frame = tcp_frame(payload)
    parts = [frame[:14], frame[14:66], memoryview(payload)]
    assert complete(parts, Offload(1448, 20, 16, 52)) == cut(frame, True, 1448)


@pytest.mark.parametrize("ends", [(14, 34, 66), (14, 66, 67, 1000, 5000), (14,), (40, 3000)])
def test_views_are_cut_where_they_lie(ends):
    """The parts of a frame as the stack sends it, and as ARP has held it: joined behind the Ethernet header."""
    frame = memoryview(tcp_frame(bytes(n & 0xFF for n in range(5001))))
    parts = [frame[start:end] for start, end in zip((0, *ends), (*ends, len(frame)))]
    offload = Offload(1448, 20, 16, 52)
    assert complete(parts, offload) == cut(frame, True, 1448)


def test_send_side_without_offload_only_joins():
    assert complete([b"ab", memoryview(b"cd")]) == [b"abcd"]


def test_send_side_completes_a_partial_checksum():
    frame = tcp_frame(b"hello")
    whole, = complete([frame[:40], frame[40:]], Offload(0, 20, 16, 52))
    assert whole == tcp_frame(b"hello", partial=False)
    verified(whole)


def test_super_segment_that_fits_one_piece_is_completed():
    whole, = complete([tcp_frame(b"hello")], Offload(1448, 20, 16, 52))
    assert whole == tcp_frame(b"hello", partial=False)


def test_udp_checksum_zero_is_sent_as_ones():
    frame = udp_frame(b"\0\0")
    start = residue(frame[34:])
    frame = udp_frame((0xFFFF - start).to_bytes(2, "big"))       # makes the sum come out as zero
    whole, = complete([frame], Offload(0, 20, 6, 28))
    assert whole[40:42] == b"\xff\xff"
    assert cut(frame, True, 0) == [whole]


def test_udp_without_checksum_stays_so():
    frame = udp_frame(b"data", value=0)
    assert cut(frame, True, 0) == [frame]


def test_arrived_partial_and_complete_checksums_both_come_out_right():
    complete_frame = tcp_frame(b"hello", partial=False)
    assert cut(tcp_frame(b"hello"), True, 0) == [complete_frame]
    assert cut(complete_frame, True, 0) == [complete_frame]


def test_padding_is_not_payload():
    frame = tcp_frame(b"")
    out, = cut(frame + bytes(10), True, 0)
    assert out == tcp_frame(b"", partial=False) + bytes(10)


def test_unchecked_frames_are_left_alone():
    assert cut(tcp_frame(b"hello"), False, 0) == [tcp_frame(b"hello")]


def test_cutting_does_not_bless_damaged_data():
    good = tcp_frame(bytes(3000), partial=False)
    assert len(cut(good, False, 1448)) == 3
    bad = good[:-1] + b"\1"
    assert cut(bad, False, 1448) == [bad]


@pytest.mark.parametrize("frame", [
    b"", b"short", bytes(12) + b"\x08\x06" + bytes(28), bytes(12) + b"\x08\x00" + bytes(40),
    tcp_frame(b"hello")[:40], tcp_frame(b"hello")[:50],
])
def test_what_makes_no_sense_comes_back_as_it_is(frame):
    assert cut(frame, True, 1448) == [frame]


def test_fragments_are_left_alone():
    frame = bytearray(udp_frame(b"data"))
    ip = IPv4Header(total_length=32, mf=True, protocol=17, src=SRC, dst=DST)
    frame[14:34] = ip.pack()
    assert cut(frame, True, 0) == [bytes(frame)]
