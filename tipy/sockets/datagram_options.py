"""Options of UDP and of raw ICMP sockets, entered into the table of options.py when this is imported."""

import errno

from tipy.errors import os_error
from tipy.sockets.constants import IPPROTO_ICMP, IPPROTO_UDP, SOCK_DGRAM, SOCK_RAW
from tipy.sockets.options import INT, RAW, Option, add_rows

_SOL_RAW = 255
_FILTER_SIZE = 4                           # struct icmp_filter


def _get_cork(channel):
    return int(channel.corked is not None and channel.corked.sticky)


def _set_cork(channel, value):
    if not value:
        channel.uncork()
    elif channel.corked is None:
        channel.cork(True)
    else:
        channel.corked.sticky = True


def _icmp(channel):
    if channel.proto != IPPROTO_ICMP:
        raise os_error(errno.EOPNOTSUPP)
    return channel.options


def _get_filter(channel):
    return _icmp(channel).icmp_filter.to_bytes(_FILTER_SIZE, "little")


def _set_filter(channel, data):
    """Bit n set: ICMP type n is not wanted. What the buffer is too short for stays."""
    _icmp(channel).icmp_filter = int.from_bytes((data + _get_filter(channel)[len(data):])[:_FILTER_SIZE], "little")


add_rows((
    (IPPROTO_UDP, "UDP_CORK", 1, Option(INT, _get_cork, _set_cork, (SOCK_DGRAM,))),
    (_SOL_RAW, "ICMP_FILTER", 1, Option(RAW, _get_filter, _set_filter, (SOCK_RAW,), ints=False)),
))
