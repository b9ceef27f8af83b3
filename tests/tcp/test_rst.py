"""RST and SYN to a synchronised connection: RFC 5961 sections 3 and 4 as a matrix of states and positions.
TB 2.8, 2.9, 2.10, 1.8, 13."""

import errno

import pytest

SYNCHRONISED = ["established", "fin_wait_1", "fin_wait_2", "close_wait", "closing", "last_ack"]
AFTER_FIN = ["close_wait", "closing", "last_ack"]
WINDOW = 60000


def so_error(peer, sock):
    """SO_ERROR, which clears it."""
    return sock.getsockopt(peer.bed.socket.SOL_SOCKET, peer.bed.socket.SO_ERROR)


def next_ack(state):
    """RCV.NXT in that state, relative."""
    return 2 if state in AFTER_FIN else 1


def next_seq(state):
    """SND.NXT in that state, relative."""
    return 1 if state in ("established", "close_wait") else 2


@pytest.mark.parametrize("flags", ["R", "R."])
@pytest.mark.parametrize("state", SYNCHRONISED)
def test_exact_rst_resets(peer, state, flags):
    """TB 2.8: SEG.SEQ = RCV.NXT: reset, silently; ECONNRESET."""
    sock = getattr(peer, state)()
    peer.send(flags, next_ack(state))
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == 7
    assert so_error(peer, sock) in ((errno.EPIPE, errno.ECONNRESET) if state == "close_wait"
                                    else (errno.ECONNRESET,))
    peer.expect_nothing(300)
    peer.send(".", next_ack(state), ack=1)
    peer.expect("R", 1)


@pytest.mark.parametrize("offset", [1, 100, WINDOW // 2, WINDOW])
@pytest.mark.parametrize("state", SYNCHRONISED)
def test_rst_inside_the_window_is_challenged(peer, state, offset):
    """TB 2.8: RCV.NXT < SEG.SEQ < RCV.NXT+RCV.WND: challenge ACK <SND.NXT><RCV.NXT>, no reset."""
    sock = getattr(peer, state)()
    before = sock.tcp_info()["tcpi_state"]
    peer.send("R", next_ack(state) + offset)
    peer.expect(".", next_seq(state), next_ack(state))
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == before


@pytest.mark.parametrize("offset", [-2, -100, -WINDOW, 70000, 1 << 20, 1 << 30])
@pytest.mark.parametrize("state", SYNCHRONISED)
def test_rst_outside_the_window_is_ignored(peer, state, offset):
    """TB 2.8: silently."""
    sock = getattr(peer, state)()
    before = sock.tcp_info()["tcpi_state"]
    peer.send("R", next_ack(state) + offset)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == before


@pytest.mark.parametrize("state", ["established", "fin_wait_1", "fin_wait_2"])
def test_rst_just_below_the_window_is_ignored(peer, state):
    """TB 2.8: RCV.NXT-1 before the peer's FIN."""
    sock = getattr(peer, state)()
    before = sock.tcp_info()["tcpi_state"]
    peer.send("R", 0)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == before


@pytest.mark.parametrize("state", AFTER_FIN)
def test_rst_at_the_fin_resets(peer, state):
    """TB 2.8, 13: RCV.NXT-1 once the peer's FIN was received, as Linux."""
    sock = getattr(peer, state)()
    peer.send("R", 1)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == 7


@pytest.mark.parametrize("state", SYNCHRONISED)
@pytest.mark.parametrize("ack", [None, 0, 1, 5, 99999])
def test_the_ack_of_a_rst_does_not_matter(peer, state, ack):
    """RFC 9293 3.10.7.4: the RST bit is looked at before the ACK field."""
    sock = getattr(peer, state)()
    peer.send("R" if ack is None else "R.", next_ack(state), ack=ack)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == 7


@pytest.mark.parametrize("payload", [1, 20])
def test_rst_with_text_resets(peer, payload):
    """RFC 9293 SHLD-2: a RST may carry data, which says why."""
    sock = peer.established()
    peer.send("R.", payload=payload)
    assert sock.tcp_info()["tcpi_state"] == 7


def test_rst_at_the_edge_of_the_window(peer):
    """TB 2.8: the last number inside is challenged, the first beyond ignored."""
    peer.established()
    peer.send_data(10)
    window = peer.expect(".", 1, 11, within=0.05).win
    peer.send("R", 11 + window - 1)
    peer.expect(".", 1, 11)
    peer.bed.advance(1)
    peer.send("R", 11 + window)
    peer.expect_nothing()


def test_rst_after_out_of_order_data_uses_rcv_nxt(peer):
    """TB 2.8: what lies beyond a hole does not move RCV.NXT."""
    sock = peer.established()
    peer.send("P.", 101, ack=1, payload=100)
    peer.expect(".", 1, 1, sack=[(101, 201)])
    peer.send("R", 151)
    peer.expect(".", 1, 1, sack=[(101, 201)])
    peer.send("R", 1)
    assert sock.tcp_info()["tcpi_state"] == 7


def test_rst_at_the_end_of_the_last_sack_block_resets(peer):
    """TB 2.8: the peer sent its RST after data of which the first part was lost; Linux accepts the right edge
    of the right-most SACK block as well as RCV.NXT."""
    sock = peer.established()
    peer.send("P.", 101, ack=1, payload=100)
    peer.send("P.", 301, ack=1, payload=100)
    peer.take()
    peer.send("R", 201)
    assert sock.tcp_info()["tcpi_state"] == 1
    peer.send("R", 401)
    assert sock.tcp_info()["tcpi_state"] == 7


@pytest.mark.parametrize("state", SYNCHRONISED)
@pytest.mark.parametrize("flags", ["S", "S."])
@pytest.mark.parametrize("offset", [-100000, -1, 0, 1, 1000, 100000])
def test_syn_is_challenged(peer, state, flags, offset):
    """TB 2.9: in or out of the window: challenge ACK only."""
    sock = getattr(peer, state)()
    before = sock.tcp_info()["tcpi_state"]
    peer.send(flags, next_ack(state) + offset, mss=1000)
    peer.expect(".", next_seq(state), next_ack(state))
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == before


@pytest.mark.parametrize("state", SYNCHRONISED)
@pytest.mark.parametrize("flags", ["", "P", "F", "FP"])
def test_segment_without_ack_is_dropped(peer, state, flags):
    """TB 2.10: payload not queued, FIN not seen."""
    sock = getattr(peer, state)()
    before = sock.tcp_info()["tcpi_state"]
    peer.send(flags, next_ack(state), payload=20 if "P" in flags else 0)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == before
    if state == "established":
        with pytest.raises(BlockingIOError):
            sock.recv(10)


def test_challenge_acks_are_limited(peer):
    """RFC 5961 7: a burst of RSTs draws few challenge ACKs; per connection, one each half second."""
    peer.established()
    for number in range(20):
        peer.send("R", 100 + number)
    peer.expect(".", 1, 1)
    peer.expect_nothing(0.4)
    peer.bed.advance(0.2)
    peer.send("R", 100)
    peer.expect(".", 1, 1)


def test_challenge_ack_interval_is_a_setting(make):
    """TB 14."""
    peer = make(challenge_ack_interval=0)
    peer.established()
    for number in range(5):
        peer.send("R", 100 + number)
        peer.expect(".", 1, 1)


def test_challenge_ack_limit_is_per_connection(peer):
    """RFC 5961 7, CVE-2016-5696: what one connection draws says nothing about another's."""
    from tipy.testing.peer import Peer
    listener = peer.bed.listener()
    other = Peer(peer.bed, port=4444)
    for each in (peer, other):
        each.established(listener=listener)
    for number in range(200):
        other.send("R", 100 + number)
    other.expect(".", 1, 1)
    peer.send("R", 100)
    peer.expect(".", 1, 1)


# -- after a reset --------------------------------------------------------------------------------------

def test_read_after_rst(peer):
    """TB 2.5: ECONNRESET once, then 0."""
    sock = peer.established()
    peer.send("R.")
    with pytest.raises(ConnectionResetError):
        sock.recv(10)
    assert sock.recv(10) == b""


def test_write_after_rst(peer):
    """TB 2.5: ECONNRESET once, then EPIPE."""
    sock = peer.established()
    peer.send("R.")
    with pytest.raises(ConnectionResetError):
        sock.send(b"x")
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")


def test_write_after_rst_in_close_wait(peer):
    """TB 2.5, 13: EPIPE on write, as Linux."""
    sock = peer.close_wait()
    peer.send("R.")
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")


def test_unread_data_and_rst(peer):
    """TB 2.5 (as Linux): data that came in order before the RST is still there; the error is reported
    first."""
    sock = peer.established()
    peer.send_data(5)
    peer.send("R.")
    results = []
    for _ in range(3):
        try:
            results.append(sock.recv(10))
        except ConnectionResetError:
            results.append("reset")
    assert "reset" in results and results[-1] == b""


def test_blocked_recv_wakes_on_rst(peer):
    """TB 2.5."""
    from tipy.testing.calls import Call
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 10)
    peer.send("R.")
    with pytest.raises(ConnectionResetError):
        call.result()


def test_blocked_send_wakes_on_rst(peer):
    """TB 2.5."""
    from tipy.testing.calls import Call
    sock = peer.established(win=1000)
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.sendall, bytes(4 << 20))
    assert call.blocked
    peer.take()
    peer.send("R.")
    with pytest.raises(ConnectionResetError):
        call.result()


def test_rst_drops_what_waits_to_be_sent(peer):
    """TB 2.5: nothing goes out any more."""
    sock = peer.established()
    sock.send(bytes(5000))
    peer.take()
    peer.send("R.", ack=1)
    peer.expect_nothing(500)


def test_rst_carries_the_timestamp(peer):
    """TB 2.10: an RST of an existing connection has the current TSval."""
    peer.established(ts=True)
    peer.send_data(10)
    peer.take()
    peer.bed.advance(1)
    sock = peer.bed.sockets[-1]
    sock.close()
    segment = peer.expect("R.", 1, 11)
    if segment.options.timestamp is not None:
        assert (segment.options.timestamp[0] - peer.last_tsval) % 2 ** 32 == 0
    assert segment.options.timestamp is not None


def test_rst_for_a_gone_connection_has_no_options(peer):
    """TB 2.2: there is nothing left to take them from."""
    peer.established(ts=True)
    peer.send("R.")
    peer.send(".", 1, ack=1)
    peer.expect("R", 1, raw_options=b"")


def test_rst_is_sent_once_for_a_close_with_unread_data(peer):
    """TB 2.4."""
    sock = peer.established()
    peer.send_data(10)
    peer.take()
    sock.close()
    peer.expect("R.", 1, 11)
    peer.expect_nothing(500)
