"""Queues of bytes: what a stream has to send, what it has received, what arrived too early.

User data is copied once when it is handed in, unless it comes as bytes, which nobody can change, and once when it is
handed out. In between only memoryviews move: slicing a memoryview costs 0.08 us, slicing 64 KB of bytes 21 us.
Positions are unwrapped sequence numbers, plain growing ints.
"""

from bisect import bisect_right
from collections import deque

_SMALL = 4096                  # chunks are merged up to this size, so that many tiny ones cost no memory
_COMPACT = 64                  # released chunks that may stay in the list before it is cut


class SendQueue:
    """The bytes start..end of a stream: written by the user, not yet acknowledged by the peer."""

    __slots__ = ("start", "end", "_starts", "_chunks", "_head")

    def __init__(self, start):
        self.start = self.end = start
        self._starts = []
        self._chunks = []
        self._head = 0                 # chunks before this one are released

    def __len__(self):
        return self.end - self.start

    def append(self, data):
        """Add `data` (bytes or a view of bytes: not to be changed by anybody, but a view may be released) at the end."""
        chunks, length = self._chunks, len(data)
        if len(chunks) > self._head and len(chunks[-1]) + length <= _SMALL:
            chunks[-1] = memoryview(b"".join((chunks[-1], data)))
        else:
            self._starts.append(self.end)
            chunks.append(memoryview(data))
        self.end += length

    def slice(self, start, end):
        """The bytes start..end as a list of memoryviews. No copy."""
        starts, index = self._starts, -1
        if start < starts[-1]:
            index = bisect_right(starts, start, self._head) - 1
        chunk = self._chunks[index]
        offset, length, size = start - starts[index], end - start, len(chunk)
        if offset + length <= size:                    # nearly always
            return [chunk if length == size else chunk[offset:offset + length]]
        views = [chunk[offset:]]
        length -= len(views[0])
        while length:
            index += 1
            view = self._chunks[index][:length]
            views.append(view)
            length -= len(view)
        return views

    def clear(self):
        """Forget all of it: it was acknowledged."""
        self.start = self.end
        self._starts.clear()
        self._chunks.clear()
        self._head = 0

    def release(self, upto):
        """Forget the bytes before `upto`: they were acknowledged."""
        self.start = upto
        head, starts = self._head, self._starts
        count = len(starts)
        while head < count and starts[head] + len(self._chunks[head]) <= upto:
            self._chunks[head] = None
            head += 1
        if head == count:
            starts.clear()
            self._chunks.clear()
            head = 0
        elif head > _COMPACT:
            del starts[:head], self._chunks[:head]
            head = 0
        self._head = head


class ReceiveQueue:
    """Bytes in order, waiting for the user."""

    __slots__ = ("length", "_views")

    def __init__(self):
        self.length = 0
        self._views = deque()

    def append(self, view):
        """Add a memoryview at the end. Its length."""
        views, length = self._views, len(view)
        self.length += length
        if views and length < 512 and len(views[-1]) + length <= _SMALL:
            views[-1] = memoryview(b"".join((views[-1], view)))
        else:
            views.append(view)
        return length

    def read(self, count, peek=False):
        """Up to `count` bytes, taken out unless `peek`."""
        views = self._views
        if not views or count <= 0:
            return b""
        first = views[0]
        length = len(first)
        if length > count:
            if not peek:
                views[0] = first[count:]
                self.length -= count
            return bytes(first[:count])
        if length == count or length == self.length:   # nearly always, all there is
            if not peek:
                views.popleft()
                self.length -= length
            return bytes(first)
        return b"".join(self._peek(count) if peek else self._take(count))

    def read_into(self, buffer, peek=False):
        """Fill `buffer` (a writable memoryview of bytes) as far as there is data; the number of bytes."""
        done = 0
        for view in self._peek(len(buffer)) if peek else self._take(len(buffer)):
            buffer[done:done + len(view)] = view
            done += len(view)
        return done

    def discard(self, count):
        """Drop up to `count` bytes; the number dropped."""
        return sum(map(len, self._take(count)))

    def _peek(self, count):
        taken = []
        for view in self._views:
            if count <= 0:
                break
            taken.append(view[:count])
            count -= len(view)
        return taken

    def _take(self, count):
        views, taken = self._views, []
        while count > 0 and views:
            view = views[0]
            if len(view) > count:
                taken.append(view[:count])
                views[0] = view[count:]
                self.length -= count
                break
            taken.append(views.popleft())
            count -= len(view)
            self.length -= len(view)
        return taken


class Reassembly:
    """Bytes that arrived ahead of a gap. Where two segments disagree, the bytes that came first win.

    `ranges` is a sorted list of [start, end, views]: contiguous, disjoint, not touching. At most `limit` of
    them: a segment that would open one more is refused (SegmentSmack).
    """

    __slots__ = ("ranges", "_limit")

    def __init__(self, limit=256):
        self.ranges = []
        self._limit = limit

    def __len__(self):
        """Bytes held."""
        return sum(end - start for start, end, _ in self.ranges)

    def insert(self, start, view):
        """Add `view` at position `start`.

        Returns (start, end, duplicate): the range it is now part of, and the (start, end) of bytes in it that
        were here already, or None (a DSACK reports them). None if there was no room for another range.
        """
        ranges = self.ranges
        end = start + len(view)
        low = bisect_right(ranges, start, key=lambda r: r[0])
        if low and ranges[low - 1][1] >= start:
            low -= 1                                   # it reaches into, or touches, the range before
        high = low
        while high < len(ranges) and ranges[high][0] <= end:
            high += 1
        if low == high:
            if len(ranges) >= self._limit:
                return None
            ranges.insert(low, [start, end, [view]])
            return start, end, None
        merged, at, duplicate, views = ranges[low:high], start, None, []
        for piece_start, piece_end, piece_views in merged:
            if at < piece_start:
                views.append(view[at - start:piece_start - start])
            if max(start, piece_start) < min(end, piece_end) and duplicate is None:
                duplicate = max(start, piece_start), min(end, piece_end)
            _extend(views, piece_views[0])
            views.extend(piece_views[1:])
            at = max(at, piece_end)
        if at < end:
            _extend(views, view[at - start:])
        ranges[low:high] = [[min(start, merged[0][0]), max(end, merged[-1][1]), views]]
        return ranges[low][0], ranges[low][1], duplicate

    def pop_ready(self, position):
        """The views that continue the stream at `position`, now contiguous with it; [] if none."""
        ready = []
        while self.ranges and self.ranges[0][0] <= position:
            start, end, views = self.ranges.pop(0)
            if end <= position:
                continue
            skip = position - start
            for view in views:
                if skip >= len(view):
                    skip -= len(view)
                else:
                    ready.append(view[skip:] if skip else view)
                    skip = 0
            position = end
        return ready


def _extend(views, view):
    """Add a view to a list of them; small ones are merged."""
    if views and len(view) < 512 and len(views[-1]) + len(view) <= _SMALL:
        views[-1] = memoryview(b"".join((views[-1], view)))
    else:
        views.append(view)
