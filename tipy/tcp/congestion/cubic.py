"""CUBIC (RFC 9438): the window as a cubic function of the time since the last loss.

    W_cubic(t) = C (t - K)^3 + W_max,   K = cbrt((W_max - cwnd_epoch) / C),   C = 0.4, beta = 0.7

It rises fast towards the window at which the last loss happened, lingers there, then probes beyond. On short
or slow paths, where Reno would be faster, it follows Reno's window W_est instead. Slow start ends by HyStart++.
"""

from tipy.tcp.congestion.base import CongestionControl
from tipy.tcp.congestion.hystart import CSS_GROWTH_DIVISOR, HyStart

C = 0.4
BETA = 0.7
_ALPHA = 3 * (1 - BETA) / (1 + BETA)           # Reno-friendly increase per round trip, section 4.3


class Cubic(CongestionControl):
    """The default congestion control, as in Linux, Windows and macOS."""

    name = "cubic"

    def __init__(self, flow):
        super().__init__(flow)
        self._w_max = 0.0                      # the window before the last reduction, or less: fast convergence
        self._prior = 0.0                      # the window before the last reduction
        self._epoch = None                     # when the current growth began
        self._k = 0.0
        self._w_est = 0.0                      # what Reno would have by now
        self._saved = None
        self._hystart = HyStart(flow)

    def on_rtt(self, rtt):
        if self.in_slow_start:
            self._hystart.on_rtt(rtt)

    def on_ack(self, acked):
        if self.in_slow_start:
            if self._hystart.on_ack():
                self.ssthresh = self.cwnd
            elif self._hystart.conservative:
                self.grow(acked, per=CSS_GROWTH_DIVISOR)
                return
            else:
                acked = self.slow_start(acked)
        if acked:
            self._avoid(acked)

    def _avoid(self, acked):
        """Congestion avoidance, sections 4.2 to 4.5."""
        flow, now = self.flow, self.flow.now()
        cwnd = flow.cwnd
        if self._epoch is None:
            self._epoch = now
            self._w_max = max(self._w_max, cwnd)
            self._k = ((self._w_max - cwnd) / C) ** (1 / 3)
            self._w_est = cwnd
        t = now - self._epoch + flow.rtt.srtt
        target = min(max(C * (t - self._k) ** 3 + self._w_max, cwnd), 1.5 * cwnd)
        self._w_est += (_ALPHA if self._w_est < self._prior else 1.0) * acked / cwnd
        if self._w_est > target:
            target = self._w_est
        if target > cwnd:
            self.grow(acked, per=cwnd / (target - cwnd))
        else:
            self.grow(acked, per=100 * cwnd)

    def on_loss(self):
        cwnd = self.cwnd
        self._saved = self._w_max, self._prior, self._epoch, self._k, self._w_est
        self._prior = cwnd
        # fast convergence (section 4.7): a flow that is losing ground makes room for newcomers
        self._w_max = cwnd * (1 + BETA) / 2 if cwnd < self._w_max else float(cwnd)
        self._epoch = None
        return max(int(cwnd * BETA), 2)

    def on_rto(self):
        """Section 4.8: the plateau will be the window at which slow start ends."""
        self._w_max = 0.0
        self._hystart.reset()

    def on_idle(self):
        """Time spent idle is not time in which the window was tested."""
        if self._epoch is not None:
            self._epoch = None
            self._w_max = max(self._w_max, self.cwnd)

    def on_undo(self):
        if self._saved is not None:
            self._w_max, self._prior, self._epoch, self._k, self._w_est = self._saved
