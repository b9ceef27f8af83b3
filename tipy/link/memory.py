"""An in-memory wire: frames are bytes handed to a callable.

`MemoryLink` is the open end: set `transmit`, call `deliver`. `Wire` joins several stacks as a hub would,
with or without offload: with it, super-segments cross whole and unsummed, as between two virtual machines
on one host; without it, every frame fits the MTU and carries full checksums.
"""

from tipy.link import heap
from tipy.link.base import BIG_TCP_PAYLOAD, Link


class MemoryLink(Link):
    """A link whose other end is your code.

    transmit    called with each frame the stack sends (bytes), after the stack's lock is released
    deliver     call it with a frame (bytes-like) to hand it to the stack
    """

    def __init__(self, mtu=1500, transmit=None):
        self.mtu = mtu
        self.transmit = transmit

    def send(self, parts, offload=None):
        if self.host is not None:
            self.host.gate.after(self._transmit, b"".join(parts))

    def deliver(self, frame):
        """Hand one frame to the stack. Before start() and after stop() it is lost, as on a wire."""
        host = self.host
        if host is not None:
            host.receive([(frame, False, 0)])

    def close(self):
        self.host = None

    def _transmit(self, frame):
        if self.transmit is not None:
            self.transmit(frame)


class Wire:
    """A hub of in-memory links: what one port sends, all others receive.

    offload=True lets super-segments of up to 256 KB through in one piece with unfinished checksums.
    """

    def __init__(self, mtu=1500, offload=False):
        self.mtu = mtu
        self.offload = offload
        self.ports = []

    def port(self):
        """A new link on this wire."""
        return _Port(self)


class _Port(Link):
    def __init__(self, wire):
        self._wire = wire
        self.mtu = wire.mtu
        if wire.offload:
            self.tx_checksum = True
            self.tso_max = BIG_TCP_PAYLOAD

    def attach(self, host):
        self.host = host
        if self.tso_max:
            heap.keep()
        if self not in self._wire.ports:
            self._wire.ports.append(self)

    def send(self, parts, offload=None):
        if self.host is None:
            return
        frame = b"".join(parts)
        batch = [(frame, offload is not None, offload.gso_size if offload is not None else 0)]
        self.host.gate.after(self._spread, batch)

    def _spread(self, batch):
        for port in list(self._wire.ports):            # some may leave meanwhile
            host = port.host
            if port is not self and host is not None:
                host.receive(batch)

    def close(self):
        self.host = None
        if self in self._wire.ports:
            self._wire.ports.remove(self)
