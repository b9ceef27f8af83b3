"""Codecs: what is packed is unpacked again, and no bytes whatever raise anything but PacketError."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tipy.checksum import checksum, pseudo_header, residue, residue_of, update
from tipy.errors import PacketError
from tipy.link.segment import cut
from tipy.wire.arp import ArpPacket
from tipy.wire.decode import Describer, describe
from tipy.wire.ethernet import EthernetHeader
from tipy.wire.icmp import IcmpHeader
from tipy.wire.ipv4 import IPv4Header
from tipy.wire.options import walk
from tipy.wire.tcp import TcpHeader, TcpOptions, pack_options, parse_options
from tipy.wire.udp import UdpHeader

u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
ip4, ip6, mac = (st.binary(min_size=size, max_size=size) for size in (4, 16, 6))

HEADERS = {
    EthernetHeader: st.builds(EthernetHeader, mac, mac, u16),
    ArpPacket: st.builds(ArpPacket, u16, mac, ip4, mac, ip4),
    IcmpHeader: st.builds(IcmpHeader, u8, u8, u16, u32),
    UdpHeader: st.builds(UdpHeader, u16, u16, st.just(8), u16),
    TcpHeader: st.builds(TcpHeader, u16, u16, u32, u32, st.just(20), u8, u16, u16, u16),
}
ipv4_headers = st.builds(
    lambda options, offset, **fields: IPv4Header(header_length=20 + len(options), options=options,
                                                 total_length=20 + len(options), offset=offset * 8, **fields),
    st.integers(0, 10).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words)),
    st.integers(0, 0x1FFF), tos=u8, id=u16, df=st.booleans(), mf=st.booleans(), ttl=u8, protocol=u8, src=ip4,
    dst=ip4)
blocks = st.lists(st.tuples(u32, u32), max_size=3).map(tuple)
syn_options = st.builds(TcpOptions, st.none() | u16, st.none() | st.integers(0, 14), st.booleans(),
                        st.none() | st.tuples(u32, u32), st.just(()))
data_options = st.builds(TcpOptions, st.none(), st.none(), st.just(False), st.none() | st.tuples(u32, u32),
                         blocks)
# Bytes that look enough like options, or like packets, to get past the first check.
option_heads = st.sampled_from([b"\0", b"\1", b"\2\4", b"\3\3", b"\4\2", b"\5\12", b"\x08\x0a", b"\2\0",
                                b"\x83\1"])
option_bytes = st.lists(option_heads | st.binary(max_size=12), max_size=8).map(b"".join)
near_frames = st.builds(lambda start, tail: bytes(12) + start + tail,
                        st.sampled_from([b"\x08\x00\x45", b"\x08\x00\x4f", b"\x08\x06\0\1\x08\0\6\4"]),
                        st.binary(max_size=120))


@st.composite
def packets(draw):
    """An Ethernet frame with a sound IPv4 header and anything behind it."""
    payload = draw(st.binary(max_size=120))
    header = draw(ipv4_headers)._replace(protocol=draw(st.sampled_from([1, 6, 17, 99])))
    header = header._replace(total_length=header.header_length + len(payload))
    if draw(st.booleans()):
        header = header._replace(mf=False, offset=0)
    return bytes(12) + b"\x08\x00" + header.pack() + payload


@pytest.mark.parametrize("codec", HEADERS, ids=lambda codec: codec.__name__)
@given(st.data())
def test_headers_round_trip(codec, data):
    header = data.draw(HEADERS[codec])
    packed = header.pack()
    assert codec.unpack(packed, 0, len(packed)) == header
    shifted = memoryview(b"??" + packed + b"!")
    assert codec.unpack(shifted, 2, 2 + len(packed)) == header
    assert str(header) and "\n" not in str(header)


@given(ipv4_headers)
def test_ipv4_round_trip(header):
    packed = header.pack()
    assert residue(packed) == 0
    again = IPv4Header.unpack(packed, 0, len(packed))
    assert again._replace(checksum=0) == header
    assert again.pack() == packed
    assert "\n" not in str(again)


@given(syn_options)
def test_syn_options_round_trip(options):
    packed = pack_options(options, syn=True)
    assert len(packed) % 4 == 0 and len(packed) <= 40
    assert parse_options(packed, 0, len(packed)) == options


@given(data_options)
def test_data_options_round_trip(options):
    packed = pack_options(options, syn=False)
    assert len(packed) % 4 == 0 and len(packed) <= 40
    assert parse_options(packed, 0, len(packed)) == options


@pytest.mark.parametrize("codec", [*HEADERS, IPv4Header], ids=lambda codec: codec.__name__)
@given(data=st.binary(max_size=80), start=st.integers(-5, 90), end=st.integers(-5, 90))
def test_any_bytes_raise_only_packet_error(codec, data, start, end):
    try:
        header = codec.unpack(data, start, end)
    except PacketError as error:
        assert error.reason.isidentifier()
    else:
        assert 0 <= start < end <= len(data)
        str(header)


@given(data=st.binary(min_size=20, max_size=80), first=u8)
def test_ipv4_lengths_never_leave_the_packet(data, first):
    data = bytes([0x40 | first & 15]) + data[1:]
    try:
        header = IPv4Header.unpack(data, 0, len(data))
    except PacketError:
        return
    assert 20 <= header.header_length <= header.total_length <= len(data)
    assert len(header.options) == header.header_length - 20


@given(data=option_bytes | st.binary(max_size=60), start=st.integers(0, 70), end=st.integers(0, 70))
@example(b"\x02", 0, 1)
@example(b"\x02\x00", 0, 2)
def test_walk_is_bounded(data, start, end):
    broken = []
    position = start
    for kind, value_start, value_end in walk(data, start, end, broken):
        assert position + 2 <= value_start <= value_end <= min(end, len(data))
        assert data[value_start - 2] == kind and kind > 1
        assert data[value_start - 1] == value_end - value_start + 2
        position = value_end
    assert len(broken) <= 1 and all(position <= at < min(end, len(data)) for at in broken)


@given(data=option_bytes | st.binary(max_size=60), start=st.integers(0, 70), end=st.integers(0, 70))
def test_tcp_options_never_raise(data, start, end):
    for view in (data, memoryview(data)):
        options = parse_options(view, start, end)
        assert len(options.sack) * 8 <= len(data)
        assert options.window_scale is None or options.window_scale <= 14


@given(st.binary(max_size=100) | near_frames | packets())
def test_describing_never_raises(frame):
    assert "\n" not in describe(frame)
    describer = Describer(connections=2)
    assert describer.describe(frame) == describer.describe(memoryview(frame))


@given(st.binary(max_size=100) | near_frames | packets(), st.booleans(), st.integers(0, 100))
def test_cutting_never_raises_and_loses_no_frame(frame, checked, gso_size):
    pieces = cut(frame, checked, gso_size)
    assert pieces and all(len(piece) <= len(frame) for piece in pieces)


@given(st.lists(st.binary(max_size=9), max_size=9))
def test_residue_of_parts_is_that_of_the_whole(parts):
    assert residue_of(parts) == residue(b"".join(parts))


@given(st.binary(min_size=2, max_size=60), st.integers(0, 0xFFFE))
def test_checksum_makes_the_sum_zero(data, initial):
    value = checksum(data, initial)
    field = value.to_bytes(2, "big")
    assert (residue(data) + residue(field) + initial) % 0xFFFF == 0


@given(u16, st.lists(u16, min_size=1, max_size=20), st.data())
def test_incremental_update_is_computing_anew(first, rest, data):
    words = [first, *rest]
    at = data.draw(st.integers(0, len(words) - 1))
    new = data.draw(u16)

    def field():
        return checksum(b"".join(word.to_bytes(2, "big") for word in words))

    before, old = field(), words[at]
    words[at] = new
    assert update(before, old, new) % 0xFFFF == field() % 0xFFFF


@given(st.one_of(st.tuples(ip4, ip4), st.tuples(ip6, ip6)), u8, u16)
def test_pseudo_header_is_symmetric(ends, protocol, length):
    src, dst = ends
    assert pseudo_header(src, dst, protocol, length) == pseudo_header(dst, src, protocol, length) < 0xFFFF
