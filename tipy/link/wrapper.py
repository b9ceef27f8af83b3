"""Links around a link: what the capture, the printer and the fault injector have in common.

A `Wrapper` is its inner link in every respect it does not change. Frames that arrive pass its `arrived`,
whether the driver reads them (`receive_batch`) or the inner link pushes them (`host.receive`).

An `Observer` only looks: it copies each frame while it passes, and looks at the copy after the stack's lock
is released, so that a slow disk or a user's callback never stands inside the stack.
"""

import time

from tipy.link.base import Link


class Wrapper(Link):
    """A link around `inner`."""

    def __init__(self, inner):
        self.inner = inner

    mtu = property(lambda self: self.inner.mtu)
    tx_checksum = property(lambda self: self.inner.tx_checksum)
    tso_max = property(lambda self: self.inner.tso_max)
    mac = property(lambda self: self.inner.mac)

    def __getattr__(self, name):
        if name == "inner":                    # not made yet: no endless search
            raise AttributeError(name)
        return getattr(self.inner, name)

    def open(self):
        self.inner.open()

    def attach(self, host):
        self.host = host
        self.inner.attach(_Host(host, self))

    def send(self, parts, offload=None):
        self.inner.send(parts, offload)

    def fileno(self):
        return self.inner.fileno()

    def receive_batch(self):
        batch = self.inner.receive_batch()
        return self.arrived(batch) if batch else batch

    def close(self):
        self.inner.close()

    def arrived(self, batch):
        """A batch from the inner link; returns what the stack shall get now."""
        return batch


class _Host:
    """What a pushing inner link takes for the stack."""

    def __init__(self, host, wrapper):
        self._host = host
        self._wrapper = wrapper

    def __getattr__(self, name):
        return getattr(self._host, name)

    def receive(self, batch):
        batch = self._wrapper.arrived(batch)
        if batch:
            self._host.receive(batch)


class Observer(Wrapper):
    """A wrapper that shows every frame to `saw`, outside the lock, in order."""

    _wall = 0.0                                # from the clock's time to the time of day

    def attach(self, host):
        if not host.clock.manual:
            self._wall = time.time() - host.clock.now()
        super().attach(host)

    def send(self, parts, offload=None):
        frame = b"".join(parts)
        self.host.gate.after(self.saw, self._now(), True, frame, offload)
        self.inner.send([frame], offload)

    def arrived(self, batch):
        now = self._now()
        for frame, checked, gso_size in batch:
            self.host.gate.after(self.saw, now, False, bytes(frame), (checked, gso_size))
        return batch

    def saw(self, when, sent, frame, open_ends):
        """A frame passed at `when` (seconds; time of day with a real clock). `sent`: it left the stack.

        `open_ends` is what offload left to do: the Offload or None of a frame sent, (checked, gso_size) of
        one that arrived.
        """
        raise NotImplementedError

    def close(self):
        super().close()
        if self.host is not None and self.host.gate.held():
            self.host.gate.after(self.ended)           # behind the frames still to be seen
        else:
            self.ended()

    def ended(self):
        """No frame will be seen any more. May be called twice."""

    def _now(self):
        return self.host.clock.now() + self._wall
