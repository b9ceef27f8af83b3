"""TIME-WAIT (RFC 9293 3.10.7.4, RFC 1337, RFC 6191). TB 2.9, 13."""

import errno

import pytest


def test_lasts_60_seconds(peer):
    """RFC 9293 MUST-13: 2 MSL; 60 s as Linux. Afterwards the port is nobody's."""
    peer.time_wait(close=True)
    peer.bed.advance(59)
    peer.send("F.", 1, ack=2)
    peer.expect(".", 2, 2)
    peer.bed.advance(61)
    peer.send("F.", 1, ack=2)
    peer.expect("R", 2)


def test_retransmitted_fin_is_acknowledged(peer):
    """TB 2.9."""
    peer.time_wait()
    peer.send("F.", 1, ack=2)
    peer.expect(".", 2, 2)


def test_retransmitted_fin_restarts_the_timer(peer):
    """RFC 9293 3.10.7.4 eighth check: restart the 2 MSL timeout."""
    peer.time_wait(close=True)
    for _ in range(4):
        peer.bed.advance(40)
        peer.send("F.", 1, ack=2)
        peer.expect(".", 2, 2)


@pytest.mark.parametrize("seq,payload", [(-100, 10), (1, 10), (100000, 10), (-1, 0), (100000, 0)])
def test_old_duplicate_is_acknowledged(peer, seq, payload):
    """TB 2.9: old duplicate or any segment outside: re-ACKed, as Linux without SACK blocks."""
    peer.time_wait()
    peer.send(".", seq, ack=2, payload=payload)
    peer.expect(".", 2, 2)


@pytest.mark.parametrize("seq", [1, 2, 3, 100, 60000, 100000, -1000])
@pytest.mark.parametrize("flags", ["R", "R."])
def test_rst_is_ignored(peer, flags, seq):
    """TB 2.9, 13 (RFC 1337): the connection is still there afterwards."""
    peer.time_wait()
    peer.send(flags, seq, ack=2 if flags == "R." else None)
    peer.take()
    peer.send("F.", 1, ack=2)
    assert peer.take()[-1].flags == "."


def test_rfc1337_switched_off(make):
    """Setting rfc1337: without it an exact RST ends TIME-WAIT."""
    peer = make(rfc1337=False)
    peer.time_wait()
    peer.send("R", 2)
    peer.expect_nothing()
    peer.send("F.", 1, ack=2)
    peer.expect("R", 2)


def test_bare_ack_in_the_window_is_not_answered_for_ever(peer):
    """RFC 9293 3.10.7.4: an ACK that is right needs no answer (two TIME-WAITs would talk for ever)."""
    peer.time_wait()
    peer.send(".", 2, ack=2)
    peer.expect_nothing()


def test_syn_with_higher_number_reopens(peer):
    """TB 2.9: to a listener on the same port, the new connection starts; its ISN is above the old SND.NXT."""
    sock, listener = peer.established(keep=True)
    sock.close()
    peer.expect("F.", 1, 1)
    peer.send("F.")
    peer.expect(".", 2, 2)
    old = peer.stack_iss
    peer.send("S", 100000, mss=1000)
    segment = peer.take()[-1]
    assert segment.flags == "S."
    assert 0 < (peer.stack_iss - old) % 2 ** 32 < 2 ** 31
    peer.iss = peer.iss + 100000 & 0xFFFFFFFF
    peer.next = 1
    peer.send(".", 1, ack=1)
    assert peer.bed.accept(listener) is not None


def test_syn_with_lower_number_is_acknowledged(peer):
    """TB 2.9: an old SYN: re-ACK."""
    sock, listener = peer.established(keep=True)
    sock.close()
    peer.expect("F.", 1, 1)
    peer.send("F.")
    peer.expect(".", 2, 2)
    peer.send("S", -1000, mss=1000)
    peer.expect(".", 2, 2)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_syn_with_lower_number_but_higher_timestamp_reopens(peer):
    """TB 2.9 (RFC 6191)."""
    sock, _ = peer.established(ts=True, keep=True)
    sock.close()
    peer.expect("F.", 1, 1)
    peer.send("F.")
    peer.expect(".", 2, 2)
    peer.bed.advance(5)
    peer.send("S", -1000, mss=1000, ts=(peer.tsval(), 0))
    assert peer.take()[-1].flags == "S."


def test_syn_with_older_timestamp_does_not_reopen(peer):
    """RFC 6191, PAWS."""
    sock, _ = peer.established(ts=True, keep=True)
    sock.close()
    peer.expect("F.", 1, 1)
    peer.send("F.")
    peer.expect(".", 2, 2)
    peer.send("S", 1000000, mss=1000, ts=(peer.tsval() - 5000, 0))
    assert "S" not in peer.take()[-1].flags


def test_syn_without_a_listener(peer):
    """TB 2.9, 1.7: nobody listens any more: not accepted."""
    peer.time_wait(close=True)
    peer.send("S", 100000, mss=1000)
    assert "S" not in peer.take()[-1].flags


def test_paws_in_time_wait(peer):
    """TB 7: a segment whose timestamp is older is answered and dropped."""
    peer.time_wait(ts=True)
    peer.send("F.", 1, ack=2, ts=(peer.tsval() - 10000, peer.last_tsval))
    assert all("R" not in segment.flags for segment in peer.take())


def test_bind_to_a_port_in_time_wait(peer):
    """RFC 9293 3.6.1 as Linux: EADDRINUSE without SO_REUSEADDR, free with it."""
    peer.time_wait(close=True)
    module = peer.bed.socket
    sock = peer.bed.tcp_socket()
    with pytest.raises(OSError) as caught:
        sock.bind(("192.168.2.200", peer.local_port))
    assert caught.value.errno == errno.EADDRINUSE
    sock.setsockopt(module.SOL_SOCKET, module.SO_REUSEADDR, 1)
    sock.bind(("192.168.2.200", peer.local_port))


def test_active_close_holds_the_port_and_passive_does_not(peer):
    """RFC 9293 3.6: only who closes first waits."""
    peer.last_ack(close=True)
    peer.send(".")
    sock = peer.bed.tcp_socket()
    sock.bind(("192.168.2.200", peer.local_port))


def test_max_time_wait_bounds_memory(make):
    """DESIGN 5: more connections in TIME-WAIT than allowed: the oldest is forgotten, none is refused."""
    from tipy.testing.peer import Peer
    peer = make(max_time_wait=3)
    listener = peer.bed.listener()
    crowd = [Peer(peer.bed, port=2000 + number) for number in range(5)]
    for each in crowd:
        sock = each.established(listener=listener)
        sock.close()
        each.expect("F.", 1, 1)
        each.send("F.")
        each.expect(".", 2, 2)
    answers = []
    for each in crowd:
        each.send("F.", 1, ack=2)
        answers.append(each.take()[-1].flags)
    assert answers.count(".") == 3 or answers.count("R") == 2


def test_orphan_keeps_nothing_of_a_sender_and_still_answers(make):
    """A busy server has thousands of these."""
    peer = make()
    peer.time_wait(close=True)
    tcb, = peer.bed.stack.tcp.time_waits
    assert (tcb.cc, tcb.rtt, tcb.sendq, tcb.retransmission) == (None,) * 4
    peer.send("F.", seq=1)
    peer.expect(".", 2, 2)
