"""The demo's eye on the wire: the first packets of each exchange, in words."""

from tipy.link.wrapper import Observer
from tipy.wire.decode import Describer


class Watch(Observer):
    """A link around `inner` that describes the first frames after each `begin`, and counts the rest.

    `>` marks a frame the stack sent, `<` one that arrived.
    """

    def __init__(self, inner):
        super().__init__(inner)
        self._describer = Describer()
        self._lines = []
        self._room = 0
        self._frames = 0

    def begin(self, room=6):
        """A new exchange: describe its first `room` frames."""
        self._lines, self._room, self._frames = [], room, 0

    def packets(self):
        """The lines of this exchange, and how many frames came after them."""
        more = self._frames - len(self._lines)
        return self._lines + ([f"... and {more} more"] if more else [])

    def saw(self, when, sent, frame, open_ends):
        self._frames += 1
        if len(self._lines) < self._room:
            self._lines.append(f"{'>' if sent else '<'} {self._describer.describe(frame)}")
