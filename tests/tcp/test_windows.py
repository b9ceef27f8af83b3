"""Flow control: the peer's window and ours (RFC 9293 3.8.6, RFC 7323 2, RFC 1122 4.2.2.16-17, 4.2.3.3-4).
TB 6.1-6.4, 12."""

import pytest

from tipy.testing.peer import ANY


def small_receiver(peer, size=8192, **how):
    """A connection whose receive buffer is `size` (SO_RCVBUF doubles it, as Linux); SO_RCVBUF set before
    listen."""
    module = peer.bed.socket
    return peer.established(prepare=lambda s: s.setsockopt(module.SOL_SOCKET, module.SO_RCVBUF, size), **how)


def fill(peer, step=1000):
    """Send until the window the stack advertises has no room for `step` bytes; returns the last ACK."""
    for _ in range(1000):
        peer.send_data(step)
        peer.bed.advance(0.05)
        last = peer.take()[-1]
        if last.ack - 1 != peer.next - 1 or last.win < step:
            return last
    raise AssertionError("the window never fills")


# -- the peer's window ------------------------------------------------------------------------------------

def test_window_is_never_exceeded(peer):
    """TB 6.3."""
    sock = peer.established(win=5000)
    sock.send(bytes(20000))
    segments = peer.take()
    assert segments[-1].end == 5001
    peer.expect_nothing(0.1)


def test_window_of_an_odd_size_is_filled_in_whole_segments(peer):
    """TB 6.3: sender's silly-window avoidance: the 500 bytes left are not used while data is
    unacknowledged."""
    sock = peer.established(win=4500)
    sock.send(bytes(20000))
    assert [segment.end for segment in peer.take()] == [1001, 2001, 3001, 4001]
    peer.expect_nothing(0.15)


def test_ack_moves_the_window(peer):
    """TB 6.3."""
    sock = peer.established(win=3000)
    sock.send(bytes(20000))
    peer.expect_flight(1, 1001, 2001)
    peer.send(".", ack=1001)
    peer.expect_flight(3001)
    peer.send(".", ack=2001, win=4000)
    peer.expect_flight(4001, 5001)


def test_shrunken_window_is_respected(peer):
    """TB 6.3 (RFC 9293 MUST-34, SHLD-14): the peer takes back: nothing new until there is room."""
    sock = peer.established(win=10000)
    sock.send(bytes(20000))
    peer.expect_flight(*range(1, 10001, 1000))
    peer.send(".", ack=3001, win=2000)
    peer.expect_nothing(0.1)
    peer.send(".", ack=10001, win=2000)
    peer.expect_flight(10001, 11001)


def test_shrunken_window_retransmits_what_it_covers(peer):
    """TB 6.3: the usable window is negative: clamped to 0; the retransmission timer still works."""
    sock = peer.established(win=4000, sack=False)
    sock.send(bytes(4000))
    peer.expect_flight(1, 1001, 2001, 3001)
    peer.send(".", ack=1001, win=1000)
    peer.expect_data(1001, 1000, within=2)


def test_old_segment_does_not_change_the_window(peer):
    """RFC 9293 3.10.7.4 (SND.WL1, SND.WL2): a window from an older segment is not used."""
    sock = peer.established(win=2000)
    sock.send(bytes(2000))
    peer.expect_flight(1, 1001)
    peer.send_data(10)
    peer.take()
    peer.send(".", win=2000)
    peer.send("P.", 1, ack=1, win=60000, payload=10)
    peer.take()
    sock.send(bytes(10000))
    assert peer.take()[-1].end == 4001


def test_window_update_without_new_ack(peer):
    """TB 6.1: an ACK that only enlarges the window resumes sending."""
    sock = peer.established(win=2000)
    sock.send(bytes(5000))
    peer.expect_flight(1, 1001)
    peer.send(".", ack=1, win=4000)
    peer.expect_flight(2001, 3001)


def test_window_update_is_no_duplicate_ack(peer):
    """RFC 5681 2: a duplicate ACK has the same window."""
    sock = peer.established(win=20000, sack=False)
    sock.send(bytes(10000))
    peer.take()
    for number in range(4):
        peer.send(".", ack=1, win=20001 + number)
    peer.expect_nothing(0.1)


def test_handshake_window_limits_the_first_flight(peer):
    """TB 6.4: the SYN's window is not scaled and smaller than the initial congestion window."""
    sock = peer.syn_sent()
    peer.send("S.", mss=1000, ws=7, win=3000)
    peer.expect(".", 1, 1)
    sock.send(bytes(20000))
    assert peer.take()[-1].end == 3001


def test_half_window_bounds_the_segment_size(peer):
    """RFC 1122 4.2.3.4 as Linux: a segment is no larger than half the largest window the peer has offered (of
    a window that is not tiny), so that ACKs flow."""
    sock = peer.established(win=1000, mss=1000)
    sock.send(bytes(3000))
    assert [segment.length for segment in peer.take()] == [500, 500]


# -- our window -------------------------------------------------------------------------------------------

def test_right_edge_never_moves_left(peer):
    """TB 6.2: with data arriving and nobody reading."""
    small_receiver(peer)
    edge = 0
    for size in (100, 1000, 37, 999, 500, 1000, 1000, 3, 1000, 1000, 1000, 1000, 1000, 1000):
        peer.send_data(size)
        peer.bed.advance(0.05)
        for segment in peer.take():
            assert segment.ack + segment.win >= edge
            edge = segment.ack + segment.win


@pytest.mark.parametrize("ws", [None, 0, 7])
def test_right_edge_never_moves_left_when_scaled(peer, ws):
    """TB 6.2, 6.3 (RFC 7323 2.3: rounding down may not take back)."""
    small_receiver(peer, 32768, ws=ws)
    edge = 0
    for number in range(60):
        peer.send_data(700 + number)
        peer.bed.advance(0.05)
        for segment in peer.take():
            if peer.next < segment.ack:
                continue
            assert segment.ack + peer.room(segment) >= edge
            edge = segment.ack + peer.room(segment)
        if edge - peer.next < 1000:
            break


def test_full_buffer_advertises_zero(peer):
    """TB 6.2: 0 when full."""
    small_receiver(peer)
    fill(peer)
    window = fill(peer, 100) if peer.segments else None
    for _ in range(100):
        peer.send("P.", payload=1)
        peer.bed.advance(0.05)
        window = peer.take()[-1]
        if window.win == 0:
            break
        room = window.win
        peer.next = window.ack
        peer.send_data(room)
        peer.bed.advance(0.05)
        window = peer.take()[-1]
        if window.win == 0:
            break
    assert window.win == 0


def test_probe_of_a_zero_window_is_answered(peer):
    """TB 6.2: ACK with win 0, payload dropped."""
    sock = small_receiver(peer)
    close_window(peer)
    full = peer.next
    for _ in range(3):
        peer.bed.advance(1)
        peer.send("P.", full, ack=1, payload=1)
        peer.expect(".", 1, full, win=0)
    assert len(drain(sock)) == full - 1


def test_probe_below_the_zero_window_is_answered(peer):
    """TB 6.2: Linux's probe: no data at RCV.NXT-1."""
    small_receiver(peer)
    close_window(peer)
    peer.bed.advance(1)
    peer.send(".", peer.next - 1, ack=1)
    peer.expect(".", 1, peer.next, win=0)


def test_fin_at_a_zero_window_is_accepted(peer):
    """TB 6.2."""
    sock = small_receiver(peer)
    close_window(peer)
    peer.send("F.")
    peer.expect(".", 1, peer.next, within=0.05)
    drain(sock)
    assert sock.recv(10) == b""


def test_ack_at_a_zero_window_is_used(peer):
    """RFC 9293 MUST-66: with RCV.WND 0 valid ACKs, RSTs and URGs are still processed."""
    sock = small_receiver(peer)
    close_window(peer)
    sock.send(b"x")
    peer.take()
    peer.send(".")
    peer.expect_nothing(2)
    assert sock.tcp_info()["tcpi_unacked"] == 0


def test_rst_at_a_zero_window_resets(peer):
    """RFC 9293 MUST-66."""
    sock = small_receiver(peer)
    close_window(peer)
    peer.send("R")
    assert sock.tcp_info()["tcpi_state"] == 7


def test_window_opens_when_the_program_reads(peer):
    """TB 6.2: update at once, when MSS or half the buffer is free."""
    sock = small_receiver(peer)
    close_window(peer)
    sock.recv(10)
    peer.expect_nothing(0.3)
    drain(sock)
    update = peer.take()[-1]
    assert update.win >= 1000 and update.ack == peer.next


def test_no_silly_windows(peer):
    """TB 6.2 (RFC 9293 MUST-39): reading byte by byte opens the window by a segment or half the buffer at a
    time."""
    sock = small_receiver(peer)
    close_window(peer)
    peer.take()
    updates = []
    for _ in range(6000):
        try:
            sock.recv(1)
        except BlockingIOError:
            break
        updates += [segment.ack + segment.win for segment in peer.take()]
    steps = [later - earlier for earlier, later in zip([peer.next] + updates, updates)]
    assert updates and min(steps) >= 1000


def test_oversize_segment_is_taken_only_when_the_queue_is_empty(make):
    """TB 6.2: accepted only if the queue is empty, else dropped with an ACK (beyond-window), in and out of
    order."""
    peer = make(mtu=60000)
    sock = small_receiver(peer, 10000, mss=1000)
    peer.send_data(4000)
    window = peer.expect(".", 1, 4001).win
    for start in (4001, 5001):
        peer.bed.advance(1)
        peer.send("P.", start, ack=1, payload=50000)
        peer.expect(".", 1, 4001, win=window)
    assert len(drain(sock)) == 4000
    peer.take()
    peer.send("P.", 4001, ack=1, payload=50000)
    peer.expect(".", 1, 54001, win=0, within=0.05)
    assert len(drain(sock)) == 50000


def test_data_beyond_the_window_is_dropped(peer):
    """TB 6.2: beyond-window: dropped with an ACK."""
    sock = small_receiver(peer)
    close_window(peer)
    full = peer.next
    peer.send("P.", full, ack=1, payload=1000)
    assert peer.take()[-1].ack == full
    assert len(drain(sock)) == full - 1


def test_reduced_rcvbuf_does_not_shrink_the_window(peer):
    """TB 12: SO_RCVBUF lowered on a live connection: the edge stays, later windows are smaller."""
    module = peer.bed.socket
    sock = peer.established()
    peer.send_data(100)
    first = peer.take()[-1]
    sock.setsockopt(module.SOL_SOCKET, module.SO_RCVBUF, 4096)
    edge = first.ack + first.win
    for _ in range(10):
        peer.send_data(1000)
        peer.bed.advance(0.05)
        last = peer.take()[-1]
        if last.ack == peer.next:
            assert last.ack + last.win >= edge or last.win == 0
            edge = max(edge, last.ack + last.win)


def test_window_clamp(peer):
    """TCP_WINDOW_CLAMP bounds what is advertised."""
    module = peer.bed.socket
    peer.established(prepare=lambda s: s.setsockopt(module.IPPROTO_TCP, 10, 5000))
    peer.send_data(10)
    assert peer.expect(".", 1, 11).win <= 5000


def test_window_grows_when_the_program_reads_fast(peer):
    """Issue 3, TB 14: receive-buffer autotuning: a sender that fills the window each round trip, a program
    that reads all at once: the window grows to a multiple, never above half of rcvbuf_max... and never
    shrinks."""
    sock = peer.established(ws=7, mss=1460, ts=True)
    edge, widths = 1 + 64240, []
    for _ in range(12):
        while peer.next + 1448 <= edge:
            peer.send_data(1448)
        drain(sock)
        peer.bed.advance(0.1)
        last = peer.take()[-1]
        assert last.ack + peer.room(last) >= edge
        edge = last.ack + peer.room(last)
        widths.append(peer.room(last))
    assert widths[-1] > 8 * widths[0]


def test_explicit_rcvbuf_stops_autotuning(peer):
    """As Linux: SO_RCVBUF set by the program stays."""
    sock = small_receiver(peer, 16384, ws=7, mss=1460, ts=True)
    for _ in range(60):
        for _ in range(8):
            peer.send_data(1448)
        peer.bed.advance(0.02)
        drain(sock)
        last = peer.take()[-1]
    assert peer.room(last) <= 2 * 16384 + 128


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_out_of_order_data_counts_against_the_buffer(peer, order):
    """TB 12: the reassembly queue is bounded by the window."""
    small_receiver(peer)
    starts = [2001 + 1000 * number for number in range(40)]
    for start in starts if order == "forward" else reversed(starts):
        peer.send("P.", start, ack=1, payload=1000)
    for segment in peer.take():
        assert all(right <= 1 + 16384 + 1000 for _, right in segment.options.sack)


def close_window(peer):
    """Fill the receive buffer exactly, to a window of 0; nothing is left unexpected."""
    window = None
    for _ in range(200):
        size = 1000 if window is None else min(1000, window)
        peer.send_data(size)
        peer.bed.advance(0.05)
        last = peer.take()[-1]
        if last.ack != peer.next:
            raise AssertionError(f"{last} does not take what the window allowed\n{peer.bed.story()}")
        window = last.win
        if window == 0:
            return
    raise AssertionError("the window never closes")


def drain(sock):
    """Everything that can be read."""
    data = b""
    while True:
        try:
            piece = sock.recv(1 << 20)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


__all__ = ["ANY"]


def test_peer_that_fills_a_small_window_sees_the_rest_of_the_buffer_once_it_is_free(make):
    """TB 6: a window of more than half of the buffer is not updated when the user reads, as on Linux; but a peer that
    fills it each time, and is acknowledged before the user reads, must not be held to it for ever."""
    peer = make(rcvbuf=65536, rcvbuf_max=65536)
    sock = peer.established(win=65535)
    for _ in range(14):
        peer.send_data(1000)
    peer.take()
    assert len(sock.recv(20000)) == 14000
    peer.expect_nothing(1.0)                           # 18 KB of 32 are announced: enough, as far as anybody knows
    for _ in range(18):
        peer.send_data(1000)
    left = peer.room(peer.take()[-1])
    assert left < 20000
    assert len(sock.recv(20000)) == 18000
    update, = peer.take()
    assert update.length == 0 and peer.room(update) >= 32000


# -- a window that is taken back --------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 10])
def test_a_smaller_window_that_acknowledges_nothing_is_not_taken(peer, size):
    """TB 6.3, as Linux: it may be an old one that was overtaken. The next ACK that moves SND.UNA counts."""
    sock = peer.established()
    sock.send(bytes(1000))
    peer.expect_data(1, 1000)
    peer.send("P." if size else ".", ack=1, win=1500, payload=size)
    peer.take()
    sock.send(bytes(3000))
    peer.expect_flight(1001, 2001, 3001, length=ANY)
    peer.send(".", win=500)
    sock.send(bytes(3000))
    peer.expect_nothing()


def test_duplicate_acks_with_a_shrinking_window_are_duplicates(peer):
    """TB 4.1 without SACK, as Linux: RFC 5681's "same window" does not count a window that was not taken."""
    sock = peer.established(sack=False)
    sock.send(bytes(5000))
    peer.expect_flight(1, 1001, 2001, 3001, 4001)
    for window in (1000, 990, 980):
        peer.send(".", ack=1, win=window)
    peer.expect(".", 1, length=1000)


def test_cwnd_restarts_when_a_window_opens_after_a_silence(peer):
    """TB 9: several RTOs at a window of zero are a silence as well."""
    sock = peer.established()
    sock.send(bytes(10000))
    peer.take()
    peer.send(".", ack=10001)
    sock.send(bytes(20000))
    peer.bed.advance(0.1)
    peer.take()
    peer.send(".", ack=30001, win=0)
    sock.send(bytes(40000))
    assert sock.tcp_info()["tcpi_snd_cwnd"] > 20
    peer.bed.advance(3.0)
    peer.take()
    peer.send(".", ack=30001, win=65535)
    assert sock.tcp_info()["tcpi_snd_cwnd"] == 10
    assert len(peer.take()) == 10


@pytest.mark.parametrize("ws", [None, 7])
def test_one_segment_of_the_buffer_is_held_back(peer, ws):
    """As Linux with its defaults: 64240 in the SYN, and then an edge that stays until the window is 64076."""
    peer.established(ws=ws)
    peer.send_data(11)
    first = peer.expect(".", 1, 12)
    peer.send_data(11)
    second = peer.expect(".", 1, 23)
    assert (first.win, second.win) == ((64229, 64218) if ws is None else (502, 502))
    for _ in range(4):
        peer.send_data(100)
    assert peer.take()[-1].win == (64076 if ws is None else 502)


def test_large_buffer_without_scaling(peer):
    """SO_RCVBUF larger than any window field can tell: reading what little there is announces nothing."""
    sock = peer.established(ws=None)
    sock.setsockopt(peer.bed.socket.SOL_SOCKET, peer.bed.socket.SO_RCVBUF, 1000000)
    for seq in (1, 11):
        peer.send("P.", seq, payload=10)
        peer.expect(".", 1, seq + 10, within=0.05)
        assert len(sock.recv(100)) == 10
        peer.expect_nothing(0.1)
