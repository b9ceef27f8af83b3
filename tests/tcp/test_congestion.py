"""The congestion window (RFC 5681, 6928, 7661, 9438, 3168). TB 9, 3.4."""

import pytest

RTT = 0.1


def cwnd(sock):
    """Segments."""
    return sock.tcp_info()["tcpi_snd_cwnd"]


def send_and_ack(peer, sock, segments, per_ack):
    """Send `segments` full segments, one round trip later acknowledge them `per_ack` at a time."""
    start = peer.got
    sock.send(bytes(1000 * segments))
    assert len(peer.take()) == segments
    peer.bed.advance(RTT)
    acknowledged = 0
    while acknowledged < segments:
        acknowledged = min(acknowledged + per_ack, segments)
        peer.send(".", ack=start + 1000 * acknowledged)
    peer.take()


@pytest.mark.parametrize("size", [100, 3000])
def test_a_window_of_nothing_holds_everything_back(peer, size):
    """A congestion control of the user's may set cwnd to 0."""
    sock = peer.established()
    tcb, = peer.bed.stack.tcp.connections.values()
    tcb.cwnd = 0
    sock.send(bytes(size))
    assert peer.take() == []


def test_initial_window_is_ten(peer):
    """TB 9 (RFC 6928)."""
    sock = peer.established()
    sock.send(bytes(20000))
    peer.expect_flight(*range(1, 10001, 1000))


def test_initial_window_of_large_segments(peer):
    """RFC 6928: ten segments of 1460."""
    sock = peer.established(mss=1460)
    sock.send(bytes(40000))
    assert len(peer.take()) == 10


@pytest.mark.parametrize("per_ack", [1, 2, 4])
def test_slow_start_counts_acknowledged_segments(peer, per_ack):
    """TB 9: +1 for each acknowledged segment, however the ACKs come (RFC 3465 with L as large as needed)."""
    sock = peer.established()
    send_and_ack(peer, sock, 10, per_ack)
    assert cwnd(sock) == 20
    send_and_ack(peer, sock, 20, per_ack)
    assert cwnd(sock) == 40


def test_slow_start_sends_two_for_one(peer):
    """RFC 5681 3.1."""
    sock = peer.established()
    sock.send(bytes(40000))
    peer.expect_flight(*range(1, 10001, 1000))
    peer.bed.advance(RTT)
    for number in range(3):
        peer.send(".", ack=1001 + 1000 * number)
        peer.expect_flight(10001 + 2000 * number, 11001 + 2000 * number)


@pytest.mark.parametrize("segments,expected", [(5, 10), (6, 12), (9, 18), (10, 20), (1, 10)])
def test_growth_only_when_the_window_is_used(peer, segments, expected):
    """TB 9: 5 of 10 in flight: no growth; 6 -> 12; 9 -> 18."""
    sock = peer.established()
    send_and_ack(peer, sock, segments, 2)
    assert cwnd(sock) == expected


def test_growth_not_beyond_the_receive_window(peer):
    """RFC 7661 as Linux: limited by the peer's window the congestion window does not run away."""
    sock = peer.established(win=4000)
    for _ in range(10):
        start = peer.got
        sock.send(bytes(4000))
        assert len(peer.take()) == 4
        peer.bed.advance(RTT)
        peer.send(".", ack=start + 4000)
    assert cwnd(sock) == 10


@pytest.mark.parametrize("idle,expected", [(0.15, 40), (0.3, 20), (0.55, 10), (30, 10)])
def test_slow_start_after_idle(peer, idle, expected):
    """TB 9: halved for each RTO (about 0.3 s) since the last segment was sent (a round trip more than
    `idle`), not below 10."""
    sock = peer.established()
    send_and_ack(peer, sock, 10, 1)
    send_and_ack(peer, sock, 20, 1)
    assert cwnd(sock) == 40
    peer.bed.advance(idle)
    sock.send(b"x")
    peer.take()
    assert cwnd(sock) == expected


def test_no_slow_start_after_idle_when_switched_off(make):
    """TB 14."""
    peer = make(slow_start_after_idle=False)
    sock = peer.established()
    send_and_ack(peer, sock, 10, 1)
    send_and_ack(peer, sock, 20, 1)
    peer.bed.advance(30)
    sock.send(b"x")
    assert cwnd(sock) == 40


@pytest.mark.parametrize("control,expected", [("cubic", 7), ("reno", 5)])
def test_loss_reduces(make, control, expected):
    """TB 9: beta 0.7 and 0.5."""
    peer = make(congestion_control=control)
    sock = peer.established()
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(RTT)
    for last in (3001, 4001, 5001):
        peer.send(".", ack=1, sack=[(1001, last)])
    assert sock.tcp_info()["tcpi_snd_ssthresh"] == expected


def test_control_of_a_socket(peer):
    """Issue 3: TCP_CONGESTION."""
    module = peer.bed.socket

    def prepare(sock):
        sock.setsockopt(module.IPPROTO_TCP, 13, b"reno")

    sock = peer.established(prepare=prepare)
    assert sock.getsockopt(module.IPPROTO_TCP, 13, 16).rstrip(b"\0") == b"reno"
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(RTT)
    for last in (3001, 4001, 5001):
        peer.send(".", ack=1, sack=[(1001, last)])
    assert sock.tcp_info()["tcpi_snd_ssthresh"] == 5


def test_no_control(make):
    """Issue 3: "none" sends whatever the peer's window allows, and a loss does not change that."""
    peer = make(congestion_control="none")
    sock = peer.established(win=40000)
    sock.send(bytes(60000))
    assert len(peer.take()) == 40


def test_reno_avoidance_grows_by_one_per_round(make):
    """RFC 5681 3.1: above ssthresh one segment for each window acknowledged."""
    peer = make(congestion_control="reno")
    sock = peer.established()
    lose_one(peer, sock)
    assert cwnd(sock) == 5
    for expected in (6, 7, 8):
        send_and_ack(peer, sock, cwnd(sock), 1)
        assert cwnd(sock) == expected


def test_cubic_avoidance_grows_slowly(peer):
    """RFC 9438: above ssthresh far less than slow start does."""
    sock = peer.established()
    lose_one(peer, sock)
    assert cwnd(sock) == 7
    send_and_ack(peer, sock, 7, 1)
    assert 7 <= cwnd(sock) <= 9


def lose_one(peer, sock):
    """Ten segments, the first lost and repaired; recovery is over."""
    start = peer.got
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(RTT)
    for number in range(2, 11):
        peer.send(".", ack=start, sack=[(start + 1000, start + 1000 * number)])
    peer.take()
    peer.bed.advance(RTT)
    peer.send(".", ack=start + 10000)
    peer.take()


def test_hystart_plus_plus_is_not_triggered_by_a_steady_rtt(peer):
    """RFC 9406: with a constant RTT slow start goes on doubling."""
    sock = peer.established(ws=7)
    for expected in (20, 40):
        send_and_ack(peer, sock, expected // 2, 1)
        assert cwnd(sock) == expected


# -- ECN (RFC 3168) ---------------------------------------------------------------------------------------

ECT0, CE = 2, 3


def ecn_connection(make, active=False):
    """A connection that has agreed on ECN."""
    peer = make(ecn=1)
    if active:
        sock = peer.bed.connecting()
        peer.expect("SEW", 0)
        peer.bed.advance(RTT)
        peer.send("S.E", mss=1000, sack_ok=True)
        peer.expect(".", 1, 1)
        return peer, sock
    listener = peer.bed.listener()
    peer.send("SEW", mss=1000, sack_ok=True)
    peer.expect("S.E", 0, 1)
    peer.bed.advance(RTT)
    peer.send(".")
    return peer, peer.bed.accept(listener)


def test_ecn_syn(make):
    """TB 3.4: SEW; SE. agrees."""
    peer, sock = ecn_connection(make, True)
    sock.send(b"x")
    peer.expect("P.", 1, 1, tos=ECT0)


def test_ecn_syn_ack(make):
    """TB 3.4."""
    peer, sock = ecn_connection(make)
    sock.send(b"x")
    peer.expect("P.", 1, 1, tos=ECT0)


def test_ecn_default_answers_but_does_not_ask(peer):
    """TB 14: ecn=2 as Linux."""
    peer.bed.connecting()
    peer.expect("S", 0)


def test_ecn_default_accepts(peer):
    """TB 14: ecn=2."""
    peer.bed.listener()
    peer.send("SEW", mss=1000)
    peer.expect("S.E", 0, 1)


def test_ecn_off(make):
    """TB 14: ecn=0."""
    peer = make(ecn=0)
    peer.bed.listener()
    peer.send("SEW", mss=1000)
    peer.expect("S.", 0, 1)


@pytest.mark.parametrize("flags", ["SE", "SW", "S"])
def test_syn_with_half_the_flags_is_no_offer(make, flags):
    """RFC 3168 6.1.1."""
    peer = make(ecn=1)
    peer.bed.listener()
    peer.send(flags, mss=1000)
    peer.expect("S.", 0, 1)


def test_syn_ack_with_both_flags_does_not_agree(make):
    """RFC 3168 6.1.1: a broken peer that reflects the bits."""
    peer = make(ecn=1)
    sock = peer.bed.connecting()
    peer.expect("SEW", 0)
    peer.send("S.EW", mss=1000)
    peer.expect(".", 1, 1)
    sock.send(b"x")
    peer.expect("P.", 1, 1, tos=0)


def test_ect_only_on_new_data(make):
    """TB 3.4: not on pure ACKs, not on retransmissions."""
    peer, sock = ecn_connection(make)
    peer.send_data(10)
    peer.expect(".", 1, 11, tos=0)
    sock.send(b"x")
    peer.expect("P.", 1, tos=ECT0)
    peer.expect("P.", 1, tos=0, within=1)


def test_ce_is_echoed_until_cwr(make):
    """TB 3.4: ECE until CWR."""
    peer, _ = ecn_connection(make)
    peer.send_data(10, tos=CE)
    peer.expect(".E", 1, 11)
    peer.send_data(10, tos=ECT0)
    peer.expect(".E", 1, 21, within=0.05)
    peer.send("P.W", payload=10, tos=ECT0)
    peer.expect(".", 1, 31, within=0.05)


def test_text_with_cwr_is_acknowledged_at_once(make):
    """TB 3.4: the peer's window may be down to one segment (Linux and FreeBSD agree)."""
    peer, sock = ecn_connection(make)
    peer.send_data(10)
    peer.expect(".", 1, 11)
    sock.recv(10)
    sock.send(b"x")                                    # from now on ACKs may wait
    peer.expect("P.", 1, 11)
    peer.send_data(10, tos=ECT0)
    peer.expect_nothing(0.01)
    peer.send("P.W", payload=10, tos=ECT0)
    peer.expect(".", 2, 31)


def test_ecn_in_a_simultaneous_open(make):
    """TB 3.4, 13: the SYN,ACK carries what our SYN offered, if the peer's SYN did as well."""
    peer = make(ecn=1)
    sock = peer.bed.connecting()
    peer.expect("SEW", 0)
    peer.send("SEW", mss=1000, sack_ok=True)
    peer.expect("S.E", 0, 1)
    peer.send(".")
    sock.send(b"x")
    peer.expect("P.", 1, 1, tos=ECT0)


def test_ece_reduces_once_per_round(make):
    """TB 9, 3.4: the window is cut once per RTT; CWR on the next new data."""
    peer, sock = ecn_connection(make)
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(RTT)
    peer.send(".E", ack=1001)
    peer.send(".E", ack=2001)
    assert sock.tcp_info()["tcpi_snd_ssthresh"] == 7
    peer.send(".", ack=10001)
    sock.send(bytes(1000))
    segment = peer.take()[-1]
    assert "W" in segment.flags
    assert cwnd(sock) <= 8


def test_no_ect_without_agreement(peer):
    """TB 3.4."""
    sock = peer.established()
    sock.send(b"x")
    peer.expect("P.", 1, 1, tos=0)


def test_tos_keeps_its_upper_bits_with_ecn(make):
    """RFC 3168: the two low bits are ECN's, the rest the program's."""
    peer, sock = ecn_connection(make)
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_IP, module.IP_TOS, 0x10)
    sock.send(b"x")
    peer.expect("P.", 1, 1, tos=0x10 | ECT0)


def test_ecn_syn_is_repeated_without_ecn_at_the_end(make):
    """RFC 3168 6.1.1.1 as Linux: if the SYN with the bits is lost again and again a plain one may get
    through: the peer that never sees ECN answers either way; the retransmissions stay SYNs."""
    peer = make(ecn=1)
    peer.bed.connecting()
    peer.expect("SEW", 0)
    peer.bed.advance(1.1)
    again = peer.take()[0]
    assert again.flags in ("S", "SEW")
