"""A path that swallows large packets without a word (RFC 4821 section 7.7, RFC 2923): smaller ones are tried."""

import pytest


def sizes(peer, seconds):
    """Payload lengths of what was sent from relative sequence number 1, in order, within `seconds`."""
    found = []
    for _ in range(round(seconds * 10)):
        peer.bed.advance(0.1)
        found += [segment.length for segment in peer.take() if segment.seq == 1 and segment.length]
    return found


def suspected(peer):
    return peer.bed.stack.counters["tcp.black_hole_suspected"]


def test_third_timeout_of_a_full_segment_makes_it_smaller(peer):
    """The probe of the tail (RFC 8985) and two timeouts try the full size; the third one 1024."""
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    tried = sizes(peer, 30)
    full = tried.count(1460)
    assert tried[:full] == [1460] * full and set(tried[full:]) == {1024}
    assert full == 3                                       # TLP, RTO, RTO
    assert suspected(peer) == 1 and sock.tcp_info()["tcpi_snd_mss"] == 1024
    assert sock.tcp_info()["tcpi_pmtu"] == 1064


def test_small_segment_gets_through_and_the_rest_follows_in_its_size(peer):
    sock = peer.established(mss=1460)
    data = bytes(range(256)) * 20
    sock.send(data)
    got, edge = {}, 1
    for _ in range(600):
        peer.bed.advance(0.1)
        while arrived := [segment for segment in peer.take() if 0 < segment.length <= 1024]:   # the others are lost
            got.update((segment.seq, segment.length) for segment in arrived)
            while edge in got:
                edge += got[edge]
            peer.send(".", ack=edge)
    assert edge == 1 + len(data) and suspected(peer) == 1


@pytest.mark.parametrize("mss, size", [(1460, 1000), (1024, 1024), (536, 536)])
def test_small_segments_that_vanish_are_no_black_hole(peer, mss, size):
    sock = peer.established(mss=mss)
    sock.send(bytes(size))
    peer.take()
    assert set(sizes(peer, 30)) == {size} and suspected(peer) == 0


def test_without_path_mtu_discovery_nothing_is_suspected(make):
    """Without DF a router would have cut the packets."""
    peer = make(pmtu_discovery=False)
    sock = peer.established(mss=1460)
    sock.send(bytes(1460))
    peer.take()
    assert set(sizes(peer, 30)) == {1460} and suspected(peer) == 0


def test_answer_in_time_keeps_the_size(peer):
    """Two timeouts, then an ACK: counting begins anew."""
    sock = peer.established(mss=1460)
    edge = 1
    for _ in range(3):
        sock.send(bytes(1460))
        peer.take()
        timeouts = 0
        for _ in range(2000):
            peer.bed.advance(0.05)
            timeouts = sock.tcp_info()["tcpi_retransmits"]
            if timeouts == 2:
                break
        assert timeouts == 2
        edge += 1460
        peer.send(".", ack=edge)
        peer.take()
    assert suspected(peer) == 0 and sock.tcp_info()["tcpi_snd_mss"] == 1460
