"""IGMP messages: packed and read again; the rest is PacketError."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipy.checksum import checksum, residue
from tipy.errors import PacketError
from tipy.wire import dns, igmp
from tipy.wire.decode import describe
from tipy.wire.ethernet import EthernetHeader
from tipy.wire.ipv4 import IPv4Header

GROUP = b"\xef\1\2\3"
ADDRESS = st.binary(min_size=4, max_size=4)


def read(data):
    return igmp.unpack(data, 0, len(data))


def sealed(data):
    return data[:2] + checksum(data).to_bytes(2, "big") + data[4:]


@pytest.mark.parametrize("message", [
    igmp.Query(1, bytes(4), 10.0), igmp.Query(2, GROUP, 1.0), igmp.Query(3, GROUP, 10.0,
                                                                         (b"\1\2\3\4", b"\5\6\7\x08")),
    igmp.Report(igmp.REPORT_V1, GROUP), igmp.Report(igmp.REPORT_V2, GROUP), igmp.Report(igmp.LEAVE, GROUP)])
def test_messages_are_read_as_they_were_packed(message):
    assert read(message.pack()) == message and residue(message.pack()) == 0


@given(st.lists(st.builds(igmp.Record, st.integers(1, 6), ADDRESS, st.lists(ADDRESS, max_size=3).map(tuple)),
                max_size=5))
def test_reports_of_version_3_are_read_as_they_were_packed(records):
    report = igmp.Report(igmp.REPORT_V3, records=tuple(records))
    assert read(report.pack()) == report


def test_auxiliary_data_is_passed_over():
    data = sealed(bytes.fromhex("22000000 00000002 01010000ef010203 aabbccdd 02000000ef010204"))
    assert [record.group[3] for record in read(data).records] == [3, 4]


@pytest.mark.parametrize("code, seconds", [(0x7F, 12.7), (0x80, 12.8), (0x8F, 24.8), (0xFF, 3174.4)])
def test_long_response_times(code, seconds):
    data = sealed(bytes((0x11, code, 0, 0)) + GROUP + bytes(4))
    assert read(data).max_response == pytest.approx(seconds)


@pytest.mark.parametrize("data, reason", [
    (b"\x11\0\0\0\0\0\0", "short"), (bytes(8), "type"), (b"\x11\0\0\0\0\0\0\0\0", "length"),
    (b"\x11\1\0\0\0\0\0\0\0\0\0\1", "length"), (b"\x22\0\0\0\0\0\0\1", "length"),
    (b"\x22\0\0\0\0\0\0\1\1\0\0\1\1\2\3\4", "length"), (b"\x22\0\0\0\0\0\0\1\1\1\0\0\1\2\3\4", "length"),
    (b"\x22\0\0\0\0\0\xff\xff", "length")])
def test_what_is_broken_is_refused(data, reason):
    with pytest.raises(PacketError) as caught:
        read(sealed(data))
    assert caught.value.reason == reason


def test_a_wrong_checksum_is_refused():
    with pytest.raises(PacketError, match="checksum"):
        read(b"\x16\0\0\1" + GROUP)


@given(st.binary(max_size=40))
def test_garbage_raises_nothing_but_packet_error(data):
    for candidate in (data, sealed(b"\x22" + data + bytes(4)), sealed(b"\x11" + data + bytes(4))):
        try:
            read(candidate)
        except PacketError:
            pass


def frame_of(protocol, payload):
    header = IPv4Header(total_length=20 + len(payload), protocol=protocol, src=b"\x0a\0\0\1", dst=GROUP)
    return EthernetHeader(bytes(6), bytes(6), 0x0800).pack() + header.pack() + payload


@pytest.mark.parametrize("message, text", [
    (igmp.Query(3, bytes(4), 10.0), "IGMPv3 query for all groups, answer within 10.0 s"),
    (igmp.Query(2, GROUP, 1.0), "IGMPv2 query for 239.1.2.3, answer within 1.0 s"),
    (igmp.Report(igmp.LEAVE, GROUP), "IGMPv2 leave 239.1.2.3"),
    (igmp.Report(igmp.REPORT_V3, records=(igmp.Record(4, GROUP), igmp.Record(9, GROUP))),
     "IGMPv3 report: to exclude 239.1.2.3, 9 239.1.2.3")])
def test_people_can_read_them(message, text):
    assert describe(frame_of(2, message.pack())) == f"10.0.0.1 > 239.1.2.3 {text}"


def test_people_can_read_questions_for_names():
    query = dns.Message(7, dns.RD, (dns.Question((b"www", b"example"), 1),)).pack()
    for data, text in ((query, "DNS 7 query www.example type 1"),
                       (query[:-1], "malformed DNS (question_overrun)")):
        udp = struct.pack("!HHHH", 40000, 53, 8 + len(data), 0) + data
        assert describe(frame_of(17, udp)) == f"10.0.0.1:40000 > 239.1.2.3:53 UDP length {len(data)} {text}"
