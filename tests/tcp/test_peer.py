"""The hand-driven peer itself: it must see what there is, and fail when it should, also under -O."""

import time

import pytest

from tipy.testing.bed import LOCAL, REMOTE, Bed
from tipy.testing.calls import Call
from tipy.testing.peer import Peer, pattern


def test_iss_asked_for_is_the_iss_used():
    for how in ("active", "passive"):
        bed = Bed(iss=0xFFFFFF00)
        peer = Peer(bed)
        peer.established(active=how == "active")
        if peer.stack_iss != 0xFFFFFF00:
            raise AssertionError(f"{how}: {peer.stack_iss:#x}")
        bed.stop()


def test_wrong_expectation_fails(peer):
    peer.syn_sent()
    peer.send("S.", mss=1000, ack=1)
    with pytest.raises(AssertionError, match="ack 1"):
        peer.expect(".", 1, 2)


def test_missing_segment_fails(peer):
    peer.established()
    with pytest.raises(AssertionError, match="nothing was sent"):
        peer.expect(".", 1, 1)


def test_unexpected_segment_fails(peer):
    peer.bed.connecting()
    with pytest.raises(AssertionError, match="expected nothing"):
        peer.expect_nothing()


def test_early_and_late_segments_fail(peer):
    sock = peer.established()
    sock.send(b"x")
    with pytest.raises(AssertionError, match="expected P. only"):
        peer.expect("P.", after=1.0)
    peer.take()
    with pytest.raises(AssertionError, match="nothing was sent"):
        peer.expect("P.", after=0.01)


def test_blocking_call_in_a_thread(peer):
    sock = peer.established()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 100)
    assert call.blocked
    peer.send_data(3)
    assert call.result() == pattern(1, 3)


@pytest.mark.parametrize("state,number", [("established", 1), ("fin_wait_1", 4), ("fin_wait_2", 5),
                                          ("closing", 11), ("close_wait", 8), ("last_ack", 9)])
def test_factories_lead_to_their_state(peer, state, number):
    sock = getattr(peer, state)()
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == number


def test_every_checksum_is_looked_at(peer):
    """RFC 9293 MUST-2: the peer refuses a segment of the stack whose checksum is wrong, so every test here
    looks."""
    from tipy.testing.segments import parse
    packets = []
    receive = peer.receive
    peer.receive = lambda packet: (packets.append(packet), receive(packet))
    peer.syn_sent()
    spoiled = packets[0][:-1] + bytes([packets[0][-1] ^ 1])
    parse(packets[0], 0.0, None, None)
    with pytest.raises(AssertionError, match="TCP checksum"):
        parse(spoiled, 0.0, None, None)


def test_call_has_settled_only_when_its_segments_are_out(peer, monkeypatch):
    """Until then the thread does itself what others leave to be done: it would be woken, and not know it yet."""
    sock = peer.bed.tcp_socket()
    sock.bind((LOCAL, peer.local_port))
    sock.setblocking(True)
    transmit = peer.bed.link.transmit

    def slowly(frame):
        transmit(frame)
        time.sleep(0.05)
    monkeypatch.setattr(peer.bed.link, "transmit", slowly)
    call = Call(peer.bed.clock, sock.connect, (REMOTE, peer.port))
    peer.expect("S")
    peer.icmp(3, 3, seq=0)
    with pytest.raises(ConnectionRefusedError):
        call.result()
