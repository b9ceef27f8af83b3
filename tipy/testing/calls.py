"""A call that blocks, made in a thread of its own, while the test moves the clock and the wire.

    call = Call(bed.clock, sock.recv, 100)        # returns when it blocks or has ended
    peer.send_data(5)
    data = call.result()
"""

import threading

_PATIENCE = 20.0               # seconds of real time after which a thread counts as stuck


class Call:
    """fn(*args) in a thread of its own. Only one Call of a clock should be under way while another is
    made."""

    def __init__(self, clock, fn, *args):
        self._clock, self._value, self._error = clock, None, None
        self._before = clock.waiting
        self._thread = threading.Thread(target=self._run, args=(fn, args), daemon=True)
        self._thread.start()
        self.settle()

    def _run(self, fn, args):
        try:
            self._value = fn(*args)
        except BaseException as error:
            self._error = error

    def settle(self):
        """Wait until the thread has ended or blocks in the stack."""
        for _ in range(int(_PATIENCE * 1000)):
            if not self._thread.is_alive() or self._clock.quiet and self._clock.waiting > self._before:
                return
            self._thread.join(0.001)
        raise AssertionError("the thread neither ended nor blocked in the stack")

    @property
    def blocked(self):
        """Does the call still wait? (It is given the time to see what has changed.)"""
        self.settle()
        return self._thread.is_alive()

    def result(self):
        """What the call returned; its exception is raised here. AssertionError if it still blocks."""
        if self.blocked:
            raise AssertionError("the call still blocks")
        if self._error is not None:
            raise self._error
        return self._value
