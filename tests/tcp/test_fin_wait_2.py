"""FIN-WAIT-2 (RFC 9293 3.10.7.4). TB 2.1, 2.5, 2.7."""

import pytest

from tipy.testing.peer import pattern


def test_fin_leads_to_time_wait(peer):
    """TB 2.1."""
    peer.fin_wait_2()
    peer.send("F.")
    peer.expect(".", 2, 2)


def test_data_is_received(peer):
    """TB 2.6: half-closed."""
    sock = peer.fin_wait_2()
    peer.send_data(100)
    peer.expect(".", 2, 101, within=0.05)
    assert sock.recv(1000) == pattern(1, 100)


def test_data_with_fin(peer):
    """TB 2.1."""
    sock = peer.fin_wait_2()
    peer.send("FP.", payload=100)
    peer.expect(".", 2, 102)
    assert sock.recv(1000) == pattern(1, 100)
    assert sock.recv(10) == b""


def test_data_after_close_is_reset(peer):
    """TB 2.5 (RFC 9293 3.6: the program has closed; 2525)."""
    peer.fin_wait_2(close=True)
    peer.send_data(100)
    segment = peer.take()[-1]
    assert "R" in segment.flags and segment.seq == 2


def test_fin_after_close_is_acknowledged(peer):
    """TB 2.1."""
    peer.fin_wait_2(close=True)
    peer.send("F.")
    peer.expect(".", 2, 2)


def test_closed_socket_times_out(peer):
    """TB 2.7: 60 s, afterwards peer data -> RST."""
    peer.fin_wait_2(close=True)
    peer.expect_nothing(59)
    peer.bed.advance(2)
    peer.send("F.")
    peer.expect("R", 2)


def test_fin_just_before_the_timeout(peer):
    """TB 2.7."""
    peer.fin_wait_2(close=True)
    peer.expect_nothing(58)
    peer.send("F.")
    peer.expect(".", 2, 2)


@pytest.mark.parametrize("seconds", [5, 20])
def test_fin_timeout_setting(make, seconds):
    """TB 2.7, 14."""
    peer = make(fin_timeout=seconds)
    peer.fin_wait_2(close=True)
    peer.bed.advance(seconds + 0.5)
    peer.send("F.")
    peer.expect("R", 2)


def test_linger2_shortens(peer):
    """TB 2.7: TCP_LINGER2."""
    module = peer.bed.socket
    sock = peer.established()
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_LINGER2, 3)
    sock.close()
    peer.expect("F.", 1, 1)
    peer.send(".")
    peer.bed.advance(3.5)
    peer.send("F.")
    peer.expect("R", 2)


def test_half_closed_socket_does_not_time_out(peer):
    """TB 2.7: the timeout is for closed sockets; after shutdown() the peer may take its time."""
    sock = peer.fin_wait_2()
    peer.expect_nothing(3000)
    peer.send_data(10)
    peer.expect(".", 2, 11, within=0.05)
    assert len(sock.recv(100)) == 10


def test_out_of_order_fin_waits_for_the_data(peer):
    """RFC 9293 eighth check."""
    sock = peer.fin_wait_2()
    peer.send("FP.", 51, ack=2, payload=50)
    assert peer.take()[-1].ack == 1
    peer.send("P.", 1, ack=2, payload=50)
    peer.expect(".", 2, 102)
    assert sock.recv(1000) == pattern(1, 100)


def test_segment_outside_the_window(peer):
    """TB 12."""
    peer.fin_wait_2()
    peer.send("P.", 100000, ack=2, payload=10)
    peer.expect(".", 2, 1)


@pytest.mark.parametrize("close", [False, True])
def test_a_bare_ack_ahead_of_a_gap_is_no_text(peer, close):
    """TB 2.7, RFC 2525 2.17: only text that nobody will read resets an orphan. The peer's text was lost, its ACK was not."""
    peer.fin_wait_1(close=close)
    peer.send(".", seq=101, ack=2)
    peer.expect_nothing()
    peer.send("F.", seq=1, ack=2)
    peer.expect(".", 2, 2)
