"""Turns, medians, and the lines of the table."""

import statistics
import sys
import time
import traceback
from contextlib import ExitStack
from itertools import count
from typing import NamedTuple

from tests.bench import network
from tests.bench.places import OnKernel, OnStack, Server, client

KERNEL, KERNEL_TSO, STACK, PLAIN = "kernel", "kernel TSO", "tipy", "tipy plain"
_LIMIT = 120.0                       # seconds, for one repetition of anything


class Goal(NamedTuple):
    """What a ratio should be: at least `low`, at most `high`."""

    low: float | None = None
    high: float | None = None

    def met(self, ratio):
        """True if it is."""
        return (self.low is None or ratio >= self.low) and (self.high is None or ratio <= self.high)

    def __str__(self):
        return f">= {self.low:g}" if self.low is not None else f"<= {self.high:g}"


class Line(NamedTuple):
    """One line of the table. value is in `unit`; ratio is what `goal` judges, beside `base`."""

    title: str
    value: float
    unit: str
    ratio: float | None = None
    base: str = "kernel"
    goal: Goal | None = None
    values: tuple = ()

    @property
    def verdict(self):
        """"met", "not met", or "" without a goal."""
        if self.goal is None or self.ratio is None:
            return ""
        return "met" if self.goal.met(self.ratio) else "NOT MET"

    def as_dict(self):
        """For --json."""
        return {**self._asdict(), "goal": str(self.goal) if self.goal else None, "verdict": self.verdict}


class Contest:
    """One run of the bench: its network, how often and how long to measure, and who takes part.

    repetitions: of each figure; seconds: of each repetition of a rate; quick: few and short
    """

    def __init__(self, quick=False, repetitions=None):
        self.quick = quick
        self.repetitions = repetitions or (3 if quick else 5)
        self.seconds = 0.25 if quick else 0.7
        self._subnets = count(10)
        self.net = network.Network()

    def close(self):
        """End everything."""
        self.net.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def kernel(self, tso=False):
        """The kernel-to-kernel reference as a place."""
        return OnKernel(network.WITH_TSO if tso else network.REFERENCE)

    def stack(self, offload=True, **settings):
        """A stack on a TAP of its own."""
        return OnStack(self.subnet(), offload, tuple(settings.items()))

    def subnet(self):
        """A number for one more cable."""
        return next(self._subnets) % 240 + 10

    def serve(self, place, program, *args):
        """A Server of this run's network."""
        return Server(self.net, place, program, *args)

    def ask(self, server, program, *args, limit=_LIMIT):
        """Run a client program against a server from the namespace "client"; its figure."""
        try:
            return self.net.client.call(client, program, server.address, *args, timeout=limit)
        except Exception as error:
            failure = server.failure()
            if failure is not None:
                raise failure from error
            raise

    def turns(self, contenders, repetitions=None):
        """contenders: name -> function without arguments, which take turns. name -> figures."""
        figures = {name: [] for name in contenders}
        for _ in range(repetitions or self.repetitions):
            for name, measure in contenders.items():
                figures[name].append(measure())
        return figures

    def servers(self):
        """A set of servers that end together."""
        return Servers(self)

    def beside_kernel(self, program, **settings):
        """Two servers of `program`: the kernel's, and a stack's on a TAP with offload."""
        servers = Servers(self)
        try:
            servers.start(KERNEL, self.kernel(), program)
            servers.start(STACK, self.stack(**settings), program)
        except BaseException:
            servers.__exit__()
            raise
        return servers


class Servers:
    """Servers by name, in `all`; a context that ends them."""

    def __init__(self, contest):
        self.all = {}
        self._contest = contest
        self._stack = ExitStack()

    def start(self, name, place, program, *args):
        """One more."""
        self.all[name] = self._stack.enter_context(self._contest.serve(place, program, *args))

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._stack.close()


def median(values):
    """The median."""
    return statistics.median(values)


def lines(title, figures, unit, scale=1.0, goals=None, reference=KERNEL):
    """A Line for each contender: `title` and its name, the median, and the ratio to the reference's."""
    goals = goals or {}
    base = median(figures[reference])
    for name, values in figures.items():
        value = median(values)
        yield Line(f"{title}, {name}", value / scale, unit, value / base if base else None, reference,
                   goals.get(name), tuple(round(v / scale, 3) for v in values))


def run_rows(contest, rows, say):
    """Run each row (name, function) and say(line) as they come; the lines. One that fails says so."""
    done = []
    for name, row in rows:
        start = time.monotonic()
        try:
            for line in row(contest):
                done.append(line)
                say(line)
        except Exception as error:
            print(f"row {name} failed: {type(error).__name__}: {error}", file=sys.stderr)
            if not contest.quick:
                traceback.print_exc()
            done.append(Line(f"{name}: FAILED, {type(error).__name__}: {error}", 0.0, ""))
        print(f"  [{name}: {time.monotonic() - start:.1f} s]", file=sys.stderr)
    return done
