"""Links with a virtio_net_hdr: what does not depend on the kind of device."""

import os
import socket
import threading
from collections import Counter

import pytest

from link_helpers import Host, tcp_frame, verified
from tipy.errors import SetupError
from tipy.link.base import BIG_TCP_PAYLOAD, LARGEST_PAYLOAD, Offload
from tipy.link.held import Held
from tipy.link.tap import _takes_big_tcp
from tipy.link.virtio import HEADER_LENGTH, VirtioLink

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no AF_UNIX")
_ETHERNET = bytes(12) + b"\x08\0"


class Counting(Host):
    """A host that counts."""

    def __init__(self):
        super().__init__()
        self.counters = Counter()


class Pair(VirtioLink):
    """The link on one end of a datagram socket pair, whose other end takes messages up to what fits its buffer."""

    def __init__(self, buffer):
        super().__init__()
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.near.setblocking(False)
        self._fd, self._skip = self.near.detach(), HEADER_LENGTH
        self.tx_checksum, self.tso_max = True, BIG_TCP_PAYLOAD

    def _explain(self, error):
        return SetupError(error.strerror, error.errno)


@pytest.fixture
def attached():
    made = []

    def attach(buffer=60_000):
        link, host = Pair(buffer), Counting()
        link.attach(host)
        made.append(link)
        return link, host

    yield attach
    for link in made:
        link.close()
        link.far.close()


def test_refused_big_super_segment_makes_those_that_follow_smaller(attached):
    link, host = attached()
    with host.gate:
        link.send([_ETHERNET, bytes(250_000)], Offload(1448, 20, 16, 52))
    assert link.tso_max == LARGEST_PAYLOAD
    assert host.counters == {"link.drop_big_tcp": 1}
    with host.gate:
        link.send([_ETHERNET, bytes(64_000)], Offload(1448, 20, 16, 52))
    assert len(link.far.recv(100_000)) == HEADER_LENGTH + 14 + 64_000


def test_refused_ordinary_frame_changes_nothing(attached):
    link, host = attached(buffer=4_000)
    with host.gate:
        link.send([_ETHERNET, bytes(60_000)], Offload(1448, 20, 16, 52))
    assert link.tso_max == BIG_TCP_PAYLOAD
    assert host.counters == {"link.drop_refused": 1}


@pytest.mark.parametrize("header", [False, True])
def test_a_super_segment_for_a_device_that_cuts_none_is_cut_by_the_link(attached, header):
    link, host = attached()
    link.tx_checksum, link._skip = False, HEADER_LENGTH if header else 0
    payload = bytes(range(256)) * 16
    frame = tcp_frame(payload)
    with host.gate:
        link.send([frame[:14], frame[14:34], frame[34:66], memoryview(payload)], Offload(1448, 20, 16, 52))
    came = [link.far.recv(10_000) for _ in range(3)]
    assert all(frame.startswith(bytes(HEADER_LENGTH)) for frame in came) or not header
    pieces = [verified(frame[link._skip:]) for frame in came]
    assert [len(data) for _, _, data in pieces] == [1448, 1448, 1200]
    assert b"".join(data for _, _, data in pieces) == payload
    assert host.counters == {}


@pytest.mark.parametrize("release, takes", [("6.6.0", True), ("6.18.44-custom", True), ("7.0", True), ("6.5.13", False),
                                            ("5.15.0-100-generic", False), ("6", False), ("strange", False)])
def test_kernel_that_takes_big_super_segments(release, takes):
    assert _takes_big_tcp(release) is takes


def test_small_frames_of_a_conversation_are_read_one_by_one_but_a_queue_is_noticed(attached):
    link, _ = attached()
    frame = bytes(HEADER_LENGTH) + _ETHERNET + bytes(50)
    link.far.send(frame)
    assert len(link.receive_batch()) == 1                  # looked once more: nothing
    for _ in range(4):
        link.far.send(frame)
    turns = [len(link.receive_batch()) for _ in range(4)]
    assert turns == [1, 1, 1, 1]                           # taken for a conversation
    seen = 0
    for _ in range(64):
        link.far.send(frame), link.far.send(frame)
        seen = max(seen, len(link.receive_batch()))
    assert seen > 1                                        # but not for ever
    while link.receive_batch():
        pass


def test_calls_that_keep_the_interpreters_lock_do_what_those_of_os_do():
    held = Held(100)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        near.setblocking(False)
        assert held.writev(near.fileno(), [b"ab", memoryview(b"cd"), b""]) == 4
        assert far.recv(10) == b"abcd"
        with pytest.raises(BlockingIOError):
            held.read(near.fileno(), 50)
        far.send(bytes(range(200)))
        assert held.read(near.fileno(), 1000) == bytes(range(100))
    with pytest.raises(OSError) as caught:
        held.read(near.fileno(), 50)
    assert str(caught.value).startswith("[Errno 9]")


def test_link_keeps_the_interpreters_lock_beside_a_thread_that_computes(attached):
    link, _ = attached()
    frame = bytes(HEADER_LENGTH) + _ETHERNET + bytes(800)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: any(iter(stop.is_set, True)))
    thread.start()
    try:
        for _ in range(100_000):
            link.far.send(frame)
            assert len(link.receive_batch()) == 1
            if link._read is not os.read:
                break
        else:
            pytest.fail("the other thread was never noticed")
        for _ in range(20):
            link.far.send(frame)
            assert [bytes(data) for data, _, _ in link.receive_batch()] == [frame[HEADER_LENGTH:]]
    finally:
        stop.set()
        thread.join()
    for _ in range(3000):
        link.receive_batch()
        if link._read is os.read:
            break
    assert link._read is os.read and link._writev is os.writev


def test_super_segment_that_a_read_cut_is_not_believed(attached):
    """The kernel may have been told to hand up larger ones; then the next is read whole."""
    link, host = attached(buffer=1 << 20)
    link.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    frame = bytes(HEADER_LENGTH) + _ETHERNET + bytes(150_000)
    link.far.send(frame)
    assert link.receive_batch() == [] and host.counters == {"link.drop_cut": 1}
    link.far.send(frame)
    assert [len(data) for data, _, _ in link.receive_batch()] == [len(frame) - HEADER_LENGTH]
