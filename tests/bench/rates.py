"""Rows: how many per second. Connections, datagrams, pings."""

from tests.bench import programs
from tests.bench.contest import KERNEL, STACK, Goal, lines


def connect(contest):
    """Connections opened and closed per second, the stack as the server."""
    count = 300 if contest.quick else 1500
    places = {KERNEL: contest.kernel(), STACK: contest.stack()}
    with contest.against_kernel(places, programs.accept_and_close) as servers:
        figures = contest.turns({
            name: lambda server=server: contest.ask(server, programs.connect_and_close, count)
            for name, server in servers.items()})
        yield from lines("accept + close as server", figures, "/s", goals={STACK: Goal(low=0.12)})
