"""SYN cookies (RFC 4987 3.6). TB 1.8, 12."""

import pytest

from tipy.testing.peer import Peer


@pytest.fixture
def flooded(make):
    """A peer at a listener whose SYN queue is full: what is answered now is a cookie."""
    peer = make(max_syn_backlog=2)
    peer.listener = peer.bed.listener()
    for number in range(4):
        Peer(peer.bed, port=1000 + number).syn()
    return peer


def finish(peer, **options):
    """Open a connection by cookie; the accepted socket."""
    peer.syn(**options)
    peer.expect("S.", 0, 1)
    peer.timestamps = bool(options.get("ts"))
    peer.send(".")
    return peer.bed.accept(peer.listener)


def test_cookie_connection_works(flooded):
    """TB 1.8."""
    sock = finish(flooded)
    flooded.send_data(10)
    assert len(sock.recv(100)) == 10
    sock.send(b"x")
    flooded.take()
    flooded.send(".")
    sock.close()
    flooded.take()


@pytest.mark.parametrize("mss,low,high", [(1460, 1200, 1460), (1000, 536, 1000), (536, 400, 536), (9000, 1200,
                                                                                                   1460)])
def test_cookie_remembers_about_the_mss(flooded, mss, low, high):
    """RFC 4987 3.6: a few bits: never more than the peer's, not much less."""
    sock = finish(flooded, mss=mss)
    sock.send(bytes(10000))
    sizes = {segment.length for segment in flooded.take()}
    assert low <= max(sizes) <= high


def test_cookie_without_timestamps_has_no_options(flooded):
    """As Linux: window scale and SACK do not fit into the number."""
    flooded.syn(ws=7, sack=True)
    flooded.expect("S.", 0, 1, ws=None, sack_ok=False)


def test_cookie_with_timestamps_keeps_options(flooded):
    """As Linux: they are kept in the timestamp."""
    flooded.syn(ws=7, sack=True, ts=True)
    reply = flooded.expect("S.", 0, 1, ws=7, sack_ok=True)
    assert reply.options.timestamp is not None
    flooded.timestamps = True
    flooded.send(".", win=100)
    sock = flooded.bed.accept(flooded.listener)
    flooded.send("P.", 11, ack=1, payload=10)
    flooded.expect(".", 1, 1, sack=((11, 21),))
    info = sock.tcp_info()
    assert info["tcpi_snd_wscale"] == 7 and info["tcpi_snd_wnd"] == 100 << 7


@pytest.mark.parametrize("ts", [False, True])
def test_a_cookie_tells_no_round_trip_time(flooded, ts):
    """Nobody remembers when the SYN,ACK left: without timestamps there is no sample, and no tail probe at once."""
    sock = finish(flooded, ts=ts, sack=True)
    sock.send(b"x")
    flooded.expect("P.", 1)
    flooded.expect_nothing(0.19)
    assert bool(sock.tcp_info()["tcpi_rtt"]) == ts


def test_no_state_is_kept(flooded):
    """RFC 4987 3.6: a SYN answered with a cookie is not repeated."""
    flooded.syn()
    flooded.expect("S.", 0, 1)
    flooded.expect_nothing(60)


@pytest.mark.parametrize("ack", [2, 0, 12345, -70000])
def test_forged_cookie_is_reset(flooded, ack):
    """TB 12: syncookie ACK handling."""
    flooded.syn()
    flooded.expect("S.", 0, 1)
    flooded.send(".", ack=ack)
    flooded.expect("R", ack)
    with pytest.raises(BlockingIOError):
        flooded.listener.accept()


def test_cookie_of_another_port_is_reset(flooded):
    """RFC 4987 3.6: bound to the four numbers."""
    flooded.syn()
    flooded.expect("S.", 0, 1)
    other = Peer(flooded.bed, port=flooded.port + 1, iss=flooded.iss)
    other.stack_iss = flooded.stack_iss
    other.next = 1
    other.send(".", ack=1)
    other.expect("R", 1)


def test_old_cookie_is_reset(flooded):
    """As Linux: valid for about two minutes."""
    flooded.syn()
    flooded.expect("S.", 0, 1)
    for number in range(4):
        Peer(flooded.bed, port=1000 + number).take()
    flooded.bed.advance(300)
    flooded.send(".")
    flooded.expect("R", 1)


def test_cookie_ack_with_data(flooded):
    """TB 1.6, 1.8: the completing segment may carry data."""
    flooded.syn()
    flooded.expect("S.", 0, 1)
    flooded.send("P.", payload=b"hello")
    assert flooded.bed.accept(flooded.listener).recv(10) == b"hello"


def test_stray_ack_without_a_flood_is_reset(peer):
    """TB 1.7: no cookie was given out lately: an ACK is not even looked at as one."""
    peer.bed.listener()
    peer.send(".", ack=1234567)
    peer.expect("R", 1234567)


def test_cookies_use_the_backlog_of_accept(make):
    """TB 1.8: a full accept queue drops cookie ACKs too."""
    peer = make(max_syn_backlog=1)
    listener = peer.bed.listener(backlog=1)
    crowd = [Peer(peer.bed, port=1000 + number) for number in range(8)]
    for each in crowd:
        each.syn()
    for each in crowd:
        if each.segments:
            each.take()
            each.send(".")
    accepted = 0
    with pytest.raises(BlockingIOError):
        while True:
            listener.accept()
            accepted += 1
    assert accepted <= 2
