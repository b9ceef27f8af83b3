"""setsockopt and getsockopt: one table, with the kernel's layouts.

An entry says how a value is laid out in the buffer, how it is read and how it is set. Most options are an
attribute of the object that uses it (`channel.options`: a TCP connection's Options, a UDP or raw endpoint).
What is not in the table does not exist: ENOPROTOOPT. Nothing is accepted and then ignored, except what the
kernel itself only remembers for such a socket (`remembered`).
"""

import errno
import struct
from typing import Callable, NamedTuple

from tipy.errors import os_error
from tipy.ipv4.options import prepare
from tipy.sockets.constants import (IPPROTO_IP, IPPROTO_TCP, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_SOCKET,
                                    number)
from tipy.tcp import info
from tipy.tcp.states import State

_INT = struct.Struct("=i")
_PAIR = struct.Struct("=ii")               # struct linger
_TIMEVAL = struct.Struct("@ll")
_ANY_TYPE = (SOCK_STREAM, SOCK_DGRAM, SOCK_RAW)
_STREAM = (SOCK_STREAM,)
DATAGRAM = (SOCK_DGRAM, SOCK_RAW)

MIN_RCVBUF = 2304                          # Linux's SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF
MIN_SNDBUF = 4608
_TCP_INFO_SIZE = 232


class Layout(NamedTuple):
    """How a value lies in the caller's buffer: `pack(value) -> bytes`, `unpack(bytes) -> value`."""

    pack: Callable
    unpack: Callable


def _unpack_int(data):
    if len(data) < 4:
        raise os_error(errno.EINVAL)
    return _INT.unpack_from(data)[0]


def _unpack_byte_or_int(data):
    """The IP level also takes a single byte."""
    if 0 < len(data) < 4:
        return data[0]
    return _unpack_int(data) if data else 0


def _unpack_linger(data):
    if len(data) < 8:
        raise os_error(errno.EINVAL)
    on, seconds = _PAIR.unpack_from(data)
    return max(seconds, 0) if on else None


def _unpack_timeval(data):
    if len(data) < _TIMEVAL.size:
        raise os_error(errno.EINVAL)
    seconds, micros = _TIMEVAL.unpack_from(data)
    if not 0 <= micros < 1000000:
        raise os_error(errno.EDOM)
    return max(seconds + micros / 1e6, 0.0)


def _pack_timeval(seconds):
    whole = int(seconds)
    return _TIMEVAL.pack(whole, round((seconds - whole) * 1e6))


INT = Layout(_INT.pack, _unpack_int)
BYTE = Layout(_INT.pack, _unpack_byte_or_int)
LINGER = Layout(lambda seconds: _PAIR.pack(seconds is not None, seconds or 0), _unpack_linger)
TIMEVAL = Layout(_pack_timeval, _unpack_timeval)
RAW = Layout(bytes, bytes)
NAME = Layout(lambda name: name.encode().ljust(16, b"\0"), lambda data: data.partition(b"\0")[0].decode())


class Option(NamedTuple):
    """A socket option. `get(channel)`, `set(channel, value)`; None where that is not possible."""

    layout: Layout
    get: Callable | None = None
    set: Callable | None = None
    types: tuple = _ANY_TYPE
    changes: bool = False                  # a connection wants to hear of it
    whole: int = 0                         # bytes a buffer must have, if there is a value; else EINVAL


# -- ways to keep a value ---------------------------------------------------------------------------


def attribute(name, default=None, low=None, high=None, scale=None, types=_ANY_TYPE, changes=False,
              layout=INT):
    """An int of channel.options. `default(channel)` stands in for None; `scale`: units per second."""
    def get(channel):
        value = getattr(channel.options, name)
        if value is None:
            value = default(channel) if default is not None else 0
        return round(value * scale) if scale else int(value)

    def set_(channel, value):
        if low is not None and value < low or high is not None and value > high:
            raise os_error(errno.EINVAL)
        setattr(channel.options, name, value / scale if scale else value)

    return Option(layout, get, set_, types, changes)


def switch(name, types=_ANY_TYPE, changes=False, layout=INT):
    """An attribute that is on or off; None (as the stack sees fit) reads as on."""
    def get(channel):
        value = getattr(channel.options, name)
        return int(value is None or bool(value))

    def set_(channel, value):
        setattr(channel.options, name, bool(value))

    return Option(layout, get, set_, types, changes)


def remember(channel, level, name, value):
    """Keep a value that belongs to the channel itself."""
    if channel.flags is None:
        channel.flags = {}
    channel.flags[level, name] = value


def remembered(level, name, types=_ANY_TYPE, layout=INT):
    """A switch that only has to be remembered (the channel itself looks at it, or nobody)."""
    return Option(layout, lambda channel: (channel.flags or {}).get((level, name), 0),
                  lambda channel, value: remember(channel, level, name, int(bool(value))), types)


def split(stream, other):
    """One option name, two meanings: for streams and for the rest."""
    def pick(channel):
        return stream if channel.type == SOCK_STREAM else other
    return Option(stream.layout, lambda channel: pick(channel).get(channel),
                  lambda channel, value: pick(channel).set(channel, value), _ANY_TYPE, stream.changes)


def _setting(name):
    return lambda channel: getattr(channel.stack.settings, name)


# -- options that need more than an attribute -------------------------------------------------------


def _buffer(name, minimum):
    """SO_RCVBUF, SO_SNDBUF: Linux doubles what is set, for its own book-keeping, and shows the double."""
    def get(channel):
        value = getattr(channel.options, name)
        return getattr(channel.stack.settings, name) if value is None else value

    def set_(channel, value):
        limit = getattr(channel.stack.settings, name + "_max")
        setattr(channel.options, name, max(2 * min(value if value >= 0 else limit, limit), minimum))

    return Option(INT, get, set_, changes=True)


def _set_ttl(channel, value):
    if value != -1 and not 1 <= value <= 255:
        raise os_error(errno.EINVAL)
    channel.options.ttl = None if value == -1 else value


def _set_tos(channel, value):
    # of a stream's, the two ECN bits are TCP's own
    channel.options.tos = value & (0xFC if channel.type == SOCK_STREAM else 0xFF)


def _set_ip_options(channel, value):
    channel.options.ip_options = prepare(value)


def _get_linger(channel):
    if channel.type == SOCK_STREAM:
        return channel.options.linger
    return (channel.flags or {}).get((SOL_SOCKET, "linger"))


def _set_linger(channel, seconds):
    if channel.type == SOCK_STREAM:
        channel.options.linger = seconds
    else:
        remember(channel, SOL_SOCKET, "linger", seconds)       # nothing lingers: it is only shown again


def _get_lowat(channel):
    return (channel.flags or {}).get((SOL_SOCKET, "lowat"), 1)


def _set_lowat(channel, value):
    remember(channel, SOL_SOCKET, "lowat", value or 1)         # of datagrams: only shown again


def _timeout(name):
    return Option(TIMEVAL, lambda channel: getattr(channel, name),
                  lambda channel, value: setattr(channel, name, value))


def _accepting(channel):
    return int(getattr(channel, "listening", False))


def _get_maxseg(channel):
    tcb = channel.endpoint
    if tcb is not None and not channel.listening and tcb.connected:
        return tcb.mss
    return channel.options.maxseg or 536


def _get_info(channel):
    tcb = channel.endpoint
    if tcb is not None and not channel.listening:
        return info.pack(tcb)
    return bytes((State.LISTEN if channel.listening else State.CLOSED,)).ljust(_TCP_INFO_SIZE, b"\0")


def _get_congestion(channel):
    return channel.options.congestion or channel.stack.settings.congestion_control


def _set_congestion(channel, name):
    names = getattr(channel.stack.tcp, "congestion_controls", ("reno", "cubic", "none"))
    if name not in names:
        raise os_error(errno.ENOENT)
    channel.options.congestion = name


def _set_hdrincl(channel, value):
    channel.options.hdrincl = bool(value)


#: (level, name, Linux's number, option)
_ROWS = (
    (SOL_SOCKET, "SO_REUSEADDR", 2, switch("reuse_address", changes=True)),
    (SOL_SOCKET, "SO_REUSEPORT", 15, switch("reuse_port", changes=True)),
    (SOL_SOCKET, "SO_TYPE", 3, Option(INT, lambda channel: channel.type)),
    (SOL_SOCKET, "SO_ERROR", 4, Option(INT, lambda channel: channel.take_error())),
    (SOL_SOCKET, "SO_DOMAIN", 39, Option(INT, lambda channel: 2)),
    (SOL_SOCKET, "SO_PROTOCOL", 38, Option(INT, lambda channel: channel.proto)),
    (SOL_SOCKET, "SO_ACCEPTCONN", 30, Option(INT, _accepting)),
    (SOL_SOCKET, "SO_BROADCAST", 6, split(remembered(SOL_SOCKET, "SO_BROADCAST"), switch("broadcast"))),
    (SOL_SOCKET, "SO_SNDBUF", 7, _buffer("sndbuf", MIN_SNDBUF)),
    (SOL_SOCKET, "SO_RCVBUF", 8, _buffer("rcvbuf", MIN_RCVBUF)),
    (SOL_SOCKET, "SO_KEEPALIVE", 9, split(switch("keepalive", changes=True),
                                          remembered(SOL_SOCKET, "SO_KEEPALIVE"))),
    (SOL_SOCKET, "SO_OOBINLINE", 10, split(switch("oobinline"), remembered(SOL_SOCKET, "SO_OOBINLINE"))),
    (SOL_SOCKET, "SO_LINGER", 13, Option(LINGER, _get_linger, _set_linger)),
    (SOL_SOCKET, "SO_RCVTIMEO", 20, _timeout("rcvtimeo")),
    (SOL_SOCKET, "SO_SNDTIMEO", 21, _timeout("sndtimeo")),
    (SOL_SOCKET, "SO_RCVLOWAT", 18, split(attribute("rcvlowat", low=0, changes=True),
                                          Option(INT, _get_lowat, _set_lowat))),
    (IPPROTO_IP, "IP_TTL", 2, Option(BYTE, attribute("ttl", _setting("ttl")).get, _set_ttl)),
    (IPPROTO_IP, "IP_TOS", 1, Option(BYTE, lambda channel: channel.options.tos, _set_tos)),
    (IPPROTO_IP, "IP_OPTIONS", 4, Option(RAW, lambda channel: channel.options.ip_options, _set_ip_options)),
    (IPPROTO_IP, "IP_HDRINCL", 3, Option(BYTE, lambda channel: int(channel.options.hdrincl), _set_hdrincl,
                                         (SOCK_RAW,))),
    (IPPROTO_TCP, "TCP_NODELAY", 1, switch("nodelay", _STREAM, True)),
    (IPPROTO_TCP, "TCP_MAXSEG", 2, Option(INT, _get_maxseg, attribute("maxseg", low=88, high=32767).set,
                                          _STREAM, True)),
    (IPPROTO_TCP, "TCP_CORK", 3, switch("cork", _STREAM, True)),
    (IPPROTO_TCP, "TCP_KEEPIDLE", 4, attribute("keepidle", _setting("keepalive_time"), 1, 32767,
                                               types=_STREAM, changes=True)),
    (IPPROTO_TCP, "TCP_KEEPINTVL", 5, attribute("keepintvl", _setting("keepalive_intvl"), 1, 32767,
                                                types=_STREAM, changes=True)),
    (IPPROTO_TCP, "TCP_KEEPCNT", 6, attribute("keepcnt", _setting("keepalive_probes"), 1, 127,
                                              types=_STREAM, changes=True)),
    (IPPROTO_TCP, "TCP_SYNCNT", 7, attribute("syncnt", _setting("syn_retries"), 1, 127, types=_STREAM)),
    (IPPROTO_TCP, "TCP_LINGER2", 8, attribute("linger2", _setting("fin_timeout"), high=120, types=_STREAM)),
    (IPPROTO_TCP, "TCP_DEFER_ACCEPT", 9, attribute("defer_accept", scale=1, types=_STREAM)),
    (IPPROTO_TCP, "TCP_WINDOW_CLAMP", 10, attribute("window_clamp", low=0, types=_STREAM, changes=True)),
    (IPPROTO_TCP, "TCP_INFO", 11, Option(RAW, _get_info, None, _STREAM)),
    (IPPROTO_TCP, "TCP_QUICKACK", 12, switch("quickack", _STREAM, True)),
    (IPPROTO_TCP, "TCP_CONGESTION", 13, Option(NAME, _get_congestion, _set_congestion, _STREAM, True)),
    (IPPROTO_TCP, "TCP_USER_TIMEOUT", 18, attribute("user_timeout", low=0, scale=1000, types=_STREAM,
                                                    changes=True)),
    (IPPROTO_TCP, "TCP_NOTSENT_LOWAT", 25, attribute("notsent_lowat", low=0, types=_STREAM, changes=True)),
)
OPTIONS = {}


def add_rows(rows):
    """Enter options that programs on this platform can name."""
    OPTIONS.update({(level, number(name, linux)): option for level, name, linux, option in rows
                    if number(name, linux) is not None})


add_rows(_ROWS)


def _find(channel, level, name):
    option = OPTIONS.get((level, name))
    if option is None or channel.type not in option.types:
        known = level in (SOL_SOCKET, IPPROTO_IP) or level == channel.proto == IPPROTO_TCP
        raise os_error(errno.ENOPROTOOPT if known else errno.EOPNOTSUPP)
    return option


def get_option(channel, level, name, size):
    """The option's value as the kernel would lay it out, cut to `size` bytes (0 means an int is wanted)."""
    option = _find(channel, level, name)
    if option.get is None:
        raise os_error(errno.ENOPROTOOPT)
    with channel.gate:
        channel.alive()
        data = option.layout.pack(option.get(channel))
    if option.whole and data and size < option.whole:
        raise os_error(errno.EINVAL)
    if size == 0:
        return _INT.unpack(data[:4].ljust(4, b"\0"))[0]
    if option.layout is BYTE and size < 4:
        data = data[:1]                    # the IP level answers a short buffer with one byte
    return data[:size]


def set_option(channel, level, name, data):
    """Set an option from the bytes `data`."""
    option = _find(channel, level, name)
    if option.set is None:
        raise os_error(errno.ENOPROTOOPT)
    value = option.layout.unpack(data)
    with channel.gate:
        channel.alive()
        option.set(channel, value)
        if option.changes:
            channel.options_changed()
