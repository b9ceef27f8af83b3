"""FIN-WAIT-1 (RFC 9293 3.10.7.4). TB 2.1, 2.3, 2.8, 12."""

import pytest

from tipy.testing.peer import pattern


def test_ack_of_fin_leads_to_fin_wait_2(peer):
    """TB 2.1."""
    sock = peer.fin_wait_1()
    assert sock.tcp_info()["tcpi_state"] == 4
    peer.send(".")
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == 5


def test_fin_with_ack_leads_to_time_wait(peer):
    """TB 2.1: peer's FIN acknowledged at once."""
    peer.fin_wait_1()
    peer.send("F.")
    peer.expect(".", 2, 2)
    peer.send("F.", 1, ack=2)
    peer.expect(".", 2, 2)


def test_fin_without_ack_leads_to_closing(peer):
    """TB 2.3: simultaneous close."""
    sock = peer.fin_wait_1()
    peer.send("F.", ack=1)
    peer.expect(".", 2, 2)
    assert sock.tcp_info()["tcpi_state"] == 11


def test_data_is_still_received(peer):
    """RFC 9293 3.6: half-closed; the receiving side goes on."""
    sock = peer.fin_wait_1()
    peer.send("P.", ack=1, payload=100)
    peer.expect(".", 2, 101, within=0.05)
    assert sock.recv(1000) == pattern(1, 100)


def test_data_with_ack_of_fin(peer):
    """RFC 9293 seventh check."""
    sock = peer.fin_wait_1()
    peer.send_data(100)
    peer.expect(".", 2, 101, within=0.05)
    assert sock.recv(1000) == pattern(1, 100)
    assert sock.tcp_info()["tcpi_state"] == 5


def test_fin_is_retransmitted_with_backoff(peer):
    """TB 2.1: RTO 1 s at first (no sample but the handshake's), then doubling."""
    peer.established()
    peer.bed.sockets[-1].shutdown(1)
    peer.expect("F.", 1, 1)
    start = peer.bed.now()
    times = []
    for _ in range(5):
        times.append(peer.expect("F.", 1, 1, within=100).time - start)
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    for earlier, later in zip(gaps, gaps[1:]):
        assert later == pytest.approx(2 * earlier, rel=0.02)


def test_overlapping_retransmission_with_fin(peer):
    """TB 2.3: data + FIN retransmitted over old data."""
    sock = peer.established()
    peer.send_data(100)
    peer.take()
    sock.recv(100)
    sock.shutdown(1)
    peer.expect("F.", 1, 101)
    peer.send("FP.", 1, ack=1, payload=150)
    assert peer.take()[-1].ack == 152
    assert sock.recv(1000) == pattern(101, 50)
    assert sock.tcp_info()["tcpi_state"] == 11


def test_fin_out_of_order_is_acknowledged_and_waits(peer):
    """TB 2.3: an old-ACK FIN that arrives before the data in front of it."""
    sock = peer.fin_wait_1()
    peer.send("F.", 101, ack=1)
    assert peer.take()[-1].ack == 1
    peer.send("P.", 1, ack=1, payload=100)
    assert peer.take()[-1].ack in (101, 102)
    assert sock.tcp_info()["tcpi_state"] in (4, 11)


def test_data_after_close_is_reset(peer):
    """TB 2.5: nobody can read it any more: RST."""
    peer.fin_wait_1(close=True)
    peer.send_data(100)
    segment = peer.take()[-1]
    assert "R" in segment.flags
    assert segment.seq == 2


def test_ack_in_the_middle_of_data_before_the_fin(peer):
    """RFC 9293 fifth check: only an ACK of the FIN leaves FIN-WAIT-1."""
    sock = peer.established()
    sock.send(bytes(1500))
    sock.shutdown(1)
    peer.expect_data(1, 1000)
    peer.expect_data(1001, 500)
    peer.expect("F.", 1501)
    peer.send(".", ack=1001)
    assert sock.tcp_info()["tcpi_state"] == 4
    peer.send(".", ack=1501)
    assert sock.tcp_info()["tcpi_state"] == 4
    peer.send(".", ack=1502)
    assert sock.tcp_info()["tcpi_state"] == 5


def test_ack_of_more_than_the_fin_is_answered(peer):
    """TB 6.5: SEG.ACK > SND.NXT."""
    sock = peer.fin_wait_1()
    peer.send(".", ack=3)
    peer.expect(".", 2, 1)
    assert sock.tcp_info()["tcpi_state"] == 4


def test_segment_outside_the_window(peer):
    """TB 12: OTW segments in each state."""
    peer.fin_wait_1()
    peer.send("P.", 100000, ack=1, payload=10)
    peer.expect(".", 2, 1)
