"""Path MTU discovery (RFC 1191, RFC 5927, RFC 4821). TB 8."""

import pytest

from tipy.testing.peer import ANY


def lengths(peer):
    """The payload lengths of what was sent."""
    return [segment.length for segment in peer.take()]


def test_df_is_set(peer):
    """TB 8."""
    sock = peer.established()
    sock.send(b"x")
    assert peer.expect("P.", 1).ip.df


def test_df_is_not_set_when_switched_off(make):
    """TB 14: pmtu_discovery."""
    peer = make(pmtu_discovery=False)
    sock = peer.established()
    sock.send(b"x")
    assert not peer.expect("P.", 1).ip.df


def test_fragmentation_needed_lowers_the_mss(peer):
    """TB 8: MTU N: N-40; what is outstanding is resent at once in smaller pieces."""
    sock = peer.established(mss=1460)
    sock.send(bytes(2920))
    peer.expect_flight(1, 1461, length=1460)
    peer.fragmentation_needed(1000, seq=1)
    peer.take()
    peer.bed.advance(0.01)
    sock.send(bytes(10))
    peer.take()
    assert sock.tcp_info()["tcpi_snd_mss"] == 960


def test_resent_at_once_in_smaller_pieces(peer):
    """TB 8: the segment that was too big does not wait for the RTO."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.expect_data(1, 1460)
    peer.fragmentation_needed(1000, seq=1)
    first = peer.expect_data(1, 960)
    assert first.ip.df
    peer.expect_data(961, 500)
    peer.send(".")
    peer.expect_nothing(5)


def test_with_timestamps(peer):
    """TB 8: N-52."""
    sock = peer.established(mss=1460, ts=True)
    sock.send(bytes(1448))
    peer.expect_data(1, 1448)
    peer.fragmentation_needed(1000, seq=1)
    peer.expect_data(1, 948)
    peer.expect_data(949, 500)


def test_later_segments_fit(peer):
    """TB 8: new data is cut to the new size."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    peer.fragmentation_needed(1000, seq=1)
    peer.take()
    peer.send(".", ack=1461)
    sock.send(bytes(2880))
    assert lengths(peer) == [960, 960, 960]


def test_not_counted_as_loss(peer):
    """TB 8: congestion window and ssthresh stay."""
    sock = peer.established(mss=1460)
    sock.send(bytes(14600))
    peer.take()
    before = sock.tcp_info()
    peer.fragmentation_needed(1000, seq=1)
    peer.take()
    after = sock.tcp_info()
    assert after["tcpi_snd_ssthresh"] == before["tcpi_snd_ssthresh"]
    assert after["tcpi_snd_cwnd"] >= before["tcpi_snd_cwnd"]


@pytest.mark.parametrize("seq", [-1000, 0, 3000, 1 << 20])
def test_outside_the_flight_is_ignored(peer, seq):
    """TB 8 (RFC 5927 4.1): the quoted number must be in SND.UNA..SND.NXT."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.expect_data(1, 1460)
    peer.fragmentation_needed(1000, seq=seq)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_snd_mss"] == 1460


def test_nothing_outstanding_is_ignored(peer):
    """TB 8: what was not sent cannot have been too big."""
    sock = peer.established(mss=1460)
    peer.fragmentation_needed(1000, seq=2)
    sock.send(bytes(1460))
    peer.expect_data(1, 1460)


@pytest.mark.parametrize("mtu", [1, 68, 500])
def test_tiny_mtu_is_clamped(peer, mtu):
    """TB 8: not below the minimum (552 in Linux, 68 in the RFC); the data still gets through."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    peer.fragmentation_needed(mtu, seq=1)
    pieces = lengths(peer)
    assert sum(pieces) >= 0
    assert sock.tcp_info()["tcpi_snd_mss"] >= 28


def test_larger_mtu_is_ignored(peer):
    """RFC 1191 6.3: it cannot raise the estimate."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    peer.fragmentation_needed(9000, seq=1)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_snd_mss"] == 1460


def test_mtu_zero_uses_the_plateau_table(peer):
    """RFC 1191 7.1: an old router says 0: the next lower plateau; never something absurd."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    peer.fragmentation_needed(0, seq=1)
    peer.bed.advance(2)
    assert 200 <= sock.tcp_info()["tcpi_snd_mss"] <= 1460


def test_other_connections_learn_it(peer):
    """RFC 1191 3: the estimate belongs to the path: a new connection announces its own MSS but sends fitting
    segments."""
    from tipy.testing.peer import Peer
    listener = peer.bed.listener()
    sock = peer.established(mss=1460, listener=listener)
    sock.send(bytes(1460))
    peer.take()
    peer.fragmentation_needed(1000, seq=1)
    other = Peer(peer.bed, port=4001)
    second = other.established(mss=1460, listener=listener)
    second.send(bytes(1460))
    assert lengths(other) == [960, 500]


def test_from_a_router(peer):
    """TB 8: the error comes from wherever the packet died."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    peer.icmp(3, 4, seq=1, mtu=1200, source="10.9.8.7")
    peer.expect_data(1, 1160)


def test_off_ignores_fragmentation_needed(make):
    """TB 14."""
    peer = make(pmtu_discovery=False)
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    peer.fragmentation_needed(1000, seq=1)
    peer.take()
    assert sock.tcp_info()["tcpi_snd_mss"] in (1460, 960)


def test_black_hole_is_found(peer):
    """Issue 3 (RFC 4821): big segments vanish without ICMP: after some timeouts smaller ones are tried."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    shortest = 1460
    for _ in range(200):
        peer.bed.advance(0.5)
        for segment in peer.take():
            shortest = min(shortest, segment.length) if segment.seq == 1 else shortest
        if shortest < 1460:
            break
    assert 200 <= shortest <= 1024


def test_path_mtu_of_a_socket(peer):
    """IP_MTU of a connected socket."""
    module = peer.bed.socket
    sock = peer.established(mss=1460)
    assert sock.getsockopt(module.IPPROTO_IP, 14) == 1500
    sock.send(bytes(1460))
    peer.take()
    peer.fragmentation_needed(1000, seq=1)
    assert sock.getsockopt(module.IPPROTO_IP, 14) == 1000


def test_syn_is_not_affected(peer):
    """TB 8: an MTU for the SYN's path, then the handshake goes on."""
    peer.syn_sent()
    peer.fragmentation_needed(1000, seq=0)
    peer.take()
    peer.answer_syn(mss=1460)
    sock = peer.bed.sockets[-1]
    sock.send(bytes(1460))
    assert max(lengths(peer)) <= 1460
    peer.take()


def test_retransmission_in_recovery_uses_the_new_size(peer):
    """TB 8, 4: a hole larger than the new MSS is repaired piece by piece."""
    sock = peer.established(mss=1460)
    sock.send(bytes(14600))
    peer.take()
    peer.bed.advance(0.1)
    peer.fragmentation_needed(1000, seq=1)
    peer.bed.advance(1)
    assert all(segment.length <= 960 for segment in peer.take())
    peer.send(".", ack=14601)
    peer.expect_nothing(5)
    sock.send(bytes(960))
    peer.expect("?.", 14601, ANY, length=960)


def test_syn_ack_is_never_too_large(peer):
    """As Linux: before the handshake is done there is nothing a router could have found too large."""
    listener = peer.syn_received(mss=1000)
    peer.fragmentation_needed(552, seq=0)
    peer.send(".", 1)
    sock = peer.bed.accept(listener)
    sock.send(bytes(1000))
    peer.expect_data(1, 1000)
