"""The retransmission timer's length (RFC 6298), with Linux's floor.

    first sample R:   SRTT = R, RTTVAR = R/2
    later:            RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|,  SRTT = 7/8 SRTT + 1/8 R
    RTO = SRTT + max(minimum, 4 RTTVAR), doubled with each expiry

RFC 6298 floors the whole RTO at 1 s; like Linux we floor only the variance term, at 200 ms by default: the
peer's delayed ACK (up to 200 ms) fits in, and a path of 10 ms does not wait a second for every lost tail.
"""


class RttEstimator:
    """Smoothed round-trip time of one connection. Seconds everywhere."""

    __slots__ = ("srtt", "rttvar", "min_rtt", "latest", "rto", "rto_unbacked", "backoff", "_settings")

    def __init__(self, settings):
        self._settings = settings
        self.srtt = 0.0                            # 0 = no sample yet
        self.rttvar = 0.0
        self.min_rtt = float("inf")
        self.latest = 0.0
        self.rto = self.rto_unbacked = settings.rto_initial    # now, with and without back-off
        self.backoff = 0                           # how often it has been doubled

    def sample(self, rtt):
        """A round trip of `rtt` seconds was measured, on a segment sent once (Karn) or by timestamp."""
        self.latest = rtt
        if rtt < self.min_rtt:
            self.min_rtt = rtt
        if self.srtt:
            deviation = self.srtt - rtt
            self.srtt -= deviation / 8
            self.rttvar += ((deviation if deviation >= 0 else -deviation) - self.rttvar) / 4
        else:
            self.srtt = rtt or 1e-6
            self.rttvar = rtt / 2
        settings, variance = self._settings, 4 * self.rttvar
        rto = self.srtt + (variance if variance > settings.rto_min else settings.rto_min)
        self.rto_unbacked = rto if rto < settings.rto_max else settings.rto_max
        self.rto, self.backoff = self.rto_unbacked, 0          # Karn: only a sample ends the back-off

    def back_off(self):
        """The timer fired: wait twice as long next time."""
        self.backoff += 1
        self.rto = min(self.rto_unbacked * (1 << self.backoff), self._settings.rto_max)

    def end_back_off(self):
        """The network works again, though nothing could be measured."""
        self.rto, self.backoff = self.rto_unbacked, 0

    def syn_was_lost(self):
        """The SYN was retransmitted and nothing could be measured (RFC 6298 5.7)."""
        if not self.srtt:
            self.rto = self.rto_unbacked = max(self.rto_unbacked, 3.0)
