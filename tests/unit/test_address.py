"""Addresses: text at the edges, bytes inside."""

import pytest

from tipy import address
from tipy.address import Network, format_ip, format_mac, parse_ip, parse_mac, parse_network


@pytest.mark.parametrize("text, ip", [
    ("192.168.2.200", bytes([192, 168, 2, 200])), ("0.0.0.0", address.ANY),
    ("255.255.255.255", address.LIMITED_BROADCAST), ("127.0.0.1", address.LOOPBACK),
    ("::1", bytes(15) + b"\1"), ("fe80::1", b"\xfe\x80" + bytes(13) + b"\1"),
])
def test_ip_round_trip(text, ip):
    assert parse_ip(text) == ip
    assert format_ip(ip) == text


@pytest.mark.parametrize("text", [
    "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.04", "1.2.3.", " 1.2.3.4", "1.2.3.4 ",
    "a.b.c.d", "1.2.3.\u0664", "1.2.3.1000", ":::", "fe80::1%eth0", "1.2.3.4/24",
])
def test_bad_ip_is_a_value_error_that_shows_it(text):
    with pytest.raises(ValueError) as caught:
        parse_ip(text)
    assert repr(text) in str(caught.value)


def test_mac_round_trip():
    assert parse_mac("02:00:5e:0a:ff:01") == b"\x02\x00\x5e\x0a\xff\x01"
    assert parse_mac("02-00-5E-0A-FF-01") == parse_mac("2:0:5e:a:ff:1") == parse_mac("02:00:5e:0a:ff:01")
    assert format_mac(b"\x02\x00\x5e\x0a\xff\x01") == "02:00:5e:0a:ff:01"
    assert format_mac(memoryview(address.BROADCAST_MAC)) == "ff:ff:ff:ff:ff:ff"


@pytest.mark.parametrize("text", ["", "02:00:00:00:00", "02:00:00:00:00:00:00", "02:00:00:00:00:0g",
                                  "020000000000", "02:00:00:00:00:-1", "02:00:00:00:00:+1",
                                  "02:00:00:00:00:"])
def test_bad_mac_is_a_value_error(text):
    with pytest.raises(ValueError, match="is not a MAC address"):
        parse_mac(text)


def test_network_of_an_address():
    ip, network = parse_network("192.168.2.200/24")
    assert ip == parse_ip("192.168.2.200")
    assert network == Network(parse_ip("192.168.2.0"), 24)
    assert str(network) == "192.168.2.0/24"
    assert network.broadcast == parse_ip("192.168.2.255")
    assert network.mask == parse_ip("255.255.255.0")


def test_network_with_a_netmask():
    assert parse_network("10.1.2.3/255.255.240.0") == parse_network("10.1.2.3/20")


def test_network_membership():
    network = parse_network("10.0.0.1/20")[1]
    assert parse_ip("10.0.15.255") in network
    assert parse_ip("10.0.16.0") not in network
    assert bytes(16) not in network
    everything = parse_network("10.0.0.1/0")[1]
    assert parse_ip("255.1.2.3") in everything


@pytest.mark.parametrize("text, broadcast", [
    ("10.0.0.1/30", "10.0.0.3"), ("10.0.0.1/8", "10.255.255.255"), ("10.0.0.1/0", "255.255.255.255"),
    ("10.0.0.1/31", None), ("10.0.0.1/32", None), ("fe80::1/64", None),
])
def test_broadcast_address(text, broadcast):
    assert parse_network(text)[1].broadcast == (broadcast and parse_ip(broadcast))


def test_both_addresses_of_a_point_to_point_network():
    network = parse_network("10.0.0.1/31")[1]
    assert parse_ip("10.0.0.0") in network and parse_ip("10.0.0.1") in network
    assert parse_ip("10.0.0.2") not in network


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/x", "x/24",
                                  "10.0.0.1/255.0.255.0", "fe80::/129", "10.0.0.1/1000000"])
def test_bad_network_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_network(text)


def test_kinds_of_ip():
    assert address.is_multicast(parse_ip("224.0.0.1")) and address.is_multicast(parse_ip("239.255.255.255"))
    assert not address.is_multicast(parse_ip("223.255.255.255"))
    assert not address.is_multicast(parse_ip("240.0.0.1"))
    assert address.is_multicast(parse_ip("ff02::1")) and not address.is_multicast(parse_ip("fe80::1"))
    assert address.is_loopback(parse_ip("127.255.0.1")) and not address.is_loopback(parse_ip("126.0.0.1"))
    assert address.is_loopback(parse_ip("::1")) and not address.is_loopback(parse_ip("::2"))


def test_kinds_of_mac():
    assert address.is_broadcast_mac(address.BROADCAST_MAC) and address.is_group_mac(address.BROADCAST_MAC)
    group = address.multicast_mac(parse_ip("239.129.2.3"))
    assert format_mac(group) == "01:00:5e:01:02:03"
    assert address.is_group_mac(group) and not address.is_broadcast_mac(group)
    assert format_mac(address.multicast_mac(parse_ip("ff02::1:ff00:1"))) == "33:33:ff:00:00:01"
    assert not address.is_group_mac(parse_mac("02:00:00:00:00:01"))
