"""Super-segments above 64 KB (BIG TCP, which no RFC knows): only while nothing speaks against them."""

import pytest

from tipy.link.memory import MemoryLink
from tipy.tcp import output
from tipy.testing.bed import Bed, CuttingLink
from tipy.testing.peer import Peer

MSS = 1460
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0
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


def test_a_small_allowance_makes_only_its_own_segment_small(bed, monkeypatch):
    """Pacing may allow little now and more a moment later, while the same call goes on."""
    sock, peer = sending(bed)
    peer.send(".", ack=peer.got, win=4096)
    tcb, = bed.stack.tcp.connections.values()
    una, allowed = tcb.snd_nxt, iter([2000, 8000, 4000, 0])
    monkeypatch.setattr(output.pacing, "rate", lambda tcb: 1.0)
    monkeypatch.setattr(output.pacing, "allowance", lambda tcb, mss, rate: next(allowed))
    monkeypatch.setattr(output.pacing, "sent", lambda tcb, length, rate: None)
    tcb.refill_until = una + (1 << 20)
    sock.send(bytes(1 << 20))
    assert [record.end - record.seq for record in tcb.records if record.seq >= una] == [2000, 8000, 4000]


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


# -- what the pieces say, on a link that cuts as on one that does not (checksums: the peer looks at each) ------------


@pytest.fixture(params=[MemoryLink, CuttingLink])
def either(request):
    bed = Bed(link=request.param, congestion_control="none")
    yield bed
    bed.stop()


def test_ip_options_stand_in_each_piece(either):
    """RFC 791 3.1: the header is longer then, and so is the way to what is filled in."""
    peer = Peer(either)
    sock = peer.established(mss=1000)
    module = either.socket
    sock.setsockopt(module.IPPROTO_IP, module.IP_OPTIONS, b"\1\1\1\0")
    payload = bytes(n & 0xFF for n in range(5120))
    assert sock.send(payload) == 5120
    pieces = peer.take()
    assert b"".join(piece.payload for piece in pieces) == payload and len(pieces) > 4
    assert {piece.ip.options for piece in pieces} == {b"\1\1\1\0"}


def test_urgent_pointer_points_at_the_same_byte_from_each_segment(either):
    """RFC 9293 3.8.5; RFC 6093 2.1."""
    peer = Peer(either)
    sock = peer.established(mss=1000)
    assert sock.send(bytes(5000), either.socket.MSG_OOB) == 5000
    pieces = peer.take()
    assert [piece.seq + piece.urgent for piece in pieces] == [5001] * 5


def test_no_ip_id_is_used_twice_where_routers_may_fragment(either):
    """RFC 6864 4.1: an ID that repeats may have fragments of two packets put together."""
    peer = Peer(either)
    sock = peer.established(mss=1000)
    sock.setsockopt(either.socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    sock.send(bytes(3000))
    sock.send(bytes(4000))
    pieces = peer.take()
    assert not any(piece.ip.df for piece in pieces)
    first = pieces[0].ip.id
    assert [piece.ip.id for piece in pieces] == [first + number & 0xFFFF for number in range(7)]


def test_ip_options_on_the_largest_super_segments(bed):
    """Their total length does not fit its field either way."""
    peer = Peer(bed)
    sock = peer.established(ws=10)
    peer.send(".", win=4096)
    sock.setsockopt(bed.socket.IPPROTO_IP, bed.socket.IP_OPTIONS, b"\1\1\1\0")
    assert sock.send(bytes(1 << 20)) > CLASSIC
    assert bed.link.longest > CLASSIC and bed.stack.errors == []
