"""Row: what the log statements, and asserts, cost while no channel is chosen.

Two servers in one network take turns, one with a stack compiled as Python compiles it, one with a stack compiled as under
python -O. The speed of an interpreter is different from one process to the next and from one minute to the next by more
than what is looked for; so the turns are short and many, and each is compared with the one beside it.
"""

import os
import sys
from contextlib import contextmanager
from functools import partial
from importlib.machinery import FileFinder, SourceFileLoader
from typing import NamedTuple

import tipy
from tipy.bench import bulk, clients, latency, programs
from tipy.bench.contest import STACK, Goal, versus
from tipy.bench.places import OnStack

_MODES = {STACK: 0, "-O": 1}                           # name -> compile()'s `optimize`
_TURNS, _SECONDS = 51, 0.1
_ROUND_TRIPS = 1500


class Compiled(NamedTuple):
    """The place `stack`, with the package compiled anew for the process that opens it."""

    stack: OnStack
    optimize: int

    @contextmanager
    def open(self):
        """The stack's socket module."""
        compile_anew(self.optimize)
        from tipy.bench import places                  # that of the new ones
        with places.OnStack(*self.stack).open() as place:
            yield place

    @property
    def subnet(self):
        """As of the stack."""
        return self.stack.subnet

    @property
    def worker(self):
        """As of the stack."""
        return self.stack.worker


def compile_anew(optimize):
    """Forget the package's modules; those imported from now on are compiled with `optimize`."""
    package = os.path.dirname(tipy.__file__)

    class Loader(SourceFileLoader):
        def get_code(self, fullname):
            return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True, optimize=optimize)

    def of_package(path):
        if path != package and not path.startswith(package + os.sep):
            raise ImportError
        return FileFinder(path, (Loader, [".py"]))

    for name in [name for name in sys.modules if name.startswith("tipy.")]:
        del sys.modules[name]
    sys.path_hooks.insert(0, of_package)
    sys.path_importer_cache.clear()


def logs(contest):
    """Normal mode with no log channel chosen beside python -O: two servers, in many short turns."""
    with contest.servers() as servers:
        for name, optimize in _MODES.items():
            servers.start(name, Compiled(contest.stack(), optimize), programs.tcp_server)
        for direction, program in bulk.DIRECTIONS.items():
            figures = bulk.measure(contest, servers.all, program, seconds=_SECONDS, turns=_TURNS)
            yield versus(f"logs on, bulk TCP {direction}", figures, "MB/s", Goal(low=0.95), bulk.MB)
        cpus = {min(os.sched_getaffinity(0))}
        for server in servers.all.values():
            server.pin(cpus)
        figures = contest.turns({
            name: partial(contest.ask, server, latency.pinned, clients.tcp_ping_pong, cpus, _ROUND_TRIPS)
            for name, server in servers.all.items()}, _TURNS)
        yield versus("logs on, TCP ping-pong 64 B", figures, "us", Goal(high=1.05))
