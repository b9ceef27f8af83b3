"""Links on a file descriptor, and the 10-byte `virtio_net_hdr` that carries offload.

         0        1        2                 4                 6                 8                10
        +--------+--------+-----------------+-----------------+-----------------+-----------------+
        | flags  |gso_type|     hdr_len     |    gso_size     |   csum_start    |   csum_offset   |
        +--------+--------+-----------------+-----------------+-----------------+-----------------+

(virtio 1.2, 5.1.6; legacy layout, host byte order.) It stands before every frame, both ways, once the device
was asked for it. Offsets count from the start of the frame. To the kernel it says: the checksum at
csum_start + csum_offset still has to be summed from csum_start on, and this one segment is to be cut into
pieces of gso_size bytes of payload. From the kernel it says the same about what the kernel hands over: a
checksum still open (NEEDS_CSUM) never saw a wire and is good by definition; DATA_VALID was verified by
somebody below.

TAP and AF_PACKET differ only in how the descriptor is got and in what their errors mean; reading, writing and
the header are here.
"""

import errno
import os
import struct
from functools import lru_cache
from time import monotonic

from tipy.link import heap
from tipy.link.base import LARGEST_PAYLOAD, Link
from tipy.link.held import Held
from tipy.link.segment import complete
from tipy.log import channel
from tipy.wire.ethernet import TYPE_IPV6

_log = channel("link")

HEADER = struct.Struct("=BBHHHH")
HEADER_LENGTH = HEADER.size
_GSO_SIZE = struct.Struct("=H")
NEEDS_CSUM, DATA_VALID = 1, 2
GSO_NONE, GSO_TCPV4, GSO_TCPV6 = 0, 1, 4

LARGEST_READ = 65536 + 14 + HEADER_LENGTH   # bytes: an IP packet, its frame header, this header
_MOST_READ = (1 << 19) + 14 + HEADER_LENGTH # the same with Linux's largest super-segment (BIG TCP)
BATCH = 64                                  # frames taken per turn
_SMALL = 700                                # bytes: such a frame may be one of a conversation
_LOST = 0.002                               # seconds in a call that does not wait: another thread computes
_HELD = 1000                                # frames to read then with the interpreter's lock held
_CONVERSATION = 16                          # turns without a second look after one that found nothing
_MOST_PARTS = 1000                          # IOV_MAX is 1024
_ETHERNET = 14
_PLAIN = bytes(HEADER_LENGTH)
_BUSY = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
_FRAME_REFUSED = (errno.EINVAL, errno.EMSGSIZE)
_TOO_LARGE = (errno.ENOBUFS, errno.ENOMEM, *_FRAME_REFUSED)


@lru_cache(256)
def pack_header(ethertype, offload):
    """The header that asks for `offload` on a frame whose EtherType starts with this byte. Few are in use."""
    gso_type = GSO_NONE
    if offload.gso_size:
        gso_type = GSO_TCPV6 if ethertype == TYPE_IPV6 >> 8 else GSO_TCPV4
    return HEADER.pack(NEEDS_CSUM, gso_type, _ETHERNET + offload.header_length, offload.gso_size,
                       _ETHERNET + offload.csum_start, offload.csum_offset)


class VirtioLink(Link):
    """A link that is a non-blocking file descriptor, one read or write per frame.

    Subclasses open it (`_fd`), say whether the header is on (`_skip`, 10 or 0), and turn an errno into the
    sentence for it (`_explain`). If the device goes away under way, the reader gets that as an exception, and
    a sender has `host.link_failed(error)` called, once.
    """

    name = ""

    def __init__(self):
        self._fd = None
        self._skip = 0
        self._failing = False
        self._most = LARGEST_READ                    # bytes of one read
        self._read, self._writev = os.read, os.writev
        self._calls = None                           # the same two with the interpreter's lock held, once needed
        self._held = 0                               # frames still to be read with the interpreter's lock held
        self._alone = 0                              # so many times a small frame may be taken to come alone

    def attach(self, host):
        """Deliver to `host` from now on."""
        super().attach(host)
        heap.keep()

    def fileno(self):
        """The descriptor to poll; None while closed."""
        return self._fd

    def close(self):
        """Release the device. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def send(self, parts, offload=None):
        """Write one frame, given as a list of buffers. A full queue loses it, as a wire would. A super-segment for a
        device that cuts none is cut here: still cheaper than as many ways through the layers."""
        if self._fd is None:
            return
        if offload is not None and not self.tx_checksum:
            for frame in complete(parts, offload):
                self.send([frame])
            return
        if self._skip:
            parts = [_PLAIN if offload is None else pack_header(parts[0][12], offload), *parts]
        if len(parts) > _MOST_PARTS:
            parts = [b"".join(parts)]
        try:
            self._writev(self._fd, parts)
        except OSError as error:
            self._not_sent(error, sum(map(len, parts)))
        else:
            self._failing = False

    def receive_batch(self):
        """Up to 64 frames that are there already, as (memoryview, checked, gso_size).

        SetupError, in one sentence, if the device is gone: it will not come back.
        """
        batch = []
        fd, skip = self._fd, self._skip
        if fd is None:
            return batch
        read, before = self._read, monotonic()
        try:
            for _ in range(BATCH):
                data = read(fd, self._most)
                now, size = monotonic(), len(data)
                if now - before > _LOST:
                    read = self._hold()
                before = now
                if size == self._most:               # cut by this read, and with it the place of its FIN: lost
                    self._most = _MOST_READ
                    self._count("link.drop_cut")
                elif not skip:
                    batch.append((memoryview(data), False, 0))
                elif size > skip:
                    batch.append((memoryview(data)[skip:], data[0] != 0,
                                  _GSO_SIZE.unpack_from(data, 4)[0] if data[1] else 0))
                if self._alone and size < _SMALL and len(batch) == 1:
                    self._alone -= 1                 # part of a conversation: poll will tell of the next
                    break
            else:
                self._alone = 0
        except BlockingIOError:
            self._alone = _CONVERSATION if len(batch) == 1 and len(batch[0][0]) < _SMALL else 0
        except OSError as error:
            if not batch:                            # else the next read says it again
                raise self._explain(error) from None
        finally:
            if self._held:
                self._let_go(len(batch))
        return batch

    # -- beside a thread that computes -----------------------------------------------------------

    def _hold(self):
        """Keep the interpreter's lock for a while; see held.py. Returns how to read."""
        if self._calls is None:
            self._calls = Held(_MOST_READ)
        self._read, self._writev = self._calls.read, self._calls.writev
        self._held = _HELD
        return self._read

    def _let_go(self, frames):
        """So many frames were read with the lock held. In the end see whether that is still needed."""
        self._held = max(self._held - max(frames, 1), 0)
        if not self._held:
            self._read, self._writev = os.read, os.writev

    # -- when it does not work --------------------------------------------------------------------

    def _not_sent(self, error, size):
        if size > LARGEST_READ and self.tso_max > LARGEST_PAYLOAD and error.errno in _TOO_LARGE:
            self.tso_max = LARGEST_PAYLOAD               # the kernel found no memory in pieces large enough for it
            self._count("link.drop_big_tcp")
        elif error.errno in _BUSY:
            self._count("link.drop_busy")
        elif error.errno in _FRAME_REFUSED:
            self._count("link.drop_refused")
            if __debug__ and _log.on:
                _log("%s refused a frame: %s", self.name, error.strerror)
        else:
            self._count("link.drop_failed")
            self._fail(error)

    def _fail(self, error):
        """Tell the host, once per failure, why nothing goes in or out any more."""
        if self._failing:
            return
        self._failing = True
        failed = getattr(self.host, "link_failed", None)
        if failed is None:
            return
        if self.host.gate.held():                    # found by send: nothing climbs inside a descent
            self.host.gate.after(failed, self._explain(error))
        else:
            failed(self._explain(error))

    def _count(self, name):
        counters = getattr(self.host, "counters", None)
        if counters is not None:
            counters[name] += 1

    def _explain(self, error):
        """The SetupError that says in one sentence what `error` means for this kind of link."""
        raise NotImplementedError
