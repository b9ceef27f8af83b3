"""Conversations of a peer and a program over a stack, to be had twice and compared.

What must make no difference (a short cut, putting segments together) is left out the second time: the same segments
must leave at the same times, the program's calls must have the same results, and after each step the connection must be
the same to the last variable.
"""

import contextlib
import errno
import zlib
from enum import Enum
from typing import NamedTuple
from unittest import mock

from tipy import log
from tipy.testing.bed import Bed
from tipy.testing.peer import Peer, pattern

WRAP = 1 << 32
BELOW = 1500                   # so far below 2**32 the numbers begin
SILENCE = 3.0                  # seconds after the last step, in which what is due may come
PLAIN = int, float, str, list, tuple, Enum, type(None)
PARTS = "rcv", "rtt", "cc", "loss", "urgent"


class Options(NamedTuple):
    """What the ends have agreed on, and what the peer has to say."""

    wrap: bool = False
    active: bool = False           # the stack opens
    timestamps: bool = False
    sack: bool = True
    scale: int | None = None       # of the peer's window
    win: int = 65535               # the peer's window
    settings: tuple = ()           # of the stack: pairs
    sizes: tuple = (1000,) * 5     # of the peer's segments
    fin: str | None = None         # "bare", or "with text"


class Turn(NamedTuple):
    """One step, the lines it has left in the trace, and the connection's variables after it."""

    step: tuple
    lines: list
    variables: dict


# -- one conversation -----------------------------------------------------------------------------


class Talk:
    """A peer and a program have a conversation over a stack. Steps:

    ("text", ahead, more)   the peer sends a segment: the first it has not sent yet (0), a later one, an earlier one
    ("ack", more)           it sends a bare ACK
    ("together", steps)     these steps of the peer's, their frames handed in as one batch
    ("write", size), ("read", size), ("buffer", size), ("shutdown",)   the program's calls; buffer: SO_RCVBUF
    ("pause", seconds)

    `more` says what is odd about the segment: "behind": by so many bytes the ACK is late (negative: too early); "stamp":
    by so many ms the time stamp is; "sack": (left, right) after what is acknowledged; "flags", "win", "urgent", "tos".
    """

    def __init__(self, options):
        log.choose(())
        self.options = options
        self.bed = Bed(iss=WRAP - BELOW if options.wrap else None, **dict(options.settings))
        self.peer = Peer(self.bed, iss=WRAP - BELOW - 200 if options.wrap else 10000)
        self.sock = self.peer.established(active=options.active, ts=options.timestamps, sack=options.sack,
                                          ws=options.scale, win=options.win)
        self.segments = segments(options.sizes, options.fin)
        self.sent = set()              # indices of these
        self.written = 1               # number of the next byte the program writes

    def run(self, steps):
        """Have it; a Turn for each step, and for the silence after them."""
        try:
            turns = [self._turn(step) for step in [*steps, ("pause", SILENCE)]]
        except BaseException:
            self.bed.stack.stop()
            raise
        self.bed.stop()
        return turns

    def _turn(self, step):
        kind, *rest = step
        before = len(self.bed.trace)
        getattr(self, "_" + kind)(*rest)
        return Turn(step, self.bed.trace[before:], self._variables())

    def _variables(self):
        found = {}
        for tcb in self.bed.stack.tcp.connections.values():
            found.update(plain(tcb))
            for name in PARTS:
                found.update((f"{name}.{key}", value) for key, value in plain(getattr(tcb, name, None)).items())
        return found

    # -- what the peer does

    def _text(self, ahead, more):
        missing = [index for index in range(len(self.segments)) if index not in self.sent]
        at = (missing[0] if missing else len(self.segments)) + ahead
        index = min(max(at, 0), len(self.segments) - 1)
        self.sent.add(index)
        seq, size, fin = self.segments[index]
        self._send(("F" if fin else "") + ".", seq, size, more)
        for index, (seq, size, fin) in enumerate(self.segments):
            if index in self.sent and seq == self.peer.next:
                self.peer.next += size + fin

    def _ack(self, more):
        self._send(".", self.peer.next, 0, more)

    def _send(self, flags, seq, size, more):
        peer = self.peer
        ack = max(peer.got - more.get("behind", 0), 1)
        fields = {name: more[name] for name in ("win", "urgent", "tos") if name in more}
        if "stamp" in more and peer.timestamps:
            fields["ts"] = (peer.tsval() - more["stamp"], peer.last_tsval)
        if "sack" in more and self.options.sack:
            fields["sack"] = [tuple(ack + edge for edge in more["sack"])]
        peer.send(more.get("flags", "") + flags, seq, ack, payload=size, **fields)

    def _together(self, steps):
        frames, stack = [], self.bed.stack
        with mock.patch.object(self.bed.link, "deliver", frames.append):
            for kind, *rest in steps:
                getattr(self, "_" + kind)(*rest)
        stack.receive([(frame, False, 0) for frame in frames])

    # -- what the program does

    def _write(self, size):
        with self._noting(f"write({size})"):
            count = self.sock.send(pattern(self.written, size))
            self.written += count
            self.bed.note(f"wrote {count}")

    def _read(self, size):
        with self._noting(f"read({size})"):
            data = self.sock.recv(size)
            self.bed.note(f"read {len(data)} bytes, crc {zlib.crc32(data):08x}")

    def _buffer(self, size):
        self.sock.setsockopt(self.bed.socket.SOL_SOCKET, self.bed.socket.SO_RCVBUF, size)

    def _shutdown(self):
        with self._noting("shutdown()"):
            self.sock.shutdown(1)

    def _pause(self, seconds):
        self.bed.advance(seconds)

    @contextlib.contextmanager
    def _noting(self, call):
        try:
            yield
        except OSError as error:
            self.bed.note(f"{call}: {errno.errorcode[error.errno]}")


def segments(sizes, fin):
    """The peer's stream cut into (seq, size, fin)."""
    found, at = [], 1
    for size in sizes:
        found.append((at, size, False))
        at += size
    if fin == "bare":
        found.append((at, 0, True))
    elif fin:
        found[-1] = (*found[-1][:2], True)
    return found


def plain(thing):
    """The variables of an object that are numbers or names, or lists of such things, as text."""
    names = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    values = {name: getattr(thing, name, None) for name in [*names, *getattr(thing, "__dict__", ())]}
    return {name: str(value) for name, value in values.items() if isinstance(value, PLAIN)}


# -- two of them ----------------------------------------------------------------------------------


def part(options, steps, with_it, without, ignored=()):
    """Have the conversation in the context that with_it() makes, and in that of without(). None, or the text that tells
    where the two part; `ignored`: names of variables that may differ."""
    talks = []
    for context in with_it, without:
        with context():
            talks.append(Talk(options).run(steps))
    so_far = []
    for number, turns in enumerate(zip(*talks)):
        one, other = (turn._replace(variables={k: v for k, v in turn.variables.items() if k not in ignored})
                      for turn in turns)
        if one != other:
            return "\n".join([f"a difference in step {number}, {one.step}", *so_far, *difference(one, other)])
        so_far += one.lines
    return None


def difference(with_it, without):
    """Lines that say in what two Turns differ."""
    if with_it.lines != without.lines:
        return ["with it:", *with_it.lines, "without:", *without.lines]
    names = sorted(with_it.variables.keys() | without.variables.keys())
    pairs = [(name, with_it.variables.get(name), without.variables.get(name)) for name in names]
    return [*with_it.lines, *(f"{name} is {one} with it, {other} without" for name, one, other in pairs if one != other)]
