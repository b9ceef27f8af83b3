"""Rows: bulk TCP. k2s is kernel to stack (the client sends), s2k stack to kernel."""

from tests.bench import programs
from tests.bench.contest import KERNEL, KERNEL_TSO, STACK, Goal, lines

_MB = 1e6
_DIRECTIONS = {"k2s": programs.bulk_in, "s2k": programs.bulk_out}
_WARM_UP = 8 << 20
_LEAST, _MOST = 4 << 20, 2 << 30


def bulk(contest):
    """Bulk TCP over the TAP with offload, beside the kernel's veth; then the same with every byte compared."""
    goals = {"k2s": {STACK: Goal(low=1.5)}, "s2k": {STACK: Goal(low=2.5)}}
    places = {KERNEL: contest.kernel(), KERNEL_TSO: contest.kernel(tso=True), STACK: contest.stack()}
    with contest.against_kernel(places, programs.tcp_server) as servers:
        for direction, program in _DIRECTIONS.items():
            yield from lines(f"bulk TCP {direction}", measure(contest, servers, program), "MB/s", _MB,
                             goals[direction])
        del servers[KERNEL_TSO]
        for direction, program in _DIRECTIONS.items():
            figures = measure(contest, servers, program, programs.CHECK)
            yield from lines(f"bulk TCP {direction}, compared", figures, "MB/s", _MB, {STACK: Goal(low=0.2)})


def measure(contest, servers, program, mode=0):
    """Bytes per second of each server, contest.seconds long each time; the first, short, one is not counted."""
    contenders = {}
    for name, server in servers.items():
        rate = contest.ask(server, program, _WARM_UP, mode)
        size = int(min(max(rate * contest.seconds, _LEAST), _MOST)) & ~0xFFFF
        contenders[name] = lambda server=server, size=size: contest.ask(server, program, size, mode)
    return contest.turns(contenders)
