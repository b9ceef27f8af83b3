"""Options for multicast, entered into the table of options.py when this is imported.

Groups and interfaces come as struct ip_mreq or ip_mreqn: the group's address, an address of the interface,
the interface's number; with a source as struct ip_mreq_source: group, interface's address, source; whole
filters as struct ip_msfilter (RFC 3678): group, interface's address, mode, number of sources, sources.

Streams know some of these switches and have no use for them; they join nothing.
"""

import errno
import struct
from functools import partial

from tipy.address import is_multicast
from tipy.errors import os_error
from tipy.groups import MAX_SOURCES
from tipy.ipv4.membership import Filter
from tipy.sockets.constants import IPPROTO_IP, SOCK_STREAM
from tipy.sockets.ip_options import STRICT, on_off
from tipy.sockets.options import (DATAGRAM, RAW, Layout, Option, add_rows, attribute, constant, remember, split,
                                  switch)

_MREQ = struct.Struct("=4s4s")
_MREQN = struct.Struct("=4s4si")
_MREQ_SOURCE = struct.Struct("=4s4s4s")
_MSFILTER = struct.Struct("=4s4sII")
_EXCLUDE = 0                               # values of imsf_fmode
_INCLUDE = 1


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


def _unpack_source(data):
    """(group, interface address, source) of a struct ip_mreq_source."""
    if len(data) != _MREQ_SOURCE.size:
        raise os_error(errno.EINVAL)
    return _MREQ_SOURCE.unpack(data)


def _unpack_filter(data):
    """(group, interface address, Filter) of a struct ip_msfilter."""
    if len(data) < _MSFILTER.size:
        raise os_error(errno.EINVAL)
    group, ip, mode, count = _MSFILTER.unpack_from(data)
    if count > MAX_SOURCES:
        raise os_error(errno.ENOBUFS)
    sources = data[_MSFILTER.size:_MSFILTER.size + 4 * count]
    if len(sources) < 4 * count or mode not in (_INCLUDE, _EXCLUDE):
        raise os_error(errno.EINVAL)
    return group, ip, Filter(mode == _EXCLUDE, frozenset(sources[at:at + 4] for at in range(0, 4 * count, 4)))


# -- sending ----------------------------------------------------------------------------------------------


def _set_interface(channel, value):
    ip, index = value
    endpoint, network = channel.options, channel.stack.ipv4
    interface = network.interface_for(index, ip) if index or any(ip) else None
    if interface is None and (index or any(ip)):
        raise os_error(errno.EADDRNOTAVAIL)
    endpoint.multicast_interface, endpoint.multicast_address = interface, ip


def _set_ttl(channel, value):
    if not -1 <= value <= 255:
        raise os_error(errno.EINVAL)
    channel.options.multicast_ttl = 1 if value == -1 else value


# -- membership -------------------------------------------------------------------------------------------


def _interface(channel, group, ip, index=0):
    if not is_multicast(group):
        raise os_error(errno.EINVAL)
    interface = channel.stack.ipv4.interface_for(index, ip, group)
    if interface is None:
        raise os_error(errno.ENODEV)
    return interface


def _join(channel, request):
    channel.endpoint.groups.join(request[0], _interface(channel, *request))


def _leave(channel, request):
    group, ip, index = request
    groups = channel.endpoint.groups
    groups.leave(group, _interface(channel, *request) if index or any(ip) else groups.interface_of(group))


def _name_source(change, exclude, channel, request):
    """change: the name of a method of Groups."""
    group, ip, source = request
    getattr(channel.endpoint.groups, change)(group, _interface(channel, group, ip), source, exclude)


def _filter(channel, request):
    group, ip, wanted = request
    channel.endpoint.groups.set_filter(group, _interface(channel, group, ip), wanted)


# -- what streams answer ----------------------------------------------------------------------------------


def _kept(name):
    """On unless it was switched off: remembered for a stream."""
    return Option(STRICT, lambda channel: (channel.flags or {}).get((IPPROTO_IP, name), 1),
                  lambda channel, value: remember(channel, IPPROTO_IP, name, int(bool(value))))


def _zero_or_one(option):
    """The same option for the values 0 and 1 only."""
    def set_(channel, value):
        if value not in (0, 1):
            raise os_error(errno.EINVAL)
        option.set(channel, value)

    return option._replace(set=set_)


def _of_datagrams(layout, set_, refusal=errno.EINVAL):
    """What cannot be read, nor be set on streams."""
    def set_or_refuse(channel, data):
        if channel.type == SOCK_STREAM:
            raise os_error(refusal)
        set_(channel, layout(data))

    return Option(RAW, None, set_or_refuse)


_NO_INTERFACE = constant(bytes(4), errno.EINVAL, RAW)
_TTL_OF_ONE = constant(1, errno.EINVAL, STRICT)

add_rows((
    (IPPROTO_IP, "IP_MULTICAST_IF", 32, split(_NO_INTERFACE, Option(
        Layout(bytes, _unpack_interface), lambda channel: channel.options.multicast_address, _set_interface, DATAGRAM,
        True))),
    (IPPROTO_IP, "IP_MULTICAST_TTL", 33, split(_TTL_OF_ONE, Option(STRICT, attribute("multicast_ttl").get, _set_ttl))),
    (IPPROTO_IP, "IP_MULTICAST_LOOP", 34, split(_kept("IP_MULTICAST_LOOP"),
                                                switch("multicast_loop", DATAGRAM, True, STRICT))),
    (IPPROTO_IP, "IP_MULTICAST_ALL", 49, split(_zero_or_one(_kept("IP_MULTICAST_ALL")),
                                               _zero_or_one(on_off("multicast_all", STRICT)))),
    (IPPROTO_IP, "IP_ADD_MEMBERSHIP", 35, _of_datagrams(_unpack_request, _join, errno.EPROTO)),
    (IPPROTO_IP, "IP_DROP_MEMBERSHIP", 36, _of_datagrams(_unpack_request, _leave, errno.EPROTO)),
    (IPPROTO_IP, "IP_UNBLOCK_SOURCE", 37, _of_datagrams(_unpack_source, partial(_name_source, "drop_source", True))),
    (IPPROTO_IP, "IP_BLOCK_SOURCE", 38, _of_datagrams(_unpack_source, partial(_name_source, "add_source", True))),
    (IPPROTO_IP, "IP_ADD_SOURCE_MEMBERSHIP", 39, _of_datagrams(_unpack_source,
                                                               partial(_name_source, "add_source", False))),
    (IPPROTO_IP, "IP_DROP_SOURCE_MEMBERSHIP", 40, _of_datagrams(_unpack_source,
                                                                partial(_name_source, "drop_source", False))),
    (IPPROTO_IP, "IP_MSFILTER", 41, _of_datagrams(_unpack_filter, _filter)),
))
