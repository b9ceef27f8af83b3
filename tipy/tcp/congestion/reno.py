"""Reno: the congestion control of RFC 5681. One segment per round trip, half on loss."""

from tipy.tcp.congestion.base import CongestionControl


class Reno(CongestionControl):
    """Additive increase, multiplicative decrease by one half."""

    name = "reno"

    def on_ack(self, acked):
        if self.in_slow_start:
            acked = self.slow_start(acked)
        if acked:
            self.grow(acked, per=self.cwnd)

    def on_loss(self):
        return max(self.cwnd >> 1, 2)
