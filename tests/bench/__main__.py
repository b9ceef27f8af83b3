"""The command line of the measurements; see the package's docstring."""

import argparse
import json
import os
import platform
import sys

from tests.bench import bulk, latency, rates, scale
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
        for name, row in ROWS.items():
            print(f"{name:12s} {row.__doc__.splitlines()[0]}")
        return 0
    return table(options)


def table(options):
    """The real-time table."""
    wanted = options.rows.split(",") if options.rows else list(ROWS)
    known = {**ROWS, **HIDDEN}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"there is no row {', '.join(unknown)}: choose from {', '.join(ROWS)}", file=sys.stderr)
        return 2
    say = (lambda line: None) if options.json else (lambda line: print(_text(line), flush=True))
    if not options.json:
        print(f"Python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} CPUs; "
              f"ratios to the kernel's veth with offloads off, same run, unless the base says otherwise")
        print(_HEAD)
    with Contest(options.quick, options.repetitions) as contest:
        done = run_rows(contest, [(name, known[name]) for name in wanted], say)
    if options.json:
        json.dump([line.as_dict() for line in done], sys.stdout, indent=1)
        print()
    return 1 if any("FAILED" in line.title for line in done) else 0


_HEAD = f"{'':52s} {'median':>10s} {'':5s} {'ratio':>7s} {'goal':>8s}"


def _text(line):
    value = f"{line.value:10,.0f}" if line.value >= 100 else f"{line.value:10.3g}"
    ratio = f"{line.ratio:7.3f}" if line.ratio is not None else " " * 7
    base = f"  (of {line.base})" if line.base != "kernel" else ""
    goal = str(line.goal) if line.goal else ""
    return f"{line.title:52s} {value} {line.unit:5s} {ratio} {goal:>8s}  {line.verdict}{base}".rstrip()


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=sys.modules["tests.bench"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="table", choices=["table", "list"])
    parser.add_argument("--quick", action="store_true", help="few and short repetitions")
    parser.add_argument("--rows", help="only these, separated by commas")
    parser.add_argument("--repetitions", type=int, help="of each figure; the table shows medians")
    parser.add_argument("--json", action="store_true", help="the lines as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
