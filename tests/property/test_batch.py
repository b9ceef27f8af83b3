"""Segments that come in one batch are coupled, and neither peer nor program can tell (tipy/tcp/batch.py).

The same conversation is had with coupling and without: in both one decision to send is made at the end of a batch, so
the same segments must leave, and the program must read the same. A batch holds what a sender at full speed sends, and
among it whatever else a peer may say: repetitions, gaps, records (PSH), other windows and time stamps, FINs.
"""

from functools import partial
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talk import Options, Talk, part
from tipy.tcp.batch import Batch

FOLLOW, ARRIVES = Batch.follow, Batch._arrives
# Both as for a super-segment from a link, and as on Linux: SND.WL1 is where the whole of it begins, and a segment's size
# is looked at once (tcp_measure_rcv_mss). So a peer whose full segments become smaller on the way, which no peer here
# does, would be seen to do so one segment later.
LIBERTIES = {"snd_wl1", "last_size"}


def compare(options, steps, follow=FOLLOW):
    """Have the conversation with coupling and without. AssertionError where the two part."""
    found = part(options, steps, *(partial(mock.patch.object, Batch, "follow", function)
                                   for function in (follow, lambda *args: None)), LIBERTIES)
    assert found is None, found


NEXT = ("text", 0, {})
# what a batch holds: concrete, as Hypothesis takes a strategy that is named twice for one
FRAMES = [NEXT] * 24 + [("text", 0, more) for more in (
    {"flags": "P"}, {"flags": "P"}, {"win": 3000}, {"win": 0}, {"stamp": 1}, {"stamp": 50}, {"tos": 3},
    {"behind": 1000}, {"behind": -1}, {"flags": "E"}, {"flags": "W"})] + [("text", 1, {}), ("text", 2, {}), ("text", -1, {}), ("ack", {}),
                                                       ("ack", {"win": 3000}), ("ack", {"behind": 1000})]
BATCH = st.tuples(st.just("together"), st.lists(st.sampled_from(FRAMES), min_size=4, max_size=16))
STEPS = st.lists(st.one_of(
    BATCH, st.sampled_from([NEXT, ("write", 1), ("write", 1000), ("write", 5000), ("read", 1), ("read", 1000),
                            ("read", 100_000), ("read", 100_000), ("pause", 0.001), ("pause", 0.04), ("pause", 0.5),
                            ("shutdown",), ("buffer", 8000)])), min_size=2, max_size=12)
OPTIONS = st.builds(
    Options, wrap=st.booleans(), active=st.booleans(), timestamps=st.booleans(), sack=st.booleans(),
    scale=st.sampled_from([None, 7]), win=st.sampled_from([65535, 65535, 65535, 3000, 0]),
    settings=st.sampled_from([(), (), (), (("rcvbuf", 8192), ("rcvbuf_max", 8192)), (("rcvbuf", 8192),)]),
    sizes=st.lists(st.sampled_from([1000] * 24 + [60, 10]), min_size=12, max_size=60).map(tuple),
    fin=st.sampled_from([None, "bare", "with text"]))


def test_coupling_changes_nothing():
    counts = []

    def counted(self, tcb, flags, text, size):
        counts.append(-(-len(text) // size))
        ARRIVES(self, tcb, flags, text, size)

    @settings(max_examples=300)
    @given(OPTIONS, STEPS)
    def check(options, steps):
        compare(options, steps)

    with mock.patch.object(Batch, "_arrives", counted):
        check()
    assert sum(count > 1 for count in counts) > 50


def wire_counts(options, steps):
    """How many wire segments stood for one, each time several did."""
    counts = []

    def watched(self, tcb, flags, text, size):
        counts.append(-(-len(text) // size))
        ARRIVES(self, tcb, flags, text, size)
    with mock.patch.object(Batch, "_arrives", watched):
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
    def hasty(self, *segment):
        FOLLOW(self, *segment)
        self._next += 1000
    with pytest.raises(AssertionError, match="a difference in step 0"):
        compare(Options(sizes=(1000,) * 5), [("together", [("text", 0, {}), ("text", 1, {})])], hasty)
