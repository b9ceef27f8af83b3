"""SYN-SENT (RFC 9293 3.10.7.3): the active open. TB 1.1-1.5, 5."""

import errno

import pytest

from tipy.testing.calls import Call
from tipy.testing.peer import Peer


def so_error(peer, sock):
    """SO_ERROR, which clears it."""
    return sock.getsockopt(peer.bed.socket.SOL_SOCKET, peer.bed.socket.SO_ERROR)


def test_connect_sends_syn(peer):
    """TB 1.1: MSS 1460, SACK permitted, timestamps with echo 0, window scale; window unscaled; no data."""
    peer.bed.connecting()
    syn = peer.expect("S", 0, 0, mss=1460, sack_ok=True, ts=True, length=0)
    assert syn.options.timestamp[1] == 0
    assert 0 <= syn.options.window_scale <= 14
    assert syn.win > 1460
    peer.expect_nothing()


def test_syn_ack_completes_the_handshake(peer):
    """TB 1.3: ACK at once; writable; SO_ERROR 0."""
    sock = peer.syn_sent()
    peer.send("S.", mss=1000)
    peer.expect(".", 1, 1, length=0)
    assert so_error(peer, sock) == 0
    assert sock.tcp_info()["tcpi_state"] == 1


def test_syn_retransmission_times(peer):
    """TB 1.2: 1 s, then doubling: 1, 3, 7, 15, 31, 63 s; same ISN."""
    peer.syn_sent()
    for wait in (1, 2, 4, 8, 16, 32):
        peer.expect("S", 0, 0, mss=1460, after=wait)


def test_connect_gives_up_after_syn_retries(make):
    """TB 1.2: limit = syn_retries, then ETIMEDOUT, once."""
    peer = make(syn_retries=2)
    sock = peer.syn_sent()
    peer.expect("S", 0, after=1)
    peer.expect("S", 0, after=2)
    peer.expect_nothing(4.1)
    assert so_error(peer, sock) == errno.ETIMEDOUT
    assert so_error(peer, sock) == 0
    peer.expect_nothing(100)


def test_tcp_syncnt_overrides_syn_retries(peer):
    """TB 1.2: TCP_SYNCNT."""
    module = peer.bed.socket
    sock = peer.syn_sent(prepare=lambda s: s.setsockopt(module.IPPROTO_TCP, module.TCP_SYNCNT, 1))
    peer.expect("S", 0, after=1)
    peer.expect_nothing(10)
    assert so_error(peer, sock) == errno.ETIMEDOUT


def test_default_connect_timeout_is_127_seconds(peer):
    """TB 1.2: six retries at 1, 3, 7, 15, 31, 63 s; over at 127 s."""
    sock = peer.syn_sent()
    peer.bed.advance(126.9)
    assert len(peer.take()) == 6
    assert so_error(peer, sock) == 0
    peer.bed.advance(0.2)
    assert so_error(peer, sock) == errno.ETIMEDOUT


def test_retransmitted_syn_has_fresh_timestamp(peer):
    """TB 7: TSval is the time of sending, on retransmissions too."""
    peer.bed.connecting()
    first = peer.expect("S", 0)
    second = peer.expect("S", 0, after=1)
    assert second.options.timestamp[0] - first.options.timestamp[0] in range(990, 1011)
    assert second.options.timestamp[1] == 0


def test_nonblocking_connect_steps(peer):
    """TB 1.3: EINPROGRESS, EALREADY while pending, EISCONN when done."""
    sock = peer.bed.tcp_socket()
    sock.bind(("192.168.2.200", peer.local_port))
    remote = ("192.168.2.199", peer.port)
    assert sock.connect_ex(remote) == errno.EINPROGRESS
    assert sock.connect_ex(remote) == errno.EALREADY
    peer.expect("S", 0)
    peer.answer_syn()
    assert sock.connect_ex(remote) in (0, errno.EISCONN)
    assert sock.connect_ex(remote) == errno.EISCONN


def test_blocking_connect_returns_at_syn_ack(peer):
    """TB 1.3: and the final ACK is out by then."""
    sock = peer.bed.tcp_socket()
    sock.bind(("192.168.2.200", peer.local_port))
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.connect, ("192.168.2.199", peer.port))
    peer.expect("S", 0)
    assert call.blocked
    peer.answer_syn()
    assert call.result() is None


def test_rst_with_right_ack_refuses(peer):
    """TB 1.4."""
    sock = peer.syn_sent()
    peer.send("R.", 0, ack=1)
    assert so_error(peer, sock) == errno.ECONNREFUSED
    assert so_error(peer, sock) == 0
    peer.expect_nothing(100)


def test_blocking_connect_refused(peer):
    """TB 1.4."""
    sock = peer.bed.tcp_socket()
    sock.bind(("192.168.2.200", peer.local_port))
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.connect, ("192.168.2.199", peer.port))
    peer.expect("S", 0)
    peer.send("R.", 0, ack=1)
    with pytest.raises(ConnectionRefusedError):
        call.result()


@pytest.mark.parametrize("flags,ack", [("R", None), ("R.", 0), ("R.", 2), ("R.", -1), ("R.", 1000), ("R", 1)])
def test_other_rst_is_ignored(peer, flags, ack):
    """TB 1.4: a bare RST, or one whose ACK is wrong."""
    sock = peer.syn_sent()
    peer.send(flags, 0, ack=ack)
    peer.expect_nothing()
    assert so_error(peer, sock) == 0
    peer.answer_syn()
    assert sock.tcp_info()["tcpi_state"] == 1


@pytest.mark.parametrize("ack", [0, 2, -1, 1000, -1000])
@pytest.mark.parametrize("flags", [".", "P.", "F."])
def test_wrong_ack_without_syn_is_reset(peer, flags, ack):
    """TB 1.4: RST with seq = that ack, and SYN-SENT goes on."""
    sock = peer.syn_sent()
    peer.send(flags, 0, ack=ack)
    peer.expect("R", ack)
    peer.expect_nothing()
    peer.answer_syn()
    assert sock.tcp_info()["tcpi_state"] == 1


@pytest.mark.parametrize("ack", [0, 2, -1, 1000])
def test_syn_ack_with_wrong_ack_is_reset(peer, ack):
    """RFC 9293 3.10.7.3 first check (and figure 8): RST at that ack, still SYN-SENT."""
    sock = peer.syn_sent()
    peer.send("S.", 0, ack=ack, mss=1000)
    peer.expect("R", ack)
    peer.expect_nothing()
    peer.answer_syn()
    assert sock.tcp_info()["tcpi_state"] == 1


@pytest.mark.parametrize("flags", [".", "P.", "F."])
def test_right_ack_without_syn_is_dropped(peer, flags):
    """TB 1.4: acceptable ACK but no SYN: dropped, the SYN timer goes on."""
    peer.syn_sent()
    peer.send(flags, 0, ack=1, payload=0 if flags == "." else 10)
    peer.expect_nothing(0.9)
    peer.expect("S", 0, after=0.1)


@pytest.mark.parametrize("flags,payload", [("", 0), ("F", 0), ("P", 20), ("FP", 20), ("U", 0)])
def test_segment_without_ack_is_dropped(peer, flags, payload):
    """TB 1.4: FIN or data without ACK."""
    peer.syn_sent()
    peer.send(flags, 0, payload=payload)
    peer.expect_nothing(0.9)
    peer.expect("S", 0, after=0.1)


def test_simultaneous_open(peer):
    """TB 1.5, 13: bare SYN: SYN-ACK with the same ISN and the options of our SYN; established on the ACK."""
    sock = peer.syn_sent()
    peer.send("S", mss=1000, sack_ok=True, ws=7, ts=(900, 0))
    peer.timestamps = True
    reply = peer.expect("S.", 0, 1, mss=1460, sack_ok=True)
    assert reply.options.window_scale is not None and reply.options.timestamp[1] == 900
    assert sock.tcp_info()["tcpi_state"] == 3
    peer.send(".")
    peer.expect_nothing()
    assert sock.tcp_info()["tcpi_state"] == 1
    assert so_error(peer, sock) == 0


def test_simultaneous_open_completed_by_syn_ack(peer):
    """TB 1.5: the peer's SYN-ACK (both sides answer) completes the handshake as well."""
    sock = peer.syn_sent()
    peer.send("S", 0, mss=1000)
    peer.expect("S.", 0, 1)
    peer.send("S.", 0, ack=1, mss=1000)
    peer.next = 1
    peer.take()
    assert sock.tcp_info()["tcpi_state"] == 1
    sock.send(b"x")
    peer.expect("P.", 1, 1, payload=b"x")


def test_simultaneous_open_retransmits_syn_ack(peer):
    """TB 1.5, 1.2: in SYN-RCVD it is the SYN-ACK that is repeated."""
    peer.syn_sent()
    peer.send("S", mss=1000)
    peer.expect("S.", 0, 1)
    peer.expect("S.", 0, 1, within=1.01)


def test_syn_ack_with_data(peer):
    """TB 1.5: data on the SYN-ACK is accepted."""
    sock = peer.syn_sent()
    peer.send("S.", mss=1000, payload=b"hello")
    peer.expect(".", 1, 6, within=0.2)
    assert sock.recv(100) == b"hello"


def test_syn_ack_with_fin(peer):
    """RFC 9293 3.10.7.3: a FIN on the SYN-ACK closes the peer's side."""
    sock = peer.syn_sent()
    peer.send("SF.", mss=1000)
    peer.expect(".", 1, 2, within=0.2)
    assert sock.recv(100) == b""
    assert sock.tcp_info()["tcpi_state"] == 8


def test_close_in_syn_sent_sends_nothing(peer):
    """TB 2.4: and a later SYN-ACK is reset."""
    sock = peer.syn_sent()
    sock.close()
    peer.expect_nothing(5)
    peer.send("S.", mss=1000)
    peer.expect("R", 1)


def test_duplicate_syn_ack_is_acknowledged(peer):
    """TB 2.9: our ACK was lost; the SYN-ACK comes again; challenge ACK."""
    sock = peer.syn_sent()
    peer.answer_syn()
    peer.send("S.", 0, ack=1, mss=1000)
    peer.expect(".", 1, 1)
    assert sock.tcp_info()["tcpi_state"] == 1


def test_data_written_before_the_handshake(peer):
    """TB 11: a blocking send in SYN-SENT waits for the handshake; the data then goes out."""
    sock = peer.syn_sent()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.send, b"early")
    assert call.blocked
    peer.send("S.", mss=1000)
    assert call.result() == 5
    segments = peer.take()
    assert segments[0].ack == 1 and b"".join(s.payload for s in segments) == b"early"


def test_nonblocking_send_before_the_handshake(peer):
    """TB 11: send() in SYN-SENT would block."""
    sock = peer.syn_sent()
    with pytest.raises(BlockingIOError):
        sock.send(b"early")


def test_blocking_recv_before_the_handshake(peer):
    """TB 11: a blocking recv in SYN-SENT completes after the handshake."""
    sock = peer.syn_sent()
    sock.setblocking(True)
    call = Call(peer.bed.clock, sock.recv, 10)
    assert call.blocked
    peer.answer_syn()
    assert call.blocked
    peer.send_data(4)
    assert len(call.result()) == 4


def test_shutdown_in_syn_sent(peer):
    """TB 2.6: shutdown of an unfinished connection ends it without a word."""
    sock = peer.syn_sent()
    try:
        sock.shutdown(2)
    except OSError as error:
        assert error.errno == errno.ENOTCONN
    peer.expect_nothing(0.5)


def test_second_connect_after_refusal(peer):
    """TB 1.4: the socket may try again. (SO_ERROR has told the reason, so the connect() that reports the
    first attempt has none left: ECONNABORTED, as Linux.)"""
    sock = peer.syn_sent()
    peer.send("R.", 0, ack=1)
    assert so_error(peer, sock) == errno.ECONNREFUSED
    assert sock.connect_ex(("192.168.2.199", peer.port)) == errno.ECONNABORTED
    assert sock.connect_ex(("192.168.2.199", peer.port)) == errno.EINPROGRESS
    peer.expect("S", 0)


def test_ephemeral_port_is_in_range(peer):
    """RFC 6056: from the configured range, and not always the next one."""
    other = Peer(peer.bed, port=7, local_port=None)
    ports = []
    for _ in range(8):
        sock = peer.bed.tcp_socket()
        sock.connect_ex(("192.168.2.199", 7))
        other.local_port = None
        ports.append(sock.getsockname()[1])
    assert all(32768 <= port <= 60999 for port in ports)
    assert len(set(ports)) == 8
    assert {b - a for a, b in zip(ports, ports[1:])} != {1}


def test_isns_differ_between_connections_and_follow_the_clock(peer):
    """RFC 9293 MUST-8, SHLD-1 (RFC 6528): M + F(connection): the same four numbers later give a later ISN."""
    sock = peer.syn_sent()
    first = peer.stack_iss
    sock.close()
    peer.bed.advance(1)
    peer.stack_iss = None
    peer.bed.connecting().close()
    assert (peer.stack_iss - first) % 2 ** 32 in range(240000, 260001)
    other = Peer(peer.bed, port=peer.port + 1)
    other.bed.connecting(remote_port=other.port)
    assert abs((other.stack_iss - peer.stack_iss + 2 ** 31) % 2 ** 32 - 2 ** 31) > 1000


def test_no_route_says_so(peer):
    """TB 12: network unreachable on connect."""
    peer.bed.stack.stop()
    from tipy.testing.bed import Bed
    bed = Bed(gateway="")
    sock = bed.tcp_socket()
    assert sock.connect_ex(("10.1.2.3", 80)) == errno.ENETUNREACH
    bed.stop()


def test_neighbour_that_does_not_answer_arp(peer):
    """TB 12: nobody there: EHOSTUNREACH after ARP has given up, not after the SYN retries."""
    sock = peer.bed.tcp_socket()
    sock.connect_ex(("192.168.2.77", 80))
    peer.bed.advance(10)
    assert so_error(peer, sock) == errno.EHOSTUNREACH


@pytest.mark.parametrize("address", ["192.168.2.255", "255.255.255.255", "224.0.0.1", "239.1.2.3"])
def test_connect_to_many_is_refused(peer, address):
    """RFC 9293 MUST-46: a broadcast or multicast address: ENETUNREACH, as Linux; nothing is sent."""
    with pytest.raises(OSError) as caught:
        peer.bed.tcp_socket().connect((address, 80))
    assert caught.value.errno in (errno.ENETUNREACH, errno.EACCES)
    peer.bed.advance(5)
    assert not peer.segments and not peer.bed.strangers


@pytest.mark.parametrize("flags", ["R", "R."])
def test_rst_in_a_simultaneous_open(peer, flags):
    """RFC 9293 MUST-11: SYN-RECEIVED remembers that it came from an active open: the program hears of the
    RST."""
    sock = peer.syn_sent()
    peer.send("S", mss=1000)
    peer.expect("S.", 0, 1)
    peer.send(flags, ack=1)
    peer.expect_nothing(5)
    assert so_error(peer, sock) in (errno.ECONNREFUSED, errno.ECONNRESET)


def test_seven_syn_retries_take_more_than_three_minutes(make):
    """RFC 9293 MUST-23: R2 for a SYN can be at least 3 minutes (Linux's default is 127 s)."""
    peer = make(syn_retries=7)
    sock = peer.syn_sent()
    peer.bed.advance(240)
    assert so_error(peer, sock) == 0
    peer.bed.advance(10)
    assert so_error(peer, sock) == errno.ETIMEDOUT


def test_local_address_of_a_socket_that_was_not_bound(peer):
    """RFC 9293 MUST-44, MUST-43: IP chooses the source address; the program may."""
    other = Peer(peer.bed, port=9, local_port=None)
    sock = peer.bed.tcp_socket()
    sock.connect_ex(("192.168.2.199", 9))
    assert other.expect("S").ip.src == peer.bed.local
    assert sock.getsockname()[0] == "192.168.2.200"


def test_calls_after_shutdown_in_syn_sent(peer):
    """As Linux, where this is a disconnect: ECONNRESET is told once, then this is no connection."""
    sock = peer.syn_sent()
    sock.shutdown(1)
    with pytest.raises(ConnectionResetError):
        sock.recv(10)
    with pytest.raises(OSError) as caught:
        sock.recv(10)
    assert caught.value.errno == errno.ENOTCONN
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")


def test_recv_after_a_failure_that_was_told(peer):
    """As Linux: connect() has told it, recv() says ENOTCONN."""
    sock = peer.syn_sent()
    peer.send("R.", 0, ack=1)
    assert sock.connect_ex(("192.168.2.199", peer.port)) == errno.ECONNREFUSED
    with pytest.raises(OSError) as caught:
        sock.recv(10)
    assert caught.value.errno == errno.ENOTCONN


def test_shutdown_before_a_simultaneous_open_is_done(peer):
    """As Linux: the FIN waits for the handshake."""
    sock = peer.syn_sent()
    peer.send("S", 0, mss=1000)
    peer.expect("S.", 0, 1)
    sock.shutdown(1)
    peer.expect_nothing(0.5)
    peer.send(".", 1, ack=1)
    peer.expect("F.", 1, 1)
    peer.send(".", 1, ack=2)
    assert sock.tcp_info()["tcpi_state"] == 5
