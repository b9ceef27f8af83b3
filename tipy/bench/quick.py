"""The quick form: which rows, and what a machine that permits less cannot have."""

from functools import partial

from tipy.bench import bulk, clients, latency, pings, programs, rates, scale
from tipy.bench.contest import STACK, Contest, Line, median
from tipy.bench.memory import Pair

SECONDS, REPETITIONS = 0.3, 3

ROWS = {
    "bulk": bulk.short,
    "ping-pong": latency.ping_pong,
    "udp": rates.udp,
    "connect": partial(rates.connect, lasting=False),
    "ping": rates.ping,
    "connections": scale.memory,
    "memory": partial(bulk.memory, without_offload=False),
}
_NO_CEILING = "the bare probe needs a TAP"
_NO_KERNEL = "no kernel to talk to without a network namespace"


class Quick:
    """One run. `rung` as in tipy.lab: "tap", "packet", "memory", or None for the best that works here.

    rung, reason   which it is, and why not a better one (a sentence, or "")
    missing        {row: why it could not be measured}; failed: those of them that should have been
    """

    def __init__(self, rung=None):
        self.missing, self.failed = {}, []
        self.rung, self.reason, self._contest = "memory", "", None
        if rung == "memory":
            return
        try:
            self._contest = Contest(quick=True, repetitions=REPETITIONS, seconds=SECONDS, rung=rung)
        except OSError as error:
            if rung is not None:
                raise
            self.reason = f"no network namespace: {error.strerror or error}"
            return
        self.rung, self.reason = self._contest.rung, self._contest.net.reason

    def close(self):
        """End every process, and with them the network. Idempotent."""
        if self._contest is not None:
            self._contest.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def rows(self):
        """(row, Line) as they are measured."""
        if self._contest is None:
            self.missing.update((name, _NO_KERNEL) for name in ROWS if name != "memory")
            yield from self._guard("memory", in_memory)
            return
        if self.rung != "tap":
            self.missing["bulk, of the ceiling"] = _NO_CEILING
        for name, row in ROWS.items():
            yield from self._guard(name, partial(row, self._contest))

    def _guard(self, name, row):
        """The stack's lines of a row; one that fails is noted, and the others go on."""
        try:
            for line in row():
                if line.who == STACK:
                    yield name, line
        except Exception as error:
            self.failed.append(name)
            self.missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]


def in_memory():
    """Lines of two stacks that talk to each other in this process. There is nothing to compare them with."""
    for title, unit, scale_, server, program, amount in (
            ("bulk TCP", "MB/s", 1e6, programs.tcp_server, clients.bulk_in, 64 << 20),
            ("UDP ping-pong 64 B", "us", 1, programs.udp_echo, clients.udp_ping_pong, 500),
            ("TCP ping-pong 64 B", "us", 1, programs.tcp_server, clients.tcp_ping_pong, 500),
            ("UDP echoes, 32 outstanding", "/s", 1, programs.udp_echo, clients.udp_window, SECONDS),
            ("connect + close", "/s", 1, programs.accept_and_close, programs.connect_and_close, 300),
            ("ping replies, 32 outstanding", "/s", 1, programs.sleeper, pings.window, SECONDS)):
        with Pair() as pair, pair.serve(server):
            values = tuple(pair.ask(program, amount) / scale_ for _ in range(REPETITIONS))
        yield Line(f"stack <-> stack in memory, {title}", median(values), unit, values=values, who=STACK)
