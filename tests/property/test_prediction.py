"""The short cuts of a conversation are short cuts and nothing else: the long way would do the same.

tipy.tcp.prediction takes the segments that a healthy connection consists of past the numbered checks of RFC 9293
section 3.10.7.4, as 4.4BSD did, and output.send_alone what goes out in one segment past the questions of send_new. So any
conversation must go the same way with them and without: the same segments at the same times, the same results of the
program's calls, and after each step the same connection to the last variable.

A peer says whatever a strategy thinks up: its text in order, early, again, beyond the window; ACKs that are late, or of
nothing ever sent; SACK, ECN marks, urgent bytes, FINs, changing windows, time stamps that run backwards. In half of the
runs both ends' numbers pass 2**32 within the first segments. A failing run prints the conversation up to where the two
part.
"""

from contextlib import ExitStack, contextmanager
from functools import partial
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talk import Options, part
from tipy.tcp import batch, layer, output
from tipy.tcp.output import send_alone
from tipy.tcp.prediction import predicted

# Where the short cut takes a liberty, as Linux does (tcp_rcv_established): it does not look at the ACK of text if that
# tells nothing new, so it refreshes nothing that every ACK refreshes.
LIBERTIES = {"last_heard", "probes_out", "keepalives_out", "soft_error"}


def refuse(*segment):
    """In the place of a short cut."""
    return False


@contextmanager
def short_cuts(receive, send):
    """These functions in the place of `predicted` and `send_alone`."""
    with ExitStack() as stack:
        for module, name, function in (layer, "predicted", receive), (batch, "predicted", receive), (output, "send_alone", send):
            stack.enter_context(mock.patch.object(module, name, function))
        yield


def compare(options, steps, receive=predicted, send=send_alone):
    """Have the conversation with the short cuts and without. AssertionError where the two part."""
    found = part(options, steps, partial(short_cuts, receive, send), partial(short_cuts, refuse, refuse), LIBERTIES)
    assert found is None, found


# -- what may happen ------------------------------------------------------------------------------


def oddities(**strategies):
    """A dict of what is odd about a segment: mostly few things."""
    return st.fixed_dictionaries({}, optional=strategies)


WINDOWS = st.sampled_from([0, 100, 1000, 5000, 65535])
STAMPS = st.sampled_from([1, 2, 50])
BEHIND = st.sampled_from([1, 500, 1000, 2000, -1, -1000])
AHEAD = st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2, 4, -1, -2])
BLOCKS = st.sampled_from([(1000, 2000), (1, 1001), (2000, 5000), (-1000, 0)])
HALF_LOST = {"behind": 2000, "sack": (1000, 2000)}       # of the last two segments the first
URGENT = {"flags": "U", "urgent": 500}
USUAL = st.sampled_from([{}, {}, {"flags": "P"}, {"behind": 1000}, HALF_LOST, URGENT])
PLAIN_TEXT = st.tuples(st.just("text"), AHEAD, USUAL)
ODD_TEXT = st.tuples(st.just("text"), AHEAD, oddities(
    behind=BEHIND, win=WINDOWS, stamp=STAMPS, sack=BLOCKS, tos=st.just(3), flags=st.sampled_from(["P", "E", "W", "EW"])))
STEPS = st.lists(st.one_of(
    PLAIN_TEXT, PLAIN_TEXT.map(tuple), ODD_TEXT, st.tuples(st.just("ack"), st.sampled_from([{}, {"behind": 1000}, HALF_LOST])),
    st.tuples(st.just("ack"), oddities(behind=BEHIND, win=WINDOWS, stamp=STAMPS, sack=BLOCKS, flags=st.just("E"))),
    st.tuples(st.just("write"), st.sampled_from([1, 100, 1000, 3000, 5000, 40000])),
    st.tuples(st.just("read"), st.sampled_from([1, 100, 1000, 5000])),
    st.tuples(st.just("pause"), st.sampled_from([0.001, 0.01, 0.04, 0.1, 0.5])),
    st.one_of(st.just(("shutdown",)), st.tuples(st.just("buffer"), st.sampled_from([2304, 8000])))),
    min_size=6, max_size=40)
OPTIONS = st.builds(
    Options, wrap=st.booleans(), active=st.booleans(), timestamps=st.booleans(),
    sack=st.sampled_from([True, True, False]), scale=st.sampled_from([None, 0, 7]),
    win=st.sampled_from([500, 3000, 65535]),
    settings=st.sampled_from([(), (("ecn", 0),), (("rcvbuf", 4096), ("rcvbuf_max", 4096)),
                              (("congestion_control", "none"),)]),
    sizes=st.lists(st.sampled_from([1, 10, 100, 500, 1000, 1000]), min_size=1, max_size=12).map(tuple),
    fin=st.sampled_from([None, "bare", "with text"]))


@settings(max_examples=300)
@given(OPTIONS, STEPS)
def test_prediction_changes_nothing(options, steps):
    compare(options, steps)


# For conditions of the short cut that chance does not meet in every run.
RARE = {
    "FIN early": (Options(sizes=(1000,), fin="bare"), [("text", 1, {}), ("text", 0, {})]),
    "text early": (Options(), [("text", 1, {}), ("text", 0, {}), ("text", 0, {})]),
    "urgent byte": (Options(), [("ack", URGENT), ("text", 0, {}), ("read", 5000), ("text", 0, {}), ("read", 5000)]),
    "SACK": (Options(timestamps=True), [("write", 5000), ("ack", HALF_LOST), ("ack", {})]),
    "SACK on text": (Options(timestamps=True), [("write", 5000), ("text", 0, HALF_LOST), ("ack", {})]),
    "loss": (Options(), [("write", 5000), ("ack", HALF_LOST), ("pause", 0.5), ("text", 0, {}), ("ack", {})]),
    "beyond the window": (Options(settings=(("rcvbuf", 4096), ("rcvbuf_max", 4096))), [("text", 0, {})] * 5),
    "window closed": (Options(), [("write", 3000), ("ack", {"win": 0}), ("write", 3000), ("pause", 0.5),
                                  ("text", 0, {"win": 5000}), ("ack", {})]),
}


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("case", RARE)
def test_prediction_changes_nothing_where_it_must_stand_back(case, wrap):
    options, steps = RARE[case]
    compare(options._replace(wrap=wrap), steps)


@pytest.mark.parametrize("win", [1000, 3000])
def test_an_overtaken_segment_does_not_bring_its_window(win):
    """RFC 9293 3.10.7.4: SND.WL1 says which segment the window is from; one that was sent before that does not change it.
    Here a bare ACK from behind the text comes first, for the text's first copy had an ACK of nothing ever sent."""
    compare(Options(), [("text", 0, {"behind": -1}), ("ack", {"win": 2000}), ("text", -1, {"win": win})])


# -- the test tests itself --------------------------------------------------------------------------

HEALTHY = [("text", 0, {}), ("write", 1500), ("ack", {}), ("read", 5000), ("text", 0, {"flags": "P"})]


@pytest.mark.parametrize("options", [Options(), Options(wrap=True), Options(timestamps=True, scale=7, active=True)])
def test_segments_of_a_healthy_connection_are_predicted(options):
    """Else all the above would compare the slow way with itself."""
    verdicts = []

    def watched(*segment):
        verdicts.append(predicted(*segment))
        return verdicts[-1]
    compare(options, HEALTHY, watched)
    assert verdicts == [True] * 3


@pytest.mark.parametrize("options", [Options(), Options(wrap=True), Options(timestamps=True, scale=7, active=True)])
@pytest.mark.parametrize("steps, verdicts", [
    ([("write", 1), ("ack", {}), ("write", 600), ("ack", {})], [True] * 2),
    ([("write", 100), ("write", 100), ("ack", {}), ("ack", {})], [True] * 2),       # Nagle has the second wait
    ([("write", 3000)], [False]),
    ([("write", 1), ("ack", {"win": 0}), ("write", 100)], [True, False]),
])
def test_what_goes_out_alone(options, steps, verdicts):
    found = []

    def watched(*segment):
        found.append(send_alone(*segment))
        return found[-1]
    compare(options, steps, send=watched)
    assert found == verdicts


def test_a_short_cut_past_the_fin_is_found_and_shown():
    """A FIN comes early, then the text before it: with that the stream ends, which is not for the short cut to see."""
    def hasty(tcb, *segment):
        tcb.fin_at, hidden = None, tcb.fin_at
        taken = predicted(tcb, *segment)
        tcb.fin_at = hidden
        return taken
    with pytest.raises(AssertionError, match=r"in step 1, \('text', -1, \{\}\)") as caught:
        compare(Options(sizes=(1000,), fin="bare"), [("text", 1, {}), ("text", -1, {})], hasty)
    found = str(caught.value)
    assert "1:1001(1000) ack 1" in found
    assert found.index("ack 1001") < found.index("without:") < found.index("ack 1002")


def test_a_short_cut_that_leaves_a_variable_is_found_and_shown():
    def forgetful(tcb, *segment):
        before = tcb.bytes_received
        taken = predicted(tcb, *segment)
        tcb.bytes_received = before
        return taken
    with pytest.raises(AssertionError, match="bytes_received is 0 with it, 1000 without"):
        compare(Options(), HEALTHY, forgetful)


def test_a_short_cut_that_sets_no_timer_is_found():
    def careless(tcb, queue, hold):
        taken = send_alone(tcb, queue, hold)
        tcb.disarm()
        return taken
    with pytest.raises(AssertionError, match="difference in step 0"):
        compare(Options(), [("write", 100), ("pause", 0.5)], send=careless)
