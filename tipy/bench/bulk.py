"""Rows: bulk TCP. k2s is kernel to stack (the client sends), s2k stack to kernel."""

from functools import partial

from tipy.bench import clients, probe, programs
from tipy.bench.contest import KERNEL, KERNEL_TSO, STACK, Goal, Line, lines, median, versus
from tipy.bench.memory import Pair

PROBE = "bare TAP"
MB = 1e6
DIRECTIONS = {"k2s": clients.bulk_in, "s2k": clients.bulk_out}
_WARM_UP = 8 << 20
_LEAST, _MOST = 4 << 20, 2 << 30


def bulk(contest):
    """Bulk TCP over a TAP with offload, beside the kernel's veth and the bare TAP; then with the stream compared."""
    yield from _bulk(contest, True, {"k2s": Goal(low=1.5), "s2k": Goal(low=2.5)}, Goal(low=0.55))


def plain(contest):
    """Bulk TCP over a TAP without offload, beside the bare TAP without offload; then with the stream compared."""
    yield from _bulk(contest, False, {}, Goal(low=0.5))


def _bulk(contest, offload, goals, of_ceiling):
    title = "bulk TCP" if offload else "plain TAP, bulk TCP"
    with contest.servers() as servers:
        servers.start(KERNEL, contest.kernel(), programs.tcp_server)
        if offload:
            servers.start(KERNEL_TSO, contest.kernel(tso=True), programs.tcp_server)
        servers.start(PROBE, probe.OnProbe(contest.subnet(), offload), probe.server)
        servers.start(STACK, contest.stack(offload), programs.tcp_server)
        usage = {}
        yield from _transfers(contest, servers.all, title, goals, of_ceiling, usage)
        for direction in DIRECTIONS:
            yield from _costs(f"{title} {direction}", usage[direction])
        pair = {name: servers.all[name] for name in (KERNEL, STACK)}
        for direction, program in DIRECTIONS.items():
            figures = measure(contest, pair, program, programs.CHECK)
            yield from lines(f"{title} {direction}, compared", figures, "MB/s", MB)


def short(contest):
    """Bulk TCP with offload both ways, beside the kernel's veth and, where there is a TAP, the bare TAP."""
    with contest.servers() as servers:
        servers.start(KERNEL, contest.kernel(), programs.tcp_server)
        if contest.rung == "tap":
            servers.start(PROBE, probe.OnProbe(contest.subnet()), probe.server)
        servers.start(STACK, contest.stack(), programs.tcp_server)
        yield from _transfers(contest, servers.all, "bulk TCP", {}, None, {})


def _transfers(contest, servers, title, goals, of_ceiling, usage):
    """Lines of both directions; usage: gets for each direction what `measure` tells."""
    for direction, program in DIRECTIONS.items():
        figures = measure(contest, servers, program, 0, usage.setdefault(direction, {}))
        yield from lines(f"{title} {direction}", figures, "MB/s", MB, {STACK: goals.get(direction)})
        if PROBE in figures:
            pair = {name: figures[name] for name in (STACK, PROBE)}
            yield versus(f"{title} {direction}, of the ceiling", pair, "MB/s", of_ceiling, MB)


def busy(contest):
    """Bulk TCP while the server's thread computes in pure Python between its calls (programs.compute)."""
    with contest.servers() as servers:
        servers.start(KERNEL, contest.kernel(), programs.tcp_server)
        servers.start(STACK, contest.stack(), programs.tcp_server)
        for direction, program in DIRECTIONS.items():
            idle = measure(contest, servers.all, program)
            working = measure(contest, servers.all, program, programs.BUSY)
            for name, goal in ((KERNEL, None), (STACK, Goal(low=0.3))):
                figures = {name: working[name], "idle": idle[name]}
                yield versus(f"bulk TCP {direction}, application computing", figures, "MB/s", goal, MB, name)


def background(contest):
    """Bulk TCP while a second thread of the server's process computes all the time."""
    with contest.servers() as servers:
        servers.start(STACK, contest.stack(), programs.tcp_server)
        servers.start("computing", contest.stack(), programs.tcp_server_with_computing_thread)
        for direction, program in DIRECTIONS.items():
            figures = measure(contest, servers.all, program)
            figures = {STACK: figures["computing"], "idle": figures[STACK]}
            yield versus(f"bulk TCP {direction}, another thread computing", figures, "MB/s", Goal(low=0.3), MB)


def memory(contest, without_offload=True):
    """Bulk TCP between two stacks of one process over the in-memory wire, beside the kernel's veth."""
    with contest.servers() as servers:
        servers.start(KERNEL, contest.kernel(), programs.tcp_server)
        reference = measure(contest, servers.all, clients.bulk_in)[KERNEL]
    figures = {KERNEL: reference}
    for name, offload in ((STACK, True), ("tipy without offload", False)):
        if offload or without_offload:
            figures[name] = contest.net.client.call(between_stacks, offload, contest.seconds, contest.repetitions,
                                                    timeout=120)
    yield from lines("stack <-> stack in memory", figures, "MB/s", MB, {STACK: Goal(low=1.0)})


def between_stacks(offload, seconds, repetitions):
    """Bytes per second from one stack to another in this process, `repetitions` figures."""
    with Pair(offload) as pair, pair.serve(programs.tcp_server):
        rate = pair.ask(clients.bulk_in, _WARM_UP)
        return [pair.ask(clients.bulk_in, _size(rate, seconds)) for _ in range(repetitions)]


def measure(contest, servers, program, mode=0, usage=None, seconds=None, turns=None):
    """Bytes per second of each server, contest.seconds long each time; the first, short, one is not counted.

    usage: a dict to be filled: name -> [(CPU microseconds, page faults) of the server's process per 64 KB]
    """
    contenders = {}
    for name, server in servers.items():
        rate = contest.ask(server, program, _WARM_UP, mode)
        size = _size(rate, seconds or contest.seconds)
        spent = usage.setdefault(name, []) if usage is not None else []
        contenders[name] = partial(_once, contest, server, program, size, mode, spent)
    return contest.turns(contenders, turns)


def _size(rate, seconds):
    """How many bytes to move at that rate to fill so many seconds."""
    return int(min(max(rate * seconds, _LEAST), _MOST)) & ~0xFFFF


def _once(contest, server, program, size, mode, spent):
    cpu, faults = server.usage()
    rate = contest.ask(server, program, size, mode)
    later = server.usage()
    pieces = size / 65536
    spent.append(((later[0] - cpu) * 1e6 / pieces, (later[1] - faults) / pieces))
    return rate


def _costs(title, usage):
    """Lines: what 64 KB cost the processes of the stack and of the bare TAP."""
    base = median([cpu for cpu, _ in usage[PROBE]])
    for name in (PROBE, STACK):
        cpu, faults = (median(values) for values in zip(*usage[name]))
        yield Line(f"{title}, CPU per 64 KB", cpu, "us", cpu / base if base else None, PROBE, who=name)
        yield Line(f"{title}, page faults per 64 KB", faults, "", who=name)
