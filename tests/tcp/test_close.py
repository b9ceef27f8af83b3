"""CLOSE, shutdown, linger (RFC 9293 3.10.4, RFC 1122 4.2.2.13, RFC 2525). TB 2."""

import errno

import pytest

from tipy.testing.calls import Call


def linger(peer, sock, on, seconds):
    """SO_LINGER."""
    import struct
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_LINGER, struct.pack("ii", on, seconds))


def test_close_with_empty_queue_sends_fin(peer):
    """TB 2.1."""
    peer.established().close()
    peer.expect("F.", 1, 1)


def test_close_with_queued_data_puts_fin_on_the_last_segment(peer):
    """TB 2.1: what is still queued goes first, FIN with the last of it."""
    sock = peer.established(win=2000)
    sock.send(bytes(3500))
    peer.expect_flight(1, 1001)
    sock.close()
    peer.expect_nothing()
    peer.send(".", win=5000)
    peer.expect_data(2001, 1000)
    peer.expect("FP.", 3001, length=500)


def test_close_right_after_send(peer):
    """TB 2.1: data already out; the FIN follows alone."""
    sock = peer.established()
    sock.send(bytes(100))
    peer.expect("P.", 1, 1, length=100)
    sock.close()
    peer.expect("F.", 101, 1)


def test_nagle_does_not_hold_data_before_fin(peer):
    """TB 2.1, 3.2: the small tail goes out with the FIN though data is unacknowledged."""
    sock = peer.established()
    sock.send(bytes(100))
    peer.expect("P.", 1, 1)
    sock.send(bytes(50))
    peer.expect_nothing()
    sock.close()
    peer.expect("FP.", 101, 1, length=50)


def test_full_active_close(peer):
    """TB 2.1: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT."""
    peer.established().close()
    peer.expect("F.", 1, 1)
    peer.send(".")
    peer.expect_nothing()
    peer.send("F.")
    peer.expect(".", 2, 2)
    peer.expect_nothing(200)


def test_close_with_unread_data_resets(peer):
    """TB 2.4 (RFC 2525 2.17): RST instead of FIN."""
    sock = peer.established()
    peer.send_data(100)
    peer.take()
    sock.close()
    peer.expect("R.", 1, 101)


def test_close_with_unread_data_and_queued_data_resets(peer):
    """TB 2.4: what was to be sent is dropped."""
    sock = peer.established(win=100)
    sock.send(bytes(1000))
    peer.send_data(100)
    peer.take()
    sock.close()
    segment = peer.take()[-1]
    assert "R" in segment.flags
    peer.expect_nothing(100)


def test_close_after_everything_was_read_sends_fin(peer):
    """TB 2.4: no RST if nothing was unread."""
    sock = peer.established()
    peer.send_data(100)
    peer.take()
    sock.recv(100)
    sock.close()
    peer.expect("F.", 1, 101)


def test_close_with_out_of_order_data_only(peer):
    """TB 2.4: data beyond a hole was never readable: FIN."""
    sock = peer.established()
    peer.send("P.", 101, ack=1, payload=100)
    peer.take()
    sock.close()
    assert "F" in peer.take()[0].flags


def test_close_with_unread_data_in_close_wait_resets(peer):
    """TB 2.4."""
    sock = peer.established()
    peer.send("FP.", payload=100)
    peer.take()
    sock.close()
    assert "R" in peer.take()[0].flags


def test_linger_zero_resets(peer):
    """TB 2.4: SO_LINGER {1, 0}."""
    sock = peer.established()
    linger(peer, sock, 1, 0)
    sock.close()
    peer.expect("R.", 1, 1)
    peer.expect_nothing(100)


def test_linger_zero_drops_queued_data(peer):
    """TB 2.4."""
    sock = peer.established(win=2000)
    sock.send(bytes(5000))
    peer.expect_flight(1, 1001)
    linger(peer, sock, 1, 0)
    sock.close()
    peer.expect("R.", 2001, 1)
    peer.expect_nothing(100)


def test_linger_off_sends_fin(peer):
    """TB 2.4."""
    sock = peer.established()
    linger(peer, sock, 1, 0)
    linger(peer, sock, 0, 0)
    sock.close()
    peer.expect("F.", 1, 1)


def test_linger_blocks_until_acknowledged(peer):
    """TB 2.4: close() with SO_LINGER waits for the data and the FIN to be acknowledged."""
    sock = peer.established()
    sock.setblocking(True)
    linger(peer, sock, 1, 10)
    sock.send(b"x")
    call = Call(peer.bed.clock, sock.close)
    assert call.blocked
    peer.expect("P.", 1, 1)
    peer.expect("F.", 2, 1)
    peer.send(".")
    assert call.result() is None


def test_linger_gives_up_after_its_time(peer):
    """TB 2.4."""
    sock = peer.established()
    sock.setblocking(True)
    linger(peer, sock, 1, 2)
    call = Call(peer.bed.clock, sock.close)
    peer.bed.advance(1.9)
    assert call.blocked
    peer.bed.advance(0.2)
    assert call.result() is None


def test_shutdown_write_sends_fin_and_reading_goes_on(peer):
    """TB 2.6."""
    sock = peer.established()
    sock.shutdown(1)
    peer.expect("F.", 1, 1)
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")
    peer.send_data(10)
    peer.expect(".", 2, 11, within=0.05)
    assert len(sock.recv(100)) == 10


def test_shutdown_write_keeps_queued_data(peer):
    """TB 2.6, 2.1."""
    sock = peer.established(win=2000)
    sock.send(bytes(2500))
    peer.expect_flight(1, 1001)
    sock.shutdown(1)
    peer.send(".", win=5000)
    peer.expect("FP.", 2001, length=500)


def test_shutdown_read_keeps_acknowledging(peer):
    """TB 2.6, 13: data is acknowledged and readable, then b"" instead of blocking; writing works."""
    sock = peer.established()
    sock.shutdown(0)
    peer.expect_nothing()
    assert sock.recv(10) == b""
    peer.send_data(10)
    peer.expect(".", 1, 11, within=0.05)
    assert len(sock.recv(100)) == 10
    assert sock.recv(10) == b""
    sock.send(b"x")
    peer.expect("P.", 1, 11)


def test_shutdown_read_wakes_a_blocked_reader(peer):
    """TB 2.6."""
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 10)
    sock.shutdown(0)
    assert call.result() == b""


def test_shutdown_both_then_close_with_data_in_flight(peer):
    """TB 2.6: all data retransmittable, FIN last."""
    sock = peer.established(sack=False)
    sock.send(bytes(2000))
    sock.shutdown(2)
    sock.close()
    first = peer.take()
    assert first[-1].end == 2002
    peer.bed.advance(1.5)
    again = peer.take()
    assert again and again[0].seq == 1
    peer.send(".", ack=1001)
    peer.bed.advance(3)
    later = peer.take()
    assert later and max(segment.end for segment in later) == 2002
    peer.send("F.", ack=2002)
    peer.expect(".", 2002, 2)


def test_second_shutdown(peer):
    """TB 2.6: 0 or ENOTCONN by state; nothing is sent."""
    sock = peer.fin_wait_2()
    sock.shutdown(1)
    peer.expect_nothing()
    peer.send("F.")
    peer.expect(".", 2, 2)
    with pytest.raises(OSError) as caught:
        sock.shutdown(1)
    assert caught.value.errno == errno.ENOTCONN


def test_shutdown_of_an_unconnected_socket(peer):
    """TB 2.6."""
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().shutdown(1)
    assert caught.value.errno == errno.ENOTCONN


def test_close_twice(peer):
    """TB 2.1: the second close() does nothing."""
    sock = peer.established()
    sock.close()
    sock.close()
    peer.expect("F.", 1, 1)
    peer.expect_nothing()


def test_segment_after_the_connection_has_gone(peer):
    """TB 2.2: RST with seq = its ack."""
    peer.last_ack(close=True)
    peer.send(".")
    peer.send("P.", ack=2, payload=10)
    peer.expect("R", 2)


def test_orphan_gives_up(peer):
    """RFC 9293 3.8.3: nobody acknowledges the FIN of a closed socket: it ends some day, with fewer tries than
    a socket that somebody holds."""
    peer.established().close()
    peer.expect("F.", 1, 1)
    peer.bed.advance(3600)
    peer.take()
    peer.send(".", ack=2)
    peer.expect("R", 2)


def test_orphan_with_user_timeout(peer):
    """TB 2.7: peer data after expiry -> RST."""
    module = peer.bed.socket
    sock = peer.established()
    sock.setsockopt(module.IPPROTO_TCP, 18, 3000)
    sock.close()
    peer.expect("F.", 1, 1)
    peer.bed.advance(8)
    peer.take()
    peer.send("P.", 1, ack=1, payload=10)
    peer.expect("R", 1)


def test_stop_of_the_stack_resets_connections(peer):
    """DESIGN 9: stop() resets connections."""
    peer.established()
    peer.bed.stack.stop()
    assert peer.take()[-1].flags in ("R.", "R")


def test_socket_that_nobody_holds_is_closed(peer):
    """As CPython's own socket: finalized means closed."""
    import gc
    import warnings
    sock = peer.established()
    peer.bed.sockets.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del sock
        gc.collect()
    peer.bed.advance(0.1)
    with peer.bed.stack.gate:
        pass
    peer.expect("F.", 1, 1)
