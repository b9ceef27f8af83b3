"""Options of SYN and SYN-ACK: exact bytes, and what is agreed. TB 1.1, 1.10, 6.3, 13."""

import pytest


def test_syn_option_bytes(peer):
    """TB 13: Linux's order: mss, sackOK, TS, nop, wscale."""
    peer.bed.connecting()
    syn = peer.expect("S", 0)
    value = syn.options.timestamp[0].to_bytes(4, "big")
    assert syn.raw_options == (b"\x02\x04\x05\xb4" b"\x04\x02" b"\x08\x0a" + value + bytes(4) +
                               b"\x01\x03\x03" + bytes([syn.options.window_scale]))


def test_default_window_scale_follows_the_buffer_limit(peer):
    """TB 1.1, 14: rcvbuf_max 6291456 needs a shift of 7, as Linux."""
    peer.bed.connecting()
    peer.expect("S", 0, ws=7)


@pytest.mark.parametrize("limit,scale", [(65535, 0), (131072, 2), (4 << 20, 7), (6 << 20, 7), (16 << 20, 9)])
def test_window_scale_of_a_buffer_limit(make, limit, scale):
    """TB 6.3, DESIGN contract: the limit drives the scale as Linux's tcp_rmem[2]: halve it while it is above
    65535. (Linux compares the limit itself, not the half that becomes window.)"""
    peer = make(rcvbuf_max=limit, rcvbuf=min(limit, 131072))
    peer.bed.connecting()
    peer.expect("S", 0, ws=scale)


@pytest.mark.parametrize("settings,raw", [
    (dict(timestamps=False, sack=True, window_scaling=True),
     b"\x02\x04\x05\xb4\x01\x01\x04\x02\x01\x03\x03\x07"),
    (dict(timestamps=False, sack=False, window_scaling=True), b"\x02\x04\x05\xb4\x01\x03\x03\x07"),
    (dict(timestamps=False, sack=True, window_scaling=False), b"\x02\x04\x05\xb4\x01\x01\x04\x02"),
    (dict(timestamps=False, sack=False, window_scaling=False), b"\x02\x04\x05\xb4"),
])
def test_switches_leave_options_out_of_the_syn(make, settings, raw):
    """TB 14, 13: exact bytes."""
    peer = make(**settings)
    peer.bed.connecting()
    peer.expect("S", 0, raw_options=raw)


@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize("scaling", [True, False])
def test_timestamps_with_and_without_the_others(make, sack, scaling):
    """TB 14, 13."""
    peer = make(sack=sack, window_scaling=scaling)
    peer.bed.connecting()
    syn = peer.expect("S", 0, sack_ok=sack, ws=7 if scaling else None, ts=True)
    value = syn.options.timestamp[0].to_bytes(4, "big")
    assert syn.raw_options == (b"\x02\x04\x05\xb4" + (b"\x04\x02"
                                                      if sack else b"\x01\x01") + b"\x08\x0a" + value +
                               bytes(4) + (b"\x01\x03\x03\x07" if scaling else b""))


@pytest.mark.parametrize("ws", [None, 0, 7, 14])
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("ts", [False, True])
def test_syn_ack_is_the_intersection(peer, ws, sack, ts):
    """TB 1.1: what the SYN did not offer is not in the SYN-ACK."""
    peer.bed.listener()
    peer.syn(mss=1460, ws=ws, sack=sack, ts=ts)
    reply = peer.expect("S.", 0, 1, mss=1460, ws=None if ws is None else 7, sack_ok=sack, ts=ts)
    expected = b"\x02\x04\x05\xb4"
    if ts:
        value, echo = reply.options.timestamp
        assert echo == peer.tsval()
        expected += (b"\x04\x02" if sack else b"\x01\x01") + b"\x08\x0a"
        expected += value.to_bytes(4, "big") + echo.to_bytes(4, "big")
    elif sack:
        expected += b"\x01\x01\x04\x02"
    if ws is not None:
        expected += b"\x01\x03\x03\x07"
    assert reply.raw_options == expected


@pytest.mark.parametrize("name,option", [("sack", "sack"), ("timestamps", "ts"), ("window_scaling", "ws")])
def test_switched_off_option_is_not_accepted(make, name, option):
    """TB 14: what is switched off is not in the SYN-ACK though offered."""
    peer = make(**{name: False})
    peer.bed.listener()
    peer.syn(ws=7, sack=True, ts=True)
    reply = peer.expect("S.", 0, 1)
    options = reply.options
    present = {"sack": options.sack_permitted, "ts": options.timestamp is not None,
               "ws": options.window_scale is not None}
    assert present == {key: key != option for key in present}


def test_syn_ack_window_is_not_scaled(peer):
    """TB 1.1, 6.3: the window of a segment with SYN is never scaled."""
    peer.bed.listener()
    peer.syn(mss=1460, ws=7)
    assert peer.expect("S.", 0, 1, ws=7).win > 20000


def test_windows_after_the_handshake_are_scaled(peer):
    """TB 6.3: the same 64240 bytes, in units of 128."""
    peer.established(ws=7, mss=1460)
    peer.send_data(10)
    assert 490 <= peer.expect(".", 1, 11, within=0.05).win <= 520


def test_windows_without_the_option_are_not_scaled(peer):
    """TB 1.1: unscaled both ways."""
    peer.established(mss=1460)
    peer.send_data(10)
    assert peer.expect(".", 1, 11, within=0.05).win > 60000


@pytest.mark.parametrize("ws,win,room", [(0, 3000, 3000), (2, 750, 3000), (14, 1, 16384), (15, 1, 16384),
                                         (255, 1, 16384)])
def test_peer_window_scale_is_applied(peer, ws, win, room):
    """TB 6.3: 0..14, above is taken as 14."""
    sock = peer.established(ws=ws, win=65535)
    sock.send(b"x")
    peer.expect("P.", 1)
    peer.send(".", win=win)
    sock.send(bytes(60000))
    segments = peer.take()
    assert segments[-1].end - 2 <= room
    if room == 3000:
        assert segments[-1].end == 3002


def test_mss_of_the_peer_is_honoured(peer):
    """TB 1.10."""
    sock = peer.established(mss=700)
    sock.send(bytes(3000))
    assert [segment.length for segment in peer.take()] == [700, 700, 700, 700, 200]


def test_mss_is_reduced_by_the_timestamp(peer):
    """RFC 6691: the MSS counts options; with timestamps 12 bytes fewer are data."""
    sock = peer.established(mss=1000, ts=True)
    sock.send(bytes(1976))
    assert [segment.length for segment in peer.take()] == [988, 988]


def test_mss_absent_means_536(peer):
    """TB 1.10, RFC 9293 MUST-15."""
    sock = peer.established(mss=None)
    sock.send(bytes(1072))
    assert [segment.length for segment in peer.take()] == [536, 536]


def test_mss_larger_than_the_mtu_is_capped(peer):
    """RFC 9293 MUST-16."""
    sock = peer.established(mss=9000)
    sock.send(bytes(2920))
    assert [segment.length for segment in peer.take()] == [1460, 1460]


@pytest.mark.parametrize("mss", [0, 1, 20])
def test_absurdly_small_mss_does_not_stop_the_connection(peer, mss):
    """RFC 9293 3.7.1; Linux's floor is 48 bytes with options."""
    sock = peer.established(mss=mss, win=65535)
    sock.send(bytes(100))
    segments = peer.take()
    assert segments and all(segment.length >= 1 for segment in segments)


@pytest.mark.parametrize("mtu", [576, 1280, 9000])
def test_mss_follows_the_mtu(make, mtu):
    """TB 1.1: MTU - 40."""
    peer = make(mtu=mtu)
    peer.bed.connecting()
    peer.expect("S", 0, mss=mtu - 40)


def test_maxseg_caps_what_is_advertised_and_sent(peer):
    """TB 1.10: TCP_MAXSEG before connect."""
    module = peer.bed.socket
    sock = peer.bed.connecting(prepare=lambda s: s.setsockopt(module.IPPROTO_TCP, module.TCP_MAXSEG, 800))
    assert sock.getsockopt(module.IPPROTO_TCP, module.TCP_MAXSEG) == 800
    peer.expect("S", 0, mss=800)
    peer.answer_syn(mss=1460)
    sock.send(bytes(1600))
    assert [segment.length for segment in peer.take()] == [800, 800]


def test_maxseg_of_a_listener_caps_the_syn_ack(peer):
    """TB 1.10: before listen; inherited."""
    module = peer.bed.socket
    peer.bed.listener(prepare=lambda s: s.setsockopt(module.IPPROTO_TCP, module.TCP_MAXSEG, 800))
    peer.syn(mss=1460)
    peer.expect("S.", 0, 1, mss=800)


def test_maxseg_tells_the_effective_value_when_connected(peer):
    """TB 1.10: the peer's MSS, minus 12 with timestamps."""
    module = peer.bed.socket
    sock = peer.established(mss=1000, ts=True)
    assert sock.getsockopt(module.IPPROTO_TCP, module.TCP_MAXSEG) == 988


def test_default_maxseg_before_connect(peer):
    """TB 1.10: 536 until connected."""
    module = peer.bed.socket
    assert peer.bed.tcp_socket().getsockopt(module.IPPROTO_TCP, module.TCP_MAXSEG) == 536


def test_unknown_options_are_ignored(peer):
    """RFC 9293 MUST-6: any option of the right form."""
    peer.bed.listener()
    peer.send("S", raw_options=b"\xfd\x06\x12\x34\x56\x78\x1e\x04\x00\x00\x02\x04\x03\xe8")
    peer.expect("S.", 0, 1, mss=1460)
    peer.send(".")


@pytest.mark.parametrize("raw", [b"\x02", b"\x02\x00", b"\x02\x01\x00\x00", b"\x02\x28\x05\xb4",
                                 b"\x08\x0a\x00\x00",
                                 b"\x01\x01\x01\x03", b"\x03\x02\x02\x04", b"\x04\x03\x00\x00",
                                 b"\x00\x02\x04\x10"])
def test_broken_options_do_no_harm(peer, raw):
    """RFC 9293 MUST-7: an illegal option length must not crash; the SYN is answered."""
    peer.bed.listener()
    peer.send("S", raw_options=raw)
    peer.expect("S.", 0, 1)


def test_options_on_data_are_aligned(peer):
    """TB 13: nop, nop, TS on data."""
    sock = peer.established(ts=True)
    sock.send(b"x")
    segment = peer.expect("P.", 1, 1, ts=True)
    assert segment.raw_options[:4] == b"\x01\x01\x08\x0a" and len(segment.raw_options) == 12


def test_sack_option_layout(peer):
    """TB 13: nop, nop, sack."""
    peer.established()
    peer.send("P.", 11, ack=1, payload=10)
    segment = peer.expect(".", 1, 1, sack=[(11, 21)])
    assert segment.raw_options[:4] == b"\x01\x01\x05\x0a" and len(segment.raw_options) == 12


def test_sack_option_layout_with_timestamp(peer):
    """TB 13: nop, nop, TS, nop, nop, sack."""
    peer.established(ts=True)
    peer.send("P.", 11, ack=1, payload=10)
    segment = peer.expect(".", 1, 1, sack=[(11, 21)], ts=True)
    assert segment.raw_options[:4] == b"\x01\x01\x08\x0a"
    assert segment.raw_options[12:16] == b"\x01\x01\x05\x0a"


def test_mss_option_on_a_data_segment_is_ignored(peer):
    """RFC 9293 MUST-64 spirit: MSS counts only on SYN."""
    sock = peer.established(mss=1000)
    peer.send(".", raw_options=b"\x02\x04\x00\x64")
    sock.send(bytes(1000))
    peer.expect_data(1, 1000)


def test_window_scale_on_an_ack_is_ignored(peer):
    """RFC 7323 2.1: window scale counts only on SYN."""
    sock = peer.established(ws=0)
    sock.send(b"x")
    peer.expect("P.", 1)
    peer.send(".", raw_options=b"\x01\x03\x03\x05", win=1000)
    sock.send(bytes(3000))
    peer.expect_data(2, 1000)
    peer.expect_nothing()


def test_options_need_not_be_aligned(peer):
    """RFC 9293 MUST-64: an MSS option behind a single NOP, at an odd offset."""
    peer.bed.listener()
    peer.send("S", raw_options=b"\x01\x02\x04\x02\x58\x01\x01\x00")
    peer.expect("S.", 0, 1)
    peer.send(".")
    sock = peer.bed.accept(peer.bed.sockets[-1])
    sock.send(bytes(1200))
    assert [segment.length for segment in peer.take()] == [600, 600]


@pytest.mark.parametrize("flags", [".", "P.", "F."])
def test_options_in_any_segment(peer, flags):
    """RFC 9293 MUST-5."""
    peer.established()
    peer.send(flags, raw_options=b"\x01\x01\xfe\x06\x00\x00\x00\x00\x01\x00\x00\x00", payload=b"x")
    assert peer.take()[-1].ack == (3 if "F" in flags else 2)


def test_mss_is_only_on_syns(peer):
    """RFC 9293 MUST-65; MUST-69: every list of options fills whole words."""
    sock = peer.syn_sent()
    peer.answer_syn(ts=True)
    sock.send(b"x")
    peer.send("P.", 11, ack=1, payload=b"hole")
    peer.bed.advance(1)
    sock.shutdown(1)
    for segment in peer.take():
        assert segment.options.mss is None
        assert len(segment.raw_options) % 4 == 0


def test_header_with_the_longest_options(peer):
    """RFC 9293 3.1: 40 bytes of options; the data starts behind them."""
    sock = peer.established()
    peer.send("P.", raw_options=b"\x01" * 40, payload=b"data")
    assert sock.recv(10) == b"data"
