"""Options of the IP level and of datagram sockets, ancillary data and the error queue: the kernel's
results."""

import errno
import socket as stdlib
import struct

import pytest

IP = stdlib.IPPROTO_IP
MTU_DISCOVER, RECVERR, MTU, RECVORIGDSTADDR = 10, 11, 14, 20
MULTICAST_IF, MULTICAST_TTL, MULTICAST_LOOP, ADD, DROP, MULTICAST_ALL = 32, 33, 34, 35, 36, 49
TIMESTAMP, TIMESTAMPNS, BINDTODEVICE = 29, 35, 25
ERRQUEUE = 0x2000
LOOPBACK, GROUP = b"\x7f\0\0\1", b"\xef\1\2\3"
EXTENDED = struct.Struct("=IBBBBIIHH4s8x")
JOIN = GROUP + LOOPBACK


@pytest.fixture
def other(net, keep):
    return keep(net.socket(net.AF_INET, net.SOCK_DGRAM))


@pytest.fixture(params=[stdlib.SOCK_STREAM, stdlib.SOCK_DGRAM], ids=["stream", "datagram"])
def any_sock(net, keep, request):
    return keep(net.socket(net.AF_INET, request.param))


def refused(number, call, *args):
    with pytest.raises(OSError) as caught:
        call(*args)
    assert caught.value.errno == number


def dead_address(net):
    """An address at which nobody listens."""
    with net.socket(net.AF_INET, net.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()


def after_arrival(sock, flags=0, size=100, space=300):
    """recvmsg, once there is something."""
    sock.settimeout(10)
    return sock.recvmsg(size, space, flags)


# -- set and get ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [8, 12, 13, RECVORIGDSTADDR])
def test_ancillary_switches(any_sock, option):
    assert any_sock.getsockopt(IP, option) == 0
    for value in (7, b"\1", 1):
        any_sock.setsockopt(IP, option, value)
        assert any_sock.getsockopt(IP, option) == 1
    assert any_sock.getsockopt(IP, option, 16) == b"\1\0\0\0" and any_sock.getsockopt(IP, option, 1) == b"\1"
    any_sock.setsockopt(IP, option, b"")
    assert any_sock.getsockopt(IP, option) == 0


def test_mtu_discover(any_sock):
    assert any_sock.getsockopt(IP, MTU_DISCOVER) == 1
    for value in range(6):
        any_sock.setsockopt(IP, MTU_DISCOVER, value)
        assert any_sock.getsockopt(IP, MTU_DISCOVER) == value
    for value in (-1, 6):
        refused(errno.EINVAL, any_sock.setsockopt, IP, MTU_DISCOVER, value)


def test_mtu_is_of_connected_sockets(any_sock, other, udp):
    refused(errno.ENOTCONN, any_sock.getsockopt, IP, MTU)
    refused(errno.ENOPROTOOPT, any_sock.setsockopt, IP, MTU, 1500)
    other.connect(udp.getsockname())
    assert other.getsockopt(IP, MTU) == 65535


def test_mtu_of_a_connection(pair):
    assert pair[0].getsockopt(IP, MTU) == 65535


@pytest.mark.parametrize("value, shown", [(1, 0), (0x10, 0x10), (0xFF, 0xFC), (-1, 0xFC)])
def test_tos_of_a_stream_has_no_ecn_bits(net, keep, value, shown):
    sock = keep(net.socket())
    sock.setsockopt(IP, net.IP_TOS, value)
    assert sock.getsockopt(IP, net.IP_TOS) == shown


@pytest.mark.parametrize("value, shown", [(1, 1), (0xFF, 0xFF), (-1, 0xFF), (b"", 0)])
def test_tos_of_datagrams_is_free(net, other, value, shown):
    other.setsockopt(IP, net.IP_TOS, value)
    assert other.getsockopt(IP, net.IP_TOS) == shown


def test_multicast_ttl(other):
    assert other.getsockopt(IP, MULTICAST_TTL) == 1
    for value, shown in ((0, 0), (255, 255), (-1, 1), (b"\7", 7)):
        other.setsockopt(IP, MULTICAST_TTL, value)
        assert other.getsockopt(IP, MULTICAST_TTL) == shown
    for value in (256, -2, b""):
        refused(errno.EINVAL, other.setsockopt, IP, MULTICAST_TTL, value)


def test_multicast_loop_and_all(other):
    for option in (MULTICAST_LOOP, MULTICAST_ALL):
        assert other.getsockopt(IP, option) == 1
        other.setsockopt(IP, option, 0)
        assert other.getsockopt(IP, option) == 0
        refused(errno.EINVAL, other.setsockopt, IP, option, b"")
    refused(errno.EINVAL, other.setsockopt, IP, MULTICAST_ALL, 2)


def test_multicast_interface(other):
    assert other.getsockopt(IP, MULTICAST_IF, 16) == bytes(4)
    other.setsockopt(IP, MULTICAST_IF, LOOPBACK)
    assert other.getsockopt(IP, MULTICAST_IF, 4) == LOOPBACK
    refused(errno.EADDRNOTAVAIL, other.setsockopt, IP, MULTICAST_IF, b"\xc0\0\2\1")
    refused(errno.EINVAL, other.setsockopt, IP, MULTICAST_IF, b"\1")
    other.setsockopt(IP, MULTICAST_IF, bytes(8) + struct.pack("=i", 1))
    assert other.getsockopt(IP, MULTICAST_IF, 4) == bytes(4)


def test_membership(other):
    other.setsockopt(IP, ADD, JOIN)
    refused(errno.EADDRINUSE, other.setsockopt, IP, ADD, JOIN)
    other.setsockopt(IP, DROP, JOIN)
    refused(errno.EADDRNOTAVAIL, other.setsockopt, IP, DROP, JOIN)
    for option in (ADD, DROP):
        other.setsockopt(IP, option, GROUP + bytes(4) + struct.pack("=i", 1))
    refused(errno.EINVAL, other.setsockopt, IP, ADD, LOOPBACK * 2)
    refused(errno.EINVAL, other.setsockopt, IP, ADD, b"\1")
    refused(errno.ENODEV, other.setsockopt, IP, ADD, GROUP + b"\xc0\0\2\1")
    refused(errno.ENODEV, other.setsockopt, IP, ADD, GROUP + bytes(4) + struct.pack("=i", 99999))
    refused(errno.ENOPROTOOPT, other.getsockopt, IP, ADD)


def test_of_the_two_timestamps_the_last_one_counts(other):
    for option, shown in ((TIMESTAMP, (1, 0)), (TIMESTAMPNS, (0, 1)), (TIMESTAMP, (1, 0))):
        other.setsockopt(stdlib.SOL_SOCKET, option, 1)
        assert tuple(other.getsockopt(stdlib.SOL_SOCKET, each) for each in (TIMESTAMP, TIMESTAMPNS)) == shown


def test_linger_of_datagrams_is_remembered(net, other):
    other.setsockopt(net.SOL_SOCKET, net.SO_LINGER, struct.pack("ii", 1, 5))
    assert other.getsockopt(net.SOL_SOCKET, net.SO_LINGER, 8) == struct.pack("ii", 1, 5)


def test_rcvlowat_of_datagrams_is_remembered(net, other):
    assert other.getsockopt(net.SOL_SOCKET, net.SO_RCVLOWAT) == 1
    other.setsockopt(net.SOL_SOCKET, net.SO_RCVLOWAT, 5)
    assert other.getsockopt(net.SOL_SOCKET, net.SO_RCVLOWAT) == 5


def test_bind_to_device(net, other, udp):
    level = net.SOL_SOCKET
    assert other.getsockopt(level, BINDTODEVICE, 16) == b"" and other.getsockopt(level, BINDTODEVICE) == 0
    refused(errno.ENODEV, other.setsockopt, level, BINDTODEVICE, b"nosuch0")
    other.setsockopt(level, BINDTODEVICE, b"lo\0")
    assert other.getsockopt(level, BINDTODEVICE, 16) == b"lo\0"
    refused(errno.EINVAL, other.getsockopt, level, BINDTODEVICE, 15)
    other.sendto(b"by lo", udp.getsockname())
    assert udp.recv(10) == b"by lo"
    other.setsockopt(level, BINDTODEVICE, b"")
    assert other.getsockopt(level, BINDTODEVICE, 16) == b""


@pytest.mark.parametrize("level, option", [(stdlib.IPPROTO_IP, 250), (stdlib.SOL_SOCKET, 999)])
def test_unknown_options(other, level, option):
    refused(errno.ENOPROTOOPT, other.setsockopt, level, option, 1)
    refused(errno.ENOPROTOOPT, other.getsockopt, level, option)


# -- ancillary data ---------------------------------------------------------------------------------------


def test_everything_that_recvmsg_can_tell(net, other, udp):
    for option in (8, 12, 13, RECVORIGDSTADDR):
        udp.setsockopt(IP, option, 1)
    port = udp.getsockname()[1]
    sent = [(IP, net.IP_TTL, struct.pack("=i", 33)), (IP, net.IP_TOS, struct.pack("=i", 16)),
            (IP, 8, struct.pack("=i4s4s", 0, b"\x7f\0\0\x09", bytes(4)))]
    assert other.sendmsg([b"da", b"ta"], sent, 0, udp.getsockname()) == 4
    data, told, flags, remote = after_arrival(udp)
    assert (data, flags, remote) == (b"data", 0, ("127.0.0.9", other.getsockname()[1]))
    assert told == [(IP, 8, struct.pack("=i4s4s", 1, LOOPBACK, LOOPBACK)), (IP, net.IP_TTL, struct.pack("=i",
                                                                                                        33)),
                    (IP, net.IP_TOS, b"\x10"),
                    (IP, RECVORIGDSTADDR, struct.pack("=H", 2) + port.to_bytes(2,
                                                                               "big") + LOOPBACK + bytes(8))]


@pytest.mark.parametrize("option, unit", [(TIMESTAMP, 10 ** 6), (TIMESTAMPNS, 10 ** 9)])
def test_timestamps(net, other, udp, option, unit):
    udp.setsockopt(net.SOL_SOCKET, option, 1)
    for _ in range(2):
        other.sendto(b"x", udp.getsockname())
    times = []
    for _ in range(2):
        (level, kind, value), = after_arrival(udp)[1]
        seconds, rest = struct.unpack("@ll", value)
        assert (level, kind) == (net.SOL_SOCKET, option) and 0 <= rest < unit and seconds > 10 ** 9
        times.append(seconds * unit + rest)
    assert times[0] <= times[1] + unit // 1000


def test_too_little_room_for_ancillary_data(net, other, udp):
    udp.setsockopt(IP, 12, 1)
    udp.setsockopt(IP, 13, 1)
    other.sendto(b"x", udp.getsockname())
    _, told, flags, _ = after_arrival(udp, space=24)
    assert told == [(IP, net.IP_TTL, struct.pack("=i", 64))] and flags == net.MSG_CTRUNC


@pytest.mark.parametrize("item, number", [
    ((IP, 2, b"\1"), errno.EINVAL), ((IP, 2, struct.pack("=i", 0)), errno.EINVAL),
    ((IP, 2, struct.pack("=i", 256)), errno.EINVAL), ((IP, 1, struct.pack("=i", 300)), errno.EINVAL),
    ((IP, 8, b"123"), errno.EINVAL), ((IP, 99, b"1234"), errno.EINVAL), ((1, 99, b"1234"), errno.EINVAL),
    ((17, 5, b"1234"), errno.EINVAL), ((IP, 8, struct.pack("=i", 99999) + bytes(8)), errno.ENODEV),
    ((IP, 8, bytes(4) + b"\xc0\0\2\1" + bytes(4)), errno.ENETUNREACH),
    ((IP, 1, b"\x08"), 0), ((1, 1, bytes(4)), 0), ((41, 2, b"1234"), 0)])
def test_ancillary_data_without_sense(other, udp, item, number):
    if number:
        refused(number, other.sendmsg, [b"x"], [item], 0, udp.getsockname())
    else:
        assert other.sendmsg([b"x"], [item], 0, udp.getsockname()) == 1


@pytest.mark.parametrize("item, number", [((IP, 2, b"\1"), 0), ((1, 1, bytes(4)), 0),
                                          ((1, 99, b"1234"), errno.EINVAL),
                                          ((17, 5, b"1234"), 0)])
def test_streams_look_at_little_of_it(pair, item, number):
    if number:
        refused(number, pair[0].sendmsg, [b"x"], [item])
    else:
        assert pair[0].sendmsg([b"x"], [item]) == 1


# -- the error queue --------------------------------------------------------------------------------------


def wait_for_error(net, sock):
    """Until an error is pending: the plain recv reports it."""
    sock.settimeout(10)
    refused(errno.ECONNREFUSED, sock.recv, 10)
    sock.settimeout(None)


def test_the_error_queue_tells_what_became_of_a_datagram(net, other):
    address = dead_address(net)
    other.setsockopt(IP, RECVERR, 1)
    refused(errno.EAGAIN, other.recvmsg, 100, 300, ERRQUEUE)
    other.sendto(b"payload", address)
    wait_for_error(net, other)
    data, ((level, kind, value),), flags, remote = other.recvmsg(100, 300, ERRQUEUE)
    assert (data, level, kind, flags, remote) == (b"payload", IP, RECVERR, ERRQUEUE, address)
    assert EXTENDED.unpack(value) == (errno.ECONNREFUSED, 2, 3, 3, 0, 0, 0, 2, 0, LOOPBACK)
    refused(errno.EAGAIN, other.recvmsg, 100, 300, ERRQUEUE)


def test_reading_the_queue_takes_the_pending_error_away(net, other):
    other.setsockopt(IP, RECVERR, 1)
    other.sendto(b"1", dead_address(net))
    wait_for_error(net, other)
    other.sendto(b"2", dead_address(net))
    for _ in range(2):
        try:
            other.recvmsg(1, 100, ERRQUEUE)
        except BlockingIOError:
            wait_for_error(net, other)
            other.recvmsg(1, 100, ERRQUEUE)
    assert other.getsockopt(net.SOL_SOCKET, net.SO_ERROR) == 0


def test_what_does_not_fit_is_cut_and_said_so(net, other):
    other.setsockopt(IP, RECVERR, 1)
    other.sendto(b"payload", dead_address(net))
    wait_for_error(net, other)
    data, told, flags, _ = other.recvmsg(3, 20, ERRQUEUE)
    assert data == b"pay" and flags == ERRQUEUE | net.MSG_TRUNC | net.MSG_CTRUNC
    assert told == [(IP, RECVERR, struct.pack("=I", errno.ECONNREFUSED))]


def test_without_recverr_who_is_not_connected_hears_nothing(net, other):
    other.sendto(b"x", dead_address(net))
    other.settimeout(0.05)
    with pytest.raises(TimeoutError):
        other.recv(10)
    other.settimeout(None)
    refused(errno.EAGAIN, other.recvmsg, 100, 300, ERRQUEUE)


def test_switching_it_off_empties_the_queue(net, other):
    other.setsockopt(IP, RECVERR, 1)
    other.sendto(b"x", dead_address(net))
    wait_for_error(net, other)
    other.setsockopt(IP, RECVERR, 0)
    refused(errno.EAGAIN, other.recvmsg, 100, 300, ERRQUEUE)


# -- groups on the loopback interface ---------------------------------------------------------------------


@pytest.fixture
def member(net, keep):
    sock = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    sock.bind(("239.1.2.3", 0))
    sock.setsockopt(IP, ADD, JOIN)
    sock.settimeout(10)
    return sock


@pytest.fixture
def sender(other):
    other.setsockopt(IP, MULTICAST_IF, LOOPBACK)
    return other


def test_a_member_hears_what_is_sent_to_the_group(net, member, sender):
    member.setsockopt(IP, 8, 1)
    member.setsockopt(IP, 12, 1)
    sender.sendto(b"all", member.getsockname())
    data, told, _, remote = member.recvmsg(10, 100)
    assert (data, remote) == (b"all", ("127.0.0.1", sender.getsockname()[1]))
    assert told == [(IP, 8, struct.pack("=i4s4s", 1, LOOPBACK, GROUP)), (IP, net.IP_TTL, struct.pack("=i",
                                                                                                     1))]


def test_who_has_left_hears_nothing(member, sender):
    address = member.getsockname()
    member.setsockopt(IP, DROP, JOIN)
    sender.sendto(b"all", address)
    member.settimeout(0.05)
    with pytest.raises(TimeoutError):
        member.recv(10)


def test_multicast_all_lets_others_join_in(net, keep, member, sender):
    port = member.getsockname()[1]
    listeners = []
    for everything in (1, 0):
        sock = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
        sock.setsockopt(net.SOL_SOCKET, net.SO_REUSEADDR, 1)
        sock.setsockopt(IP, MULTICAST_ALL, everything)
        listeners.append(sock)
    member.close()
    for sock in listeners:
        sock.bind(("", port))
        sock.settimeout(0.05)
    joined = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    joined.setsockopt(IP, ADD, JOIN)
    sender.sendto(b"all", ("239.1.2.3", port))
    assert listeners[0].recv(10) == b"all"
    with pytest.raises(TimeoutError):
        listeners[1].recv(10)


# -- balancing --------------------------------------------------------------------------------------------


def test_who_shares_a_port_shares_the_work(net, keep):
    first = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    first.setsockopt(net.SOL_SOCKET, net.SO_REUSEPORT, 1)
    first.bind(("127.0.0.1", 0))
    shared = [first]
    for _ in range(3):
        sock = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
        sock.setsockopt(net.SOL_SOCKET, net.SO_REUSEPORT, 1)
        sock.bind(first.getsockname())
        shared.append(sock)
    for _ in range(64):
        with net.socket(net.AF_INET, net.SOCK_DGRAM) as sock:
            for _ in range(2):
                sock.sendto(sock.getsockname()[1].to_bytes(2, "big"), first.getsockname())
    heard = []
    for sock in shared:
        sock.setblocking(False)
        own = []
        try:
            while True:
                own.append(sock.recvfrom(10)[1])
        except BlockingIOError:
            heard.append(own)
    assert sum(map(len, heard)) == 128 and all(heard)
    assert all(len(set(one) & set(two)) == 0 for one in heard for two in heard if one is not two)
