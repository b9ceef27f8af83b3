"""Options of TCP sockets, entered into the table of options.py when this is imported."""

import errno

from tipy.errors import os_error
from tipy.sockets.constants import IPPROTO_TCP
from tipy.sockets.options import (INT, MIN_RCVBUF, NAME, RAW, STREAM, Option, add_rows, attribute, remember, setting,
                                  switch)
from tipy.tcp import congestion, info
from tipy.tcp.states import CLOSED, LISTEN

_TCP_INFO_SIZE = 232
_LEAST_CLAMP = MIN_RCVBUF // 2
_LONGEST_LINGER = 120                      # s, Linux's TCP_FIN_TIMEOUT_MAX
_FIRST_RTO, _LAST_RTO = 1, 120             # s, by which TCP_DEFER_ACCEPT counts
_MOST_RETRIES = 255


def _connection(channel):
    """Its connection, if it has one that is (or was) established, else None."""
    tcb = channel.endpoint
    return None if tcb is None or channel.listening or not tcb.connected else tcb


def _get_maxseg(channel):
    tcb = _connection(channel)
    return tcb.mss if tcb is not None else channel.options.maxseg or 536


def _set_maxseg(channel, value):
    if value and not 88 <= value <= 32767:
        raise os_error(errno.EINVAL)
    if _connection(channel) is None:       # Linux heeds it until the connection is made
        channel.options.maxseg = value or None


def _get_clamp(channel):
    tcb = _connection(channel)
    return channel.options.window_clamp or (tcb.rcv.space if tcb is not None else 0)


def _set_clamp(channel, value):
    closed = channel.endpoint is None or not channel.listening and channel.endpoint.state is CLOSED
    if value == 0 and not closed:
        raise os_error(errno.EINVAL)
    channel.options.window_clamp = max(value, _LEAST_CLAMP) if value else None


def _set_linger2(channel, seconds):
    channel.options.linger2 = -1 if seconds < 0 else min(seconds, _LONGEST_LINGER) or None


def _set_defer_accept(channel, seconds):
    """Rounded up to a whole number of retransmissions of the SYN,ACK, as Linux counts them."""
    period, timeout = min(seconds, _FIRST_RTO), _FIRST_RTO
    for _ in range(_MOST_RETRIES - 1):
        if period >= seconds:
            break
        timeout = min(2 * timeout, _LAST_RTO)
        period += timeout
    channel.options.defer_accept = float(max(period, 0))


def _get_lowat(channel):
    value = channel.options.notsent_lowat or 0
    return value - 2 ** 32 if value >= 2 ** 31 else value


def _set_lowat(channel, value):
    channel.options.notsent_lowat = value % 2 ** 32            # -1: no limit


def _get_quickack(channel):
    """As set, until the connection decides for itself how to go on (tcp(7))."""
    tcb = _connection(channel)
    return int(channel.options.quickack is not False if tcb is None else not tcb.interactive)


def _set_quickack(channel, value):
    channel.options.quickack = bool(value)


def _get_info(channel):
    tcb = channel.endpoint
    if tcb is not None and not channel.listening:
        return info.pack(tcb)
    return bytes((LISTEN if channel.listening else CLOSED,)).ljust(_TCP_INFO_SIZE, b"\0")


def _get_congestion(channel):
    chosen = channel.options.congestion or channel.stack.settings.congestion_control
    return getattr(chosen, "name", chosen)


def _set_congestion(channel, name):
    if not name:
        raise os_error(errno.EINVAL)
    if name not in congestion.names():
        raise os_error(errno.ENOENT)
    channel.options.congestion = name


def _get_inq(channel):
    return (channel.flags or {}).get((IPPROTO_TCP, "TCP_INQ"), 0)


def _set_inq(channel, value):
    if value not in (0, 1):
        raise os_error(errno.EINVAL)
    remember(channel, IPPROTO_TCP, "TCP_INQ", value)


def _number(name, default, low=None, high=None, **more):
    return attribute(name, default, low, high, types=STREAM, **more)


def _own(get, set, changes=False, layout=INT, ints=True):
    return Option(layout, get, set, STREAM, changes, ints=ints)


add_rows((
    (IPPROTO_TCP, "TCP_NODELAY", 1, switch("nodelay", STREAM, True)),
    (IPPROTO_TCP, "TCP_MAXSEG", 2, _own(_get_maxseg, _set_maxseg, True)),
    (IPPROTO_TCP, "TCP_CORK", 3, switch("cork", STREAM, True)),
    (IPPROTO_TCP, "TCP_KEEPIDLE", 4, _number("keepidle", setting("keepalive_time"), 1, 32767, changes=True)),
    (IPPROTO_TCP, "TCP_KEEPINTVL", 5, _number("keepintvl", setting("keepalive_intvl"), 1, 32767, changes=True)),
    (IPPROTO_TCP, "TCP_KEEPCNT", 6, _number("keepcnt", setting("keepalive_probes"), 1, 127, changes=True)),
    (IPPROTO_TCP, "TCP_SYNCNT", 7, _number("syncnt", setting("syn_retries"), 1, 127)),
    (IPPROTO_TCP, "TCP_LINGER2", 8, _own(_number("linger2", setting("fin_timeout")).get, _set_linger2)),
    (IPPROTO_TCP, "TCP_DEFER_ACCEPT", 9, _own(_number("defer_accept", None).get, _set_defer_accept)),
    (IPPROTO_TCP, "TCP_WINDOW_CLAMP", 10, _own(_get_clamp, _set_clamp, True)),
    (IPPROTO_TCP, "TCP_INFO", 11, _own(_get_info, None, layout=RAW)),
    (IPPROTO_TCP, "TCP_QUICKACK", 12, _own(_get_quickack, _set_quickack, True)),
    (IPPROTO_TCP, "TCP_CONGESTION", 13, _own(_get_congestion, _set_congestion, True, NAME, False)),
    (IPPROTO_TCP, "TCP_USER_TIMEOUT", 18, _number("user_timeout", None, 0, scale=1000, changes=True)),
    (IPPROTO_TCP, "TCP_NOTSENT_LOWAT", 25, _own(_get_lowat, _set_lowat, True)),
    (IPPROTO_TCP, "TCP_INQ", 36, _own(_get_inq, _set_inq)),
))
