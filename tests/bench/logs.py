"""Row: what the log statements cost while no channel is chosen."""

import json
import subprocess
import sys

from tipy.bench.contest import STACK, Goal, versus


def logs(contest):
    """Normal mode with no log channel chosen beside python -O: separate runs, in turns."""
    figures = {}
    for _ in range(contest.repetitions):
        for flag in ((), ("-O",)):
            for title, value in _in_another_interpreter(flag, contest).items():
                figures.setdefault(title, {}).setdefault(flag, []).append(value)
    for title, by_flag in figures.items():
        unit, goal = ("us", Goal(high=1.05)) if "ping-pong" in title else ("MB/s", Goal(low=0.95))
        yield versus(f"logs on, {title}", {STACK: by_flag[()], "-O": by_flag["-O",]}, unit, goal)


def _in_another_interpreter(flag, contest):
    """Title -> value of the stack's own lines, measured once by a run of this program under that flag."""
    command = [sys.executable, *flag, "-m", "tests.bench", "--json", "--repetitions", "1", "--rows",
               "short-bulk,short-ping-pong"] + (["--quick"] if contest.quick else [])
    output = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout
    return {line["title"]: line["value"] for line in json.loads(output)}
