"""Corners of loss recovery, found by playing random scripts against Linux and tipy: what follows from one odd ACK.

Round trips take 50 ms, the MSS is 1000, the control is reno.
"""

from types import SimpleNamespace

import pytest

from tipy.tcp.congestion.reno import Reno

OPEN, DISORDER, CWR, RECOVERY, LOSS = range(5)
RTT = 0.05


@pytest.fixture
def flight(make):
    """flight(count): a peer and a socket on which `count` segments were sent one round trip ago; keywords go to
    peer.established."""
    def prepare(count, more=0, **how):
        peer = make(congestion_control="reno")
        sock = peer.established(rtt=RTT, **how)
        sock.send(bytes(1000 * count))
        sock.send(bytes(more))
        assert len(peer.take()) == count
        peer.bed.advance(RTT)
        return peer, sock
    return prepare


def ack(peer, number, *blocks, **how):
    """The peer has everything below segment `number` (from 1) and those in blocks (first, last). The numbers of the
    segments sent at once."""
    peer.send(".", ack=1 + 1000 * (number - 1), sack=[(1 + 1000 * (first - 1), 1 + 1000 * last)
                                                     for first, last in blocks], **how)
    return numbers(peer)


def numbers(peer):
    """The numbers (from 1) of the segments that were sent."""
    return [(segment.seq - 1) // 1000 + 1 for segment in peer.take() if segment.length]


def info(sock, name):
    """A field of tcp_info."""
    return sock.tcp_info()["tcpi_" + name]


# -- reordering -------------------------------------------------------------------------------------------

def test_an_ack_for_all_of_it_shows_how_far_a_hole_was_overtaken(flight):
    """The first segment was overtaken by one that was SACKed and, as the ACK for everything tells, by eight more."""
    peer, sock = flight(10)
    ack(peer, 1, (2, 2))
    ack(peer, 11)
    assert info(sock, "reordering") == 10


def test_a_partial_ack_shows_only_what_is_sacked_above_the_hole(flight):
    """While something is SACKed, the highest of it is how far the hole was overtaken."""
    peer, sock = flight(10)
    ack(peer, 1, (2, 2), (6, 6))
    ack(peer, 3, (6, 6))
    assert info(sock, "reordering") == 6


# -- reneging ---------------------------------------------------------------------------------------------

def test_an_ack_that_stops_below_what_was_sacked_leaves_little_time(flight):
    """RFC 2018 section 8: half a round trip later the SACKed segments are sent again."""
    peer, sock = flight(10)
    ack(peer, 1, (3, 4))
    assert ack(peer, 3) == []
    peer.bed.advance(RTT / 2 + 0.001)
    assert numbers(peer) == [3]
    assert info(sock, "ca_state") == LOSS
    assert info(sock, "sacked") == 0


def test_what_reneging_has_forgotten_is_no_measure_of_reordering(flight):
    """RFC 2018 section 8: after the timeout nothing counts as SACKed, so a new SACK shows no reordering."""
    peer, sock = flight(10)
    ack(peer, 1, (3, 8))
    ack(peer, 3)
    peer.bed.advance(RTT / 2 + 0.001)
    ack(peer, 3, (4, 4))
    assert (info(sock, "sacked"), info(sock, "reordering")) == (1, 3)


# -- when retransmissions leave ---------------------------------------------------------------------------

def test_after_a_timeout_only_an_acceptable_ack_brings_retransmissions(flight):
    """F-RTO has sent new data to find out (RFC 5682 2.1 step 2b): neither a write of the user's nor an ACK for what was
    never sent makes the lost segments go."""
    peer, sock = flight(10, more=2000, sack=False)
    peer.expect_data(1, 1000, within=0.3)
    assert ack(peer, 5) == [11, 12]
    sock.send(bytes(1000))
    assert numbers(peer) == [13]
    assert ack(peer, 99) == []
    assert info(sock, "total_retrans") == 1
    assert info(sock, "lost") == 6


def test_the_reordering_timer_brings_retransmissions_only(flight):
    """RFC 8985 6.2 step 5, as in Linux: new data waits for the next ACK, though cwnd has room."""
    peer, sock = flight(10, more=10000)
    ack(peer, 2)
    peer.bed.advance(0.4)
    assert numbers(peer)[-1] == 2                      # a timeout
    peer.bed.advance(RTT)
    ack(peer, 2, (4, 4))                               # it was spurious (F-RTO); is the second segment late or lost?
    assert info(sock, "lost") == 0
    peer.bed.advance(RTT)
    assert set(numbers(peer)) <= {2, 3}
    assert info(sock, "ca_state") == RECOVERY
    assert info(sock, "snd_cwnd") > info(sock, "unacked") - info(sock, "sacked")


def test_a_fin_is_new_data_for_f_rto(flight):
    """RFC 5682 2.1 step 2b: nothing but the FIN is left to send; it goes, and retransmissions wait for its ACK."""
    peer, sock = flight(5, sack=False)
    peer.expect_data(1, 1000, within=0.3)
    sock.shutdown(peer.bed.socket.SHUT_WR)
    peer.send(".", ack=1001)
    segment, = peer.take()
    assert (segment.seq, segment.length, "F" in segment.flags) == (5001, 0, True)


# -- RACK and what turned out to be needless --------------------------------------------------------------

def stamped_flight(make):
    """(peer, sock, the timestamp of its ten segments): timestamps are on, one round trip ago ten segments were sent."""
    peer = make(congestion_control="reno")
    sock = peer.established(rtt=RTT, ts=True, mss=1012)
    sock.send(bytes(10000))
    assert numbers(peer) == list(range(1, 11))
    stamp = peer.last_tsval
    peer.bed.advance(RTT)
    return peer, sock, stamp


def test_a_late_original_does_not_date_its_retransmission(make):
    """RFC 8985 6.2 step 2: after a spurious timeout the ACK of the original comes, its timestamp tells. RACK must not
    take it for the retransmission, which would make all that was sent before that lost."""
    peer, sock, stamp = stamped_flight(make)
    peer.bed.advance(0.4)
    assert numbers(peer) == [10, 1]                    # tail loss probe, timeout
    for number in (2, 3):
        assert ack(peer, number, ts=(peer.tsval(), stamp)) == []
        assert info(sock, "ca_state") in (OPEN, DISORDER)
        assert info(sock, "lost") == 0
    assert info(sock, "snd_ssthresh") == 0x7FFFFFFF


def test_what_an_undo_takes_back_is_not_found_lost_by_the_same_evidence(flight):
    """Segments 1 to 4 seemed lost. The third, never sent again, arrives: the timeout was spurious
    (F-RTO), so the others may be late as well."""
    peer, sock = flight(5)
    assert ack(peer, 1, (5, 5)) == []
    peer.bed.advance(RTT)
    assert numbers(peer) == [1]
    assert info(sock, "lost") == 4
    peer.bed.advance(0.8)
    assert set(numbers(peer)) == {1}
    assert ack(peer, 2, (3, 3), (5, 5)) == []
    peer.bed.advance(RTT)
    assert numbers(peer) == []
    assert (info(sock, "ca_state"), info(sock, "lost")) == (DISORDER, 0)


def test_a_dsack_of_what_its_own_ack_acknowledges(flight):
    """RFC 2883 section 4: the DSACK lies below the ACK but above the one before. What the ACK acknowledges has not been
    overtaken."""
    peer, sock = flight(10, more=10000)
    ack(peer, 1, (2, 4))                               # something is sent again
    assert ack(peer, 11)[-1] >= 15
    ack(peer, 13, (11, 11), (15, 15))
    assert (info(sock, "sacked"), info(sock, "reordering")) == (1, 3)


def test_a_dsack_within_what_is_sacked_counts(flight):
    """RFC 2883 section 4: segments 1 to 3 were sent again. The DSACK of the second lies inside the SACKed range, whose
    pieces have been joined: still it is one of three that were needless, and a sign of reordering."""
    peer, sock = flight(10)
    assert ack(peer, 1, (4, 8)) == [1, 2, 3]
    ack(peer, 1, (2, 8))
    ack(peer, 1, (2, 2), (2, 8))
    assert info(sock, "reordering") == 7
    ack(peer, 9, (1, 1))
    assert info(sock, "snd_ssthresh") == 5
    ack(peer, 9, (3, 3))
    assert info(sock, "snd_ssthresh") == 0x7FFFFFFF


# -- the worth of cwnd ------------------------------------------------------------------------------------

def test_cwnd_is_not_unused_before_an_rto_has_passed_since_it_grew(flight):
    """RFC 7661, as Linux has it: what ACKs made of cwnd lasts for an RTO, whenever it was last used."""
    peer, sock = flight(10)
    ack(peer, 6)
    peer.bed.advance(0.2)                              # a probe of the tail, no timeout
    peer.take()
    ack(peer, 11)
    assert info(sock, "snd_cwnd") == 20
    peer.bed.advance(0.12)
    sock.send(bytes(1000))
    assert info(sock, "snd_cwnd") == 20


def growth(window):
    """A congestion control in congestion avoidance, and its flow."""
    flow = SimpleNamespace(cwnd=window, ssthresh=2)
    return Reno(flow), flow


def test_a_reduction_forgets_what_congestion_avoidance_has_gathered():
    """RFC 5681 3.1 counts acknowledged segments up to cwnd; those from before a loss do not count after it."""
    control, flow = growth(4)
    control.on_ack(3)
    control.start_over()
    control.on_ack(3)
    assert flow.cwnd == 4
    control.on_ack(1)
    assert flow.cwnd == 5


def test_what_was_gathered_at_a_larger_window_is_worth_one_segment():
    """As in Linux: cwnd came down without a loss; the credit of the larger one does not make it jump."""
    control, flow = growth(10)
    control.on_ack(9)
    flow.cwnd = 3
    control.on_ack(1)
    assert flow.cwnd == 4
