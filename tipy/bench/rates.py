"""Rows: how many per second. Connections, datagrams, pings."""

from functools import partial

from tipy.bench import clients, pings, programs
from tipy.bench.contest import STACK, Goal, lines, versus

_FRESH = "a fresh one"


def udp(contest):
    """UDP: echoes per second with 32 outstanding, one way in and out with 1000 bytes."""
    for title, server, program, goal in (
            ("UDP echoes, 32 outstanding", programs.udp_echo, clients.udp_window, 0.15),
            ("UDP one way in, 1000 B", programs.udp_sink, clients.udp_into, 0.25),
            ("UDP one way out, 1000 B", programs.udp_source, clients.udp_out_of, 0.25)):
        with contest.beside_kernel(server) as servers:
            figures = _in_turns(contest, servers, program, contest.seconds)
        yield from lines(title, figures, "/s", goals={STACK: Goal(low=goal)})


def ping(contest):
    """Ping replies per second, 32 outstanding."""
    with contest.beside_kernel(programs.sleeper) as servers:
        figures = _in_turns(contest, servers, pings.window, contest.seconds)
    yield from lines("ping replies, 32 outstanding", figures, "/s",
                     goals={STACK: Goal(low=30_000, of_value=True)})


def connect(contest, lasting=True):
    """Connections opened and closed per second: as server, as client; and again (`lasting`) after 20,000 of them."""
    yield from _connections(contest, "accept + close as server", programs.accept_and_close, programs.connect_and_close,
                            lasting)
    acceptor = contest.net.client.start(programs.run_acceptor)
    acceptor.next()
    with acceptor:
        yield from _connections(contest, "connect + close as client", programs.tcp_server, clients.have_it_connect,
                                lasting)


def _connections(contest, title, server_program, program, lasting):
    """Connections per second. Then what many of them have done to a stack: it and a fresh one take turns, so that what
    befalls the machine befalls both; many, for a tenth more or less is what chance does to one turn."""
    count, many = (300, 2000) if contest.quick else (1000, 20_000)
    with contest.beside_kernel(server_program) as servers:
        figures = _in_turns(contest, servers, program, count)
        yield from lines(title, figures, "/s", goals={STACK: Goal(low=0.12)})
        if not lasting:
            return
        old = servers.all[STACK]
        contest.ask(old, program, many)
        servers.start(_FRESH, contest.stack(), server_program)
        fresh = servers.all[_FRESH]
        contest.ask(fresh, program, count // 10)
        found = contest.turns({_FRESH: partial(_rate_and_cost, contest, fresh, program, count),
                               STACK: partial(_rate_and_cost, contest, old, program, count)}, 3 * contest.repetitions)
    rates, costs = ({name: [turn[index] for turn in turns] for name, turns in found.items()} for index in (0, 1))
    yield versus(f"{title}, after {many:,}", rates, "/s", Goal(low=0.9))
    yield versus(f"{title}, after {many:,}, CPU of each", costs, "us", Goal(high=1.1))


def _rate_and_cost(contest, server, program, count):
    """Connections per second, and CPU microseconds of the server's process for each."""
    before = server.usage()[0]
    rate = contest.ask(server, program, count)
    return rate, (server.usage()[0] - before) / count * 1e6


def _in_turns(contest, servers, program, *args):
    return contest.turns({name: lambda server=server: contest.ask(server, program, *args)
                          for name, server in servers.all.items()})
