"""Options of the IP level, entered into the table of options.py when this is imported; those of multicast are in
group_options.py."""

import errno

from tipy.datagrams import PMTU_DONT, PMTU_OMIT, PMTU_WANT
from tipy.errors import os_error
from tipy.sockets.constants import IPPROTO_IP, SOCK_STREAM, number
from tipy.sockets.options import BYTE, INT, Layout, Option, add_rows, attribute, remember, remembered
from tipy.tcp import ttl_guard

# -- path MTU ---------------------------------------------------------------------------------------------


def _get_mtu(channel):
    endpoint = channel.endpoint
    remote = getattr(endpoint, "remote", None)
    if remote is None or getattr(channel, "listening", False):
        raise os_error(errno.ENOTCONN)
    return channel.stack.ipv4.path(remote[0]).mtu


def _get_discovery(channel):
    if channel.type != SOCK_STREAM:
        return channel.options.pmtu_discovery
    chosen = (channel.flags or {}).get((IPPROTO_IP, "discovery"))
    if chosen is not None:
        return chosen
    asked = channel.options.pmtu_discovery
    return PMTU_WANT if asked or asked is None and channel.stack.settings.pmtu_discovery else PMTU_DONT


def _set_discovery(channel, value):
    if not PMTU_DONT <= value <= PMTU_OMIT:
        raise os_error(errno.EINVAL)
    if channel.type == SOCK_STREAM:
        remember(channel, IPPROTO_IP, "discovery", value)      # for TCP there is only: with DF, or without
        value = PMTU_DONT < value < 4
    channel.options.pmtu_discovery = value


# -- others -----------------------------------------------------------------------------------------------


def _set_recverr(channel, value):
    if channel.type == SOCK_STREAM:
        channel.options.recverr = bool(value)
    else:
        channel.endpoint.keep_errors(bool(value))


def _set_min_ttl(channel, value):
    if not 0 <= value <= 255:
        raise os_error(errno.EINVAL)
    if channel.type != SOCK_STREAM:
        remember(channel, IPPROTO_IP, "IP_MINTTL", value)      # Linux looks at it for TCP only
        return
    channel.options.min_ttl = value
    if value:
        ttl_guard.watch(channel.stack.tcp)


def _get_min_ttl(channel):
    if channel.type == SOCK_STREAM:
        return channel.options.min_ttl
    return (channel.flags or {}).get((IPPROTO_IP, "IP_MINTTL"), 0)


def _set_transparent(channel, value):
    if value:                              # needs CAP_NET_ADMIN, and routes that lead foreign packets here
        raise os_error(errno.EPERM)


def _unpack_strict(data):
    """The IP level's byte or int, where an empty buffer will not do."""
    if not data:
        raise os_error(errno.EINVAL)
    return BYTE.unpack(data)


def _asked(name, linux):
    """A switch for ancillary data."""
    return IPPROTO_IP, name, linux, remembered(IPPROTO_IP, number(name, linux), layout=BYTE)


def on_off(name, layout=BYTE, **more):
    """An attribute of channel.options that is on or off."""
    def set_(channel, value):
        setattr(channel.options, name, bool(value))

    return Option(layout, attribute(name).get, set_, **more)


STRICT = Layout(BYTE.pack, _unpack_strict)

add_rows((
    _asked("IP_RECVOPTS", 6), _asked("IP_RETOPTS", 7), _asked("IP_PKTINFO", 8), _asked("IP_RECVTTL", 12),
    _asked("IP_RECVTOS", 13), _asked("IP_RECVORIGDSTADDR", 20),
    (IPPROTO_IP, "IP_MTU", 14, Option(INT, _get_mtu)),
    (IPPROTO_IP, "IP_MTU_DISCOVER", 10, Option(BYTE, _get_discovery, _set_discovery, changes=True)),
    (IPPROTO_IP, "IP_RECVERR", 11, Option(BYTE, attribute("recverr").get, _set_recverr)),
    (IPPROTO_IP, "IP_FREEBIND", 15, on_off("freebind", STRICT)),
    (IPPROTO_IP, "IP_TRANSPARENT", 19, Option(STRICT, lambda channel: 0, _set_transparent)),
    (IPPROTO_IP, "IP_MINTTL", 21, Option(STRICT, _get_min_ttl, _set_min_ttl)),
    (IPPROTO_IP, "IP_BIND_ADDRESS_NO_PORT", 24, on_off("bind_no_port")),
))
