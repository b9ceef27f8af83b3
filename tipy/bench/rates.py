"""Rows: how many per second. Connections, datagrams, pings."""

from tipy.bench import clients, pings, programs
from tipy.bench.contest import STACK, Goal, Line, lines, median


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
    """Connections opened and closed per second: as server, as client, and again (`lasting`) after 20,000 of them."""
    with contest.beside_kernel(programs.accept_and_close) as servers:
        yield from _connections(contest, servers, "accept + close as server", programs.connect_and_close, lasting)
    acceptor = contest.net.client.start(programs.run_acceptor)
    acceptor.next()
    with acceptor, contest.beside_kernel(programs.tcp_server) as servers:
        yield from _connections(contest, servers, "connect + close as client", clients.have_it_connect, lasting)


def _connections(contest, servers, title, program, lasting):
    """Connections per second, then what many of them did to the CPU time that one takes."""
    count, many = (300, 2000) if contest.quick else (1000, 20_000)
    server = servers.all[STACK]
    before = server.usage()[0]
    figures = _in_turns(contest, servers, program, count)
    first = server.usage()[0] - before
    yield from lines(title, figures, "/s", goals={STACK: Goal(low=0.12)})
    if not lasting:
        return
    for each in servers.all.values():
        contest.ask(each, program, many)
    before = server.usage()[0]
    later = _in_turns(contest, servers, program, count)
    spent = server.usage()[0] - before
    for name, rates in later.items():                  # the client, a kernel's, has its share in what changes
        yield Line(f"{title}, after {many:,}", median(rates), "/s", median(rates) / median(figures[name]), "before",
                   Goal(low=0.9) if name == STACK else None, tuple(rates), name)
    yield Line(f"{title}, after {many:,}, CPU of each", spent / contest.repetitions / count * 1e6, "us",
               spent / first, "before", Goal(high=1.1), who=STACK)


def _in_turns(contest, servers, program, *args):
    return contest.turns({name: lambda server=server: contest.ask(server, program, *args)
                          for name, server in servers.all.items()})
