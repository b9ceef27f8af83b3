"""How the quick form is shown: a line and a bar for each figure, or JSON."""

import json
import os
import platform
import time

from tipy import __version__
from tipy.bench.contest import number
from tipy.bench.quick import Quick
from tipy.demo.screen import Screen

_CELLS = 10                        # of a bar that says "as good as the kernel"
_LONGEST = 30
_NETWORKS = {
    "tap": "a TAP in a private network namespace",
    "packet": "veth and AF_PACKET in private network namespaces",
    "memory": "a wire in memory; there is no kernel to compare with",
}


def run(out, rung=None, as_json=False):
    """Measure, and write the table (or JSON) to the text stream `out`; returns the exit status.

    OSError if `rung` is insisted on and cannot be had.
    """
    start = time.monotonic()
    lines = []
    with Quick(rung) as quick:
        table = None if as_json else _Table(out, quick)
        for row, line in quick.rows():
            lines.append((row, line))
            if table is not None:
                table.line(line)
    seconds = time.monotonic() - start
    if table is not None:
        table.end(quick, seconds)
    else:
        json.dump(_as_dict(quick, lines, seconds), out, indent=1)
        out.write("\n")
    return 1 if quick.failed else 0


def _as_dict(quick, lines, seconds):
    rows = [{"row": row, **line.as_dict(), "smaller_is_better": line.smaller_is_better} for row, line in lines]
    for row in rows:
        del row["goal"], row["verdict"], row["who"]        # the full bench's business
    return {"tipy": __version__, "python": platform.python_version(), "optimized": not __debug__,
            "system": f"{platform.system()} {platform.release()}", "cpus": os.cpu_count(),
            "network": quick.rung, "reason": quick.reason, "seconds": round(seconds, 1), "rows": rows,
            "not_measured": [{"row": row, "reason": reason} for row, reason in quick.missing.items()]}


class _Table:
    """The lines for people."""

    def __init__(self, out, quick):
        self._screen = Screen(out)
        line = self._screen.line
        line(f"tipy {__version__}, Python {platform.python_version()}{'' if __debug__ else ' -O'}, "
             f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs")
        line(f"Network: {_NETWORKS[quick.rung]}." + (f" ({quick.reason}.)" if quick.reason else ""))
        if quick.rung != "memory":
            line(f"The bar: {self._screen.bar(_CELLS, _CELLS)} is as good as Linux to Linux over veth without "
                 "offloads, longer is better.")
            line("k2s: kernel to stack, s2k: stack to kernel.")
        line()

    def line(self, line):
        """One figure and its bar."""
        text = f"{line.title:46s} {number(line.value):>8s} {line.unit:4s}"
        merit = _merit(line)
        if merit is not None:
            length = max(round(min(merit, _LONGEST / _CELLS) * _CELLS), 1)
            text += f" {self._screen.bar(length, _LONGEST, ' ')}{'+' if merit * _CELLS > _LONGEST else ' '}"
        self._screen.line(f"{text} {_beside(line)}".rstrip())

    def end(self, quick, seconds):
        """What is missing, and how long it took."""
        for row, reason in quick.missing.items():
            self._screen.line(f"not measured: {row} ({reason})")
        load = f"; load of this machine: {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
        self._screen.line(f"\n{seconds:.0f} s{load}.")


def _merit(line):
    """How many times as good as what it stands beside; None beside nothing."""
    if line.ratio:
        return 1 / line.ratio if line.smaller_is_better else line.ratio
    if line.goal is not None and line.goal.high and line.value:
        return line.goal.high / line.value
    return None


def _beside(line):
    if line.reference is not None:
        base, value = line.reference
        return f"{line.ratio:.2f} x {base} {number(value)}"
    return f"at most {line.goal.high:g} wanted" if line.goal is not None and line.goal.high else ""
