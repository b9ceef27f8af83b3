"""What select, poll and epoll say of a socket in every state: the kernel's socket says it first, then tipy's must.

A state is a generator: what it yields first is watched (edge-triggered as well); then it makes the last step, and
yields again. Nothing is timed: tipy has as long as it takes to say what the kernel said.
"""

import errno
import select
import socket as kernel
import struct
import sys
import time

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the reference is Linux", allow_module_level=True)

RDHUP = 0x2000
EVENTS = select.POLLIN | select.POLLPRI | select.POLLOUT | RDHUP
ERRQUEUE, RECVERR = 0x2000, 11
PATIENCE = 20                  # s after which a state counts as never reached
NAMES = {select.POLLIN: "IN", select.POLLPRI: "PRI", select.POLLOUT: "OUT", select.POLLERR: "ERR",
         select.POLLHUP: "HUP", RDHUP: "RDHUP"}


def words(mask):
    """In words. What has an urgent byte may be readable or not: an AF_UNIX socket always is."""
    if mask & select.POLLPRI:
        mask &= ~select.POLLIN
    return " ".join(name for bit, name in NAMES.items() if mask & bit)


def observe(sock):
    """What each of the three says, right now."""
    poll = select.poll()
    poll.register(sock, EVENTS)
    with select.epoll() as epoll:
        epoll.register(sock, EVENTS)
        level = dict(epoll.poll(0)).get(sock.fileno(), 0)
    chosen = select.select([sock], [sock], [sock], 0)
    if chosen[2]:
        chosen = [], *chosen[1:]
    return {"poll": words(dict(poll.poll(0)).get(sock.fileno(), 0)), "epoll": words(level),
            "select": " ".join(name for name, ready in zip(("read", "write", "except"), chosen) if ready)}


# -- the states -------------------------------------------------------------------------------------------


class World:
    """A socket module, and sockets that are closed in the end."""

    def __init__(self, net):
        self.net, self._kept = net, []

    def keep(self, sock):
        self._kept.append(sock)
        return sock

    def close(self):
        for sock in self._kept:
            sock.close()

    def listener(self, backlog=5):
        sock = self.keep(self.net.socket())
        sock.bind(("127.0.0.1", 0))
        sock.listen(backlog)
        return sock

    def pair(self):
        listener = self.listener()
        client = self.keep(self.net.create_connection(listener.getsockname()))
        return client, self.keep(listener.accept()[0])

    def udp(self):
        sock = self.keep(self.net.socket(self.net.AF_INET, self.net.SOCK_DGRAM))
        sock.bind(("127.0.0.1", 0))
        return sock

    def nobody(self, kind):
        """The address of a socket that has just been closed."""
        with self.net.socket(self.net.AF_INET, kind) as sock:
            sock.bind(("127.0.0.1", 0))
            return sock.getsockname()

    def reset(self, sock):
        sock.setsockopt(self.net.SOL_SOCKET, self.net.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def readable(sock):
    """Wait until there is something to read, without reading it."""
    if not select.select([sock], [], [], PATIENCE)[0]:
        raise AssertionError("nothing came")


def listening(world):
    yield world.listener()


def a_connection_waits(world):
    listener = world.listener()
    yield listener
    world.keep(world.net.create_connection(listener.getsockname()))
    yield


def all_connections_accepted(world):
    listener = world.listener()
    world.keep(world.net.create_connection(listener.getsockname()))
    readable(listener)
    yield listener
    world.keep(listener.accept()[0])
    yield


def connecting(world):
    listener = world.listener(0)
    world.keep(world.net.create_connection(listener.getsockname()))        # the accept queue is full
    sock = world.keep(world.net.socket())
    sock.setblocking(False)
    if sock.connect_ex(listener.getsockname()) != errno.EINPROGRESS:
        raise AssertionError("not under way")
    yield sock


def connected(world):
    listener = world.listener()
    sock = world.keep(world.net.socket())
    sock.setblocking(False)
    sock.connect_ex(listener.getsockname())
    yield sock
    yield


def data(world):
    client, server = world.pair()
    yield client
    server.sendall(b"data")
    yield


def some_data_left(world):
    client, server = world.pair()
    server.sendall(b"data")
    yield client
    readable(client)
    client.recv(1)
    yield


def all_data_read(world):
    client, server = world.pair()
    server.sendall(b"data")
    readable(client)
    yield client
    client.recv(4, world.net.MSG_WAITALL)
    yield


def full(world):
    client, server = world.pair()
    client.setblocking(False)
    yield client
    try:
        while True:
            client.send(bytes(1 << 20))
    except BlockingIOError:
        yield


def room_again(world):
    client, server = world.pair()
    client.setblocking(False)
    sent = 0
    try:
        while True:
            sent += client.send(bytes(1 << 20))
    except BlockingIOError:
        yield client
    while sent:
        sent -= len(server.recv(min(sent, 1 << 20)))
    yield


def urgent(world):
    client, server = world.pair()
    yield client
    server.send(b"!", world.net.MSG_OOB)
    yield


def urgent_read(world):
    client, server = world.pair()
    server.send(b"!", world.net.MSG_OOB)
    select.select([], [], [client], PATIENCE)
    yield client
    client.recv(1, world.net.MSG_OOB)
    yield


def peer_finished(world):
    client, server = world.pair()
    yield client
    server.shutdown(world.net.SHUT_WR)
    yield


def peer_finished_after_data(world):
    client, server = world.pair()
    yield client
    server.sendall(b"data")
    server.shutdown(world.net.SHUT_WR)
    yield


def peer_closed_all_read(world):
    client, server = world.pair()
    server.sendall(b"data")
    server.close()
    client.recv(4, world.net.MSG_WAITALL)
    readable(client)
    yield client


def we_finished(world):
    client, server = world.pair()
    yield client
    client.shutdown(world.net.SHUT_WR)
    yield


def we_stopped_reading(world):
    client, server = world.pair()
    yield client
    client.shutdown(world.net.SHUT_RD)
    yield


def both_finished(world):
    client, server = world.pair()
    server.shutdown(world.net.SHUT_WR)
    readable(client)
    yield client
    client.shutdown(world.net.SHUT_WR)
    yield


def we_shut_all(world):
    client, server = world.pair()
    yield client
    client.shutdown(world.net.SHUT_RDWR)
    yield


def refused(world):
    sock = world.keep(world.net.socket())
    sock.setblocking(False)
    sock.connect_ex(world.nobody(world.net.SOCK_STREAM))
    yield sock


def refused_and_told(world):
    sock = world.keep(world.net.socket())
    sock.setblocking(False)
    sock.connect_ex(world.nobody(world.net.SOCK_STREAM))
    readable(sock)
    yield sock
    if sock.getsockopt(world.net.SOL_SOCKET, world.net.SO_ERROR) != errno.ECONNREFUSED:
        raise AssertionError("not refused")
    yield


def reset(world):
    client, server = world.pair()
    yield client
    world.reset(server)
    yield


def reset_and_told(world):
    client, server = world.pair()
    world.reset(server)
    readable(client)
    yield client
    try:
        client.recv(1)
    except ConnectionResetError:
        yield


def reset_with_data_unread(world):
    client, server = world.pair()
    server.sendall(b"data")
    readable(client)
    yield client
    world.reset(server)
    yield


def udp_idle(world):
    yield world.udp()


def udp_data(world):
    sock = world.udp()
    yield sock
    sock.sendto(b"x", sock.getsockname())
    yield


def udp_error(world):
    sock = world.udp()
    sock.connect(world.nobody(world.net.SOCK_DGRAM))
    yield sock
    sock.send(b"x")
    yield


def udp_error_told(world):
    sock = world.udp()
    sock.connect(world.nobody(world.net.SOCK_DGRAM))
    sock.send(b"x")
    readable(sock)
    yield sock
    try:
        sock.recv(1)
    except ConnectionRefusedError:
        yield


def udp_error_taken(world):
    sock = world.udp()
    sock.connect(world.nobody(world.net.SOCK_DGRAM))
    sock.send(b"x")
    readable(sock)
    yield sock
    sock.getsockopt(world.net.SOL_SOCKET, world.net.SO_ERROR)
    yield


def udp_data_before_an_error(world):
    sock = world.udp()
    other = world.udp()
    sock.connect(other.getsockname())
    other.sendto(b"data", sock.getsockname())
    readable(sock)
    other.close()
    yield sock
    sock.send(b"x")
    yield


def udp_error_queue(world):
    sock = world.udp()
    sock.setsockopt(world.net.IPPROTO_IP, RECVERR, 1)
    yield sock
    sock.sendto(b"x", world.nobody(world.net.SOCK_DGRAM))
    yield


def udp_error_queue_read(world):
    sock = world.udp()
    sock.setsockopt(world.net.IPPROTO_IP, RECVERR, 1)
    sock.sendto(b"x", world.nobody(world.net.SOCK_DGRAM))
    readable(sock)
    yield sock
    sock.recvmsg(100, 200, ERRQUEUE)
    yield


def udp_shut(world):
    sock = world.udp()
    sock.connect(world.udp().getsockname())
    yield sock
    sock.shutdown(world.net.SHUT_RDWR)
    yield


STATES = [listening, a_connection_waits, all_connections_accepted, connecting, connected, data, some_data_left,
          all_data_read, full, room_again, urgent, urgent_read, peer_finished, peer_finished_after_data,
          peer_closed_all_read, we_finished, we_stopped_reading, both_finished, we_shut_all, refused,
          refused_and_told, reset, reset_and_told, reset_with_data_unread, udp_idle, udp_data, udp_error,
          udp_error_told, udp_error_taken, udp_data_before_an_error, udp_error_queue, udp_error_queue_read, udp_shut]

def look(net, state, expected=None):
    """(what is observed, what an edge-triggered epoll reported at once, and what more since the last step). With
    `expected`: wait until that is so."""
    world = World(net)
    try:
        steps = state(world)
        sock = next(steps)
        with select.epoll() as edges:
            edges.register(sock, EVENTS | select.EPOLLET)
            before = dict(edges.poll(0)).get(sock.fileno(), 0)
            next(steps, None)
            told, deadline = 0, time.monotonic() + (PATIENCE if expected is not None else 0.2)
            while True:
                told |= dict(edges.poll(0.02)).get(sock.fileno(), 0)
                now = observe(sock), words(before), words(told & ~before)
                if time.monotonic() > deadline or now == expected:
                    return now
    finally:
        world.close()


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_all_three_say_what_the_kernel_says(ours, state):
    expected = look(kernel, state)
    assert look(ours, state, expected) == expected


# -- the stack has ended ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["the link fails", "the stack stops"])
def test_the_end_of_the_stack_wakes_who_watches_a_descriptor(ours, background, how):
    from tipy.stack import default_stack
    stack, world = default_stack(), World(ours)
    socks = [world.listener(), *world.pair(), world.udp(), world.keep(ours.socket())]
    with select.epoll() as epoll:
        for sock in socks:
            epoll.register(sock, select.EPOLLIN | select.EPOLLET)
        waiting = [background(select.select, [sock], [], [], PATIENCE) for sock in (socks[0], socks[1], socks[3])]
        epoll.poll(0)
        if how == "the link fails":
            stack.link_failed(OSError(errno.ENETDOWN, "the cable is cut"))
        else:
            stack.stop()
        assert [len(one.result()[0]) for one in waiting] == [1, 1, 1]
        assert dict(epoll.poll(0)).keys() >= {sock.fileno() for sock in socks[:4]}
    for sock in socks:
        assert "ERR HUP" in observe(sock)["poll"]
        with pytest.raises(OSError) as caught:
            sock.recv(1)
        assert caught.value.errno == errno.ENETDOWN
    world.close()


# -- errors and descriptors -------------------------------------------------------------------------------


def test_an_error_wakes_who_is_blocked_in_poll(ours, background):
    world = World(ours)
    sock = world.udp()
    sock.connect(world.nobody(ours.SOCK_DGRAM))
    sock.fileno()
    waiting = background(select.select, [sock], [], [], PATIENCE)
    sock.send(b"x")
    assert waiting.result()[0] == [sock]
    with pytest.raises(ConnectionRefusedError):
        sock.recv(1)
    world.close()


def test_errors_leave_no_descriptors_behind(ours):
    import os
    world = World(ours)
    sock = world.udp()
    sock.connect(world.nobody(ours.SOCK_DGRAM))
    with select.epoll() as epoll:
        epoll.register(sock, select.EPOLLIN)
        fd, before = sock.fileno(), len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            sock.send(b"x")
            assert epoll.poll(PATIENCE)[0][0] == fd
            assert sock.getsockopt(ours.SOL_SOCKET, ours.SO_ERROR) == errno.ECONNREFUSED
            assert epoll.poll(0) == []
        assert (sock.fileno(), len(os.listdir("/proc/self/fd"))) == (fd, before)
        sock.send(b"x")
        epoll.poll(PATIENCE)
        sock.close()
        assert len(os.listdir("/proc/self/fd")) == before - 2
    world.close()
