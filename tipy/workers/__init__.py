"""Several processes, one address: each with its own stack on a queue of one TAP, as SO_REUSEPORT servers.

    def work(stack, number):
        listener = stack.socket.create_server(("", 8000))
        ...

    with Workers(4, work, ifname="tap8") as workers:
        workers.wait()

One process uses one CPU; the kernel spreads the connections over those that listen. The TAP must have been made with
several queues (`ip tuntap add dev tap8 mode tap multi_queue ...`). All have one MAC, so none is a stranger to
another's conflict detection; the first one probes for the address before the others start. Ports that the stacks
choose come from ranges of their own, so that no two make the same connection. How frames come back to the process
that they belong to: siblings.py.

Edge: fork, signals, waiting for processes.
"""

import os
import pickle
import signal
import sys
import time

from tipy.lab.namespaces import die_with_parent
from tipy.link.tap import TapLink
from tipy.settings import Settings
from tipy.stack import Stack
from tipy.workers.siblings import Ring, SharedLink, Siblings

_INTERRUPTED = 130
_PATIENCE = 5.0                    # seconds that a process has to end after stop()
_TURN = 0.01


class Workers:
    """`count` processes, each running work(stack, number) with a started stack. settings: as for `tipy()`.

    pids   of the processes, by number
    """

    def __init__(self, count, work, **settings):
        if count < 1:
            raise ValueError(f"{count} workers do not work: there must be at least one")
        self.count = count
        self.settings = Settings.load(**settings)
        self.pids = []
        self._work = work
        self._ring = None
        self._status = {}                      # pid -> exit status, of those that have ended

    def start(self):
        """Fork; returns when all stacks run. SetupError, AddressConflict or OSError as Stack.start() raises them."""
        self._ring = Ring(self.count)
        try:
            for number in range(self.count):
                self._fork(number)
            self._ring.leave()
        except BaseException:
            self.stop()
            raise

    def wait(self):
        """Until all have ended: their exit statuses, by number (negative: the signal that killed it)."""
        for pid in self.pids:
            if pid not in self._status:
                self._status[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return [self._status[pid] for pid in self.pids]

    def stop(self):
        """Interrupt them as Ctrl-C would, and wait; who takes longer than 5 s is killed. Idempotent."""
        for pid in self.pids:
            self._kill(pid, signal.SIGINT)
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and not all(map(self._has_ended, self.pids)):
            time.sleep(_TURN)
        for pid in self.pids:
            self._kill(pid, signal.SIGKILL)
        self.wait()
        if self._ring is not None:
            self._ring.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()

    # -- the processes ----------------------------------------------------------------------------

    def _has_ended(self, pid):
        if pid not in self._status:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._status[pid] = os.waitstatus_to_exitcode(status)
        return pid in self._status

    def _kill(self, pid, number):
        if not self._has_ended(pid):
            os.kill(pid, number)

    def _fork(self, number):
        """Fork one, and wait until it says that its stack runs, or why not."""
        reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            os.close(reader)
            self._live(number, writer, parent)
        os.close(writer)
        self.pids.append(pid)
        with open(reader, "rb") as pipe:
            said = pipe.read()
        if not said:
            raise ChildProcessError(f"worker {number} ended before its stack was up")
        error = pickle.loads(said)
        if error is not None:
            raise error

    def _live(self, number, writer, parent):
        """The life of the process; never returns."""
        status = 1
        try:
            os.setpgid(0, 0)                       # Ctrl-C is the parent's affair, who calls stop()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            die_with_parent(parent)
            status = self._run(number, writer)
        except KeyboardInterrupt:
            status = _INTERRUPTED
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)

    def _run(self, number, writer):
        self._ring.join(number)
        siblings = Siblings(self._ring)
        stack = self._make_stack(number, siblings)
        error = None
        try:
            stack.start()
            siblings.watch()
        except OSError as failure:
            error = failure
        with open(writer, "wb") as pipe:
            pickle.dump(error, pipe)
        if error is not None:
            return 1
        with stack:
            self._work(stack, number)
        return 0

    def _make_stack(self, number, siblings):
        settings = self.settings
        low, high = settings.ephemeral_ports
        share = (high - low + 1) // self.count
        settings = settings.replace(acd=settings.acd and not number, ephemeral_ports=(
            low + number * share, low + (number + 1) * share - 1))
        link = SharedLink(TapLink(settings.ifname, settings.mtu, multi_queue=True), siblings)
        stack = Stack(link=link, settings=settings)
        siblings.adopt(stack)
        return stack
