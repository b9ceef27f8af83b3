"""The driver: the thread that reads the link and keeps the timers. The only file that starts threads.

One loop: sleep until the link has frames, a timer falls due or somebody pokes; read a batch; take the gate once for
all of it. An application thread that sets an earlier deadline than the one slept for, or a finalizer that leaves work
behind, pokes through a pipe.
"""

import os
import select
import threading

from tipy.log import channel

_log = channel("stack")

_LONGEST_SLEEP = 60.0          # seconds; nothing depends on it
_NEVER = float("inf")


class Driver:
    """Runs one stack in real time. `stack`: gate, timers, clock, link, receive(batch), link_failed(error)."""

    def __init__(self, stack):
        self._stack = stack
        self._running = False
        self._poked = False
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._thread = threading.Thread(target=self._run, name=f"tipy {stack.name}", daemon=True)

    def start(self):
        """Start the thread."""
        stack = self._stack
        stack.timers.wake = stack.gate.poke = self.poke
        self._running = True
        self._thread.start()

    def stop(self):
        """End the thread and wait for it. Not to be called inside the gate."""
        self._running = False
        self.poke()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._stack.timers.alarm = -_NEVER
        self._stack.gate.poke = None
        os.close(self._read_end)
        os.close(self._write_end)

    def forget(self):
        """In the child of a fork: the thread is not there; only its descriptors are left to close."""
        os.close(self._read_end)
        os.close(self._write_end)

    def poke(self):
        """Have the thread look round soon. Takes no lock: finalizers call it."""
        if not self._poked:
            self._poked = True
            try:
                os.write(self._write_end, b"\0")
            except OSError:                            # full: it will wake; closed: it has ended
                pass

    def _run(self):
        stack = self._stack
        gate, timers, clock, link = stack.gate, stack.timers, stack.clock, stack.link
        poll = select.poll()
        poll.register(self._read_end, select.POLLIN)
        readable = link is not None and link.fileno() is not None
        if readable:
            poll.register(link.fileno(), select.POLLIN)
        while self._running:
            timeout = self._sleep_for(gate, timers, clock)
            if timeout:
                poll.poll(timeout)
            timers.alarm = -_NEVER
            if self._poked:
                self._drain()
            try:
                batch = link.receive_batch() if readable else None
            except OSError as error:
                readable = False
                poll.unregister(link.fileno())
                stack.link_failed(error)
                continue
            if batch:
                stack.receive(batch)
            with gate:
                timers.expire(clock.now())

    def _sleep_for(self, gate, timers, clock):
        """Milliseconds until the next timer, and note until when we sleep."""
        with gate:
            deadline = timers.next_deadline()
            now = clock.now()
            timers.alarm = deadline if deadline is not None else _NEVER
            if gate.inside:
                return 0
        if deadline is None:
            return _LONGEST_SLEEP * 1000
        return max(min(deadline - now, _LONGEST_SLEEP), 0) * 1000 + (0.999 if deadline > now else 0)

    def _drain(self):
        self._poked = False
        try:
            while os.read(self._read_end, 512):
                pass
        except OSError:
            pass
