"""Row: what a second process brings. Accepted connections per second with several clients at once."""

import os
import time
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

from tipy.bench import network, programs
from tipy.bench.contest import STACK, Goal, Line, median, versus
from tipy.bench.places import cpu_seconds, idle_seconds

_CLIENTS = 16
_COMPUTING = 0.3               # seconds
_BASE = "1 process"


class Turn(NamedTuple):
    """What one turn found: connections per second, and who had which share (%) of all CPUs meanwhile. What is
    missing of 100 was other programs'."""

    rate: float
    clients: float
    servers: float
    idle: float


def workers(contest):
    """Accept + close per second with one and two processes on one TAP; who used the CPUs; what a second CPU is worth."""
    count = 50 if contest.quick else 250
    with ExitStack() as crews:
        contenders = {}
        for number in (1, 2):
            crew = crews.enter_context(_Crew(contest, number))
            contenders[number, "accept"] = partial(crew.measure, count)
            contenders[number, "compute"] = partial(_compute, contest.net, number)
        turns = contest.turns(contenders, 2 * contest.repetitions)
    for number in (1, 2):
        found = turns[number, "accept"]
        title = f"accept + close, {number} process{'es' if number > 1 else ''}"
        _, clients, servers, idle = map(median, zip(*found))
        rates = {STACK: [turn.rate for turn in found], _BASE: [turn.rate for turn in turns[1, "accept"]]}
        yield versus(title, rates, "/s", Goal(low=1.3) if number > 1 else None)
        for who, share in ((f"{_CLIENTS} clients", clients), ("servers", servers), ("nobody", idle)):
            yield Line(f"{title}, CPU of {who} (of {os.cpu_count()})", share, "%")
    rates = {"": turns[2, "compute"], _BASE: turns[1, "compute"]}
    yield versus("2 processes that do nothing but compute", rates, "/s", who="")


def _compute(net, processes):
    """How often so many processes at once can compute (programs.compute) in a second: what a CPU more is worth here, now."""
    return sum(job.result() for job in [net.client.start(compute, _COMPUTING) for _ in range(processes)])


def compute(seconds):
    """The rate of one of them."""
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        programs.compute()
        count += 1
    return count / seconds


class _Crew:
    """`count` processes that accept and close, on a TAP of their own."""

    def __init__(self, contest, count):
        self._net = contest.net
        subnet = contest.subnet()
        self._address = network.address(subnet, 2)
        self._job = self._net.client.start(serve, count, subnet)
        try:
            self._pids = self._job.next()
        except BaseException:
            self._job.close()
            raise

    def measure(self, count):
        """Have every client connect and close `count` times: a Turn."""
        spent, idle = self._servers_cpu(), idle_seconds()
        jobs = [self._net.client.start(visit, self._address, count) for _ in range(_CLIENTS)]
        start, end, cpu = zip(*[job.result() for job in jobs])
        seconds = max(end) - min(start)
        percent = 100 / (seconds * os.cpu_count())
        return Turn(_CLIENTS * count / seconds, sum(cpu) * percent, (self._servers_cpu() - spent) * percent,
                    (idle_seconds() - idle) * percent)

    def _servers_cpu(self):
        return sum(map(cpu_seconds, self._pids))

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """End the processes."""
        self._job.close()


def serve(count, subnet):
    """In the namespace "client": run them; yields their process ids when all listen."""
    from tipy.link.tap import create_tap
    from tipy.workers import Workers
    name = f"tap{subnet}"
    create_tap(name, multi_queue=True)
    network.bring_up_tap(subnet)
    ready, listening = os.pipe()

    def work(stack, number):
        serving = programs.accept_and_close(stack.socket, network.address(subnet, 2))
        next(serving)
        os.write(listening, b"x")
        next(serving)

    with Workers(count, work, use_user_files=False, ifname=name, gateway=None, acd=False, log_channels=(),
                 address=f"{network.address(subnet, 2)}/24") as crew:
        for _ in range(count):
            os.read(ready, 1)
        yield crew.pids
        crew.wait()


def visit(address, count):
    """On the kernel's sockets: (start, end, CPU seconds) of so many connections. Each waits until the server has
    accepted and closed it: else the accept queues fill, and SYNs are dropped."""
    import socket
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        with socket.create_connection((address, programs.PORT)) as sock:
            sock.recv(1)
    return start, time.perf_counter(), time.process_time() - cpu
