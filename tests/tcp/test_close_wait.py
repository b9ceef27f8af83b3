"""CLOSE-WAIT (RFC 9293 3.10.7.4): the peer has closed. TB 2.2, 12."""

import errno

import pytest

from tipy.testing.peer import ANY, pattern


def test_fin_is_acknowledged(peer):
    """TB 2.2: may be delayed, at most 200 ms; read returns 0."""
    sock = peer.established()
    peer.send("F.")
    peer.expect(".", 1, 2, within=0.2)
    assert sock.recv(10) == b"" and sock.recv(10) == b""
    assert sock.tcp_info()["tcpi_state"] == 8


def test_write_still_works(peer):
    """TB 2.2."""
    sock = peer.close_wait()
    sock.send(b"more")
    peer.expect("P.", 1, 2, payload=b"more")
    peer.send(".")
    sock.send(bytes(1500))
    peer.expect_data(5, 1000)
    peer.expect_data(1005, 500)


def test_close_sends_fin(peer):
    """TB 2.2."""
    sock = peer.close_wait()
    sock.close()
    peer.expect("F.", 1, 2)
    peer.send(".")
    peer.expect_nothing(100)
    peer.send(".")
    peer.expect("R", 2)


def test_close_with_data_sends_data_then_fin(peer):
    """TB 2.2, 2.1."""
    sock = peer.close_wait()
    sock.send(b"bye")
    peer.expect("P.", 1, 2, payload=b"bye")
    sock.send(bytes(1200))
    sock.close()
    segments = peer.take()
    assert segments[-1].flags.startswith("F")
    assert segments[-1].end == 1205


def test_retransmitted_fin_is_acknowledged(peer):
    """TB 12."""
    sock = peer.close_wait()
    peer.send("F.", 1, ack=1)
    peer.expect(".", 1, 2, sack=[(1, 2)])
    assert sock.tcp_info()["tcpi_state"] == 8


def test_retransmitted_data_and_fin_are_acknowledged(peer):
    """TB 12."""
    sock = peer.established()
    peer.send("FP.", payload=100)
    peer.expect(".", 1, 102)
    peer.send("FP.", 1, ack=1, payload=100)
    segment = peer.take()[-1]
    assert segment.ack == 102
    assert len(sock.recv(1000)) == 100 and sock.recv(10) == b""


@pytest.mark.parametrize("seq", [-100, 100000])
def test_segment_outside_the_window(peer, seq):
    """TB 12: unacceptable seq in passive close."""
    peer.close_wait()
    peer.send("P.", seq, ack=1, payload=10)
    peer.expect(".", 1, 2, sack=ANY)


def test_ack_of_what_was_not_sent(peer):
    """TB 12: unacceptable ack in passive close."""
    peer.close_wait()
    peer.send(".", 2, ack=100)
    peer.expect(".", 1, 2)


def test_data_before_fin_is_read_first(peer):
    """TB 11: 0 at FIN, after the data."""
    sock = peer.established()
    peer.send_data(10)
    peer.send("F.")
    peer.take()
    assert len(sock.recv(100)) == 10
    assert sock.recv(100) == b""


def test_half_close_by_the_peer_lasts(peer):
    """RFC 9293 MUST-48 spirit: no timer ends CLOSE-WAIT."""
    sock = peer.close_wait()
    peer.expect_nothing(5000)
    sock.send(b"x")
    peer.expect("P.", 1, 2)


def test_shutdown_twice(peer):
    """TB 2.6: the second shutdown(WR) says 0 or ENOTCONN."""
    sock = peer.close_wait()
    sock.shutdown(1)
    peer.expect("F.", 1, 2)
    try:
        sock.shutdown(1)
    except OSError as error:
        assert error.errno == errno.ENOTCONN
    peer.expect_nothing()


# -- FINs that come early ---------------------------------------------------------------------------------

def test_a_bare_fin_that_overtakes_the_text_before_it_counts(peer):
    """TB 2.2: nothing but the peer's RTO would bring it again, for it has been SACKed."""
    sock = peer.established()
    peer.send("F.", seq=1001)
    peer.expect(".", 1, 1, sack=((1001, 1002),))
    peer.send_data(1000)
    peer.expect(".", 1, 1002)
    assert sock.recv(2000) == pattern(1, 1000) and sock.recv(2000) == b""
    assert sock.tcp_info()["tcpi_state"] == 8


@pytest.mark.parametrize("flags, seq, size, text", [("F.", 100, 0, 1000), ("F.", 501, 500, 1400)])
def test_a_fin_in_the_middle_of_the_stream_is_not_the_end(peer, flags, seq, size, text):
    """Somebody's guess: the text goes on behind it, and the true FIN ends the stream."""
    sock = peer.established()
    peer.send(flags, seq=seq, payload=size)
    peer.expect(".", 1, 1, sack=ANY)
    peer.send(".", payload=text)
    peer.expect(".", 1, 1 + text, sack=ANY)
    peer.send("F.")
    peer.expect(".", 1, 2 + text)
    assert sock.recv(2000) == pattern(1, text) and sock.recv(2000) == b""


@pytest.mark.parametrize("first, second, sack", [
    ((41, 10), (31, 20), ((41, 52), (31, 52))), ((81, 0), (41, 40), ((81, 82), (41, 82))), ((81, 0), (81, 0), ((81, 82), (81, 82)))])
def test_dsack_of_a_fin(peer, first, second, sack):
    """TB 4.3: a FIN that comes again is reported with the text before it."""
    peer.established()
    peer.send("F.", seq=first[0], payload=first[1])
    peer.expect(".", 1, 1, sack=ANY)
    peer.send("F.", seq=second[0], payload=second[1])
    peer.expect(".", 1, 1, sack=sack)


def test_a_fin_takes_the_dsack_away(peer):
    """As Linux: nothing that SACK says matters after the FIN."""
    sock = peer.established()
    peer.send_data(1000)
    peer.expect(".", 1, 1001)
    sock.recv(1000)
    peer.send("F.", seq=1, payload=1000)
    peer.expect(".", 1, 1002, sack=())


def test_text_beyond_a_buffer_made_smaller_is_not_taken(peer):
    """TB 12: reduced SO_RCVBUF drop. What was announced before stays announced."""
    module = peer.bed.socket
    sock = peer.established()
    sock.setsockopt(module.SOL_SOCKET, module.SO_RCVBUF, 4096)
    for _ in range(6):
        peer.send_data(1400)
    got = sock.recv(10000)
    assert 1400 <= len(got) <= 8192 and got == pattern(1, len(got))
    peer.bed.advance(0.1)
    assert peer.take()[-1].ack == 1 + len(got)


@pytest.mark.parametrize("window", [0, 400])
def test_acks_to_a_peer_that_has_shrunk_its_window_lie_within_it(peer, window):
    """TB 6.3, as Linux: SND.NXT would lie beyond, and might be dropped."""
    sock = peer.established()
    sock.send(bytes(2000))
    peer.expect_flight(1, 1001)
    peer.send(".", ack=1, win=0)
    peer.send("P.", ack=1, win=window, payload=10)
    peer.expect(".", 1 + window, 11)


def test_a_smaller_buffer_takes_what_fills_the_gap(peer):
    """TB 12: early text must not stand in the way of what comes before it, or the connection is dead."""
    module = peer.bed.socket
    sock = peer.established()
    for seq in range(1001, 20001, 1000):
        peer.send("P.", seq=seq, payload=1000)
    peer.take()
    sock.setsockopt(module.SOL_SOCKET, module.SO_RCVBUF, 4096)
    peer.send("P.", seq=1, payload=1000)
    assert peer.take()[-1].ack > 1000
    assert sock.recv(1000) == pattern(1, 1000)
