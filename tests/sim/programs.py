"""Two hosts on a bad wire in virtual time, for tests of whole programs; everything on the wire is kept.

No assert here: `-O` would take it away.
"""

import sys

from tipy import log
from tipy.clock import ManualClock
from tipy.link.faults import FaultLink
from tipy.link.memory import Wire
from tipy.link.wrapper import Observer
from tipy.settings import Settings
from tipy.stack import Stack

NEAR, FAR, PORT = "10.0.0.1", "10.0.0.2", 80
SWITCH_INTERVALS = (1e-6, 1e-5, 1e-4, 5e-3, 5e-2)


class Capture(Observer):
    """Keeps (time, direction, frame) of what passes."""

    def __init__(self, inner, frames):
        super().__init__(inner)
        self._frames = frames

    def saw(self, when, sent, frame, open_ends):
        self._frames.append((when, sent, frame))


class Net:
    """`near` and `far`: stacks 20 to 25 ms apart, each losing some of what it sends. `frames`: what passed `near`;
    `story`: what the program told."""

    def __init__(self, loss=0.03):
        log.choose(())
        self.clock, self.frames, self.story = ManualClock(auto=True), [], []
        wire = Wire()
        self.near, self.far = (
            Stack(link=Capture(self._bad(wire.port(), loss, seed), self.frames if seed == 1 else []),
                  clock=self.clock, seed=seed,
                  settings=Settings.load(use_user_files=False, acd=False, address=f"{address}/24",
                                         mac=f"02:00:00:00:00:0{seed}"))
            for seed, address in ((1, NEAR), (2, FAR)))

    @staticmethod
    def _bad(link, loss, seed):
        return FaultLink(link, loss=loss, delay=0.02, jitter=0.005, direction="out", seed=seed)

    def __enter__(self):
        self.near.start()
        self.far.start()
        return self

    def __exit__(self, *exc_info):
        self.near.stop()
        self.far.stop()

    def tell(self, *what):
        """Note what happens, with the time."""
        self.story.append((self.clock.now(), *what))


def outcomes(program, times):
    """[(story, frames)] of running program(net) `times` times, with threads changing at other moments each time."""
    before, found = sys.getswitchinterval(), []
    try:
        for number in range(times):
            sys.setswitchinterval(SWITCH_INTERVALS[number % len(SWITCH_INTERVALS)])
            with Net() as net:
                program(net)
            if net.near.errors or net.far.errors:
                raise AssertionError(f"contained: {net.near.errors} {net.far.errors}")
            found.append((net.story, net.frames))
    finally:
        sys.setswitchinterval(before)
    return found
