"""What every link is: a way to send frames and to hand in those that arrive.

A link knows its MTU and what it can finish for the stack (checksums, cutting super-segments). It knows no
protocol above Ethernet. Links are wrapped like pipes: a capture, a printer, a fault injector each *is* a link
around a link.

Two kinds. A link with a file descriptor (TAP, AF_PACKET) is read by the driver: `fileno()` to poll,
`receive_batch()` to read. A link without one (memory) pushes: it calls `host.receive(batch)` itself.
A batch is a list of `(frame, checked, gso_size)`: a bytes-like frame, whether its transport checksum is known
good, and the payload per wire segment if it is a super-segment (else 0).
"""

from typing import NamedTuple

LARGEST_PAYLOAD = 65535 - 20 - 60          # bytes in a super-segment whose IP total length stays 16 bits wide
BIG_TCP_PAYLOAD = (1 << 18) - 20 - 60      # bytes in one whose total length is 0, "see the frame" (Linux's BIG TCP)


class Offload(NamedTuple):
    """What the link has to finish on a frame. Offsets count from the start of the IP packet.

    gso_size       payload bytes per wire segment; 0 = a single segment, only the checksum is open
    csum_start     where the transport header begins
    csum_offset    where in it the checksum field is (it holds the pseudo-header sum, not complemented)
    header_length  IP header plus transport header, in bytes
    """

    gso_size: int
    csum_start: int
    csum_offset: int
    header_length: int


class Link:
    """Base class, and the interface. `host` is the stack: `receive`, `gate`, `timers`, `clock`, `rng`."""

    mtu = 1500                 # largest IP packet, in bytes
    tx_checksum = False        # finishes partial transport checksums (those of super-segments in any case)
    tso_max = 0                # largest TCP payload of one super-segment, 0 = cuts none; it may sink
    mac = None                 # the kernel side's own MAC, where there is one
    host = None

    def open(self):
        """Acquire the device. Raises OSError with one sentence that says what to do."""

    def attach(self, host):
        """Deliver to `host` from now on."""
        self.host = host

    def send(self, parts, offload=None):
        """Send one Ethernet frame, given as a list of buffers. Called inside the gate; never calls up. What `offload`
        asks for is done here, or left to the link inside this one: then `offload` is passed on."""
        raise NotImplementedError

    def fileno(self):
        """The file descriptor to poll, or None if this link pushes."""
        return None

    def receive_batch(self):
        """Up to some tens of frames that are there already; never blocks."""
        return []

    def close(self):
        """Release the device. Idempotent."""
