"""Options of the IP level and of datagrams, entered into the table of options.py when this is imported.

Groups and interfaces come as struct ip_mreq or ip_mreqn: the group's address, an address of the interface,
the interface's number.
"""

import errno
import struct

from tipy.address import is_multicast
from tipy.datagrams import PMTU_DONT, PMTU_OMIT, PMTU_WANT
from tipy.errors import os_error
from tipy.sockets.constants import IPPROTO_IP, SO_TIMESTAMP, SO_TIMESTAMPNS, SOCK_STREAM, SOL_SOCKET, number
from tipy.sockets.options import (BYTE, DATAGRAM, INT, Layout, Option, add_rows, attribute, remember,
                                  remembered,
                                  switch)

_MREQ = struct.Struct("=4s4s")
_MREQN = struct.Struct("=4s4si")
_NAME_SIZE = 16                            # IFNAMSIZ


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


# -- errors and times -------------------------------------------------------------------------------------


def _set_recverr(channel, value):
    channel.endpoint.keep_errors(bool(value))


def _timestamp(name, other):
    """SO_TIMESTAMP and SO_TIMESTAMPNS: the one set last counts."""
    shown = remembered(SOL_SOCKET, name)

    def set_(channel, value):
        remember(channel, SOL_SOCKET, other, 0)
        remember(channel, SOL_SOCKET, name, int(bool(value)))
        channel.endpoint.timestamps = bool(value)

    return Option(INT, shown.get, set_, DATAGRAM)


# -- interfaces and groups --------------------------------------------------------------------------------


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


def _unpack_request(data):
    """(group, interface address, interface number) of a struct ip_mreq or ip_mreqn."""
    if len(data) >= _MREQN.size:
        return _MREQN.unpack_from(data)
    if len(data) >= _MREQ.size:
        return *_MREQ.unpack_from(data), 0
    raise os_error(errno.EINVAL)


def _unpack_interface(data):
    """(interface address, interface number): struct in_addr, ip_mreq or ip_mreqn."""
    if len(data) >= _MREQ.size:
        return _unpack_request(data)[1:]
    if len(data) >= 4:
        return bytes(data[:4]), 0
    raise os_error(errno.EINVAL)


def _set_multicast_interface(channel, value):
    ip, index = value
    endpoint, network = channel.options, channel.stack.ipv4
    interface = network.interface_for(index, ip) if index or any(ip) else None
    if interface is None and (index or any(ip)):
        raise os_error(errno.EADDRNOTAVAIL)
    endpoint.multicast_interface, endpoint.multicast_address = interface, ip


def _set_multicast_ttl(channel, value):
    if not -1 <= value <= 255:
        raise os_error(errno.EINVAL)
    channel.options.multicast_ttl = 1 if value == -1 else value


def _set_multicast_all(channel, value):
    if value not in (0, 1):
        raise os_error(errno.EINVAL)
    channel.options.multicast_all = bool(value)


def _join(channel, request):
    channel.endpoint.join(request[0], _requested(channel, request))


def _leave(channel, request):
    group, ip, index = request
    interface = _requested(channel, request) if index or any(ip) else next(
        (where for joined, where in channel.endpoint.groups if joined == group), None)
    channel.endpoint.leave(group, interface)


def _requested(channel, request):
    group, ip, index = request
    if not is_multicast(group):
        raise os_error(errno.EINVAL)
    interface = channel.stack.ipv4.interface_for(index, ip, group)
    if interface is None:
        raise os_error(errno.ENODEV)
    return interface


def _unpack_strict(data):
    """The IP level's byte or int, where an empty buffer will not do."""
    if not data:
        raise os_error(errno.EINVAL)
    return BYTE.unpack(data)


def _asked(name, linux):
    """A switch for ancillary data."""
    return IPPROTO_IP, name, linux, remembered(IPPROTO_IP, number(name, linux), layout=BYTE)


STRICT = Layout(BYTE.pack, _unpack_strict)
DEVICE = Layout(bytes, bytes)
REQUEST = Layout(bytes, _unpack_request)
INTERFACE = Layout(bytes, _unpack_interface)

add_rows((
    (SOL_SOCKET, "SO_TIMESTAMP", 29, _timestamp(SO_TIMESTAMP, SO_TIMESTAMPNS)),
    (SOL_SOCKET, "SO_TIMESTAMPNS", 35, _timestamp(SO_TIMESTAMPNS, SO_TIMESTAMP)),
    (SOL_SOCKET, "SO_BINDTODEVICE", 25, Option(DEVICE, _get_device, _set_device, DATAGRAM, True, _NAME_SIZE)),
    _asked("IP_PKTINFO", 8), _asked("IP_RECVTTL", 12), _asked("IP_RECVTOS", 13), _asked("IP_RECVORIGDSTADDR",
                                                                                        20),
    (IPPROTO_IP, "IP_MTU", 14, Option(INT, _get_mtu)),
    (IPPROTO_IP, "IP_MTU_DISCOVER", 10, Option(BYTE, _get_discovery, _set_discovery, changes=True)),
    (IPPROTO_IP, "IP_RECVERR", 11, Option(BYTE, lambda channel: int(channel.options.recverr), _set_recverr,
                                          DATAGRAM)),
    (IPPROTO_IP, "IP_MULTICAST_IF", 32, Option(INTERFACE, lambda channel: channel.options.multicast_address,
                                               _set_multicast_interface, DATAGRAM, True)),
    (IPPROTO_IP, "IP_MULTICAST_TTL", 33, Option(STRICT, attribute("multicast_ttl").get, _set_multicast_ttl,
                                                DATAGRAM)),
    (IPPROTO_IP, "IP_MULTICAST_LOOP", 34, switch("multicast_loop", DATAGRAM, True, STRICT)),
    (IPPROTO_IP, "IP_MULTICAST_ALL", 49, Option(STRICT, attribute("multicast_all").get, _set_multicast_all,
                                                DATAGRAM)),
    (IPPROTO_IP, "IP_ADD_MEMBERSHIP", 35, Option(REQUEST, None, _join, DATAGRAM)),
    (IPPROTO_IP, "IP_DROP_MEMBERSHIP", 36, Option(REQUEST, None, _leave, DATAGRAM)),
))
