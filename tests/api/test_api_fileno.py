"""fileno(): what select, poll and epoll see, in every state."""

import errno
import os
import select
import time

import pytest

IN, OUT, ERR, HUP, RDHUP = select.POLLIN, select.POLLOUT, select.POLLERR, select.POLLHUP, 0x2000
WAIT = 20000                   # milliseconds after which an event counts as missing


def state(sock):
    """What poll says right now."""
    poll = select.poll()
    poll.register(sock, IN | OUT | RDHUP)
    return dict(poll.poll(0)).get(sock.fileno(), 0)


def await_event(sock, event):
    poll = select.poll()
    poll.register(sock, event)
    if not poll.poll(WAIT):
        raise AssertionError(f"event {event} did not come")


@pytest.mark.parametrize("ending", [None, "close", "detach"])
def test_several_threads_may_ask_for_the_descriptor_at_once(ours, keep, background, ending):
    sock = keep(ours.socket())
    calls = [sock.fileno] * 3 + [getattr(sock, ending)] * 2 if ending else [sock.fileno] * 4
    with sock._channel.gate:               # all of them come as far as here
        threads = [background(call) for call in calls]
        time.sleep(0.1)
    told = {thread.result() for thread in threads}
    numbers = told - {None, -1}
    assert told == numbers and len(numbers) == 1 if ending is None else len(numbers) <= 1
    if ending == "detach":
        ours.close(numbers.pop())


def test_a_listener_is_readable_when_there_is_somebody_to_accept(net, keep, listener):
    assert state(listener) == 0
    keep(net.create_connection(listener.getsockname()))
    await_event(listener, IN)
    assert state(listener) == IN
    keep(listener.accept()[0])
    assert state(listener) == 0


def test_a_connection_is_readable_when_there_is_data(pair):
    client, server = pair
    assert state(client) == OUT
    server.sendall(b"abc")
    await_event(client, IN)
    assert state(client) == IN | OUT
    client.recv(1)
    assert state(client) == IN | OUT
    client.recv(10)
    assert state(client) == OUT


def test_a_connection_is_not_writable_when_the_buffer_is_full(pair):
    client, server = pair
    client.setblocking(False)
    while True:
        try:
            client.send(bytes(65536))
        except BlockingIOError:
            if not state(client) & OUT:
                break
    server.settimeout(20)
    while not state(client) & OUT:
        server.recv(1 << 20)


def test_the_end_of_the_peers_stream_is_readable_and_rdhup(net, pair):
    client, server = pair
    server.shutdown(net.SHUT_WR)
    await_event(client, RDHUP)
    assert state(client) == IN | OUT | RDHUP
    client.shutdown(net.SHUT_WR)
    assert state(client) & (IN | HUP | RDHUP) == IN | HUP | RDHUP


def test_a_reset_is_an_error_and_a_hang_up(net, pair):
    import struct
    client, server = pair
    client.fileno()
    server.setsockopt(net.SOL_SOCKET, net.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    await_event(client, IN)
    assert state(client) == IN | OUT | ERR | HUP | RDHUP
    assert client.getsockopt(net.SOL_SOCKET, net.SO_ERROR) == errno.ECONNRESET


def test_a_refused_connection_is_an_error_and_a_hang_up(net, keep, listener):
    name = listener.getsockname()
    listener.close()
    sock = keep(net.socket())
    sock.setblocking(False)
    sock.fileno()
    sock.connect_ex(name)
    await_event(sock, OUT)
    assert state(sock) == IN | OUT | ERR | HUP | RDHUP
    assert sock.getsockopt(net.SOL_SOCKET, net.SO_ERROR) == errno.ECONNREFUSED


def test_a_socket_that_was_refused_can_be_watched_again(net, keep, listener):
    closed = keep(net.socket())
    closed.bind(("127.0.0.1", 0))
    sock = keep(net.socket())
    fd = sock.fileno()
    assert sock.connect_ex(closed.getsockname()) == errno.ECONNREFUSED
    sock.connect(listener.getsockname())
    assert sock.fileno() == fd and state(sock) == OUT


def test_a_datagram_makes_readable(udp):
    assert state(udp) == OUT
    udp.sendto(b"", udp.getsockname())
    await_event(udp, IN)
    udp.recv(10)
    assert state(udp) == OUT


def test_epoll_edges_come_with_every_arrival(pair):
    client, server = pair
    with select.epoll() as epoll:
        epoll.register(client, select.EPOLLIN | select.EPOLLET)
        for _ in range(3):
            server.sendall(b"abc")
            assert epoll.poll(20) == [(client.fileno(), select.EPOLLIN)]
        assert epoll.poll(0) == []


def test_blocking_calls_need_no_descriptor(ours, keep):
    before = len(os.listdir("/proc/self/fd"))
    listener = keep(ours.create_server(("127.0.0.1", 0)))
    client = keep(ours.create_connection(listener.getsockname()))
    server = keep(listener.accept()[0])
    client.sendall(b"abc")
    assert server.recv(3) == b"abc"
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_leaks_after_many_sockets(ours):
    with ours.socket() as first:
        first.fileno()                                 # the stack starts to look at descriptors
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(500):
        sock = ours.socket(ours.AF_INET, ours.SOCK_DGRAM)
        sock.fileno()
        sock.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_descriptor_follows_the_timeout(net, keep):
    sock = keep(net.socket())
    assert os.get_blocking(sock.fileno())
    sock.settimeout(3)
    assert not os.get_blocking(sock.fileno())
    sock.setblocking(True)
    assert os.get_blocking(sock.fileno())


def test_the_descriptor_is_not_inherited(net, keep):
    assert not os.get_inheritable(keep(net.socket()).fileno())


def test_a_duplicate_is_the_same_connection(net, keep, pair):
    client, server = pair
    twin = keep(client.dup())
    assert twin.fileno() != client.fileno() and twin.getpeername() == client.getpeername()
    client.close()
    twin.sendall(b"abc")
    assert server.recv(3) == b"abc"
    twin.close()
    assert server.recv(1) == b""


def test_a_detached_descriptor_finds_its_connection_again(net, keep, pair):
    client, server = pair
    fd = client.detach()
    assert client.fileno() == -1
    server.sendall(b"while away")
    again = keep(net.socket(fileno=fd))
    assert (again.family, again.type, again.proto) == (net.AF_INET, net.SOCK_STREAM, 6)
    assert again.recv(10, net.MSG_WAITALL) == b"while away"
    again.sendall(b"back")
    assert server.recv(4, net.MSG_WAITALL) == b"back"


def test_closing_a_detached_descriptor_closes_the_connection(net, pair):
    client, server = pair
    net.close(client.detach())
    assert server.recv(1) == b""


def test_a_detached_descriptor_can_be_read_and_written(pair):
    client, server = pair
    fd = client.detach()
    try:
        assert os.write(fd, b"question") == 8
        assert server.recv(8, 0x100) == b"question"
        server.sendall(b"answer")
        assert os.read(fd, 6) == b"answer"
    finally:
        os.close(fd)
    assert server.recv(1) == b""


def test_fromfd_duplicates(net, keep, pair):
    client, server = pair
    twin = keep(net.fromfd(client.fileno(), net.AF_INET, net.SOCK_STREAM))
    twin.sendall(b"abc")
    assert server.recv(3) == b"abc"


def test_a_descriptor_closed_behind_the_back_is_ebadf(net):
    sock = net.socket()
    net.socket(fileno=sock.fileno()).close()
    with pytest.raises(OSError) as error:
        sock.close()
    assert error.value.errno == errno.EBADF
