"""Timestamps and PAWS (RFC 7323). TB 7, 2.10."""

from unittest import mock

import pytest

from tipy.tcp import layer
from tipy.testing.peer import ANY
from tipy.wire import tcp


def test_every_segment_has_one(peer):
    """TB 7: ACK, data, retransmission, FIN."""
    sock = peer.established(ts=True)
    peer.send_data(10)
    peer.expect(".", 1, 11, ts=True)
    sock.send(b"x")
    peer.expect("P.", 1, 11, ts=True)
    peer.expect("P.", 1, 11, ts=True, within=2)
    sock.shutdown(1)
    peer.expect("F.", 2, 11, ts=True)


@pytest.mark.parametrize("layout", [
    lambda stamp: stamp, lambda stamp: stamp[2:] + stamp[:2], lambda stamp: stamp[:1] + stamp[2:] + b"\1",
    lambda stamp: stamp[2:] + bytes(6)], ids=["nop nop TS", "TS nop nop", "nop TS nop", "TS, padded with 6 bytes"])
def test_header_prediction_takes_any_layout(peer, layout):
    """RFC 7323 appendix A recommends one only."""
    sock = peer.established(ts=True)
    with mock.patch.object(layer, "predicted", wraps=layer.predicted) as predicted:
        for count in range(1, 4):
            stamp = tcp.pack_options(tcp.TcpOptions(timestamp=(peer.tsval(), peer.last_tsval)), False)
            peer.send(".", payload=10, raw_options=layout(stamp))
            assert len(sock.recv(10)) == 10 and predicted.call_count == count


def test_none_without_agreement(peer):
    """TB 1.1."""
    sock = peer.established(ts=False)
    sock.send(b"x")
    peer.expect("P.", 1, 1, ts=False)


def test_value_is_milliseconds(peer):
    """TB 7: monotonic ms."""
    sock = peer.established(ts=True)
    sock.send(b"a")
    first = peer.expect("P.", 1)
    peer.send(".")
    peer.bed.advance(0.5)
    sock.send(b"b")
    second = peer.expect("P.", 2)
    assert second.options.timestamp[0] - first.options.timestamp[0] == pytest.approx(500, abs=2)


def test_offset_differs_between_connections(peer):
    """RFC 7323 7.1: the value does not give the uptime away: random offset per connection."""
    from tipy.testing.peer import Peer
    other = Peer(peer.bed, port=4000)
    listener = peer.bed.listener()
    for each in (peer, other):
        each.established(listener=listener, ts=True)
    assert abs(peer.last_tsval - other.last_tsval) > 1000


def test_echo_is_the_last_value_in_order(peer):
    """TB 7."""
    peer.established(ts=True)
    value = peer.tsval() + 12345
    peer.send_data(10, ts=(value, peer.last_tsval))
    assert peer.expect(".", 1, 11).options.timestamp[1] == value
    peer.bed.advance(0.1)
    peer.send_data(10, ts=(value + 100, peer.last_tsval))
    assert peer.expect(".", 1, 21).options.timestamp[1] == value + 100


def test_echo_of_a_delayed_ack_is_the_earliest(peer):
    """RFC 7323 4.3 (Last.ACK.sent): two segments, one ACK: the first one's value."""
    sock = peer.established(ts=True, mss=1460)
    for _ in range(40):
        peer.send_data(1000)
        peer.bed.advance(0.05)
        sock.recv(2000)
    peer.take()
    now = peer.tsval()
    peer.send_data(100, ts=(now, peer.last_tsval))
    peer.expect_nothing()
    peer.send_data(100, ts=(now + 30, peer.last_tsval))
    assert peer.expect(".", 1, 40201, within=0.05).options.timestamp[1] == now


def test_echo_ignores_out_of_order_segments(peer):
    """TB 7 (RFC 7323 4.3): TS.Recent stays while a hole is open."""
    peer.established(ts=True)
    recent = peer.tsval()
    peer.send_data(10, ts=(recent, peer.last_tsval))
    peer.take()
    peer.send("P.", 21, ack=1, payload=10, ts=(recent + 50, peer.last_tsval))
    assert peer.expect(".", 1, 11, sack=[(21, 31)]).options.timestamp[1] == recent
    peer.send("P.", 11, ack=1, payload=10, ts=(recent + 60, peer.last_tsval))
    assert peer.expect(".", 1, 31).options.timestamp[1] == recent + 60


def test_echo_ignores_segments_with_an_unacceptable_ack(peer):
    """TB 7."""
    peer.established(ts=True)
    recent = peer.tsval()
    peer.send_data(10, ts=(recent, peer.last_tsval))
    peer.take()
    peer.send("P.", 11, ack=5000, payload=10, ts=(recent + 500, peer.last_tsval))
    peer.take()
    peer.send_data(10, ts=(recent + 10, peer.last_tsval))
    assert peer.expect(".", 1, 21, within=0.05).options.timestamp[1] == recent + 10


def test_echo_ignores_segments_outside_the_window(peer):
    """TB 7."""
    peer.established(ts=True)
    recent = peer.tsval()
    peer.send_data(10, ts=(recent, peer.last_tsval))
    peer.take()
    peer.send("P.", 200000, ack=1, payload=10, ts=(recent + 500, peer.last_tsval))
    assert peer.expect(".", 1, 11, sack=ANY).options.timestamp[1] == recent


@pytest.mark.parametrize("behind", [2, 1000, 1 << 30])
def test_old_value_is_dropped_and_acknowledged(peer, behind):
    """TB 7: PAWS."""
    sock = peer.established(ts=True)
    recent = peer.tsval() + 100
    peer.send_data(10, ts=(recent, peer.last_tsval))
    peer.take()
    sock.recv(100)
    peer.send("P.", 11, ack=1, payload=10, ts=(recent - behind & 0xFFFFFFFF, peer.last_tsval))
    peer.expect(".", 1, 11, sack=ANY)
    with pytest.raises(BlockingIOError):
        sock.recv(10)


def test_value_one_behind_is_accepted(peer):
    """As Linux (TCP_PAWS_WINDOW): clocks of two processors may differ by a tick."""
    peer.established(ts=True)
    recent = peer.tsval()
    peer.send_data(10, ts=(recent, peer.last_tsval))
    peer.send_data(10, ts=(recent - 1, peer.last_tsval))
    assert peer.take()[-1].ack == 21


def test_equal_value_is_accepted(peer):
    """RFC 7323 5.3: only an older one is refused."""
    peer.established(ts=True)
    recent = peer.tsval()
    peer.send_data(10, ts=(recent, peer.last_tsval))
    peer.send_data(10, ts=(recent, peer.last_tsval))
    assert peer.take()[-1].ack == 21


def test_values_wrap(peer):
    """RFC 7323 5.2: compared modulo 2^32."""
    peer.offset = 0xFFFFFFFF - int(peer.bed.now() * 1000) - 120
    peer.established(ts=True)
    for _ in range(4):
        peer.bed.advance(0.1)
        peer.send_data(10)
    peer.bed.advance(0.1)
    assert peer.take()[-1].ack == 41


@pytest.mark.parametrize("flags", ["R", "R."])
def test_rst_is_exempt_from_paws(peer, flags):
    """TB 7."""
    sock = peer.established(ts=True)
    peer.send(flags, ts=(peer.tsval() - 50000, 0))
    assert sock.tcp_info()["tcpi_state"] == 7


def test_rst_without_timestamp_is_accepted(peer):
    """TB 7: Linux accepts it (RFC 7323 3.2: must)."""
    sock = peer.established(ts=True)
    peer.send("R", ts=None)
    assert sock.tcp_info()["tcpi_state"] == 7


def test_segment_without_timestamp_is_dropped(peer):
    """TB 7: after negotiation (RFC 7323 3.2 SHOULD)."""
    sock = peer.established(ts=True)
    peer.send_data(10, ts=None)
    peer.take()
    with pytest.raises(BlockingIOError):
        sock.recv(10)


def test_unasked_timestamp_is_ignored(peer):
    """RFC 7323 3.2: not negotiated: the option means nothing; the segment counts."""
    sock = peer.established(ts=False)
    peer.send_data(10, ts=(5, 5))
    peer.expect(".", 1, 11, ts=False)
    peer.send_data(10, ts=(4, 5))
    peer.take()
    assert len(sock.recv(100)) == 20


def test_idle_connection_outlives_paws(peer):
    """RFC 7323 5.5: after 24 days of silence TS.Recent is out of date: any value is taken."""
    sock = peer.established(ts=True)
    peer.send_data(10)
    peer.take()
    sock.recv(100)
    peer.bed.advance(25 * 86400)
    peer.send_data(10, ts=(peer.tsval() + 2 ** 31 - 5000000 & 0xFFFFFFFF, peer.last_tsval))
    peer.take()
    assert len(sock.recv(100)) == 10


def test_final_ack_without_timestamp(peer):
    """RFC 7323 3.2: the completing ACK must carry one too: dropped."""
    listener = peer.syn_received(ts=True)
    peer.send(".", 1, ack=1, ts=None)
    peer.take()
    with pytest.raises(BlockingIOError):
        listener.accept()
    peer.send(".")
    assert peer.bed.accept(listener) is not None


def test_syn_ack_without_timestamp_switches_them_off(peer):
    """TB 1.1."""
    peer.syn_sent()
    peer.answer_syn(ts=False)
    peer.send_data(10)
    peer.expect(".", 1, 11, ts=False)


def test_syn_ack_with_a_wrong_echo_is_refused(peer):
    """RFC 7323 4.1 as Linux: a SYN-ACK whose echo was never sent is a forgery or an old one: RST."""
    sock = peer.syn_sent()
    peer.send("S.", mss=1000, ts=(1, peer.last_tsval + 100000 & 0xFFFFFFFF))
    segment = peer.take()
    assert all(each.flags.startswith("R") for each in segment)
    assert sock.tcp_info()["tcpi_state"] == 2


def test_rtt_is_measured_by_the_echo(peer):
    """RFC 7323 4: every ACK gives a sample."""
    sock = peer.established(ts=True, rtt=0.1)
    for _ in range(40):
        sock.send(b"x")
        peer.take()
        peer.bed.advance(0.05)
        peer.send(".")
    assert sock.tcp_info()["tcpi_rtt"] == pytest.approx(50000, rel=0.1)


def test_rtt_from_an_echo_of_zero_is_ignored(peer):
    """RFC 7323 3.2: an echo of 0 is no sample."""
    sock = peer.established(ts=True, rtt=0.1)
    sock.send(b"x")
    peer.take()
    peer.bed.advance(0.1)
    peer.send(".", ts=(peer.tsval(), 0))
    assert sock.tcp_info()["tcpi_rtt"] < 200000


def test_fin_with_an_old_timestamp_is_dropped(peer):
    """TB 7."""
    sock = peer.established(ts=True)
    recent = peer.tsval()
    peer.send_data(10, ts=(recent, peer.last_tsval))
    peer.take()
    peer.send("F.", 11, ack=1, ts=(recent - 1000, peer.last_tsval))
    peer.expect(".", 1, 11)
    assert sock.tcp_info()["tcpi_state"] == 1


def test_keepalive_probe_carries_one(peer):
    """TB 7, 10."""
    sock = peer.established(ts=True)
    module = peer.bed.socket
    sock.setsockopt(module.IPPROTO_TCP, module.TCP_KEEPIDLE, 1)
    sock.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 1)
    peer.expect(".", 0, 1, ts=True, within=1.1, length=ANY)


def test_syn_without_a_timestamp_is_challenged(peer):
    """RFC 5961 4.2 MUST outweighs RFC 7323 3.2 SHOULD: a peer that has begun anew, now without timestamps, would
    never get rid of this connection."""
    peer.established(ts=True)
    peer.timestamps = False
    peer.send("S", 5000)
    peer.expect(".", 1, 1)


@pytest.mark.parametrize("value", [1, 0x7FFFFFFF, 0x80000001, 0xFFFFFFFF])
def test_zero_on_the_syn_says_nothing(peer, value):
    """As Linux: some systems send TSval 0 on their SYN and the values of their clock afterwards."""
    listener = peer.bed.listener()
    peer.send("S", mss=1460, sack_ok=True, ts=(0, 0))
    peer.expect("S.", 0, 1)
    peer.send(".", 1, ts=(value, peer.last_tsval))
    sock = peer.bed.accept(listener)
    peer.send("P.", 1, payload=10, ts=(value, peer.last_tsval))
    reply = peer.expect(".", 1, 11, ts=True, within=0.05)
    assert reply.options.timestamp[1] == value
    assert len(sock.recv(100)) == 10
