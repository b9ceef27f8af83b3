"""What the program sees: read, write, poll, options, errors. TB 11, 2.5, 1.3, 14."""

import errno
import select

import pytest

from tipy.testing.calls import Call
from tipy.testing.peer import pattern

MSG_PEEK, MSG_TRUNC, MSG_DONTWAIT, MSG_WAITALL = 2, 0x20, 0x40, 0x100


def polled(sock, timeout=0):
    """The poll() events of a socket, as a set of names."""
    poller = select.poll()
    wanted = select.POLLIN | select.POLLOUT | select.POLLRDHUP
    poller.register(sock, wanted)
    events = dict(poller.poll(timeout)).get(sock.fileno(), 0)
    names = {"in": select.POLLIN, "out": select.POLLOUT, "rdhup": select.POLLRDHUP, "hup": select.POLLHUP,
             "err": select.POLLERR}
    return {name for name, bit in names.items() if events & bit}


# -- reading ----------------------------------------------------------------------------------------------

def test_blocking_read_returns_what_is_there(peer):
    """TB 11: on the first bytes, not when the buffer is full."""
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 1000)
    assert call.blocked
    peer.send_data(3)
    assert len(call.result()) == 3


def test_read_returns_a_part(peer):
    """TB 11."""
    sock = peer.established()
    peer.send_data(10)
    assert sock.recv(4) == pattern(1, 4)
    assert sock.recv(100) == pattern(5, 6)


def test_read_joins_segments(peer):
    """TB 11: a stream has no records."""
    sock = peer.established()
    peer.send_data(10)
    peer.send_data(10)
    assert sock.recv(100) == pattern(1, 20)


def test_read_returns_zero_at_fin(peer):
    """TB 11: again and again."""
    sock = peer.close_wait()
    assert [sock.recv(10) for _ in range(3)] == [b"", b"", b""]


def test_blocked_read_wakes_on_fin(peer):
    """TB 11."""
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 10)
    peer.send("F.")
    assert call.result() == b""


def test_nonblocking_read_without_data(peer):
    """TB 11: EAGAIN."""
    sock = peer.established()
    with pytest.raises(BlockingIOError) as caught:
        sock.recv(10)
    assert caught.value.errno == errno.EAGAIN


def test_dontwait_on_a_blocking_socket(peer):
    """TB 11: MSG_DONTWAIT."""
    sock = peer.established()
    sock.setblocking(True)
    with pytest.raises(BlockingIOError):
        sock.recv(10, MSG_DONTWAIT)


def test_timeout(peer):
    """socket.settimeout(): in virtual time."""
    sock = peer.established()
    sock.settimeout(2.0)
    call = Call(peer.bed.clock, sock.recv, 10)
    peer.bed.advance(1.9)
    assert call.blocked
    peer.bed.advance(0.2)
    with pytest.raises(TimeoutError):
        call.result()


def test_peek_does_not_consume(peer):
    """TB 11."""
    sock = peer.established()
    peer.send_data(10)
    assert sock.recv(4, MSG_PEEK) == pattern(1, 4)
    assert sock.recv(4, MSG_PEEK) == pattern(1, 4)
    assert sock.recv(100) == pattern(1, 10)


def test_peek_does_not_open_the_window(peer):
    """TB 11, 6.2."""
    sock = peer.established()
    for _ in range(3):
        peer.send_data(1000)
    first = peer.take()[-1].win
    sock.recv(3000, MSG_PEEK)
    peer.send_data(10)
    assert peer.take()[-1].win < first


def test_trunc_discards(peer):
    """TB 11: MSG_TRUNC: the bytes are thrown away; Python's recv shows their number."""
    sock = peer.established()
    peer.send_data(10)
    assert len(sock.recv(4, MSG_TRUNC)) == 4
    assert sock.recv(100) == pattern(5, 6)


def test_waitall(peer):
    """TB 11: MSG_WAITALL waits for all of it."""
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 20, MSG_WAITALL)
    peer.send_data(10)
    assert call.blocked
    peer.send_data(10)
    assert call.result() == pattern(1, 20)


def test_waitall_ends_at_fin(peer):
    """TB 11."""
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 20, MSG_WAITALL)
    peer.send("FP.", payload=10)
    assert call.result() == pattern(1, 10)


def test_recv_into_and_recvmsg_into(peer):
    """TB 11."""
    sock = peer.established()
    peer.send_data(10)
    buffer = bytearray(6)
    assert sock.recv_into(buffer) == 6 and bytes(buffer) == pattern(1, 6)
    parts = bytearray(2), bytearray(10)
    count, *_ = sock.recvmsg_into(parts)
    assert count == 4 and bytes(parts[0]) + bytes(parts[1][:2]) == pattern(7, 4)


def test_read_of_nothing(peer):
    """TB 11: recv(0) neither blocks nor consumes."""
    sock = peer.established()
    peer.send_data(1)
    assert sock.recv(0) == b""
    assert len(sock.recv(10)) == 1


def test_rcvlowat(peer):
    """SO_RCVLOWAT: readable only with so many bytes, or at the end."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_RCVLOWAT, 10)
    peer.send_data(5)
    assert "in" not in polled(sock)
    peer.send_data(5)
    assert "in" in polled(sock)


def test_rcvlowat_does_not_hide_what_is_there(peer):
    """As Linux: a read that does not wait takes what there is, one that waits does not wait for more than it wants."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_RCVLOWAT, 100)
    peer.send_data(5)
    assert len(sock.recv(10)) == 5
    with pytest.raises(BlockingIOError):
        sock.recv(10)
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 10)
    peer.send_data(5)
    assert call.blocked
    peer.send_data(5)
    assert len(call.result()) == 10


# -- writing ----------------------------------------------------------------------------------------------

def test_write_takes_what_fits(peer):
    """TB 11: non-blocking: partial, then EAGAIN."""
    sock = peer.established(win=5000)
    total = 0
    with pytest.raises(BlockingIOError):
        while total < 100 << 20:
            total += sock.send(bytes(1 << 20))
    assert 5000 < total < 100 << 20


def test_sndbuf_bounds_what_is_queued(peer):
    """TB 11, 14: SO_SNDBUF."""
    module = peer.bed.socket
    sock = peer.established(win=1000)
    sock.setsockopt(module.SOL_SOCKET, module.SO_SNDBUF, 10000)
    assert 4000 <= sock.send(bytes(1 << 20)) <= 20000


def test_blocking_write_waits_for_room(peer):
    """TB 11: sendall() returns when everything is queued."""
    module = peer.bed.socket
    sock = peer.established(win=65535)
    sock.setsockopt(module.SOL_SOCKET, module.SO_SNDBUF, 10000)
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.sendall, pattern(1, 60000))
    data = {}
    for _ in range(400):
        for segment in peer.take():
            data[segment.seq] = segment.payload
        if not call.blocked:
            break
        peer.send(".")
        peer.bed.advance(0.001)
    assert call.result() is None
    for _ in range(100):
        peer.send(".")
        peer.bed.advance(0.01)
        for segment in peer.take():
            data[segment.seq] = segment.payload
    assert b"".join(data[seq] for seq in sorted(data)) == pattern(1, 60000)


def test_writable_again_when_a_third_is_free(peer):
    """TB 11: poll() says writable only when a third of the buffer is free, as Linux."""
    module = peer.bed.socket
    sock = peer.established(win=65535)
    sock.setsockopt(module.SOL_SOCKET, module.SO_SNDBUF, 40000)
    with pytest.raises(BlockingIOError):
        while sock.send(bytes(100000)):
            pass
    assert "out" not in polled(sock)
    peer.take()
    peer.send(".", ack=1001)
    assert "out" not in polled(sock)
    for _ in range(200):
        peer.send(".")
        peer.bed.advance(0.01)
        peer.take()
    assert "out" in polled(sock)


def test_notsent_lowat_gates_writable(peer):
    """TB 11: TCP_NOTSENT_LOWAT."""
    module = peer.bed.socket
    sock = peer.established(win=2000)
    sock.setsockopt(module.IPPROTO_TCP, 25, 1000)
    assert "out" in polled(sock)
    sock.send(bytes(10000))
    assert "out" not in polled(sock)
    peer.send(".", ack=2001, win=20000)
    assert "out" in polled(sock)


def test_sendmsg_with_no_buffers(peer):
    """TB 11: empty iov."""
    sock = peer.established()
    assert sock.sendmsg([]) == 0
    peer.expect_nothing(1)


def test_write_after_shutdown(peer):
    """TB 2.6: EPIPE."""
    sock = peer.fin_wait_1()
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")


def test_write_after_close_fails(peer):
    """EBADF."""
    sock = peer.established()
    sock.close()
    with pytest.raises(OSError) as caught:
        sock.send(b"x")
    assert caught.value.errno == errno.EBADF


# -- not connected ----------------------------------------------------------------------------------------

def test_send_before_connect(peer):
    """TB 11: EPIPE (Linux) or ENOTCONN."""
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().send(b"x")
    assert caught.value.errno in (errno.EPIPE, errno.ENOTCONN)


def test_recv_before_connect(peer):
    """TB 11: ENOTCONN."""
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().recv(1)
    assert caught.value.errno == errno.ENOTCONN


def test_getpeername_before_connect(peer):
    """TB 11: ENOTCONN."""
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().getpeername()
    assert caught.value.errno == errno.ENOTCONN


def test_accept_without_listen(peer):
    """TB 11: EINVAL."""
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().accept()
    assert caught.value.errno == errno.EINVAL


def test_connect_when_connected(peer):
    """TB 11: EISCONN."""
    sock = peer.established(active=True)
    assert sock.connect_ex(("192.168.2.199", 1)) in (0, errno.EISCONN)
    assert sock.connect_ex(("192.168.2.199", 1)) == errno.EISCONN


def test_listen_when_connected(peer):
    """TB 11: EINVAL."""
    sock = peer.established(active=True)
    with pytest.raises(OSError) as caught:
        sock.listen()
    assert caught.value.errno == errno.EINVAL


def test_bind_twice(peer):
    """TB 11: EINVAL."""
    sock = peer.bed.tcp_socket()
    sock.bind(("192.168.2.200", 1234))
    with pytest.raises(OSError) as caught:
        sock.bind(("192.168.2.200", 1235))
    assert caught.value.errno == errno.EINVAL


def test_two_listeners_on_one_port(peer):
    """RFC 9293 MUST-42: EADDRINUSE."""
    peer.bed.listener()
    with pytest.raises(OSError) as caught:
        peer.bed.listener()
    assert caught.value.errno == errno.EADDRINUSE


# -- errors -----------------------------------------------------------------------------------------------

def test_so_error_is_one_shot(peer):
    """TB 11."""
    sock = peer.established()
    module = peer.bed.socket
    peer.send("R.")
    assert sock.getsockopt(module.SOL_SOCKET, module.SO_ERROR) == errno.ECONNRESET
    assert sock.getsockopt(module.SOL_SOCKET, module.SO_ERROR) == 0


def test_so_error_takes_the_error_from_read(peer):
    """TB 11, 2.5."""
    sock = peer.established()
    module = peer.bed.socket
    peer.send("R.")
    sock.getsockopt(module.SOL_SOCKET, module.SO_ERROR)
    assert sock.recv(10) == b""


def test_calls_after_stop(peer):
    """DESIGN 2: ENETDOWN."""
    sock = peer.established()
    peer.bed.stack.stop()
    with pytest.raises(OSError) as caught:
        sock.send(b"x")
    assert caught.value.errno == errno.ENETDOWN


def test_blocked_call_wakes_on_stop(peer):
    """DESIGN 9: stop() wakes blocked calls with ENETDOWN (or the reset that stop() sends)."""
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 10)
    peer.bed.stack.stop()
    with pytest.raises(OSError):
        call.result()


def test_blocked_call_wakes_on_close(peer):
    """close() by another thread: EBADF."""
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 10)
    sock.close()
    with pytest.raises(OSError) as caught:
        call.result()
    assert caught.value.errno == errno.EBADF


# -- poll -------------------------------------------------------------------------------------------------

def test_poll_established(peer):
    """TB 11."""
    sock = peer.established()
    assert polled(sock) == {"out"}
    peer.send_data(1)
    assert polled(sock) == {"in", "out"}
    sock.recv(10)
    assert polled(sock) == {"out"}


def test_poll_connecting(peer):
    """TB 11, 1.3: writable when done."""
    sock = peer.syn_sent()
    assert "out" not in polled(sock)
    peer.answer_syn()
    assert polled(sock) == {"out"}


def test_poll_refused(peer):
    """TB 11."""
    sock = peer.syn_sent()
    peer.send("R.", 0, ack=1)
    assert {"out", "err", "hup"} <= polled(sock)


def test_poll_after_the_peers_fin(peer):
    """TB 11: POLLIN and POLLRDHUP."""
    assert polled(peer.close_wait()) == {"in", "out", "rdhup"}


def test_poll_after_both_fins(peer):
    """TB 11: POLLHUP."""
    assert {"in", "rdhup", "hup"} <= polled(peer.last_ack())


def test_poll_half_closed(peer):
    """TB 11: our FIN alone is no hang-up."""
    events = polled(peer.fin_wait_2())
    assert "hup" not in events and "in" not in events


def test_poll_reset(peer):
    """TB 11: POLLERR."""
    sock = peer.established()
    peer.send("R.")
    assert {"in", "err", "hup"} <= polled(sock)


def test_poll_out_of_order_is_not_readable(peer):
    """TB 11."""
    sock = peer.established()
    peer.send("P.", 101, ack=1, payload=10)
    assert polled(sock) == {"out"}


# -- options ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name,value", [("TCP_NODELAY", 1), ("TCP_CORK", 1), ("TCP_SYNCNT", 3),
                                        ("TCP_LINGER2", 11),
                                        ("TCP_WINDOW_CLAMP", 30000), ("TCP_DEFER_ACCEPT", 1), ("TCP_QUICKACK",
                                                                                               0),
                                        ("TCP_USER_TIMEOUT", 500), ("TCP_MAXSEG", 900)])
def test_option_round_trip(peer, name, value):
    """TB 10, 14."""
    module = peer.bed.socket
    sock = peer.bed.tcp_socket()
    sock.setsockopt(module.IPPROTO_TCP, getattr(module, name), value)
    assert sock.getsockopt(module.IPPROTO_TCP, getattr(module, name)) == value


@pytest.mark.parametrize("name,default", [("TCP_NODELAY", 0), ("TCP_CORK", 0), ("TCP_SYNCNT", 6),
                                          ("TCP_LINGER2", 60), ("TCP_DEFER_ACCEPT", 0), ("TCP_MAXSEG", 536)])
def test_option_default(peer, name, default):
    """TB 14: as Linux."""
    module = peer.bed.socket
    assert peer.bed.tcp_socket().getsockopt(module.IPPROTO_TCP, getattr(module, name)) == default


@pytest.mark.parametrize("name,value", [("TCP_MAXSEG", 50), ("TCP_MAXSEG", 40000), ("TCP_SYNCNT", 0),
                                        ("TCP_SYNCNT", 200)])
def test_option_out_of_range(peer, name, value):
    """As Linux: EINVAL."""
    module = peer.bed.socket
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().setsockopt(module.IPPROTO_TCP, getattr(module, name), value)
    assert caught.value.errno == errno.EINVAL


def test_unknown_congestion_control(peer):
    """As Linux: ENOENT."""
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().setsockopt(6, 13, b"nosuch")
    assert caught.value.errno == errno.ENOENT


def test_ttl_and_tos_are_used(peer):
    """RFC 9293 MUST-49, MUST-67/68: the program sets TTL and TOS for a connection."""
    module = peer.bed.socket
    sock = peer.established()
    sock.setsockopt(module.IPPROTO_IP, module.IP_TTL, 7)
    sock.setsockopt(module.IPPROTO_IP, module.IP_TOS, 0x20)
    sock.send(b"x")
    segment = peer.expect("P.", 1, tos=0x20)
    assert segment.ip.ttl == 7


def test_default_ttl(peer):
    """RFC 9293 MUST-49: configurable; 64."""
    peer.bed.connecting()
    assert peer.expect("S").ip.ttl == 64


def test_local_address_is_constant(peer):
    """RFC 9293 MUST-44: asked for or chosen once."""
    sock = peer.syn_sent()
    assert sock.getsockname() == ("192.168.2.200", peer.local_port)
    peer.answer_syn()
    assert sock.getsockname() == ("192.168.2.200", peer.local_port)


def test_info_of_a_listener_and_of_nothing(peer):
    """TB 14: TCP_INFO: LISTEN 10, CLOSE 7."""
    module = peer.bed.socket
    assert peer.bed.listener().getsockopt(module.IPPROTO_TCP, module.TCP_INFO, 104)[0] == 10
    assert peer.bed.tcp_socket().getsockopt(module.IPPROTO_TCP, module.TCP_INFO, 104)[0] == 7


@pytest.mark.parametrize("state,number", [("syn_sent", 2), ("established", 1), ("fin_wait_1", 4),
                                          ("fin_wait_2", 5),
                                          ("time_wait", 6), ("close_wait", 8), ("last_ack", 9), ("closing",
                                                                                                 11)])
def test_info_tells_the_state(peer, state, number):
    """TB 14. (TIME-WAIT: as Linux the socket itself is done: 7 is right, too.)"""
    sock = getattr(peer, state)()
    assert sock.tcp_info()["tcpi_state"] in ((6, 7) if number == 6 else (number,))


def test_no_timer_is_left_after_the_end(peer):
    """Issue 3: both sides closed, TIME-WAIT over: nothing is due any more."""
    before = peer.bed.clock.next_deadline()
    peer.time_wait(close=True)
    peer.bed.advance(200)
    after = peer.bed.clock.next_deadline()
    assert before is not None or after is None


def test_notsent_lowat_limits_what_a_write_takes(peer):
    """TB 11: beyond what cwnd lets out at once only so much waits to be sent; whole segments, as on Linux."""
    module = peer.bed.socket
    sock = peer.established()
    sock.setblocking(False)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_NOTSENT_LOWAT, 3500)
    assert sock.send(bytes(59000)) == 14000
    peer.expect_flight(*range(1, 10001, 1000))
    with pytest.raises(BlockingIOError):
        sock.send(b"x")
    peer.send(".", ack=1001)
    peer.expect_flight(10001, 11001)
    assert sock.send(bytes(59000)) == 2000


def test_a_stack_wide_notsent_lowat_wakes_writers(make):
    """TB 11, 14: the setting does what the option does."""
    peer = make(notsent_lowat=4000)
    sock = peer.established()
    sock.setblocking(False)
    assert sock.send(bytes(59000)) == 14000
    peer.take()
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    assert not poller.poll(0)
    peer.send(".", ack=1001)
    assert poller.poll(0)


def test_urgent_byte_of_a_write_that_takes_part(make):
    """RFC 6093: the urgent byte is the last one taken, however little may wait unsent."""
    peer = make(notsent_lowat=1)
    sock = peer.established()
    taken = sock.send(bytes(3500), peer.bed.socket.MSG_OOB)
    segment = peer.take()[0]
    assert "U" in segment.flags and segment.seq + segment.wire.urgent == 1 + taken
