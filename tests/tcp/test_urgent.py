"""Urgent data (RFC 9293 3.8.5, RFC 6093): kept for the programs that use it, as Linux does."""

import errno

import pytest

OOB = 1


def test_urgent_byte_is_marked(peer):
    """RFC 9293 MUST-30, as Linux: the pointer says one past the urgent byte (RFC 6093 2.1)."""
    sock = peer.established()
    assert sock.send(b"abc", OOB) == 3
    peer.expect("P.U", 1, 1, payload=b"abc", urgent=3)


def test_urgent_byte_is_out_of_band(peer):
    """As BSD and Linux: not in the stream, but with MSG_OOB."""
    sock = peer.established()
    peer.send("P.U", payload=b"abc", urgent=3)
    peer.take()
    assert sock.recv(10) == b"ab"
    assert sock.recv(1, OOB) == b"c"
    peer.send("P.", payload=b"d")
    assert sock.recv(10) == b"d"


def test_urgent_byte_inline(peer):
    """SO_OOBINLINE: it stays in the stream."""
    sock = peer.established()
    module = peer.bed.socket
    sock.setsockopt(module.SOL_SOCKET, module.SO_OOBINLINE, 1)
    peer.send("P.U", payload=b"abc", urgent=3)
    data = sock.recv(10)
    while len(data) < 3:
        data += sock.recv(10)
    assert data == b"abc"


def test_reading_stops_at_the_mark(peer):
    """As BSD and Linux: one read does not go over the mark."""
    sock = peer.established()
    peer.send("P.U", payload=b"abcdef", urgent=3)
    assert sock.recv(10) == b"ab"
    assert sock.recv(10) == b"def"


def test_no_urgent_data(peer):
    """As Linux: EINVAL."""
    sock = peer.established()
    with pytest.raises(OSError) as caught:
        sock.recv(1, OOB)
    assert caught.value.errno == errno.EINVAL


def test_pointer_without_flag_means_nothing(peer):
    """RFC 9293 3.1."""
    sock = peer.established()
    peer.send("P.", payload=b"abc", urgent=2)
    assert sock.recv(10) == b"abc"


@pytest.mark.parametrize("urgent", [0, 4, 100, 65535])
def test_pointer_beyond_the_data_does_no_harm(peer, urgent):
    """HOSTILE: the pointer may point anywhere."""
    sock = peer.established()
    peer.send("P.U", payload=b"abc", urgent=urgent)
    peer.take()
    data = sock.recv(10)
    assert data in (b"abc", b"bc")
    peer.send_data(100)
    peer.take()
    assert sock.tcp_info()["tcpi_state"] == 1


def test_urgent_at_a_zero_window(peer):
    """RFC 9293 MUST-66: processed although the window is closed; the connection goes on."""
    sock = peer.established()
    peer.send(".U", urgent=1)
    peer.take()
    assert sock.tcp_info()["tcpi_state"] == 1


def test_urgent_in_established_only(peer):
    """RFC 9293 sixth check: after the peer's FIN it is ignored."""
    sock = peer.close_wait()
    peer.send("P.U", 2, ack=1, payload=b"x", urgent=1)
    peer.take()
    assert sock.recv(10) == b""


def test_program_is_told_of_urgent_data(peer):
    """RFC 9293 MUST-32: POLLPRI, as Linux."""
    import select
    sock = peer.established()
    poller = select.poll()
    poller.register(sock, select.POLLPRI)
    assert not poller.poll(0)
    peer.send("P.U", payload=b"a", urgent=1)
    assert poller.poll(0)


def test_pointer_to_what_is_here_is_ignored(peer):
    """As Linux: bytes in the queue do not become urgent afterwards."""
    sock = peer.established()
    peer.send("P.", payload=b"abcdef")
    peer.send("P.U", 1, payload=b"abcdef", urgent=3)
    peer.take()
    assert sock.recv(10) == b"abcdef"
    with pytest.raises(OSError) as caught:
        sock.recv(1, OOB)
    assert caught.value.errno == errno.EINVAL
