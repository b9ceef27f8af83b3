"""The retransmission timer's length (RFC 6298), with Linux's floor.

    first sample R:   SRTT = R, RTTVAR = R/2
    later:            RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|,  SRTT = 7/8 SRTT + 1/8 R
    RTO = SRTT + max(minimum, 4 RTTVAR), doubled with each expiry

RFC 6298 floors the whole RTO at 1 s; like Linux we floor only the variance term, at 200 ms by default: the
peer's delayed ACK (up to 200 ms) fits in, and a path of 10 ms does not wait a second for every lost tail.
"""


class RttEstimator:
    """Smoothed round-trip time of one connection. Seconds everywhere."""

    __slots__ = ("srtt", "rttvar", "min_rtt", "latest", "_base", "backoff", "_settings")

    def __init__(self, settings):
        self._settings = settings
        self.srtt = 0.0                        # 0 = no sample yet
        self.rttvar = 0.0
        self.min_rtt = float("inf")
        self.latest = 0.0
        self._base = settings.rto_initial      # the RTO before back-off
        self.backoff = 0                       # how often it has been doubled

    @property
    def rto(self):
        """The current retransmission time-out, back-off included."""
        return min(self._base * (1 << self.backoff), self._settings.rto_max)

    @property
    def rto_unbacked(self):
        """The retransmission time-out without back-off."""
        return self._base

    def sample(self, rtt):
        """A round trip of `rtt` seconds was measured, on a segment sent once (Karn) or by timestamp."""
        self.latest = rtt
        if rtt < self.min_rtt:
            self.min_rtt = rtt
        if self.srtt:
            self.rttvar += (abs(self.srtt - rtt) - self.rttvar) / 4
            self.srtt += (rtt - self.srtt) / 8
        else:
            self.srtt = rtt or 1e-6
            self.rttvar = rtt / 2
        self._base = min(self.srtt + max(self._settings.rto_min, 4 * self.rttvar), self._settings.rto_max)

    def syn_was_lost(self):
        """The SYN was retransmitted and nothing could be measured (RFC 6298 5.7)."""
        if not self.srtt:
            self._base = max(self._base, 3.0)
