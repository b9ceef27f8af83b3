"""Rows: round trips of 64 bytes, the server's thread blocked in recv; free CPUs and one CPU."""

import os

from tipy.bench import clients, probe, programs
from tipy.bench.bulk import PROBE
from tipy.bench.contest import STACK, Goal, Line, lines, median

_PROGRAMS = {"UDP": (programs.udp_echo, probe.udp_echo, clients.udp_ping_pong),
             "TCP": (programs.tcp_server, probe.server, clients.tcp_ping_pong)}
_GOALS = {("UDP", "free CPUs"): 1.4, ("UDP", "one CPU"): 2.0,
          ("TCP", "free CPUs"): 1.6, ("TCP", "one CPU"): 2.5}


def ping_pong(contest):
    """Median round trip of 64 bytes, UDP and TCP, beside the kernel and, where there is a TAP, the bare TAP."""
    count = 500 if contest.quick else 3000
    for protocol, (server_program, bare_program, program) in _PROGRAMS.items():
        with contest.beside_kernel(server_program) as servers:
            if contest.rung == "tap":
                servers.start(PROBE, probe.OnProbe(contest.subnet()), bare_program)
            everywhere = os.sched_getaffinity(0)
            for placement, cpus in (("free CPUs", everywhere), ("one CPU", {min(everywhere)})):
                for server in servers.all.values():
                    server.pin(cpus)
                figures = contest.turns({
                    name: lambda server=server: contest.ask(server, pinned, program, cpus, count)
                    for name, server in servers.all.items()})
                goal = Goal(high=_GOALS[protocol, placement])
                title = f"{protocol} ping-pong 64 B, {placement}"
                yield from lines(title, figures, "us", goals={STACK: goal})


def pinned(module, address, program, cpus, *args):
    """A client program on these CPUs only."""
    os.sched_setaffinity(0, cpus)
    return program(module, address, *args)


def stack_only(contest):
    """TCP ping-pong of the stack alone, on one CPU (for comparing interpreters)."""
    with contest.servers() as servers:
        servers.start(STACK, contest.stack(), programs.tcp_server)
        cpus = {min(os.sched_getaffinity(0))}
        server = servers.all[STACK]
        server.pin(cpus)
        figures = contest.turns({
            STACK: lambda: contest.ask(server, pinned, clients.tcp_ping_pong, cpus, 1000)})
    yield Line("TCP ping-pong 64 B", median(figures[STACK]), "us")
