"""Initial sequence numbers, timestamp offsets and SYN cookies: keyed hashes over the four-tuple.

RFC 6528: ISN = M + F(local, remote, secret), M a clock that ticks every 4 us. Nobody who lacks the secret can
guess the number of somebody else's connection, yet a new incarnation of the same four-tuple starts above
the old one. The hash is taken when the SYN is sent or arrives, over the connection's own addresses.
"""

from hashlib import blake2s

from tipy.tcp.seq import MASK

#: MSS values a SYN cookie can carry, in three bits (those that occur most, as Linux has found)
COOKIE_MSS = (536, 1300, 1440, 1460)
_COOKIE_PERIOD = 64.0                          # seconds; a cookie is good for one to two of them


class SequenceNumbers:
    """The secret of one stack and what is derived from it. `rng` needs randbytes()."""

    def __init__(self, rng):
        self._secret = rng.randbytes(32)

    def _hash(self, purpose, *parts):
        digest = blake2s(b"".join(parts), key=self._secret, digest_size=4, person=purpose)
        return int.from_bytes(digest.digest(), "big")

    def initial(self, local, remote, now):
        """The ISN for a connection between (ip, port) pairs, at time `now` (RFC 6528)."""
        return (self._hash(b"isn", *_tuple(local, remote)) + int(now * 250_000)) & MASK

    def timestamp_offset(self, local, remote):
        """What is added to the millisecond clock in this connection's TSval (RFC 7323 section 7.1)."""
        return self._hash(b"ts", *_tuple(local, remote))

    def cookie(self, local, remote, irs, mss, now):
        """An ISN that carries all a SYN-ACK must remember (RFC 4987 section 3.6): 24 bits of hash, 6 of
        time, 2 of MSS."""
        period = int(now / _COOKIE_PERIOD)
        index = max(i for i, size in enumerate(COOKIE_MSS) if size <= mss or i == 0)
        return self._cookie(local, remote, irs, period, index)

    def check_cookie(self, local, remote, irs, cookie, now):
        """The MSS in `cookie` if it is one of ours and fresh, else None."""
        period, index = int(now / _COOKIE_PERIOD), cookie & 3
        for age in range(min(period, 1) + 1):
            if self._cookie(local, remote, irs, period - age, index) == cookie:
                return COOKIE_MSS[index]
        return None

    def cookie_stamp(self, local, remote, now, scale, sack):
        """A TSval that carries the peer's window scale (None = not offered) and SACK in its last bits, which comes back
        with the cookie (as Linux). It lies at most 64 ms in the past."""
        clock = int(now * 1000)
        stamp = clock & -64 | (15 if scale is None else scale) | sack << 4
        if stamp > clock:
            stamp -= 64
        return stamp + self.timestamp_offset(local, remote) & MASK

    def check_cookie_stamp(self, local, remote, echo):
        """(window scale or None, SACK) that cookie_stamp has put into the TSval echoed."""
        stamp = echo - self.timestamp_offset(local, remote) & MASK
        scale = stamp & 15
        return None if scale == 15 else scale, bool(stamp & 16)

    def _cookie(self, local, remote, irs, period, index):
        stamp = (period & 63) << 2 | index
        hashed = self._hash(b"cookie", *_tuple(local, remote), irs.to_bytes(4, "big"), period.to_bytes(8, "big"),
                            bytes((index,)))
        return (hashed & 0xFFFFFF00) | stamp & 0xFF


def _tuple(local, remote):
    return local[0], local[1].to_bytes(2, "big"), remote[0], remote[1].to_bytes(2, "big")
