"""Turns, medians, and the lines of the table."""

import statistics
import sys
import time
import traceback
from contextlib import ExitStack
from itertools import count
from typing import NamedTuple

from tipy.bench import network
from tipy.bench.places import OnKernel, OnStack, Server, client

KERNEL, KERNEL_TSO, STACK = "kernel", "kernel TSO", "tipy"
_LIMIT, _QUICK_LIMIT = 120.0, 10.0   # seconds, for one repetition of anything


class Goal(NamedTuple):
    """What a ratio should be, or (`of_value`) the value itself: at least `low`, at most `high`."""

    low: float | None = None
    high: float | None = None
    of_value: bool = False

    def met(self, figure):
        """True if it is."""
        return (self.low is None or figure >= self.low) and (self.high is None or figure <= self.high)

    def __str__(self):
        sign, limit = (">=", self.low) if self.low is not None else ("<=", self.high)
        return f"{sign} {limit:,g}"


class Line(NamedTuple):
    """One line of the table: the median of `values`, in `unit`, and its ratio to that of `base`.

    who: the contender, where several have a line of this title; failed: there is no figure, the title says why;
    beside: the median of `base`, where the ratio is not made of the two medians
    """

    title: str
    value: float
    unit: str
    ratio: float | None = None
    base: str = "kernel"
    goal: Goal | None = None
    values: tuple = ()
    who: str = ""
    failed: bool = False
    beside: float | None = None

    @property
    def name(self):
        """Title and contender."""
        return f"{self.title}, {self.who}" if self.who else self.title

    @property
    def reference(self):
        """What it stands beside, in the same unit: (name, value), or None."""
        if not self.ratio or self.base == self.who:
            return None
        return self.base, self.value / self.ratio if self.beside is None else self.beside

    @property
    def smaller_is_better(self):
        """True for times and sizes."""
        return self.unit in ("us", "KB", "%")

    @property
    def verdict(self):
        """"met", "NOT MET", or "" without a goal."""
        figure = self.ratio if self.goal is None or not self.goal.of_value else self.value
        if self.goal is None or figure is None:
            return ""
        return "met" if self.goal.met(figure) else "NOT MET"

    def as_dict(self):
        """For --json."""
        base, reference = self.reference or (None, None)
        return {"title": self.title, "who": self.who, "value": self.value, "unit": self.unit, "ratio": self.ratio,
                "base": base, "reference": reference, "values": list(self.values),
                "goal": str(self.goal) if self.goal else None, "verdict": self.verdict}


class Contest:
    """One run of the bench: its network, how often and how long to measure, and who takes part.

    repetitions: of each figure; seconds: of each repetition of a rate; quick: few and short; rung: see Network
    """

    def __init__(self, quick=False, repetitions=None, seconds=None, rung=None):
        self.quick = quick
        self.repetitions = repetitions or (3 if quick else 5)
        self.seconds = seconds or (0.25 if quick else 0.7)
        self._subnets = count(10)
        self.net = network.Network(rung)
        self.rung = self.net.rung
        self._limit = _QUICK_LIMIT if quick else _LIMIT

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
        """A stack on a TAP of its own (or what this rung has)."""
        subnet = self.subnet()
        if self.rung == "packet":
            self.net.lay_bare_cable(subnet)
        return OnStack(subnet, offload, tuple(settings.items()), self.rung)

    def subnet(self):
        """A number for one more cable."""
        return next(self._subnets) % 240 + 10

    def serve(self, place, program, *args):
        """A Server of this run's network."""
        return Server(self.net, place, program, *args)

    def ask(self, server, program, *args):
        """Run a client program against a server from the namespace "client"; its figure."""
        try:
            return self.net.client.call(client, program, server.address, *args, timeout=self._limit)
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


def number(value):
    """A figure as text, in three digits or whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def median(values):
    """The median."""
    return statistics.median(values)


def lines(title, figures, unit, scale=1.0, goals=None, reference=KERNEL):
    """A Line for each contender: `title` and its name, the median, and the ratio to the reference's."""
    goals = goals or {}
    base = median(figures[reference])
    for name, values in figures.items():
        value = median(values)
        yield Line(title, value / scale, unit, value / base if base else None, reference,
                   goals.get(name), tuple(round(v / scale, 3) for v in values), name)


def versus(title, figures, unit, goal=None, scale=1.0, who=STACK):
    """A Line of `who` beside one other contender of the same kind. Its ratio is the median of those of each turn: what
    both do at about the same time differs less than what one of them does in a minute."""
    (other, theirs), = ((name, values) for name, values in figures.items() if name != who)
    ours = figures[who]
    ratio = median([a / b for a, b in zip(ours, theirs)])
    return Line(title, median(ours) / scale, unit, ratio, other, goal, tuple(round(value / scale, 3) for value in ours), who,
                beside=median(theirs) / scale)


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
            done.append(Line(f"{name}: FAILED, {type(error).__name__}: {error}", 0.0, "", failed=True))
        print(f"  [{name}: {time.monotonic() - start:.1f} s]", file=sys.stderr)
    return done
