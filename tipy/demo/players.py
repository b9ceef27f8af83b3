"""Who runs the demo's programs: a host of the lab (a process, Linux's sockets) or a tipy stack (a thread).

Both give a job with `next(timeout)`, `result(timeout)`, `close()`, as `tipy.lab.worker.Job` has.
"""

import queue
import threading
from inspect import isgenerator

from tipy.lab.worker import TIMEOUT


class KernelPlayer:
    """A host of the lab: `worker` runs the programs on the kernel's sockets."""

    def __init__(self, name, address, worker):
        self.name = name
        self.address = address
        self._worker = worker

    def start(self, program, *args):
        """Run program(socket, *args) there, without waiting: a job."""
        return self._worker.start(with_kernel_sockets, program, args)

    def play(self, program, *args):
        """Run program(socket, *args) there: its result."""
        return self.start(program, *args).result()


class StackPlayer:
    """A tipy stack: the programs run in threads of this process, on its sockets."""

    def __init__(self, name, address, stack):
        self.name = name
        self.address = address
        self.stack = stack

    def start(self, program, *args):
        """Run program(socket, *args) on the stack, without waiting: a job."""
        return _ThreadJob(program, (self.stack.socket, *args))

    def play(self, program, *args):
        """Run program(socket, *args) on the stack: its result."""
        return self.start(program, *args).result()


def with_kernel_sockets(program, args):
    """In a process of the lab: the program on Python's own socket module."""
    import socket
    return program(socket, *args)


class _ThreadJob:
    """A program in a daemon thread; it ends by itself, at the latest when its stack stops."""

    def __init__(self, program, args):
        self._messages = queue.SimpleQueue()
        self._outcome = None
        self._thread = threading.Thread(target=self._run, args=(program, args), daemon=True)
        self._thread.start()

    def next(self, timeout=TIMEOUT):
        """The next value the program yields; StopIteration once it has returned."""
        kind, value = self._receive(timeout)
        if kind == "yield":
            return value
        self._outcome = kind, value
        if kind == "raise":
            return self.result(0)
        raise StopIteration

    def result(self, timeout=TIMEOUT):
        """What the program returned, or its exception raised."""
        while self._outcome is None:
            kind, value = self._receive(timeout)
            if kind != "yield":
                self._outcome = kind, value
        self._thread.join(timeout)
        kind, value = self._outcome
        if kind == "raise":
            raise value
        return value

    def close(self):
        """Let go of it."""

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def _receive(self, timeout):
        try:
            return self._messages.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("the program did not answer in time") from None

    def _run(self, program, args):
        try:
            outcome = program(*args)
            while isgenerator(outcome):
                try:
                    self._messages.put(("yield", next(outcome)))
                except StopIteration as end:
                    outcome = end.value
            self._messages.put(("return", outcome))
        except BaseException as error:
            self._messages.put(("raise", error))
