"""Processes that live in a private network and run functions there.

    caller ----- control (messages, one descriptor each) ----- worker, single-threaded, inside the namespace
       \\                                                          | forks, one per call
        `---- channel of one call: yields, result, exception ---- job

A *worker* holds the namespace open and does nothing itself: for each call it forks a *job*, a copy of itself
which runs the function. A worker can also fork another worker, in a further network of the same user
namespace. A job ends when its function does, when the caller lets go of it, or when the worker dies; a worker
ends when the caller closes its control socket or dies. Every wait of the caller has a timeout.

Functions are sent by name (pickle): they must be module-level, their arguments and results picklable. A
generator function hands each value it yields to the caller at once: `job.next()`.
"""

import _socket as kernel          # never `socket`: that one may have been replaced by ours
import array
import os
import pickle
import select
import signal
import time
import traceback
from inspect import isgenerator

from tipy.lab import namespaces

TIMEOUT = 30.0                    # seconds, for any call that does not say otherwise
_PATIENCE = 2.0                   # seconds a worker has to end by itself
_JOB, _WORKER = b"j", b"w"


class RemoteFailure(RuntimeError):
    """A function's exception that could not be sent back; the text is its traceback."""


class Worker:
    """The caller's end of a worker process. `pid` is its process id.

    `enter()` runs first in the new process (to change its network); an OSError of it is raised here.
    """

    def __init__(self, enter, timeout=TIMEOUT):
        mine, theirs = kernel.socketpair(kernel.AF_UNIX, kernel.SOCK_SEQPACKET)
        parent = os.getpid()

        def body():
            _work(theirs, enter, parent)

        try:
            self.pid = namespaces.fork_clean({theirs.fileno()}, body)
        finally:
            theirs.close()
        self._control = mine
        self._own_child = True
        self._await_readiness(timeout)

    def _await_readiness(self, timeout):
        try:
            self._control.settimeout(timeout)
            answer = self._control.recv(1 << 16)
            if not answer:
                raise ChildProcessError("the lab's process ended at once")
            pid, error = pickle.loads(answer)
            if error is not None:
                raise error
            self.pid = pid
        except BaseException:
            self.close()
            raise

    def start(self, function, *args):
        """Run function(*args) there, without waiting: a Job."""
        return self._start(function, args, wants_descriptor=False)

    def call(self, function, *args, timeout=TIMEOUT):
        """function(*args) run there: its result, or its exception. TimeoutError after `timeout` seconds."""
        return self.start(function, *args).result(timeout)

    def descriptor(self, function, *args, timeout=TIMEOUT):
        """call() for a function that returns a file descriptor: one of ours for the same thing."""
        with self._start(function, args, wants_descriptor=True) as job:
            return job.descriptor(timeout)

    def spawn(self, enter, timeout=TIMEOUT):
        """Another Worker, forked from that one: in the same user namespace, and where `enter` takes it."""
        child = Worker.__new__(Worker)
        child._control = self._send(_WORKER, pickle.dumps(enter))
        child._own_child = False
        child._await_readiness(timeout)
        return child

    def close(self):
        """End the process, its jobs and its workers. Idempotent."""
        if self._control.fileno() < 0:
            return
        self._control.close()
        if self._own_child:
            _reap(self.pid)

    def _start(self, function, args, wants_descriptor):
        job = Job(self._send(_JOB))
        job.send((function, args, wants_descriptor))
        return job

    def _send(self, kind, body=b""):
        mine, theirs = kernel.socketpair(
            kernel.AF_UNIX, kernel.SOCK_STREAM if kind == _JOB else kernel.SOCK_SEQPACKET)
        try:
            self._control.sendmsg([kind + body], _rights(theirs.fileno()))
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()
        return mine


class Job:
    """One function running in a worker's network. Let go of it with close(); result() does so itself."""

    def __init__(self, channel):
        self._channel = channel
        self._outcome = None

    def send(self, message):
        """Send one object."""
        data = pickle.dumps(message)
        self._channel.settimeout(TIMEOUT)
        self._channel.sendall(len(data).to_bytes(4, "big") + data)

    def next(self, timeout=TIMEOUT):
        """The next value the function yields; StopIteration once it has returned."""
        kind, value = self._receive(timeout)
        if kind == "yield":
            return value
        self._outcome = kind, value
        if kind == "raise":
            return self.result(0)
        raise StopIteration

    def result(self, timeout=TIMEOUT):
        """What the function returned, or its exception raised; values it yields meanwhile are dropped."""
        try:
            deadline = time.monotonic() + timeout
            while self._outcome is None:
                kind, value = self._receive(deadline - time.monotonic())
                if kind != "yield":
                    self._outcome = kind, value
        finally:
            self.close()
        kind, value = self._outcome
        if kind == "return":
            return value
        error, trace = value
        error.add_note(f"(in the lab)\n{trace}")
        raise error

    def descriptor(self, timeout=TIMEOUT):
        """The descriptor that the function returned, now one of ours too."""
        kind, value = self._receive(timeout)
        if kind == "raise":
            self._outcome = kind, value
            self.result(0)
        _, ancillary, _, _ = self._channel.recvmsg(1, kernel.CMSG_SPACE(4))
        descriptor = _descriptor_in(ancillary)
        self._channel.recv(1)
        return descriptor

    def close(self):
        """Let go: if it still runs, it is killed. Idempotent."""
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def _receive(self, timeout):
        deadline = time.monotonic() + timeout
        length = int.from_bytes(self._receive_exactly(4, deadline), "big")
        return pickle.loads(self._receive_exactly(length, deadline))

    def _receive_exactly(self, length, deadline):
        parts = []
        while length:
            self._channel.settimeout(max(deadline - time.monotonic(), 0.001))
            part = self._channel.recv(min(length, 1 << 20))
            if not part:
                raise ChildProcessError("the function's process ended without a result")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


# -- inside the worker ----------------------------------------------------------------------------


def _work(control, enter, parent):
    """A worker's life: enter the network, say so, then fork a child for each message."""
    error = None
    try:
        enter()
        namespaces.die_with_parent(parent)
    except OSError as failure:
        error = failure
    control.send(pickle.dumps((os.getpid(), error)))
    if error is None:
        children = _Children()
        try:
            while children.watch(control):
                _serve_one(control, children)
        finally:
            children.end()


def _serve_one(control, children):
    message, ancillary, _, _ = control.recvmsg(1 << 16, kernel.CMSG_SPACE(4))
    descriptor = _descriptor_in(ancillary)
    kind, body = message[:1], message[1:]
    channel = kernel.socket(fileno=descriptor)
    parent = os.getpid()
    alive, held_by_child = os.pipe()

    def job():
        namespaces.die_with_parent(parent)
        _run(channel)

    def worker():
        _work(channel, pickle.loads(body), parent)

    pid = namespaces.fork_clean({descriptor, held_by_child}, job if kind == _JOB else worker)
    os.close(held_by_child)
    children.add(pid, alive, channel)


class _Children:
    """The processes a worker has forked: killed when their caller lets go, reaped when they end.

    The pipe `alive` hangs up when the child is gone; our copy of its channel, when the caller is.
    """

    def __init__(self):
        self._children = {}              # descriptor to watch -> (pid, alive, channel)

    def add(self, pid, alive, channel):
        entry = (pid, alive, channel)
        self._children[alive] = self._children[channel.fileno()] = entry

    def watch(self, control):
        """Wait for a message (True) or the end of the caller (False), attending to children meanwhile."""
        while True:
            poll = select.poll()
            poll.register(control.fileno(), select.POLLIN)
            for descriptor in self._children:
                poll.register(descriptor, 0)          # hang-ups only
            events = dict(poll.poll())
            happened = events.pop(control.fileno(), 0)
            for descriptor in events:
                entry = self._children.get(descriptor)
                if entry is not None:
                    self._attend(entry, gone=descriptor == entry[1])
            if happened & select.POLLIN:
                return bool(control.recv(1, kernel.MSG_PEEK))
            if happened:
                return False

    def _attend(self, entry, gone):
        pid, alive, channel = entry
        _kill_group(pid)
        if gone:
            self._forget(entry)
        else:                                         # the pipe will tell when it is gone
            self._children.pop(channel.fileno(), None)

    def _forget(self, entry):
        pid, alive, channel = entry
        os.waitpid(pid, 0)
        self._children.pop(alive, None)
        self._children.pop(channel.fileno(), None)
        os.close(alive)
        channel.close()

    def end(self):
        entries = set(self._children.values())
        for pid, _, _ in entries:
            _kill_group(pid)
        for entry in entries:
            self._forget(entry)


def _run(channel):
    """A job's life: receive the function, run it, send what it yields, returns or raises."""
    job = Job(channel)
    try:
        function, args, wants_descriptor = job._receive(TIMEOUT)
        outcome = function(*args)
        if isgenerator(outcome):
            outcome = _run_generator(outcome, job)
    except Exception as error:
        job.send(("raise", (_picklable(error), traceback.format_exc())))
        return
    if wants_descriptor:
        job.send(("return", None))
        channel.sendmsg([b"d"], _rights(outcome))
        os.close(outcome)
        channel.send(b"c")                            # only now is it the caller's alone
    else:
        job.send(("return", outcome))


def _run_generator(generator, job):
    while True:
        try:
            job.send(("yield", next(generator)))
        except StopIteration as end:
            return end.value


def _picklable(error):
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RemoteFailure(f"{type(error).__name__}: {error}")


def _rights(descriptor):
    return [(kernel.SOL_SOCKET, kernel.SCM_RIGHTS, array.array("i", [descriptor]))]


def _descriptor_in(ancillary):
    numbers = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (kernel.SOL_SOCKET, kernel.SCM_RIGHTS):
            numbers.frombytes(data[:len(data) - len(data) % numbers.itemsize])
    if not numbers:
        raise OSError("no descriptor came with the message")
    return numbers[0]


def _kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        try:
            os.kill(pid, signal.SIGKILL)              # has not made its group yet; unreaped, so still it
        except ProcessLookupError:
            pass


def _reap(pid):
    """Wait for a child of ours to end; kill it if it does not."""
    deadline = time.monotonic() + _PATIENCE
    try:
        while time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ChildProcessError, ProcessLookupError):   # reaped by somebody else
        pass
