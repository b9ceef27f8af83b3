"""UDP sockets, as programs use them."""

import errno

import pytest


def test_a_datagram_arrives_with_its_sender(net, keep, udp):
    sender = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    assert sender.sendto(b"hello", udp.getsockname()) == 5
    assert udp.recvfrom(100) == (b"hello", ("127.0.0.1", sender.getsockname()[1]))


def test_datagrams_keep_their_boundaries(udp):
    for data in (b"one", b"", b"three"):
        udp.sendto(data, udp.getsockname())
    assert [udp.recv(100) for _ in range(3)] == [b"one", b"", b"three"]


@pytest.mark.parametrize("size", [0, 1, 1472, 1473, 8000, 65507])
def test_datagrams_of_any_size_arrive_whole(udp, size):
    data = (bytes(range(256)) * 256)[:size]
    udp.sendto(data, udp.getsockname())
    assert udp.recv(70000) == data


def test_a_larger_one_is_emsgsize(udp):
    with pytest.raises(OSError) as error:
        udp.sendto(bytes(65508), udp.getsockname())
    assert error.value.errno == errno.EMSGSIZE


def test_what_does_not_fit_the_buffer_is_lost(udp):
    udp.sendto(b"abcdef", udp.getsockname())
    udp.sendto(b"next", udp.getsockname())
    assert udp.recv(3) == b"abc"
    assert udp.recv(100) == b"next"


def test_recvmsg_says_that_it_cut(net, udp):
    udp.sendto(b"abcdef", udp.getsockname())
    data, ancillary, flags, address = udp.recvmsg(3)
    assert (data, ancillary, address) == (b"abc", [], udp.getsockname())
    assert flags & net.MSG_TRUNC


def test_recv_into_with_trunc_returns_the_real_length(net, udp):
    udp.sendto(b"abcdef", udp.getsockname())
    buffer = bytearray(2)
    assert udp.recv_into(buffer, 0, net.MSG_TRUNC) == 6
    assert buffer == b"ab"


def test_peek_leaves_the_datagram(net, udp):
    udp.sendto(b"abc", udp.getsockname())
    assert udp.recv(100, net.MSG_PEEK) == b"abc"
    assert udp.recv(100) == b"abc"


def test_recvfrom_into_fills_the_buffer(udp):
    udp.sendto(b"abc", udp.getsockname())
    buffer = bytearray(10)
    assert udp.recvfrom_into(buffer) == (3, udp.getsockname())
    assert buffer[:3] == b"abc"


def test_sending_without_a_destination_is_edestaddrreq(net, keep):
    with pytest.raises(OSError) as error:
        keep(net.socket(net.AF_INET, net.SOCK_DGRAM)).send(b"x")
    assert error.value.errno == errno.EDESTADDRREQ


def test_a_connected_socket_sends_to_its_peer_and_hears_only_it(net, keep, udp):
    connected = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    connected.connect(udp.getsockname())
    stranger = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    stranger.sendto(b"stranger", connected.getsockname())
    connected.send(b"x")
    _, address = udp.recvfrom(10)
    assert address == connected.getsockname()
    udp.sendto(b"answer", address)
    assert connected.recv(100) == b"answer"


def test_a_connected_socket_learns_that_nobody_is_there(net, keep, udp):
    name = udp.getsockname()
    udp.close()
    sock = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    sock.connect(name)
    sock.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        sock.recv(10)


def test_an_unconnected_socket_has_no_peer(udp):
    with pytest.raises(OSError) as error:
        udp.getpeername()
    assert error.value.errno == errno.ENOTCONN


def test_broadcasting_needs_permission(net, udp):
    with pytest.raises(PermissionError):
        udp.sendto(b"x", ("255.255.255.255", 9))


def test_a_read_times_out(udp):
    udp.settimeout(0.01)
    with pytest.raises(TimeoutError, match="^timed out$"):
        udp.recv(1)


def test_a_non_blocking_read_is_eagain(udp):
    udp.setblocking(False)
    with pytest.raises(BlockingIOError):
        udp.recvfrom(1)


def test_there_is_no_listening_nor_accepting(udp):
    for call in (udp.listen, udp.accept):
        with pytest.raises(OSError) as error:
            call()
        assert error.value.errno == errno.EOPNOTSUPP


def test_two_sockets_on_one_port_are_eaddrinuse(net, keep, udp):
    with pytest.raises(OSError) as error:
        keep(net.socket(net.AF_INET, net.SOCK_DGRAM)).bind(udp.getsockname())
    assert error.value.errno == errno.EADDRINUSE


def test_shutdown_without_a_peer_is_enotconn_but_wakes_the_reader(net, udp, background):
    reader = background(udp.recv, 10)
    with pytest.raises(OSError) as error:
        udp.shutdown(net.SHUT_RDWR)
    assert error.value.errno == errno.ENOTCONN
    assert reader.result() == b""


def test_the_buffer_may_change_after_sending(udp):
    data = bytearray(b"before")
    udp.sendto(data, udp.getsockname())
    data[:] = b"after!"
    assert udp.recv(100) == b"before"


def test_recvmsg_reports_ttl_and_destination(net, udp):
    udp.setsockopt(net.IPPROTO_IP, 12, 1)              # IP_RECVTTL
    udp.setsockopt(net.IPPROTO_IP, 8, 1)               # IP_PKTINFO
    udp.sendto(b"x", udp.getsockname())
    _, ancillary, flags, _ = udp.recvmsg(10, 200)
    told = {(level, kind): value for level, kind, value in ancillary}
    assert told[0, net.IP_TTL] == b"\x40\0\0\0"
    assert told[0, 8][4:] == net.inet_aton("127.0.0.1") * 2
    assert not flags & net.MSG_CTRUNC


def test_ancillary_data_that_does_not_fit_is_cut(net, udp):
    udp.setsockopt(net.IPPROTO_IP, 12, 1)
    udp.sendto(b"x", udp.getsockname())
    _, ancillary, flags, _ = udp.recvmsg(10)
    assert ancillary == [] and flags & net.MSG_CTRUNC


def test_a_raw_socket_sees_the_whole_packet(ours, keep):
    raw = keep(ours.socket(ours.AF_INET, ours.SOCK_RAW, ours.IPPROTO_UDP))
    udp = keep(ours.socket(ours.AF_INET, ours.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    udp.sendto(b"payload", udp.getsockname())
    packet, address = raw.recvfrom(2000)
    assert packet[0] == 0x45 and packet.endswith(b"payload") and address == ("127.0.0.1", 0)
