"""Faults of the wire, in virtual time and by a seed."""

import pytest

from tests.unit.link_helpers import Host, QueueLink, tcp_frame, verified
from tipy.link.base import Offload
from tipy.link.faults import FaultLink
from tipy.link.memory import MemoryLink

FRAMES = [bytes([n & 0xFF, n >> 8]) * 40 for n in range(400)]


def wire(**faults):
    """(host, fault link, memory link, list of frames that left)."""
    host, sent = Host(), []
    memory = MemoryLink(transmit=sent.append)
    link = FaultLink(memory, **faults)
    link.open()
    link.attach(host)
    return host, link, memory, sent


def send(host, link, frames, gap=0.0):
    for frame in frames:
        with host.gate:
            link.send([frame[:14], frame[14:]])
        if gap:
            host.clock.advance(gap)


def test_no_faults_change_nothing():
    host, link, memory, sent = wire(seed=1)
    send(host, link, FRAMES)
    for frame in FRAMES:
        memory.deliver(frame)
    assert sent == FRAMES and host.frames == FRAMES
    assert link.counters == {"out.frames": 400, "in.frames": 400}


def test_loss_is_counted_and_repeats_with_its_seed():
    runs = []
    for seed in (1, 1, 2):
        host, link, memory, sent = wire(loss=0.25, seed=seed)
        send(host, link, FRAMES)
        assert link.counters["out.loss"] == 400 - len(sent)
        assert 60 < link.counters["out.loss"] < 140
        runs.append(sent)
    assert runs[0] == runs[1] != runs[2]


def test_directions_have_independent_fates():
    host, link, memory, sent = wire(loss=0.25, seed=1)
    send(host, link, FRAMES)
    for frame in FRAMES:
        memory.deliver(frame)
    alone_host, alone, alone_memory, _ = wire(loss=0.25, seed=1)
    for frame in FRAMES:
        alone_memory.deliver(frame)
    assert host.frames == alone_host.frames and 260 < len(host.frames) < 340
    assert host.frames != sent


def test_seed_comes_from_the_stack_if_not_given():
    runs = []
    for _ in range(2):
        host, link, memory, sent = wire(loss=0.5)
        send(host, link, FRAMES)
        runs.append(sent)
    assert runs[0] == runs[1]


@pytest.mark.parametrize("direction, lost_out, lost_in", [("out", True, False), ("in", False, True),
                                                          ("both", True, True)])
def test_direction(direction, lost_out, lost_in):
    host, link, memory, sent = wire(loss=1, direction=direction)
    send(host, link, FRAMES[:1])
    memory.deliver(FRAMES[0])
    assert (sent == []) == lost_out and (host.frames == []) == lost_in


def test_duplicates_follow_their_original():
    host, link, memory, sent = wire(duplicate=1)
    send(host, link, FRAMES[:2])
    assert sent == [FRAMES[0], FRAMES[0], FRAMES[1], FRAMES[1]]
    assert link.counters["out.duplicate"] == 2


def test_corruption_flips_exactly_one_bit():
    host, link, memory, sent = wire(corrupt=1, seed=1)
    send(host, link, FRAMES)
    places = set()
    for before, after in zip(FRAMES, sent, strict=True):
        difference = int.from_bytes(before, "big") ^ int.from_bytes(after, "big")
        assert difference.bit_count() == 1
        places.add(difference)
    assert len(places) > 200


def test_truncation_takes_the_end_away():
    host, link, memory, sent = wire(truncate=1, seed=1)
    send(host, link, FRAMES)
    assert all(before.startswith(after) and 14 <= len(after) < len(before)
               for before, after in zip(FRAMES, sent, strict=True))
    assert len({len(frame) for frame in sent}) > 50


def test_delay_keeps_order_and_time():
    host, link, memory, sent = wire(delay=0.1, jitter=0.05, seed=1)
    send(host, link, FRAMES, gap=0.001)
    host.clock.advance(0.2)
    assert sent == FRAMES
    host, link, memory, sent = wire(delay=0.1)
    send(host, link, FRAMES[:1])
    host.clock.advance(0.0999)
    assert sent == []
    host.clock.advance(0.0001)
    assert sent == FRAMES[:1]


def test_delay_of_arriving_frames():
    host, link, memory, sent = wire(delay=0.1, direction="in")
    for frame in FRAMES[:10]:
        memory.deliver(frame)
    assert host.frames == []
    host.clock.advance(0.1)
    assert host.frames == FRAMES[:10]


def test_reordering_lets_others_overtake():
    host, link, memory, sent = wire(reorder=0.1, reorder_delay=0.005, seed=1)
    send(host, link, FRAMES, gap=0.001)
    host.clock.advance(0.005)
    assert sorted(sent) == sorted(FRAMES) and sent != FRAMES
    assert 20 < link.counters["out.reorder"] < 70
    moved = [frame for at, frame in enumerate(sent) if FRAMES.index(frame) < at]
    assert len(moved) <= link.counters["out.reorder"]


def test_reordering_of_arriving_frames():
    host, link, memory, sent = wire(reorder=0.1, seed=1)
    for frame in FRAMES:
        memory.deliver(frame)
    host.clock.advance(0.005)
    assert sorted(host.frames) == sorted(FRAMES) and host.frames != FRAMES


def test_users_own_filter():
    seen = []
    host, link, memory, sent = wire(drop=lambda frame: seen.append(frame) or len(seen) == 2)
    send(host, link, FRAMES[:3])
    assert sent == [FRAMES[0], FRAMES[2]] and seen == FRAMES[:3]
    assert link.counters["out.drop"] == 1


def test_announces_no_offload_and_the_rest_of_its_inner_link():
    inner = QueueLink()
    inner.mtu, inner.mac = 9000, b"\x02\0\0\0\0\1"
    link = FaultLink(inner)
    assert (link.tx_checksum, link.tso_max) == (False, 0)
    assert (link.mtu, link.mac, link.fileno()) == (9000, b"\x02\0\0\0\0\1", 7)


def test_super_segments_are_lost_piece_by_piece():
    host, inner = Host(), QueueLink()
    link = FaultLink(inner, loss=0.2, seed=1)
    link.attach(host)
    inner.arriving = [(tcp_frame(bytes(30 * 1448), seq=0), True, 1448)]
    batch = link.receive_batch()
    assert 15 < len(batch) < 30 and link.counters["in.frames"] == 30
    for frame, checked, gso_size in batch:
        assert (checked, gso_size) == (False, 0)
        assert len(verified(frame)[2]) == 1448


def test_partial_checksums_are_completed_before_corruption():
    host, inner = Host(), QueueLink()
    link = FaultLink(inner, corrupt=1, seed=1)
    link.attach(host)
    inner.arriving = [(tcp_frame(b"hello"), True, 0)]
    (frame, checked, gso_size), = link.receive_batch()
    wanted = tcp_frame(b"hello", partial=False)
    assert not checked
    assert (int.from_bytes(frame, "big") ^ int.from_bytes(wanted, "big")).bit_count() == 1


def test_read_links_hand_over_what_was_delayed_later():
    host, inner = Host(), QueueLink()
    link = FaultLink(inner, delay=0.1)
    link.attach(host)
    inner.arriving = [(FRAMES[0], False, 0)]
    assert link.receive_batch() == []
    host.clock.advance(0.1)
    assert host.received == [(FRAMES[0], False, 0)]


def test_untouched_direction_keeps_its_offload():
    host, inner = Host(), QueueLink()
    link = FaultLink(inner, loss=1, direction="out")
    link.attach(host)
    inner.arriving = [(tcp_frame(bytes(3000)), True, 1448)]
    assert link.receive_batch() == [(tcp_frame(bytes(3000)), True, 1448)]


def test_offload_handed_in_is_done_here():
    host, link, memory, sent = wire(seed=1)
    with host.gate:
        link.send([tcp_frame(bytes(3000))], Offload(1448, 20, 16, 52))
    assert [len(verified(frame)[2]) for frame in sent] == [1448, 1448, 104]


def test_link_that_goes_down_during_the_delay_is_counted():
    host = Host()
    link = FaultLink(QueueLink(), delay=0.1)
    link.attach(host)
    send(host, link, FRAMES[:2])
    host.clock.advance(0.1)
    assert link.counters["out.error"] == 2


def test_close_before_attach_and_twice():
    link = FaultLink(MemoryLink(), delay=0.1)
    link.close()
    host, link, memory, sent = wire(delay=0.1)
    link.close()
    link.close()


def test_close_forgets_what_is_under_way():
    host, link, memory, sent = wire(delay=0.1)
    send(host, link, FRAMES[:2])
    link.close()
    host.clock.advance(1)
    assert sent == [] and host.timers.next_deadline() is None


def test_frames_under_way_are_bounded(monkeypatch):
    monkeypatch.setattr("tipy.link.faults.QUEUE_LIMIT", 10)
    host, link, memory, sent = wire(delay=0.1)
    send(host, link, FRAMES[:15])
    host.clock.advance(1)
    assert sent == FRAMES[:10] and link.counters["out.overflow"] == 5


@pytest.mark.parametrize("faults", [{"loss": 2}, {"corrupt": -0.1}, {"truncate": 1.5}, {"delay": -1},
                                    {"direction": "up"}])
def test_impossible_faults_are_refused(faults):
    with pytest.raises(ValueError):
        FaultLink(MemoryLink(), **faults)
