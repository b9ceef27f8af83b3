"""The retransmission timer's length (RFC 6298), with Linux's floor.

    first sample R:   SRTT = R, RTTVAR = R/2
    later:            RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|,  SRTT = 7/8 SRTT + 1/8 R
    RTO = SRTT + max(minimum, 4 RTTVAR), doubled with each expiry

RFC 6298 floors the whole RTO at 1 s; like Linux we floor only the variance term, at 200 ms by default: the
peer's delayed ACK (up to 200 ms) fits in, and a path of 10 ms does not wait a second for every lost tail.
"""


class RttEstimator:
    """Smoothed round-trip time of one connection. Seconds everywhere."""

    __slots__ = ("srtt", "rttvar", "min_rtt", "rto", "rto_unbacked", "backoff", "_settings")

    def __init__(self, settings):
        self._settings = settings
        self.srtt = 0.0                            # 0 = no sample yet
        self.rttvar = 0.0
        self.min_rtt = float("inf")
        self.rto = self.rto_unbacked = settings.rto_initial    # now, with and without back-off
        self.backoff = 0                           # how often it has been doubled

    def sample(self, rtt):
        """A round trip of `rtt` seconds was measured, on a segment sent once (Karn) or by timestamp."""
        if rtt < self.min_rtt:
            self.min_rtt = rtt
        srtt, rttvar = self.srtt, self.rttvar
        if srtt:
            deviation = srtt - rtt
            srtt -= deviation / 8
            rttvar += ((deviation if deviation >= 0 else -deviation) - rttvar) / 4
        else:
            srtt, rttvar = rtt or 1e-6, rtt / 2
        self.srtt, self.rttvar = srtt, rttvar
        settings, variance = self._settings, 4 * rttvar
        rto = srtt + (variance if variance > settings.rto_min else settings.rto_min)
        if rto > settings.rto_max:
            rto = settings.rto_max
        self.rto = self.rto_unbacked = rto
        self.backoff = 0                                       # Karn: only a sample ends the back-off

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
