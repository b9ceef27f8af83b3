"""getsockopt(IPPROTO_TCP, TCP_INFO): Linux's struct, byte for byte, and what the numbers mean."""

import struct
import sys

import pytest

TCP_INFO = 11
RTT = 0.1
# name, offset and format in struct tcp_info, linux/uapi/linux/tcp.h (232 bytes up to tcpi_snd_wnd)
OFFSETS = {
    "tcpi_state": (0, "B"), "tcpi_ca_state": (1, "B"), "tcpi_retransmits": (2, "B"), "tcpi_probes": (3, "B"),
    "tcpi_backoff": (4, "B"), "tcpi_options": (5, "B"), "tcpi_rto": (8, "I"), "tcpi_ato": (12, "I"),
    "tcpi_snd_mss": (16, "I"), "tcpi_rcv_mss": (20, "I"), "tcpi_unacked": (24, "I"), "tcpi_sacked": (28, "I"),
    "tcpi_lost": (32, "I"), "tcpi_retrans": (36, "I"), "tcpi_last_data_sent": (44, "I"),
    "tcpi_last_data_recv": (52, "I"), "tcpi_last_ack_recv": (56, "I"), "tcpi_pmtu": (60, "I"),
    "tcpi_rcv_ssthresh": (64, "I"), "tcpi_rtt": (68, "I"), "tcpi_rttvar": (72, "I"), "tcpi_snd_ssthresh": (76, "I"),
    "tcpi_snd_cwnd": (80, "I"), "tcpi_advmss": (84, "I"), "tcpi_reordering": (88, "I"), "tcpi_rcv_space": (96, "I"),
    "tcpi_total_retrans": (100, "I"), "tcpi_bytes_acked": (120, "Q"), "tcpi_bytes_received": (128, "Q"),
    "tcpi_segs_out": (136, "I"), "tcpi_segs_in": (140, "I"), "tcpi_notsent_bytes": (144, "I"),
    "tcpi_min_rtt": (148, "I"), "tcpi_data_segs_in": (152, "I"), "tcpi_data_segs_out": (156, "I"),
    "tcpi_delivered": (192, "I"), "tcpi_bytes_sent": (200, "Q"), "tcpi_dsack_dups": (216, "I"),
    "tcpi_reord_seen": (220, "I"), "tcpi_snd_wnd": (228, "I"),
}
SIZE = 232


def raw(peer, sock, size=SIZE):
    return sock.getsockopt(peer.bed.socket.IPPROTO_TCP, TCP_INFO, size)


def unpacked(data):
    return {name: struct.unpack_from("=" + code, data, offset)[0] for name, (offset, code) in OFFSETS.items()}


def busy(peer):
    """A connection of which every kind of number is something else: data both ways, a loss under repair."""
    sock = peer.established(ws=7)
    peer.send_data(300)
    sock.send(bytes(9000))
    peer.take()
    peer.bed.advance(RTT)
    start = 1
    for number in range(2, 7):
        peer.send(".", ack=start, sack=[(1001, 1 + 1000 * number)])
    sock.send(bytes(500))
    return sock


def test_struct_has_every_number_where_linux_has_it(peer):
    sock = busy(peer)
    data, info = raw(peer, sock), sock.tcp_info()
    assert len(data) == SIZE
    assert unpacked(data) == {name: info[name] for name in OFFSETS}
    assert len({value for value in unpacked(data).values() if value}) > 20         # not all alike


@pytest.mark.skipif(sys.byteorder != "little", reason="bit fields lie the other way round")
def test_window_scales_share_a_byte(peer):
    sock = busy(peer)
    info = sock.tcp_info()
    assert raw(peer, sock)[6] == info["tcpi_snd_wscale"] | info["tcpi_rcv_wscale"] << 4
    assert info["tcpi_snd_wscale"] == 7


@pytest.mark.parametrize("size", [1, 104, 192, 231])
def test_shorter_buffer_gets_the_beginning(peer, size):
    """As every program does that was compiled with an older header."""
    sock = busy(peer)
    assert raw(peer, sock, size) == raw(peer, sock)[:size]


def test_longer_buffer_gets_what_there_is(peer):
    sock = busy(peer)
    assert raw(peer, sock, 1000) == raw(peer, sock)


def test_numbers_of_a_quiet_connection(peer):
    """Units: microseconds, segments, bytes."""
    sock = peer.established()
    sock.send(bytes(2500))
    peer.take()
    peer.bed.advance(RTT)
    peer.send(".", ack=2501)
    info = sock.tcp_info()
    assert info["tcpi_state"] == 1 and info["tcpi_ca_state"] == 0                  # TCP_ESTABLISHED, TCP_CA_Open
    assert info["tcpi_rtt"] == pytest.approx(100_000, abs=2000) == info["tcpi_min_rtt"]
    assert (info["tcpi_bytes_acked"], info["tcpi_bytes_sent"], info["tcpi_delivered"]) == (2500, 2500, 3)
    assert (info["tcpi_data_segs_out"], info["tcpi_unacked"], info["tcpi_notsent_bytes"]) == (3, 0, 0)
    assert (info["tcpi_snd_mss"], info["tcpi_snd_cwnd"], info["tcpi_snd_wnd"]) == (1000, 10, 65535)  # 3 of 10 used
    assert (info["tcpi_total_retrans"], info["tcpi_lost"], info["tcpi_sacked"]) == (0, 0, 0)


def test_numbers_while_a_loss_is_repaired(peer):
    """tcp.h: tcpi_unacked counts what is out, of it tcpi_sacked, tcpi_lost and tcpi_retrans."""
    sock = busy(peer)
    info = sock.tcp_info()
    assert info["tcpi_ca_state"] == 3                                              # TCP_CA_Recovery
    assert (info["tcpi_sacked"], info["tcpi_lost"], info["tcpi_retrans"]) == (5, 1, 1)
    assert info["tcpi_total_retrans"] == 1 and info["tcpi_snd_ssthresh"] < 10


def test_times_since_the_last_segments_are_milliseconds(peer):
    sock = peer.established()
    peer.send_data(10)
    peer.bed.advance(2)
    sock.send(b"x")
    peer.bed.advance(0.05)
    info = sock.tcp_info()
    assert info["tcpi_last_data_sent"] == pytest.approx(50, abs=1)
    assert info["tcpi_last_data_recv"] == pytest.approx(2050, abs=1)


def test_what_held_the_sender_up(peer):
    """TB 14: tcpi_busy_time, and how much of it the peer's window or the send buffer was in the way, as Linux counts."""
    sock = peer.established(win=2000)

    def told():
        info = sock.tcp_info()
        return tuple(round(info["tcpi_" + name] / 1e3) for name in ("busy_time", "rwnd_limited", "sndbuf_limited"))

    peer.bed.advance(1.0)
    assert told() == (0, 0, 0)
    sock.send(bytes(3000))
    peer.expect_flight(1, 1001)
    peer.bed.advance(0.1)
    assert told() == (100, 100, 0)
    peer.send(".", win=10000)
    peer.expect_data(2001, 1000)
    peer.bed.advance(0.02)
    assert told() == (120, 100, 0)
    peer.send(".")
    peer.bed.advance(1.0)
    assert told() == (120, 100, 0)
    sock.setblocking(False)
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_SNDBUF, 2048)
    assert sock.send(bytes(20000)) < 20000
    peer.bed.advance(0.03)
    assert told() == (150, 100, 30)
    peer.take()
    peer.send(".")
    peer.bed.advance(1.0)
    assert told() == (150, 100, 30)


def test_busy_time_ends_with_the_connection(peer):
    """TB 14."""
    sock = peer.established()
    sock.send(bytes(1000))
    peer.expect_data(1, 1000)
    peer.bed.advance(0.05)
    peer.send("R")
    peer.bed.advance(10)
    assert round(sock.tcp_info()["tcpi_busy_time"] / 1e3) == 50
