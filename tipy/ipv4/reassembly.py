"""Putting fragments together again (RFC 791 3.2, RFC 1122 3.3.2, RFC 5722's rule for overlaps).

The pieces of a datagram share (src, dst, protocol, id). They may arrive in any order; each says where it
belongs and all but the last say "more fragments". When the bytes without a gap equal the total length, the
datagram is whole.

Fragments are the attacker's favourite: rules without exception.
* A piece that would reach beyond 65535 bytes is dropped before anything is stored (ping of death).
* Any overlap that is not an exact duplicate kills the whole datagram, and what still comes of it (teardrop
  and its kin; RFC 5722 4). The dead entry stays until its time is up, without data.
* Caps: MAX_BYTES and MAX_DATAGRAMS in all; the oldest datagram makes room (rose, jolt). One timer each.

Pieces never overlap, so they are kept in a list sorted by offset; finding the neighbours of a new piece is a
binary search, and "whole" is a comparison of two numbers: thousands of tiny pieces cost no more than as many
frames.
"""

from bisect import bisect_left
from functools import partial

from tipy.address import format_ip
from tipy.errors import PacketError
from tipy.log import channel
from tipy.wire.ipv4 import MAX_PACKET

MAX_BYTES = 1 << 20
MAX_DATAGRAMS = 64
PIECE_OVERHEAD = 64            # bytes a piece is taken to cost besides its data
_NOT_ECT, _CE = 0, 3

_log = channel("ipv4")


class _Datagram:
    """The pieces of one datagram that are there."""

    __slots__ = ("key", "offsets", "pieces", "received", "total", "header", "first", "cost", "dead", "ecn",
                 "timer")

    def __init__(self, key):
        self.key = key
        self.offsets = []          # sorted
        self.pieces = {}           # offset -> bytes
        self.received = 0          # payload bytes
        self.total = None          # payload bytes, known from the last fragment
        self.header = None         # bytes of the first fragment's IP header
        self.first = None          # the first fragment, for an ICMP error about it
        self.cost = 0
        self.dead = False
        self.ecn = set()           # the ECN codepoints seen
        self.timer = None

    def reach(self):
        """The end of the last piece that is there."""
        return self.offsets[-1] + len(self.pieces[self.offsets[-1]]) if self.offsets else 0

    def overlaps(self, offset, end):
        """Does offset:end share a byte with a piece that is there?"""
        index = bisect_left(self.offsets, offset)
        if index < len(self.offsets) and self.offsets[index] < end:
            return True
        if index == 0:
            return False
        before = self.offsets[index - 1]
        return before + len(self.pieces[before]) > offset


class Reassembly:
    """The datagrams of which something is missing.

    expired(packet) is called with the first fragment of a datagram whose time (seconds, the setting
    defragmentation_timeout) is up, if it has arrived.
    """

    def __init__(self, timers, counters, settings, expired):
        self._timers, self._counters, self._settings = timers, counters, settings
        self._expired = expired
        self._datagrams = {}       # key -> _Datagram, oldest first
        self._cost = 0

    def __len__(self):
        return len(self._datagrams)

    def add(self, packet, id, offset, more):
        """A fragment arrived: `packet.start:end` is its payload, from byte `offset` of the datagram's.

        Returns (header, payload), both bytes, when it was the last that was missing, else None. The header is
        the first fragment's, its ECN field the sum of all (RFC 3168 5.3). PacketError if it is nonsense.
        """
        size = packet.end - packet.start
        end = offset + size
        if packet.start - packet.network + end > MAX_PACKET:
            raise PacketError("fragment_beyond_end")
        if size == 0 or (more and size & 7):
            raise PacketError("fragment_length")
        key = (packet.src, packet.dst, packet.protocol, id)
        datagram = self._datagrams.get(key) or self._open(key)
        if datagram.dead:
            raise PacketError("fragment_dead")
        data = bytes(packet.frame[packet.start:packet.end])
        if not self._fits(datagram, offset, end, more, data):
            if datagram.pieces.get(offset) == data:
                raise PacketError("fragment_duplicate")
            self._kill(datagram)
            raise PacketError("fragment_overlap")
        self._insert(datagram, packet, offset, data)
        if not more:
            datagram.total = end
        if datagram.received == datagram.total:
            return self._finish(datagram)
        self._make_room(datagram)
        return None

    def clear(self):
        """Forget everything (the stack stops)."""
        for datagram in list(self._datagrams.values()):
            self._drop(datagram)

    def _open(self, key):
        if len(self._datagrams) >= MAX_DATAGRAMS:
            self._evict()
        datagram = self._datagrams[key] = _Datagram(key)
        datagram.timer = self._timers.after(self._settings.defragmentation_timeout,
                                            partial(self._time_is_up, datagram))
        return datagram

    @staticmethod
    def _fits(datagram, offset, end, more, data):
        """Does the piece agree with all that is known: no overlap, nothing beyond the end, one end only?"""
        if datagram.total is not None and (end > datagram.total or not more):
            return False
        if not more and end < datagram.reach():
            return False
        return not datagram.overlaps(offset, end)

    def _insert(self, datagram, packet, offset, data):
        offsets = datagram.offsets
        offsets.insert(bisect_left(offsets, offset), offset)
        datagram.pieces[offset] = data
        datagram.received += len(data)
        datagram.ecn.add(packet.tos & 3)
        cost = len(data) + PIECE_OVERHEAD
        datagram.cost += cost
        self._cost += cost
        if offset == 0:
            datagram.first = packet
            datagram.header = bytes(packet.frame[packet.network:packet.start])

    def _make_room(self, keep):
        while self._cost > MAX_BYTES:
            self._evict(keep)

    def _evict(self, keep=None):
        """Drop the oldest, not the one that is just growing unless it is alone."""
        oldest = next((d for d in self._datagrams.values() if d is not keep), keep)
        self._counters["ipv4.reassembly_evicted"] += 1
        self._drop(oldest)

    def _kill(self, datagram):
        """Keep the entry, so that the rest of this datagram is dropped as well, but none of its data."""
        datagram.dead = True
        datagram.offsets, datagram.pieces, datagram.first = [], {}, None
        self._cost -= datagram.cost
        datagram.cost = 0

    def _drop(self, datagram):
        datagram.timer.end()
        del self._datagrams[datagram.key]
        self._cost -= datagram.cost

    def _finish(self, datagram):
        self._drop(datagram)
        ecn = datagram.ecn
        header = datagram.header
        if _CE in ecn:
            if _NOT_ECT in ecn:
                raise PacketError("fragment_ecn")
            header = header[:1] + bytes((header[1] | _CE,)) + header[2:]
        self._counters["ipv4.reassembled"] += 1
        return header, b"".join([datagram.pieces[offset] for offset in datagram.offsets])

    def _time_is_up(self, datagram):
        self._drop(datagram)
        if datagram.dead:
            return
        self._counters["ipv4.reassembly_timeout"] += 1
        if __debug__ and _log.on:
            _log("%s sent only a part of a datagram", format_ip(datagram.key[0]))
        if datagram.first is not None:
            self._expired(datagram.first)
