"""Two stacks on a bad wire in virtual time, and programs that send, receive, pause and shut down on it.

A `Conversation` checks as it goes: what comes out is what went in, queues are bounded, nothing is left at
the end. It raises AssertionError itself (no assert here: `-O` would take it away), with the seed and the name
of a capture in the message.
"""

import functools
import io
import os
import tempfile

from tipy import log
from tipy.address import parse_ip
from tipy.clock import ManualClock
from tipy.link.memory import MemoryLink
from tipy.link.pcap import CaptureLink, PcapngWriter
from tipy.settings import Settings
from tipy.stack import Stack

A, B = "10.0.0.1", "10.0.0.2"
MAC = {A: "02:00:00:00:00:0a", B: "02:00:00:00:00:0b"}
SERVER_PORT = 80
ISN_RATE = 250_000             # RFC 9293 3.4.1
TURNS = 60_000                 # steps after which a conversation counts as stuck
PATIENCE = 40_000.0            # virtual seconds likewise
STUCK = 5.0                    # seconds after which a program that cannot send reads, and the other way round
LINGER = 400.0                 # virtual seconds in which TIME-WAIT and all else must be over
IN_A_ROW = 3                   # frames of one direction lost in succession, at most: the wire is bad, not cut


def pattern(seed, start, size):
    """`size` bytes of a stream, from `start`: any byte tells where it belongs."""
    block = _block(seed)
    at = start % len(block)
    return (block[at:] + block * (size // len(block) + 1))[:size]


@functools.lru_cache(maxsize=None)
def _block(seed):
    import random
    return random.Random(seed).randbytes(65521)        # a prime: no power of two hides a shift


@functools.lru_cache(maxsize=None)
def near_the_wrap(below=20_000):
    """(clock start, server seed, client port) with which both first sequence numbers lie less than `below`
    under 2**32. The ISN follows a clock and a hash (RFC 6528), so this is a search, not a setting."""
    client = _stack(A, ManualClock(), 1, MemoryLink())
    for seed in range(2, 200):
        server = _stack(B, ManualClock(), seed, MemoryLink())
        for port in range(1024, 65536, 7):
            ends = (parse_ip(A), port), (parse_ip(B), SERVER_PORT)
            start = (-below // 2 - client.tcp.numbers.initial(*ends, 0.0)) % (1 << 32) / ISN_RATE
            if server.tcp.numbers.initial(*ends[::-1], start) >= (1 << 32) - below:
                return start, seed, port
    raise AssertionError("no such numbers: the search is too narrow")


def _stack(address, clock, seed, link, **settings):
    log.choose(())
    values = Settings.load(use_user_files=False, acd=False, address=f"{address}/24", mac=MAC[address],
                           **settings)
    return Stack(link=link, clock=clock, seed=seed, settings=values)


class Wire:
    """Joins two MemoryLinks. What happens to each frame is told by `fates`, one after the other; when they
    are used up, the wire is good. A fate: ("pass",), ("drop",), ("copy", seconds), ("delay", seconds),
    ("flip", number): the bit that changes, counted modulo the frame's length."""

    def __init__(self, fates):
        self.fates = iter(fates)
        self.lost = {}                                 # direction -> frames lost in a row
        self.stacks = {}

    def port(self, address, mtu):
        """The link of the stack with that address."""
        return MemoryLink(mtu, functools.partial(self._carry, address))

    def _carry(self, sender, frame):
        receiver = B if sender == A else A
        fate = next(self.fates, ("pass",))
        lost = self.lost.get(sender, 0)
        if fate[0] in ("drop", "flip") and lost < IN_A_ROW:
            self.lost[sender] = lost + 1
            if fate[0] == "flip":
                self._deliver(receiver, _flip(frame, fate[1]))
            return
        self.lost[sender] = 0
        if fate[0] != "delay":
            self._deliver(receiver, frame)
        if fate[0] in ("delay", "copy"):
            stack = self.stacks[sender]
            with stack.gate:
                stack.timers.after(fate[1], lambda: stack.gate.after(self._deliver, receiver, frame))

    def _deliver(self, receiver, frame):
        link = self.stacks[receiver].link
        getattr(link, "inner", link).deliver(frame)


def _flip(frame, number):
    at = number % (len(frame) * 8)
    out = bytearray(frame)
    out[at >> 3] ^= 1 << (at & 7)
    return bytes(out)


class Program:
    """One end of the connection. Steps: ("send", bytes), ("recv", bytes), ("pause", seconds), ("shutdown",).

    It closes as soon as it has read the end of the stream, or, if `other` is set, once that has too: nobody
    waits for an orphan as long as for a connection that has an owner.
    """

    def __init__(self, seed, peer_seed, steps, clock):
        self.seed, self.peer_seed, self.steps, self.clock = seed, peer_seed, list(steps), clock
        self.sock = self.other = None
        self.sent = self.received = 0
        self.shut = self.ended = self.done = False
        self.until = self.stuck_since = None
        self.left = 0                                  # of the step under way

    def step(self):
        """Do what can be done now; True if that was anything."""
        if self.sock is None or self.done:
            return False
        if not self.steps:
            return self._finish()
        kind, *argument = self.steps[0]
        return getattr(self, "_" + kind)(*argument)

    def until_after(self, now):
        """When this program wants to be called again, or None."""
        return self.until if self.until is not None and self.until > now else None

    def _next(self):
        self.steps.pop(0)
        self.left, self.until, self.stuck_since = 0, None, None
        return True

    def _send(self, size):
        if self.shut:
            return self._next()
        self.left = self.left or size
        try:
            count = self.sock.send(pattern(self.seed, self.sent, self.left))
        except BlockingIOError:
            return self._cannot_send()
        self.sent += count
        self.left -= count
        self.stuck_since = None
        return self._next() if not self.left else True

    def _cannot_send(self):
        """Two programs that only send would wait for each other for ever."""
        return self._is_stuck() and self._read(1 << 20)

    def _is_stuck(self):
        now = self.clock.now()
        if self.stuck_since is None:
            self.stuck_since = now
            self.until = now + STUCK
        return now >= self.stuck_since + STUCK

    def _recv(self, size):
        self.left = self.left or size
        before = self.received
        progress = self._read(self.left)
        self.left -= self.received - before
        if progress:
            self.stuck_since = self.until = None
        if not self.left or self.ended or not progress and self._is_stuck():
            return self._next()
        return progress

    def _read(self, size):
        if self.ended:
            return False
        try:
            data = self.sock.recv(size)
        except BlockingIOError:
            return False
        if data != pattern(self.peer_seed, self.received, len(data)):
            raise AssertionError(f"wrong bytes at {self.received} of the stream of {self.peer_seed!r}")
        self.received += len(data)
        self.ended = not data
        return True

    def _pause(self, seconds):
        if self.until is None:
            self.until = self.clock.now() + seconds
        return self._next() if self.clock.now() >= self.until else False

    def _shutdown(self):
        if not self.shut:
            self.sock.shutdown(1)
            self.shut = True
        return self._next()

    def _finish(self):
        if not self.shut:
            self.sock.shutdown(1)
            self.shut = True
            return True
        if not self.ended:
            return self._read(1 << 16)
        if self.other is not None and not self.other.ended:
            return False
        self.sock.close()
        self.done = True
        return True


class Conversation:
    """A connection between two stacks, and what two programs say on it.

    links(a_link, b_link) may wrap the links; seed: of both stacks; wrap: first sequence numbers near 2**32;
    patient: both programs keep the connection until each has all the other's bytes.
    """

    def __init__(self, steps, *, fates=(), seed=1, wrap=False, mtu=1500, links=None, patient=False,
                 **settings):
        start, server_seed, self.port = near_the_wrap() if wrap else (1000.0, seed + 1, 50000)
        self.seed = seed
        self.start = start
        self.clock = ManualClock(start)
        self.wire = Wire(fates)
        self.file = io.BytesIO()
        ends = {address: self.wire.port(address, mtu) for address in (A, B)}
        if links is not None:
            ends = dict(zip(ends, links(*ends.values())))
        ends[A] = CaptureLink(ends[A], PcapngWriter(self.file), "a")
        self.a = _stack(A, self.clock, 1 if wrap else seed, ends[A], **settings)
        self.b = _stack(B, self.clock, server_seed, ends[B], **settings)
        self.stacks = self.a, self.b
        self.wire.stacks.update({A: _Bare(self.a), B: _Bare(self.b)})
        self.programs = [Program(name, other, steps_of_one, self.clock)
                         for name, other, steps_of_one in zip("ab", "ba", steps)]
        if patient:
            a, b = self.programs
            a.other, b.other = b, a
        self.isn = []

    def run(self):
        """Have the conversation; AssertionError, with seed and capture, if anything is wrong with it."""
        try:
            self._open()
            self._talk()
            self._look_back()
        except Exception as error:
            error.add_note(f"seed {self.seed}, client port {self.port}, clock started at {self.start:.4f}; "
                           f"packets: {self._leave_capture()}")
            raise
        finally:
            for stack in self.stacks:
                stack.stop()

    def _open(self):
        for stack, other in (self.stacks, self.stacks[::-1]):
            stack.start()
            stack.arp.add(other.settings.address.partition("/")[0], other.settings.mac)
        self.listener = self.b.socket.socket()
        self.listener.setblocking(False)
        self.listener.bind((B, SERVER_PORT))
        self.listener.listen()
        client = self.a.socket.socket()
        client.setblocking(False)
        client.bind((A, self.port))
        client.connect_ex((B, SERVER_PORT))
        self.client = client
        (tcb,) = self.a.tcp.connections.values()
        self.isn.append(tcb.iss & 0xFFFFFFFF)

    def _talk(self):
        for _ in range(TURNS):
            progress = self._connect()
            for program in self.programs:
                progress |= program.step()
            self._look_at_queues()
            if all(program.done for program in self.programs):
                return
            if not progress:
                self._wait()
        raise AssertionError(f"the conversation does not end: {self._state()}")

    def _connect(self):
        a, b = self.programs
        progress = False
        if a.sock is None:
            error = self.client.getsockopt(self.a.socket.SOL_SOCKET, self.a.socket.SO_ERROR)
            if error:
                raise AssertionError(f"the connection was not made: {os.strerror(error)}")
            if any(tcb.connected for tcb in self.a.tcp.connections.values()):
                a.sock, progress = self.client, True
        if b.sock is None:
            try:
                b.sock, _ = self.listener.accept()
            except BlockingIOError:
                return progress
            b.sock.setblocking(False)
            self.isn += [tcb.iss & 0xFFFFFFFF for tcb in self.b.tcp.connections.values()]
            return True
        return progress

    def _wait(self):
        """Go to the next moment at which something can happen."""
        now = self.clock.now()
        times = [self.clock.next_deadline(), *(program.until_after(now) for program in self.programs)]
        moments = [time for time in times if time is not None]
        if not moments:
            raise AssertionError(f"nothing is left that could happen: {self._state()}")
        if min(moments) > self.start + PATIENCE:
            raise AssertionError(f"it takes for ever: {self._state()}")
        self.clock.advance(max(min(moments) - now, 0.0))

    def _look_at_queues(self):
        for stack in self.stacks:
            for tcb in stack.tcp.connections.values():
                early = len(tcb.early.ranges) if tcb.early is not None else 0
                if (tcb.unread > stack.settings.rcvbuf_max or early > stack.settings.max_early_ranges
                        or len(tcb.sendq or ()) > stack.settings.sndbuf_max or len(stack.gate.inside) > 1000):
                    raise AssertionError(f"a queue has grown out of bounds: {self._state()}")

    def _look_back(self):
        a, b = self.programs
        if a.sent != b.received or b.sent != a.received:
            raise AssertionError(f"bytes were lost: {self._state()}")
        self.listener.close()
        self.clock.advance(LINGER)
        for stack in self.stacks:
            if stack.tcp.connections or stack.tcp.time_waits or len(stack.timers) or stack.errors:
                raise AssertionError(f"something is left of the connection: {self._state()}")

    def _state(self):
        lines = [f"time {self.clock.now():.4f}"]
        for program, stack in zip(self.programs, self.stacks):
            lines.append(f"{program.seed}: sent {program.sent}, received {program.received}, "
                         f"ended {program.ended}, steps left {program.steps[:3]}, "
                         f"connections {list(stack.tcp.connections.values())}, timers {len(stack.timers)}, errors {stack.errors}")
        return "\n".join(lines)

    def _leave_capture(self):
        file, path = tempfile.mkstemp(prefix=f"tipy-stream-{self.seed}-", suffix=".pcapng")
        with open(file, "wb") as out:
            out.write(self.file.getvalue())
        return path


class _Bare:
    """A stack and the MemoryLink at the bottom of its links."""

    def __init__(self, stack):
        self.gate, self.timers = stack.gate, stack.timers
        self.link = stack.link
        while hasattr(self.link, "inner"):
            self.link = self.link.inner
