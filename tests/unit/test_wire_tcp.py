"""TCP header and options: Linux's layouts, and lists that end in the wrong place."""

import pytest

from tipy.errors import PacketError
from tipy.wire.options import walk
from tipy.wire.tcp import (ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, TcpHeader, TcpOptions, flags_text,
                           pack_options, parse_options)

TS = (0x11223344, 0x55667788)
TS_BYTES = "1122334455667788"


def test_header_round_trip():
    header = TcpHeader(40312, 8000, 0xFFFFFF00, 1, 20, SYN | ACK, 64240, 0x1234, 7)
    assert header.pack() == bytes.fromhex("9d781f40ffffff00000000015012faf012340007")
    assert TcpHeader.unpack(memoryview(header.pack()), 0, 20) == header
    assert str(header) == "40312 > 8000 S. seq 4294967040 ack 1 win 64240"


def test_header_counts_its_options():
    header = TcpHeader(1, 2, header_length=32)
    assert TcpHeader.unpack(b"..." + header.pack() + bytes(12), 3, 35) == header


@pytest.mark.parametrize("offset, end, reason", [(5, 19, "short"), (4, 20, "header_length"),
                                                 (0, 20, "header_length"), (6, 20, "header_length"),
                                                 (15, 40, "header_length")])
def test_header_broken(offset, end, reason):
    frame = bytearray(TcpHeader(1, 2).pack() + bytes(20))
    frame[12] = offset << 4
    with pytest.raises(PacketError) as caught:
        TcpHeader.unpack(frame, 0, end)
    assert caught.value.reason == reason


def test_flags_in_bit_order():
    assert flags_text(SYN) == "S"
    assert flags_text(FIN | ACK) == "F."
    assert flags_text(PSH | ACK) == "P."
    assert flags_text(RST) == "R"
    assert flags_text(SYN | ECE | CWR) == "SEW"
    assert flags_text(URG | ACK) == ".U"
    assert flags_text(0) == "none"


def test_ack_and_urgent_are_shown_only_with_their_flags():
    assert str(TcpHeader(1, 2, 3, 4, flags=SYN, window=5, urgent=6)) == "1 > 2 S seq 3 win 5"
    header = TcpHeader(1, 2, 3, 4, flags=ACK | URG, window=5, urgent=6)
    assert str(header) == "1 > 2 .U seq 3 ack 4 win 5 urg 6"


@pytest.mark.parametrize("options, layout", [
    (TcpOptions(mss=1460, sack_permitted=True, timestamp=TS, window_scale=7),
     "020405b4 0402080a" + TS_BYTES + "01030307"),
    (TcpOptions(mss=1460, sack_permitted=True, window_scale=7), "020405b4 01010402 01030307"),
    (TcpOptions(mss=1460, timestamp=TS, window_scale=0), "020405b4 0101080a" + TS_BYTES + "01030300"),
    (TcpOptions(mss=536), "02040218"),
    (TcpOptions(), ""),
])
def test_syn_layouts_are_linux(options, layout):
    packed = pack_options(options, syn=True)
    assert packed == bytes.fromhex(layout)
    assert parse_options(packed, 0, len(packed)) == options


@pytest.mark.parametrize("options, layout", [
    (TcpOptions(timestamp=TS), "0101080a" + TS_BYTES),
    (TcpOptions(timestamp=TS, sack=((1, 2),)), "0101080a" + TS_BYTES + "0101050a0000000100000002"),
    (TcpOptions(sack=((1, 2), (3, 4))), "0101051200000001000000020000000300000004"),
    (TcpOptions(), ""),
])
def test_data_layouts_are_linux(options, layout):
    packed = pack_options(options, syn=False)
    assert packed == bytes.fromhex(layout)
    assert parse_options(packed, 0, len(packed)) == options


def test_options_of_a_syn_do_not_appear_on_data():
    assert pack_options(TcpOptions(mss=1460, sack_permitted=True, window_scale=7), syn=False) == b""


def test_sack_blocks_that_do_not_fit_are_left_out():
    blocks = tuple((n, n + 1) for n in range(6))
    assert len(pack_options(TcpOptions(timestamp=TS, sack=blocks), syn=False)) == 40
    packed = pack_options(TcpOptions(sack=blocks), syn=False)
    assert parse_options(packed, 0, len(packed)).sack == blocks[:4]


@pytest.mark.parametrize("broken", [
    "02", "0204", "020405", "08", "080a", "080a1122", "0200", "0201", "0101010108", "05ff", "ff", "ff00",
])
def test_broken_lists_end_where_they_break(broken):
    data = bytes.fromhex("03030a" + broken)
    assert parse_options(data, 0, len(data)) == TcpOptions(window_scale=10)


@pytest.mark.parametrize("wrong", ["0203ff", "030402ff", "0403ff", "080211", "050500ffff", "0502"])
def test_options_of_the_wrong_length_are_passed_over(wrong):
    data = bytes.fromhex(wrong.ljust(8, "0") if wrong != "0502" else "0502") + bytes.fromhex("0101")
    assert parse_options(data, 0, len(data)) == TcpOptions()


def test_nothing_counts_after_the_end_of_the_list():
    assert parse_options(bytes.fromhex("00020405b4"), 0, 5) == TcpOptions()


def test_unknown_kinds_are_passed_over_and_the_last_counts():
    data = bytes.fromhex("fd04f989 020405b4 02040218")
    assert parse_options(data, 0, len(data)) == TcpOptions(mss=536)


def test_window_scale_above_14_is_14():
    assert parse_options(bytes.fromhex("0303ff01"), 0, 4).window_scale == 14


def test_options_in_words():
    options = TcpOptions(1460, 7, True, (5, 6), ((1, 2), (3, 4)))
    assert str(options) == "<mss 1460,sackOK,TS val 5 ecr 6,wscale 7,sack {1:2}{3:4}>"
    assert str(TcpOptions()) == ""


def test_walk_gives_offsets_and_where_it_broke():
    data = bytes.fromhex("ff 01 07 04 aabb 44 02 01 83")
    broken = []
    assert list(walk(data, 1, len(data), broken)) == [(7, 4, 6), (0x44, 8, 8)]
    assert broken == [9]
    assert list(walk(data, 1, 6, broken)) == [(7, 4, 6)] and broken == [9]


def test_walk_never_leaves_the_frame():
    assert list(walk(b"\x02\x04", 0, 100)) == []
    assert list(walk(b"", 0, 100)) == []
    assert list(walk(b"\x02\x02", -5, 2)) == [(2, 2, 2)]
