"""CLOSING (RFC 9293 3.10.7.4): both FINs crossed. TB 2.3, 6.5, 12."""

import pytest

from tipy.testing.peer import ANY


def test_ack_of_fin_leads_to_time_wait(peer):
    """TB 2.3."""
    peer.closing()
    peer.send(".", 2, ack=2)
    peer.expect_nothing(50)
    peer.send("F.", 1, ack=2)
    peer.expect(".", 2, 2)


def test_fin_is_retransmitted(peer):
    """TB 12: FIN retransmission in CLOSING."""
    peer.closing()
    peer.expect("F.", 1, 2, within=1.1)
    peer.expect("F.", 1, 2, within=3)


def test_retransmitted_fin_is_acknowledged(peer):
    """TB 12."""
    sock = peer.closing()
    peer.send("F.", 1, ack=1)
    peer.expect(".", 2, 2, sack=[(1, 2)])
    assert sock.tcp_info()["tcpi_state"] == 11


def test_old_ack_keeps_closing(peer):
    """TB 12."""
    sock = peer.closing()
    peer.send(".", 2, ack=1)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == 11


@pytest.mark.parametrize("seq", [-100, 100000])
def test_segment_outside_the_window(peer, seq):
    """TB 6.5: in CLOSING also: ACK and drop."""
    sock = peer.closing()
    peer.send("P.", seq, ack=2, payload=10)
    peer.expect(".", 2, 2, sack=ANY)
    assert sock.tcp_info()["tcpi_state"] == 11


def test_ack_of_what_was_not_sent(peer):
    """TB 6.5."""
    sock = peer.closing()
    peer.send(".", 2, ack=3)
    peer.expect(".", 2, 2)
    assert sock.tcp_info()["tcpi_state"] == 11


def test_closed_socket_in_closing(peer):
    """TB 2.3: the same after close()."""
    peer.closing(close=True)
    peer.send(".", 2, ack=2)
    peer.expect_nothing(50)
    peer.send("F.", 1, ack=2)
    peer.expect(".", 2, 2)
