"""Ten thousand sockets come and go, and nothing of them is left: descriptor, thread, port, connection, object."""

import gc
import os
import sys
import threading
from collections import Counter

import pytest

from tipy.settings import Settings
from tipy.sockets import readiness
from tipy.sockets.base import Channel
from tipy.stack import Stack
from tipy.tcp.tcb import Tcb

if not sys.platform.startswith("linux"):
    pytest.skip("counts in /proc", allow_module_level=True)

BATCH = 100
MANY = 10000


@pytest.fixture
def stack():
    with Stack("loopback", settings=Settings(time_wait=0)) as stack:
        yield stack
        assert stack.errors == []


def left(stack):
    """What there is of all that sockets are made of."""
    gc.collect()
    objects = Counter(kind.__name__ for kind in (Channel, Tcb, readiness.Readiness)
                      for each in gc.get_objects() if isinstance(each, kind))
    with stack.gate:
        tcp, udp = stack.tcp, stack.udp
        return {"descriptors": len(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
                "ports": len(tcp.ports) + len(udp.ports), "connections": len(tcp.connections),
                "listeners": len(tcp.listeners), "endpoints": len(udp._filed) + len(udp._by_port),
                "known descriptors": len(readiness._channels), "time waits": len(tcp.time_waits), **objects}


def unused(net):
    with net.socket() as sock:
        sock.fileno()


def datagrams(net):
    with net.socket(net.AF_INET, net.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.fileno()
        sock.sendto(b"x", sock.getsockname())


def listeners(net):
    with net.create_server(("127.0.0.1", 0)) as sock:
        sock.fileno()


def refused(net):
    with net.socket() as sock:
        sock.setblocking(False)
        sock.fileno()
        sock.connect_ex(("127.0.0.1", 9))


def forgotten(net):
    net.socket(net.AF_INET, net.SOCK_DGRAM).fileno()


def faulty(net):
    with net.socket(net.AF_INET, net.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", 9))
        sock.fileno()
        sock.send(b"x")


def duplicates(net):
    with net.socket() as sock, sock.dup() as twin:
        twin.fileno()


def connections(net, count):
    """So many connections at once, both ends with a descriptor, closed by either end in turn."""
    with net.create_server(("127.0.0.1", 0), backlog=count) as server:
        pairs = []
        for _ in range(count):
            client = net.create_connection(server.getsockname())
            accepted, _ = server.accept()
            client.fileno(), accepted.fileno()
            pairs.append((client, accepted))
        for number, pair in enumerate(pairs):
            for sock in pair if number % 2 else pair[::-1]:
                sock.close()


KINDS = [unused, datagrams, listeners, refused, forgotten, faulty, duplicates]


def more(stack, before):
    """What there is more of than before, once it settles: connections need a moment to say good-bye."""
    for _ in range(100):
        found = +Counter(left(stack))
        found.subtract(before)
        if not +found:
            break
        pause(stack)
    return dict(+found)


def settled(stack):
    """What is left when no connection is."""
    while (now := left(stack))["connections"]:
        pause(stack)
    return now


def pause(stack):
    with stack.gate:
        stack.gate.wait(_Nobody(), lambda: False, stack.clock.now() + 0.02)


class _Nobody:
    """Waited for in vain."""

    waiters = readiness = None


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_nothing_is_left_of_sockets(stack, kind):
    net = stack.socket
    kind(net)
    before = settled(stack)
    for _ in range(300):
        kind(net)
    assert more(stack, before) == {}


def test_nothing_is_left_of_connections(stack):
    connections(stack.socket, 2)
    before = settled(stack)
    connections(stack.socket, BATCH)
    assert more(stack, before) == {}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_nothing_is_left_of_ten_thousand(stack):
    net = stack.socket
    for kind in KINDS:
        kind(net)
    connections(net, 2)
    before = settled(stack)
    for _ in range(MANY // 2 // len(KINDS)):
        for kind in KINDS:
            kind(net)
    for _ in range(MANY // 4 // BATCH):
        connections(net, BATCH)
    assert more(stack, before) == {}
