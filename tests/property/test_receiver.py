"""What a receiver acknowledges and reports, whatever the order in which text arrives and however it overlaps.

A model, `Receiver`, keeps a set of bytes and says after each segment what the ACK must be: the next byte missing (RFC 9293
3.10.7.4), what came twice (RFC 2883), and the blocks that wait beyond a gap, the newest first (RFC 2018). It says what
Linux's out-of-order queue says (tcp_data_queue, tcp_data_queue_ofo, tcp_ofo_queue in net/ipv4/tcp_input.c, its buffers
not coalesced), except that Linux, once a block has fallen off its list of four, reports the next segment in it without
the rest of it; RFC 2018 section 4 wants the whole.

Segments are told in units: (2, 5) is the text from unit 2 up to unit 5, and a FIN may end the last one. In half of the
runs the numbers pass 2**32 in the middle of the stream. A failing run prints the conversation.
"""

import itertools
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipy import log
from tipy.testing.bed import Bed
from tipy.testing.peer import ANY, Peer, pattern

REMEMBERED = 4                 # blocks Linux keeps
DELAY = 0.3                    # seconds in which an ACK of text in order must have come (RFC 9293 3.8.6.3: 0.5)
FEW, MANY = 8, 24              # units of a stream
WRAP = 1 << 32


class Text(NamedTuple):
    """A segment, in units of the stream. With `fin` it reaches to the stream's end, and may hold nothing else."""

    left: int
    right: int
    fin: bool = False


class Options(NamedTuple):
    """What the ends have agreed on, and where they start."""

    wrap: bool = False             # the numbers pass 2**32 in the middle of the stream
    sack: bool = True
    dsack: bool = True
    timestamps: bool = False
    active: bool = False           # the stack opens
    closed: bool = False           # the stack has sent its FIN before: FIN-WAIT-2
    unit: int = 10                 # bytes


# -- the model ------------------------------------------------------------------------------------


class Receiver:
    """What the ACK of each segment must say. A FIN is the last byte of the sequence space: `end` follows it."""

    def __init__(self, end, options):
        self.end, self.options = end, options
        self.next = 1                  # the first byte missing (RCV.NXT)
        self.early = set()             # bytes beyond it
        self.blocks = []               # of them, those reported, the newest first

    def arrives(self, left, right):
        """Take the bytes left..right; (acknowledgment, SACK blocks)."""
        twice = self._came_twice(left, right)
        self.early.update(range(max(left, self.next), right))
        if left > self.next:
            self._report(left)
        elif right > self.next and self._fill() and not self.options.closed:
            return self.next, ()       # a FIN in ESTABLISHED leaves nothing to report; later there may be a DSACK
        return self.next, self._option(twice)

    def at_once(self, left, right):
        """Must this segment be acknowledged at once? All must but what just comes next (RFC 5681 section 4.2)."""
        return left != self.next or bool(self.early) or right == self.end

    def _has(self, byte):
        return byte < self.next or byte in self.early

    def _came_twice(self, left, right):
        """The first run of bytes in left..right that are here already, or None: a DSACK tells one run."""
        first = next((byte for byte in range(left, right) if self._has(byte)), None)
        if first is None:
            return None
        return first, next(end for end in itertools.count(first) if end == right or not self._has(end))

    def _report(self, byte):
        """The block around `byte` is the newest (RFC 2018 section 4); it takes in the blocks it has grown over."""
        left = next(start for start in itertools.count(byte, -1) if start - 1 not in self.early)
        right = next(end for end in itertools.count(byte) if end not in self.early)
        others = [block for block in self.blocks if block[1] < left or block[0] > right]
        self.blocks = [(left, right), *others][:REMEMBERED]

    def _fill(self):
        """RCV.NXT has come: with it go all that continue it. True if the FIN was among them."""
        while self.next in self.early:
            self.early.remove(self.next)
            self.next += 1
        self.blocks = [block for block in self.blocks if block[0] > self.next]
        return self.next == self.end

    def _option(self, twice):
        """The SACK option: room for four blocks, for three beside time stamps; the DSACK is the first."""
        if not self.options.sack:
            return ()
        blocks = [twice, *self.blocks] if twice and self.options.dsack else self.blocks
        return tuple(blocks[:3 if self.options.timestamps else 4])


# -- the stack ------------------------------------------------------------------------------------


class Stream:
    """A connection on which a peer sends a stream of `units` units and a FIN, in any pieces; the stack's answers are
    compared with the model's."""

    def __init__(self, units, options):
        log.choose(())
        self.unit, self.closed = options.unit, options.closed
        self.model = Receiver(self._number(units) + 1, options)
        middle = self._number(units // 2)
        self.bed = Bed(iss=WRAP - 1 if options.wrap else None, dsack=options.dsack)
        self.peer = Peer(self.bed, iss=WRAP - middle if options.wrap else 10000)
        start = self.peer.fin_wait_2 if self.closed else self.peer.established
        self.sock = start(active=options.active, sack=options.sack, ts=options.timestamps)
        self.heard = 1 + self.closed   # what the peer acknowledges
        self.read = 1                  # number of the next byte the program will read

    def run(self, segments):
        """Send these; AssertionError, with the conversation, if an answer or a byte is not as it must be."""
        try:
            for segment in segments:
                self._send(segment)
                self._read()
                if self.closed and self.model.next == self.model.end:
                    break              # TIME-WAIT: what comes then is no receiver's business any more
        except BaseException:
            self.bed.stack.stop()
            raise
        self.bed.stop()

    def _number(self, unit):
        return 1 + unit * self.unit

    def _send(self, segment):
        left, right = self._number(segment.left), self._number(segment.right)
        end = right + segment.fin
        within = None if self.model.at_once(left, end) else DELAY
        ack, blocks = self.model.arrives(left, end)
        self.bed.note(f"must be answered with ack {ack} sack {blocks}:")
        self.peer.send("F." if segment.fin else ".", left, ack=self.heard, payload=right - left)
        self.peer.expect(".", self.heard, ack, sack=blocks, within=within)
        self.peer.expect_nothing()

    def _read(self):
        """The program can read what is acknowledged and no more, and sees the end once the FIN is acknowledged."""
        ended = self.model.next == self.model.end
        size = self.model.next - ended - self.read
        wanted = pattern(self.read, size) if size or ended else None
        try:
            came = self.sock.recv(1 << 16)
        except BlockingIOError:
            came = None
        if came != wanted:
            self.peer.fail(f"from byte {self.read} on the program read {came!r}, not {wanted!r}")
        self.read += size


# -- what may come --------------------------------------------------------------------------------

OPTIONS = st.builds(Options, wrap=st.booleans(), sack=st.sampled_from([True, True, True, False]),
                    dsack=st.sampled_from([True, True, True, False]), timestamps=st.booleans(),
                    active=st.booleans(), closed=st.booleans(), unit=st.sampled_from([1, 10, 200]))


@st.composite
def texts(draw, units, longest, first=0):
    """A segment without a FIN, from unit `first` on."""
    left = draw(st.integers(first, units - 1))
    return Text(left, min(left + draw(st.integers(1, longest)), units))


def fins(units, longest):
    """A segment that ends with the FIN, or is nothing else."""
    return st.builds(lambda length: Text(units - length, units, True), st.integers(0, longest))


@settings(max_examples=250)
@given(st.lists(texts(FEW, 6) | texts(FEW, 3, first=1) | fins(FEW, 6), min_size=2, max_size=12), OPTIONS)
def test_any_order_and_overlap(segments, options):
    Stream(FEW, options).run(segments)


@settings(max_examples=150)
@given(st.lists(texts(MANY, 2, first=1) | texts(MANY, 6, first=1) | texts(MANY, 3), min_size=6, max_size=20), OPTIONS)
def test_more_blocks_than_the_option_holds(segments, options):
    """RFC 2018 section 4: the newest are told. A block that has fallen off the list is told again, whole, when more of it
    comes. (Text only: here Linux is not consistent about FINs.)"""
    Stream(MANY, options).run(segments)


RUNS = [Text(left, right) for left, right in itertools.combinations(range(7), 2)]
EARLY = [(first, second) for first, second in itertools.permutations(RUNS, 2)
         if first.left and second.left and (first.right < second.left or second.right < first.left)]


@pytest.mark.parametrize("last", RUNS, ids=lambda text: f"{text.left}-{text.right}")
def test_every_overlap_with_two_blocks(last):
    """Two blocks wait, in either order; a segment comes that touches, overlaps or covers them in every way there is."""
    for number, early in enumerate(EARLY):
        Stream(6, Options(wrap=bool(number & 1))).run([*early, last])


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("order", list(itertools.permutations([Text(0, 1), Text(1, 2), Text(2, 3), Text(3, 3, True)])),
                         ids=lambda order: " ".join("fin" if text.fin else str(text.left) for text in order))
def test_a_fin_counts_once_all_before_it_has_come(order, wrap):
    """RFC 9293 3.10.7.4: a FIN may overtake the text. It is a byte to SACK, and to DSACK when all comes again."""
    Stream(3, Options(wrap=wrap)).run([*order, *order])


# -- the test tests itself --------------------------------------------------------------------------


def told(receiver, *segments):
    """What the model says after each of these, given as (left, right) in bytes."""
    return [receiver.arrives(*segment) for segment in segments]


def standing_at(byte):
    """The model of a receiver that has got all before `byte`."""
    receiver = Receiver(99_999, Options())
    receiver.next = byte
    return receiver


def test_model_speaks_as_the_example_of_rfc_2018():
    """Section 5, case 3: of eight segments the second, fourth, sixth and eighth are lost; then the fourth comes, then the
    second."""
    assert told(standing_at(5000), (5000, 5500), (6000, 6500), (7000, 7500), (8000, 8500), (6500, 7000),
                (5500, 6000)) == [
        (5500, ()), (5500, ((6000, 6500),)), (5500, ((7000, 7500), (6000, 6500))),
        (5500, ((8000, 8500), (7000, 7500), (6000, 6500))), (5500, ((6000, 7500), (8000, 8500))),
        (7500, ((8000, 8500),))]


def test_model_speaks_as_the_examples_of_rfc_2883():
    """Section 4.1: a segment comes twice; it does while another is missing; one of those beyond the gap does."""
    assert told(standing_at(4000), (3000, 3500)) == [(4000, ((3000, 3500),))]
    assert told(standing_at(4000), (4500, 5000), (3000, 3500))[-1] == (4000, ((3000, 3500), (4500, 5000)))
    assert told(standing_at(4000), (4500, 5000), (5000, 5500), (5000, 5500))[1:] == [
        (4000, ((4500, 5500),)), (4000, ((5000, 5500), (4500, 5500)))]


@pytest.mark.parametrize("options,blocks", [
    (Options(), ((9, 11), (7, 8), (5, 6), (3, 4))), (Options(timestamps=True), ((9, 11), (7, 8), (5, 6))),
    (Options(sack=False), ())])
def test_model_tells_the_newest(options, blocks):
    assert told(Receiver(99, options), (1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (10, 11))[-1] == (2, blocks)


def test_a_wrong_answer_is_found_and_shown(monkeypatch):
    """A receiver that reports one byte too little."""
    from tipy.tcp import text
    right = text._duplicate
    monkeypatch.setattr(text, "_duplicate", lambda tcb, start, end: right(tcb, start, end - 1))
    with pytest.raises(AssertionError, match=r"sack \(\(11, 20\),\) \(expected \(\(11, 21\),\)\)") as caught:
        Stream(FEW, Options()).run([Text(0, 2), Text(1, 2)])
    assert ">  .   11:21(10) ack 1" in str(caught.value)
