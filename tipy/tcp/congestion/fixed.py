"""None: no congestion control, a fixed window. For closed networks, where nothing but the link is in the way."""

from tipy.tcp.congestion.base import INFINITE, INITIAL_WINDOW, CongestionControl

_WINDOW = 1 << 20              # segments: the peer's window is what limits


class Fixed(CongestionControl):
    """A window that neither grows nor shrinks; lost segments are still found and sent again."""

    name = "none"

    def __init__(self, flow):
        super().__init__(flow)
        flow.cwnd = _WINDOW
        flow.ssthresh = INFINITE

    def release(self):
        self.flow.cwnd = INITIAL_WINDOW

    def on_ack(self, acked):
        self.flow.cwnd = _WINDOW

    def on_loss(self):
        return _WINDOW

    def on_rto(self):
        self.flow.cwnd = _WINDOW

    def on_undo(self):
        self.flow.cwnd = _WINDOW
