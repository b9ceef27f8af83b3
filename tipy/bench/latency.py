"""Rows: round trips of 64 bytes, the server's thread blocked in recv.

Three placements: free CPUs, one CPU for client and server, a CPU for each. The first is what programs get, and depends
on luck: left to itself the scheduler puts two partners that hardly compute on one CPU, where waking the other costs
next to nothing, and others apart, where it costs more than the whole round trip. So the bare TAP, without any
protocol, also runs with 10 us of computing (UDP, not in quick runs): that is what a free-CPU round trip costs whoever
computes at all.
"""

import os

from tipy.bench import clients, probe, programs
from tipy.bench.bulk import PROBE
from tipy.bench.contest import STACK, Goal, lines

_PROGRAMS = {"UDP": (programs.udp_echo, probe.udp_echo, clients.udp_ping_pong),
             "TCP": (programs.tcp_server, probe.server, clients.tcp_ping_pong)}
_WORK = 10e-6                  # seconds
_BUSY = f"{PROBE}, 10 us of work"
_GOALS = {("UDP", "free CPUs"): 1.4, ("UDP", "one CPU"): 2.0,
          ("TCP", "free CPUs"): 1.6, ("TCP", "one CPU"): 2.5}


def ping_pong(contest):
    """Median round trip of 64 bytes, UDP and TCP, beside the kernel and, where there is a TAP, the bare TAP."""
    everywhere = os.sched_getaffinity(0)
    first, last = {min(everywhere)}, {max(everywhere)}
    placements = [("free CPUs", everywhere, everywhere), ("one CPU", first, first)]
    if first != last and not contest.quick:
        placements.append(("a CPU each", first, last))
    count = 500 if contest.quick else 3000
    for protocol, (server_program, bare_program, program) in _PROGRAMS.items():
        with contest.beside_kernel(server_program) as servers:
            if contest.rung == "tap":
                servers.start(PROBE, probe.OnProbe(contest.subnet()), bare_program)
                if protocol == "UDP" and not contest.quick:
                    servers.start(_BUSY, probe.OnProbe(contest.subnet()), bare_program, _WORK)
            for placement, cpus, other_cpus in placements:
                for server in servers.all.values():
                    server.pin(other_cpus)
                figures = contest.turns({
                    name: lambda server=server: contest.ask(server, pinned, program, cpus, count)
                    for name, server in servers.all.items()})
                limit = _GOALS.get((protocol, placement))
                goals = {STACK: Goal(high=limit)} if limit else None
                yield from lines(f"{protocol} ping-pong 64 B, {placement}", figures, "us", goals=goals)


def pinned(module, address, program, cpus, *args):
    """A client program on these CPUs only."""
    os.sched_setaffinity(0, cpus)
    return program(module, address, *args)
