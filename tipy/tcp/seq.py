"""Sequence numbers: 32 bits on the wire, plain growing ints inside (RFC 9293 section 3.4).

Inside the stack a sequence number is unwrapped: it grows beyond 2^32 and is compared with plain `<`. These
functions, at the codec's edge, are the only places that know about the wrap.
"""

MASK = 0xFFFFFFFF
_HALF = 0x80000000


def unwrap(wire, near):
    """The int that is `wire` modulo 2^32 and lies nearest to `near` (an unwrapped number)."""
    return near + ((wire - near + _HALF) & MASK) - _HALF


def ticks_back(recent, value):
    """By how many ticks the timestamp `value` lies before TS.Recent. A TS.Recent of 0 says nothing: some systems send 0
    on their SYN, and afterwards values of a clock that may seem to run far behind it (Linux knows them, too)."""
    return unwrap(recent, value) - value if recent else 0


def wrap(number):
    """The 32 bits of an unwrapped number that go on the wire."""
    return number & MASK
