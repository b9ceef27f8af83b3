"""Queues of bytes against the simplest thing that does the same: one bytes object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipy.buffers import Reassembly, ReceiveQueue, SendQueue

START = 0xFFFFFF00             # unwrapped: it simply goes on above 2**32
SIZES = st.one_of(st.integers(1, 20), st.integers(1, 6000))


def pattern(start, size):
    return bytes((start + i) * 31 + ((start + i) >> 8) & 0xFF for i in range(size))


def joined(views):
    return b"".join(views)


# -- sending --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(SIZES, st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))))
def test_send_queue_gives_any_piece_of_what_was_written(steps):
    queue, stream = SendQueue(START), b""
    for size, released, low, high in steps:
        data = pattern(len(stream), size)
        queue.append(data)
        stream += data
        queue.release(max(queue.start, START + len(stream) * released // 100))
        low, high = sorted((low, high))
        low, high = (queue.start + len(queue) * part // 100 for part in (low, high))
        if low < high:
            assert joined(queue.slice(low, high)) == stream[low - START:high - START]
        assert len(queue) == START + len(stream) - queue.start


def test_send_queue_merges_tiny_writes():
    queue = SendQueue(0)
    for _ in range(4000):
        queue.append(b"x")
    assert len(queue._chunks) < 10 and joined(queue.slice(0, 4000)) == b"x" * 4000


def test_send_queue_lets_acknowledged_data_go():
    queue = SendQueue(0)
    for number in range(1000):
        queue.append(bytes(5000))
        queue.release(number * 5000)
    assert sum(chunk is not None for chunk in queue._chunks) <= 2 and len(queue._chunks) < 200
    queue.release(queue.end)
    assert len(queue) == 0 and not queue._chunks and not queue._starts


def test_send_queue_outlives_the_view_it_was_given():
    """A socket call that fails releases the caller's, so that he may resize his bytearray."""
    queue, view = SendQueue(0), memoryview(b"x" * 600)
    queue.append(view)
    view.release()
    assert joined(queue.slice(0, 600)) == b"x" * 600 and joined(queue.slice(100, 200)) == b"x" * 100


def test_send_queue_does_not_copy():
    data = bytes(100_000)
    queue = SendQueue(0)
    queue.append(data)
    assert all(view.obj is data for view in queue.slice(1, 99_999))


# -- receiving ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["append", "read", "peek", "into", "discard"]), SIZES)))
def test_receive_queue_gives_back_what_came(steps):
    queue, expected, written = ReceiveQueue(), b"", 0
    for action, size in steps:
        if action == "append":
            queue.append(memoryview(pattern(written, size)))
            expected += pattern(written, size)
            written += size
            continue
        if action == "into":
            buffer = bytearray(size)
            taken = bytes(buffer[:queue.read_into(memoryview(buffer))])
        elif action == "discard":
            taken = expected[:queue.discard(size)]
            assert len(taken) == min(size, len(expected))
        else:
            taken = queue.read(size, peek=action == "peek")
            assert taken or not expected
        assert taken == expected[:len(taken)] and len(taken) <= size
        if action != "peek":
            expected = expected[len(taken):]
        assert queue.length == len(expected)


def test_receive_queue_fills_a_read_across_pieces():
    queue = ReceiveQueue()
    for piece in (b"a" * 3000, b"b" * 3000, b"c" * 3000):
        queue.append(memoryview(piece))
    assert queue.read(4000) == b"a" * 3000 + b"b" * 1000
    assert queue.read(10_000) == b"b" * 2000 + b"c" * 3000
    assert queue.read(1) == b"" and queue.read(0) == b""


# -- reassembly -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60))), st.integers(0, 300))
def test_reassembly_keeps_the_first_bytes_and_disjoint_ranges(segments, position):
    """Each segment carries bytes of its own, so that it shows which one was kept."""
    early, model = Reassembly(), {}
    for number, (start, length) in enumerate(segments):
        covered = [at for at in range(start, start + length) if at in model]
        merged_start, merged_end, duplicate = early.insert(start, memoryview(bytes([number % 256]) * length))
        for at in range(start, start + length):
            model.setdefault(at, number % 256)
        assert merged_start <= start and merged_end >= start + length
        assert (duplicate is None) == (not covered)
        if duplicate:
            assert duplicate[0] == covered[0] and all(at in covered for at in range(*duplicate))
        assert len(early) == len(model)
        for (_, end, _), (following, _, _) in zip(early.ranges, early.ranges[1:]):
            assert end < following
        for range_start, range_end, views in early.ranges:
            assert joined(views) == bytes(model[at] for at in range(range_start, range_end))
    ready = joined(early.pop_ready(position))
    assert ready == bytes(model[at] for at in range(position, position + len(ready)))
    assert position + len(ready) not in model
    assert all(start > position for start, _, _ in early.ranges)


def test_reassembly_refuses_one_range_too_many_but_fills_gaps():
    early = Reassembly(limit=3)
    for start in (10, 20, 30):
        assert early.insert(start, memoryview(b"x")) == (start, start + 1, None)
    assert early.insert(40, memoryview(b"x")) is None
    assert early.insert(11, memoryview(b"y" * 9)) == (10, 21, None)
    assert early.insert(40, memoryview(b"x")) == (40, 41, None)


@pytest.mark.parametrize("backwards", [False, True])
def test_reassembly_of_tiny_touching_pieces_stays_small(backwards):
    early = Reassembly()
    order = range(1000, 0, -1) if backwards else range(1, 1001)
    for at in order:
        early.insert(at, memoryview(pattern(at, 1)))
    assert [(start, end) for start, end, _ in early.ranges] == [(1, 1001)]
    assert len(early.ranges[0][2]) < 5                 # not a view, and so a frame, kept for each byte
    assert joined(early.pop_ready(1)) == pattern(1, 1000)
