"""Loss recovery of the sender: fast retransmit, NewReno, SACK, limited transmit, RACK-TLP, undo, F-RTO, PRR
(RFC 5681, 6582, 6675, 3042, 8985, 5682, 3522/4015, 6937/9937). TB 4, 12.

Round trips take 100 ms, the MSS is 1000, the control is cubic: ssthresh is 0.7 of the window.
"""

import pytest

from tipy.testing.peer import ANY

OPEN, DISORDER, CWR, RECOVERY, LOSS = range(5)
INFINITE = 0x7FFFFFFF
RTT = 0.1


def sending(peer, count, more=0, **how):
    """A connection on which `count` full segments were sent one round trip ago; `more` bytes wait behind
    them."""
    sock = peer.established(**how)
    if count > 10:
        for _ in range(5):
            sock.send(bytes(2000))
        peer.bed.advance(RTT)
        for number in range(1, 11):
            peer.send(".", ack=1 + 1000 * number)
        peer.take()
        peer.base = 10001
    else:
        peer.base = 1
    sock.send(bytes(1000 * count))
    starts = [segment.seq for segment in peer.take()]
    assert starts == [peer.base + 1000 * number for number in range(count)], starts
    if more:
        sock.send(bytes(more))
        peer.take()
    peer.bed.advance(RTT)
    return sock


def block(peer, first, last=None):
    """The range of segments number first..last (from 1), as a SACK block."""
    last = first if last is None else last
    return peer.base + 1000 * (first - 1), peer.base + 1000 * last


def sack(peer, *blocks, ack=0):
    """The peer acknowledges segments 1..ack and reports blocks (first, last); returns the numbers of the
    segments that are sent at once (from 1)."""
    peer.send(".", ack=peer.base + 1000 * ack, sack=[block(peer, *each) for each in blocks])
    return numbers(peer)


def numbers(peer):
    """The numbers (from 1) of the full segments that were sent."""
    sent = peer.take()
    return [(segment.seq - peer.base) // 1000 + 1 for segment in sent if segment.length]


def info(sock, name):
    """A field of tcp_info."""
    return sock.tcp_info()["tcpi_" + name]


# -- fast retransmit --------------------------------------------------------------------------------------

def test_three_sacked_segments_retransmit_the_first(peer):
    """TB 4.1."""
    sock = sending(peer, 10)
    assert sack(peer, (2, 2)) == []
    assert sack(peer, (2, 3)) == []
    assert sack(peer, (2, 4)) == [1]
    assert info(sock, "ca_state") == RECOVERY
    assert info(sock, "snd_ssthresh") == 7


def test_three_duplicate_acks_retransmit_the_first(peer):
    """TB 4.1: without SACK."""
    sock = sending(peer, 10, sack=False)
    assert sack(peer) == []
    assert sack(peer) == []
    assert sack(peer) == [1]
    assert info(sock, "ca_state") == RECOVERY


def test_only_once_for_many_duplicate_acks(peer):
    """TB 4.1: the first hole only."""
    sending(peer, 10, sack=False)
    sent = [sack(peer) for _ in range(9)]
    assert [1] in sent and sum(1 for each in sent if 1 in each) == 1


def test_full_ack_leaves_recovery(peer):
    """TB 4.1: cwnd = ssthresh."""
    sock = sending(peer, 10)
    for last in (2, 3, 4):
        sack(peer, (2, last))
    for last in range(5, 11):
        sack(peer, (2, last))
    peer.bed.advance(RTT)
    sack(peer, ack=10)
    assert info(sock, "ca_state") == OPEN
    assert info(sock, "snd_cwnd") == 7


def test_newreno_partial_ack_retransmits_the_next_hole(peer):
    """TB 4.1 (RFC 6582 3.2 step 4)."""
    sock = sending(peer, 10, sack=False)
    for _ in range(3):
        sent = sack(peer)
    assert sent == [1]
    for _ in range(5):
        sack(peer)
    peer.bed.advance(RTT)
    assert sack(peer, ack=3)[:1] == [4]
    assert info(sock, "ca_state") == RECOVERY
    peer.bed.advance(RTT)
    sack(peer, ack=10)
    sock.send(bytes(1000))
    assert numbers(peer) == [11]
    sack(peer, ack=11)
    assert info(sock, "ca_state") == OPEN
    assert info(sock, "snd_cwnd") <= 8


def test_duplicate_acks_below_the_recovery_point_do_not_retransmit_again(peer):
    """RFC 6582 3.2 step 1: after recovery, duplicates of old ACKs start nothing new."""
    sending(peer, 10, sack=False)
    for _ in range(3):
        sack(peer)
    peer.bed.advance(RTT)
    sack(peer, ack=10)
    for _ in range(3):
        assert sack(peer, ack=10) == []


def test_ack_with_data_is_no_duplicate(peer):
    """RFC 5681 2: a duplicate ACK has no data."""
    sock = sending(peer, 10, sack=False)
    for number in range(4):
        peer.send("P.", 1 + 10 * number, ack=1, payload=10)
    assert numbers(peer) == []
    assert info(sock, "ca_state") == OPEN


# -- SACK -------------------------------------------------------------------------------------------------

def test_sacked_segments_are_never_resent(peer):
    """TB 4.2: #1, #5, #6 lost."""
    sending(peer, 10)
    sent = []
    for blocks in ([(2, 2)], [(2, 3)], [(2, 4)], [(7, 7), (2, 4)], [(7, 8), (2, 4)], [(7, 9), (2, 4)],
                   [(7, 10), (2, 4)]):
        sent += sack(peer, *blocks)
    peer.bed.advance(RTT)
    sent += sack(peer, (7, 10), ack=4)
    sent += sack(peer, (7, 10), ack=5)
    assert sorted(sent) == [1, 5, 6]


@pytest.mark.parametrize("order", [(2, 6, 8, 3, 9), (7, 3, 4, 8, 9), (7, 5, 6, 8, 9), (9, 8, 7, 6, 5),
                                   (3, 5, 7, 9, 4)])
def test_order_of_sacks_does_not_matter(peer, order):
    """TB 4.2: in the end exactly what was not SACKed has been resent. (Segments count from 0 here.)"""
    sending(peer, 10)
    arrived, sent = set(), []
    for number in order:
        arrived.add(number + 1)
        sent += sack(peer, *runs(arrived, number + 1))
    peer.bed.advance(0.03)
    sent += numbers(peer)
    for _ in range(8):
        peer.bed.advance(0.07)
        ack = next(number for number in range(12) if number + 1 not in arrived | set(sent))
        arrived |= set(sent)
        sent += sack(peer, *runs({number for number in arrived if number > ack}, None), ack=ack)
        if ack == 10:
            break
    lost = {number for number in range(1, 11) if number - 1 not in order}
    # what lies beyond the highest SACK was not lost; it may have been probed for at the end of the exchange
    certain = {number for number in lost if number < max(order) + 1}
    assert certain <= set(sent) <= lost
    assert len(sent) == len(set(sent))


def runs(arrived, newest):
    """The set as (first, last) runs, the one with `newest` first, at most three."""
    found = []
    for number in sorted(arrived):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    found.sort(key=lambda run: not (newest is not None and run[0] <= newest <= run[1]))
    return [tuple(run) for run in found[:3]]


def test_sack_on_an_old_ack_is_used(peer):
    """TB 4.2: SACK info on an ACK below SND.UNA."""
    sending(peer, 10)
    assert sack(peer, ack=2) == []
    assert sack(peer, (4, 4), ack=2) == []
    assert sack(peer, (4, 6), ack=1) == [3]


@pytest.mark.parametrize("bad", [(-5000, -4000), (20001, 21001), (2001, 2001), (3001, 2001), (-1000, 2001),
                                 (5001, 25001)])
def test_sack_out_of_bounds_is_ignored(peer, bad):
    """TB 4.2: below, above, empty, turned round."""
    sock = sending(peer, 10)
    for _ in range(4):
        peer.send(".", ack=1, sack=[bad])
    sent = numbers(peer)
    assert [number for number in sent if number != 1] == []
    assert info(sock, "sacked") == 0


def test_sack_of_a_part_of_a_segment(peer):
    """TB 4.2: what is not covered stays unSACKed; nothing breaks."""
    sock = sending(peer, 10)
    peer.send(".", ack=1, sack=[(1501, 2501)])
    peer.bed.advance(1)
    peer.take()
    peer.send(".", ack=10001)
    assert info(sock, "unacked") == 0
    peer.expect_nothing(10)


def test_changing_the_tos_does_not_disturb(peer):
    """TB 4.2: IP_TOS mid-flight."""
    sock = sending(peer, 10)
    module = peer.bed.socket
    sack(peer, (2, 2))
    sock.setsockopt(module.IPPROTO_IP, module.IP_TOS, 0x10)
    sack(peer, (2, 3))
    assert sack(peer, (2, 4)) == [1]


def test_reneging_is_survived(peer):
    """RFC 2018 8: the receiver may discard SACKed data: after an RTO everything is resent."""
    sock = sending(peer, 5)
    sack(peer, (2, 5))
    peer.bed.advance(2)
    peer.take()
    sent = set()
    for ack in range(1, 6):
        sent |= set(sack(peer, ack=ack))
        peer.bed.advance(3)
        sent |= set(numbers(peer))
    assert {2, 3, 4, 5} <= sent
    assert info(sock, "unacked") == 0


# -- limited transmit -------------------------------------------------------------------------------------

@pytest.mark.parametrize("with_sack", [True, False])
def test_limited_transmit(peer, with_sack):
    """TB 4.4 (RFC 3042): one new segment for each of the first two duplicates."""
    sending(peer, 10, more=5000, sack=with_sack)
    assert (sack(peer, (2, 2)) if with_sack else sack(peer)) == [11]
    assert (sack(peer, (2, 3)) if with_sack else sack(peer)) == [12]
    assert 1 in (sack(peer, (2, 4)) if with_sack else sack(peer))


def test_limited_transmit_needs_window(peer):
    """RFC 3042 2: within the peer's window."""
    sending(peer, 10, more=5000, win=10000)
    assert sack(peer, (2, 2)) == []


@pytest.mark.parametrize("with_sack", [True, False])
def test_reordering_that_resolves_retransmits_nothing(peer, with_sack):
    """TB 4.4."""
    sock = sending(peer, 10, sack=with_sack)
    for last in (2, 3):
        assert (sack(peer, (2, last)) if with_sack else sack(peer)) == []
    assert sack(peer, ack=3) == []
    peer.bed.advance(0.05)
    assert numbers(peer) == []
    sack(peer, ack=10)
    assert info(sock, "snd_cwnd") >= 10 and info(sock, "ca_state") == OPEN
    assert info(sock, "total_retrans") == 0


# -- RACK -------------------------------------------------------------------------------------------------

def test_rack_waits_a_quarter_of_the_rtt(peer):
    """TB 4.5: one SACK only: retransmitted when the reordering window (min_rtt / 4) is over; Linux's timer
    adds 2 ms."""
    sending(peer, 10)
    assert sack(peer, (2, 2)) == []
    start = peer.bed.now()
    segment = peer.expect_data(1, 1000, within=0.03)
    assert 0.0249 <= segment.time - start <= 0.0275


def test_rack_sees_a_lost_retransmission(peer):
    """TB 4.5: data sent after the retransmission is SACKed: the retransmission is lost too; no RTO is
    needed."""
    sock = sending(peer, 10)
    for last in (2, 3, 4):
        sent = sack(peer, (2, last))
    assert sent == [1]
    peer.bed.advance(0.01)
    sock.send(bytes(6000))
    for last in range(5, 11):
        sack(peer, (2, last))
    peer.bed.advance(RTT)
    assert 1 in sack(peer, (2, 12))


def test_rack_finds_a_lost_new_segment_in_recovery(peer):
    """TB 4.5: losses among what is sent during recovery are found without dupacks counting to three."""
    sock = sending(peer, 10)
    for last in (2, 3, 4):
        sack(peer, (2, last))
    sock.send(bytes(6000))
    peer.bed.advance(0.01)
    for last in range(5, 11):
        sack(peer, (2, last))
    peer.bed.advance(RTT)
    sack(peer, ack=10)
    sent = sack(peer, (12, 12), ack=10)
    peer.bed.advance(0.03)
    assert 11 in sent + numbers(peer)


def test_rack_adapts_to_reordering(peer):
    """RFC 8985 6.2: once reordering was seen, three SACKed segments do not retransmit before the window is
    over."""
    sock = sending(peer, 10)
    sack(peer, (2, 3))
    sack(peer, ack=3)
    sack(peer, ack=10)
    sock.send(bytes(10000))
    peer.take()
    peer.base = 10001
    peer.bed.advance(RTT)
    sent = []
    for last in (2, 3, 4):
        sent += sack(peer, (2, last))
    assert 1 not in sent
    peer.expect_data(10001, 1000, within=0.03)


def test_without_rack_three_are_needed(make):
    """TB 14: recovery=False: RFC 6675: two SACKed segments do not retransmit, however long one waits below
    the RTO."""
    peer = make(recovery=False)
    sending(peer, 10)
    assert sack(peer, (2, 3)) == []
    peer.expect_nothing(0.15)
    assert sack(peer, (2, 4)) == [1]


# -- TLP --------------------------------------------------------------------------------------------------

def test_tlp_probes_with_the_last_segment(peer):
    """TB 4.5: after 2 SRTT, before the RTO."""
    sock = peer.established()
    sock.send(bytes(4000))
    peer.expect_flight(1, 1001, 2001, 3001)
    start = peer.bed.now()
    probe = peer.expect_data(3001, 1000, within=0.29)
    assert 0.2 <= probe.time - start <= 0.21


def test_tlp_probes_with_new_data(peer):
    """TB 4.5: a segment never sent before, if the window has room."""
    sock = peer.established()
    sock.send(bytes(12000))
    peer.expect_flight(*range(1, 10001, 1000))
    probe = peer.expect_data(10001, 1000, within=0.29)
    assert probe.time > 0.19


def test_tlp_of_a_single_segment_waits_for_a_delayed_ack(peer):
    """TB 4.5: plus the worst delayed ACK if one segment is out, but no later than the RTO."""
    sock = peer.established()
    for _ in range(20):
        sock.send(b"x")
        peer.take()
        peer.bed.advance(RTT)
        peer.send(".")
    sock.send(bytes(1000))
    peer.take()
    rto = info(sock, "rto") / 1e6
    start = peer.bed.now()
    probe = peer.expect("P.", 21, length=1000, within=rto + 0.01)
    assert probe.time - start >= 0.25


def test_tlp_is_sent_once(peer):
    """RFC 8985 7.3: then the RTO."""
    sock = peer.established()
    sock.send(bytes(4000))
    peer.take()
    probe = peer.expect_data(3001, 1000, within=0.29)
    timeout = peer.expect_data(1, 1000, within=0.5)
    assert timeout.time - probe.time == pytest.approx(0.3, abs=0.01)


def test_tail_loss_is_recovered_by_the_probe(peer):
    """TB 4.5 (RFC 8985 7.4.2): the last segment was lost; its probe arrives; the next ACK shows that there
    was a loss: one window reduction."""
    sock = peer.established()
    sock.send(bytes(4000))
    peer.take()
    peer.bed.advance(RTT)
    peer.send(".", ack=3001)
    peer.expect_data(3001, 1000, within=0.4)
    peer.bed.advance(0.11)
    peer.send(".", ack=4001)
    assert info(sock, "snd_cwnd") >= 10
    sock.send(bytes(1000))
    peer.expect_data(4001, 1000)
    peer.bed.advance(RTT)
    peer.send(".", ack=5001)
    peer.expect_nothing(5)
    assert info(sock, "snd_ssthresh") == 7 and info(sock, "snd_cwnd") < 10


def tail_losses(peer, after):
    """#2-4 of 4 lost; the probe (#4) is SACKed `after` seconds later; the numbers resent up to the ACK of
    #2."""
    sending(peer, 4)
    sack(peer, ack=1)
    peer.expect_data(3001, 1000, within=0.3)
    peer.bed.advance(after)
    sent = sack(peer, (4, 4), ack=1)
    peer.bed.advance(0.03)
    sent += numbers(peer)
    peer.bed.advance(RTT)
    return sent + sack(peer, (4, 4), ack=2)


def test_tail_losses_are_found_by_the_probe(peer):
    """TB 4.5: the probe's SACK starts recovery."""
    assert tail_losses(peer, 0.105) == [2, 3]


def test_rack_at_exactly_the_least_rtt(peer):
    """RFC 8985 6.2 step 2: a retransmission SACKed after less than min_rtt is taken for the original; after
    exactly min_rtt it counts."""
    assert tail_losses(peer, RTT) == [2, 3]


def test_probe_that_was_not_needed_changes_nothing(peer):
    """RFC 8985 7.4: the ACK was only late; a DSACK tells of the probe: no reduction."""
    sock = peer.established()
    sock.send(bytes(4000))
    peer.take()
    peer.expect_data(3001, 1000, within=0.3)
    peer.send(".", ack=4001)
    peer.send(".", ack=4001, sack=[(3001, 4001)])
    assert info(sock, "snd_cwnd") >= 10
    assert info(sock, "snd_ssthresh") == INFINITE


def test_no_tlp_without_recovery(make):
    """TB 14."""
    peer = make(recovery=False)
    sock = peer.established()
    sock.send(bytes(4000))
    peer.take()
    peer.expect_data(1, 1000, after=0.3)


def test_tlp_needs_an_open_state(peer):
    """RFC 8985 7.2: no probe timer in recovery: the RTO runs."""
    sending(peer, 10)
    for last in (2, 3, 4):
        sent = sack(peer, (2, last))
    assert sent == [1]
    peer.expect_nothing(0.25)
    peer.expect_data(1, 1000, within=0.3)


# -- undo -------------------------------------------------------------------------------------------------

def test_dsack_undoes_a_fast_retransmit(peer):
    """TB 4.6: the "lost" segment was only late: cwnd and ssthresh come back."""
    sock = sending(peer, 10)
    for last in (2, 3, 4):
        sent = sack(peer, (2, last))
    assert sent == [1]
    sack(peer, ack=4)
    sack(peer, ack=10)
    peer.send(".", ack=10001, sack=[block(peer, 1)])
    assert info(sock, "snd_cwnd") >= 10
    assert info(sock, "snd_ssthresh") == INFINITE
    assert info(sock, "ca_state") == OPEN


def test_dsack_on_an_old_ack_undoes(peer):
    """TB 4.6: the ACKs in between were dropped, DSACK comes on an ACK below SND.UNA."""
    sock = sending(peer, 10)
    for last in (2, 3, 4):
        sack(peer, (2, last))
    sack(peer, ack=10)
    peer.send(".", ack=4001, sack=[block(peer, 1)])
    assert info(sock, "snd_cwnd") >= 10
    assert info(sock, "snd_ssthresh") == INFINITE


def test_dsack_undoes_several_retransmissions_only_together(peer):
    """TB 4.6: all of them must be proven unneeded."""
    sock = sending(peer, 10)
    sent = []
    for last in (4, 5, 6, 7, 8):
        sent += sack(peer, (4, last))
    assert sent == [1, 2, 3]
    sack(peer, ack=10)
    peer.send(".", ack=10001, sack=[block(peer, 1)])
    assert info(sock, "snd_ssthresh") == 7
    peer.send(".", ack=10001, sack=[block(peer, 2)])
    peer.send(".", ack=10001, sack=[block(peer, 3)])
    assert info(sock, "snd_ssthresh") == INFINITE
    assert info(sock, "snd_cwnd") >= 10


def test_timestamp_undoes_a_fast_retransmit(peer):
    """TB 4.6 (Eifel, RFC 3522): the ACK echoes the original, not the retransmission."""
    sock = peer.established(ts=True)
    peer.base = 1
    sock.send(bytes(9880))
    peer.take()
    before = peer.last_tsval
    peer.bed.advance(RTT)
    for last in (2, 3, 4):
        peer.send(".", ack=1, sack=[(989, 1 + 988 * last)], ts=(peer.tsval(), before))
    peer.expect_data(1, 988)
    peer.bed.advance(0.005)
    peer.send(".", ack=1 + 988 * 10, ts=(peer.tsval(), before))
    assert info(sock, "snd_ssthresh") == INFINITE
    assert info(sock, "snd_cwnd") >= 10


def test_real_loss_is_not_undone(peer):
    """TB 4.6: no DSACK, no undo."""
    sock = sending(peer, 10)
    for last in (2, 3, 4):
        sack(peer, (2, last))
    peer.bed.advance(RTT)
    sack(peer, ack=10)
    peer.bed.advance(1)
    assert info(sock, "snd_ssthresh") == 7


# -- F-RTO ------------------------------------------------------------------------------------------------

def test_frto_undoes_a_spurious_timeout(make):
    """TB 4.6 (RFC 5682): the first ACK after the RTO covers data that was not resent: nothing else is resent
    and the window comes back."""
    peer = make(recovery=False)
    sock = sending(peer, 10)
    peer.expect_data(1, 1000, within=0.3)
    assert info(sock, "ca_state") == LOSS
    sent = sack(peer, ack=2)
    assert all(number > 10 for number in sent)
    assert info(sock, "snd_cwnd") >= 10
    assert info(sock, "ca_state") == OPEN
    for ack in range(3, 11):
        sent += sack(peer, ack=ack)
    assert sent == []


def test_frto_sends_new_data_to_find_out(make):
    """RFC 5682 2.1 step 2b: the ACK covers only the resent segment: new data goes, and its ACK... of data
    never resent proves the timeout spurious."""
    peer = make(recovery=False)
    sock = sending(peer, 10, more=5000, win=65535)
    peer.expect_data(1, 1000, within=0.3)
    sent = sack(peer, ack=1)
    assert sent and all(number > 10 for number in sent)
    sent = sack(peer, ack=2)
    assert all(number > 10 for number in sent)
    assert info(sock, "snd_cwnd") >= 10


def test_frto_real_timeout_goes_on_with_retransmissions(make):
    """RFC 5682 step 3a: a duplicate instead: conventional recovery."""
    peer = make(recovery=False)
    sending(peer, 10)
    peer.expect_data(1, 1000, within=0.3)
    peer.bed.advance(RTT)
    sent = sack(peer, ack=1)
    assert sent[:1] == [2]


def test_timeout_of_everything_resends_everything_once(make):
    """TB 5: all 10 lost; slow start repairs them without sending any twice."""
    peer = make(recovery=False)
    sending(peer, 10)
    peer.expect_data(1, 1000, within=0.3)
    sent = [1]
    while len(sent) < 10:
        peer.bed.advance(RTT)
        more = sack(peer, ack=len(sent))
        assert more
        sent += more
    assert sent == list(range(1, 11))


# -- PRR --------------------------------------------------------------------------------------------------

def test_prr_ten_sent_first_lost(peer):
    """TB 4.7: one out for each one SACKed; ends at ssthresh 7."""
    sock = sending(peer, 10)
    assert sack(peer, (2, 2)) == []
    assert sack(peer, (2, 3)) == []
    assert sack(peer, (2, 4)) == [1]
    assert info(sock, "snd_cwnd") == 7
    peer.bed.advance(0.01)
    sock.send(bytes(7000))
    assert numbers(peer) == []
    for last in range(5, 11):
        assert sack(peer, (2, last)) == [last + 6]
    peer.bed.advance(0.06)
    assert sack(peer, ack=10) == [17]
    assert info(sock, "snd_cwnd") == 7
    assert info(sock, "ca_state") == OPEN


def test_prr_twenty_sent_first_four_lost(peer):
    """TB 4.7: the four holes, one for each SACK, then new data; the flight stays at ssthresh 14."""
    sock = sending(peer, 20)
    assert sack(peer, (5, 5)) == []
    assert sack(peer, (5, 6)) == []
    assert sack(peer, (5, 7)) == [1]
    assert info(sock, "snd_ssthresh") == 14
    assert info(sock, "snd_cwnd") == 14
    sock.send(bytes(20000))
    assert numbers(peer) == []
    assert [sack(peer, (5, last)) for last in (8, 9, 10)] == [[2], [3], [4]]
    assert [sack(peer, (5, last)) for last in range(11, 21)] == [[number] for number in range(21, 31)]
    assert info(sock, "snd_cwnd") == 14


def test_prr_twenty_sent_ten_lost(peer):
    """TB 4.7: #1-4 and #11-16 lost: one for one while more losses show (conservation bound), then two for
    each ACK that advances (slow start part) until ssthresh."""
    sock = sending(peer, 20)
    sack(peer, (5, 5))
    sack(peer, (5, 6))
    assert sack(peer, (5, 7)) == [1]
    sock.send(bytes(20000))
    assert [sack(peer, (5, last)) for last in (8, 9, 10)] == [[2], [3], [4]]
    assert [sack(peer, (17, last), (5, 10)) for last in (17, 18, 19, 20)] == [[11], [12], [13], [14]]
    peer.bed.advance(RTT)
    assert sack(peer, (17, 20), (5, 10), ack=1) == [15, 16]
    assert sack(peer, (17, 20), (5, 10), ack=2) == [21, 22]
    assert sack(peer, (17, 20), (5, 10), ack=3) == [23, 24]
    assert info(sock, "snd_cwnd") <= 14


def test_recovery_is_never_larger_than_ssthresh(peer):
    """TB 4.7: cwnd at the end."""
    sock = sending(peer, 20)
    for last in range(2, 21):
        sack(peer, (2, last))
    peer.bed.advance(RTT)
    sack(peer, ack=20)
    assert info(sock, "snd_cwnd") == 14


def test_info_while_recovering(peer):
    """TB 14."""
    sock = sending(peer, 10)
    for last in (2, 3, 4):
        sack(peer, (2, last))
    figures = sock.tcp_info()
    assert (figures["tcpi_unacked"], figures["tcpi_sacked"], figures["tcpi_lost"], figures["tcpi_retrans"],
            figures["tcpi_total_retrans"]) == (10, 3, 1, 1, 1)


def test_retransmissions_of_one_instant_are_told_apart(peer):
    """RFC 8985 6.2: the last of three retransmissions that left together arrived, so the two before it were lost."""
    sock = sending(peer, 10)
    assert sack(peer, (4, 10)) == [1, 2, 3]
    peer.bed.advance(RTT)
    assert sack(peer, (3, 10)) == [1, 2]
    assert info(sock, "total_retrans") == 5
