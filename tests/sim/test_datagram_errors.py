"""What became of the datagrams we sent: the error queue, bounded; what overrides an endpoint's options."""

import errno

import pytest
from network_host import GATEWAY, OWN, PEER, Host, ip

from tipy.address import LOOPBACK
from tipy.checksum import checksum
from tipy.datagrams import (MAX_ERRORS, ORIGIN_ICMP, ORIGIN_LOCAL, PMTU_DO, PMTU_DONT,
                            PMTU_INTERFACE,
                            PMTU_OMIT, PMTU_PROBE, PMTU_WANT, Override, SendError)
from tipy.groups import MAX_GROUPS
from tipy.wire.icmp import IcmpHeader
from tipy.wire.ipv4 import IPv4Header

UDP, ICMP = 17, 1
FAR = ip("10.9.9.9")


def endpoint_on(host, recverr=True, remote=None, **options):
    host.know()
    host.know(GATEWAY, b"\x02\0\0\0\0\x09")
    with host.gate:
        endpoint = host.udp.endpoint()
        endpoint.keep_errors(recverr)
        for name, value in options.items():
            setattr(endpoint, name, value)
        endpoint.bind(ip("0.0.0.0"), 7)
        if remote is not None:
            endpoint.connect(*remote)
    return endpoint


def send(host, endpoint, data=b"payload", remote=(FAR, 53), **more):
    with host.gate:
        endpoint.send(data, remote, **more)


def router_says(host, type, code, rest=0, source=GATEWAY):
    """An ICMP error about the packet sent last."""
    header, payload = host.take_ip()[-1]
    quoted = header._replace(total_length=20 + len(payload)).pack() + payload[:508]
    message = IcmpHeader(type, code, 0, rest).pack() + quoted
    host.hear_ip(ICMP, message[:2] + checksum(message).to_bytes(2, "big") + message[4:], src=source)


def refused(number, call, *args, **options):
    with pytest.raises(OSError) as caught:
        call(*args, **options)
    assert caught.value.errno == number


# -- the error queue --------------------------------------------------------------------------------------


@pytest.mark.parametrize("type, code, number", [(3, 3, errno.ECONNREFUSED), (3, 1, errno.EHOSTUNREACH),
                                                (3, 0, errno.ENETUNREACH), (11, 0, errno.EHOSTUNREACH)])
def test_hard_and_soft_errors_are_told_who_asked(type, code, number):
    host = Host()
    endpoint = endpoint_on(host)
    send(host, endpoint)
    router_says(host, type, code)
    assert endpoint.error == number
    assert endpoint.take_send_error() == SendError(number, ORIGIN_ICMP, type, code, 0, GATEWAY, (FAR, 53),
                                                   b"payload")
    assert endpoint.error == 0 and endpoint.take_send_error() is None


def test_soft_errors_do_not_concern_who_did_not_ask():
    host = Host()
    endpoint = endpoint_on(host, recverr=False, remote=(FAR, 53))
    send(host, endpoint, remote=None)
    router_says(host, 11, 0)
    assert endpoint.error == 0 and not endpoint.errors


def test_a_too_large_packet_tells_the_mtu():
    host = Host()
    endpoint = endpoint_on(host)
    send(host, endpoint, bytes(1400))
    router_says(host, 3, 4, rest=1200)
    error = endpoint.take_send_error()
    assert (error.errno, error.info, error.offender) == (errno.EMSGSIZE, 1200, GATEWAY)
    assert host.ipv4.path_mtu(FAR) == 1200


def test_what_we_refuse_ourselves_is_told_too():
    host = Host()
    endpoint = endpoint_on(host, pmtu_discovery=PMTU_DO)
    refused(errno.EMSGSIZE, send, host, endpoint, bytes(1473))
    assert endpoint.error == 0
    assert endpoint.take_send_error() == SendError(errno.EMSGSIZE, ORIGIN_LOCAL, 0, 0, 1500, None, (FAR, 0),
                                                   b"")


def test_the_pending_error_is_the_next_one_of_the_queue():
    host = Host()
    endpoint = endpoint_on(host)
    for code in (3, 1):
        send(host, endpoint)
        router_says(host, 3, code)
        endpoint.take_error()
    endpoint.take_send_error()
    assert endpoint.error == errno.EHOSTUNREACH
    endpoint.take_send_error()
    assert endpoint.error == 0


def test_the_queue_is_bounded():
    host = Host()
    endpoint = endpoint_on(host)
    for number in range(MAX_ERRORS + 10):
        send(host, endpoint, bytes((number,)))
        router_says(host, 3, 3)
        endpoint.take_error()
    assert len(endpoint.errors) == MAX_ERRORS and host.counters["udp.drop_errors_full"] == 10
    assert endpoint.take_send_error().data == b"\0"


def test_a_forged_error_about_what_was_never_sent_is_a_strangers():
    host = Host()
    endpoint_on(host)
    quoted = IPv4Header(total_length=28, protocol=UDP, src=OWN, dst=FAR).pack() + b"\0\x63\0\x35\0\x08\0\0"
    message = IcmpHeader(3, 3).pack() + quoted
    host.hear_ip(ICMP, message[:2] + checksum(message).to_bytes(2, "big") + message[4:])
    assert host.counters["udp.drop_error_stranger"] == 1


def test_raw_endpoints_have_the_queue_too():
    host = Host()
    host.know(GATEWAY, b"\x02\0\0\0\0\x09")
    with host.gate:
        endpoint = host.raw.endpoint(99)
        endpoint.keep_errors(True)
        endpoint.connect(FAR)
        endpoint.send(b"raw data")
    router_says(host, 3, 2)
    error = endpoint.take_send_error()
    assert (error.errno, error.remote, error.data) == (errno.ENOPROTOOPT, (FAR, 0), b"raw data")


# -- path MTU discovery -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how, df, fragments", [
    (PMTU_DONT, False, 2), (PMTU_WANT, True, 2), (PMTU_DO, True, 0), (PMTU_PROBE, True, 0),
    (PMTU_INTERFACE, False, 0), (PMTU_OMIT, False, 2)])
def test_each_way_of_discovery(how, df, fragments):
    host = Host()
    endpoint = endpoint_on(host, recverr=False, pmtu_discovery=how)
    send(host, endpoint, bytes(1472))
    (header, _), = host.take_ip()
    assert header.df == df
    if fragments:
        send(host, endpoint, bytes(1473))
    else:
        refused(errno.EMSGSIZE, send, host, endpoint, bytes(1473))
    assert len(host.take_ip()) == fragments


@pytest.mark.parametrize("how, believed", [(PMTU_DONT, False), (PMTU_WANT, True), (PMTU_DO, True),
                                           (PMTU_PROBE, False),
                                           (PMTU_INTERFACE, False), (PMTU_OMIT, False)])
def test_who_lets_routers_lower_the_path_mtu(how, believed):
    host = Host()
    endpoint = endpoint_on(host, recverr=False, pmtu_discovery=how)
    send(host, endpoint, bytes(1400))
    router_says(host, 3, 4, rest=1200)
    assert host.ipv4.path_mtu(FAR) == (1200 if believed else None)


# -- overrides, devices, groups ---------------------------------------------------------------------------


def test_an_override_is_for_one_datagram():
    host = Host()
    endpoint = endpoint_on(host, ttl=9, tos=4)
    send(host, endpoint, override=Override(ttl=33, tos=16))
    send(host, endpoint)
    assert [(header.ttl, header.tos) for header, _ in host.take_ip()] == [(33, 16), (9, 4)]


def test_an_override_of_the_source_may_not_leave_the_host():
    host = Host()
    endpoint = endpoint_on(host)
    refused(errno.EINVAL, send, host, endpoint, override=Override(source=LOOPBACK))
    refused(errno.EADDRNOTAVAIL, send, host, endpoint, override=Override(source=PEER))


def test_a_device_keeps_what_comes_another_way_out():
    host = Host()
    endpoint = endpoint_on(host, device=host.ipv4.loopback)
    host.hear_ip(UDP, b"\0\x35\0\x07\0\x09\0\0x", src=PEER)
    assert not endpoint.readable
    refused(errno.ENETUNREACH, send, host, endpoint)
    endpoint.device = host.interface
    with host.gate:
        endpoint.options_changed()
    host.hear_ip(UDP, b"\0\x35\0\x07\0\x09\0\0x", src=PEER)
    assert endpoint.readable
    send(host, endpoint)
    refused(errno.ENETUNREACH, send, host, endpoint, remote=(LOOPBACK, 7))


def test_an_endpoint_joins_so_many_groups():
    host = Host()
    endpoint = endpoint_on(host)
    with host.gate:
        for number in range(MAX_GROUPS):
            endpoint.groups.join(bytes((239, 1, 1, number)), host.interface)
        refused(errno.ENOBUFS, endpoint.groups.join, ip("239.1.1.99"), host.interface)
        endpoint.close()
    assert host.ipv4.addresses.groups_on(host.interface) == {}


def test_who_shares_a_port_is_chosen_by_a_secret():
    def chosen(seed_turns):
        host = Host()
        for _ in range(seed_turns):
            host.rng.getrandbits(8)
        host.udp = type(host.udp)(host.ipv4, host.gate, host.rng, host.counters, host.settings)
        endpoints = []
        for _ in range(4):
            with host.gate:
                endpoints.append(host.udp.endpoint())
                endpoints[-1].reuse_port = True
                endpoints[-1].bind(OWN, 7)
        return [endpoints.index(host.udp._find(OWN, 7, PEER, port)[0]) for port in range(1000, 1040)]
    assert len(set(chosen(0))) == 4 and chosen(0) == chosen(0) != chosen(1)
