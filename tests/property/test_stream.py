"""A stream is a stream, whatever the wire and the programs do: bytes out are bytes in, and nothing is left.

Loss, duplication, reordering, delay, single-bit corruption in any schedule; any sequence of sends, receives,
pauses and shutdowns. (Corruption that keeps the 16-bit sum is not TCP's to catch.) In half of the runs both
first sequence numbers lie just below 2**32. A failing run names its seed and leaves a capture.
"""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_net import Conversation, near_the_wrap
from tipy.link.faults import FaultLink

SIZES = st.one_of(st.integers(1, 10), st.integers(1, 3000), st.integers(1, 60_000))
DELAYS = st.one_of(st.floats(0.0001, 0.02), st.floats(0.02, 3.0))
FATES = st.lists(st.one_of(
    st.just(("pass",)), st.just(("drop",)), st.tuples(st.just("copy"), DELAYS),
    st.tuples(st.just("delay"), DELAYS), st.tuples(st.just("flip"), st.integers(0, 12_000))), max_size=80)
STEPS = st.lists(st.one_of(
    st.tuples(st.just("send"), SIZES), st.tuples(st.just("recv"), SIZES),
    st.tuples(st.just("pause"), st.floats(0.0, 2.0)), st.just(("shutdown",))), max_size=8)
CHUNKY = [("send", 40_000), ("recv", 20_000), ("send", 40_000)]


def links_with_faults(seed, **faults):
    """Both ends behind a FaultLink, each with faults on the way out."""
    def links(a, b):
        return [FaultLink(link, seed=seed + number, direction="out", **faults)
                for number, link in enumerate((a, b))]
    return links


@given(STEPS, STEPS, FATES, st.booleans())
def test_stream_is_whole_under_any_schedule_of_the_wire(a_steps, b_steps, fates, wrap):
    Conversation((a_steps, b_steps), fates=fates, wrap=wrap).run()


@given(STEPS, STEPS, FATES, st.booleans(), st.sampled_from([
    dict(sack=False), dict(timestamps=False), dict(window_scaling=False), dict(ecn=1), dict(recovery=False),
    dict(congestion_control="reno"), dict(congestion_control="none"), dict(rcvbuf=4096, rcvbuf_max=4096),
    dict(sack=False, timestamps=False, window_scaling=False, sndbuf=4608, sndbuf_max=4608), dict(mtu=576),
    dict(mtu=9000), dict(dsack=False), dict(delayed_ack=0.5)]))
def test_stream_is_whole_with_any_options(a_steps, b_steps, fates, wrap, settings):
    Conversation((a_steps, b_steps), fates=fates, wrap=wrap, **settings).run()


RATES = st.floats(0.0, 0.25)


@given(st.integers(0, 1 << 32), st.booleans(), RATES, RATES, RATES, st.floats(0.0, 0.1),
       st.floats(0.0, 0.05), st.floats(0.0, 0.05))
def test_stream_is_whole_through_a_fault_link(seed, wrap, loss, duplicate, reorder, corrupt, delay, jitter):
    links = links_with_faults(seed, loss=loss, duplicate=duplicate, reorder=reorder, corrupt=corrupt,
                              delay=delay, jitter=jitter)
    Conversation((CHUNKY, CHUNKY), seed=seed, wrap=wrap, links=links).run()


@pytest.mark.parametrize("wrap", [False, True])
def test_numbers_start_where_they_shall(wrap):
    conversation = Conversation((CHUNKY, CHUNKY), wrap=wrap)
    conversation.run()
    assert len(conversation.isn) == 2
    assert all((isn > 0xFFFF0000) is wrap for isn in conversation.isn)
    assert near_the_wrap() == near_the_wrap()


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_stream_is_whole_when_nearly_nothing_gets_through(seed, wrap):
    links = links_with_faults(seed, loss=0.4, duplicate=0.2, reorder=0.3, corrupt=0.05, delay=0.01,
                              jitter=0.02)
    settings = dict(syn_retries=30, synack_retries=30, retries2=255)
    Conversation((CHUNKY, CHUNKY), seed=seed, wrap=wrap, links=links, patient=True, **settings).run()


# -- the test tests itself --------------------------------------------------------------------------


def test_conversation_finds_wrong_bytes_and_says_where():
    conversation = Conversation(([("send", 100)], []))
    conversation.programs[0].seed = "somebody else"
    with pytest.raises(AssertionError, match="wrong bytes at 0") as caught:
        conversation.run()
    (note,) = caught.value.__notes__
    assert "seed 1" in note
    assert capture_of(caught.value).startswith(b"\x0a\x0d\x0d\x0a")


def capture_of(error):
    """The bytes of the capture that an error names, which is removed."""
    path = error.__notes__[0].rpartition("packets: ")[2]
    with open(path, "rb") as file:
        content = file.read()
    os.unlink(path)
    return content


def test_conversation_finds_bytes_that_are_missing():
    conversation = Conversation(([("send", 100)], []))
    conversation.programs[0].sent = 1000
    with pytest.raises(AssertionError, match="wrong bytes at 0|bytes were lost") as caught:
        conversation.run()
    assert capture_of(caught.value)
