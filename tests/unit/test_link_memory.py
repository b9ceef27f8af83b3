"""Wires in memory: the open end that is a callable, and the hub of several stacks."""

import pytest

from link_helpers import Host, tcp_frame, verified
from stack_helpers import A, B, MAC, Thread, connected, make, virtual_pair
from tipy.address import parse_mac
from tipy.clock import ManualClock
from tipy.link import Offload
from tipy.link.memory import MemoryLink, Wire


@pytest.fixture
def host():
    return Host()


def attached(link, host=None):
    host = host or Host()
    link.open()
    link.attach(host)
    return link, host


# -- the open end ---------------------------------------------------------------------------------


def test_sent_frame_reaches_the_callable_in_one_piece_after_the_lock_is_released(host):
    seen = []
    link, _ = attached(MemoryLink(transmit=lambda frame: seen.append((frame, host.gate.held()))), host)
    with host.gate:
        link.send([b"head", memoryview(b"body"), bytearray(b"tail")])
        link.send([b"second"])
        assert seen == []
    assert seen == [(b"headbodytail", False), (b"second", False)] and type(seen[0][0]) is bytes


def test_delivered_frame_reaches_the_stack(host):
    link, _ = attached(MemoryLink(), host)
    link.deliver(b"a frame")
    assert host.received == [(b"a frame", False, 0)]


def test_callable_may_deliver_at_once(host):
    link, _ = attached(MemoryLink(), host)
    link.transmit = lambda frame: link.deliver(b"answer to " + frame)
    with host.gate:
        link.send([b"x"])
    assert host.frames == [b"answer to x"]


def test_nobody_at_either_end_is_no_error(host):
    link = MemoryLink()
    link.deliver(b"before start")
    link.send([b"before start"])
    attached(link, host)
    with host.gate:
        link.send([b"nobody listens"])
    link.close()
    link.close()
    link.deliver(b"after stop")
    link.send([b"after stop"])
    assert host.received == []


def test_link_says_what_it_can_do():
    link = MemoryLink(mtu=576)
    assert (link.mtu, link.tx_checksum, link.tso_max, link.mac) == (576, False, 0, None)
    assert link.fileno() is None and link.receive_batch() == []


def test_failing_callable_is_contained():
    def fail(frame):
        raise ZeroDivisionError

    with make(MemoryLink(transmit=fail), A, clock=ManualClock()) as stack:
        with stack.gate:
            stack.ethernet.send(parse_mac(MAC[B]), 0x88B5, [b"x"])
        assert stack.counters["stack.exceptions"] >= 1 and isinstance(stack.errors[0], ZeroDivisionError)
        assert stack.status == "running"


# -- the hub --------------------------------------------------------------------------------------


def test_wire_hands_each_frame_to_all_others():
    wire = Wire()
    ends = [attached(wire.port()) for _ in range(3)]
    link, host = ends[0]
    with host.gate:
        link.send([b"to ", b"all"])
    assert [other.frames for _, other in ends] == [[], [b"to all"], [b"to all"]]


def test_port_that_left_hears_nothing_until_it_comes_back():
    wire = Wire()
    (link, host), (gone, other) = (attached(wire.port()) for _ in range(2))
    gone.close()
    gone.close()
    with host.gate:
        link.send([b"one"])
    gone.attach(other)
    with host.gate:
        link.send([b"two"])
    assert other.frames == [b"two"]


def test_wire_with_offload_carries_super_segments_whole():
    wire = Wire(offload=True)
    (link, host), (_, other) = (attached(wire.port()) for _ in range(2))
    assert link.tx_checksum and link.tso_max >= 64000
    frame = tcp_frame(bytes(30_000))
    with host.gate:
        link.send([frame], Offload(1448, 20, 16, 52))
        link.send([frame], None)
    assert other.received == [(frame, True, 1448), (frame, False, 0)]


def test_super_segments_too_long_for_the_total_length_carry_the_stream():
    wire = Wire(offload=True)
    a, b = (make(wire.port(), address) for address in (A, B))
    data = b"".join(n.to_bytes(4, "big") for n in range(1 << 19))
    with a, b:
        (recorder, seen) = attached(wire.port())
        client, server = connected(a, b)
        writing = Thread(client.sendall, data[:-1])
        received = bytearray()
        while len(received) < len(data) - 1:
            received += server.recv(1 << 20)
        writing.result()
        client.close(), server.close()
    assert received == data[:-1]
    assert a.errors == b.errors == []
    longest = max(seen.frames, key=len)
    assert len(longest) > 14 + 65535 and longest[16:18] == b"\0\0"
    assert not b.counters["ipv4.drop_truncated"]
    b.ethernet.input(longest)                          # whole, but without the mark of a super-segment
    assert b.counters["ethernet.drop_overlong"] == 1


def test_wire_without_offload_has_complete_frames_of_the_mtu_only():
    clock, a, b = virtual_pair(auto=True)
    clock.advance(1)
    frames = []
    recorder = attached(a.link._wire.port())[1]
    client, server = connected(a, b)
    client.sendall(bytes(20_000))
    left = 20_000
    while left:
        left -= len(server.recv(left))
    frames = [frame for frame in recorder.frames if frame[12:14] == b"\x08\x00"]
    assert len(frames) > 14 and max(map(len, frames)) <= 1514
    for frame in frames:
        verified(frame)
    a.stop(), b.stop()
