"""A window of zero: the persist timer (RFC 9293 3.8.6.1, RFC 1122 4.2.2.17). TB 6.1, 10, 12."""

import errno

import pytest

from tipy.testing.peer import ANY

RTO = 0.3                      # after a handshake of 100 ms


def stalled(peer, **how):
    """A connection with data queued and the window closed; everything sent before is acknowledged."""
    sock = peer.established(win=2000, **how)
    sock.send(bytes(5000))
    peer.expect_flight(1, 1001)
    peer.bed.advance(0.1)
    peer.send(".", win=0)
    peer.expect_nothing()
    return sock


def probe(peer, within=130.0):
    """The next probe: below SND.UNA without data, or one new byte."""
    segment = peer.expect(".", length=ANY, within=within)
    assert (segment.seq, segment.length) in ((2000, 0), (2000, 1), (2001, 1)), segment
    return segment


def test_no_data_into_a_zero_window(peer):
    """TB 6.1."""
    stalled(peer)
    peer.expect_nothing(0.25)


def test_probes_double(peer):
    """TB 6.1: the first after the RTO, then doubling."""
    stalled(peer)
    start = peer.bed.now()
    times = [start]
    for _ in range(6):
        times.append(probe(peer).time)
        peer.send(".", win=0)
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert 0.2 <= gaps[0] <= 1.0
    for earlier, later in zip(gaps, gaps[1:]):
        assert later == pytest.approx(2 * earlier, rel=0.02)


def test_probes_wait_as_long_as_the_timer_that_was_backed_off(peer):
    """RFC 9293 SHLD-29: the first probe after the RTO, which is twice as long since a timeout (Karn: nothing has measured
    a round trip since). The count of the back-off goes on, as on Linux."""
    sock = peer.established(win=65535, sack=False)
    sock.send(bytes(5000))
    peer.take()
    peer.bed.advance(0.4)
    peer.take()
    peer.send(".", ack=5001, win=0)
    sock.send(bytes(1000))
    start = peer.bed.now()
    first = peer.expect(".", length=ANY, within=5).time
    second = peer.expect(".", length=ANY, within=5).time
    assert first - start == pytest.approx(2 * RTO, abs=0.01)
    assert second - first == pytest.approx(4 * 2 * RTO, abs=0.01)


def test_probe_interval_is_capped(peer):
    """TB 6.1, RFC 9293 MUST-37: back-off, to the largest RTO (120 s)."""
    stalled(peer)
    times = []
    for _ in range(16):
        times.append(probe(peer).time)
        peer.send(".", win=0)
    assert times[-1] - times[-2] == pytest.approx(120, rel=0.01)


def test_answered_probes_keep_the_connection_for_ever(peer):
    """TB 6.1 (RFC 9293 MUST-37: as long as ACKs come the connection stays)."""
    sock = stalled(peer)
    for _ in range(60):
        probe(peer)
        peer.send(".", win=0)
    assert sock.tcp_info()["tcpi_state"] == 1
    peer.send(".", win=5000)
    peer.expect_flight(2001, 3001, 4001)


def test_unanswered_probes_give_up(peer):
    """TB 6.1, 5: nobody answers: ETIMEDOUT after retries2."""
    sock = stalled(peer)
    peer.bed.advance(3600)
    module = peer.bed.socket
    assert sock.getsockopt(module.SOL_SOCKET, module.SO_ERROR) == errno.ETIMEDOUT


def test_user_timeout_bounds_probing(peer):
    """TB 6.1, 10: TCP_USER_TIMEOUT counts although probes are answered."""
    sock = stalled(peer)
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, 18, 3000)
    for _ in range(10):
        peer.bed.advance(0.5)
        if peer.take():
            peer.send(".", win=0)
    peer.bed.advance(3)
    peer.take()
    assert sock.getsockopt(module.SOL_SOCKET, module.SO_ERROR) == errno.ETIMEDOUT


def test_opening_resumes_at_once(peer):
    """TB 6.1: nothing waits for the timer."""
    stalled(peer)
    peer.expect_nothing(0.1)
    peer.send(".", win=3000)
    peer.expect_flight(2001, 3001, 4001)


def test_opening_by_a_little_waits_for_the_timer(peer):
    """TB 6.3: a window smaller than a segment: silly-window avoidance holds the data; when the persist timer
    fires a segment is split at the window's edge."""
    stalled(peer)
    peer.send(".", win=300)
    peer.expect_nothing(0.1)
    segment = peer.expect_data(2001, ANY, within=1)
    assert segment.length <= 300


def test_window_closed_from_the_start(peer):
    """TB 6.1: the SYN said 0."""
    sock = peer.syn_sent()
    peer.bed.advance(0.1)
    peer.send("S.", mss=1000, win=0)
    peer.expect(".", 1, 1)
    sock.send(b"x")
    peer.expect_nothing(0.15)
    segment = peer.expect("?.", length=ANY, within=2)
    assert segment.length <= 1
    peer.send(".", ack=1, win=1000)
    peer.bed.advance(0.5)
    assert peer.got == 2


def test_slow_start_after_a_stall_keeps_cwnd(peer):
    """TB 6.1: the congestion window is what it was."""
    sock = stalled(peer)
    before = sock.tcp_info()["tcpi_snd_cwnd"]
    for _ in range(3):
        probe(peer)
        peer.send(".", win=0)
    peer.send(".", win=65535)
    peer.take()
    assert sock.tcp_info()["tcpi_snd_cwnd"] >= before


def test_fin_waits_for_the_window_to_let_data_through(peer):
    """TB 2.1: FIN after the data."""
    sock = stalled(peer)
    sock.shutdown(1)
    peer.expect_nothing(0.15)
    peer.send(".", win=10000)
    peer.expect_data(2001, 1000)
    peer.expect_data(3001, 1000)
    peer.expect("FP.", 4001, length=1000)


def test_fin_alone_waits_for_the_window(peer):
    """TB 2.1, 6.3, as Linux: the FIN has a number, and the window 0 has no room for it; the peer is probed,
    and the FIN leaves when the window opens."""
    sock = peer.established()
    peer.send(".", win=0)
    sock.shutdown(1)
    peer.expect(".", 0, 1, within=1)
    peer.send(".", ack=1, win=1000)
    peer.expect("F.", 1, 1)


def test_no_probe_when_nothing_is_queued(peer):
    """TB 6.1."""
    peer.established()
    peer.send(".", win=0)
    peer.expect_nothing(500)


def test_window_closes_while_data_is_in_flight(peer):
    """TB 6.3, 12: what is outstanding is retransmitted by the RTO, not the persist timer."""
    sock = peer.established(win=3000, sack=False)
    sock.send(bytes(5000))
    peer.expect_flight(1, 1001, 2001)
    peer.send(".", ack=1001, win=0)
    peer.bed.advance(2)
    again = peer.take()
    assert again and again[0].seq == 1001


def test_probe_answer_with_new_ack(peer):
    """TB 6.1: a probe of one new byte may be acknowledged: the data goes on behind it."""
    stalled(peer)
    segment = probe(peer)
    peer.send(".", ack=max(2001, segment.end), win=60000)
    start = max(2001, segment.end)
    rest = peer.take()
    assert rest[0].seq == start and rest[-1].end == 5001


def test_keepalive_does_not_disturb_probing(peer):
    """TB 10: while there is data to send the persist timer is in charge."""
    module = peer.bed.socket
    sock = stalled(peer)
    sock.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 1)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPIDLE, 1)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPINTVL, 1)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPCNT, 2)
    for _ in range(8):
        probe(peer)
        peer.send(".", win=0)
    assert sock.tcp_info()["tcpi_state"] == 1


@pytest.mark.parametrize("answered", [False, True])
def test_user_timeout_bounds_retransmission_into_a_closed_window(peer, answered):
    """TB 6.1, 10: the window closes on data in flight. TCP_USER_TIMEOUT counts from the first retransmission, whether
    the peer answers or not; until then the RTO doubles as usual."""
    sock = peer.established()
    sock.setsockopt(peer.bed.socket.IPPROTO_TCP, peer.bed.socket.TCP_USER_TIMEOUT, 1500)
    sock.send(b"x")
    peer.expect("P.", 1, 1)
    peer.send(".", ack=1, win=0)
    for _ in range(3):
        peer.expect("P.", 1, 1, within=1.5)
        if answered:
            peer.send(".", ack=1)
    peer.expect_nothing(60)
    with pytest.raises(TimeoutError):
        sock.recv(1)
