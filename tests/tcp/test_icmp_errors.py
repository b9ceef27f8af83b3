"""ICMP errors about TCP segments (RFC 1122 4.2.3.9, RFC 5461, RFC 5927). TB 8, 13."""

import errno
import select

import pytest

ERRNO = {0: errno.ENETUNREACH, 1: errno.EHOSTUNREACH, 2: errno.ENOPROTOOPT, 3: errno.ECONNREFUSED,
         5: errno.EOPNOTSUPP, 6: errno.ENETUNREACH, 7: errno.EHOSTDOWN, 9: errno.ENETUNREACH,
         10: errno.EHOSTUNREACH, 11: errno.ENETUNREACH, 12: errno.EHOSTUNREACH, 13: errno.EHOSTUNREACH}
HARD = {2, 3}


def so_error(peer, sock):
    """SO_ERROR, which clears it."""
    return sock.getsockopt(peer.bed.socket.SOL_SOCKET, peer.bed.socket.SO_ERROR)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 9, 10, 11, 12, 13])
def test_unreachable_in_syn_sent_is_fatal(peer, code):
    """TB 8, 13: the errno of its code."""
    sock = peer.syn_sent()
    peer.icmp(3, code, seq=0)
    assert so_error(peer, sock) == ERRNO[code]
    peer.expect_nothing(20)


def test_blocking_connect_fails(peer):
    """TB 8."""
    from tipy.testing.calls import Call
    sock = peer.bed.tcp_socket()
    sock.bind(("192.168.2.200", peer.local_port))
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.connect, ("192.168.2.199", peer.port))
    peer.take()
    peer.icmp(3, 3, seq=0)
    with pytest.raises(ConnectionRefusedError):
        call.result()


@pytest.mark.parametrize("seq", [-1, 1, 1000, -100000])
def test_wrong_number_in_syn_sent_is_ignored(peer, seq):
    """TB 13: only seq = ISS."""
    sock = peer.syn_sent()
    peer.icmp(3, 3, seq=seq)
    assert so_error(peer, sock) == 0
    peer.answer_syn()


@pytest.mark.parametrize("code", sorted(ERRNO))
def test_unreachable_in_established_is_soft(peer, code):
    """TB 8: retried; nothing is reported while it can still come right."""
    sock = peer.established()
    sock.send(b"x")
    peer.take()
    peer.icmp(3, code, seq=1)
    assert so_error(peer, sock) == 0
    assert sock.tcp_info()["tcpi_state"] == 1
    peer.expect("P.", 1, 1, within=1)
    peer.send(".")
    peer.expect_nothing(5)


def test_who_asks_for_errors_is_told_at_once(peer):
    """IP_RECVERR: reported once, and the connection goes on (Linux's ip(7))."""
    net = peer.bed.socket
    sock = peer.established()
    sock.setsockopt(net.IPPROTO_IP, 11, 1)
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    sock.send(b"x")
    peer.take()
    peer.icmp(3, 1, seq=1)
    assert poll.poll(0) == [(sock.fileno(), select.POLLOUT | select.POLLERR)]
    with pytest.raises(OSError) as caught:
        sock.recv(10)
    assert caught.value.errno == errno.EHOSTUNREACH
    assert poll.poll(0) == [(sock.fileno(), select.POLLOUT)]
    assert so_error(peer, sock) == 0 and sock.tcp_info()["tcpi_state"] == 1
    peer.expect("P.", 1, 1, within=1)
    peer.send("P.", 1, 2, payload=b"goes on")
    assert sock.recv(10) == b"goes on"


def test_soft_error_is_reported_with_the_timeout(make):
    """TB 8: SO_ERROR only after the timeout: the ICMP error, not ETIMEDOUT, as Linux."""
    peer = make(retries2=3)
    sock = peer.established()
    sock.send(b"x")
    peer.take()
    peer.icmp(3, 1, seq=1)
    peer.bed.advance(60)
    assert so_error(peer, sock) in (errno.EHOSTUNREACH, errno.ETIMEDOUT)


@pytest.mark.parametrize("type,code", [(4, 0), (5, 0), (5, 1), (11, 0), (11, 1), (12, 0), (3, 15), (3, 99),
                                       (40, 0),
                                       (0, 0), (13, 0)])
def test_other_types_do_no_harm(peer, type, code):
    """TB 8 (RFC 9293 SHLD-26, MUST-55: source quench is discarded)."""
    sock = peer.established()
    sock.send(bytes(2000))
    before = sock.tcp_info()
    peer.take()
    peer.icmp(type, code, seq=1)
    after = sock.tcp_info()
    assert after["tcpi_state"] == 1
    assert after["tcpi_snd_cwnd"] == before["tcpi_snd_cwnd"]
    peer.send(".")
    peer.expect_nothing(5)


@pytest.mark.parametrize("type", [4, 5])
def test_other_types_in_syn_sent_are_ignored(peer, type):
    """TB 8."""
    sock = peer.syn_sent()
    peer.icmp(type, 0, seq=0)
    assert so_error(peer, sock) == 0
    peer.answer_syn()


@pytest.mark.parametrize("quote", [0, 4, 7])
def test_short_quote_is_ignored(peer, quote):
    """HOSTILE: fewer than the 8 bytes that name the connection and the number."""
    sock = peer.syn_sent()
    peer.icmp(3, 3, seq=0, quote=quote)
    assert so_error(peer, sock) == 0


def test_error_about_somebody_else(peer):
    """RFC 5927: the quoted ports must name a connection."""
    from tipy.testing.peer import Peer
    sock = peer.syn_sent()
    other = Peer(peer.bed, port=peer.port + 1)
    other.stack_iss = peer.stack_iss
    other.icmp(3, 3, seq=0)
    assert so_error(peer, sock) == 0
    peer.answer_syn()


def test_port_unreachable_does_not_reset_established(peer):
    """RFC 5461 4, RFC 5927 5.2: a blind attacker can forge it."""
    sock = peer.established()
    sock.send(b"x")
    peer.take()
    peer.icmp(3, 3, seq=1)
    peer.send(".")
    assert sock.tcp_info()["tcpi_state"] == 1


def test_error_about_another_number_in_syn_received_is_ignored(peer):
    """RFC 5927 4.1."""
    listener = peer.syn_received()
    peer.icmp(3, 3, seq=7)
    peer.send(".")
    peer.bed.accept(listener)


def test_error_in_time_wait_is_ignored(peer):
    """RFC 1122 4.2.3.9."""
    peer.time_wait()
    peer.icmp(3, 3, seq=1)
    peer.send("F.", 1, ack=2)
    peer.expect(".", 2, 2)


def test_reset_is_not_answered_with_icmp(peer):
    """RFC 9293 3.5.2: TCP answers with RST, never with port unreachable."""
    peer.syn()
    peer.expect("R.", 0, 1)
    assert not peer.bed.strangers


def test_unreachable_speeds_nothing_up(peer):
    """RFC 6069 is not asked for: the backoff goes on."""
    sock = peer.established()
    sock.send(b"x")
    peer.take()
    peer.icmp(3, 1, seq=1)
    peer.expect_nothing(0.2)
