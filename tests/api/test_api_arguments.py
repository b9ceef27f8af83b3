"""What programs pass: CPython's checks and words."""

import pytest

CALLS = [
    lambda s: s.bind(None), lambda s: s.bind(("127.0.0.1",)), lambda s: s.bind((1, 2)),
    lambda s: s.bind(("a\0", 2)),
    lambda s: s.bind(("127.0.0.1", "80")), lambda s: s.bind(("127.0.0.1", 65536)),
    lambda s: s.bind(("127.0.0.1", -1)),
    lambda s: s.bind(("127.0.0.1", 2 ** 80)), lambda s: s.bind(("127.0.0.1", 1.5)), lambda s: s.connect("x"),
    lambda s: s.connect_ex(("127.0.0.1", 70000)), lambda s: s.send("text"), lambda s: s.sendall(None),
    lambda s: s.sendto(b"x"), lambda s: s.sendto(b"x", 1, 2, 3), lambda s: s.sendto(b"x", "0", ("", 9)),
    lambda s: s.sendto(b"x", None), lambda s: s.sendto("x", ("", 9)), lambda s: s.sendmsg(3),
    lambda s: s.sendmsg([b"x"], 3), lambda s: s.sendmsg([b"x"], [3]), lambda s: s.sendmsg(["x"]),
    lambda s: s.sendmsg([b"x"], (), 0, "x"), lambda s: s.recv(-1), lambda s: s.recv("1"),
    lambda s: s.recvfrom(-1),
    lambda s: s.recv_into(b"x"), lambda s: s.recv_into(3), lambda s: s.recv_into(bytearray(2), -1),
    lambda s: s.recv_into(bytearray(2), 3), lambda s: s.recvfrom_into(bytearray(2), 3),
    lambda s: s.recvfrom_into(bytearray(2), -1), lambda s: s.recvmsg(-1), lambda s: s.recvmsg(1, -1),
    lambda s: s.recvmsg_into(3), lambda s: s.settimeout("1"), lambda s: s.settimeout(-1),
    lambda s: s.settimeout(1e30),
    lambda s: s.settimeout(float("nan")), lambda s: s.settimeout(1j), lambda s: s.setsockopt(0, 2),
    lambda s: s.setsockopt(0, 2, "a"), lambda s: s.setsockopt(0, 2, None), lambda s: s.listen("a"),
    lambda s: s.shutdown("a"), lambda s: s.shutdown(2 ** 31),
    lambda s: s.listen(2 ** 31), lambda s: s.recv(1, 2 ** 31),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_mistake_is_answered_in_cpythons_words(loopback, keep, call):
    import socket as kernel

    import tipy.socket
    told = []
    for net in (kernel, tipy.socket):
        with pytest.raises((TypeError, ValueError, OverflowError)) as error:
            call(keep(net.socket()))
        # how an int is too large is worded differently from version to version
        overflow = isinstance(error.value, OverflowError) and "port" not in str(error.value)
        told.append((type(error.value), "too large" if overflow else str(error.value)))
    assert told[1] == told[0]


@pytest.mark.parametrize("arguments", [(2, 1, 17), (2, 2, 6), (2, 5), (2, 77), (99, 1), (2, 3, 0)])
def test_a_socket_that_cannot_be_has_the_kernels_errno(loopback, arguments):
    import socket as kernel

    import tipy.socket
    told = []
    for net in (kernel, tipy.socket):
        with pytest.raises(OSError) as error:
            net.socket(*arguments)
        told.append(error.value.errno)
    assert told[1] == told[0]


def test_timeouts_are_floats_none_or_zero(net, keep):
    sock = keep(net.socket())
    seen = []
    for value in (None, 0, 3, 2.5):
        sock.settimeout(value)
        seen.append((sock.gettimeout(), sock.getblocking(), sock.timeout))
    assert seen == [(None, True, None), (0.0, False, 0.0), (3.0, True, 3.0), (2.5, True, 2.5)]


def test_the_default_timeout_is_for_new_sockets(net, keep):
    net.setdefaulttimeout(7)
    try:
        assert net.getdefaulttimeout() == 7.0
        assert keep(net.socket()).gettimeout() == 7.0
    finally:
        net.setdefaulttimeout(None)
    assert keep(net.socket()).gettimeout() is None


def test_a_non_blocking_type_flag_makes_it_so(net, keep):
    sock = keep(net.socket(net.AF_INET, net.SOCK_STREAM | net.SOCK_NONBLOCK))
    assert sock.gettimeout() == 0.0 and sock.type == net.SOCK_STREAM


def test_a_closed_socket_answers_ebadf(net):
    import errno
    sock = net.socket()
    sock.close()
    assert sock.fileno() == -1 and "[closed]" in repr(sock)
    for call in (lambda: sock.send(b"x"), lambda: sock.recv(1), sock.getsockname, sock.getpeername,
                 sock.accept, sock.listen, lambda: sock.connect(("", 9)), lambda: sock.bind(("", 0)),
                 lambda: sock.getsockopt(1, 2), lambda: sock.shutdown(2)):
        with pytest.raises(OSError) as error:
            call()
        assert error.value.errno == errno.EBADF
    sock.close()
