"""setsockopt and getsockopt: one table, with the kernel's layouts.

An entry says how a value is laid out in the buffer, how it is read and how it is set. Most options are an
attribute of the object that uses it (`channel.options`: a TCP connection's Options, a UDP or raw endpoint).
What is not in the table does not exist: ENOPROTOOPT. Nothing is accepted and then ignored, except what the
kernel itself only remembers for such a socket, or hands to devices that know more than ours (`remembered`).

Here are the machinery and the socket level; tcp_options.py, ip_options.py and group_options.py enter the rest.
"""

import errno
import struct
from typing import Callable, NamedTuple

from tipy.errors import os_error
from tipy.ipv4.options import prepare
from tipy.sockets.constants import (IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, SO_TIMESTAMP, SO_TIMESTAMPNS, SOCK_DGRAM,
                                    SOCK_RAW, SOCK_STREAM, SOL_SOCKET, number)

_INT = struct.Struct("=i")
_PAIR = struct.Struct("=ii")               # struct linger
_TIMEVAL = struct.Struct("@ll")
_ANY_TYPE = (SOCK_STREAM, SOCK_DGRAM, SOCK_RAW)
STREAM = (SOCK_STREAM,)
DATAGRAM = (SOCK_DGRAM, SOCK_RAW)

MIN_RCVBUF = 2304                          # Linux's SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF
MIN_SNDBUF = 4608
_MOST = 2 ** 31 - 1
_NAME_SIZE = 16                            # IFNAMSIZ
_PRIORITIES = (0, 2, 6, 4)                 # of the kinds of service of RFC 1349, as Linux's ip_tos2prio


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
    ints: bool = True                      # above the IP level: less than an int is EINVAL


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


def stored(level, name):
    """The same for a number."""
    return Option(INT, lambda channel: (channel.flags or {}).get((level, name), 0),
                  lambda channel, value: remember(channel, level, name, value))


def constant(value, refusal=errno.ENOPROTOOPT, layout=INT):
    """What can be read and never be set."""
    def refuse(channel, data):
        raise os_error(refusal)

    return Option(Layout(layout.pack, bytes), lambda channel: value, refuse)


def split(stream, other):
    """One option name, two meanings: for streams and for the rest; they are packed alike."""
    def pick(channel):
        return stream if channel.type == SOCK_STREAM else other

    def set_(channel, data):
        option = pick(channel)
        option.set(channel, option.layout.unpack(data))

    return Option(Layout(stream.layout.pack, bytes), lambda channel: pick(channel).get(channel), set_, _ANY_TYPE,
                  stream.changes or other.changes)


def setting(name):
    """The default of an attribute: what the stack's settings say."""
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
    value &= 0xFC if channel.type == SOCK_STREAM else 0xFF
    if value != channel.options.tos:
        channel.options.tos = value
        remember(channel, SOL_SOCKET, "SO_PRIORITY", _PRIORITIES[value >> 3 & 3])


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
    value = _MOST if value < 0 else value or 1
    if channel.type != SOCK_STREAM:
        remember(channel, SOL_SOCKET, "lowat", value)          # of datagrams: only shown again
        return
    options, settings = channel.options, channel.stack.settings
    options.rcvlowat = min(value, (options.rcvbuf or settings.rcvbuf_max) >> 1)


def _get_device(channel):
    device = channel.options.device
    return device.name.encode() + b"\0" if device is not None else b""


def _set_device(channel, data):
    name = data[:_NAME_SIZE - 1].partition(b"\0")[0]
    interfaces = channel.stack.ipv4.addresses.interfaces
    device = next((each for each in interfaces if each.name.encode() == name), None)
    if name and device is None:
        raise os_error(errno.ENODEV)
    channel.options.device = device


def _timestamp(name, other):
    """SO_TIMESTAMP and SO_TIMESTAMPNS: the one set last counts."""
    shown = remembered(SOL_SOCKET, name)

    def set_(channel, value):
        remember(channel, SOL_SOCKET, other, 0)
        remember(channel, SOL_SOCKET, name, int(bool(value)))
        if channel.type != SOCK_STREAM:
            channel.endpoint.timestamps = bool(value)

    return Option(INT, shown.get, set_)


def _timeout(name):
    return Option(TIMEVAL, lambda channel: getattr(channel, name),
                  lambda channel, value: setattr(channel, name, value))


def _accepting(channel):
    return int(getattr(channel, "listening", False))


def _get_hdrincl(channel):
    return BYTE.pack(channel.type == SOCK_RAW and int(channel.options.hdrincl))


def _set_hdrincl(channel, data):
    if channel.type != SOCK_RAW:
        raise os_error(errno.ENOPROTOOPT)
    channel.options.hdrincl = bool(BYTE.unpack(data))


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
    (SOL_SOCKET, "SO_RCVLOWAT", 18, split(Option(INT, attribute("rcvlowat").get, _set_lowat, changes=True),
                                          Option(INT, _get_lowat, _set_lowat))),
    (SOL_SOCKET, "SO_SNDLOWAT", 19, constant(1)),
    (SOL_SOCKET, "SO_DEBUG", 1, remembered(SOL_SOCKET, "SO_DEBUG")),
    (SOL_SOCKET, "SO_PRIORITY", 12, stored(SOL_SOCKET, "SO_PRIORITY")),
    (SOL_SOCKET, "SO_MARK", 36, stored(SOL_SOCKET, "SO_MARK")),
    (SOL_SOCKET, "SO_TIMESTAMP", 29, _timestamp(SO_TIMESTAMP, SO_TIMESTAMPNS)),
    (SOL_SOCKET, "SO_TIMESTAMPNS", 35, _timestamp(SO_TIMESTAMPNS, SO_TIMESTAMP)),
    (SOL_SOCKET, "SO_BINDTODEVICE", 25, Option(RAW, _get_device, _set_device, changes=True, whole=_NAME_SIZE,
                                               ints=False)),
    (IPPROTO_IP, "IP_TTL", 2, Option(BYTE, attribute("ttl", setting("ttl")).get, _set_ttl)),
    (IPPROTO_IP, "IP_TOS", 1, Option(BYTE, lambda channel: channel.options.tos, _set_tos)),
    (IPPROTO_IP, "IP_OPTIONS", 4, Option(RAW, lambda channel: channel.options.ip_options, _set_ip_options)),
    (IPPROTO_IP, "IP_HDRINCL", 3, Option(RAW, _get_hdrincl, _set_hdrincl)),
)
OPTIONS = {}


def add_rows(rows):
    """Enter options that programs on this platform can name."""
    OPTIONS.update({(level, number(name, linux)): option for level, name, linux, option in rows
                    if number(name, linux) is not None})


add_rows(_ROWS)


def _find(channel, level, name, unknown):
    option = OPTIONS.get((level, name))
    if option is None or channel.type not in option.types:
        known = level in (SOL_SOCKET, IPPROTO_IP) or level == channel.proto in (IPPROTO_TCP, IPPROTO_UDP)
        raise os_error(errno.ENOPROTOOPT if known else unknown)
    return option


def get_option(channel, level, name, size):
    """The option's value as the kernel would lay it out, cut to `size` bytes (0 means an int is wanted)."""
    option = _find(channel, level, name, errno.EOPNOTSUPP)
    if option.get is None:
        raise os_error(errno.ENOPROTOOPT)
    with channel.gate:
        channel.alive()
        data = option.layout.pack(option.get(channel))
    if option.whole and data and size < option.whole:
        raise os_error(errno.EINVAL)
    if size == 0:
        return _INT.unpack(data[:4].ljust(4, b"\0"))[0]
    if level == IPPROTO_IP and len(data) == _INT.size and size < 4:
        data = data[:1]                    # the IP level answers a short buffer with one byte
    return data[:size]


def set_option(channel, level, name, data):
    """Set an option from the bytes `data`."""
    option = OPTIONS.get((level, name))
    if len(data) < 4 and level != IPPROTO_IP and level in (SOL_SOCKET, channel.proto) and (
            option is None or option.ints):
        raise os_error(errno.EINVAL)
    option = _find(channel, level, name, errno.ENOPROTOOPT)
    if option.set is None:
        raise os_error(errno.ENOPROTOOPT)
    value = option.layout.unpack(data)
    with channel.gate:
        channel.alive()
        option.set(channel, value)
        if option.changes:
            channel.options_changed()
