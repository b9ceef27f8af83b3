"""Row: what a second process brings. Accepted connections per second with several clients at once."""

import os
import time

from tipy.bench import network, programs
from tipy.bench.contest import STACK, Goal, Line, median
from tipy.bench.places import cpu_seconds

_CLIENTS = 16
_BASE = "1 process"


def workers(contest):
    """Accept + close per second with one and with two processes on the queues of one TAP; who used the CPUs."""
    count = 200 if contest.quick else 1000
    figures, shares = {}, {}
    crews = {number: _Crew(contest, number) for number in (1, 2)}
    try:
        turns = contest.turns({number: lambda crew=crew: crew.measure(count) for number, crew in crews.items()})
    finally:
        for crew in crews.values():
            crew.close()
    for number, values in turns.items():
        figures[number] = [rate for rate, _, _ in values]
        shares[number] = {"clients": median([of for _, of, _ in values]), "servers": median([of for _, _, of in values])}
    one = median(figures[1])
    for number, values in figures.items():
        title = f"accept + close, {number} process{'es' if number > 1 else ''}, {_CLIENTS} clients"
        yield Line(title, median(values), "/s", median(values) / one, _BASE, Goal(low=1.3) if number > 1 else None,
                   tuple(values), STACK)
        for who, share in shares[number].items():
            yield Line(f"{title}, CPU of the {who} (of {os.cpu_count()} CPUs)", share, "%")


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
        """Have every client connect and close `count` times: (connections per second, CPU of the clients and of
        the processes in percent of all CPUs)."""
        before = sum(map(cpu_seconds, self._pids))
        jobs = [self._net.client.start(visit, self._address, count) for _ in range(_CLIENTS)]
        visits = [job.result() for job in jobs]
        spent = sum(map(cpu_seconds, self._pids)) - before
        start, end, cpu = zip(*visits)
        seconds = max(end) - min(start)
        whole = seconds * os.cpu_count() / 100
        return _CLIENTS * count / seconds, sum(cpu) / whole, spent / whole

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
    """On the kernel's sockets: (start, end, CPU seconds) of so many connections."""
    import socket
    start, cpu = time.perf_counter(), time.process_time()
    programs.connect_and_close(socket, address, count)
    return start, time.perf_counter(), time.process_time() - cpu
