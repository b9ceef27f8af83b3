"""Super-segments above 64 KB (BIG TCP, which no RFC knows): only while nothing speaks against them."""

import pytest

from tipy.testing.bed import Bed, CuttingLink
from tipy.testing.peer import Peer

MSS = 1460
CLASSIC = 14 + 65535                   # bytes of the longest frame with an ordinary IP header


@pytest.fixture
def bed():
    bed = Bed(link=CuttingLink, sndbuf=1 << 22, sndbuf_max=1 << 22, congestion_control="none")
    yield bed
    bed.stop()


def sending(bed):
    """(socket, peer): the peer's window is 4 MB, and 1 MB is on its way to it."""
    peer = Peer(bed)
    sock = peer.established(ws=10)
    peer.send(".", win=4096)
    assert sock.send(bytes(1 << 20)) > 0
    peer.take()
    return sock, peer


def write_more(bed, sock):
    """Bytes of the longest frame that a megabyte more is handed down in."""
    bed.link.longest = 0
    sock.send(bytes(1 << 20))
    return bed.link.longest


def test_large_window_is_filled_with_large_super_segments(bed):
    sending(bed)
    assert bed.link.longest > CLASSIC


def test_ack_of_a_whole_super_segment_changes_nothing(bed):
    sock, peer = sending(bed)
    peer.send(".", win=4096)
    assert write_more(bed, sock) > CLASSIC


def test_ack_within_a_super_segment_says_that_it_was_cut(bed):
    sock, peer = sending(bed)
    peer.send(".", ack=1 + 10 * MSS, win=4096)
    assert 0 < write_more(bed, sock) <= CLASSIC


def test_retransmissions_are_never_larger_than_64_kb(bed):
    sock, peer = sending(bed)
    bed.link.longest = 0
    bed.advance(1.0)                   # the RTO
    assert 0 < bed.link.longest <= CLASSIC
    peer.take()
    peer.send(".", win=4096)
    assert 0 < write_more(bed, sock) <= CLASSIC


@pytest.mark.parametrize("mss, total", [(1460, 262056), (536, 65024)])
def test_probe_of_a_super_segment_that_was_cut_with_another_mss(bed, mss, total):
    """SACK blocks to report make segments shorter: where the last one begins depends on what they were then."""
    peer = Peer(bed)
    sock = peer.established(ws=10, sack=True, mss=mss)
    peer.send(".", win=4096)
    for number in range(1, 4):
        peer.send(".", seq=1 + 2000 * number, payload=500)
    sock.send(bytes(total))
    sent = [segment for segment in peer.take() if segment.length]
    bed.advance(0.29)                  # the tail loss probe
    probe, = [segment for segment in peer.take() if segment.length]
    assert 0 < probe.length <= mss and probe.end == sent[-1].end == 1 + total
    peer.send(".", ack=1 + total)
    assert sock.tcp_info()["tcpi_unacked"] == 0
    sock.send(bytes(100))
    assert [segment.length for segment in peer.take()] == [100]
