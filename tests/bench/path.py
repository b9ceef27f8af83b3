"""A path between two stacks in virtual time: delay, loss, reordering, a bottleneck with a queue.

Nothing here depends on the machine: a ManualClock moves from event to event, the dice are seeded.
"""

from heapq import heappop, heappush
from random import Random

from tipy.clock import ManualClock
from tipy.link.base import Link
from tipy.settings import Settings
from tipy.stack import Stack
from tipy.tcp.options import Options

ADDRESSES = ("10.7.0.1", "10.7.0.2")
_SENDER, _RECEIVER = (bytes(map(int, text.split("."))) for text in ADDRESSES)
_PORT = 80
_PIECE = 1 << 16


class Lane:
    """One direction. All times in seconds.

    delay            of every frame, or a function of its TCP flow (the sender's port)
    loss, reorder    probabilities; a frame chosen by `reorder` comes `late` later than it would
    rate, queue      of a bottleneck: bytes per second, and the bytes that may wait before it; more are lost
    """

    def __init__(self, seed=0, delay=0.05, loss=0.0, reorder=0.0, late=0.0, rate=None, queue=0):
        self._rng = Random(seed)
        self._delay = delay if callable(delay) else lambda flow: delay
        self._loss, self._reorder, self._late = loss, reorder, late
        self._rate, self._queue = rate, queue
        self._free_at = 0.0                    # when the bottleneck has sent all it has
        self._under_way, self._serial = [], 0
        self.lost = self.carried = 0           # frames with TCP payload
        self.host = self.far = self._timer = None

    def start(self, host, far):
        """From the stack `host` to the port `far`."""
        self.host, self.far = host, far
        self._timer = host.timers.timer(self._arrive)

    def put(self, frame):
        """A frame enters."""
        now = self.host.clock.now()
        data = _has_payload(frame)
        due = now
        dropped = self._loss and self._rng.random() < self._loss
        if self._rate and not dropped:
            start = max(self._free_at, now)
            dropped = (start - now) * self._rate + len(frame) > self._queue
            if not dropped:
                due = self._free_at = start + len(frame) / self._rate
        if dropped:
            self.lost += data
            return
        self.carried += data
        due += self._delay(_flow(frame))
        if self._reorder and data and self._rng.random() < self._reorder:
            due += self._late
        self._serial += 1
        heappush(self._under_way, (due, self._serial, frame))
        if self._under_way[0][1] == self._serial:
            self._timer.restart_at(due)

    def _arrive(self):
        now, under_way, batch = self.host.clock.now(), self._under_way, []
        while under_way and under_way[0][0] <= now:
            batch.append((heappop(under_way)[2], False, 0))
        if under_way:
            self._timer.restart_at(under_way[0][0])
        if self.far.host is not None:
            self.host.gate.after(self.far.host.receive, batch)


def _has_payload(frame):
    return frame[23] == 6 and int.from_bytes(frame[16:18], "big") > 20 + (frame[46] >> 4 << 2)


def _flow(frame):
    """The port of the side that opened the connection."""
    ports = frame[34:36], frame[36:38]
    return int.from_bytes(ports[0] if ports[1] == _PORT.to_bytes(2, "big") else ports[1], "big")


class _Port(Link):
    """One end of the path, on the side of `lane`'s sender. No offload."""

    def __init__(self, lane):
        self._lane = lane
        self.far = None

    def attach(self, host):
        super().attach(host)
        self._lane.start(host, self.far)

    def send(self, parts, offload=None):
        self._lane.put(b"".join(parts))

    def close(self):
        self.host = None


class Simulation:
    """Two stacks, the first sends. forward, backward: the lanes between them; settings: of both stacks."""

    def __init__(self, seed, forward, backward, **settings):
        self.clock = ManualClock()
        ports = _Port(forward), _Port(backward)
        ports[0].far, ports[1].far = ports[1], ports[0]
        self.stacks = []
        for port, address in zip(ports, ADDRESSES):
            configuration = Settings.load(use_user_files=False, acd=False, gateway=None,
                                          address=f"{address}/24", **settings)
            self.stacks.append(Stack(link=port, clock=self.clock, seed=seed * 2 + len(self.stacks),
                                     settings=configuration))
            self.stacks[-1].start()
        self.sender, self.receiver = self.stacks
        self.sender.arp.add(ADDRESSES[1], self.receiver.settings.mac)
        self.receiver.arp.add(ADDRESSES[0], self.sender.settings.mac)
        self.flows = {}                        # the sender's port -> Flow
        self._ready = {}
        with self.receiver.gate:
            self._listener = self.receiver.tcp.listen((_RECEIVER, _PORT), 1000, Options())
        self._listener.readiness = _Flag(self._ready, self._accept)

    def open(self, source):
        """One more Flow; it sends what source(n) gives: n bytes or less, b"" at the end."""
        with self.sender.gate:
            tcb = self.sender.tcp.connect((None, 0), (_RECEIVER, _PORT), Options())
        return Flow(self, tcb, source)

    def run(self, until):
        """Move time until `until()` or nothing is left to happen; the virtual time."""
        clock, ready = self.clock, self._ready
        while not until():
            while ready:
                flag, _ = ready.popitem()
                flag()
            if until():
                break
            deadline = clock.next_deadline()
            if deadline is None:
                break
            clock.advance(max(deadline - clock.now(), 0.0))
        return clock.now()

    def flag(self, tcb, service):
        """Have service() called after each change of this connection."""
        tcb.readiness = _Flag(self._ready, service)
        self._ready[service] = None

    def close(self):
        """Stop both stacks. RuntimeError if one of them contained an exception."""
        errors = [error for stack in self.stacks for error in stack.errors]
        for stack in self.stacks:
            stack.stop()
        if errors:
            raise RuntimeError(f"a stack contained {errors[0]!r}") from errors[0]

    def _accept(self):
        with self.receiver.gate:
            tcb = self._listener.accept()
        while tcb is not None:
            self.flows[tcb.remote[1]].accepted(tcb)
            with self.receiver.gate:
                tcb = self._listener.accept()


class _Flag:
    """What a connection takes for a file descriptor: notes that it has changed."""

    def __init__(self, ready, service):
        self._ready, self._service = ready, service

    def update(self):
        """Called inside the gate."""
        self._ready[self._service] = None


class Flow:
    """One connection and its two programs: one writes as fast as it may, the other reads all there is.

    received: bytes so far; sink(data), if set, gets them; ended: the receiver has seen the end
    """

    def __init__(self, simulation, tcb, source):
        self._simulation, self.tcb, self._source = simulation, tcb, source
        self._pending = memoryview(b"")
        self._far = self.sink = None
        self.received, self.ended = 0, False
        simulation.flows[tcb.local[1]] = self
        simulation.flag(tcb, self._send)

    def accepted(self, tcb):
        """The receiver's end is there."""
        self._far = tcb
        self._simulation.flag(tcb, self._receive)

    def info(self):
        """The sender's tcp_info."""
        return self.tcb.info()

    def _send(self):
        with self._simulation.sender.gate:
            if not self.tcb.connected:
                return
            while True:
                if not self._pending:
                    self._pending = memoryview(self._source(_PIECE))
                    if not self._pending:
                        self.tcb.shutdown_write()
                        return
                count = self.tcb.write(self._pending)
                if not count:
                    return
                self._pending = self._pending[count:]

    def _receive(self):
        with self._simulation.receiver.gate:
            while self._far.unread:
                data = self._far.read(1 << 20)
                self.received += len(data)
                if self.sink is not None:
                    self.sink(data)
            if self._far.eof and not self.ended:
                self.ended = True
                self._far.close()
