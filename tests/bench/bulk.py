"""Rows: bulk TCP. k2s is kernel to stack (the client sends), s2k stack to kernel."""

from functools import partial

from tests.bench import clients, probe, programs
from tests.bench.contest import KERNEL, KERNEL_TSO, STACK, Goal, Line, lines, median

PROBE = "bare TAP"
_MB = 1e6
_DIRECTIONS = {"k2s": clients.bulk_in, "s2k": clients.bulk_out}
_WARM_UP = 8 << 20
_LEAST, _MOST = 4 << 20, 2 << 30


def bulk(contest):
    """Bulk TCP over a TAP with offload, beside the kernel's veth and the bare TAP; the stream compared."""
    yield from _bulk(contest, True, {"k2s": 1.5, "s2k": 2.5}, 0.55)


def plain(contest):
    """Bulk TCP over a TAP without offload, beside the bare TAP without offload."""
    yield from _bulk(contest, False, {}, 0.5)


def _bulk(contest, offload, goals, of_ceiling):
    title = "bulk TCP" if offload else "plain TAP, bulk TCP"
    servers = contest.servers()
    with servers:
        servers.start(KERNEL, contest.kernel(), programs.tcp_server)
        if offload:
            servers.start(KERNEL_TSO, contest.kernel(tso=True), programs.tcp_server)
        servers.start(PROBE, probe.OnProbe(contest.subnet(), offload), probe.server)
        servers.start(STACK, contest.stack(offload), programs.tcp_server)
        for direction, program in _DIRECTIONS.items():
            usage = {}
            figures = measure(contest, servers.all, program, 0, usage)
            goal = Goal(low=goals[direction]) if direction in goals else None
            yield from lines(f"{title} {direction}", figures, "MB/s", _MB, {STACK: goal})
            yield of(f"{title} {direction}, of the ceiling", figures, STACK, PROBE, of_ceiling)
            yield from _costs(f"{title} {direction}", usage)
        pair = {name: servers.all[name] for name in (KERNEL, STACK)}
        for direction, program in _DIRECTIONS.items():
            figures = measure(contest, pair, program, programs.CHECK)
            goal = Goal(low=0.2) if offload else None
            yield from lines(f"{title} {direction}, compared", figures, "MB/s", _MB, {STACK: goal})


def busy(contest):
    """Bulk TCP while the server's thread computes in pure Python between its calls (programs.compute)."""
    with contest.servers() as servers:
        servers.start(KERNEL, contest.kernel(), programs.tcp_server)
        servers.start(STACK, contest.stack(), programs.tcp_server)
        for direction, program in _DIRECTIONS.items():
            idle = measure(contest, servers.all, program)
            working = measure(contest, servers.all, program, programs.BUSY)
            for name, goal in ((KERNEL, None), (STACK, 0.3)):
                figures = {"computing": working[name], "idle": idle[name]}
                title = f"bulk TCP {direction}, {name}, computing"
                yield of(title, figures, "computing", "idle", goal, "idle")


def background(contest):
    """Bulk TCP while a second thread of the server's process computes all the time."""
    with contest.servers() as servers:
        servers.start(STACK, contest.stack(), programs.tcp_server)
        servers.start("computing", contest.stack(), programs.tcp_server_with_computing_thread)
        for direction, program in _DIRECTIONS.items():
            figures = measure(contest, servers.all, program)
            yield of(f"bulk TCP {direction}, a thread computing", figures, "computing", STACK, 0.3, "idle")


def memory(contest):
    """Bulk TCP between two stacks of one process over the in-memory wire, beside the kernel's veth."""
    with contest.servers() as servers:
        servers.start(KERNEL, contest.kernel(), programs.tcp_server)
        reference = measure(contest, servers.all, clients.bulk_in)[KERNEL]
    figures = {KERNEL: reference}
    for name, offload in ((STACK, True), ("tipy without offload", False)):
        figures[name] = contest.net.client.call(between_stacks, offload, contest.seconds, contest.repetitions,
                                                timeout=120)
    yield from lines("stack <-> stack in memory", figures, "MB/s", _MB, {STACK: Goal(low=1.0)})


def between_stacks(offload, seconds, repetitions):
    """Bytes per second from one stack to another in this process."""
    import threading

    from tipy import log
    from tipy.link import Wire
    from tipy.settings import Settings
    from tipy.stack import Stack
    log.choose(())
    wire, stacks = Wire(offload=offload), []
    for host in (1, 2):
        settings = Settings.load(use_user_files=False, acd=False, gateway=None, address=f"10.8.0.{host}/24")
        stacks.append(Stack(link=wire.port(), settings=settings))
        stacks[-1].start()
    server = programs.tcp_server(stacks[1].socket, "10.8.0.2")
    next(server)
    threading.Thread(target=_run_to_the_end, args=(server,), daemon=True).start()
    rate = clients.bulk_in(stacks[0].socket, "10.8.0.2", _WARM_UP)
    size = int(min(max(rate * seconds, _LEAST), _MOST)) & ~0xFFFF
    figures = [clients.bulk_in(stacks[0].socket, "10.8.0.2", size) for _ in range(repetitions)]
    for stack in stacks:
        stack.stop()
    return figures


def _run_to_the_end(generator):
    try:
        for _ in generator:
            pass
    except OSError:
        pass                                           # the stack was stopped


def of(title, figures, name, base, goal, base_name=None):
    """A Line: the median of one contender, and its ratio to that of another."""
    value, other = median(figures[name]), median(figures[base])
    return Line(title, value / _MB, "MB/s", value / other, base_name or base,
                Goal(low=goal) if goal is not None else None, tuple(round(v / _MB, 3) for v in figures[name]))


def measure(contest, servers, program, mode=0, usage=None):
    """Bytes per second of each server, contest.seconds long each time; the first, short, one is not counted.

    usage: a dict to be filled: name -> [(CPU microseconds, page faults) of the server's process per 64 KB]
    """
    contenders = {}
    for name, server in servers.items():
        rate = contest.ask(server, program, _WARM_UP, mode)
        size = int(min(max(rate * contest.seconds, _LEAST), _MOST)) & ~0xFFFF
        spent = usage.setdefault(name, []) if usage is not None else []
        contenders[name] = partial(_once, contest, server, program, size, mode, spent)
    return contest.turns(contenders)


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
        yield Line(f"{title}, {name}: CPU per 64 KB", cpu, "us", cpu / base if base else None, PROBE)
        yield Line(f"{title}, {name}: page faults per 64 KB", faults, "")


def stack_only(contest):
    """Bulk TCP of the stack alone (for comparing interpreters)."""
    with contest.servers() as servers:
        servers.start(STACK, contest.stack(), programs.tcp_server)
        for direction, program in _DIRECTIONS.items():
            figures = measure(contest, servers.all, program)
            yield Line(f"bulk TCP {direction}", median(figures[STACK]) / _MB, "MB/s")
