"""A bad wire around a good link: loss, duplication, reordering, delay, corruption, truncation, by a seed.

The order of fates of one frame: the user's `drop`, loss, corruption, truncation, duplication, then for each
copy its delay. Frames keep their order under delay and jitter, as in a queue; only the copies chosen by
`reorder` are held back by another `reorder_delay` seconds, so that later ones overtake them.

The wrapper announces no offload, and cuts and completes what an inner link with offload hands up: otherwise
one lost frame would be 45 lost segments, and a corrupted one would pass as valid. Each direction has its own
random numbers, so what happens to one does not depend on how the two interleave.
"""

from collections import Counter
from heapq import heappop, heappush
from random import Random

from tipy.link.segment import complete, cut
from tipy.link.wrapper import Wrapper

_ETHERNET = 14                                 # a driver hands up no less than a header
QUEUE_LIMIT = 10_000                           # frames under way in one direction; more are lost


class FaultLink(Wrapper):
    """A link with faults around `inner`.

    loss, duplicate, reorder            probability for each frame, 0 to 1
    corrupt, truncate                   likewise: one bit flips; the end is missing
    delay, jitter, reorder_delay        seconds; jitter adds 0 to `jitter`, evenly
    seed        repeats the same fates; None takes one from the stack's randomness
    direction   "both", "out" or "in" (as the stack sees it); nest two links for different faults each way
    drop        callable(frame: bytes) -> bool: True loses this frame
    counters    Counter with "out.frames", "out.loss", "in.corrupt" ...: how often each thing happened
    """

    tx_checksum = False
    tso_max = 0

    def __init__(self, inner, *, loss=0, duplicate=0, reorder=0, reorder_delay=0.005, delay=0, jitter=0,
                 corrupt=0, truncate=0, seed=None, direction="both", drop=None):
        super().__init__(inner)
        rates = {"loss": loss, "duplicate": duplicate, "reorder": reorder, "corrupt": corrupt,
                 "truncate": truncate}
        for name, value in rates.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value} is not a probability between 0 and 1")
        for name, value in (("delay", delay), ("jitter", jitter), ("reorder_delay", reorder_delay)):
            if value < 0:
                raise ValueError(f"{name}={value} is negative (it is in seconds)")
        if direction not in ("both", "out", "in"):
            raise ValueError(f'direction={direction!r} is none of "both", "out", "in"')
        self.counters = Counter()
        self._seed = seed
        times = {"delay": delay, "jitter": jitter, "reorder_delay": reorder_delay}
        self._lanes = {name: _Lane(self, name, drop, rates, times)
                       for name in ("out", "in") if direction in ("both", name)}

    def attach(self, host):
        super().attach(host)
        seed = self._seed if self._seed is not None else host.rng.getrandbits(64)
        for name, lane in self._lanes.items():
            lane.start(host, Random(f"{seed}/{name}"))

    def send(self, parts, offload=None):
        lane = self._lanes.get("out")
        frames = complete(parts, offload)
        for frame in lane.through(frames) if lane else frames:
            self.inner.send([frame])

    def arrived(self, batch):
        lane = self._lanes.get("in")
        if lane is None:
            return batch
        frames = [wire for frame, checked, gso_size in batch for wire in cut(frame, checked, gso_size)]
        gate = self.host.gate
        if gate.held():
            return _batch(lane.through(frames))
        with gate:                             # the lane's queue and timer belong to the stack's lock
            return _batch(lane.through(frames))

    def close(self):
        if self.host is not None:
            for lane in self._lanes.values():
                self.host.gate.do(lane.stop)
        super().close()

    def _release(self, name, frames):
        """Frames whose delay is over; called by a timer, so inside the gate."""
        if name == "in":
            self.host.gate.after(self.host.receive, _batch(frames))
            return
        for frame in frames:
            try:
                self.inner.send([frame])
            except OSError:                    # nobody is left whom it could reach
                self.counters["out.error"] += 1


def _batch(frames):
    return [(frame, False, 0) for frame in frames]


class _Lane:
    """One direction: the dice, and the frames under way."""

    def __init__(self, link, name, drop, rates, times):
        self._link = link
        self._name = name
        self._drop = drop
        self._rates = rates
        self._times = times
        self._queue = []                       # heap of (due, serial, frame)
        self._serial = 0
        self._last_due = 0.0
        self._timer = None

    def start(self, host, rng):
        self._clock = host.clock
        self._rng = rng
        self._timer = host.timers.timer(self._expire)
        self._last_due = host.clock.now()

    def stop(self):
        self._queue.clear()
        self._timer.end()

    def through(self, frames):
        """What comes out at once when `frames` go in."""
        now = self._clock.now()
        return [copy for frame in frames for copy in self._fates(frame) if not self._held(copy, now)]

    def _fates(self, frame):
        """The copies of `frame` that survive: none, one or two."""
        self._count("frames")
        if self._drop is not None and self._drop(frame):
            self._count("drop")
            return ()
        if self._hit("loss"):
            return ()
        if self._hit("corrupt"):
            frame = self._flip(frame)
        if self._hit("truncate"):
            frame = frame[:self._rng.randrange(_ETHERNET, max(len(frame), _ETHERNET + 1))]
        return (frame, frame) if self._hit("duplicate") else (frame,)

    def _held(self, frame, now):
        """Queue the frame if its time is not now."""
        times = self._times
        due = now + times["delay"]
        if times["jitter"]:
            due += times["jitter"] * self._rng.random()
        if self._hit("reorder"):
            due += times["reorder_delay"]
        else:
            due = self._last_due = max(due, self._last_due)
        if due <= now:
            return False
        if len(self._queue) >= QUEUE_LIMIT:
            self._count("overflow")
            return True
        self._serial += 1
        heappush(self._queue, (due, self._serial, frame))
        self._timer.restart_at(self._queue[0][0])
        return True

    def _expire(self):
        now, queue, frames = self._clock.now(), self._queue, []
        while queue and queue[0][0] <= now:
            frames.append(heappop(queue)[2])
        if queue:
            self._timer.restart_at(queue[0][0])
        self._link._release(self._name, frames)

    def _flip(self, frame):
        at = self._rng.randrange(len(frame) * 8)
        out = bytearray(frame)
        out[at >> 3] ^= 1 << (at & 7)
        return bytes(out)

    def _hit(self, fault):
        rate = self._rates[fault]
        if not rate or self._rng.random() >= rate:
            return False
        self._count(fault)
        return True

    def _count(self, what):
        self._link.counters[f"{self._name}.{what}"] += 1
