"""LAST-ACK (RFC 9293 3.10.7.4). TB 2.2, 12."""

import pytest

from tipy.testing.peer import ANY


def test_ack_of_fin_ends_the_connection(peer):
    """TB 2.2: CLOSED; a further segment is answered with RST at its ack."""
    sock = peer.last_ack()
    peer.send(".")
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == 7
    peer.send(".", ack=2)
    peer.expect("R", 2)


def test_fin_is_retransmitted_with_backoff(peer):
    """TB 2.1."""
    peer.last_ack()
    first = peer.expect("F.", 1, 2, within=1.1).time
    second = peer.expect("F.", 1, 2, within=5).time
    third = peer.expect("F.", 1, 2, within=9).time
    assert third - second == pytest.approx(2 * (second - first), rel=0.05)


def test_retransmitted_fin_is_acknowledged(peer):
    """TB 12."""
    sock = peer.last_ack()
    peer.send("F.", 1, ack=1)
    peer.expect(".", 2, 2, sack=[(1, 2)])
    assert sock.tcp_info()["tcpi_state"] == 9


def test_old_ack_keeps_the_state(peer):
    """TB 12."""
    sock = peer.last_ack()
    peer.send(".", ack=1)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == 9


def test_ack_of_what_was_not_sent(peer):
    """TB 12."""
    sock = peer.last_ack()
    peer.send(".", ack=3)
    peer.expect(".", 2, 2)
    assert sock.tcp_info()["tcpi_state"] == 9


@pytest.mark.parametrize("seq", [-100, 100000])
def test_segment_outside_the_window(peer, seq):
    """TB 12."""
    peer.last_ack()
    peer.send("P.", seq, ack=1, payload=10)
    peer.expect(".", 2, 2, sack=ANY)


def test_data_and_fin_stay_retransmittable(peer):
    """TB 2.2: data lost in LAST-ACK is sent again, the FIN on it."""
    sock = peer.close_wait()
    sock.send(bytes(100))
    sock.close()
    segments = peer.take()
    assert segments[-1].end == 102
    peer.bed.advance(4)
    again = peer.take()
    assert again[0].seq == 1 or "F" in again[0].flags
    peer.send(".", ack=102)
    peer.expect_nothing(100)
