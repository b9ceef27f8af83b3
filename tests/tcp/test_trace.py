"""What a connection tells whoever follows it: `stack.tcp.trace = fn(name, time, event, details)`.

State changes, the window after each ACK, the phases of recovery, and for each retransmission the reason.
"""

import pytest

RTT = 0.1


@pytest.fixture
def follow(make):
    """follow(**settings) -> (peer, story): `story` fills with (time since now, event, details)."""
    def start(**settings):
        peer, story = make(**settings), []
        began = peer.bed.now()
        peer.bed.stack.tcp.trace = lambda name, time, event, details: story.append(
            (round(time - began, 6), event, details))
        return peer, story
    return start


def events(story, *names):
    """[(event, details)] of these events."""
    return [(event, details) for _, event, details in story if event in names]


def moves(story):
    """The states that were entered."""
    return [details["new"] for _, details in events(story, "state")]


def resent(story):
    """[(relative sequence number, reason)] of what was sent again, and of probes."""
    return [(details["seq"], details["reason"]) for _, details in events(story, "retransmit", "probe")]


# -- states ---------------------------------------------------------------------------------------


def test_passive_open_and_close_by_the_peer_tells_its_states(follow):
    peer, story = follow()
    sock = peer.established()
    peer.send("F.")
    sock.close()
    peer.take()
    peer.send(".", ack=2)
    assert moves(story) == ["SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"]
    changes = [details for _, details in events(story, "state")]
    assert all(before["new"] == after["old"] for before, after in zip(changes, changes[1:]))


def test_active_open_and_close_tells_its_states(follow):
    peer, story = follow()
    sock = peer.bed.connecting()
    peer.take()
    peer.send("S.", mss=1000)
    sock.close()
    peer.take()
    peer.send(".", ack=2)
    peer.send("F.")
    assert moves(story) == ["SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]


def test_reset_tells_the_end(follow):
    peer, story = follow()
    peer.established()
    peer.send("R", seq=peer.next)
    assert moves(story)[-1] == "CLOSED"


def test_trace_names_the_connection_and_the_time(make):
    peer, heard = make(), []
    peer.bed.stack.tcp.trace = lambda *what: heard.append(what)
    sock = peer.established()
    sock.send(b"x")
    peer.bed.advance(RTT)
    before = len(heard)
    peer.send(".", ack=2)
    (name, time, event, _), = heard[before:]
    assert event == "window" and time == peer.bed.now()
    assert "192.168.2.200" in name and "50000" in name
    assert {each[0] for each in heard} == {name}


def test_only_new_connections_are_followed(make):
    peer, heard = make(), []
    sock = peer.established()
    peer.bed.stack.tcp.trace = lambda *what: heard.append(what)
    sock.send(b"x")
    peer.send(".", ack=2)
    assert heard == []


# -- the window -----------------------------------------------------------------------------------


def test_ack_tells_cwnd_ssthresh_srtt_and_flight(follow):
    peer, story = follow()
    sock = peer.established()
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(RTT)
    del story[:]
    peer.send(".", ack=4001)
    (_, details), = events(story, "window")
    info = sock.tcp_info()
    assert details == {"cwnd": 14, "ssthresh": 0x7FFFFFFF, "srtt": pytest.approx(RTT, abs=0.002), "in_flight": 6}
    assert (info["tcpi_snd_cwnd"], info["tcpi_unacked"]) == (14, 6)


# -- retransmissions ------------------------------------------------------------------------------


def test_syn_timeout_tells_each_repetition(follow):
    peer, story = follow()
    peer.bed.connecting()
    peer.bed.advance(7.5)
    assert [(time, details["seq"], details["reason"]) for time, event, details in story if event == "retransmit"] == \
        [(pytest.approx(when, abs=0.002), 0, "SYN timeout") for when in (1, 3, 7)]


def test_tail_loss_tells_a_probe_and_then_timeouts(follow):
    """RFC 8985 7: first TLP, then, unanswered, the RTO with back-off (RFC 6298 5.5)."""
    peer, story = follow()
    sock = peer.established()
    sock.send(bytes(2000))
    peer.take()
    peer.bed.advance(3)
    assert resent(story)[0] == (1001, "TLP")
    assert resent(story)[1:] and set(resent(story)[1:]) == {(1, "RTO")}
    times = [time for time, event, details in story if event == "retransmit" and details["reason"] == "RTO"]
    gaps = [after - before for before, after in zip(times, times[1:])]
    assert all(later == pytest.approx(2 * gap, rel=0.02) for gap, later in zip(gaps, gaps[1:]))
    assert [details["new"] for _, details in events(story, "recovery")][-1] == "LOSS"


def test_hole_in_the_sack_blocks_tells_rack_and_the_phases(follow):
    """RFC 8985: the first of ten is lost; recovery begins and ends, cwnd comes down to 0.7 (RFC 9438 4.6)."""
    peer, story = follow()
    sock = peer.established()
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(RTT)
    for number in range(2, 11):
        peer.send(".", ack=1, sack=[(1001, 1 + 1000 * number)])
    peer.bed.advance(RTT)
    peer.send(".", ack=10001)
    assert resent(story) == [(1, "RACK")]
    phases = [details for _, details in events(story, "recovery")]
    assert [details["new"] for details in phases] == ["DISORDER", "RECOVERY", "OPEN"]
    assert phases[-1]["ssthresh"] == 7 and phases[-1]["cwnd"] == 7
    assert events(story, "window")[-1][1]["cwnd"] == sock.tcp_info()["tcpi_snd_cwnd"] == 7


def test_three_duplicate_acks_without_sack_tell_fast_retransmit(follow):
    """RFC 5681 3.2."""
    peer, story = follow(sack=False)
    sock = peer.established(sack=False)
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(RTT)
    for _ in range(3):
        assert resent(story) == []
        peer.send(".", ack=1)
    assert resent(story) == [(1, "fast retransmit")]


def test_dsack_for_a_needless_retransmission_tells_the_undo(follow):
    """RFC 3708: the peer had it all: the reduction is taken back."""
    peer, story = follow()
    sock = peer.established()
    sock.send(bytes(10000))
    peer.take()
    peer.bed.advance(RTT)
    for number in range(2, 6):
        peer.send(".", ack=1, sack=[(1001, 1 + 1000 * number)])
    assert resent(story) == [(1, "RACK")]
    peer.send(".", ack=10001)
    peer.send(".", ack=10001, sack=[(1, 1001)])
    (_, details), = events(story, "undo")
    assert details["cwnd"] >= 10 and details["ssthresh"] == 0x7FFFFFFF and details["reason"]


def test_hook_that_fails_is_contained(make):
    """An observer must not harm the connection."""
    peer = make()
    stack, failing = peer.bed.stack, [True]

    def fail(*what):
        if failing:
            raise ZeroDivisionError

    stack.tcp.trace = fail
    sock = peer.established()
    sock.send(b"hello")
    assert [segment.length for segment in peer.take()] == [5]
    assert stack.counters["stack.exceptions"] > 0
    failing.clear()
    stack.counters["stack.exceptions"] = 0             # the bed would complain
