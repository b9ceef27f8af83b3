"""The stack's loopback interface as a wire: so that it, too, can lose frames and be captured.

    Loopback.transmit -> capture -> faults -> Turn -> Loopback's queue

A packet to oneself is one frame that crosses this wire once, in the direction "out"; its Ethernet header is
all zeros, as Linux shows it in captures of lo. With faults the MTU is an Ethernet's, and checksums are real
ones.
"""

from tipy.link.base import Link
from tipy.packet import Packet
from tipy.wire.ethernet import HEADER_LENGTH, TYPE_IPV4

_HEADER = bytes(12) + TYPE_IPV4.to_bytes(2, "big")
_MTU = 1500


class Turn(Link):
    """The far end of the wire: what arrives goes back up, once the lock holder has time."""

    tx_checksum = True

    def __init__(self, mtu, arrived):
        self.mtu = mtu
        self._arrived = arrived

    def send(self, parts, offload=None):
        frame = b"".join(parts)
        self.host.gate.inside.append(lambda: self._arrived(frame, offload is not None))


def through_wire(stack, wrap, faulty):
    """Send what `stack` sends to itself through the link wrap(link); to be called before the stack starts.

    faulty: packets shall fit an Ethernet frame and carry full checksums. Returns the link, to be closed."""
    loopback = stack.ipv4.loopback

    def arrived(frame, checked):
        view = memoryview(frame)[HEADER_LENGTH:]
        stack.counters["loopback.packets"] += 1
        stack.ipv4._from_loopback(Packet(view, 0, len(view), loopback, checked=checked))

    def transmit(path, packet, offload):
        link.send([_HEADER, *packet], offload)

    loopback.mtu = _MTU if faulty else loopback.mtu
    loopback.tx_checksum = not faulty
    link = wrap(Turn(loopback.mtu, arrived))
    link.attach(stack)
    loopback.transmit = transmit
    return link
