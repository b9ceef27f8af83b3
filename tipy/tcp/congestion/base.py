"""What a congestion control is: a few methods that move `cwnd` and `ssthresh`.

To write one of your own, subclass CongestionControl, give it a name and, if other stacks should find it by
that name, hand it to `register`:

    class Gentle(CongestionControl):
        name = "gentle"

        def on_ack(self, acked):
            if self.in_slow_start:
                acked = self.slow_start(acked)
            self.grow(acked, per=4 * self.cwnd)

        def on_loss(self):
            return self.cwnd * 3 // 4

The connection calls it, with the stack's lock held (a socket call from it raises RuntimeError). Loss recovery
is not its business: which segments are lost, and how fast cwnd comes down to the new ssthresh (PRR), is
decided in recovery.py. Windows are counted in segments of `mss` bytes, as Linux counts them; times are seconds.
"""

INFINITE = 0x7FFFFFFF          # ssthresh of a connection that has not lost anything yet
INITIAL_WINDOW = 10            # RFC 6928


class CongestionControl:
    """Base class. `flow` is the connection: `cwnd`, `ssthresh`, `mss`, `rtt` (RttEstimator), `now()`,
    `snd_una`, `snd_nxt`, `in_flight`."""

    name = None
    #: bytes per second at which to pace, or None to send whatever cwnd allows at once
    pacing_rate = None

    def __init__(self, flow):
        self.flow = flow
        self._credit = 0               # acknowledged segments not yet worth one segment of cwnd

    @property
    def cwnd(self):
        """The congestion window in segments."""
        return self.flow.cwnd

    @cwnd.setter
    def cwnd(self, segments):
        self.flow.cwnd = segments

    @property
    def ssthresh(self):
        """The slow-start threshold in segments."""
        return self.flow.ssthresh

    @ssthresh.setter
    def ssthresh(self, segments):
        self.flow.ssthresh = segments

    @property
    def in_slow_start(self):
        """True while cwnd grows by one segment for each one acknowledged (RFC 5681 section 3.1)."""
        return self.flow.cwnd < self.flow.ssthresh

    def on_ack(self, acked):
        """`acked` segments were newly acknowledged, and the window was what limited the sender: grow."""
        raise NotImplementedError

    def on_loss(self):
        """A segment was lost (or ECN says so): return the new ssthresh. Called once per window."""
        raise NotImplementedError

    def on_rto(self):
        """The retransmission timer expired; `on_loss` has been asked, cwnd restarts from 1."""

    def release(self):
        """Another congestion control takes this connection over."""

    def on_rtt(self, rtt):
        """A round trip of `rtt` seconds was measured."""

    def on_idle(self):
        """The connection starts sending again after more than one RTO of silence."""

    def on_undo(self):
        """The last reduction was a mistake (DSACK, timestamps, F-RTO) and has been taken back."""

    def start_over(self):
        """cwnd is being reduced: what `grow` has gathered is forgotten."""
        self._credit = 0

    def slow_start(self, acked):
        """Grow by `acked` segments up to ssthresh (appropriate byte counting); what is left of them."""
        flow = self.flow
        cwnd = min(flow.cwnd + acked, flow.ssthresh)
        left = acked - (cwnd - flow.cwnd)
        flow.cwnd = cwnd
        return left

    def grow(self, acked, per):
        """Grow by one segment for every `per` acknowledged ones."""
        per = max(per, 1)
        if self._credit >= per:                        # gathered when cwnd was larger: one segment for all of it
            self._credit = 0
            self.flow.cwnd += 1
        self._credit += acked
        if self._credit >= per:
            steps = int(self._credit // per)
            self._credit -= steps * per
            self.flow.cwnd += steps
