"""Raw endpoints: whole packets to all who want them, whole packets out."""

import errno

import pytest
from network_host import BROADCAST_MAC, GATEWAY, OWN, PEER, Host, ip

from tipy.checksum import checksum
from tipy.wire.icmp import IcmpHeader
from tipy.wire.ipv4 import IPv4Header

ICMP = 1
ECHO = IcmpHeader(8, 0, checksum(IcmpHeader(8, 0, 0, 5).pack()), 5).pack()


def ready(**options):
    host = Host(**options)
    host.know()
    return host


def received(endpoint):
    result = []
    while (one := endpoint.receive()) is not None:
        result.append(bytes(one.data))
    return result


def refused(number, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == number


def test_all_endpoints_of_a_protocol_get_the_whole_packet_and_the_stack_answers():
    host = ready()
    endpoints = [host.raw.endpoint(ICMP) for _ in range(3)]
    other = host.raw.endpoint(2)
    host.hear_ip(ICMP, ECHO, ttl=9)
    packet = IPv4Header(total_length=28, ttl=9, protocol=ICMP, src=PEER, dst=OWN).pack() + ECHO
    assert [received(endpoint) for endpoint in endpoints] == [[packet]] * 3
    assert received(other) == []
    assert [payload[0] for _, payload in host.take_ip()] == [0]


def test_datagram_tells_who_and_where():
    host = ready()
    endpoint = host.raw.endpoint(ICMP)
    host.hear_ip(ICMP, ECHO, ttl=9, tos=4)
    one = endpoint.receive()
    assert (one.remote, one.local, one.ttl, one.tos) == ((PEER, 0), OWN, 9, 4)


def test_padding_is_not_shown():
    host = ready()
    endpoint = host.raw.endpoint(ICMP)
    host.hear(0x0800, IPv4Header(total_length=28, protocol=ICMP, src=PEER, dst=OWN).pack() + ECHO + b"pad")
    assert len(received(endpoint)[0]) == 28


def test_fragments_are_shown_put_together():
    host = ready()
    endpoint = host.raw.endpoint(200)
    host.hear_ip(200, b"12345678", id=1, mf=True)
    host.hear_ip(200, b"9", id=1, offset=8)
    packet, = received(endpoint)
    assert packet[20:] == b"123456789" and IPv4Header.unpack(packet, 0, 29).total_length == 29
    assert int.from_bytes(packet[:20], "big") % 0xFFFF == 0


def test_protocol_that_only_raw_endpoints_speak_is_not_unreachable():
    host = ready()
    endpoint = host.raw.endpoint(200)
    host.hear_ip(200, b"x")
    assert host.take() == [] and len(received(endpoint)) == 1
    endpoint.close()
    host.hear_ip(200, b"x")
    assert host.take_ip()[0][1][:2] == b"\x03\x02"


def test_filters_of_addresses():
    host = ready()
    here, elsewhere, friend, stranger = (host.raw.endpoint(ICMP) for _ in range(4))
    with host.gate:
        here.bind(OWN)
        elsewhere.bind(ip("127.0.0.1"))
        friend.connect(PEER)
        stranger.connect(GATEWAY)
    host.hear_ip(ICMP, ECHO)
    assert [len(received(endpoint)) for endpoint in (here, elsewhere, friend, stranger)] == [1, 0, 1, 0]
    assert friend.local == (OWN, ICMP) and friend.remote == (PEER, 0)
    with host.gate:
        stranger.disconnect()
    host.hear_ip(ICMP, ECHO)
    assert len(received(stranger)) == 1
    refused(errno.EADDRNOTAVAIL, here.bind, PEER)


def test_icmp_filter():
    host = ready()
    endpoint = host.raw.endpoint(ICMP)
    endpoint.icmp_filter = ~(1 << 0) & 0xFFFFFFFF                # echo replies only
    host.hear_ip(ICMP, ECHO)
    host.hear_ip(ICMP, b"\0\0\xff\xff\0\0\0\0")
    assert [packet[20] for packet in received(endpoint)] == [0]


def test_broadcasts_are_shown():
    host = ready()
    endpoint = host.raw.endpoint(ICMP)
    host.hear_ip(ICMP, ECHO, dst=ip("192.168.2.255"), dst_mac=BROADCAST_MAC)
    assert len(received(endpoint)) == 1 and host.take() == []


@pytest.mark.parametrize("size", [0, 56, 1480, 8000])
def test_payload_gets_a_header(size):
    host = ready()
    endpoint = host.raw.endpoint(200)
    endpoint.ttl = 5
    with host.gate:
        assert endpoint.send(bytes(size), (PEER, 0)) == size
    packets = host.take_ip()
    assert sum(len(payload) for _, payload in packets) == size
    assert {(header.protocol, header.ttl, header.src) for header, _ in packets} == {(200, 5, OWN)}


def test_hdrincl_sends_the_header_as_it_is_but_for_what_linux_fills_in():
    host = ready()
    endpoint = host.raw.endpoint(200)
    endpoint.hdrincl = True
    packet = bytearray(IPv4Header(total_length=1, ttl=3, tos=7, protocol=99, dst=PEER,
                                  df=True).pack() + b"body")
    with host.gate:
        endpoint.send(packet, (PEER, 0))
    (header, payload), = host.take_ip()
    assert (header.src, header.dst, header.ttl, header.tos, header.protocol) == (OWN, PEER, 3, 7, 99)
    assert header.df and header.total_length == 24 and header.id != 0 and payload == b"body"


def test_hdrincl_keeps_source_and_id_that_are_given():
    host = ready()
    endpoint = host.raw.endpoint(255)
    assert endpoint.hdrincl
    with host.gate:
        endpoint.send(IPv4Header(id=77, protocol=99, src=GATEWAY, dst=PEER).pack(), (PEER, 0))
    frame, = host.take()
    assert frame[26:30] == GATEWAY and frame[18:20] == b"\0\x4d"
    assert int.from_bytes(frame[14:34], "big") % 0xFFFF == 0


@pytest.mark.parametrize("packet, number", [(b"", errno.EINVAL), (bytes(19), errno.EINVAL),
                                            (b"\x44" + bytes(19), errno.EINVAL), (b"\x46" + bytes(19),
                                                                                  errno.EINVAL),
                                            (b"\x45" + bytes(1500), errno.EMSGSIZE)])
def test_hdrincl_refuses_what_is_no_packet(packet, number):
    host = ready()
    endpoint = host.raw.endpoint(255)
    with host.gate:
        refused(number, endpoint.send, packet, (PEER, 0))
    assert host.take() == []


def test_limits_of_sending():
    host = ready()
    endpoint = host.raw.endpoint(200)
    with host.gate:
        refused(errno.EDESTADDRREQ, endpoint.send, b"x")
        refused(errno.EMSGSIZE, endpoint.send, bytes(65516), (PEER, 0))
        refused(errno.EACCES, endpoint.send, b"x", (ip("192.168.2.255"), 0))


def test_unreachable_reaches_the_connected_endpoint():
    host = ready()
    connected, other = host.raw.endpoint(200), host.raw.endpoint(200)
    with host.gate:
        connected.connect(PEER)
    quoted = IPv4Header(total_length=28, protocol=200, src=OWN, dst=PEER).pack() + bytes(8)
    message = IcmpHeader(3, 2, 0, 0).pack() + quoted
    host.hear_ip(ICMP, IcmpHeader(3, 2, checksum(message), 0).pack() + quoted)
    assert (connected.take_error(), other.take_error()) == (errno.ENOPROTOOPT, 0)


def test_checksums_of_raw_datagrams_over_loopback_are_looked_at():
    host = ready()
    with host.gate:
        server = host.udp.endpoint()
        server.bind(bytes(4), 7)
        raw = host.raw.endpoint(17)
        raw.send(b"\0\x01\0\x07\0\x09\0\x01x", (ip("127.0.0.1"), 0))
    assert host.counters["udp.drop_checksum"] == 1 and not server.readable


def test_stop_closes_all():
    host = ready()
    endpoints = [host.raw.endpoint(ICMP) for _ in range(3)] + [host.raw.endpoint(255)]
    with host.gate:
        host.raw.stop()
    assert all(endpoint.closed for endpoint in endpoints)
    assert host.ipv4.observers == {}
