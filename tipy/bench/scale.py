"""Rows: what many connections cost. Memory, CPU when idle, CPU per segment."""

import time
from contextlib import ExitStack

from tipy.bench import programs
from tipy.bench.contest import STACK, Goal, Line, median

_KB = 1024
_ROUNDS = 1000                         # round trips of one turn


def connections(contest):
    """Many connections open: memory of each, CPU while all are idle, CPU per round trip on one more."""
    sizes = (1, 200, 1000) if contest.quick else (1, 1000, 10_000)
    with contest.servers() as servers, ExitStack() as visitors:
        for size in sizes:
            yield from _fill(contest, servers, visitors, size, 1.5 if contest.quick else 5.0)
        costs = contest.turns({
            size: lambda server=servers.all[size]: contest.ask(server, echo_cost) for size in sizes})
    one = median(costs[1])
    for size, values in costs.items():
        yield Line(f"CPU per 64 B echo, {size:,} open", median(values), "us", median(values) / one,
                   "1 open", Goal(high=1.15) if size > 1 else None, tuple(values), STACK)


def memory(contest):
    """200 connections open: memory of each."""
    with contest.servers() as servers, ExitStack() as visitors:
        yield from _fill(contest, servers, visitors, 200, 0)


def _fill(contest, servers, visitors, size, seconds):
    """Start a stack, named `size`, and fill it with connections from kernel clients."""
    servers.start(size, contest.stack(), crowd, size, seconds, contest.repetitions)
    server = servers.all[size]
    job = visitors.enter_context(contest.net.client.start(_visit, server.address, size))
    job.next()                                         # all are connected
    memory, shares = server.next(60)
    if size > 1:
        yield Line(f"memory per idle connection, {size:,} open", memory / _KB, "KB",
                   goal=Goal(high=6, of_value=True), who=STACK)
    if size > 1 and seconds:
        shares = [share * 100 for share in shares]
        yield Line(f"CPU, {size:,} idle connections", median(shares), "%", goal=Goal(high=0.5, of_value=True),
                   values=tuple(shares), who=STACK)


def crowd(module, address, size, seconds, repetitions):
    """Accept `size` connections; yield the bytes each one takes and the shares of a CPU all take while idle
    for `seconds` in all, one for each repetition; then serve `echo_cost` for ever."""
    import tracemalloc
    with module.socket() as listener:
        listener.bind((address, programs.PORT))
        listener.listen(4096)
        yield "ready"
        accepted = [listener.accept()[0]]              # what the first connection costs
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        accepted += [listener.accept()[0] for _ in range(size - 1)]
        time.sleep(0.3)                                # delayed ACKs
        memory = (tracemalloc.get_traced_memory()[0] - before) / max(size - 1, 1)
        tracemalloc.stop()
        yield memory, [_idle(seconds / repetitions) for _ in range(repetitions)]
        while True:
            with listener.accept()[0] as sock:
                sock.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
                sock.sendall(programs.COUNT.pack(_echo(sock)))


def _idle(seconds):
    """The share of one CPU that this process takes while nothing happens."""
    start, cpu = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    return (time.process_time() - cpu) / (time.perf_counter() - start)


def _echo(sock):
    """Echo; the CPU nanoseconds of this process per round trip."""
    cpu = time.process_time_ns()
    for _ in range(_ROUNDS):
        sock.sendall(programs.receive_exactly(sock, 64))
    return (time.process_time_ns() - cpu) // _ROUNDS


def echo_cost(module, address):
    """Have `crowd` echo on one more connection: its CPU microseconds per round trip."""
    with module.create_connection((address, programs.PORT)) as sock:
        sock.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
        for _ in range(_ROUNDS):
            sock.sendall(bytes(64))
            programs.receive_exactly(sock, 64)
        return programs.COUNT.unpack(programs.receive_exactly(sock, 8))[0] / 1000


def _visit(address, size):
    """On the kernel's sockets: open `size` connections and keep them."""
    import socket
    socks = [socket.create_connection((address, programs.PORT), 10) for _ in range(size)]
    yield "connected"
    while socks:
        time.sleep(60)
