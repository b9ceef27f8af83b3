"""Pacing: a congestion control that says how fast has its segments spread over time (see tipy/tcp/pacing.py)."""

import pytest

from tipy.tcp.congestion import CongestionControl

RATE = 100_000                 # bytes per second: a segment of 1000 bytes takes 10 ms
LATE = 0.0015                  # seconds by which a timer may be late, and the test may look late


class Paced(CongestionControl):
    """A window that stays, at a rate."""

    name = "paced"
    pacing_rate = RATE

    def on_ack(self, acked):
        pass

    def on_loss(self):
        return self.cwnd


class Unpaced(Paced):
    name = "unpaced"
    pacing_rate = None


class Fast(Paced):
    """A millisecond's worth is five segments."""

    name = "fast"
    pacing_rate = 5_000_000


def departures(peer, seconds, step=0.001):
    """[(seconds since now, segments)] that left during the next `seconds`."""
    start, found = peer.bed.now(), []
    for _ in range(round(seconds / step) + 1):
        sent = [segment for segment in peer.take() if segment.length]
        if sent:
            found.append((peer.bed.now() - start, len(sent)))
        peer.bed.advance(step)
    return found


def obeys(rate, burst, found):
    """Has never more left than `burst` segments above the rate, nor less than one below it while there was more?"""
    sent = 0
    for when, count in found:
        if sent < rate * (when - found[0][0]) / 1000 - 1 - rate * LATE / 1000:
            return False
        sent += count
        if sent > rate * (when - found[0][0]) / 1000 + burst:
            return False
    return True


def test_segments_leave_at_the_rate(make):
    peer = make(congestion_control=Paced)
    sock = peer.established()
    sock.send(bytes(10000))
    found = departures(peer, 0.15)
    assert sum(count for _, count in found) == 10 and obeys(RATE, 2, found)
    assert 0.08 <= found[-1][0] <= 0.09 + 0.001


def test_without_a_rate_the_window_leaves_at_once(make):
    peer = make(congestion_control=Unpaced)
    sock = peer.established()
    sock.send(bytes(10000))
    assert departures(peer, 0.1) == [(0, 10)]


def test_fast_flow_sends_at_most_a_millisecond_at_once(make):
    peer = make(congestion_control=Fast)
    sock = peer.established()
    sock.send(bytes(10000))
    found = departures(peer, 0.01, step=0.0001)
    assert sum(count for _, count in found) == 10 and obeys(Fast.pacing_rate, 5, found)
    assert 0.0009 <= found[-1][0] <= 0.0021


def test_silence_saves_up_no_credit(make):
    """After a pause the flow goes on at its rate: no burst for the time in which nothing was sent."""
    peer = make(congestion_control=Paced)
    sock = peer.established()
    sock.send(bytes(2000))
    departures(peer, 0.1)
    peer.send(".", ack=2001)
    peer.bed.advance(0.05)
    sock.send(bytes(6000))
    found = departures(peer, 0.1)
    assert sum(count for _, count in found) == 6 and obeys(RATE, 2, found)


def test_acks_do_not_hurry_the_flow(make):
    peer = make(congestion_control=Paced)
    sock = peer.established()
    sock.send(bytes(10000))
    found = departures(peer, 0.015)
    assert sum(count for _, count in found) == 2
    peer.send(".", ack=2001)
    found.append((0.015, len(peer.take())))
    assert obeys(RATE, 2, found)


def test_window_still_limits_a_paced_flow(make):
    peer = make(congestion_control=Paced)
    sock = peer.established(win=3000)
    sock.send(bytes(10000))
    assert sum(count for _, count in departures(peer, 0.15)) == 3


def test_reset_ends_the_pacing(make):
    peer = make(congestion_control=Paced)
    sock = peer.established()
    sock.send(bytes(10000))
    peer.take()
    peer.send("R", seq=peer.next)
    assert departures(peer, 0.2) == []
    with pytest.raises(ConnectionResetError):
        sock.send(b"x")
