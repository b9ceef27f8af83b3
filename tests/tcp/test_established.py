"""ESTABLISHED (RFC 9293 3.10.7.4): what arrives, in order of the RFC's checks. TB 1.6, 2.10, 6.5, 12."""

import pytest

from tipy.testing.peer import ANY, pattern


def received(sock):
    """Everything that can be read now."""
    data = b""
    while True:
        try:
            piece = sock.recv(1 << 20)
        except BlockingIOError:
            return data
        if not piece:
            return data
        data += piece


def test_data_in_order(peer):
    """RFC 9293 3.10.7.4 seventh check."""
    sock = peer.established()
    peer.send_data(100)
    peer.expect(".", 1, 101, within=0.05)
    peer.send_data(100)
    peer.expect(".", 1, 201, within=0.05)
    assert received(sock) == pattern(1, 200)


def test_data_is_sent_and_acknowledged(peer):
    """RFC 9293 3.10.2."""
    sock = peer.established()
    sock.send(b"hello")
    peer.expect("P.", 1, 1, payload=b"hello")
    peer.send(".")
    peer.expect_nothing(10)


def test_stream_across_the_wrap(peer):
    """DESIGN 5: 3000 bytes each way; under "wrap" both streams pass 2^32."""
    sock = peer.established()
    for _ in range(3):
        peer.send_data(1000)
        peer.bed.advance(0.05)
    peer.take()
    assert received(sock) == pattern(1, 3000)
    sock.send(pattern(1, 3000))
    peer.expect_flight(1, 1001, 2001)
    peer.send(".")
    assert peer.got == 3001
    peer.expect_nothing(10)


def test_out_of_order_data_is_kept(peer):
    """RFC 9293 SHLD-31, MUST-59: queued; acknowledged at once."""
    sock = peer.established()
    peer.send("P.", 101, ack=1, payload=100)
    peer.expect(".", 1, 1, sack=[(101, 201)])
    assert received(sock) == b""
    peer.send("P.", 1, ack=1, payload=100)
    peer.expect(".", 1, 201)
    assert received(sock) == pattern(1, 200)


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (2, 0, 1), (3, 1, 2, 0), (1, 3, 0, 2), (4, 2, 3, 1,
                                                                                                 0)])
def test_any_order_gives_the_same_stream(peer, order):
    """RFC 9293 3.10.7.4."""
    sock = peer.established()
    for number in order:
        peer.send("P.", 1 + 100 * number, ack=1, payload=100)
    assert received(sock) == pattern(1, 100 * len(order))


@pytest.mark.parametrize("start,length", [(1, 100), (1, 50), (51, 50), (-50, 100), (-50, 151), (1, 150),
                                          (51, 100), (-200, 500)])
def test_overlap_with_what_was_received(peer, start, length):
    """RFC 9293 3.10.7.4: a segment is cut to what is new."""
    sock = peer.established()
    peer.send_data(100)
    peer.take()
    peer.send("P.", start, ack=1, payload=length)
    end = max(101, start + length)
    assert received(sock) == pattern(1, end - 1)
    assert peer.take()[-1].ack == end or peer.expect(".", 1, end, within=0.05)


@pytest.mark.parametrize("start,length", [(150, 100), (201, 50), (250, 100), (101, 300), (151, 50), (101,
                                                                                                     100),
                                          (301, 10), (1, 400), (1, 150), (1, 250)])
def test_overlap_with_what_is_queued(peer, start, length):
    """TB 12: data in the reassembly queue overlapped in every way; the stream stays the same."""
    sock = peer.established()
    peer.send("P.", 201, ack=1, payload=100)
    peer.send("P.", start, ack=1, payload=length)
    peer.send("P.", 1, ack=1, payload=400)
    assert received(sock) == pattern(1, 400)
    assert peer.take()[-1].ack == 401


@pytest.mark.parametrize("seq,payload", [(-100, 100), (-100, 50), (-1, 1), (-70000, 100), (70000, 10),
                                         (1 << 20, 1), (1 << 30, 100)])
def test_segment_outside_the_window_is_acknowledged_and_dropped(peer, seq, payload):
    """TB 6.5 (RFC 9293 first check): <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>."""
    sock = peer.established()
    peer.send("P.", seq, ack=1, payload=payload)
    peer.expect(".", 1, 1, sack=ANY)
    peer.expect_nothing()
    assert received(sock) == b""


def test_bare_ack_below_the_window_is_challenged(peer):
    """RFC 9293 first check: an empty segment below RCV.NXT is answered (a keepalive probe looks like
    this)."""
    peer.established()
    peer.send(".", 0, ack=1)
    peer.expect(".", 1, 1)


def test_fin_outside_the_window_is_not_processed(peer):
    """TB 6.5."""
    sock = peer.established()
    peer.send("F.", 70000, ack=1)
    peer.expect(".", 1, 1)
    assert sock.tcp_info()["tcpi_state"] == 1


def test_data_beyond_the_window_is_cut(peer):
    """RFC 9293 3.10.7.4: only what fits the window counts."""
    sock = peer.established(mss=1460)
    peer.send_data(1)
    window = peer.expect(".", 1, 2, within=0.05).win
    peer.send("P.", 2 + window - 10, ack=1, payload=20)
    segment = peer.expect(".", 1, 2, sack=ANY)
    assert all(right <= 2 + window for _, right in segment.options.sack)
    assert received(sock) == pattern(1, 1)


@pytest.mark.parametrize("ack", [2, 100, 1 << 20])
def test_ack_of_what_was_never_sent(peer, ack):
    """TB 6.5: SEG.ACK > SND.NXT: ACK back, segment dropped."""
    sock = peer.established()
    peer.send("P.", 1, ack=ack, payload=10)
    peer.expect(".", 1, 1)
    assert received(sock) == b""


def test_old_ack_is_ignored_but_data_used(peer):
    """TB 6.5: SND.UNA - MAX.WND <= SEG.ACK < SND.UNA."""
    sock = peer.established()
    sock.send(bytes(100))
    peer.take()
    peer.send(".")
    peer.send("P.", ack=1, payload=10)
    peer.expect(".", 101, 11, within=0.05)
    assert received(sock) == pattern(1, 10)


def test_very_old_ack_is_challenged(peer):
    """TB 6.5, RFC 5961 5: SEG.ACK < SND.UNA - MAX.WND: challenge ACK, data not used."""
    sock = peer.established(win=65535)
    peer.send("P.", ack=1 - 70000, payload=10)
    peer.expect(".", 1, 1)
    assert received(sock) == b""


def test_acks_move_the_window_of_what_may_be_acknowledged(peer):
    """TB 6.5: an ACK in the middle of what is outstanding."""
    sock = peer.established()
    sock.send(bytes(5000))
    peer.expect_flight(1, 1001, 2001, 3001, 4001)
    peer.send(".", ack=2501)
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_unacked"] in (2, 3)


def test_duplicate_data_is_acknowledged_at_once(peer):
    """TB 3.1."""
    peer.established(sack=False)
    peer.send_data(100)
    peer.take()
    peer.send("P.", 1, ack=1, payload=100)
    peer.expect(".", 1, 101)


def test_psh_is_not_needed_to_read(peer):
    """RFC 9293 MAY-16: data is readable at once."""
    sock = peer.established()
    peer.send(".", payload=50)
    assert received(sock) == pattern(1, 50)


def test_data_and_fin_in_one_segment(peer):
    """RFC 9293 eighth check."""
    sock = peer.established()
    peer.send("FP.", payload=50)
    peer.expect(".", 1, 52)
    assert received(sock) == pattern(1, 50)
    assert sock.recv(1) == b""
    assert sock.tcp_info()["tcpi_state"] == 8


def test_fin_beyond_a_hole_waits(peer):
    """RFC 9293 eighth check: a FIN counts when all before it has come."""
    sock = peer.established()
    peer.send("FP.", 101, ack=1, payload=50)
    assert peer.take()[-1].ack == 1
    assert sock.tcp_info()["tcpi_state"] == 1
    peer.send("P.", 1, ack=1, payload=100)
    peer.expect(".", 1, 152)
    assert sock.tcp_info()["tcpi_state"] == 8
    assert received(sock) == pattern(1, 150)


def test_bare_fin_beyond_a_hole_waits(peer):
    """RFC 9293 eighth check: also without data."""
    sock = peer.established()
    peer.send("F.", 101, ack=1)
    assert peer.take()[-1].ack == 1
    assert sock.tcp_info()["tcpi_state"] == 1
    peer.send("P.", 1, ack=1, payload=100)
    assert peer.take()[-1].ack in (101, 102)
    assert sock.tcp_info()["tcpi_state"] in (1, 8)


def test_data_beyond_a_fin_is_not_delivered(peer):
    """RFC 9293 seventh check in CLOSE-WAIT: this should not occur; the text is ignored."""
    sock = peer.established()
    peer.send("F.")
    peer.take()
    peer.send("P.", 2, ack=1, payload=10)
    assert sock.recv(10) == b""


def test_large_segment_is_taken_whole(peer):
    """TB 6.2."""
    sock = peer.established(mss=1460)
    peer.send_data(1460)
    peer.send_data(1460)
    peer.take()
    assert received(sock) == pattern(1, 2920)


def test_connection_is_one_of_four_numbers(peer):
    """RFC 9293 3.3: two connections from one remote port to two local ports."""
    from tipy.testing.peer import Peer
    other = Peer(peer.bed, local_port=9090, port=peer.port)
    one, two = peer.established(), other.established()
    peer.send("P.", payload=b"one")
    other.send("P.", payload=b"two")
    assert (received(one), received(two)) == (b"one", b"two")


def test_tcp_info_names(peer):
    """TB 14: the fields can be read by name."""
    info = peer.established().tcp_info()
    for name in ("state", "ca_state", "rto", "rtt", "rttvar", "snd_mss", "rcv_mss", "snd_cwnd",
                 "snd_ssthresh", "unacked", "sacked", "lost", "retrans", "total_retrans", "reordering",
                 "rcv_space"):
        assert f"tcpi_{name}" in info
    assert info["tcpi_snd_mss"] == 1000 and info["tcpi_snd_cwnd"] == 10


def test_tcp_info_struct(peer):
    """TB 14: the kernel's struct tcp_info: state first, the options' bits at offset 5."""
    sock = peer.established(ts=True, ws=7)
    module = peer.bed.socket
    raw = sock.getsockopt(module.IPPROTO_TCP, module.TCP_INFO, 232)
    assert raw[0] == 1 and raw[5] & 7 == 7 and len(raw) == 232
    assert len(sock.getsockopt(module.IPPROTO_TCP, module.TCP_INFO, 104)) == 104


def test_ip_options_are_ignored(peer):
    """RFC 9293 MUST-50: the segment counts whatever IP options came with it."""
    from tipy.testing.segments import build
    from tipy.wire import tcp
    from tipy.wire.ipv4 import IPv4Header
    sock = peer.established()
    header = tcp.TcpHeader(peer.port, peer.local_port, peer.iss + 1 & 0xFFFFFFFF,
                           peer.stack_iss + 1 & 0xFFFFFFFF,
                           flags=tcp.ACK | tcp.PSH, window=1000)
    packet = build(peer.address, peer.bed.local, header, b"", b"hello")
    options = b"\x01\x07\x07\x04" + bytes(4)
    ip = IPv4Header.unpack(packet, 0, len(packet))
    longer = ip._replace(header_length=28, total_length=ip.total_length + 8, options=options).pack()
    peer.bed.deliver(longer + packet[20:])
    peer.expect(".", 1, 6)
    assert received(sock) == b"hello"


def test_fin_in_order_ends_the_stream(peer):
    """As Linux: a FIN counts when everything before it is here, whatever came early that lies behind it."""
    sock = peer.established()
    peer.send("P.", 101, payload=100)
    peer.expect(".", 1, 1, sack=[(101, 201)])
    peer.send("F.", 1, payload=50)
    peer.expect(".", 1, 52, sack=[], within=0.05)
    assert len(sock.recv(1000)) == 50
    assert sock.recv(1000) == b""
