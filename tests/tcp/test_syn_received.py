"""SYN-RECEIVED (RFC 9293 3.10.7.4) after a passive open. TB 1.2, 1.6, 1.8, 1.9, 5."""

import errno

import pytest


def accepted(peer, listener):
    """The accepted socket, or None."""
    try:
        return peer.bed.accept(listener)
    except BlockingIOError:
        return None


def test_ack_completes(peer):
    """TB 1.6."""
    listener = peer.syn_received()
    peer.send(".")
    peer.expect_nothing()
    assert accepted(peer, listener) is not None


def test_syn_ack_retransmission_times(peer):
    """TB 1.2: 1 s, then doubling, five times; then the request is forgotten."""
    peer.syn_received()
    for wait in (1, 2, 4, 8, 16):
        peer.expect("S.", 0, 1, mss=1460, after=wait)
    peer.expect_nothing(40)
    peer.send(".", 1, ack=1)
    peer.expect("R", 1)


def test_synack_retries_setting(make):
    """TB 14."""
    peer = make(synack_retries=1)
    peer.syn_received()
    peer.expect("S.", 0, 1, after=1)
    peer.expect_nothing(60)


def test_duplicate_syn_resends_syn_ack_at_once(peer):
    """TB 1.2: same ISN."""
    peer.syn_received()
    peer.syn(seq=0)
    peer.expect("S.", 0, 1)
    peer.expect_nothing()


def test_duplicate_syn_does_not_make_a_second_connection(peer):
    """TB 1.2, 1.6."""
    listener = peer.syn_received()
    peer.syn(seq=0)
    peer.take()
    peer.send(".", 1, ack=1)
    assert accepted(peer, listener) is not None
    assert accepted(peer, listener) is None


def test_final_ack_with_data(peer):
    """TB 1.6."""
    listener = peer.syn_received()
    peer.send("P.", payload=b"hello")
    peer.expect(".", 1, 6, within=0.05)
    assert accepted(peer, listener).recv(10) == b"hello"


def test_final_ack_with_fin(peer):
    """TB 1.6: the connection is in CLOSE-WAIT when accepted."""
    listener = peer.syn_received()
    peer.send("F.", payload=b"bye")
    peer.expect(".", 1, 5, within=0.05)
    sock = accepted(peer, listener)
    assert sock.recv(10) == b"bye" and sock.recv(10) == b""
    assert sock.tcp_info()["tcpi_state"] == 8


def test_lost_final_ack_then_data(peer):
    """TB 1.6: the data segment acknowledges the SYN as well."""
    listener = peer.syn_received()
    peer.send_data(10)
    peer.expect(".", 1, 11, within=0.05)
    assert len(accepted(peer, listener).recv(100)) == 10


def test_out_of_order_data_completes_the_handshake(peer):
    """TB 1.6: an acceptable ACK completes, whatever hole its data leave."""
    listener = peer.syn_received()
    peer.send("P.", 101, ack=1, payload=100)
    peer.expect(".", 1, 1, sack=[(101, 201)])
    sock = accepted(peer, listener)
    with pytest.raises(BlockingIOError):
        sock.recv(10)
    peer.send("P.", 1, ack=1, payload=100)
    peer.expect(".", 1, 201)
    assert len(sock.recv(1000)) == 200


@pytest.mark.parametrize("ack", [0, 2, -1, 1000])
def test_wrong_ack_is_reset(peer, ack):
    """TB 1.8: RST with seq = that ack; the request survives."""
    listener = peer.syn_received()
    peer.send(".", ack=ack)
    peer.expect("R", ack)
    assert accepted(peer, listener) is None
    peer.send(".")
    assert accepted(peer, listener) is not None


def test_exact_rst_removes_the_request(peer):
    """TB 1.8: silently."""
    listener = peer.syn_received()
    peer.send("R")
    peer.expect_nothing(70)
    assert accepted(peer, listener) is None
    peer.send(".", 1, ack=1)
    peer.expect("R", 1)


def test_exact_rst_with_any_ack_removes_the_request(peer):
    """TB 1.8: RST validation comes before ACK validation."""
    peer.syn_received()
    peer.send("R.", ack=12345)
    peer.expect_nothing(70)
    peer.send(".", 1, ack=1)
    peer.expect("R", 1)


def test_rst_inside_the_window_is_challenged(peer):
    """TB 1.8."""
    listener = peer.syn_received()
    peer.send("R", 100)
    peer.expect(".", 1, 1)
    peer.send(".")
    assert accepted(peer, listener) is not None


@pytest.mark.parametrize("seq", [-1, -1000, 200000])
def test_rst_outside_the_window_is_ignored(peer, seq):
    """TB 1.8."""
    listener = peer.syn_received()
    peer.send("R", seq)
    peer.expect_nothing()
    peer.send(".")
    assert accepted(peer, listener) is not None


def test_segment_without_ack_is_dropped(peer):
    """RFC 9293 3.10.7.4 fifth check."""
    listener = peer.syn_received()
    peer.send("P", 1, payload=10)
    peer.expect_nothing()
    assert accepted(peer, listener) is None


def test_segment_outside_the_window_is_acknowledged(peer):
    """RFC 9293 3.10.7.4 first check: an unacceptable segment is answered with an ACK."""
    listener = peer.syn_received()
    peer.send("P.", 500000, ack=1, payload=10)
    peer.expect(".", 1, 1)
    assert accepted(peer, listener) is None


def test_syn_inside_the_window_ends_the_request(peer):
    """RFC 9293 3.10.7.4 fourth check: back to LISTEN; Linux says so with a RST."""
    listener = peer.syn_received()
    peer.syn(seq=5000)
    assert "R" in peer.take()[-1].flags
    peer.send(".", 1, ack=1)
    peer.expect("R", 1)
    assert accepted(peer, listener) is None


def test_syn_outside_the_window_is_acknowledged(peer):
    """RFC 9293 3.10.7.4 first check: the request survives."""
    listener = peer.syn_received()
    peer.syn(seq=-5000)
    peer.expect(".", 1, 1)
    peer.send(".", 1, ack=1)
    assert accepted(peer, listener) is not None


def test_syn_ack_rto_counts_as_backoff_for_the_connection(peer):
    """RFC 6298 5.7: the SYN-ACK was repeated: the RTO of data starts at 3 s."""
    listener = peer.syn_received()
    peer.expect("S.", 0, 1, after=1)
    peer.send(".")
    accepted(peer, listener).send(b"x")
    peer.expect("P.", 1, 1)
    peer.bed.advance(0.01)
    peer.expect("P.", 1, 1, within=4)


def test_syn_flood_is_answered_with_cookies(make):
    """TB 1.8: more half-open connections than max_syn_backlog: still answered."""
    from tipy.testing.peer import Peer
    peer = make(max_syn_backlog=4)
    listener = peer.bed.listener()
    crowd = [Peer(peer.bed, port=1000 + number) for number in range(12)]
    for each in crowd:
        each.syn()
        each.expect("S.", 0, 1)
    crowd[-1].send("P.", payload=b"hello")
    crowd[-1].expect(".", 1, 6, within=0.05)
    assert accepted(peer, listener).recv(10) == b"hello"


def test_syn_flood_without_cookies_is_dropped(make):
    """TB 1.8: SYN queue full and cookies off: the SYN is dropped."""
    from tipy.testing.peer import Peer
    peer = make(max_syn_backlog=4, syncookies=False)
    peer.bed.listener()
    for number in range(4):
        Peer(peer.bed, port=1000 + number).syn()
    peer.syn()
    peer.expect_nothing(0.5)


def test_defer_accept_waits_for_data(peer):
    """TB 1.9: the bare ACK does not complete; data does."""
    module = peer.bed.socket

    def prepare(sock):
        sock.setsockopt(module.IPPROTO_TCP, module.TCP_DEFER_ACCEPT, 5)

    listener = peer.syn_received(prepare=prepare)
    peer.send(".")
    peer.expect_nothing()
    assert accepted(peer, listener) is None
    peer.send_data(10)
    peer.expect(".", 1, 11, within=0.05)
    assert len(accepted(peer, listener).recv(100)) == 10


def test_defer_accept_ends_with_the_timeout(peer):
    """TB 1.9: after the time given the SYN-ACK is repeated, and the next bare ACK completes."""
    module = peer.bed.socket

    def prepare(sock):
        sock.setsockopt(module.IPPROTO_TCP, module.TCP_DEFER_ACCEPT, 1)

    listener = peer.syn_received(prepare=prepare)
    peer.send(".")
    assert accepted(peer, listener) is None
    peer.expect("S.", 0, 1, within=4)
    peer.send(".")
    assert accepted(peer, listener) is not None


@pytest.mark.parametrize("code,survives", [(0, False), (1, False), (2, True), (3, True), (5, True), (13,
                                                                                                     True)])
def test_icmp_about_the_syn_ack(peer, code, survives):
    """As Linux: net and host unreachable take the request away without a word (the peer will ask again);
    others do not."""
    listener = peer.syn_received()
    peer.icmp(3, code, seq=0)
    peer.expect_nothing()
    peer.send(".")
    assert (accepted(peer, listener) is not None) == survives


def test_accept_queue_reports_readable_by_select(peer):
    """TB 11: a listener is readable when a connection waits."""
    import select
    listener = peer.syn_received()
    assert select.select([listener], [], [], 0) == ([], [], [])
    peer.send(".")
    assert select.select([listener], [], [], 0)[0] == [listener]


def test_blocking_accept_wakes_on_the_ack(peer):
    """TB 1.6."""
    from tipy.testing.calls import Call
    listener = peer.bed.listener()
    listener.setblocking(True)
    call = Call(peer.bed.clock, listener.accept)
    peer.syn()
    peer.expect("S.", 0, 1)
    assert call.blocked
    peer.send(".")
    sock, address = call.result()
    assert address == ("192.168.2.199", peer.port) and sock.gettimeout() is None


def test_accept_on_closed_listener_fails(peer):
    """TB 11."""
    listener = peer.bed.listener()
    listener.close()
    with pytest.raises(OSError) as caught:
        listener.accept()
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("flags, seq, payload", [("F.", 0, b""), ("P.", -9, b"0123456789"), ("P.", 64241, b"x"),
                                                 ("F", 64241, b"")])
def test_nothing_new_in_the_window_completes_nothing(peer, flags, seq, payload):
    """As Linux: a segment of which nothing new lies in the window is answered with an ACK."""
    listener = peer.syn_received()
    peer.send(flags, seq, ack=1, payload=payload)
    peer.expect(".", 1, 1)
    assert accepted(peer, listener) is None
    peer.send(".", 1)
    assert accepted(peer, listener) is not None


def test_old_syn_with_rst_is_ignored(peer):
    """TB 2.8: it lies before the window."""
    peer.syn_received()
    peer.send("SR.", 0, ack=1)
    peer.expect_nothing()


def test_duplicate_syn_without_its_timestamp(peer):
    """Some peers leave out the options when a SYN is not answered: it is the same SYN."""
    listener = peer.syn_received(ts=True)
    peer.syn(seq=0)
    peer.expect("S.", 0, 1, ts=True)
    peer.timestamps = True
    peer.send(".", 1)
    assert accepted(peer, listener) is not None


def test_another_syn_without_a_timestamp(peer):
    """Another connection ends this one, whatever its options."""
    peer.syn_received(ts=True)
    peer.syn(seq=100)
    peer.expect("R.", ack=101)
    peer.expect_nothing(70)


def test_wrong_ack_from_the_past_is_reset(peer):
    """TB 1.8, as Linux: the ACK number counts before the timestamp and the window."""
    peer.syn_received(ts=True)
    peer.send(".", 1, ack=100, ts=(1, 0))
    peer.expect("R", 100)
    peer.send(".", 100000, ack=100)
    peer.expect("R", 100)


def test_echo_of_a_timestamp_never_sent(peer):
    """As Linux: whoever did not see our SYN,ACK does not complete the handshake."""
    listener = peer.syn_received(ts=True)
    peer.send(".", 1, ts=(peer.tsval(), peer.last_tsval + 12345))
    peer.expect(".", 1, 1)
    assert accepted(peer, listener) is None


def test_challenge_has_its_number_although_the_window_is_closed(peer):
    """The SYN counts, the window it announced does not: SEG.SEQ is ISS+1."""
    peer.syn_received(win=0)
    peer.send("R", 100)
    peer.expect(".", 1, 1)


def test_challenges_of_the_handshake_do_not_count_after_it(peer):
    """The limit on challenge ACKs starts anew, as on Linux."""
    peer.syn_received()
    peer.syn(seq=0)
    peer.expect("S.")
    peer.send(".", 1, ack=1)
    peer.syn(seq=0)
    peer.expect(".", 1, 1)
