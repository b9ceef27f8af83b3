"""The command: `python3 -m tests.stdlib [--jobs N] [--limit S] [--kernel] [--trace] [pattern ...]`."""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.stdlib import catalogue, worker

ROOT = Path(__file__).resolve().parents[2]


def run_module(module, options):
    """[rows] of a worker process for one module."""
    reading, writing = os.pipe()
    command = [sys.executable, "-W", "ignore", "-m", "tests.stdlib", "--worker", module, "--report",
               str(writing),
               "--limit", str(options.limit), *(["--kernel"] if options.kernel else []), *options.patterns]
    with subprocess.Popen(command, cwd=ROOT, pass_fds=[writing], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        os.close(writing)
        with os.fdopen(reading) as lines:
            rows = [json.loads(line) for line in lines]
        complaint = process.stderr.read().decode("utf-8", "replace").strip()
        if process.wait():
            rows.append({"note": f"its worker ended with {process.returncode}: {complaint[-300:]}"})
    return rows


def counts(row):
    """Does the test belong to the score?"""
    return row["status"] != "skip" and (row["network"] or row["status"] != "pass"
                                        or row["id"].startswith(catalogue.ABOUT_THE_MODULE))


def show_module(module, rows):
    """One line about a module."""
    tally = {}
    for row in rows:
        if "id" in row:
            key = row["status"] if row["status"] != "pass" or counts(row) else "no network"
            tally[key] = tally.get(key, 0) + 1
    told = "  ".join(f"{number} {status}" for status, number in sorted(tally.items()))
    notes = "; ".join(row["note"] for row in rows if "note" in row)
    print(f"{module:36} {told}{'  ' if told and notes else ''}{notes}", flush=True)


def show_list(title, rows, each=True):
    """Tests with their reasons, those of one reason together; each: name the tests."""
    if not rows:
        return
    print(f"\n{title}:")
    reasons = {}
    for row in rows:
        reasons.setdefault(row["why"] or row["status"], []).append(row["id"])
    for reason, tests in sorted(reasons.items()):
        print(f"  {reason}" if each else f"  {len(tests):4}  {reason}")
        for test in sorted(tests) if each else ():
            print(f"      {test}")


def summary(rows, options, seconds):
    """The lists and the score; the exit status."""
    known = {} if options.kernel else catalogue.not_passing()
    tests = [row for row in rows if "id" in row]
    failed = [row for row in tests if row["status"] not in ("pass", "skip")]
    show_list("skipped", [row for row in tests if row["status"] == "skip"], options.trace)
    reasons = {row["id"]: catalogue.reason_for(row["id"], known) for row in failed}
    show_list("cannot pass (NOT_PASSING.md)", [{**row, "why": reasons[row["id"]]} for row in failed
                                               if reasons[row["id"]]])
    surprises = [row for row in failed if not reasons[row["id"]]]
    show_list("failed", [{**row, "why": f"{row['status']}: {row['why']}"} for row in surprises])
    if options.trace:
        for row in surprises:
            print(f"\n--- {row['id']} ({row['seconds']} s)\n{row.get('trace', '')}")
    counted = [row for row in tests if counts(row)]
    passed = [row for row in counted if row["status"] == "pass"]
    rest = len(tests) - len(counted)
    print(f"\n{len(tests)} tests, {rest} of them skipped or without network, {seconds:.0f} s")
    print(f"score: {len(passed)} of {len(counted)}")
    return 1 if surprises or not counted else 0


def main():
    """Parse the command line; as a worker, run one module."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.stdlib",
                                     description="CPython's own network tests, on tipy's sockets.")
    parser.add_argument("patterns", nargs="*", metavar="pattern",
                        help="only tests whose id contains one of these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="modules at a time")
    parser.add_argument("--limit", type=float, default=60, help="seconds for a test")
    parser.add_argument("--kernel", action="store_true", help="the same on the kernel's sockets, to compare")
    parser.add_argument("--trace", action="store_true",
                        help="tracebacks of what failed, names of what was skipped")
    parser.add_argument("--json", help="write all results to this file")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--report", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker.main(options.worker, options.report, options.patterns, options.limit, options.kernel)
        return 0
    begun, rows = time.monotonic(), []
    modules = catalogue.modules(options.patterns)
    with ThreadPoolExecutor(options.jobs) as pool:
        for module, found in zip(modules, pool.map(lambda module: run_module(module, options), modules)):
            show_module(module, found)
            rows += found
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=0), encoding="utf-8")
    return summary(rows, options, time.monotonic() - begun)


if __name__ == "__main__":
    sys.exit(main())
