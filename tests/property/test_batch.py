"""Segments that come in one batch are coupled, and nothing but the number of calls depends on it (tipy/tcp/batch.py).

The same conversation is had with coupling and without: in both one decision to send is made at the end of a batch, so the
same segments must leave, and the program must read the same. A batch holds what a sender at full speed sends, and among it
whatever else a peer may say: repetitions, gaps, records (PSH), other windows and time stamps, FINs.
"""

from functools import partial
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talk import Options, Talk, part
from tipy.tcp import batch
from tipy.tcp.batch import Batch

FOLLOW = Batch.follow


def compare(options, steps, follow=FOLLOW):
    """Have the conversation with coupling and without. AssertionError where the two part."""
    found = part(options, steps, *(partial(mock.patch.object, Batch, "follow", function)
                                   for function in (follow, lambda *args: None)))
    assert found is None, found


ODD = st.fixed_dictionaries({}, optional={
    "behind": st.sampled_from([1000, 2000, -1]), "win": st.sampled_from([0, 3000, 65535]),
    "stamp": st.sampled_from([1, 2, 50]), "tos": st.just(3), "flags": st.sampled_from(["P", "P", "E", "W"])})
NEXT = st.tuples(st.just("text"), st.just(0), st.just({}))
TEXT = st.tuples(st.just("text"), st.sampled_from([0, 0, 0, 1, 2, -1]), ODD)
BATCH = st.tuples(st.just("together"), st.lists(
    st.one_of(NEXT, NEXT, NEXT, NEXT, TEXT, st.tuples(st.just("ack"), ODD)), min_size=2, max_size=12))
STEPS = st.lists(st.one_of(
    BATCH, BATCH, NEXT, st.tuples(st.just("write"), st.sampled_from([1, 1000, 5000])),
    st.tuples(st.just("read"), st.sampled_from([1, 1000, 100_000])),
    st.tuples(st.just("pause"), st.sampled_from([0.001, 0.04, 0.5])),
    st.just(("shutdown",)), st.tuples(st.just("buffer"), st.sampled_from([2304, 8000]))), min_size=2, max_size=12)
OPTIONS = st.builds(
    Options, wrap=st.booleans(), timestamps=st.booleans(), sack=st.booleans(), scale=st.sampled_from([None, 7]),
    settings=st.sampled_from([(), (("rcvbuf", 8192), ("rcvbuf_max", 8192)), (("rcvbuf", 8192),)]),
    active=st.booleans(), win=st.sampled_from([0, 3000, 65535]),
    sizes=st.lists(st.sampled_from([1000] * 8 + [1400, 600]), min_size=2, max_size=40).map(tuple),
    fin=st.sampled_from([None, "bare", "with text"]))


@settings(max_examples=300)
@given(OPTIONS, STEPS)
def test_coupling_changes_nothing(options, steps):
    compare(options, steps)


def wire_counts(options, steps):
    """How many wire segments stood for one, each time several did."""
    counts = []
    arrives = batch.segment_arrives

    def watched(tcb, seg):
        counts.append(seg.wire_count)
        return arrives(tcb, seg)
    with mock.patch.object(batch, "segment_arrives", watched):
        Talk(options).run(steps)
    return counts


def next_ones(count):
    return [("text", 0, {})] * count


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("timestamps", [False, True])
@pytest.mark.parametrize("frames, counts", [
    (next_ones(5), [4]),
    ([*next_ones(3), ("text", 0, {"flags": "P"}), *next_ones(2)], [3, 1]),         # a record ends
    ([*next_ones(3), ("text", -1, {}), *next_ones(3)], [2, 2]),                    # one comes again
    ([*next_ones(3), ("text", 1, {}), ("text", 0, {}), *next_ones(3)], [2, 2]),    # a gap, and what fills it
    ([*next_ones(3), ("ack", {}), *next_ones(2)], [2, 1]),
    ([*next_ones(2), *[("text", 0, {"win": 3000})] * 3], [1, 2]),
    ([*next_ones(2), *[("text", 0, {"win": 0})] * 3], [1]),                        # not for header prediction
    ([("text", 0, {"flags": "P"})] * 2, []),
])
def test_what_is_coupled(frames, counts, wrap, timestamps):
    """Else all the above would compare the plain way with itself."""
    assert wire_counts(Options(wrap=wrap, timestamps=timestamps, sizes=(1000,) * 9), [("together", frames)]) == counts


def test_a_short_segment_is_the_last_of_its_kind():
    options = Options(sizes=(1000, 1000, 600, 1000, 1000))
    assert wire_counts(options, [("together", next_ones(5))]) == [2, 1]


def test_no_more_is_coupled_than_the_window_holds():
    """What lies beyond it meets the checks by itself."""
    options = Options(sizes=(1000,) * 9, settings=(("rcvbuf", 8192), ("rcvbuf_max", 8192)))
    assert wire_counts(options, [("together", next_ones(9))]) == [1]        # 2920 bytes
    compare(options, [("together", next_ones(9)), ("read", 2000), ("together", next_ones(3))])


def test_coupling_past_a_gap_is_found_and_shown():
    """The comparison would see it."""
    def hasty(self, tcb, seg, options):
        FOLLOW(self, tcb, seg, options)
        self._next += 1000
    with pytest.raises(AssertionError, match="a difference in step 0"):
        compare(Options(sizes=(1000,) * 5), [("together", [("text", 0, {}), ("text", 1, {})])], hasty)
