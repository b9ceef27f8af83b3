"""The command line of the measurements; see the package's docstring."""

import argparse
import json
import os
import platform
import sys

import tests.bench as package
from tests.bench import bulk, faults, latency, layers, loss, rates, scale
from tests.bench.contest import Contest, run_rows

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
    "logs": scale.logs,
}
HIDDEN = {"short-bulk": bulk.stack_only, "short-ping-pong": latency.stack_only}


def main(arguments=None):
    """Run what the arguments ask for."""
    options = _parse(arguments)
    if options.what == "list":
        _list()
        return 0
    if options.what == "profile":
        with Contest(options.quick) as contest:
            layers.profile(contest, options.functions)
        return 0
    if options.what == "faults":
        done = faults.main(options, _nothing if options.json else _print)
        return _closing(options, done)
    known = {**ROWS, **HIDDEN} if options.what == "table" else loss.TABLES
    visible = ROWS if options.what == "table" else loss.TABLES
    names = options.rows.split(",") if options.rows else list(visible)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"there is no row {', '.join(unknown)}: choose from {', '.join(visible)}", file=sys.stderr)
        return 2
    say = _nothing if options.json else _print
    if options.what == "loss":
        _head(options, "virtual time, means over seeds, bytes compared")
        done = loss.run(options, names, say)
    else:
        _head(options, "medians; ratios to the kernel's veth with offloads off in this run, unless stated")
        with Contest(options.quick, options.repetitions) as contest:
            done = run_rows(contest, [(name, known[name]) for name in names], say)
        print("load of this machine in the last 1, 5, 15 minutes: "
              + ", ".join(f"{load:.1f}" for load in os.getloadavg()), file=sys.stderr)
    return _closing(options, done)


def _closing(options, done):
    """Count the goals met, print the JSON; the exit status."""
    judged = [line.verdict for line in done if line.verdict]
    print(f"{judged.count('met')} of {len(judged)} goals met", file=sys.stderr)
    if options.json:
        json.dump([line.as_dict() for line in done], sys.stdout, indent=1)
        print()
    return 1 if any("FAILED" in line.title for line in done) else 0


def _list():
    for title, rows in (("real time", ROWS), ("loss (virtual time)", loss.TABLES)):
        print(title)
        for name, row in rows.items():
            print(f"  {name:14s} {row.__doc__.splitlines()[0]}")


def _head(options, text):
    if not options.json:
        print(f"Python {platform.python_version()}{'' if __debug__ else ' -O'}, {platform.system()} "
              f"{platform.release()}, {os.cpu_count()} CPUs; {text}")
        print(f"{'':52s} {'':>10s} {'':5s} {'ratio':>7s} {'goal':>8s}")


def _nothing(line):
    pass


def _print(line):
    value = f"{line.value:10,.0f}" if line.value >= 100 else f"{line.value:10.3g}"
    ratio = f"{line.ratio:7.3f}" if line.ratio is not None else " " * 7
    base = f"  (of {line.base})" if line.base != "kernel" and line.ratio is not None else ""
    goal = str(line.goal) if line.goal else ""
    text = f"{line.title:52s} {value} {line.unit:5s} {ratio} {goal:>8s}  {line.verdict:7s}{base}"
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
    parser.add_argument("--json", action="store_true", help="the lines as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
