"""setsockopt and getsockopt: the kernel's values and layouts."""

import errno
import struct

import pytest

SIMPLE = [                     # (level, option, value): set, then read back
    ("SOL_SOCKET", "SO_REUSEADDR", 1), ("SOL_SOCKET", "SO_REUSEPORT", 1), ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("SOL_SOCKET", "SO_OOBINLINE", 1), ("SOL_SOCKET", "SO_BROADCAST", 1), ("SOL_SOCKET", "SO_RCVLOWAT", 7),
    ("IPPROTO_IP", "IP_TTL", 9), ("IPPROTO_IP", "IP_TOS", 16),
    ("IPPROTO_TCP", "TCP_NODELAY", 1), ("IPPROTO_TCP", "TCP_CORK", 1), ("IPPROTO_TCP", "TCP_KEEPIDLE", 11),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", 12), ("IPPROTO_TCP", "TCP_KEEPCNT", 3), ("IPPROTO_TCP", "TCP_SYNCNT", 4),
    ("IPPROTO_TCP", "TCP_USER_TIMEOUT", 1500), ("IPPROTO_TCP", "TCP_LINGER2", 5),
    ("IPPROTO_TCP", "TCP_MAXSEG", 1000),
]


@pytest.fixture
def tcp(net, keep):
    return keep(net.socket())


@pytest.mark.parametrize("level, name, value", SIMPLE)
def test_what_is_set_is_read_back(net, tcp, level, name, value):
    level, option = getattr(net, level), getattr(net, name)
    tcp.setsockopt(level, option, value)
    assert tcp.getsockopt(level, option) == value
    assert tcp.getsockopt(level, option, 4) == struct.pack("i", value)


@pytest.mark.parametrize("name, value", [("SO_TYPE", 1), ("SO_DOMAIN", 2), ("SO_PROTOCOL", 6),
                                         ("SO_ERROR", 0), ("SO_ACCEPTCONN", 0), ("SO_REUSEADDR", 0),
                                         ("SO_KEEPALIVE", 0)])
def test_a_new_tcp_socket_says_what_it_is(net, tcp, name, value):
    assert tcp.getsockopt(net.SOL_SOCKET, getattr(net, name)) == value


def test_a_udp_socket_says_what_it_is(net, udp):
    assert [udp.getsockopt(net.SOL_SOCKET, o) for o in (net.SO_TYPE, net.SO_PROTOCOL)] == [2, 17]


def test_a_listener_says_that_it_accepts(net, listener):
    assert listener.getsockopt(net.SOL_SOCKET, net.SO_ACCEPTCONN) == 1


@pytest.mark.parametrize("name", ["SO_TYPE", "SO_PROTOCOL", "SO_ERROR", "SO_ACCEPTCONN"])
def test_facts_cannot_be_set(net, tcp, name):
    with pytest.raises(OSError) as error:
        tcp.setsockopt(net.SOL_SOCKET, getattr(net, name), 1)
    assert error.value.errno == errno.ENOPROTOOPT


def test_linger_is_a_struct(net, tcp):
    tcp.setsockopt(net.SOL_SOCKET, net.SO_LINGER, struct.pack("ii", 1, 7))
    assert struct.unpack("ii", tcp.getsockopt(net.SOL_SOCKET, net.SO_LINGER, 8)) == (1, 7)
    assert tcp.getsockopt(net.SOL_SOCKET, net.SO_LINGER) == 1
    with pytest.raises(OSError) as error:
        tcp.setsockopt(net.SOL_SOCKET, net.SO_LINGER, 1)
    assert error.value.errno == errno.EINVAL


@pytest.mark.parametrize("name", ["SO_RCVTIMEO", "SO_SNDTIMEO"])
def test_time_limits_are_timevals(net, tcp, name):
    option = getattr(net, name)
    assert tcp.getsockopt(net.SOL_SOCKET, option, 16) == bytes(16)
    tcp.setsockopt(net.SOL_SOCKET, option, struct.pack("ll", 3, 500000))
    assert struct.unpack("ll", tcp.getsockopt(net.SOL_SOCKET, option, 16)) == (3, 500000)


@pytest.mark.parametrize("name", ["SO_RCVBUF", "SO_SNDBUF"])
def test_buffer_sizes_read_back_doubled(net, tcp, name):
    option = getattr(net, name)
    tcp.setsockopt(net.SOL_SOCKET, option, 20000)
    assert tcp.getsockopt(net.SOL_SOCKET, option) == 40000


@pytest.mark.parametrize("name, least", [("SO_RCVBUF", 2304), ("SO_SNDBUF", 4608)])
def test_buffer_sizes_have_a_minimum(net, tcp, name, least):
    tcp.setsockopt(net.SOL_SOCKET, getattr(net, name), 0)
    assert tcp.getsockopt(net.SOL_SOCKET, getattr(net, name)) == least


def test_ip_options_are_padded_to_words(net, udp):
    assert udp.getsockopt(net.IPPROTO_IP, net.IP_OPTIONS, 40) == b""
    udp.setsockopt(net.IPPROTO_IP, net.IP_OPTIONS, b"\x07\x07\x04\0\0\0\0")
    assert udp.getsockopt(net.IPPROTO_IP, net.IP_OPTIONS, 40) == b"\x07\x07\x04\0\0\0\0\0"


@pytest.mark.parametrize("level, name, value", [("IPPROTO_IP", "IP_TTL", 0), ("IPPROTO_IP", "IP_TTL", 256),
                                                ("IPPROTO_TCP", "TCP_KEEPIDLE", 0),
                                                ("IPPROTO_TCP", "TCP_MAXSEG", 10)])
def test_values_out_of_range_are_einval(net, tcp, level, name, value):
    with pytest.raises(OSError) as error:
        tcp.setsockopt(getattr(net, level), getattr(net, name), value)
    assert error.value.errno == errno.EINVAL


@pytest.mark.parametrize("level, option", [(0, 250), (1, 250), (6, 250)])
def test_unknown_options_are_enoprotoopt(tcp, level, option):
    with pytest.raises(OSError) as error:
        tcp.getsockopt(level, option)
    assert error.value.errno == errno.ENOPROTOOPT
    with pytest.raises(OSError) as error:
        tcp.setsockopt(level, option, 1)
    assert error.value.errno == errno.ENOPROTOOPT


def test_hdrincl_is_for_raw_sockets_only(net, tcp):
    with pytest.raises(OSError) as error:
        tcp.setsockopt(net.IPPROTO_IP, net.IP_HDRINCL, 1)
    assert error.value.errno == errno.ENOPROTOOPT


def test_too_short_a_value_is_einval(net, tcp):
    with pytest.raises(OSError) as error:
        tcp.setsockopt(net.SOL_SOCKET, net.SO_REUSEADDR, b"\1")
    assert error.value.errno == errno.EINVAL


def test_one_byte_is_enough_at_the_ip_level(net, tcp):
    tcp.setsockopt(net.IPPROTO_IP, net.IP_TTL, b"\x21")
    assert tcp.getsockopt(net.IPPROTO_IP, net.IP_TTL, 1) == b"\x21"


def test_accepted_connections_inherit_the_options_of_the_listener(net, keep, listener):
    listener.setsockopt(net.IPPROTO_TCP, net.TCP_NODELAY, 1)
    listener.setsockopt(net.SOL_SOCKET, net.SO_KEEPALIVE, 1)
    listener.setsockopt(net.IPPROTO_IP, net.IP_TTL, 33)
    keep(net.create_connection(listener.getsockname()))
    server = keep(listener.accept()[0])
    assert server.getsockopt(net.IPPROTO_TCP, net.TCP_NODELAY) == 1
    assert server.getsockopt(net.SOL_SOCKET, net.SO_KEEPALIVE) == 1
    assert server.getsockopt(net.IPPROTO_IP, net.IP_TTL) == 33


def test_tcp_info_has_the_kernels_layout(net, pair):
    info = pair[0].getsockopt(net.IPPROTO_TCP, net.TCP_INFO, 104)
    assert len(info) == 104 and info[0] == 1                   # established


def test_tcp_info_can_be_read_by_name(ours, keep):
    listener = keep(ours.create_server(("127.0.0.1", 0)))
    client = keep(ours.create_connection(listener.getsockname()))
    info = client.tcp_info()
    assert info["tcpi_state"] == 1 and info["tcpi_snd_mss"] > 0


def test_setsockopt_with_none_passes_no_buffer(net, tcp):
    with pytest.raises(TypeError):
        tcp.setsockopt(net.SOL_SOCKET, net.SO_REUSEADDR, None)
    with pytest.raises(OSError) as error:
        tcp.setsockopt(net.SOL_SOCKET, net.SO_REUSEADDR, None, 4)
    assert error.value.errno == errno.EFAULT


def test_getsockopt_limits_the_buffer(net, tcp):
    for size in (-1, 1025):
        with pytest.raises(OSError, match="getsockopt buflen out of range"):
            tcp.getsockopt(net.SOL_SOCKET, net.SO_TYPE, size)
