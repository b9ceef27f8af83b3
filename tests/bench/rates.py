"""Rows: how many per second. Connections, datagrams, pings."""

from tests.bench import clients, pings, programs
from tests.bench.contest import STACK, Goal, Line, lines, median


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
    yield from lines("ping replies, 32 outstanding", figures, "/s")
    value = median(figures[STACK])
    yield Line("ping replies, in thousands", value / 1000, "k/s", value / 1000, "itself", Goal(low=30))


def connect(contest):
    """Connections opened and closed per second: as server, as client, and again after 20,000 of them."""
    count, many = (300, 2000) if contest.quick else (1000, 20_000)
    with contest.beside_kernel(programs.accept_and_close) as servers:
        figures = _in_turns(contest, servers, programs.connect_and_close, count)
        yield from lines("accept + close as server", figures, "/s", goals={STACK: Goal(low=0.12)})
        contest.ask(servers.all[STACK], programs.connect_and_close, many)
        later = contest.turns({
            STACK: lambda: contest.ask(servers.all[STACK], programs.connect_and_close, count)})
        yield _flat(f"the same after {many} connections", later[STACK], figures[STACK])
    yield from _as_client(contest, count, many)


def _as_client(contest, count, many):
    """The program at the stack (or the kernel's peer) opens connections to the kernel in "client"."""
    acceptor = contest.net.client.start(programs.run_acceptor)
    acceptor.next()
    with acceptor, contest.beside_kernel(programs.tcp_server) as servers:
        figures = _in_turns(contest, servers, clients.have_it_connect, count)
        yield from lines("connect + close as client", figures, "/s", goals={STACK: Goal(low=0.12)})
        server = servers.all[STACK]
        contest.ask(server, clients.have_it_connect, many)
        later = contest.turns({STACK: lambda: contest.ask(server, clients.have_it_connect, count)})
        yield _flat(f"the same after {many} connections", later[STACK], figures[STACK])


def _in_turns(contest, servers, program, *args):
    return contest.turns({name: lambda server=server: contest.ask(server, program, *args)
                          for name, server in servers.all.items()})


def _flat(title, later, before):
    value = median(later)
    return Line(title, value, "/s", value / median(before), "before", Goal(low=0.9), tuple(later))
