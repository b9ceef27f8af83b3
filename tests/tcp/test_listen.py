"""LISTEN (RFC 9293 3.10.7.2). TB 1.1, 1.7, 1.8, 1.10."""

import errno

import pytest

from tipy.testing.peer import Peer


def peers(first, count):
    """`count` further peers on the same stack."""
    return [Peer(first.bed, port=first.port + 1 + number) for number in range(count)]


def test_syn_is_answered_with_syn_ack(peer):
    """TB 1.1."""
    peer.bed.listener()
    peer.syn()
    peer.expect("S.", 0, 1)
    peer.expect_nothing()


@pytest.mark.parametrize("flags", ["R", "R.", "SR", "SR.", "FR"])
def test_rst_is_dropped(peer, flags):
    """TB 1.7."""
    peer.bed.listener()
    peer.send(flags, ack=1 if "." in flags else None)
    peer.expect_nothing(10)


@pytest.mark.parametrize("flags", [".", "P.", "F.", "S.", "FP.", "SF."])
def test_ack_is_reset_at_its_number(peer, flags):
    """TB 1.7, 13: any ACK, SYN+ACK too, is answered <SEQ=SEG.ACK><CTL=RST>."""
    peer.bed.listener()
    peer.send(flags, ack=4711)
    peer.expect("R", 4711)
    peer.expect_nothing(10)


@pytest.mark.parametrize("flags", ["", "F", "P", "FP", "U"])
def test_segment_without_syn_or_ack_is_dropped(peer, flags):
    """TB 1.7."""
    peer.bed.listener()
    peer.send(flags)
    peer.expect_nothing(10)


@pytest.mark.parametrize("flags", ["SF", "SFP"])
def test_syn_fin_is_dropped(peer, flags):
    """TB 1.7, 13."""
    peer.bed.listener()
    peer.send(flags, mss=1000)
    peer.expect_nothing(10)


def test_syn_with_data_is_answered_for_the_syn_alone_or_the_data_too(peer):
    """RFC 9293 3.10.7.2: data on the SYN may be queued (MAY) or left for retransmission; never lost."""
    listener = peer.bed.listener()
    peer.syn(payload=b"early")
    reply = peer.expect("S.", 0)
    assert reply.ack in (1, 6)
    if reply.ack == 1:
        peer.send("P.", 1, ack=1, payload=b"early")
    else:
        peer.send(".", 6, ack=1)
    peer.take()
    sock, _ = listener.accept()
    sock.setblocking(False)
    assert sock.recv(100) == b"early"


def test_backlog_full_drops_syn_and_recovers(peer):
    """TB 1.8, 12: the accept queue is full: the SYN is dropped, not reset; with room again it is answered."""
    listener = peer.bed.listener(backlog=1)
    first, second, third = peers(peer, 3)
    for each in (first, second):
        each.syn()
        each.expect("S.", 0, 1)
        each.send(".")
        each.expect_nothing()
    third.syn()
    third.expect_nothing(0.5)
    listener.accept()
    third.syn(seq=0)
    third.expect("S.", 0, 1)


def test_backlog_full_drops_final_ack_and_resends_syn_ack(peer):
    """TB 1.8: accept queue full when the handshake's last ACK comes: it is dropped, the SYN-ACK resent, and
    the connection completes when there is room and the peer speaks again."""
    listener = peer.bed.listener(backlog=2)
    late, *others = peers(peer, 4)
    late.syn()
    late.expect("S.", 0, 1, sack_ok=True)
    for each in others:
        each.syn()
        each.expect("S.", 0, 1)
        each.send(".")
    late.send(".")
    late.expect_nothing()
    late.expect("S.", 0, 1, after=1)
    for each in others:
        assert listener.accept()[1][1] == each.port
    late.send_data(3)
    late.expect(".", 1, 4, within=0.2)
    sock = peer.bed.accept(listener)
    assert sock.getpeername()[1] == late.port and len(sock.recv(10)) == 3


def test_accept_without_connection_says_eagain(peer):
    """TB 1.6."""
    listener = peer.bed.listener()
    with pytest.raises(BlockingIOError) as caught:
        listener.accept()
    assert caught.value.errno == errno.EAGAIN


def test_half_open_connection_is_not_acceptable(peer):
    """TB 1.6: accept completes on the ACK, not on the SYN."""
    listener = peer.syn_received()
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_closed_listener_resets_half_open_and_waiting_connections(peer):
    """TB 1.8: SYN-RCVD children die, unaccepted connections are reset, later ACKs get RST."""
    waiting, half_open = peers(peer, 2)
    listener = peer.bed.listener()
    for each in (waiting, half_open):
        each.syn()
        each.expect("S.", 0, 1)
    waiting.send(".")
    listener.close()
    waiting.expect("R.", 1, 1)
    half_open.take()
    half_open.send(".")
    half_open.expect("R", 1)
    waiting.send(".")
    waiting.expect("R", 1)


def test_unaccepted_connection_keeps_data_for_accept(peer):
    """TB 1.6: data that came before accept()."""
    listener = peer.syn_received()
    peer.send(".")
    peer.send_data(100)
    peer.take()
    sock, _ = listener.accept()
    sock.setblocking(False)
    assert len(sock.recv(200)) == 100


def test_unaccepted_connection_that_was_reset(peer):
    """TB 12: the peer's RST before accept(): the socket, if it is still given out, tells of it."""
    listener = peer.syn_received()
    peer.send(".")
    peer.send("R.")
    try:
        sock, _ = listener.accept()
    except OSError as error:
        assert error.errno in (errno.EAGAIN, errno.ECONNABORTED)
        return
    sock.setblocking(False)
    with pytest.raises(ConnectionResetError):
        sock.recv(10)


def test_two_connections_to_one_listener(peer):
    """RFC 9293 MUST-41: several connections at one local port."""
    listener = peer.bed.listener()
    first, second = peers(peer, 2)
    for each in (first, second):
        each.syn()
        each.expect("S.", 0, 1)
        each.send(".")
    socks = [listener.accept()[0] for _ in range(2)]
    for each, sock in zip((first, second), socks):
        sock.setblocking(False)
        sock.send(b"%d" % each.port)
        each.expect("P.", 1, 1, payload=b"%d" % each.port)


def test_accepted_socket_names(peer):
    """TB 1.6: getsockname() and getpeername() of an accepted socket."""
    sock = peer.established()
    assert sock.getsockname() == ("192.168.2.200", peer.local_port)
    assert sock.getpeername() == ("192.168.2.199", peer.port)


def test_accept_inherits_options_but_not_nonblocking(peer):
    """TB 11, 10."""
    module = peer.bed.socket

    def prepare(sock):
        sock.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 1)
        sock.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
        sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPIDLE, 33)
        sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPINTVL, 7)
        sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPCNT, 3)
        sock.setsockopt(module.IPPROTO_TCP, 18, 12345)

    listener = peer.syn_received(prepare=prepare)
    peer.send(".")
    sock, _ = listener.accept()
    assert sock.gettimeout() is None
    assert sock.getsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE) == 1
    assert sock.getsockopt(module.IPPROTO_TCP, module.TCP_NODELAY) != 0
    assert [sock.getsockopt(module.IPPROTO_TCP, name) for name in
            (module.TCP_KEEPIDLE, module.TCP_KEEPINTVL, module.TCP_KEEPCNT, 18)] == [33, 7, 3, 12345]


def test_recv_and_send_on_listener_fail(peer):
    """TB 11: recv on a listener ENOTCONN, send EPIPE."""
    listener = peer.bed.listener()
    with pytest.raises(OSError) as caught:
        listener.recv(1)
    assert caught.value.errno == errno.ENOTCONN
    with pytest.raises(OSError) as caught:
        listener.send(b"x")
    assert caught.value.errno in (errno.EPIPE, errno.ENOTCONN)


def test_connect_on_listener_fails(peer):
    """TB 11: a listening socket cannot connect."""
    listener = peer.bed.listener()
    assert listener.connect_ex(("192.168.2.199", 50)) == errno.EISCONN
    peer.expect_nothing()
