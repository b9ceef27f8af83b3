"""The command line of the measurements; see the package's docstring."""

import argparse
import json
import os
import platform
import sys
import time

import tests.bench as package
from tests.bench import faults, layers, loss
from tests.bench.logs import logs
from tipy.bench import bulk, crew, latency, rates, scale
from tipy.bench.contest import Contest, number, run_rows

ROWS = {
    "bulk": bulk.bulk,
    "busy": bulk.busy,
    "background": bulk.background,
    "plain": bulk.plain,
    "memory": bulk.memory,
    "ping-pong": latency.ping_pong,
    "udp": rates.udp,
    "connect": rates.connect,
    "ping": rates.ping,
    "connections": scale.connections,
    "workers": crew.workers,
    "logs": logs,
}
_ALL_ROWS = {True: "one minute", False: "four minutes"}


def main(arguments=None):
    """Run what the arguments ask for."""
    options = _parse(arguments)
    if options.what == "list":
        _list()
        return 0
    if options.what == "profile":
        with Contest(options.quick) as contest:
            layers.profile(contest, options.functions, options.bytecodes)
        return 0
    if options.what == "faults":
        done = faults.main(options, _nothing if options.json else _print)
        return _closing(options, done)
    known = ROWS if options.what == "table" else loss.TABLES
    names = options.rows.split(",") if options.rows else list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no row {', '.join(unknown)}: choose from {', '.join(known)}", file=sys.stderr)
        return 2
    say = _nothing if options.json else _print
    if options.what == "loss":
        _head(options, "virtual time, means over seeds, bytes compared")
        done = loss.run(options, names, say)
    else:
        start = time.monotonic()
        with Contest(options.quick, options.repetitions) as contest:
            _head(options, f"medians of {contest.repetitions}; the reference is the kernel's veth with offloads off "
                           "in this run, unless stated")
            if names == list(ROWS):
                print(f"(all rows take about {_ALL_ROWS[options.quick]}; --rows chooses)", file=sys.stderr)
            done = run_rows(contest, [(name, known[name]) for name in names], say)
        if len(names) > 1:
            _goals(done, say)
        minutes, seconds = divmod(round(time.monotonic() - start), 60)
        print(f"{minutes} min {seconds} s; load of this machine in the last 1, 5, 15 minutes: "
              + ", ".join(f"{load:.1f}" for load in os.getloadavg()), file=sys.stderr)
    return _closing(options, done)


def _goals(done, say):
    """Once more, one below the other, the lines that have a goal."""
    if say is _print:
        print("\nThe goals")
    for line in done:
        if line.verdict:
            say(line)


def _closing(options, done):
    """Count the goals met, print the JSON; the exit status."""
    judged = [line.verdict for line in done if line.verdict]
    print(f"{judged.count('met')} of {len(judged)} goals met", file=sys.stderr)
    if options.json:
        json.dump([line.as_dict() for line in done], sys.stdout, indent=1)
        print()
    return 1 if any(line.failed for line in done) else 0


def _list():
    for title, rows in (("real time", ROWS), ("loss (virtual time)", loss.TABLES)):
        print(title)
        for name, row in rows.items():
            print(f"  {name:14s} {row.__doc__.splitlines()[0]}")


def _head(options, text):
    if not options.json:
        print(f"Python {platform.python_version()}{'' if __debug__ else ' -O'}, {platform.system()} "
              f"{platform.release()}, {os.cpu_count()} CPUs; {text}")
        print(f"{'':60s} {'value':>10s} {'':5s} {'ratio':>7s} {'goal':>9s} {'':8s} reference")


def _nothing(line):
    pass


def _print(line):
    ratio = f"{line.ratio:7.3f}" if line.ratio is not None else " " * 7
    goal = str(line.goal) if line.goal else ""
    base, value = line.reference or ("", 0.0)
    reference = f"{base} {number(value)}" if base else ""
    text = f"{line.name:60s} {number(line.value):>10s} {line.unit:5s} {ratio} {goal:>9s} {line.verdict:8s} {reference}"
    print(text.rstrip(), flush=True)


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=package.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="table", choices=["table", "loss", "faults", "profile", "list"])
    parser.add_argument("--quick", action="store_true", help="few and short repetitions, few seeds")
    parser.add_argument("--rows", help="only these, separated by commas")
    parser.add_argument("--repetitions", type=int, help="of each real-time figure; the table shows medians")
    parser.add_argument("--seeds", type=int, help="loss: the number of seeds (20)")
    parser.add_argument("--jobs", type=int, help="loss: processes at a time (as many as CPUs)")
    parser.add_argument("--functions", action="store_true", help="profile: functions by cProfile, not layers")
    parser.add_argument("--bytecodes", action="store_true", help="profile: interpreter steps, the same on any machine")
    parser.add_argument("--json", action="store_true", help="the lines as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
