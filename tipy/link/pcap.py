"""Captures in pcapng (draft-ietf-opsawg-pcapng), the format Wireshark and tshark read.

A file is a list of blocks; each is   type | total length | body, padded to 4 | options | total length again.

    section header           byte order, the program
    interface description    once per interface: name, link type, the unit of time (here nanoseconds)
    enhanced packet          interface, time, direction, the frame, perhaps a comment

Frames are written as they would be on the wire: what offload left open is cut and completed first.

A capture never harms what it watches. A full disk ends the capture, not the stack: the error is counted and
logged once. Frames of several stacks and threads may go to one file; whoever comes while another writes
leaves its block to the other and does not wait. The child of a fork has no part in the parent's captures: what was
not in the file yet is put there before, or both would write it.
"""

import os
import weakref
from collections import Counter, deque
from struct import Struct
from threading import Lock, RLock

from tipy.link.segment import complete, cut
from tipy.link.wrapper import Observer
from tipy.log import channel

_log = channel("stack")

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_HEAD = Struct("<II")
_TAIL = Struct("<I")
_OPTION = Struct("<HH")
_SECTION_BODY = Struct("<IHHq")
_INTERFACE_BODY = Struct("<HHI")
_PACKET_BODY = Struct("<IIIII")
_ETHERNET = 1
_NANOSECONDS = 9
_COMMENT, _USER_APPLICATION, _IF_NAME, _IF_TIME_RESOLUTION, _PACKET_FLAGS = 1, 4, 2, 9, 2
_INBOUND, _OUTBOUND = 1, 2
_PACKET_MARK = _TAIL.pack(_PACKET)
_FLUSH, _CLOSE = object(), object()                      # in the place of a block
_PATIENCE = 1.0                                          # s for another thread to finish what it writes

_writers = weakref.WeakSet()


class PcapngWriter:
    """Writes one capture to `file`: a path, or a binary file object (which the caller closes).

    snaplen     keep only so many bytes of each frame (0 = all); its true length is noted
    counters    "frames" written, "error": 1 if a failed write has ended the capture
    """

    def __init__(self, file, *, snaplen: int = 0):
        self.snaplen = snaplen
        self.counters = Counter()
        self._owned = not hasattr(file, "write")
        self._file = open(file, "wb") if self._owned else file
        self._interfaces = 0
        self._pending = deque()
        self._writing, self._announcing = Lock(), RLock()
        self._held = False                               # by a fork
        _writers.add(self)
        self._put(_block(_SECTION, _SECTION_BODY.pack(0x1A2B3C4D, 1, 0, -1), [(_USER_APPLICATION, b"tipy")]))

    @property
    def active(self) -> bool:
        """False once it is closed or has failed."""
        return self._file is not None

    def interface(self, name: str) -> int:
        """Announce an Ethernet interface; returns the number that `write` wants."""
        options = [(_IF_NAME, name.encode()), (_IF_TIME_RESOLUTION, bytes((_NANOSECONDS,)))]
        block = _block(_INTERFACE, _INTERFACE_BODY.pack(_ETHERNET, 0, self.snaplen), options)
        with self._announcing:                           # its number is its place in the file
            number = self._interfaces
            self._pending.append(block)
            self._interfaces = number + 1                # only now `write` may count on it
        self._put()
        return number

    def write(self, frame, time: float, *, interface: int = 0, comment: str | None = None,
              sent: bool | None = None) -> None:
        """Write one wire frame (bytes-like, or a list of them) that passed at `time`, in seconds."""
        if not self.active:
            return
        if not self._interfaces:
            self.interface("tipy")
        data = b"".join(frame) if isinstance(frame, (list, tuple)) else bytes(frame)
        options = []
        if comment:
            options.append((_COMMENT, comment.encode()))
        if sent is not None:
            options.append((_PACKET_FLAGS, _TAIL.pack(_OUTBOUND if sent else _INBOUND)))
        high, low = divmod(max(0, round(time * 1e9)), 1 << 32)
        length = len(data)
        if self.snaplen:
            data = data[:self.snaplen]
        body = _PACKET_BODY.pack(interface, high & 0xFFFFFFFF, low, len(data), length)
        self._put(_block(_PACKET, body + data + bytes(-len(data) % 4), options))

    def flush(self) -> None:
        """Hand what is written to the operating system."""
        self._put(_FLUSH, patience=_PATIENCE)

    def close(self) -> None:
        """End the capture. Idempotent."""
        self._put(_CLOSE, patience=_PATIENCE)

    def _put(self, *blocks, patience=0.0):
        """Have blocks written in turn: by this thread, or by the one that is writing now."""
        self._pending.extend(blocks)
        while self._pending and self._writing.acquire(timeout=patience):
            try:
                while self._pending:
                    self._act(self._pending.popleft())
            finally:
                self._writing.release()

    def _act(self, block):
        file = self._file
        if file is None:
            return
        try:
            if block is _CLOSE:
                self._file = None
                file.close() if self._owned else file.flush()
            elif block is _FLUSH:
                file.flush()
            else:
                file.write(block)
                if block.startswith(_PACKET_MARK):
                    self.counters["frames"] += 1
        except (OSError, ValueError) as error:           # ValueError: somebody closed the file
            self._fail(file, error)

    def _fail(self, file, error):
        self._file = None
        self.counters["error"] += 1
        if __debug__ and _log.on:
            _log("the capture ends here: %s", error)
        if self._owned:
            try:
                file.close()
            except OSError:                              # it tries once more to write what it holds
                pass

    # -- fork ---------------------------------------------------------------------------------------

    def _before_fork(self):
        """Empty the buffer, and let nobody fill it until the fork is over."""
        self._held = self._writing.acquire(timeout=_PATIENCE)
        if self._held:
            for _ in range(len(self._pending)):        # not what others add meanwhile: that has no end
                self._act(self._pending.popleft())
            self._act(_FLUSH)

    def _after_fork(self):
        if self._held:
            self._held = False
            self._writing.release()
        self._put(_FLUSH)                                # what came meanwhile

    def _after_fork_in_child(self):
        self._file, self._held = None, False
        self._writing, self._announcing = Lock(), RLock()
        self._pending.clear()


def _each(method):
    def call():
        for writer in list(_writers):
            method(writer)
    return call


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_each(PcapngWriter._before_fork), after_in_parent=_each(PcapngWriter._after_fork),
                        after_in_child=_each(PcapngWriter._after_fork_in_child))


def _block(kind, body, options):
    packed = b"".join(_OPTION.pack(code, len(value)) + value + bytes(-len(value) % 4)
                      for code, value in options)
    if packed:
        packed += bytes(4)                               # opt_endofopt
    length = 12 + len(body) + len(packed)
    return _HEAD.pack(kind, length) + body + packed + _TAIL.pack(length)


class CaptureLink(Observer):
    """A link around `inner` that writes every frame, both ways, to `writer` (a PcapngWriter, or a path).

    A writer made here from a path is closed with the link; one handed in is not, so links may share it.
    """

    def __init__(self, inner, writer, name: str = "tipy"):
        super().__init__(inner)
        self._owned = not isinstance(writer, PcapngWriter)
        self.writer = PcapngWriter(writer) if self._owned else writer
        self._interface = self.writer.interface(name)

    def saw(self, when, sent, frame, open_ends):
        if not self.writer.active:
            return
        frames = complete((frame,), open_ends) if sent else cut(frame, *open_ends)
        for wire in frames:
            self.writer.write(wire, when, interface=self._interface, sent=sent)

    def ended(self):
        if self._owned:
            self.writer.close()
        else:
            self.writer.flush()
