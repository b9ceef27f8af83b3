"""Sequence, acknowledgment and timestamp checks as a matrix of states (RFC 9293 3.10.7.4, RFC 5961 5, RFC
7323 5.3). TB 6.5, 7, 12."""

import pytest

from tipy.testing.peer import ANY, pattern

STATES = ["established", "fin_wait_1", "fin_wait_2", "close_wait", "closing", "last_ack"]
AFTER_FIN = ("close_wait", "closing", "last_ack")


def numbers(state):
    """(SND.UNA, SND.NXT, RCV.NXT) in that state, relative."""
    sent_fin = state not in ("established", "close_wait")
    una = 2 if state == "fin_wait_2" else 1
    return una, 2 if sent_fin else 1, 2 if state in AFTER_FIN else 1


def state_of(sock):
    """The state's number."""
    return sock.tcp_info()["tcpi_state"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("flags", [".", "P.", "F.", "FP."])
@pytest.mark.parametrize("offset", [-1000, 66000, 1 << 20, 1 << 30, -(1 << 30)])
def test_unacceptable_sequence_number(peer, state, flags, offset):
    """TB 6.5, 12: ACK and drop; the state stays."""
    sock = getattr(peer, state)()
    before = state_of(sock)
    una, nxt, rcv = numbers(state)
    peer.send(flags, rcv + offset, ack=una, payload=10 if "P" in flags else 0)
    peer.expect(".", nxt, rcv, sack=ANY)
    peer.expect_nothing()
    assert state_of(sock) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("beyond", [1, 1000, 1 << 30])
def test_ack_of_what_was_never_sent(peer, state, beyond):
    """TB 6.5: ACK back, segment dropped."""
    sock = getattr(peer, state)()
    before = state_of(sock)
    _, nxt, rcv = numbers(state)
    peer.send(".", rcv, ack=nxt + beyond)
    peer.expect(".", nxt, rcv)
    peer.expect_nothing()
    assert state_of(sock) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("behind", [70000, 1 << 20, 1 << 30])
def test_ack_far_too_old(peer, state, behind):
    """TB 6.5 (RFC 5961 5.2): SEG.ACK < SND.UNA - MAX.SND.WND: challenge ACK."""
    sock = getattr(peer, state)()
    before = state_of(sock)
    una, nxt, rcv = numbers(state)
    peer.send(".", rcv, ack=una - behind)
    peer.expect(".", nxt, rcv)
    peer.expect_nothing()
    assert state_of(sock) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("behind", [1, 1000, 60000])
def test_old_ack_is_ignored(peer, state, behind):
    """TB 6.5: inside the range an old ACK is ignored without a word."""
    sock = getattr(peer, state)()
    before = state_of(sock)
    una, _, rcv = numbers(state)
    peer.send(".", rcv, ack=una - behind)
    peer.expect_nothing()
    assert state_of(sock) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("flags", [".", "P.", "F."])
def test_old_timestamp(peer, state, flags):
    """TB 7: PAWS in every state: ACK and drop."""
    sock = getattr(peer, state)(ts=True)
    before = state_of(sock)
    una, nxt, rcv = numbers(state)
    old = peer.tsval() - 5000, peer.last_tsval
    peer.send(flags, rcv, ack=una, payload=10 if "P" in flags else 0, ts=old)
    if flags == ".":
        assert all(segment.flags == "." for segment in peer.take())
    else:
        peer.expect(".", nxt, rcv, ts=True, sack=ANY)
    assert state_of(sock) == before


@pytest.mark.parametrize("state", ["established", "fin_wait_1", "fin_wait_2"])
@pytest.mark.parametrize("behind", [0, 1, 1000])
def test_data_with_an_old_ack_is_taken(peer, state, behind):
    """TB 6.5: the ACK is old, the payload counts."""
    sock = getattr(peer, state)()
    una, nxt, _ = numbers(state)
    peer.send("P.", 1, ack=una - behind, payload=10)
    peer.expect(".", nxt, 11, within=0.05)
    assert len(sock.recv(100)) == 10


@pytest.mark.parametrize("size", [1, 100, 1000, 1400])
@pytest.mark.parametrize("window", [1000, 3000, 10000])
def test_window_and_ack_ride_on_data(peer, size, window):
    """TB 12: send window x segment size: the peer's data brings an ACK and a window; what was held goes out
    at once and acknowledges the data."""
    sock = peer.established(win=2000)
    sock.send(bytes(20000))
    peer.expect_flight(1, 1001)
    peer.send("P.", payload=size, win=window)
    sent = peer.take()
    data = [segment for segment in sent if segment.length]
    assert sum(segment.length for segment in data) == min(window, 12000)
    assert all(segment.ack == 1 + size for segment in data)


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("size", [0, 1])
def test_acceptance_at_the_left_edge(peer, zero, size):
    """RFC 9293 table 6: an empty segment at RCV.NXT is acceptable with a window of zero, a byte is not. (Its
    ACK may be used, 3.4; Linux drops the whole segment if there is unread data.)"""
    module = peer.bed.socket
    sock = peer.established(prepare=lambda s: s.setsockopt(module.SOL_SOCKET, module.SO_RCVBUF, 8192))
    if zero:
        window = 1000
        while window:
            peer.send_data(min(window, 1000))
            peer.bed.advance(0.05)
            window = peer.take()[-1].win
    full = peer.next
    sock.send(b"x")
    peer.take()
    peer.send("P." if size else ".", full, ack=2, payload=size)
    peer.bed.advance(0.05)
    sent = peer.take()
    assert sock.tcp_info()["tcpi_unacked"] == 0 or (zero and size)
    if size:
        assert sent[-1].ack == (full if zero else full + 1)
    else:
        assert not sent


@pytest.mark.parametrize("flags, size", [(".", 1), ("P.", 100), ("F.", 0), ("F.", 10)])
def test_text_that_begins_at_the_right_edge_is_not_taken(peer, flags, size):
    """TB 6.2, RFC 9293 table 6: RCV.NXT =< SEG.SEQ < RCV.NXT+RCV.WND. An ACK at once, nothing kept, so no SACK block."""
    sock = peer.established(sack=True)
    peer.send_data(10)
    segment = peer.expect(".", 1, 11)
    edge = 11 + peer.room(segment)
    peer.send(flags, seq=edge, payload=size)
    assert peer.expect(".", 1, 11).options.sack == ()
    peer.send_data(5)
    peer.expect(".", 1, 16, within=0.05)
    assert sock.recv(100) == pattern(1, 15)


@pytest.mark.parametrize("flags", ["", "P", "F", "U"])
@pytest.mark.parametrize("seq", [0, 1, 2, 100_000])
def test_without_ack_rst_or_syn_there_is_no_answer(peer, flags, seq):
    """TB 2.10: dropped, wherever it lies, and without a word, as on Linux."""
    sock = peer.established()
    peer.send(flags, seq=seq, payload=3 if seq == 1 else 0)
    peer.expect_nothing(0.3)
    assert sock.tcp_info()["tcpi_state"] == 1
    peer.next = 1
    peer.send_data(4)
    peer.expect(".", 1, 5)
