"""Keepalive and the user timeout (RFC 9293 3.8.4, RFC 5482). TB 10, 7."""

import errno

import pytest


def keep_alive(peer, sock, idle, interval, count):
    """SO_KEEPALIVE with these figures."""
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 1)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPIDLE, idle)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPINTVL, interval)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPCNT, count)


def so_error(peer, sock):
    """SO_ERROR, which clears it."""
    return sock.getsockopt(peer.bed.socket.SOL_SOCKET, peer.bed.socket.SO_ERROR)


def test_off_by_default(peer):
    """RFC 9293 MUST-25."""
    peer.established()
    peer.expect_nothing(100000)


def test_default_idle_time_is_two_hours(peer):
    """RFC 9293 MUST-28."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 1)
    peer.expect_nothing(7199)
    peer.expect(".", 0, 1, within=2)


def test_probe_is_one_below_snd_nxt(peer):
    """TB 10: seq SND.NXT-1, no data."""
    sock = peer.established()
    sock.send(b"abc")
    peer.take()
    peer.send(".")
    keep_alive(peer, sock, 10, 5, 3)
    peer.expect(".", 3, 1, length=0, within=11)


def test_probes_come_at_intervals(peer):
    """TB 10: idle, then each interval."""
    sock = peer.established()
    keep_alive(peer, sock, 10, 5, 3)
    peer.expect(".", 0, 1, after=10)
    peer.expect(".", 0, 1, after=5)
    peer.expect(".", 0, 1, after=5)


def test_unanswered_probes_end_the_connection(peer):
    """TB 10: count -> ETIMEDOUT (RFC 9293 MUST-27: not after a single one). A RST tells the peer, as
    Linux."""
    sock = peer.established()
    keep_alive(peer, sock, 10, 5, 3)
    peer.bed.advance(24.9)
    assert len(peer.take()) == 3
    assert sock.tcp_info()["tcpi_state"] == 1
    peer.bed.advance(0.2)
    assert all("R" in segment.flags for segment in peer.take())
    assert so_error(peer, sock) == errno.ETIMEDOUT
    assert sock.tcp_info()["tcpi_state"] == 7


def test_answered_probe_starts_over(peer):
    """TB 10."""
    sock = peer.established()
    keep_alive(peer, sock, 10, 5, 2)
    for _ in range(5):
        peer.expect(".", 0, 1, after=10)
        peer.send(".")
    assert sock.tcp_info()["tcpi_state"] == 1


def test_data_from_the_peer_starts_over(peer):
    """RFC 9293 MUST-26: only if nothing was received within the interval."""
    sock = peer.established()
    keep_alive(peer, sock, 10, 5, 2)
    for _ in range(4):
        peer.bed.advance(8)
        peer.send_data(1)
    assert all(segment.seq == 1 for segment in peer.take())
    assert sock.tcp_info()["tcpi_state"] == 1


def test_no_probe_while_data_is_outstanding(peer):
    """RFC 9293 3.8.4: the retransmission timer is in charge."""
    sock = peer.established()
    keep_alive(peer, sock, 1, 1, 2)
    sock.send(b"x")
    peer.take()
    peer.bed.advance(20)
    assert all(segment.length == 1 for segment in peer.take())
    assert sock.tcp_info()["tcpi_state"] == 1


def test_switching_on_later(peer):
    """TB 10: counted from the last segment received, as Linux: already idle for longer: at once."""
    sock = peer.established()
    peer.bed.advance(100)
    keep_alive(peer, sock, 10, 5, 3)
    peer.expect(".", 0, 1, within=10.1)


def test_switching_off(peer):
    """TB 10."""
    sock = peer.established()
    keep_alive(peer, sock, 10, 5, 3)
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 0)
    peer.expect_nothing(100)


def test_shortening_the_idle_time(peer):
    """TB 10: TCP_KEEPIDLE on a live connection counts at once."""
    sock = peer.established()
    keep_alive(peer, sock, 1000, 5, 3)
    peer.bed.advance(20)
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPIDLE, 30)
    peer.expect(".", 0, 1, after=10)


@pytest.mark.parametrize("state", ["fin_wait_2", "close_wait"])
def test_half_closed_connections_are_probed(peer, state):
    """RFC 9293 3.8.4 as Linux: also in FIN-WAIT-2 and CLOSE-WAIT."""
    sock = getattr(peer, state)()
    keep_alive(peer, sock, 10, 5, 3)
    peer.expect(".", within=11)


def test_settings(make):
    """TB 14: keepalive_time, _intvl, _probes."""
    peer = make(keepalive_time=20, keepalive_intvl=3, keepalive_probes=2)
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 1)
    peer.expect(".", 0, 1, after=20)
    peer.expect(".", 0, 1, after=3)
    peer.bed.advance(3.1)
    assert so_error(peer, sock) == errno.ETIMEDOUT


def test_user_timeout_ends_keepalive(peer):
    """TB 10 as Linux: TCP_USER_TIMEOUT replaces the count: over when nothing came for so long and a probe is
    out."""
    sock = peer.established()
    keep_alive(peer, sock, 10, 5, 9)
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, 18, 17000)
    peer.bed.advance(16)
    assert so_error(peer, sock) == 0
    peer.bed.advance(6)
    assert so_error(peer, sock) == errno.ETIMEDOUT


@pytest.mark.parametrize("name,value", [("TCP_KEEPIDLE", 100), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 7)])
def test_options_round_trip(peer, name, value):
    """TB 10: get/set."""
    module = peer.bed.socket
    sock = peer.bed.tcp_socket()
    default = sock.getsockopt(module.IPPROTO_TCP, getattr(module, name))
    assert default == {"TCP_KEEPIDLE": 7200, "TCP_KEEPINTVL": 75, "TCP_KEEPCNT": 9}[name]
    sock.setsockopt(module.IPPROTO_TCP, getattr(module, name), value)
    assert sock.getsockopt(module.IPPROTO_TCP, getattr(module, name)) == value


@pytest.mark.parametrize("name,value", [("TCP_KEEPIDLE", 0), ("TCP_KEEPIDLE", 32768), ("TCP_KEEPINTVL", 0),
                                        ("TCP_KEEPCNT", 0), ("TCP_KEEPCNT", 128)])
def test_impossible_values(peer, name, value):
    """TB 10 as Linux: EINVAL."""
    module = peer.bed.socket
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().setsockopt(module.IPPROTO_TCP, getattr(module, name), value)
    assert caught.value.errno == errno.EINVAL


def test_user_timeout_round_trip(peer):
    """TB 10: milliseconds; negative EINVAL."""
    module = peer.bed.socket
    sock = peer.bed.tcp_socket()
    assert sock.getsockopt(module.IPPROTO_TCP, 18) == 0
    sock.setsockopt(module.IPPROTO_TCP, 18, 1234)
    assert sock.getsockopt(module.IPPROTO_TCP, 18) == 1234
    with pytest.raises(OSError):
        sock.setsockopt(module.IPPROTO_TCP, 18, -1)


def test_closed_socket_is_not_probed(peer):
    """TB 10: nobody is left to tell."""
    sock = peer.established()
    keep_alive(peer, sock, 1, 1, 2)
    sock.close()
    peer.expect("F.", 1, 1)
    peer.send(".")
    peer.expect_nothing(30)


def test_data_shows_that_the_peer_is_there(peer):
    """RFC 9293 3.8.4: only probes without anything in between count (on its fast path Linux forgets that)."""
    sock = peer.established()
    keep_alive(peer, sock, 1, 1, 2)
    for seq in (1, 11, 21):
        peer.expect(".", 0, seq, after=1)
        peer.bed.advance(0.1)
        peer.send("P.", seq, payload=10)
        peer.expect(".", 1, seq + 10, within=0.05)
    assert so_error(peer, sock) == 0
