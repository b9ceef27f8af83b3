"""When the receiver acknowledges (RFC 9293 3.8.6.3, RFC 5681 4.2). TB 3.1, 13."""

import pytest

from tipy.testing.peer import ANY, Peer

DELAY = 0.04


def slow(peer, **how):
    """An established connection past its first, quickly acknowledged segments; small segments, all read."""
    sock = peer.established(mss=1460, **how)
    for _ in range(40):
        peer.send_data(1000)
        peer.bed.advance(0.05)
        sock.recv(1000)
    peer.take()
    return sock


def test_first_data_is_acknowledged_at_once(peer):
    """TB 13."""
    peer.established()
    peer.send_data(100)
    peer.expect(".", 1, 101)


def test_later_data_is_acknowledged_after_40_ms(peer):
    """TB 3.1."""
    sock = slow(peer)
    peer.send_data(1000)
    peer.expect(".", 1, 41001, after=DELAY)
    assert len(sock.recv(2000)) == 1000


def test_every_second_full_segment_is_acknowledged_at_once(peer):
    """TB 3.1 (RFC 9293 SHLD-19): at least every second full-sized segment, if the program reads."""
    sock = slow(peer)
    peer.send_data(1000)
    peer.expect_nothing()
    peer.send_data(1000)
    sock.recv(2000)
    peer.expect(".", 1, 42001)
    peer.expect_nothing(0.1)


def test_every_second_full_segment_without_reading(peer):
    """RFC 5681 4.2: the ACK for every second full-sized segment does not wait for the program for more than
    the delay."""
    slow(peer)
    for _ in range(4):
        peer.send_data(1000)
    assert peer.expect(".", 1, ANY, within=DELAY + 0.001).ack >= 42001


def test_two_small_segments_wait(peer):
    """TB 3.1: "full-size" is meant: two small ones do not draw an immediate ACK."""
    slow(peer)
    peer.send_data(10)
    peer.send_data(10)
    peer.expect(".", 1, 40021, after=DELAY)


def test_the_delay_is_a_setting(make):
    """TB 14."""
    peer = make(delayed_ack=0.15)
    slow(peer)
    peer.send_data(1000)
    peer.expect(".", 1, 41001, after=0.15)


def test_ack_rides_on_data(peer):
    """RFC 9293 3.8.6.3: in a dialogue an answer within the delay carries the ACK; no pure ACK follows."""
    sock = slow(peer)
    peer.send_data(10)
    sock.recv(100)
    sock.send(b"answer")
    peer.take()
    peer.send_data(10)
    peer.expect_nothing(0.03)
    sock.recv(100)
    peer.expect_nothing()
    sock.send(b"answer")
    peer.expect("P.", 7, 40021, payload=b"answer")
    peer.send(".")
    peer.expect_nothing(1)


def test_read_of_a_small_segment_sends_the_ack(peer):
    """As Linux: not (yet) a dialogue, the queue drained, a segment below the full size came: nothing more
    will come for an ACK to ride on."""
    sock = slow(peer)
    peer.send_data(10)
    peer.expect_nothing()
    sock.recv(100)
    peer.expect(".", 1, 40011)


def test_out_of_order_is_acknowledged_at_once(peer):
    """TB 3.1 (RFC 5681 4.2)."""
    slow(peer)
    peer.send("P.", 41001, ack=1, payload=1000)
    peer.expect(".", 1, 40001, sack=[(41001, 42001)])


def test_each_out_of_order_segment_is_acknowledged(peer):
    """TB 3.1: one duplicate ACK for each: fast retransmit counts them."""
    slow(peer)
    for number in range(4):
        peer.send("P.", 41001 + 1000 * number, ack=1, payload=1000)
        peer.expect(".", 1, 40001, sack=[(41001, 42001 + 1000 * number)])
    peer.expect_nothing(0.5)


def test_filling_a_gap_is_acknowledged_at_once(peer):
    """TB 3.1."""
    slow(peer)
    peer.send("P.", 41001, ack=1, payload=1000)
    peer.take()
    peer.send("P.", 40001, ack=1, payload=1000)
    peer.expect(".", 1, 42001)


def test_filling_a_part_of_a_gap_is_acknowledged_at_once(peer):
    """TB 3.1 (RFC 5681 4.2: all or part of a gap)."""
    slow(peer)
    peer.send("P.", 43001, ack=1, payload=1000)
    peer.take()
    peer.send("P.", 40001, ack=1, payload=1000)
    peer.expect(".", 1, 41001, sack=[(43001, 44001)])


def test_fin_is_acknowledged_at_once(peer):
    """TB 3.1."""
    slow(peer)
    peer.send("F.")
    peer.expect(".", 1, 40002)


def test_data_below_the_window_is_acknowledged_at_once(peer):
    """TB 3.1; with SACK a DSACK says which."""
    slow(peer)
    peer.send("P.", 39001, ack=1, payload=1000)
    peer.expect(".", 1, 40001, sack=[(39001, 40001)])


def test_pure_ack_is_not_acknowledged(peer):
    """RFC 9293 3.8.6.3: no ACK of an ACK."""
    slow(peer)
    peer.send(".")
    peer.send(".", win=1000)
    peer.expect_nothing(1)


def test_no_ack_twice(peer):
    """RFC 5681 4.2: no more than one ACK for an incoming segment, beside window updates."""
    peer.established()
    peer.send_data(100)
    peer.expect(".", 1, 101)
    peer.expect_nothing(1)


def test_quickack_on(peer):
    """TCP_QUICKACK 1 after 0: the quick ACKs of the beginning go on."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_QUICKACK, 0)
    peer.send_data(10)
    peer.expect(".", 1, 11, after=DELAY)
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_QUICKACK, 1)
    peer.send_data(10)
    peer.expect(".", 1, 21)


def test_quickack_on_sends_a_delayed_ack(peer):
    """TCP_QUICKACK 1 with an ACK pending for data that was read: it goes out now, as Linux."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_QUICKACK, 0)
    peer.send_data(10)
    sock.recv(10)
    peer.expect_nothing()
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_QUICKACK, 1)
    peer.expect(".", 1, 11)


def test_quickack_off(peer):
    """TCP_QUICKACK 0: the first segments are delayed as well."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_QUICKACK, 0)
    peer.send_data(10)
    peer.expect(".", 1, 11, after=DELAY)


def test_delayed_ack_is_one_for_all(peer):
    """TB 3.1: the timer starts with the first segment, not anew with each."""
    slow(peer)
    peer.send_data(10)
    peer.bed.advance(0.03)
    peer.send_data(10)
    peer.expect(".", 1, 40021, after=0.01)


def test_pause_of_the_sender_restarts_quick_acks(peer):
    """TB 3.1 as Linux: after a pause longer than the RTO the sender is in slow start again: ACKs at once."""
    slow(peer)
    peer.bed.advance(5)
    peer.send_data(1000)
    peer.expect(".", 1, 41001)


def test_keepalive_probe_is_acknowledged_at_once(peer):
    """TB 10: seq RCV.NXT-1 without data, or with one byte of old data."""
    slow(peer)
    peer.send(".", 40000, ack=1)
    peer.expect(".", 1, 40001)
    peer.bed.advance(1)
    peer.send(".", 40000, ack=1, payload=1)
    peer.expect(".", 1, 40001, sack=ANY)


def test_window_update_when_the_program_reads(peer):
    """TB 3.1, 6.2: a closed window opens: the update is sent at once."""
    module = peer.bed.socket
    sock = peer.established(mss=1000, prepare=lambda s: s.setsockopt(module.SOL_SOCKET, module.SO_RCVBUF,
                                                                     8192))
    while peer.bed.trace:
        peer.send_data(1000)
        peer.bed.advance(0.05)
        if peer.take()[-1].win < 1000:
            break
    sock.recv(1 << 20)
    assert peer.expect(".", 1, ANY).win > 2000


@pytest.mark.parametrize("count", [2, 3, 7])
def test_ack_counts_per_connection(peer, count):
    """TB 3.1: what one connection owes is not paid by another."""
    listener = peer.bed.listener()
    crowd = [Peer(peer.bed, port=3000 + number) for number in range(count)]
    for each in crowd:
        each.established(listener=listener)
    for each in crowd:
        each.send_data(10)
        each.expect(".", 1, 11)
