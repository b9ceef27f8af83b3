"""The ceiling: what pure Python can do on a TAP with the same system calls and copies, and no protocol.

One TCP connection at a time, in one thread, just enough of TCP that a kernel client talks to it: no timers,
no congestion control, no sockets, no lock; what is lost is sent again from the start of the gap. Per frame it
does what no stack can leave out: one read or one writev, one unpack of the headers, one copy of the payload
between frame and user's buffer, a checksum where the link does none, one ACK per batch.
"""

import ctypes
import os
import select
import struct
import time
from contextlib import contextmanager
from typing import NamedTuple

from tipy.bench import network
from tipy.bench.programs import CHUNK, COUNT, ECHO, PORT, REQUEST, SINK
from tipy.address import parse_ip
from tipy.checksum import residue, residue_of

_MAC = bytes.fromhex("020000000777")
_HEADERS = struct.Struct("!BBHHHBBH4s4sHHIIBBHHH")     # IPv4 and TCP, both without options
_VIRTIO = struct.Struct("=BBHHHH")
_SYN, _FIN, _ACK = 2, 1, 16
_SCALE, _WINDOW, _MSS = 7, 0xFFFF, 1460
_BATCH = 64
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_PATIENCE = 0.2                                        # seconds without an ACK before going back
_ASKING = 80e-6                                        # seconds to ask the link before sleeping, as tipy/driver.py


class OnProbe(NamedTuple):
    """A place (see places.py) without a stack."""

    subnet: int
    offload: bool = True

    @contextmanager
    def open(self):
        """A Probe instead of a socket module."""
        keep_memory()
        link = network.open_tap(self.subnet, self.offload)
        link.open()
        yield Probe(link), network.address(self.subnet, 2)
        link.close()

    worker = "client"


def keep_memory():
    """Have glibc keep freed memory, where it is glibc: else each 64 KB buffer is given back and faulted in
    again, page by page, which can cost more than the copies. A ceiling should not depend on that."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for parameter, value in ((_M_TRIM_THRESHOLD, 64 << 20), (_M_MMAP_THRESHOLD, 1 << 20)):
        mallopt(parameter, value)


def server(probe, address):
    """Serve requests (see programs.py) on a Probe, for ever."""
    probe.ip = parse_ip(address)
    yield "ready"
    while True:
        probe.accept()
        operation, size = REQUEST.unpack(probe.receive_request())
        if operation & 15 == SINK:
            probe.write(COUNT.pack(probe.sink(size)))
        elif operation & 15 == ECHO:
            probe.echo()
        else:
            probe.source(size)
        probe.finish()


def udp_echo(probe, address, work=0.0):
    """Send every datagram back, for ever. work: seconds to compute before, as a stack would; then the link is asked
    again and again, as a stack does that cannot afford to be woken."""
    probe.ip = parse_ip(address)
    yield "ready"
    while True:
        probe.echo_datagram(work)


class Probe:
    """A host with one TCP connection. sequence numbers: plain ints, cut to 32 bits on the wire."""

    def __init__(self, link):
        self._fd = link.fileno()
        self._skip = 10
        self._offload = link.tx_checksum
        self._piece = link.tso_max // _MSS * _MSS if link.tx_checksum else _MSS
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self.ip = self.remote = self.mac = None
        self._waiting = []

    # -- frames -----------------------------------------------------------------------------------

    def _read(self, patience=_PATIENCE, most=_BATCH):
        """The frames there are, as (flags, seq, ack, window, payload) of TCP; [] after `patience` seconds."""
        read, fd, segments = os.read, self._fd, []
        if not self._poll.poll(patience * 1000):
            return segments
        try:
            for _ in range(most):
                frame = memoryview(read(fd, 65546 + 14))
                if frame[22:24] == b"\x08\x06":
                    self._answer_arp(frame)
                elif frame[33] == 6:
                    segments.append(self._parse(frame))
        except BlockingIOError:
            pass
        return segments

    def _parse(self, frame):
        (_, _, total, _, _, _, _, _, src, _, port, _, seq, ack, offset, flags, window, _, _
         ) = _HEADERS.unpack_from(frame, 24)
        if flags & _SYN:
            self.mac, self.remote = bytes(frame[16:22]), (src, port)
            self.scale = _scale_in(frame[64:44 + (offset >> 2)])
        segment = frame[44:24 + total]
        if not frame[0]:                               # nobody has looked at the checksum
            pseudo = int.from_bytes(frame[36:44], "big") + 6 + len(segment)
            if (residue(segment) + pseudo) % 0xFFFF:
                return 0, 0, 0, 0, b""
        return flags, seq, ack, window, segment[offset >> 2:]

    def _send(self, seq, flags, views=(), length=0, options=b""):
        header_length = 20 + len(options)
        total = 20 + header_length + length
        remote, port = self.remote
        head = bytearray(_HEADERS.pack(0x45, 0, total if total < 65536 else 0, 0, 0x4000, 64, 6, 0, self.ip, remote,
                                       8000, port, seq & 0xFFFFFFFF, self.rcv_nxt & 0xFFFFFFFF, header_length << 2, flags,
                                       _WINDOW, 0, 0)) + options
        struct.pack_into("!H", head, 10, -residue(head[:20]) % 0xFFFF)
        pseudo = (int.from_bytes(head[12:20], "big") + 6 + header_length + length) % 0xFFFF
        if self._offload:
            struct.pack_into("!H", head, 36, pseudo)
            gso = length > _MSS
            virtio = _VIRTIO.pack(1, gso, 34 + header_length, _MSS if gso else 0, 34, 16)
        else:
            struct.pack_into("!H", head, 36, -(residue_of([head[20:], *views]) + pseudo) % 0xFFFF)
            virtio = bytes(10)
        try:
            os.writev(self._fd, [virtio, self.mac + _MAC + b"\x08\x00", head, *views])
        except BlockingIOError:
            pass                                       # lost, as on a wire

    def _answer_arp(self, frame):
        if frame[48:52] == self.ip and frame[30:32] == b"\x00\x01":
            sender = bytes(frame[32:42])
            os.write(self._fd, bytes(10) + sender[:6] + _MAC + bytes.fromhex("08060001080006040002")
                     + _MAC + self.ip + sender)

    def echo_datagram(self, work=0.0):
        """Wait for a frame and, if it is a UDP datagram for PORT, send it back, without a checksum."""
        until = time.monotonic() + _ASKING
        while work and not self._poll.poll(0) and time.monotonic() < until:
            os.sched_yield()
        self._poll.poll()
        until = time.monotonic() + work if work else 0.0
        try:
            frame = os.read(self._fd, 65546 + 14)
        except BlockingIOError:
            return
        if frame[22:24] == b"\x08\x06":
            self._answer_arp(memoryview(frame))
        elif frame[33] == 17 and frame[46:48] == PORT.to_bytes(2, "big"):
            while time.monotonic() < until:
                pass
            os.writev(self._fd, [bytes(10), frame[16:22], frame[10:16], frame[22:36], frame[40:44], frame[36:40],
                                 frame[46:48], frame[44:46], frame[48:50], b"\0\0", memoryview(frame)[52:]])

    # -- the connection ---------------------------------------------------------------------------

    def accept(self):
        """Wait for a connection."""
        syn = None
        while syn is None:
            syn = next((s for s in self._read(60.0) if s[0] & (_SYN | _ACK) == _SYN), None)
        self.rcv_nxt = syn[1] + 1
        self.una = self.nxt = 1_000_000
        self.window = syn[3]
        options = struct.pack("!BBHBBBB", 2, 4, _MSS, 1, 3, 3, _SCALE)
        self._send(self.nxt, _SYN | _ACK, options=options)
        self.una = self.nxt = self.nxt + 1
        self._waiting = []

    def _next(self, patience=_PATIENCE, most=_BATCH, answered=False):
        """Payloads that arrived in order; ACKs are taken note of. One ACK for all of them, unless they will be
        `answered`."""
        texts, heard = [], False
        for flags, seq, ack, window, text in self._read(patience, most):
            if flags & _ACK:
                ahead = (ack - self.una) & 0xFFFFFFFF
                if ahead < 0x80000000:
                    self.una += ahead
                    self.window = window << self.scale
            length = len(text) + (flags & _FIN)
            if length:
                heard = True
                if seq == self.rcv_nxt & 0xFFFFFFFF:
                    self.rcv_nxt += length
                    self.ended = bool(flags & _FIN)
                    texts.append(text)
        if heard and not (answered and texts):
            self._send(self.nxt, _ACK)
        return texts

    def receive_request(self):
        """The first bytes of the connection; what comes with them is kept."""
        self.ended = False
        while sum(map(len, self._waiting)) < REQUEST.size:
            self._waiting += self._next()
        whole = b"".join(self._waiting)
        self._waiting = [memoryview(whole)[REQUEST.size:]]
        return whole[:REQUEST.size]

    def sink(self, size):
        """Receive `size` bytes into a user's buffer."""
        buffer = memoryview(bytearray(1 << 17))
        got = 0
        texts, self._waiting = self._waiting, []
        while True:
            for text in texts:
                buffer[:len(text)] = text
                got += len(text)
            if got >= size or self.ended:
                return got
            texts = self._next()

    def echo(self):
        """Send back what comes until the client closes."""
        texts, self._waiting = self._waiting, []
        while True:
            for text in texts:
                if text:
                    self.write(text)
            if self.ended:
                return
            texts = self._next(most=1, answered=True)

    def source(self, size):
        """Send `size` bytes of a user's buffer, copied once."""
        user = bytearray(CHUNK)
        start = self.nxt
        data, base = memoryview(bytes(user)), 0
        while self.una - start < size and not self.ended:
            room = self.una + self.window - self.nxt
            at = self.nxt - start
            piece = min(self._piece, max(self.window >> 1, _MSS) // _MSS * _MSS)      # at most half the window
            if at < size and room >= min(piece, size - at):
                if at - base >= CHUNK:
                    data, base = memoryview(bytes(user)), at - at % CHUNK
                length = min(piece, size - at, CHUNK - at % CHUNK)
                view = data[at % CHUNK:at % CHUNK + length]
                self._send(self.nxt, _ACK, [view], length)
                self.nxt += length
                if self._poll.poll(0):
                    self._next(0)
                continue
            before = self.una, time.monotonic()
            self._next()
            if self.una == before[0] and time.monotonic() - before[1] >= _PATIENCE:
                self.nxt = self.una                    # silence: something was lost

    def write(self, data):
        """Send a few bytes."""
        self._send(self.nxt, _ACK | 8, [data], len(data))
        self.nxt += len(data)

    def finish(self):
        """Close our side and wait for the other's, a second at most."""
        self._send(self.nxt, _ACK | _FIN)
        self.nxt += 1
        for _ in range(5):
            if self.una >= self.nxt and self.ended:
                return
            self._next()


def _scale_in(options):
    """The window scale in the options of a SYN from Linux."""
    options = bytes(options)
    at = options.find(b"\x03\x03")
    return options[at + 2] if at >= 0 else 0
