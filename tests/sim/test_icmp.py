"""ICMP: answering pings, complaining within limits, understanding complaints."""

import errno

import pytest
from network_host import BROADCAST_MAC, GATEWAY, OWN, PEER, Host, ip
from test_ipv4_input import PROTOCOL, Transport

from tipy.checksum import checksum
from tipy.wire import icmp as wire
from tipy.wire.icmp import IcmpHeader
from tipy.wire.ipv4 import IPv4Header

ICMP, UDP = 1, 17


def ready(**options):
    host = Host(**options)
    host.know()
    return host


def message(type, code=0, rest=0, data=b""):
    """A whole ICMP message."""
    head = IcmpHeader(type, code, 0, rest).pack()
    return IcmpHeader(type, code, checksum(head + data), rest).pack() + data


def ping(host, data=b"abc", **fields):
    host.hear_ip(ICMP, message(wire.ECHO, rest=0x12340001, data=data), **fields)
    return host.take_ip()


def is_right(payload):
    """As a kernel sums it: the ones'-complement sum is 0xFFFF (and not 0, the sum of nothing but zeros)."""
    payload = payload + bytes(len(payload) & 1)
    total = sum(int.from_bytes(payload[at:at + 2], "big") for at in range(0, len(payload), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def complaint(type, code, rest=0, quoted_payload=b"12345678", protocol=PROTOCOL, src=OWN, dst=PEER, **fields):
    """An ICMP error about a packet that src (we) sent to dst."""
    head = IPv4Header(total_length=20 + len(quoted_payload), protocol=protocol, src=src, dst=dst,
                      **fields).pack()
    return message(type, code, rest, head + quoted_payload)


# -- echo -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 1, 56, 57, 1472])
def test_ping_is_answered_with_the_same_data(size):
    host = ready()
    data = bytes(i & 0xFF for i in range(size))
    (header, payload), = ping(host, data, tos=8, ttl=3)
    assert payload[:1] == b"\0" and payload[4:8] == b"\x12\x34\0\x01" and payload[8:] == data
    assert is_right(payload)
    assert (header.src, header.dst, header.ttl, header.tos) == (OWN, PEER, 64, 8)


@pytest.mark.parametrize("size", [1473, 8000, 65507])
def test_large_ping_is_answered_in_fragments(size):
    host = ready()
    whole = message(wire.ECHO, rest=7, data=bytes(size))
    for offset in range(0, len(whole), 1480):
        host.hear_ip(ICMP, whole[offset:offset + 1480], id=9, offset=offset, mf=offset + 1480 < len(whole))
    packets = host.take_ip()
    answer = b"".join(payload for _, payload in packets)
    assert len(answer) == size + 8 and answer[0] == 0 and is_right(answer)
    assert all(header.total_length <= 1500 for header, _ in packets)


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"\xf7\xff" + bytes(4), bytes(64)])
def test_incremental_checksum_is_right_at_its_edges(data):
    for rest in (0, 1, 0xFFFFFFFF, 0x0800F7FF, 0xF7FF0000, 0xF7FE0000):
        host = ready()
        host.hear_ip(ICMP, message(wire.ECHO, rest=rest, data=data))
        (_, payload), = host.take_ip()
        assert is_right(payload)


def test_padding_does_not_come_back():
    host = ready()
    packet = IPv4Header(total_length=28, protocol=ICMP, src=PEER, dst=OWN).pack() + message(wire.ECHO)
    host.hear(0x0800, packet + b"secret")
    (header, payload), = host.take_ip()
    assert len(payload) == 8


@pytest.mark.parametrize("dst", ["192.168.2.255", "255.255.255.255", "224.0.0.1"])
def test_smurf_ping_to_a_group_is_not_answered(dst):
    host = ready()
    assert ping(host, dst=ip(dst), dst_mac=BROADCAST_MAC) == []
    assert host.counters["icmp.drop_echo_group"] == 1


def test_ping_from_somebody_not_resolved_yet_is_answered_after_arp():
    host = Host()
    assert ping(host) == []
    host.hear_reply()
    assert host.take_ip()[0][1][8:] == b"abc"


def test_we_can_ping_ourselves():
    host = ready()
    raw = host.raw.endpoint(ICMP)
    with host.gate:
        raw.send(message(wire.ECHO, rest=5), (ip("127.0.0.1"), 0))
    with host.gate:
        kinds = [bytes(raw.receive().data)[20] for _ in range(2)]
    assert kinds == [wire.ECHO, wire.ECHO_REPLY]


def test_record_route_and_timestamp_are_continued_in_the_reply():
    host = ready()
    host.clock.advance(1.5)
    record, stamp = b"\x07\x0b\x08" + PEER + bytes(4), b"\x44\x0c\x05\x01" + bytes(8)
    (header, payload), = ping(host, options=record + b"\x01" + stamp)
    assert header.options[:11] == b"\x07\x0b\x0c" + PEER + OWN
    assert header.options[11:23] == b"\x44\x0c\x0d\x01" + OWN + (0x80000000 + 1500).to_bytes(4, "big")


def test_full_options_come_back_unchanged_but_for_the_overflow():
    host = ready()
    record, stamp = b"\x07\x07\x08" + PEER + b"\x01", b"\x44\x08\x09\x00" + bytes(4)
    (header, _), = ping(host, options=record + stamp)
    assert header.options[:7] == record[:7] and header.options[7:15] == b"\x44\x08\x09\x10" + bytes(4)


# -- what is ignored --------------------------------------------------------------------------------------

@pytest.mark.parametrize("type",
                         [wire.SOURCE_QUENCH, wire.REDIRECT, wire.TIMESTAMP, 15, 16, wire.ADDRESS_MASK, 9, 10,
                                  wire.ECHO_REPLY, 1, 2, 7, 19, 30, 40, 255])
def test_other_types_are_counted_and_ignored(type):
    host = ready()
    transport = Transport(host)
    host.hear_ip(ICMP, complaint(type, 0))
    assert host.take() == [] and transport.errors == [] and host.counters["icmp.ignored"] == 1


@pytest.mark.parametrize("length", range(8))
def test_short_messages_are_dropped(length):
    host = ready()
    host.hear_ip(ICMP, message(wire.ECHO)[:length])
    assert host.take() == [] and host.counters["icmp.drop_short"] == 1


def test_wrong_checksum_is_dropped():
    host = ready()
    data = bytearray(message(wire.ECHO, data=b"abc"))
    data[-1] ^= 1
    host.hear_ip(ICMP, bytes(data))
    assert host.take() == [] and host.counters["icmp.drop_checksum"] == 1


# -- our complaints ---------------------------------------------------------------------------------------

def test_complaint_quotes_the_packet_and_is_right():
    host = ready()
    host.hear_ip(99, b"payload", tos=5, ttl=7, id=99)
    (header, payload), = host.take_ip()
    assert (header.protocol, header.dst, header.tos) == (ICMP, PEER, 0xC0) and is_right(payload)
    quoted = IPv4Header.unpack(payload, 8, len(payload))
    assert (quoted.src, quoted.dst, quoted.id, quoted.ttl) == (PEER, OWN, 99,
                                                               7) and payload.endswith(b"payload")


def test_complaint_is_at_most_576_bytes():
    host = ready()
    host.hear_ip(99, bytes(1400))
    (header, payload), = host.take_ip()
    assert header.total_length == 576 and is_right(payload)


@pytest.mark.parametrize("type", sorted(wire.ERRORS) + [77])
def test_errors_are_never_answered_with_errors(type):
    host = ready()
    host.hear_ip(ICMP, complaint(type, 3), options=b"\x07\x01\x04\0")            # the options are broken
    assert host.take() == [] and host.counters["icmp.errors_suppressed"] == 1


def test_pings_with_broken_options_are_answered_with_an_error():
    host = ready()
    (_, payload), = ping(host, options=b"\x07\x01\x04\0")
    assert payload[0] == wire.PARAMETER_PROBLEM


@pytest.mark.parametrize("dst", ["192.168.2.255", "255.255.255.255", "224.0.0.1"])
@pytest.mark.parametrize("protocol", [99, UDP])
def test_fraggle_nothing_is_said_about_groups(dst, protocol):
    host = ready()
    host.hear_ip(protocol, b"\0\x07\0\x07\0\x08\0\0", dst=ip(dst), dst_mac=BROADCAST_MAC)
    assert host.take() == []


def test_nothing_is_said_about_link_broadcasts():
    host = ready()
    host.hear_ip(99, b"", dst_mac=BROADCAST_MAC)
    assert host.take() == []


def test_nothing_is_said_about_later_fragments():
    host = ready()
    host.hear_ip(99, bytes(8), offset=8, mf=True, options=b"\x07\x01\x04\0")
    assert host.take() == []
    host.hear_ip(99, bytes(8), offset=0, mf=True, options=b"\x07\x01\x04\0")
    assert len(host.take()) == 1


def test_one_destination_gets_six_then_one_a_second():
    host = ready()
    for _ in range(20):
        host.hear_ip(99, b"")
    assert len(host.take()) == 6 and host.counters["icmp.errors_limited"] == 14
    for _ in range(5):
        host.clock.advance(1.0)
        host.hear_ip(99, b"")
        host.hear_ip(99, b"")
    assert len(host.take()) == 5


def test_all_together_get_fifty_a_second():
    host = Host("10.0.0.1/8", gateway=None)
    for number in range(200):
        address = ip(f"10.0.1.{number + 1}")
        host.know(address)
        for _ in range(3):
            host.hear_ip(99, b"", src=address)
    assert len(host.take()) == 50
    host.clock.advance(1.0)
    for number in range(200):
        host.hear_ip(99, b"", src=ip(f"10.0.1.{number + 1}"))
    assert len(host.take()) == 50


def test_limiter_forgets_old_destinations():
    host = Host("10.0.0.1/8", gateway=None)
    for number in range(1000):
        host.hear_ip(99, b"", src=ip(f"10.0.{1 + number // 250}.{1 + number % 250}"))
    assert len(host.icmp._peers) == 256


def test_loopback_is_not_limited():
    host = ready()
    errors = 0
    with host.gate:
        sender = host.udp.endpoint()
        sender.connect(ip("127.0.0.1"), 9)
    for _ in range(100):
        with host.gate:
            sender.send(b"")
        errors += sender.take_error() == errno.ECONNREFUSED
    assert errors == 100


# -- complaints of others ---------------------------------------------------------------------------------

UNREACHABLE = [(0, errno.ENETUNREACH, False), (1, errno.EHOSTUNREACH, False), (2, errno.ENOPROTOOPT, True),
               (3, errno.ECONNREFUSED, True), (5, errno.EOPNOTSUPP, False), (6, errno.ENETUNREACH, True),
               (7, errno.EHOSTDOWN, True), (8, 64, True), (9, errno.ENETUNREACH, True),
               (10, errno.EHOSTUNREACH, True), (11, errno.ENETUNREACH, False), (12, errno.EHOSTUNREACH,
                                                                                False),
               (13, errno.EHOSTUNREACH, True), (14, errno.EHOSTUNREACH, True), (15, errno.EHOSTUNREACH, True)]


@pytest.mark.parametrize("type, code, number, hard", [(3, *row) for row in UNREACHABLE]
                         + [(11, 0, errno.EHOSTUNREACH, False), (11, 1, errno.EHOSTUNREACH, False),
                            (12, 0, errno.EPROTO, True)])
def test_complaint_reaches_the_transport_as_linux_maps_it(type, code, number, hard):
    host = ready()
    transport = Transport(host)
    host.hear_ip(ICMP, complaint(type, code), src=GATEWAY)
    error, = transport.errors
    assert (error.errno, error.hard, error.type, error.code, error.mtu) == (number, hard, type, code, 0)
    assert (error.local, error.remote, error.protocol, error.source) == (OWN, PEER, PROTOCOL, GATEWAY)
    assert bytes(error.transport) == b"12345678" and not error.is_local


@pytest.mark.parametrize("rest, length, mtu",
                         [(1400, 28, 1400), (0, 1500, 1492), (0, 1492, 1006), (0, 28, 68),
                                               (0x12340578, 28, 0x578)])
def test_fragmentation_needed_tells_the_mtu_or_it_is_guessed(rest, length, mtu):
    host = ready()
    transport = Transport(host)
    head = IPv4Header(total_length=length, protocol=PROTOCOL, src=OWN, dst=PEER, df=True).pack()
    host.hear_ip(ICMP, message(3, 4, rest, head + bytes(8)))
    assert transport.errors[0].mtu == mtu and transport.errors[0].errno == errno.EMSGSIZE
    assert host.ipv4.path(PEER).mtu == 1500                    # it is for the transport to believe it


@pytest.mark.parametrize("code", [16, 100, 255])
def test_unknown_codes_are_ignored(code):
    host = ready()
    transport = Transport(host)
    host.hear_ip(ICMP, complaint(3, code))
    assert transport.errors == []


@pytest.mark.parametrize("fields, reason", [
    ({"src": PEER, "dst": OWN}, "quoted_stranger"), ({"src": ip("10.0.0.1")}, "quoted_stranger"),
    ({"dst": ip("224.0.0.1")}, "quoted_stranger"), ({"quoted_payload": b"1234567"}, "quoted_short"),
    ({"quoted_payload": b""}, "quoted_short"), ({"offset": 8}, "quoted_short"),
])
def test_complaints_about_what_we_cannot_have_sent_are_dropped(fields, reason):
    host = ready()
    transport = Transport(host)
    host.hear_ip(ICMP, complaint(3, 3, **fields))
    assert transport.errors == [] and host.counters["icmp.drop_" + reason] == 1


@pytest.mark.parametrize("cut", range(28))
def test_truncated_quotes_are_dropped(cut):
    host = ready()
    transport = Transport(host)
    whole = complaint(3, 3)
    host.hear_ip(ICMP, message(3, 3, 0, whole[8:8 + cut]))
    assert transport.errors == [] and host.take() == []


def test_complaint_in_a_broadcast_is_dropped():
    host = ready()
    transport = Transport(host)
    host.hear_ip(ICMP, complaint(3, 3), dst=ip("192.168.2.255"), dst_mac=BROADCAST_MAC)
    assert transport.errors == []


def test_quoted_options_are_skipped():
    host = ready()
    transport = Transport(host)
    head = IPv4Header(protocol=PROTOCOL, src=OWN, dst=PEER, options=b"\x94\x04\0\0").pack()
    host.hear_ip(ICMP, message(3, 3, 0, head + b"12345678"))
    assert bytes(transport.errors[0].transport) == b"12345678"


def test_complaint_for_a_protocol_without_transport_is_harmless():
    host = ready()
    host.hear_ip(ICMP, complaint(3, 3, protocol=200))
    assert host.counters["icmp.errors_in"] == 1 and host.failures == []
