"""Frames that land at the wrong process.

Several processes serve one address, each with a queue of one TAP. The kernel chooses the queue by a symmetric hash
over addresses, protocol and ports. It also notes from which queue a flow was last written to, and prefers that one;
the note is taken only after the frame was handed on, is forgotten after three seconds without a frame of ours, and
there is room for 4096 (drivers/net/tun.c: tun_automq_select_queue, tun_flow_update). So the flows that a process
has *accepted* stay with it: hash and note agree. But others stray:

* the answer to a SYN of ours may come before the note, and any segment after it has aged;
* fragments and ICMP are hashed without ports, all of ARP is one flow;
* when a process starts or ends, the hash is spread over another number of queues, and a port that is used again
  within three seconds still has its old note.

Two rules bring them home. What concerns everybody (replies of ARP, claims to our address, ICMP but for echo requests,
groups) is *copied* to all siblings. A packet whose flow a process does not know is handed to the next one, in a ring:

    0 -> 1 -> 2 -> 0        whoever knows the flow takes it; back where it began, it is nobody's

and only there it is answered as any host would: by a RST, by "port unreachable", as the return of a SYN cookie. So
nobody ever resets a sibling's connection, and a closed port still refuses.

Not covered: raw sockets for TCP and UDP see what lands at their process; a handshake that is under way at the moment
when a process starts or ends can fail; each process defends the address by itself, so a claim to it is answered by
all; a full inbox loses packets, as a wire does.
"""

import _socket as kernel          # never `socket`: that one may have been replaced by ours
from functools import partial
from struct import Struct

from tipy.link.wrapper import Wrapper
from tipy.packet import Packet
from tipy.wire.arp import REQUEST
from tipy.wire.ethernet import HEADER_LENGTH, TYPE_ARP, TYPE_IPV4
from tipy.wire.icmp import DESTINATION_UNREACHABLE, ECHO, PORT_UNREACHABLE
from tipy.wire.ipv4 import PROTOCOL_ICMP

_MESSAGE = Struct("=HBH")              # who asked first, or COPY; checksum known good; gso_size
_COPY = 0xFFFF
_LARGEST = 1 << 17                     # bytes of a message
_AT_ONCE = 64                          # messages taken per turn
_ARP, _IPV4 = TYPE_ARP.to_bytes(2, "big"), TYPE_IPV4.to_bytes(2, "big")


class Ring:
    """The way between `count` processes, made before they are forked: an inbox for each."""

    def __init__(self, count):
        self._pairs = [kernel.socketpair(kernel.AF_UNIX, kernel.SOCK_SEQPACKET) for _ in range(count)]
        for pair in self._pairs:
            for end in pair:
                end.setblocking(False)
        self.count = count
        self.number = None

    def join(self, number):
        """In the process `number`: keep its own inbox only, so that the others notice its end."""
        self.number = number
        self._leave(lambda other: other != number)

    def leave(self):
        """In the process that forks: keep no inbox."""
        self._leave(lambda other: True)

    def _leave(self, which):
        for other, (inbox, _) in enumerate(self._pairs):
            if which(other):
                inbox.close()

    def fileno(self):
        """Of our inbox."""
        return self._pairs[self.number][0].fileno()

    def receive(self):
        """The next message, or None."""
        try:
            return self._pairs[self.number][0].recv(_LARGEST) or None
        except BlockingIOError:
            return None

    def send(self, number, parts):
        """Put a message into an inbox: True, False if nobody is there any more. A full one loses it, as a wire."""
        try:
            self._pairs[number][1].sendmsg(parts)
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def close(self):
        """Close everything. Idempotent."""
        for pair in self._pairs:
            for end in pair:
                end.close()


class SharedLink(Wrapper):
    """A queue of a TAP that others have queues of, too: copies to them what concerns everybody."""

    def __init__(self, inner, siblings):
        super().__init__(inner)
        self._siblings = siblings

    def arrived(self, batch):
        siblings = self._siblings
        own = siblings.address
        for frame, checked, gso_size in batch:
            if concerns_everybody(frame, own):
                siblings.copy(frame, checked, gso_size)
        return batch


def concerns_everybody(frame, own):
    """Is this Ethernet frame for all processes that share the address `own` (4 bytes)? Not so are questions for that
    address, which one of them answers, and fragments, which stay together."""
    if frame[12:14] == _IPV4:
        if frame[0] & 1:
            return True
        return (len(frame) > 34 and frame[23] == PROTOCOL_ICMP and not frame[20] & 0x3F and not frame[21]
                and frame[HEADER_LENGTH + ((frame[14] & 15) << 2)] != ECHO)
    if frame[12:14] != _ARP or len(frame) < 42:
        return False
    return frame[21] != REQUEST or frame[28:32] == own or frame[38:42] != own


class Siblings:
    """What one process does for the others. `ring`: a Ring that this process has joined.

    counters   of the stack: workers.copied, workers.handed_on, workers.judged (nobody's, after all)
    """

    def __init__(self, ring):
        self._ring = ring
        self._stack = None
        self._asker = ring.number          # of the packet that is climbing now
        self.address = None

    def adopt(self, stack):
        """Have `stack`, which is not started yet, ask its siblings before it answers a stranger."""
        self._stack = stack
        self.address = stack.address
        stack.tcp.elsewhere = self.take_elsewhere
        self._report = stack.ipv4.report
        stack.ipv4.report = self.report

    def watch(self):
        """From now on serve what comes from the siblings; the stack is started."""
        self._stack.watch(self._ring.fileno(), self._look)

    def copy(self, frame, checked, gso_size):
        """Give a frame to all others."""
        ring = self._ring
        parts = [_MESSAGE.pack(_COPY, bool(checked), gso_size), frame]
        self._stack.counters["workers.copied"] += 1
        for number in range(ring.count):
            if number != ring.number:
                ring.send(number, parts)

    def take_elsewhere(self, packet):
        """Hand a packet whose flow is not known here to the next in the ring; False if it is nobody's."""
        asker = self._asker
        if asker is None or packet.interface.loopback:
            return False
        ring = self._ring
        parts = [_MESSAGE.pack(asker, True, packet.gso_size), packet.frame[packet.network:packet.end]]
        number = ring.number
        while True:
            number = (number + 1) % ring.count
            if number == ring.number == asker:         # all others are gone
                return False
            if ring.send(number, parts) or number == asker:
                self._stack.counters["workers.handed_on"] += 1
                return True

    def report(self, packet, type, code, rest=0):
        """In the place of ICMP's: a port that is closed here may be open elsewhere."""
        if (type, code) == (DESTINATION_UNREACHABLE, PORT_UNREACHABLE) and self.take_elsewhere(packet):
            return False
        return self._report(packet, type, code, rest)

    # -- what comes from the others ---------------------------------------------------------------

    def _look(self):
        for _ in range(_AT_ONCE):
            message = self._ring.receive()
            if message is None:
                return
            self._stack.gate.do(partial(self._take, message))      # there, an exception costs this message only

    def _take(self, message):
        asker, checked, gso_size = _MESSAGE.unpack_from(message)
        frame = memoryview(message)[_MESSAGE.size:]
        stack = self._stack
        if asker == _COPY:
            stack.ethernet.input(frame, bool(checked), gso_size)
            return
        ours = self._ring.number
        if asker == ours:
            stack.counters["workers.judged"] += 1
        self._asker = None if asker == ours else asker
        try:
            stack.ipv4.input(Packet(frame, 0, len(frame), stack.interface, False, bool(checked), gso_size))
        finally:
            self._asker = ours
