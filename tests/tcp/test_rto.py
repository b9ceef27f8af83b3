"""The retransmission timer (RFC 6298, RFC 9293 3.8.1-3.8.3). TB 5. Recovery by the timer alone: RACK-TLP is
off where it would come first."""

import errno

import pytest

from tipy.testing.peer import ANY


def so_error(peer, sock):
    """SO_ERROR, which clears it."""
    return sock.getsockopt(peer.bed.socket.SOL_SOCKET, peer.bed.socket.SO_ERROR)


@pytest.fixture
def plain(make):
    """A peer at a stack that recovers without RACK-TLP."""
    return make(recovery=False)


def test_rto_after_the_handshake(plain):
    """TB 5: one sample of 100 ms: SRTT 100, RTTVAR 50: RTO 300 ms."""
    sock = plain.established(rtt=0.1)
    info = sock.tcp_info()
    assert info["tcpi_rto"] == pytest.approx(300000, rel=0.02)
    assert info["tcpi_rtt"] == pytest.approx(100000, rel=0.02)
    sock.send(b"x")
    plain.expect("P.", 1, 1)
    plain.expect("P.", 1, 1, payload=b"x", after=0.3)


@pytest.mark.parametrize("rtt,rto", [(0.01, 0.21), (0.05, 0.25), (0.1, 0.3), (0.2, 0.6), (0.4, 1.2)])
def test_first_sample(plain, rtt, rto):
    """TB 5, 13 (RFC 6298 2.2): SRTT = R, RTTVAR = R/2, RTO = SRTT + max(200 ms, 4 RTTVAR)."""
    sock = plain.established(rtt=rtt)
    sock.send(b"x")
    plain.expect("P.", 1, 1)
    plain.expect("P.", 1, 1, after=rto)


def test_steady_samples_approach_the_minimum(plain):
    """TB 5, 13: RTTVAR shrinks; RTO -> SRTT + 200 ms."""
    sock = plain.established(rtt=0.1)
    for _ in range(60):
        sock.send(b"x")
        plain.take()
        plain.bed.advance(0.1)
        plain.send(".")
    assert sock.tcp_info()["tcpi_rto"] == pytest.approx(300000, abs=5000)


def test_second_sample_is_weighted(plain):
    """RFC 6298 2.3: SRTT = 7/8 SRTT + 1/8 R; RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|, with the old SRTT."""
    sock = plain.established(rtt=0.1)
    sock.send(b"x")
    plain.take()
    plain.bed.advance(0.26)
    plain.send(".")
    info = sock.tcp_info()
    assert info["tcpi_rtt"] == pytest.approx(120000, rel=0.02)


def test_initial_rto_is_one_second(plain):
    """RFC 6298 2.1: before a sample: 1 s. (The SYN was repeated, so the handshake gives none.)"""
    sock = plain.syn_sent()
    plain.expect("S", 0, after=1)
    assert sock.tcp_info()["tcpi_rto"] in (1000000, 2000000)


def test_rto_is_three_seconds_when_the_syn_was_lost(make):
    """RFC 6298 5.7: the timer of a SYN expired: RTO starts at 3 s; without timestamps."""
    peer = make(recovery=False, timestamps=False)
    sock = peer.syn_sent()
    peer.expect("S", 0, after=1)
    peer.bed.advance(0.1)
    peer.send("S.", mss=1000)
    peer.expect(".", 1, 1)
    sock.send(b"x")
    peer.expect("P.", 1, 1)
    peer.expect("P.", 1, 1, within=4)
    assert sock.tcp_info()["tcpi_retrans"] == 1


def test_backoff_doubles(plain):
    """TB 5: 0.3, 0.6, 1.2, ... s."""
    sock = plain.established(rtt=0.1)
    sock.send(b"x")
    plain.expect("P.", 1, 1)
    for number in range(6):
        plain.expect("P.", 1, 1, payload=b"x", after=0.3 * 2 ** number)


def test_backoff_is_capped(plain):
    """TB 5: at 120 s."""
    sock = plain.established(rtt=0.1)
    sock.send(b"x")
    times = [plain.expect("P.", 1, 1, within=121).time for _ in range(14)]
    assert times[-1] - times[-2] == pytest.approx(120, abs=0.01)


def test_rto_max_setting(make):
    """TB 14."""
    peer = make(recovery=False, rto_max=2.0)
    sock = peer.established(rtt=0.1)
    sock.send(b"x")
    times = [peer.expect("P.", 1, 1, within=121).time for _ in range(8)]
    assert times[-1] - times[-2] == pytest.approx(2.0, abs=0.01)


def test_rto_min_setting(make):
    """TB 14."""
    peer = make(recovery=False, rto_min=0.5)
    sock = peer.established(rtt=0.1)
    sock.send(b"x")
    peer.expect("P.", 1, 1)
    peer.expect("P.", 1, 1, after=0.6)


def test_gives_up_after_retries2(plain):
    """TB 5: ETIMEDOUT; 15 retries take 924.6 s at the least RTO (Linux), about 20 minutes here; the program
    hears of it once."""
    sock = plain.established(rtt=0.1)
    sock.send(b"x")
    plain.bed.advance(900)
    assert so_error(plain, sock) == 0
    plain.bed.advance(900)
    assert so_error(plain, sock) == errno.ETIMEDOUT
    assert sock.tcp_info()["tcpi_state"] == 7


def test_retries2_setting(make):
    """TB 14, 5."""
    peer = make(recovery=False, retries2=3)
    sock = peer.established(rtt=0.1)
    sock.send(b"x")
    peer.bed.advance(20)
    assert so_error(peer, sock) == errno.ETIMEDOUT
    peer.take()
    peer.send(".", ack=1)
    peer.expect("R", 1)


@pytest.mark.parametrize("milliseconds", [1000, 5000])
def test_user_timeout(plain, milliseconds):
    """TB 5, 10: TCP_USER_TIMEOUT."""
    sock = plain.established(rtt=0.1)
    module = plain.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, 18, milliseconds)
    sock.send(b"x")
    plain.bed.advance(milliseconds / 1000 - 0.1)
    assert so_error(plain, sock) == 0
    plain.bed.advance(0.2 + milliseconds / 1000)
    assert so_error(plain, sock) == errno.ETIMEDOUT


def test_blocked_recv_hears_of_the_timeout(make):
    """TB 5."""
    from tipy.testing.calls import Call
    peer = make(recovery=False, retries2=2)
    sock = peer.established(rtt=0.1)
    sock.send(b"x")
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 10)
    peer.bed.advance(30)
    with pytest.raises(TimeoutError) as caught:
        call.result()
    assert caught.value.errno == errno.ETIMEDOUT


def test_ack_of_part_restarts_the_timer(plain):
    """RFC 6298 5.3: an ACK of new data restarts it."""
    sock = plain.established(rtt=0.1, sack=False)
    sock.send(bytes(2000))
    plain.expect_flight(1, 1001)
    plain.bed.advance(0.1)
    plain.send(".", ack=1001)
    plain.expect_data(1001, 1000, after=0.3)


def test_ack_of_all_stops_the_timer(plain):
    """RFC 6298 5.2."""
    sock = plain.established(rtt=0.1)
    sock.send(bytes(2000))
    plain.take()
    plain.send(".")
    plain.expect_nothing(1000)


def test_timer_is_not_restarted_by_new_data(plain):
    """RFC 6298 5.1: only if it is not running."""
    sock = plain.established(rtt=0.1)
    module = plain.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
    sock.send(b"a")
    plain.bed.advance(0.2)
    sock.send(b"b")
    plain.take()
    plain.expect("?.", 1, length=ANY, after=0.1)


def test_timeout_sends_one_segment(plain):
    """TB 5: the first outstanding, cwnd 1."""
    sock = plain.established(rtt=0.1, sack=False)
    sock.send(bytes(5000))
    plain.expect_flight(1, 1001, 2001, 3001, 4001)
    plain.expect_data(1, 1000, after=0.3)
    plain.expect_nothing()
    assert sock.tcp_info()["tcpi_snd_cwnd"] == 1


def test_everything_is_resent_from_snd_una(plain):
    """TB 5: slow start over what was outstanding: 1, then 2, then the rest."""
    sock = plain.established(rtt=0.1, sack=False)
    sock.send(bytes(7000))
    plain.expect_flight(1, 1001, 2001, 3001, 4001, 5001, 6001)
    plain.expect_data(1, 1000, after=0.3)
    plain.bed.advance(0.1)
    plain.send(".", ack=1001)
    first = [segment.seq for segment in plain.take()]
    assert first[:1] == [1001] and len(first) <= 2
    plain.bed.advance(0.1)
    plain.send(".", ack=1001 + 1000 * len(first))
    assert plain.take()[0].seq == 1001 + 1000 * len(first)


def test_ssthresh_after_a_timeout(plain):
    """RFC 5681 (4) as cubic does it: 0.7 of what was in flight (0.5 for reno), at least 2."""
    sock = plain.established(rtt=0.1)
    sock.send(bytes(10000))
    plain.take()
    plain.bed.advance(0.31)
    assert sock.tcp_info()["tcpi_snd_ssthresh"] == 7


def test_ssthresh_after_a_timeout_reno(make):
    """RFC 5681 (4)."""
    peer = make(recovery=False, congestion_control="reno")
    sock = peer.established(rtt=0.1)
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(0.31)
    assert sock.tcp_info()["tcpi_snd_ssthresh"] == 5


def test_ssthresh_is_set_once_per_loss(make):
    """RFC 5681 3.1: a segment lost again does not halve ssthresh a second time."""
    peer = make(recovery=False, congestion_control="reno")
    sock = peer.established(rtt=0.1)
    sock.send(bytes(10000))
    peer.bed.advance(2.2)
    assert len(peer.take()) == 13
    assert sock.tcp_info()["tcpi_snd_ssthresh"] == 5


def test_no_sample_from_a_retransmitted_segment(make):
    """TB 5 (RFC 9293 MUST-18, Karn): without timestamps the ACK of a retransmission says nothing about the
    RTT."""
    peer = make(recovery=False, timestamps=False)
    sock = peer.established(rtt=0.1)
    sock.send(b"x")
    peer.expect("P.", 1, 1)
    peer.expect("P.", 1, 1, after=0.3)
    peer.bed.advance(0.01)
    peer.send(".")
    assert sock.tcp_info()["tcpi_rtt"] == pytest.approx(100000, rel=0.02)


def test_backed_off_rto_stays_until_a_sample(make):
    """RFC 6298 5, last paragraphs (Karn's second half): after the ACK of a retransmission the RTO stays
    backed off until new data gives a sample."""
    peer = make(recovery=False, timestamps=False)
    sock = peer.established(rtt=0.1)
    sock.send(b"x")
    peer.expect("P.", 1, 1)
    peer.expect("P.", 1, 1, after=0.3)
    peer.expect("P.", 1, 1, after=0.6)
    peer.bed.advance(0.1)
    peer.send(".")
    sock.send(b"y")
    peer.expect("P.", 2, 1)
    peer.expect("P.", 2, 1, after=1.2)
    peer.bed.advance(0.05)
    peer.send(".")
    sock.send(b"z")
    peer.take()
    peer.bed.advance(0.1)
    peer.send(".")
    assert sock.tcp_info()["tcpi_rto"] == pytest.approx(300000, rel=0.1)


def test_sample_from_a_retransmitted_segment_with_timestamps(plain):
    """RFC 7323 4: timestamps take the ambiguity away."""
    sock = plain.established(rtt=0.1, ts=True)
    sock.send(b"x")
    plain.expect("P.", 1, 1)
    plain.expect("P.", 1, 1, after=0.3)
    plain.bed.advance(0.2)
    plain.send(".")
    assert sock.tcp_info()["tcpi_rtt"] > 105000


def test_retransmission_is_identical(plain):
    """RFC 9293 3.8.1: the same bytes at the same numbers."""
    sock = plain.established(rtt=0.1)
    sock.send(b"abc")
    first = plain.expect("P.", 1, 1)
    again = plain.expect("P.", 1, 1, after=0.3)
    assert (again.payload, again.seq) == (first.payload, first.seq)


def test_retransmission_carries_the_current_ack_and_window(plain):
    """RFC 9293 3.8.1: ACK and window are those of now."""
    sock = plain.established(rtt=0.1)
    sock.send(b"abc")
    plain.expect("P.", 1, 1)
    plain.send("P.", ack=1, payload=100)
    plain.expect(".", 4, 101)
    plain.expect("P.", 1, 101, payload=b"abc", after=0.3)


def test_two_small_segments_are_collapsed_or_not_but_complete(plain):
    """RFC 9293 MAY-3: segments may be repacketized when they are retransmitted."""
    sock = plain.established(rtt=0.1)
    module = plain.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
    for text in (b"a", b"b", b"c"):
        sock.send(text)
    plain.take()
    again = plain.expect("P.", 1, 1, after=0.3)
    assert again.payload in (b"a", b"ab", b"abc")


def test_tcp_info_counts_retransmissions(plain):
    """TB 14."""
    sock = plain.established(rtt=0.1)
    sock.send(b"x")
    plain.bed.advance(1)
    info = sock.tcp_info()
    assert info["tcpi_total_retrans"] == 2
    assert info["tcpi_retransmits"] == 2 and info["tcpi_ca_state"] == 4
