"""HyStart++: leave slow start before the queue overflows (RFC 9406).

Each round (one window's worth of ACKs) the smallest RTT is compared with the last round's. If it has risen by
an eighth (4 to 16 ms), slow start becomes Conservative Slow Start, at a quarter of its pace, for up to five
rounds; if the RTT falls back meanwhile the rise was no queue and slow start resumes.
"""

MIN_RTT_THRESH = 0.004
MAX_RTT_THRESH = 0.016
MIN_RTT_DIVISOR = 8
N_RTT_SAMPLE = 8
CSS_GROWTH_DIVISOR = 4
CSS_ROUNDS = 5
_UNKNOWN = float("inf")


class HyStart:
    """State of one connection's slow start. `flow` as in CongestionControl."""

    __slots__ = ("_flow", "_round_end", "_last_min", "_current_min", "_samples", "_css_rounds", "_baseline")

    def __init__(self, flow):
        self._flow = flow
        self.reset()

    def reset(self):
        """Slow start begins (again)."""
        self._round_end = self._flow.snd_nxt
        self._last_min = self._current_min = _UNKNOWN
        self._samples = 0
        self._css_rounds = 0               # 0 = in slow start proper
        self._baseline = _UNKNOWN

    @property
    def conservative(self):
        """True in Conservative Slow Start."""
        return self._css_rounds > 0

    def on_rtt(self, rtt):
        """One RTT sample in slow start."""
        self._samples += 1
        if rtt < self._current_min:
            self._current_min = rtt
        if self._samples < N_RTT_SAMPLE or self._current_min == _UNKNOWN or self._last_min == _UNKNOWN:
            return
        if self._css_rounds:
            if self._current_min < self._baseline:         # a false alarm
                self._css_rounds, self._baseline = 0, _UNKNOWN
        else:
            rise = min(max(self._last_min / MIN_RTT_DIVISOR, MIN_RTT_THRESH), MAX_RTT_THRESH)
            if self._current_min >= self._last_min + rise:
                self._baseline = self._current_min
                self._css_rounds = 1

    def on_ack(self):
        """An ACK arrived in slow start. True if slow start is over: set ssthresh to cwnd."""
        if self._flow.snd_una <= self._round_end:
            return False
        self._round_end = self._flow.snd_nxt
        self._last_min, self._current_min, self._samples = self._current_min, _UNKNOWN, 0
        if self._css_rounds:
            self._css_rounds += 1
            return self._css_rounds > CSS_ROUNDS
        return False
