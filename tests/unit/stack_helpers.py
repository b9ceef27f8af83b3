"""What the tests of whole stacks share: stacks of several kinds, threads that are joined, what is open.

No assert here: `-O` would take it away.
"""

import gc
import os
import socket as kernel
import threading

from tipy import log
from tipy.clock import ManualClock
from tipy.link.base import Link
from tipy.link.memory import Wire
from tipy.settings import Settings
from tipy.stack import LOOPBACK_ONLY, Stack

JOIN = 20                      # seconds after which a thread counts as stuck
A, B = "10.0.0.1", "10.0.0.2"
MAC = {A: "02:00:00:00:00:0a", B: "02:00:00:00:00:0b"}


class Endpoint:
    """The least that one can wait for."""

    def __init__(self, name="endpoint"):
        self.waiters = self.readiness = None
        self.name = name
        self.ready = False

    def __repr__(self):
        return f"<{self.name}>"


class Cable(Link):
    """A link with a descriptor, as a TAP is: one end of a datagram socket pair."""

    def __init__(self, end):
        self._end = end
        end.setblocking(False)

    def send(self, parts, offload=None):
        if self._end is None:
            return
        try:
            self._end.send(b"".join(parts))
        except BlockingIOError:                        # the other end is slow: lost, as on a wire
            pass

    def fileno(self):
        return self._end.fileno() if self._end is not None else None

    def receive_batch(self):
        batch = []
        try:
            while len(batch) < 64:
                batch.append((self._end.recv(65536), False, 0))
        except BlockingIOError:
            pass
        return batch

    def close(self):
        end, self._end = self._end, None
        if end is not None:
            end.close()


def cable():
    """Two links that are each other's other end."""
    return [Cable(end) for end in kernel.socketpair(kernel.AF_UNIX, kernel.SOCK_DGRAM)]


def make(link=None, address=A, **settings):
    """A stack that is not started: loopback only, or on `link` with 10.0.0.1/24."""
    log.choose(())
    given = {name: settings.pop(name) for name in ("clock", "seed") if name in settings}
    if link is None:
        values = Settings.load(use_user_files=False, ifname=LOOPBACK_ONLY, **settings)
    else:
        settings.setdefault("acd", False)
        values = Settings.load(use_user_files=False, address=f"{address}/24", mac=MAC[address], **settings)
    return Stack(link=link, settings=values, **given)


def virtual_pair(auto=False, **settings):
    """(clock, a, b): two running stacks on one wire in memory and one manual clock."""
    clock, wire = ManualClock(auto=auto), Wire()
    stacks = [make(wire.port(), address, clock=clock, seed=seed, **settings)
              for seed, address in enumerate((A, B))]
    for stack in stacks:
        stack.start()
    return clock, *stacks


class Thread:
    """fn(*args) in a thread of its own; `result()` gives what it returned or raised, in bounded time."""

    def __init__(self, fn, *args):
        self._outcome = None
        self._thread = threading.Thread(target=self._run, args=(fn, args), daemon=True)
        self._thread.start()

    def _run(self, fn, args):
        try:
            self._outcome = fn(*args), None
        except BaseException as error:
            self._outcome = None, error

    def result(self):
        self._thread.join(JOIN)
        if self._outcome is None:
            raise AssertionError("the thread is stuck")
        value, error = self._outcome
        if error is not None:
            raise error
        return value


def until(condition):
    """Let other threads run until condition() holds; AssertionError if it never does."""
    pause = threading.Event()
    for _ in range(JOIN * 1000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("the condition waited for did not come true")


def until_blocked(stack, count=1):
    """Until `count` threads wait in the stack."""
    until(lambda: len(stack.gate.describe_waits()) >= count)


def connected(stack, other=None):
    """(client, server): a TCP connection inside one stack, or from `stack` to `other`; real or auto time."""
    other = other or stack
    listener = other.socket.socket()
    address = "127.0.0.1" if other is stack else other.settings.address.partition("/")[0]
    listener.bind((address, 0))
    listener.listen()
    client = stack.socket.socket()
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    listener.close()
    return client, server


def open_things():
    """What a process has open: threads, descriptors, namespaces."""
    gc.collect()
    return set(threading.enumerate()), len(os.listdir("/proc/self/fd")), sorted(os.listdir("/proc/self/ns"))
