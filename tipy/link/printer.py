"""A link that prints: one readable line for each frame that passes, as the stack sees it.

    0.000312 > 192.168.2.200:8000 > 192.168.2.199:40312 S. seq 0 ack 1 win 65160 <mss 1460,sackOK>

The first column is seconds since the link was attached; `>` marks a frame sent, `<` one that arrived.
"""

import sys

from tipy.link.wrapper import Observer
from tipy.wire.decode import Describer


class PrinterLink(Observer):
    """A link around `inner`; `write` is called with each line (default: print to stderr)."""

    def __init__(self, inner, write=None):
        super().__init__(inner)
        self._write = _to_stderr if write is None else write
        self._describer = Describer()
        self._start = 0.0

    def attach(self, host):
        super().attach(host)
        self._start = self._now()

    def saw(self, when, sent, frame, open_ends):
        self._write(f"{when - self._start:.6f} {'>' if sent else '<'} {self._describer.describe(frame)}")


def _to_stderr(line):
    print(line, file=sys.stderr)
