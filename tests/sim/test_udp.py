"""UDP: datagrams to the right endpoint, errors to who asked, nothing unbounded."""

import errno

import pytest
from network_host import BROADCAST_MAC, GATEWAY, OTHER_MAC, OWN, PEER, PEER_MAC, Host, ip

from tipy.address import ANY, LOOPBACK
from tipy.checksum import pseudo_header, residue
from tipy.clock import ManualClock
from tipy.datagrams import OVERHEAD, PMTU_DO, PMTU_DONT
from tipy.link.memory import Wire
from tipy.wire.icmp import IcmpHeader
from tipy.wire.ipv4 import IPv4Header
from tipy.wire.udp import UdpHeader

UDP = 17


def ready(**options):
    host = Host(**options)
    host.know()
    return host


def bound(host, port=7, address=ANY, **options):
    with host.gate:
        endpoint = host.udp.endpoint()
        for name, value in options.items():
            setattr(endpoint, name, value)
        endpoint.bind(address, port)
    return endpoint


def connected(host, remote=PEER, port=7):
    with host.gate:
        endpoint = host.udp.endpoint()
        endpoint.connect(remote, port)
    return endpoint


def datagram(data, src_port, dst_port, src=PEER, dst=OWN, checksum=None, length=None):
    """Header and data with a right checksum, unless told otherwise."""
    length = 8 + len(data) if length is None else length
    head = UdpHeader(src_port, dst_port, length)
    if checksum is None:
        checksum = -(residue(head.pack() + data) + pseudo_header(src, dst, UDP, length)) % 0xFFFF or 0xFFFF
    return head._replace(checksum=checksum).pack() + data


def hear(host, data=b"data", src_port=1000, dst_port=7, src=PEER, dst=OWN, **options):
    group = dst != OWN
    host.hear_ip(UDP, datagram(data, src_port, dst_port, src, dst, **options), src=src, dst=dst,
                 dst_mac=BROADCAST_MAC if group else None)


def received(endpoint):
    """Everything in the queue, as bytes."""
    result = []
    while (one := endpoint.receive()) is not None:
        result.append(bytes(one.data))
    return result


def refused(number, call, *args, **options):
    with pytest.raises(OSError) as caught:
        call(*args, **options)
    assert caught.value.errno == number


def pair(**options):
    """Two hosts on one wire that know each other."""
    wire, clock = Wire(**options), ManualClock()
    a = Host(link=wire.port(), clock=clock)
    b = Host("192.168.2.199/24", mac=PEER_MAC, link=wire.port(), clock=clock)
    a.know()
    b.know(OWN, a.mac)
    return a, b


# -- receiving --------------------------------------------------------------------------------------------

def test_datagram_reaches_its_port():
    host = ready()
    endpoint = bound(host)
    hear(host, b"hello")
    one = endpoint.receive()
    assert bytes(one.data) == b"hello" and one.remote == (PEER, 1000) and one.local == OWN
    assert (one.ttl, one.tos, one.interface) == (64, 0, host.interface)
    assert endpoint.receive() is None


def test_empty_datagram_is_a_datagram():
    host = ready()
    endpoint = bound(host)
    hear(host, b"")
    assert endpoint.readable and received(endpoint) == [b""]


def test_peeking_leaves_the_datagram():
    host = ready()
    endpoint = bound(host)
    hear(host)
    assert endpoint.unread == 4
    assert endpoint.receive(peek=True) is endpoint.receive(peek=True) is endpoint.receive()
    assert not endpoint.readable


@pytest.mark.parametrize("options, reason", [
    ({"length": 7}, "length"), ({"length": 0}, "length"), ({"length": 13}, "length"), ({"length": 65535},
                                                                                       "length"),
    ({"checksum": 1}, "checksum"), ({"checksum": 0xFFFF}, "checksum"),
])
def test_broken_datagrams_are_dropped_in_silence(options, reason):
    host = ready()
    endpoint = bound(host)
    hear(host, **options)
    assert not endpoint.readable and host.take() == []
    assert host.counters["udp.drop_" + reason] == 1


@pytest.mark.parametrize("length", range(8))
def test_less_than_a_header_is_dropped(length):
    host = ready()
    host.hear_ip(UDP, datagram(b"", 1, 7)[:length])
    assert host.counters["udp.drop_short"] == 1 and host.take() == []


def test_no_checksum_is_accepted():
    host = ready()
    endpoint = bound(host)
    hear(host, checksum=0)
    assert received(endpoint) == [b"data"]


def test_what_the_link_has_checked_is_not_checked_again():
    host = ready()
    endpoint = bound(host)
    packet = IPv4Header(total_length=32, protocol=UDP, src=PEER, dst=OWN).pack() + datagram(b"data", 1, 7,
                                                                                            checksum=1)
    host.receive([(host.mac + PEER_MAC + b"\x08\0" + packet, True, 0)])
    assert received(endpoint) == [b"data"]


def test_bytes_beyond_the_udp_length_are_cut():
    host = ready()
    endpoint = bound(host)
    host.hear_ip(UDP, datagram(b"data", 1, 7) + b"more")
    assert received(endpoint) == [b"data"]


def test_closed_port_is_unreachable():
    host = ready()
    hear(host)
    (header, payload), = host.take_ip()
    assert header.protocol == 1 and payload[:2] == b"\x03\x03" and host.counters["udp.no_port"] == 1


def test_queue_is_bounded_in_bytes():
    host = ready()
    endpoint = bound(host, rcvbuf=10_000)
    for _ in range(100):
        hear(host, bytes(1000))
    assert len(received(endpoint)) == 10_000 // (1000 + OVERHEAD) + 1
    assert endpoint.drops == host.counters["udp.drop_full"] > 0
    hear(host)
    assert received(endpoint) == [b"data"]


def test_queue_is_bounded_for_empty_datagrams_too():
    host = ready()
    endpoint = bound(host)
    for _ in range(2000):
        hear(host, b"")
    assert len(received(endpoint)) < 900


def test_waiter_is_woken():
    host = ready(clock=ManualClock(auto=True))
    endpoint = bound(host)
    with host.gate:
        host.timers.after(3.0, lambda: hear_inside(host))
        assert host.gate.wait(endpoint, lambda: endpoint.readable, host.clock.now() + 5)
    assert host.clock.now() == 3.0


def hear_inside(host):
    packet = IPv4Header(total_length=32, protocol=UDP, src=PEER, dst=OWN).pack() + datagram(b"data", 1, 7)
    host.ethernet.input(host.mac + PEER_MAC + b"\x08\0" + packet)


# -- who gets it ------------------------------------------------------------------------------------------

def test_the_most_specific_endpoint_wins():
    host = ready()
    anyone = bound(host, reuse_address=True)
    here = bound(host, address=OWN, reuse_address=True)
    peers = bound(host, address=OWN, reuse_address=True)
    with host.gate:
        peers.connect(PEER, 1000)
    hear(host, b"a")
    hear(host, b"b", src_port=1001)
    with host.gate:
        sender = host.udp.endpoint()
        sender.send(b"c", (LOOPBACK, 7))
    assert (received(peers), received(here), received(anyone)) == ([b"a"], [b"b"], [b"c"])


def test_connected_endpoint_hears_only_its_remote():
    host = ready()
    endpoint = connected(host)
    port = endpoint.local[1]
    assert endpoint.local[0] == OWN and 32768 <= port <= 60999
    hear(host, b"yes", src_port=7, dst_port=port)
    hear(host, b"no", src_port=8, dst_port=port)
    hear(host, b"no", src_port=7, dst_port=port, src=GATEWAY)
    assert received(endpoint) == [b"yes"]


def test_last_bound_wins_among_equals():
    host = ready()
    first, second = (bound(host, reuse_address=True) for _ in range(2))
    hear(host, b"a")
    second.close()
    hear(host, b"b")
    assert received(first) == [b"b"]


def test_reuse_port_spreads_remotes_and_keeps_each_where_it_was():
    host = ready()
    endpoints = [bound(host, reuse_port=True) for _ in range(4)]
    for port in range(1000, 1200):
        hear(host, b"%d" % port, src_port=port)
        hear(host, b"%d" % port, src_port=port)
    got = [received(endpoint) for endpoint in endpoints]
    assert all(len(one) > 10 for one in got)
    assert all(one.count(data) == 2 for one in got for data in one)


@pytest.mark.parametrize("dst", ["192.168.2.255", "255.255.255.255"])
def test_broadcast_goes_to_every_endpoint_it_fits(dst):
    host = ready()
    fitting = [bound(host, reuse_address=True), bound(host, address=ip(dst), reuse_address=True)]
    others = [bound(host, address=OWN, reuse_address=True), bound(host, 8)]
    stranger = bound(host, reuse_address=True)
    with host.gate:
        stranger.connect(GATEWAY, 1)
    hear(host, b"all", dst=ip(dst))
    assert [received(endpoint) for endpoint in fitting] == [[b"all"]] * 2
    assert [received(endpoint) for endpoint in others + [stranger]] == [[]] * 3
    assert host.take() == []


def test_multicast_goes_to_members():
    host = ready()
    member, other = bound(host, reuse_address=True), bound(host, reuse_address=True, multicast_all=False)
    group = ip("239.1.2.3")
    with host.gate:
        member.groups.join(group, host.interface)
        refused(errno.EADDRINUSE, member.groups.join, group, host.interface)
        refused(errno.EINVAL, member.groups.join, PEER, host.interface)
        refused(errno.EADDRNOTAVAIL, other.groups.leave, group, host.interface)
    hear(host, b"members", dst=group)
    assert received(member) == [b"members"] and received(other) == []
    with host.gate:
        member.close()
    assert not host.ipv4.is_joined(group, host.interface)


def test_what_we_send_to_our_group_comes_back_unless_switched_off():
    host = ready()
    group = ip("239.1.2.3")
    endpoint = bound(host)
    with host.gate:
        endpoint.groups.join(group, host.interface)
        endpoint.send(b"loop", (group, 7))
    assert received(endpoint) == [b"loop"]
    with host.gate:
        endpoint.multicast_loop = False
        endpoint.send(b"no loop", (group, 7))
    assert received(endpoint) == []
    assert [header.ttl for header, _ in host.take_ip() if header.protocol == UDP] == [1, 1]


# -- sending ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("data", [b"", b"x", b"hello", bytes(1472)])
def test_sent_datagram_is_right(data):
    host = ready()
    endpoint = bound(host, ttl=9, tos=4)
    with host.gate:
        assert endpoint.send(data, (PEER, 53)) == len(data)
    (header, payload), = host.take_ip()
    udp = UdpHeader.unpack(payload, 0, len(payload))
    assert (udp.src_port, udp.dst_port, udp.length) == (7, 53, 8 + len(data)) and payload[8:] == data
    assert (residue(payload) + pseudo_header(OWN, PEER, UDP, len(payload))) % 0xFFFF == 0
    assert (header.ttl, header.tos, header.df, header.id) == (9, 4, True, 0)


def test_a_sum_of_zero_is_sent_as_ffff():
    host = ready()
    endpoint = bound(host)
    want = -(pseudo_header(OWN, PEER, UDP, 10) + 7 + 53 + 10) % 0xFFFF
    with host.gate:
        endpoint.send(want.to_bytes(2, "big"), (PEER, 53))
    assert host.take_ip()[0][1][6:8] == b"\xff\xff"


def test_partial_checksum_where_the_link_finishes_it():
    host = ready()
    sent = []
    host.link.tx_checksum = True
    host.link.send = lambda parts, offload=None: sent.append((b"".join(parts), offload))
    endpoint = bound(host)
    with host.gate:
        endpoint.send(b"hello", (PEER, 53))
        endpoint.ip_options = b"\x94\x04\0\0"
        endpoint.send(b"hello", (PEER, 53))
        endpoint.send(bytes(3000), (PEER, 53))
    assert int.from_bytes(sent[0][0][40:42], "big") == pseudo_header(OWN, PEER, UDP, 13)
    assert [offload for _, offload in sent] == [(0, 20, 6, 28), (0, 24, 6, 32), None, None, None]


@pytest.mark.parametrize("size", [1473, 8000, 65507])
def test_large_datagrams_cross_in_fragments(size):
    a, b = pair()
    endpoint = bound(b)
    sender = connected(a)
    data = bytes(i * 3 & 0xFF for i in range(size))
    with a.gate:
        sender.send(data)
    assert received(endpoint) == [data] and b.counters["ipv4.fragments_in"] > 1


@pytest.mark.parametrize("offload", [False, True])
def test_echo_across_a_wire(offload):
    a, b = pair(offload=offload)
    server, client = bound(b), connected(a)
    with a.gate:
        client.send(b"ping")
    with b.gate:
        one = server.receive()
        server.send(b"pong", one.remote)
    assert received(client) == [b"pong"]


@pytest.mark.parametrize("size", [0, 1000, 65507])
def test_loopback(size):
    host = Host()
    server, client = bound(host), connected(host, LOOPBACK)
    with host.gate:
        client.send(bytes(size))
        assert not server.readable
    assert received(server) == [bytes(size)]


def test_limits_of_sending():
    host = ready()
    endpoint = bound(host)
    with host.gate:
        refused(errno.EDESTADDRREQ, endpoint.send, b"x")
        refused(errno.EMSGSIZE, endpoint.send, bytes(65508), (PEER, 7))
        refused(errno.EINVAL, endpoint.send, b"x", (PEER, 0))
        refused(errno.EACCES, endpoint.send, b"x", (ip("255.255.255.255"), 7))
        refused(errno.EACCES, endpoint.connect, ip("192.168.2.255"), 7)
        endpoint.pmtu_discovery = PMTU_DO
        refused(errno.EMSGSIZE, endpoint.send, bytes(1473), (PEER, 7))
        endpoint.send(bytes(1472), (PEER, 7))
    assert len(host.take()) == 1


def test_no_route():
    host = Host(gateway=None)
    endpoint = bound(host)
    with host.gate:
        refused(errno.ENETUNREACH, endpoint.send, b"x", (ip("10.0.0.1"), 7))
        refused(errno.ENETUNREACH, endpoint.connect, ip("10.0.0.1"), 7)


def test_broadcast_with_permission():
    host = ready()
    endpoint = bound(host, broadcast=True)
    with host.gate:
        endpoint.send(b"all", (ip("255.255.255.255"), 7))
        endpoint.send(b"all", (ip("192.168.2.255"), 7))
    assert [frame[:6] for frame in host.take()] == [BROADCAST_MAC] * 2
    assert received(endpoint) == [b"all"] * 2                 # our own copy


def test_pmtu_discovery_off_sends_without_df():
    host = ready()
    endpoint = bound(host, pmtu_discovery=PMTU_DONT)
    with host.gate:
        endpoint.send(b"x", (PEER, 7))
    assert not host.take_ip()[0][0].df


def test_shutdown():
    host = ready()
    endpoint = connected(host)
    with host.gate:
        endpoint.shutdown(1)
        refused(errno.EPIPE, endpoint.send, b"x")
        assert not endpoint.readable
        endpoint.shutdown(0)
    assert endpoint.readable and endpoint.eof and endpoint.receive() is None


# -- addresses --------------------------------------------------------------------------------------------

def test_bind():
    host = ready()
    endpoint = bound(host, 0)
    assert 32768 <= endpoint.local[1] <= 60999
    with host.gate:
        refused(errno.EINVAL, endpoint.bind, ANY, 9)
        other = host.udp.endpoint()
        refused(errno.EADDRNOTAVAIL, other.bind, PEER, 9)
        refused(errno.EADDRINUSE, other.bind, OWN, endpoint.local[1])
        other.bind(ip("127.3.2.1"), 9)
    assert other.local == (ip("127.3.2.1"), 9)


def test_connect_again_and_disconnect():
    host = ready()
    endpoint = connected(host)
    port = endpoint.local[1]
    with host.gate:
        endpoint.connect(GATEWAY, 9)
    assert endpoint.remote == (GATEWAY, 9) and endpoint.local == (OWN, port)
    with host.gate:
        endpoint.disconnect()
    assert endpoint.remote is None and endpoint.local == (ANY, 0) and not host.udp.ports.in_use(port)
    assert host.udp._filed == {} and host.udp._by_port == {}


def test_disconnect_keeps_what_was_bound():
    host = ready()
    endpoint = bound(host)
    with host.gate:
        endpoint.connect(PEER, 9)
        endpoint.disconnect()
    assert endpoint.local == (ANY, 7)
    hear(host, b"anyone", src=GATEWAY)
    assert received(endpoint) == [b"anyone"]


def test_connecting_to_nowhere_means_here():
    host = ready()
    assert connected(host, ANY).remote == (LOOPBACK, 7)


def test_connected_endpoint_with_other_remote_address_still_sends():
    host = ready()
    endpoint = connected(host)
    with host.gate:
        endpoint.send(b"x", (PEER, 99))
    assert host.take_ip()[0][1][2:4] == b"\0\x63"


def test_close_gives_everything_back():
    host = ready()
    endpoint = connected(host)
    with host.gate:
        endpoint.close()
        endpoint.close()
    assert len(host.udp.ports) == 0 and host.udp._filed == {} and host.udp._by_port == {}


def test_stop_closes_all():
    host = ready()
    endpoints = [bound(host, port) for port in (1, 2, 3)]
    with host.gate:
        host.udp.stop()
    assert all(endpoint.closed for endpoint in endpoints) and len(host.udp.ports) == 0


def test_ten_thousand_endpoints_leave_nothing():
    host = ready()
    for _ in range(10_000):
        with host.gate:
            endpoint = host.udp.endpoint()
            endpoint.bind(ANY, 0)
            endpoint.close()
    assert len(host.udp.ports) == 0 and host.udp._filed == {}


# -- errors -----------------------------------------------------------------------------------------------

def complain(host, endpoint, type, code, rest=0, remote=None, **fields):
    """A router says something about a datagram that the endpoint sent."""
    remote = remote or endpoint.remote
    quoted = IPv4Header(total_length=36, protocol=UDP, src=OWN, dst=remote[0], **fields).pack()
    quoted += UdpHeader(endpoint.local[1], remote[1], 16).pack()
    message = IcmpHeader(type, code, 0, rest).pack() + quoted
    message = IcmpHeader(type, code, -residue(message) % 0xFFFF, rest).pack() + quoted
    host.hear_ip(1, message, src=GATEWAY, src_mac=OTHER_MAC)


def test_refused_datagram_is_reported_once_to_the_connected_endpoint():
    a, b = pair()
    client = connected(a)
    with a.gate:
        client.send(b"x")
    assert client.readable
    with a.gate:
        refused(errno.ECONNREFUSED, client.receive)
        assert client.receive() is None
        client.send(b"x")
    with a.gate:
        refused(errno.ECONNREFUSED, client.send, b"x")
        client.send(b"x")
    assert client.take_error() == errno.ECONNREFUSED and client.take_error() == 0
    assert b.counters["udp.no_port"] == 3


def test_soft_errors_are_not_reported():
    host = ready()
    endpoint = connected(host)
    for type, code in ((3, 0), (3, 1), (11, 0), (11, 1)):
        complain(host, endpoint, type, code)
    assert endpoint.error == 0 and host.counters["udp.errors_in"] == 4


def test_unconnected_endpoints_hear_nothing():
    host = ready()
    endpoint = bound(host)
    complain(host, endpoint, 3, 3, remote=(PEER, 9))
    assert endpoint.error == 0


def test_errors_about_what_nobody_sent_are_dropped():
    host = ready()
    endpoint = connected(host)
    complain(host, endpoint, 3, 3, remote=(PEER, 8))
    complain(host, endpoint, 3, 3, remote=(GATEWAY, 7))
    assert endpoint.error == 0 and host.counters["udp.drop_error_stranger"] == 2


def test_too_large_lowers_the_path_mtu_and_is_reported():
    host = ready()
    endpoint = connected(host)
    complain(host, endpoint, 3, 4, rest=1000)
    assert endpoint.take_error() == errno.EMSGSIZE and host.ipv4.path_mtu(PEER) == 1000
    with host.gate:
        endpoint.send(bytes(1400))
    assert [header.total_length for header, _ in host.take_ip()] == [996, 452]


def test_too_large_from_a_stranger_changes_nothing():
    host = ready()
    endpoint = connected(host)
    complain(host, endpoint, 3, 4, rest=600, remote=(GATEWAY, 9))
    assert host.ipv4.path_mtu(GATEWAY) is None


def test_silent_neighbour_is_unreachable_for_the_connected_endpoint():
    host = Host()
    endpoint = connected(host)
    with host.gate:
        endpoint.send(b"x")
    host.clock.advance(3.1)
    refused(errno.EHOSTUNREACH, endpoint.receive)


# -- one interface only -----------------------------------------------------------------------------------


def test_who_is_bound_to_another_interface_is_not_there():
    host = ready()
    endpoint = bound(host, device=host.ipv4.loopback)
    hear(host)
    assert received(endpoint) == [] and host.counters["udp.no_port"] == 1


def test_who_is_bound_to_the_interface_comes_before_who_is_not():
    host = ready()
    here, there, anywhere = (bound(host, reuse_address=True, device=device)
                             for device in (host.interface, host.ipv4.loopback, None))
    hear(host, b"wire")
    with host.gate:
        host.udp.endpoint().send(b"loopback", (LOOPBACK, 7))
    assert [received(endpoint) for endpoint in (here, there, anywhere)] == [[b"wire"], [b"loopback"], []]


def test_a_general_socket_hears_what_the_bound_one_cannot():
    host = ready()
    there, anywhere = bound(host, address=OWN, device=host.ipv4.loopback), bound(host, reuse_address=True, port=8)
    with host.gate:
        there.reuse_address = True
        there.options_changed()
    general = bound(host, reuse_address=True)
    hear(host, b"wire")
    assert received(there) == [] and received(general) == [b"wire"] and received(anywhere) == []
