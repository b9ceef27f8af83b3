"""Where a program runs.

A place is picklable; in the process that is to be measured, `with place.open() as (module, address)` gives
the socket module to use and the address to serve on.
"""

import os
import time
from contextlib import contextmanager
from typing import NamedTuple

from tipy.bench import network

_TIMEOUT = 30.0
_TURNS, _TURN = 400, 0.005              # how long a killed process may take to be gone


class OnKernel(NamedTuple):
    """The kernel's own stack: in the namespace "peer", at the far end of cable `subnet`."""

    subnet: int = network.REFERENCE

    @contextmanager
    def open(self):
        """The interpreter's socket module."""
        import socket
        yield socket, network.address(self.subnet, 2)

    worker = "peer"


class OnStack(NamedTuple):
    """A tipy stack on a new TAP of the namespace "client" or, on the rung "packet", on a bare cable in "peer".
    settings: (name, value) pairs."""

    subnet: int
    offload: bool = True
    settings: tuple = ()
    rung: str = "tap"

    @contextmanager
    def open(self):
        """A running stack's socket module."""
        from tipy import log
        from tipy.stack import Stack
        log.choose(())
        open_link = network.open_tap if self.rung == "tap" else network.open_packet
        with Stack(link=open_link(self.subnet, self.offload), settings=self.configuration()) as stack:
            yield stack.socket, network.address(self.subnet, 2)

    def configuration(self):
        """Settings of the stack; nothing of the user's."""
        from tipy.settings import Settings
        return Settings.load(use_user_files=False, acd=False, gateway=None, ephemeral_ports=(10000, 65000),
                             address=f"{network.address(self.subnet, 2)}/24", **dict(self.settings))

    @property
    def worker(self):
        """The namespace to run in."""
        return "client" if self.rung == "tap" else "peer"


def run(place, program, *args):
    """In a worker: the generator program(module, address, *args). Yields the process id, then as it does."""
    with place.open() as (module, address):
        yield os.getpid()
        yield from program(module, address, *args)


def client(program, *args):
    """In a worker: a client program on the kernel's sockets."""
    import socket
    return program(socket, *args)


def cpu_seconds(pid):
    """What a process has used so far, all its threads."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle_seconds():
    """What all CPUs together have spent idle so far."""
    with open("/proc/stat") as file:
        return int(file.readline().split()[4]) / os.sysconf("SC_CLK_TCK")


def _stat(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


class Server:
    """A program running at a place, ready to be talked to. address: where; pid: its process."""

    def __init__(self, net, place, program, *args):
        self.place = place
        self.address = network.address(place.subnet, 2)
        self._job = getattr(net, place.worker).start(run, place, program, *args)
        self.pid = None
        try:
            self.pid = self._job.next(_TIMEOUT)
            self._job.next(_TIMEOUT)
        except BaseException:
            self._job.close()
            raise

    def next(self, timeout=_TIMEOUT):
        """The next thing the program yields."""
        return self._job.next(timeout)

    def failure(self):
        """The exception the program ended with, or None."""
        try:
            self._job.next(0.2)
        except TimeoutError:
            return None
        except Exception as error:
            return error

    def pin(self, cpus):
        """Let every thread of the process run on these CPUs only."""
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            os.sched_setaffinity(int(thread), cpus)

    def usage(self):
        """What its process has used so far: (CPU seconds, page faults)."""
        return cpu_seconds(self.pid), int(_stat(self.pid)[7])

    def close(self):
        """End the program and wait until its process, and so its ports and TAP, are gone."""
        self._job.close()
        for _ in range(_TURNS):
            if not os.path.exists(f"/proc/{self.pid}"):
                return
            time.sleep(_TURN)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()
