"""What the demo prints: one line per step, the first packets below it, a progress bar while it lasts.

Progress is drawn only on a terminal; block characters only where its encoding has them.
"""

import time

_WIDTH = 30
_REDRAW = 0.1                      # seconds
MARKS = {True: "ok", False: "FAILED", None: "not on this rung"}


class Screen:
    """Writes to `out`, a text stream."""

    def __init__(self, out):
        self._out = out
        self._live = out.isatty()
        self._full, self._empty = ("█", "░") if _can_print(out, "█░") else ("#", ".")
        self._drawn = 0            # characters of the bar that stand on the current line
        self._next_draw = 0.0

    def line(self, text=""):
        """One line of text; what the encoding lacks is replaced."""
        self._wipe()
        encoding = self._out.encoding or "ascii"
        self._out.write(text.encode(encoding, "replace").decode(encoding) + "\n")
        self._out.flush()

    def step(self, number, verdict, text, packets=(), note=""):
        """The line of a step: verdict True (verified), False (failed) or None (cannot run here)."""
        self.line(f"{number}. {MARKS[verdict]}{note}: {text}")
        for packet in packets:
            self.line(f"      {packet}")

    def progress(self, title, done, total, seconds):
        """Draw how far a transfer is; `done` and `total` in bytes."""
        now = time.monotonic()
        if not self._live or now < self._next_draw and done < total:
            return
        self._next_draw = now + _REDRAW
        speed = done / 1e6 / max(seconds, 1e-6)
        text = f"   {title} {self.bar(_WIDTH * done // total, _WIDTH)} {done / 1e6:5.1f} of {total / 1e6:.1f} MB, {speed:.0f} MB/s"
        self._out.write("\r" + text.ljust(self._drawn))
        self._out.flush()
        self._drawn = len(text)

    def bar(self, filled, width, empty=None):
        """A bar of `width` characters, `filled` of them full; empty: what the others are."""
        return self._full * filled + (self._empty if empty is None else empty) * (width - filled)

    def _wipe(self):
        if self._drawn:
            self._out.write("\r" + " " * self._drawn + "\r")
            self._drawn = 0


def _can_print(out, characters):
    try:
        characters.encode(out.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
