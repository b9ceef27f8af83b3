"""A frame in one line."""

from tipy.address import parse_ip, parse_mac
from tipy.wire import icmp
from tipy.wire.arp import REQUEST, ArpPacket
from tipy.wire.decode import Describer, describe
from tipy.wire.ethernet import EthernetHeader
from tipy.wire.icmp import IcmpHeader
from tipy.wire.ipv4 import IPv4Header
from tipy.wire.tcp import ACK, FIN, PSH, SYN, TcpHeader, TcpOptions, pack_options
from tipy.wire.udp import UdpHeader

A, B = parse_ip("192.168.2.199"), parse_ip("192.168.2.200")
MAC_A, MAC_B = parse_mac("02:00:00:00:00:01"), parse_mac("02:00:00:00:00:02")


def ipv4(src, dst, protocol, payload, **fields):
    ip = IPv4Header(total_length=20 + len(payload), protocol=protocol, src=src, dst=dst, **fields)
    return EthernetHeader(MAC_B, MAC_A, 0x0800).pack() + ip.pack() + payload


def client(seq, ack, flags, options=TcpOptions(), data=b""):
    packed = pack_options(options, bool(flags & SYN))
    tcp = TcpHeader(40312, 8000, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 20 + len(packed), flags, 64240)
    return ipv4(A, B, 6, tcp.pack() + packed + data)


def server(seq, ack, flags, data=b""):
    tcp = TcpHeader(8000, 40312, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 20, flags, 65160)
    return ipv4(B, A, 6, tcp.pack() + data)


def test_connection_with_relative_numbers_across_the_wrap():
    iss, irs = 0xFFFFFFFF, 0xFFFFFF00
    describer = Describer()
    assert describer.describe(client(iss, 0, SYN, TcpOptions(1460, 7, True, (5, 0)))) == (
        "192.168.2.199:40312 > 192.168.2.200:8000 S seq 0 win 64240 "
        "<mss 1460,sackOK,TS val 5 ecr 0,wscale 7>")
    assert describer.describe(server(irs, iss + 1, SYN | ACK)) == (
        "192.168.2.200:8000 > 192.168.2.199:40312 S. seq 0 ack 1 win 65160")
    assert describer.describe(client(iss + 1, irs + 1, PSH | ACK, data=b"x" * 300)) == (
        "192.168.2.199:40312 > 192.168.2.200:8000 P. seq 1 ack 1 win 64240 length 300")
    hole = TcpOptions(sack=((irs + 11, 5),))
    assert describer.describe(client(iss + 301, irs + 1, ACK, hole)) == (
        "192.168.2.199:40312 > 192.168.2.200:8000 . seq 301 ack 1 win 64240 <sack {11:261}>")
    assert describer.describe(server(irs + 1, iss + 301, FIN | ACK)) == (
        "192.168.2.200:8000 > 192.168.2.199:40312 F. seq 1 ack 301 win 65160")


def test_connection_joined_in_the_middle_starts_at_one():
    describer = Describer()
    assert " seq 1 ack 1 " in describer.describe(client(5000, 9000, ACK, data=b"abc"))
    assert " seq 1 ack 4 " in describer.describe(server(9000, 5003, ACK))


def test_new_syn_starts_anew():
    describer = Describer()
    describer.describe(client(5000, 0, SYN))
    assert " seq 0 " in describer.describe(client(700000, 0, SYN))


def test_stateless_numbers_are_those_of_the_wire():
    assert describe(client(5000, 9000, ACK)).endswith(". seq 5000 ack 9000 win 64240")


def test_state_is_bounded():
    describer = Describer(connections=4)
    for port in range(100):
        describer.describe(ipv4(A, B, 6, TcpHeader(port, 80, seq=5, flags=SYN).pack()))
    assert len(describer._start) == 4


def test_udp_icmp_arp():
    assert describe(ipv4(A, B, 17, UdpHeader(5000, 9, 12).pack() + b"data")) == (
        "192.168.2.199:5000 > 192.168.2.200:9 UDP length 4")
    assert describe(ipv4(A, B, 1, IcmpHeader.echo(icmp.ECHO, 1, 2).pack() + bytes(56))) == (
        "192.168.2.199 > 192.168.2.200 ICMP echo request id 1 seq 2 length 56")
    arp = EthernetHeader(b"\xff" * 6, MAC_A, 0x0806).pack() + ArpPacket(REQUEST, MAC_A, A, bytes(6), B).pack()
    assert describe(arp + bytes(18)) == "ARP who-has 192.168.2.200 tell 192.168.2.199"


def test_icmp_error_names_the_culprit():
    quoted = ipv4(A, B, 17, UdpHeader(5000, 9, 600).pack())[14:]
    error = IcmpHeader(icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE).pack() + quoted
    assert describe(ipv4(B, A, 1, error)) == ("192.168.2.200 > 192.168.2.199 ICMP port unreachable "
                                              "(192.168.2.199:5000 > 192.168.2.200:9 UDP)")
    cut = IcmpHeader(icmp.TIME_EXCEEDED, 0).pack() + quoted[:10]
    assert describe(ipv4(B, A, 1, cut)).endswith("ICMP TTL exceeded (malformed (short))")


def test_fragments():
    first = ipv4(A, B, 17, UdpHeader(5000, 53, 3000).pack() + bytes(1472), id=9, mf=True)
    assert describe(first) == "192.168.2.199:5000 > 192.168.2.200:53 UDP length 2992 fragment 9 at 0+"
    assert describe(ipv4(A, B, 17, bytes(100), id=9, offset=1480)) == (
        "192.168.2.199 > 192.168.2.200 UDP length 100 ttl 64 fragment 9 at 1480")


def test_other_types_and_malformed_frames():
    assert describe(EthernetHeader(MAC_B, MAC_A, 0x88B5).pack() + b"abc") == (
        "02:00:00:00:00:01 > 02:00:00:00:00:02 type 0x88b5 length 3")
    assert describe(b"abc") == "malformed frame length 3"
    assert describe(ipv4(A, B, 6, b"abc")) == (
        "192.168.2.199 > 192.168.2.200 TCP length 3 ttl 64 malformed (short)")
    cut = EthernetHeader(MAC_B, MAC_A, 0x0800).pack() + b"E"
    assert describe(cut).endswith("malformed (short) length 15")
