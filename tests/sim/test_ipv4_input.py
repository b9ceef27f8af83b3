"""IPv4, the way up: what is a packet, what is for us, who may speak."""

import pytest
from network_host import BROADCAST_MAC, OTHER_MAC, OWN, PEER, PEER_MAC, Host, ip

from tipy.ipv4.membership import NOBODY
from tipy.wire.ethernet import TYPE_IPV4
from tipy.wire.ipv4 import IPv4Header

PROTOCOL = 253                 # for experiments (RFC 3692)


class Transport:
    """Remembers what IP handed up."""

    def __init__(self, host, protocol=PROTOCOL):
        self.packets = []
        self.errors = []
        host.ipv4.register(protocol, self)

    def input(self, packet):
        self.packets.append(packet)

    def icmp_error(self, error):
        self.errors.append(error)

    @property
    def payloads(self):
        return [bytes(p.frame[p.start:p.end]) for p in self.packets]


def listening(**options):
    host = Host(**options)
    return host, Transport(host)


def header(payload=b"payload", **fields):
    fields.setdefault("total_length", 20 + len(payload))
    return IPv4Header(protocol=PROTOCOL, src=PEER, dst=OWN, **fields).pack() + payload


def test_packet_for_us_reaches_its_transport():
    host, transport = listening()
    host.hear_ip(PROTOCOL, b"payload", tos=4, ttl=9)
    packet, = transport.packets
    assert transport.payloads == [b"payload"]
    assert (packet.src, packet.dst, packet.protocol, packet.tos, packet.ttl) == (PEER, OWN, PROTOCOL, 4, 9)
    assert not packet.to_group and packet.options is None


def test_padding_is_cut_at_the_total_length():
    host, transport = listening()
    host.hear(TYPE_IPV4, header(b"abc") + b"leaked secrets")
    assert transport.payloads == [b"abc"]


@pytest.mark.parametrize("length", range(20))
def test_less_than_a_header_is_dropped(length):
    host, transport = listening()
    host.hear(TYPE_IPV4, header()[:length])
    assert not transport.packets and host.counters["ipv4.drop_short"] == 1


def corrupted(at, value):
    packet = bytearray(header())
    packet[at] = value
    return bytes(packet)


@pytest.mark.parametrize("packet, reason", [
    (corrupted(0, 0x65), "version"),
    (corrupted(0, 0x05), "version"),
    (corrupted(0, 0x44), "header_length"),
    (corrupted(0, 0x40), "header_length"),
    (corrupted(0, 0x4F), "header_length"),
    (corrupted(8, 7), "checksum"),
    (corrupted(10, 1), "checksum"),
    (header(total_length=19), "truncated"),
    (header(total_length=28), "truncated"),
    (header(total_length=65535), "truncated"),
    (header(total_length=0), "truncated"),
])
def test_broken_headers_are_dropped_and_counted(packet, reason):
    host, transport = listening()
    host.hear(TYPE_IPV4, packet)
    assert not transport.packets and host.take() == []
    assert host.counters["ipv4.drop_" + reason] == 1


@pytest.mark.parametrize("src",
                         ["192.168.2.200", "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "224.0.0.1",
                                 "239.1.2.3", "240.0.0.1", "255.255.255.255", "192.168.2.255", "192.168.2.0"])
def test_who_cannot_be_a_sender_may_not_speak(src):
    host, transport = listening()
    host.hear_ip(PROTOCOL, b"", src=ip(src))
    host.hear_ip(99, b"", src=ip(src))
    assert not transport.packets and host.take() == []
    assert host.counters["ipv4.drop_source"] == 2


@pytest.mark.parametrize("src", ["192.168.2.1", "1.2.3.4", "223.255.255.255", "126.0.0.1", "128.0.0.1",
                                 "192.168.3.255"])
def test_others_may(src):
    host, transport = listening()
    host.hear_ip(PROTOCOL, b"", src=ip(src))
    assert len(transport.packets) == 1


@pytest.mark.parametrize("dst",
                         ["192.168.2.201", "127.0.0.1", "10.0.0.1", "0.0.0.0", "224.0.0.5", "192.168.2.0"])
def test_packets_for_others_are_dropped(dst):
    host, transport = listening()
    host.hear_ip(PROTOCOL, b"", dst=ip(dst))
    assert not transport.packets and host.take() == []
    assert host.counters["ipv4.drop_not_ours"] == 1


@pytest.mark.parametrize("dst", ["255.255.255.255", "192.168.2.255", "224.0.0.1"])
def test_broadcast_is_received_and_marked(dst):
    host, transport = listening()
    host.hear_ip(PROTOCOL, b"all", dst=ip(dst), dst_mac=BROADCAST_MAC)
    assert transport.packets[0].to_group


def test_groups_are_received_while_joined():
    host, transport = listening()
    group = ip("239.1.2.3")
    with host.gate:
        for owner in (1, 2):
            host.ipv4.listen(owner, group, host.interface)
        host.ipv4.listen(1, group, host.interface, NOBODY)
    host.hear_ip(PROTOCOL, b"", dst=group, dst_mac=b"\x01\x00\x5e\x01\x02\x03")
    with host.gate:
        host.ipv4.listen(2, group, host.interface, NOBODY)
    host.hear_ip(PROTOCOL, b"", dst=group, dst_mac=b"\x01\x00\x5e\x01\x02\x03")
    assert len(transport.packets) == 1


def test_unicast_in_a_link_broadcast_is_dropped():
    host, transport = listening()
    host.hear_ip(PROTOCOL, b"", dst_mac=BROADCAST_MAC)
    assert not transport.packets and host.counters["ipv4.drop_link_group"] == 1


def test_31_network_has_two_hosts_and_no_broadcast():
    host, transport = listening(address="192.168.2.200/31", gateway=None)
    host.hear_ip(PROTOCOL, b"", src=ip("192.168.2.201"))
    assert len(transport.packets) == 1


def test_protocol_that_nobody_speaks_is_unreachable():
    host = Host()
    host.know()
    host.hear_ip(99, b"unknown")
    (reply, payload), = host.take_ip()
    assert reply.protocol == 1 and payload[:2] == bytes((3, 2)) and payload[8:].endswith(b"unknown")


def test_options_are_shown_to_the_transport():
    host, transport = listening()
    host.hear_ip(PROTOCOL, b"x", options=b"\x94\x04\x00\x00")          # router alert
    assert bytes(transport.packets[0].options) == b"\x94\x04\0\0" and transport.payloads == [b"x"]


@pytest.mark.parametrize("options, pointer", [
    (b"\x07", 20), (b"\x01\x01\x01\x07", 23), (b"\x07\x00\x04\x00", 20), (b"\x07\x01\x04\x00", 20),
    (b"\x07\x28\x04\x00", 20), (b"\x07\x02\x00\x00", 21), (b"\x07\x07\x03\0\0\0\0\0", 22),
    (b"\x07\x06\x04\0\0\0\0\0", 22), (b"\x44\x03\x05\0", 21), (b"\x44\x08\x04\x00\0\0\0\0", 22),
    (b"\x44\x08\x05\x02\0\0\0\0", 23), (b"\x44\x08\x09\xf0\0\0\0\0", 23), (b"\x44\x08\x05\x01\0\0\0\0", 22),
    (b"\x07\x07\x08\0\0\0\0\x07\x07\x08\0\0\0\0", 27),
])
def test_broken_options_are_a_parameter_problem(options, pointer):
    host, transport = listening()
    host.know()
    if len(options) % 4 and options[-1:] == b"\x07":
        options = b"\x01" * (-len(options) % 4) + options
        pointer = 20 + len(options) - 1
    host.hear_ip(PROTOCOL, b"payload", options=options)
    assert not transport.packets and host.counters["ipv4.drop_options"] == 1
    (_, payload), = host.take_ip()
    assert payload[:2] == bytes((12, 0)) and payload[4] == pointer


@pytest.mark.parametrize("kind", [131, 137])
def test_source_routes_are_dropped(kind):
    host, transport = listening()
    host.hear_ip(PROTOCOL, b"", options=bytes((kind, 7, 4)) + PEER + b"\0")
    assert not transport.packets and host.take() == []
    assert host.counters["ipv4.drop_source_route"] == 1


def test_land_packet_is_dropped():
    host = Host()
    endpoint = host.udp.endpoint()
    with host.gate:
        endpoint.bind(OWN, 7)
    host.hear_ip(17, b"\0\x07\0\x07\0\x08\0\0", src=OWN, src_mac=OTHER_MAC)
    assert not endpoint.readable and host.counters["ipv4.drop_source"] == 1


def test_super_packet_is_taken_whole():
    host, transport = listening()
    packet = header(bytes(30000))
    host.receive([(host.mac + PEER_MAC + b"\x08\x00" + packet, True, 1448)])
    assert transport.packets[0].gso_size == 1448 and transport.packets[0].checked
