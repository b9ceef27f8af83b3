"""The whole stack against the Linux kernel: ARP, ping, UDP, TCP, on every rung, with and without offload."""

import errno
import hashlib
import os
import socket
import struct
import threading

import pytest

from tipy import log
from tipy.address import parse_mac
from tipy.demo import programs
from tipy.demo.players import KernelPlayer, StackPlayer
from tipy.errors import AddressConflict
from tipy.lab import HOST, OTHER, PREFIX_LENGTH, STACK, network
from tipy.link.faults import FaultLink
from tipy.netlink import Netlink
from tipy.settings import Settings
from tipy.stack import Stack

TIMEOUT = 10
BULK = 4 << 20
MORE = 16 * 1000 * 1000


def make_stack(link, **settings):
    log.choose(())
    return Stack(link=link, address=f"{STACK}/{PREFIX_LENGTH}", settings=Settings(), **settings)


@pytest.fixture(scope="module", params=[True, False], ids=["offload", "plain"])
def stack(lab, request):
    with make_stack(lab.link(offload=request.param)) as stack:
        yield stack


@pytest.fixture
def ours(stack):
    yield StackPlayer("tipy", STACK, stack)
    assert stack.errors == []


@pytest.fixture(params=[HOST, OTHER], ids=["host", "other"])
def theirs(lab, request):
    """The host, or the one behind the other port of its bridge."""
    return KernelPlayer(request.param, request.param, lab.kernel if request.param == HOST else lab.other)


@pytest.fixture
def host(lab):
    return KernelPlayer("host", HOST, lab.kernel)


# -- programs, run on either side -----------------------------------------------------------------


def send_all_then_wait(socket, address, seed, size):
    """Connect, send a pattern, half-close; returns what the other side says until it closes too."""
    with socket.create_connection(address, timeout=TIMEOUT) as sock:
        sock.sendall(programs.pattern(seed, size))
        sock.shutdown(socket.SHUT_WR)
        return read_to_the_end(sock)


def accept_and_digest(socket, address):
    """Accept one connection, read to its end, answer with the SHA-256 of what came."""
    with listening(socket, address) as listener:
        yield listener.getsockname()[1]
        sock, peer = listener.accept()
        with sock:
            sock.settimeout(TIMEOUT)
            digest = hashlib.sha256(read_to_the_end(sock)).digest()
            sock.sendall(digest)
        return peer[0]


def accept_and_reset(socket, address):
    with listening(socket, address) as listener:
        yield listener.getsockname()[1]
        sock, _ = listener.accept()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.recv(1)
        sock.close()


def send_and_read(socket, address):
    with socket.create_connection(address, timeout=TIMEOUT) as sock:
        sock.sendall(b"x")
        return sock.recv(10)


def negotiated(socket, address):
    """(timestamps, sack, window scaling) as the kernel's TCP_INFO tells after one exchange; and the MSS."""
    with socket.create_connection(address, timeout=TIMEOUT) as sock:
        sock.sendall(b"y" * 10)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(100)
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return info[5] & 1, info[5] >> 1 & 1, info[5] >> 2 & 1, struct.unpack_from("=I", info, 16)[0]


def udp_to_a_closed_port(socket, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.settimeout(TIMEOUT)
        sock.send(b"anybody?")
        return sock.recv(10)


def broadcast(socket, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(b"to everybody", address)


def receive_one(socket, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", port))
        sock.settimeout(TIMEOUT)
        yield "ready"
        data, sender = sock.recvfrom(100)
        return data, sender[0]


def listening(socket, address):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen()
    listener.settimeout(TIMEOUT)
    return listener


def read_to_the_end(sock):
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


# -- ICMP and UDP ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 55, 56, 1471, 1472, 1473, 8000, 65507])
def test_ping_both_ways(ours, host, size):
    assert host.play(programs.ping, STACK, [size]) and ours.play(programs.ping, HOST, [size])


def test_datagrams_of_every_kind_of_size_both_ways(ours, theirs):
    sizes = (0, 1, 2, 1471, 1472, 1473, 2952, 9000, 32768, 65507)
    for client, server in ((theirs, ours), (ours, theirs)):
        with server.start(programs.udp_echo_server, (server.address, 0), len(sizes)) as serving:
            port = serving.next()
            assert client.play(programs.udp_echo_client, (server.address, port), sizes) == sum(sizes)
            serving.result()


def test_closed_udp_port_is_refused_both_ways(ours, theirs):
    with pytest.raises(ConnectionRefusedError):
        ours.play(udp_to_a_closed_port, (theirs.address, 9))
    with pytest.raises(ConnectionRefusedError):
        theirs.play(udp_to_a_closed_port, (STACK, 9))


@pytest.mark.parametrize("address", ["192.168.2.255", "255.255.255.255"])
def test_broadcast_reaches_the_stack(ours, theirs, address):
    with ours.start(receive_one, 5005) as job:
        job.next()
        theirs.play(broadcast_from, address, b"br0" if theirs.address == HOST else b"eth0")
        assert job.result() == (b"to everybody", theirs.address)


def broadcast_from(socket, address, interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface)
        sock.sendto(b"to everybody", (address, 5005))


@pytest.mark.parametrize("address", ["192.168.2.255", "255.255.255.255"])
def test_broadcast_of_the_stack_reaches_the_kernel(ours, theirs, address):
    with theirs.start(receive_one, 5006) as job:
        job.next()
        ours.play(broadcast, (address, 5006))
        assert job.result() == (b"to everybody", STACK)


# -- TCP ------------------------------------------------------------------------------------------


def transfer(client, server, size):
    """One way from client to server, digest back; True if the digest is right."""
    with server.start(accept_and_digest, (server.address, 0)) as accepting:
        port = accepting.next()
        answer = client.play(send_all_then_wait, (server.address, port), "bulk", size)
        peer = accepting.result()
    return answer == hashlib.sha256(programs.pattern("bulk", size)).digest() and peer == client.address


@pytest.mark.parametrize("size", [0, 1, 1448, 100_000, BULK])
def test_stream_from_the_stack_arrives_whole(ours, theirs, size):
    assert transfer(ours, theirs, size)


@pytest.mark.parametrize("size", [0, 1, 1448, 100_000, BULK])
def test_stream_to_the_stack_arrives_whole(ours, theirs, size):
    assert transfer(theirs, ours, size)


def test_closed_port_is_refused_both_ways(ours, theirs):
    for client, server in ((ours, theirs), (theirs, ours)):
        assert client.play(programs.try_to_connect, (server.address, 9))[0] == "ConnectionRefusedError"


def test_reset_arrives_both_ways(ours, theirs):
    for client, server in ((ours, theirs), (theirs, ours)):
        with server.start(accept_and_reset, (server.address, 0)) as accepting:
            port = accepting.next()
            with pytest.raises(ConnectionResetError):
                client.play(send_and_read, (server.address, port))
            accepting.result()


def test_kernel_and_stack_agree_on_options(ours, host):
    with ours.start(accept_and_digest, (STACK, 0)) as accepting:
        port = accepting.next()
        assert host.play(negotiated, (STACK, port)) == (1, 1, 1, 1448)
        accepting.result()


def test_many_connections_at_once(ours, theirs):
    count = 30
    with ours.start(accept_many, (STACK, 0), count) as accepting:
        port = accepting.next()
        assert theirs.play(connect_many, (STACK, port), count) == list(range(count))
        assert accepting.result() == count


def accept_many(socket, address, count):
    with listening(socket, address) as listener:
        yield listener.getsockname()[1]
        socks = [listener.accept()[0] for _ in range(count)]
        for number, sock in enumerate(reversed(socks)):
            sock.settimeout(TIMEOUT)
            sock.sendall(sock.recv(10))
            sock.close()
        return number + 1


def connect_many(socket, address, count):
    socks = [socket.create_connection(address, timeout=TIMEOUT) for _ in range(count)]
    for number, sock in enumerate(socks):
        sock.sendall(b"%d" % number)
    answers = [int(sock.recv(10)) for sock in socks]
    for sock in socks:
        sock.close()
    return answers


@pytest.mark.parametrize("to_stack", [False, True], ids=["from stack", "to stack"])
def test_bulk_survives_loss_duplication_and_reordering(lab, to_stack):
    link = FaultLink(lab.link(), loss=0.02, duplicate=0.02, reorder=0.05, seed=7)
    with make_stack(link) as stack:
        ours = StackPlayer("tipy", STACK, stack)
        host = KernelPlayer("host", HOST, lab.kernel)
        client, server = (host, ours) if to_stack else (ours, host)
        with server.start(programs.http_server, (server.address, 0), "lossy", MORE, 1) as serving:
            port = serving.next()
            with client.start(programs.http_fetch, (server.address, port)) as fetching:
                received, digest, _ = fetching.result(60)
        assert stack.errors == []
    assert (received, digest) == (MORE, hashlib.sha256(programs.pattern("lossy", MORE)).hexdigest())


# -- the address and the device -------------------------------------------------------------------


def test_address_of_the_kernel_is_a_conflict(lab):
    stack = Stack(link=lab.link(), address=f"{HOST}/{PREFIX_LENGTH}", settings=Settings())
    with pytest.raises(AddressConflict) as caught:
        stack.start()
    assert (caught.value.address, caught.value.mac) == (HOST, network.HOST_MAC)
    assert stack.status != "running" and stack.link.fileno() is None


def change_link(name, **what):
    with Netlink() as netlink:
        netlink.set(name, **what)


def set_mac(name, mac):
    change_link(name, mac=mac)


def set_state(name, up):
    change_link(name, up=up)


def test_stack_whose_mac_the_tap_had_is_reached_from_every_port(tap_lab):
    tap_lab.kernel.call(set_mac, network.TAP, "02:00:00:00:0a:0a")
    with make_stack(tap_lab.link(), mac="02:00:00:00:0a:0a") as stack:
        assert stack.mac == parse_mac("02:00:00:00:0a:0a") != stack.link.mac
        other = KernelPlayer("other", OTHER, tap_lab.other)
        assert other.play(programs.ping, STACK, [56])


def test_tap_that_goes_down_stops_the_stack_with_the_reason(fresh_lab):
    stack = make_stack(fresh_lab.link())
    stack.start()
    caught = []

    def wait():
        with stack.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((STACK, 5007))
            try:
                sock.recv(10)
            except OSError as error:
                caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    fresh_lab.kernel.call(set_state, network.TAP, False)
    with stack.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"into the void", (HOST, 9))
    thread.join(TIMEOUT)
    stack.stop()
    assert [error.errno for error in caught] == [errno.ENETDOWN]
    assert "sudo ip link set tap7 up" in str(caught[0])


def test_hundred_starts_and_stops_leave_nothing(tap_lab):
    with make_stack(tap_lab.link(), acd=False):
        pass                                           # what is imported and opened once
    threads, descriptors = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        with make_stack(tap_lab.link(), acd=False) as stack:
            assert stack.status == "running"
        assert stack.link.fileno() is None
    assert set(threading.enumerate()) == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors
