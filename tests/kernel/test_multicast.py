"""Multicast and broadcast between tipy and the Linux kernel, and what the kernel as a router hears and
says."""

import socket
import struct

import pytest

from tipy import log
from tipy.checksum import checksum
from tipy.lab import HOST, OTHER, PREFIX_LENGTH, STACK, network
from tipy.settings import Settings
from tipy.stack import Stack

PATIENCE = 20
GROUP, PORT = "239.77.1.1", 7777
BROADCAST = "192.168.2.255"
OTHER_GROUP = "239.77.1.2"
V3_ROUTERS, ALL_HOSTS = "224.0.0.22", "224.0.0.1"


def request(group, address):
    return socket.inet_aton(group) + socket.inet_aton(address)


def receive(net, address, own, count=1, group=None):
    """Yields True when bound (and joined); then [(data, remote ip)] of `count` datagrams."""
    with net.socket(net.AF_INET, net.SOCK_DGRAM) as sock:
        sock.bind((address, PORT))
        sock.settimeout(PATIENCE)
        if group is not None:
            sock.setsockopt(net.IPPROTO_IP, net.IP_ADD_MEMBERSHIP, request(group, own))
        yield True
        heard = []
        for _ in range(count):
            data, remote = sock.recvfrom(100)
            heard.append((data, remote[0]))
        yield heard


def receive_on_kernel(address, own, count=1, group=None):
    yield from receive(socket, address, own, count, group)


def send(net, data, to, own, ttl=1):
    with net.socket(net.AF_INET, net.SOCK_DGRAM) as sock:
        sock.setsockopt(net.SOL_SOCKET, net.SO_BROADCAST, 1)
        sock.setsockopt(net.IPPROTO_IP, net.IP_MULTICAST_IF, socket.inet_aton(own))
        sock.setsockopt(net.IPPROTO_IP, net.IP_MULTICAST_TTL, ttl)
        sock.sendto(data, (to, PORT))


def send_on_kernel(data, to, own):
    send(socket, data, to, own)


def router(own, query):
    """Send an IGMP query and yield what the stack says, (type, destination, rest), as seen on its port of the
    bridge: the bridge itself keeps reports from hosts that are no routers."""
    port = next(name for _, name in socket.if_nameindex() if name in (network.TAP, network._BRIDGE_END))
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
    with wire, raw:
        wire.bind((port, 3))
        wire.settimeout(PATIENCE)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\0\0")
        yield True
        if query:
            raw.sendto(query[:2] + checksum(query).to_bytes(2, "big") + query[4:], (ALL_HOSTS, 0))
        for _ in range(200):
            packet = wire.recv(2000)
            if packet[9:10] == b"\2" and packet[12:16] == socket.inet_aton(STACK):
                message = packet[(packet[0] & 15) * 4:int.from_bytes(packet[2:4], "big")]
                yield message[0], socket.inet_ntoa(packet[16:20]), message[4:]


@pytest.fixture(scope="module")
def stack(lab):
    log.choose(())
    with Stack(link=lab.link(), address=f"{STACK}/{PREFIX_LENGTH}", settings=Settings()) as stack:
        yield stack
        assert stack.errors == []


@pytest.fixture
def member(stack):
    sock = stack.socket.socket(type=socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request(GROUP, STACK))
    yield sock
    sock.close()


def test_the_kernels_members_hear_what_tipy_sends(lab, stack):
    jobs = [worker.start(receive_on_kernel, "", own, 1, GROUP) for worker, own in ((lab.kernel, HOST),
                                                                                   (lab.other, OTHER))]
    assert [job.next(PATIENCE) for job in jobs] == [True, True]
    send(stack.socket, b"to all members", GROUP, STACK)
    assert [job.next(PATIENCE) for job in jobs] == [[(b"to all members", STACK)]] * 2


def test_tipys_members_hear_what_the_kernel_sends(lab, stack):
    reader = receive(stack.socket, GROUP, STACK, 2, GROUP)
    assert next(reader) is True
    lab.kernel.call(send_on_kernel, b"from the host", GROUP, HOST)
    lab.other.call(send_on_kernel, b"from the other", GROUP, OTHER)
    assert sorted(next(reader)) == [(b"from the host", HOST), (b"from the other", OTHER)]
    reader.close()


def test_broadcasts_go_both_ways(lab, stack):
    job = lab.kernel.start(receive_on_kernel, BROADCAST, HOST)
    assert job.next(PATIENCE) is True
    send(stack.socket, b"to everybody", BROADCAST, STACK)
    assert job.next(PATIENCE) == [(b"to everybody", STACK)]
    reader = receive(stack.socket, "", STACK)
    assert next(reader) is True
    lab.kernel.call(send_on_kernel, b"hello all", BROADCAST, HOST)
    assert next(reader) == [(b"hello all", HOST)]
    reader.close()


def test_a_router_hears_of_joins_and_leaves(lab, stack):
    job = lab.kernel.start(router, HOST, b"")
    assert job.next(PATIENCE) is True
    sock = stack.socket.socket(type=socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request(GROUP, STACK))
    joined = b"\0\0\0\1" + b"\4\0\0\0" + socket.inet_aton(GROUP)
    assert job.next(PATIENCE) == (0x22, V3_ROUTERS, joined)
    assert job.next(PATIENCE) == (0x22, V3_ROUTERS, joined)
    sock.close()
    assert job.next(PATIENCE) == (0x22, V3_ROUTERS, b"\0\0\0\1" + b"\3\0\0\0" + socket.inet_aton(GROUP))


def until_told(job, wanted):
    """Read reports until the one wanted; those of the joining may come in between."""
    for _ in range(10):
        if job.next(PATIENCE) == wanted:
            return True
    return False


def test_a_query_of_version_3_is_answered(lab, member):
    job = lab.kernel.start(router, HOST, b"\x11\x05\0\0" + bytes(4) + b"\x02\x7d\0\0")
    assert job.next(PATIENCE) is True
    assert until_told(job, (0x22, V3_ROUTERS, b"\0\0\0\1" + b"\2\0\0\0" + socket.inet_aton(GROUP)))


def named(option, source, own, group=OTHER_GROUP):
    return socket.IPPROTO_IP, option, socket.inet_aton(group) + socket.inet_aton(own) + socket.inet_aton(source)


def says(report, kind, source):
    """Does a report of version 3 have a record of this kind with this source, perhaps among others? (Changes that
    follow each other are told again together.)"""
    message, dst, rest = report
    at = 4
    while at < len(rest):
        end = at + 8 + 4 * int.from_bytes(rest[at + 2:at + 4], "big")
        if rest[at] == kind and socket.inet_aton(source) in (rest[n:n + 4] for n in range(at + 8, end, 4)):
            return (message, dst) == (0x22, V3_ROUTERS)
        at = end
    return False


def test_sources_are_reported_as_rfc_3376_says(lab, stack):
    job = lab.kernel.start(router, HOST, b"")
    assert job.next(PATIENCE) is True
    allow, block = 5, 6
    with stack.socket.socket(type=socket.SOCK_DGRAM) as sock:
        for option, source, kind in ((39, "192.0.2.1", allow), (39, "192.0.2.2", allow), (40, "192.0.2.1", block)):
            sock.setsockopt(*named(option, source, STACK))
            assert any(says(job.next(PATIENCE), kind, source) for _ in range(10))


def test_only_a_wanted_source_is_heard_over_the_wire(lab, stack):
    with stack.socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind((OTHER_GROUP, PORT))
        sock.settimeout(PATIENCE)
        sock.setsockopt(*named(39, OTHER, STACK))
        lab.kernel.call(send_on_kernel, b"not wanted", OTHER_GROUP, HOST)
        lab.other.call(send_on_kernel, b"wanted", OTHER_GROUP, OTHER)
        data, remote = sock.recvfrom(100)
        assert (data, remote[0]) == (b"wanted", OTHER)


def test_a_query_of_version_2_is_answered_in_version_2(lab, stack, member):
    job = lab.kernel.start(router, HOST, b"\x11\x05\0\0" + struct.pack("=I", 0))
    assert job.next(PATIENCE) is True
    assert until_told(job, (0x16, GROUP, socket.inet_aton(GROUP)))
    assert stack.igmp.version(stack.interface) == 2
