"""The receive window: how much we let the peer send (RFC 9293 section 3.8.6, RFC 7323 section 2).

The window never shrinks: its right edge, once announced, stays. It opens in steps worth announcing (silly
window avoidance) and grows with the connection: the buffer is doubled when the application has read, within
one round trip, most of what the window allowed (dynamic right-sizing, as Linux does).

As on Linux half of the buffer is window and half is for bookkeeping: rcvbuf 131072 announces 64 KB.
"""

MAX_SCALE = 14                 # RFC 7323 section 2.3
_UNSCALED = 65535


def scale_for(space):
    """The window scale with which `space` bytes can be announced."""
    return min(max(space.bit_length() - 16, 0), MAX_SCALE)          # Linux: ilog2(space) - 15


class ReceiveWindow:
    """What we have announced and what we may announce next. Bytes."""

    __slots__ = ("space", "_cap", "scale", "offered", "wnd", "edge", "threshold", "_most", "_reserve", "_mss", "_filled",
                 "_measure_from", "_measure_at", "measured")

    def __init__(self, settings, options, mss):
        fixed = options.rcvbuf
        self.space = (fixed or settings.rcvbuf) // 2       # what the whole buffer allows
        self._cap = self.space if fixed else max(self.space, settings.rcvbuf_max // 2)
        if options.window_clamp:
            self.space = min(self.space, options.window_clamp)
            self._cap = min(self._cap, options.window_clamp)
        self._mss = mss
        limit = max(settings.rcvbuf_max, self.space)           # what the window may ever become
        if fixed or options.window_clamp:
            limit = self._cap
        self.scale = scale_for(limit) if settings.window_scaling else 0
        self.offered = self.scale      # what our SYN says, whatever the peer's says
        self.wnd = 0                   # RCV.WND as last announced, counted from `edge - wnd`
        self.edge = 0                  # the right edge announced: nothing beyond it is accepted
        self.threshold = 0
        self._most = self.space        # what the threshold may become (Linux's window_clamp)
        self._reserve = self._cap > self.space
        self._filled = False           # the peer had used up the window when we announced this one
        self.start(mss)
        self._measure_from = None
        self._measure_at = 0.0

    def start(self, mss):
        """Begin with a window of whole segments of `mss` bytes."""
        space = self.space if self.scale else min(self.space, _UNSCALED)
        self.threshold = space // mss * mss if space > mss else space
        self.measured = min(self.threshold, 10 * mss)          # in one round trip; what an initial window can bring

    def resize(self, rcvbuf):
        """SO_RCVBUF was set: from now on no automatic growth."""
        most = _UNSCALED << self.scale                 # what no window field can tell is no window
        self.space = self._cap = self._most = min(rcvbuf // 2, most)
        self.threshold = min(max(self.threshold, self.space), self.space)

    def clamp(self, limit):
        """TCP_WINDOW_CLAMP was set."""
        self.space, self._cap = min(self.space, limit), min(self._cap, limit)
        self.threshold = min(self.threshold, limit)

    def initial(self, rcv_nxt):
        """The window field of our SYN (never scaled); the window starts at `rcv_nxt`."""
        self.wnd = min(self.threshold, _UNSCALED)
        self.edge = rcv_nxt + self.wnd
        return self.wnd

    def no_scaling(self):
        """The peer does not scale windows, so neither do we."""
        self.scale = 0
        self.space = min(self.space, _UNSCALED)
        self._cap = min(self._cap, _UNSCALED)
        self.threshold = min(self.threshold, self.space)

    def current(self, rcv_nxt):
        """RCV.WND now: from rcv_nxt to the announced edge; never negative."""
        return max(self.edge - rcv_nxt, 0)

    def offer(self, rcv_nxt, queued, rcv_mss):
        """What could be announced now with `queued` bytes unread, shrinking or not."""
        free = self.space - queued
        if free > self.threshold:
            free = self.threshold
        if free < rcv_mss and free < self.space:
            return 0
        if self.scale:
            return -(-free >> self.scale) << self.scale                # rounded up to what the field can say
        if free < self.space >> 1:
            return free // rcv_mss * rcv_mss or free
        return free

    def announce(self, rcv_nxt, queued, rcv_mss):
        """Choose the window to announce in a segment that acknowledges rcv_nxt; the 16-bit field."""
        scale, threshold = self.scale, self.threshold
        if scale and self.space - queued >= threshold >= rcv_mss:      # nearly always: all that may be
            window = -(-threshold >> scale) << scale
        else:
            window = self.offer(rcv_nxt, queued, rcv_mss)
        current = self.edge - rcv_nxt
        if current < 0:
            current = 0
        if window < current:
            window = -(-current >> scale) << scale
        if window > _UNSCALED << scale:
            window = _UNSCALED << scale
        self._filled = current < rcv_mss
        self.wnd = window
        self.edge = rcv_nxt + window
        return window >> scale

    def worth_telling(self, rcv_nxt, queued, rcv_mss):
        """The user has read: is the window now so much wider that the peer should hear of it?

        As on Linux, with one exception: a peer that fills a window of more than half of the buffer each time, and gets
        the same again because its data is unread when it is acknowledged, would never see the other half.
        """
        current = self.edge - rcv_nxt
        if 2 * current > self.space:                   # nearly always
            return self._filled and self.offer(rcv_nxt, queued, rcv_mss) - current >= self.space >> 2
        current = max(current, 0)
        window = self.offer(rcv_nxt, queued, rcv_mss)
        return window > current and (window >= 2 * current if current >= 2 * rcv_mss
                                     else window - current >= min(rcv_mss, self.space // 2))

    def connected(self, mss):
        """The handshake is done: as on Linux one segment of the buffer is held back until it grows. (Linux does so as
        well where it cannot grow, for good.)"""
        if self._reserve and self._most > 2 * mss:
            self._most = max(2 * mss, self._most - mss)
            self.threshold = min(self.threshold, self._most)

    def data_arrived(self, length):
        """`length` bytes of text have come: open up towards what the buffer allows."""
        most = min(self._most, self.space)
        if self.threshold < most:
            self.threshold = min(self.threshold + 2 * max(length, self._mss), most)

    def user_read(self, read_up_to, now, rtt):
        """The user has consumed the stream up to `read_up_to`: grow if one round trip's worth filled the window."""
        if self._measure_from is None:
            self._measure_from, self._measure_at = read_up_to, now
            return
        if now - self._measure_at < rtt - 1e-6 or not rtt:
            return
        copied = read_up_to - self._measure_from
        if copied > self.measured:
            if self.space < self._cap:
                wanted = 2 * copied + 16 * self._mss
                wanted += 2 * (wanted * (copied - self.measured) // self.measured)
                self.space = self._most = min(max(self.space, wanted), self._cap)
                self.threshold = max(self.threshold, min(self.space, wanted))
            self.measured = copied
        self._measure_from, self._measure_at = read_up_to, now
