"""After a recovery during which the peer's window stood still: no burst (RFC 6582 section 3.2 step 3)."""

import pytest

RTT, MSS, SCALE = 0.1, 1000, 7


def grown(peer, segments):
    """(socket, segments sent so far): a connection whose cwnd has grown to more than `segments`, nothing in flight."""
    sock = peer.established(mss=MSS, ws=SCALE, rtt=RTT, win=65535)
    done = 0
    while sock.tcp_info()["tcpi_snd_cwnd"] <= segments:
        room = sock.tcp_info()["tcpi_snd_cwnd"]
        sock.send(bytes(MSS * room))
        peer.bed.advance(RTT)
        for _ in range(room):
            done += 1
            peer.send(".", ack=1 + MSS * done, win=segments * MSS >> SCALE)
        peer.take()
    return sock, done


def after_recovery(peer, flight=100):
    """A socket with more to send; its flight was as large as the window, the first segment was lost, and the ACK of all
    of it has just come."""
    sock, done = grown(peer, flight)
    window = (flight * MSS >> SCALE << SCALE) // MSS
    base = 1 + done * MSS
    sock.send(bytes(4 * MSS * flight))
    assert len(peer.take()) == window
    peer.bed.advance(RTT)
    for count in range(2, window + 1):
        peer.send(".", ack=base, sack=[(base + MSS, base + MSS * count)], win=flight * MSS >> SCALE)
    assert [segment.seq for segment in peer.take()] == [base]
    peer.bed.advance(RTT)
    peer.take()
    peer.send(".", ack=base + window * MSS, win=65535)
    return sock


def test_what_cwnd_allows_is_spread_over_a_round_trip(peer):
    """TB 4: cwnd is ssthresh, but the segments do not leave in one burst."""
    sock = after_recovery(peer)
    info = sock.tcp_info()
    assert info["tcpi_snd_cwnd"] == info["tcpi_snd_ssthresh"] >= 70
    srtt = info["tcpi_rtt"] / 1e6
    assert 0 < len(peer.take()) <= 4
    sent = []
    for _ in range(10):
        peer.bed.advance(srtt / 10)
        sent.append(len(peer.take()))
    assert max(sent) <= 12 and sum(sent) == pytest.approx(info["tcpi_snd_cwnd"], abs=6)


def test_later_bursts_are_not_spread(peer):
    """Only the round trip after the recovery: pacing is off otherwise."""
    sock = after_recovery(peer)
    peer.bed.advance(2 * RTT)
    last = peer.take()[-1]
    before = sock.tcp_info()["tcpi_unacked"]
    sock.send(bytes(2 * MSS * before))
    peer.send(".", ack=last.end, win=65535)
    assert len(peer.take()) >= before


def test_small_windows_leave_at_once(peer):
    """As on Linux: what is not much needs no spreading."""
    sock = after_recovery(peer, flight=30)
    assert len(peer.take()) == sock.tcp_info()["tcpi_snd_cwnd"]
