"""Ancillary data: what sendmsg and recvmsg carry beside the bytes, in the kernel's layouts (ip(7),
socket(7)).

    sendmsg     IP_TTL, IP_TOS, IP_PKTINFO: for this datagram only
    recvmsg     SO_TIMESTAMP(NS), IP_PKTINFO, IP_TTL, IP_TOS, IP_RECVOPTS, IP_RETOPTS, IP_ORIGDSTADDR; of
                streams SO_TIMESTAMP(NS), TCP_INQ: if the socket asked for them
    MSG_ERRQUEUE   IP_RECVERR: struct sock_extended_err and the address of who says so
"""

import errno
import struct

from tipy.address import LOOPBACK
from tipy.datagrams import Override
from tipy.errors import os_error
from tipy.ipv4.options import echo
from tipy.sockets.constants import (IP_PKTINFO, IP_RECVERR, IP_RECVOPTS, IP_RECVORIGDSTADDR, IP_RECVTOS, IP_RECVTTL,
                                    IP_RETOPTS, IP_TOS, IP_TTL, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, MSG_CTRUNC,
                                    SO_TIMESTAMP, SO_TIMESTAMPNS, SOL_SOCKET)

SCM_RIGHTS, SCM_CREDENTIALS = 1, 2         # accepted and without meaning here, as on Linux
_INT = struct.Struct("=i")
_PAIR = struct.Struct("@ll")               # struct timeval, struct timespec
_PKTINFO = struct.Struct("=i4s4s")         # interface, our address, the header's destination
_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_ADDRESS = struct.Struct("=H2s4s8x")       # struct sockaddr_in
_AF_INET = 2
_TCP_INQ = 36
_DAY = 86400 * 1000                        # milliseconds
_HEADER = struct.calcsize("@Lii")          # struct cmsghdr
_ALIGNED = struct.calcsize("@L")


# -- sendmsg ----------------------------------------------------------------------------------------------


def parse(told, network):
    """The Override that [(level, type, view)] asks for; EINVAL for what is unknown or has no sense."""
    ttl = tos = source = interface = None
    for level, kind, data in told:
        if level == SOL_SOCKET:
            check_socket_level(kind)
        elif level == IPPROTO_UDP:
            raise os_error(errno.EINVAL)
        elif level != IPPROTO_IP:
            continue
        elif kind == IP_TTL:
            ttl = _number(data, 1, False)
        elif kind == IP_TOS:
            tos = _number(data, 0, True)
        elif kind == IP_PKTINFO and len(data) == _PKTINFO.size:
            index, source, _ = _PKTINFO.unpack(data)
            interface = network.interface_for(index) if index else None
            if index and interface is None:
                raise os_error(errno.ENODEV)
            if not any(source):
                source = None
            elif not network.is_local(source):
                raise os_error(errno.ENETUNREACH)
        else:
            raise os_error(errno.EINVAL)
    return Override(ttl, tos, source, interface)


def check_socket_level(kind):
    """EINVAL for what no socket accepts at SOL_SOCKET."""
    if kind not in (SCM_RIGHTS, SCM_CREDENTIALS):
        raise os_error(errno.EINVAL)


def _number(data, least, byte):
    if len(data) == 1 and byte:
        return data[0]
    value = _INT.unpack(data)[0] if len(data) == _INT.size else -1
    if not least <= value <= 255:
        raise os_error(errno.EINVAL)
    return value


# -- recvmsg ----------------------------------------------------------------------------------------------


def about(datagram, asked, clock, network):
    """[(level, type, value)] of what `asked` ({(level, option): on}) wants to know, in the kernel's order."""
    told = stamps(datagram.time or clock.now(), asked, clock)
    if asked.get((IPPROTO_IP, IP_PKTINFO)):
        own = datagram.local
        if network.is_group(own):
            where = datagram.interface
            own = LOOPBACK if where.loopback else next(iter(where.addresses), network.any_address)
        told.append((IPPROTO_IP, IP_PKTINFO, _PKTINFO.pack(datagram.interface.index, own, datagram.local)))
    if asked.get((IPPROTO_IP, IP_RECVTTL)):
        told.append((IPPROTO_IP, IP_TTL, _INT.pack(datagram.ttl)))
    if asked.get((IPPROTO_IP, IP_RECVTOS)):
        told.append((IPPROTO_IP, IP_TOS, bytes((datagram.tos,))))
    if datagram.options:
        told += _about_options(datagram, asked, clock)
    if asked.get((IPPROTO_IP, IP_RECVORIGDSTADDR)):
        told.append((IPPROTO_IP, IP_RECVORIGDSTADDR, _address(datagram.local, datagram.port)))
    return told


def _about_options(datagram, asked, clock):
    """The packet's IP options as they arrived, and as an answer would carry them."""
    if asked.get((IPPROTO_IP, IP_RECVOPTS)):
        yield IPPROTO_IP, IP_RECVOPTS, datagram.options
    if asked.get((IPPROTO_IP, IP_RETOPTS)):
        milliseconds = clock.wall(clock.now()) // 10 ** 6 % _DAY
        yield IPPROTO_IP, IP_RETOPTS, echo(datagram.options, datagram.local, milliseconds)


def stamps(moment, asked, clock):
    """The timestamp that `asked` wants of something that arrived at `moment` of the stack's clock."""
    told = []
    for option, units in ((SO_TIMESTAMP, 10 ** 6), (SO_TIMESTAMPNS, 10 ** 9)):
        if asked.get((SOL_SOCKET, option)):
            seconds, rest = divmod(clock.wall(moment), 10 ** 9)
            told.append((SOL_SOCKET, option, _PAIR.pack(seconds, rest * units // 10 ** 9)))
    return told


def about_stream(tcb, data, asked, clock):
    """The same for `data` that was just read from a connection. The time is that of the segment that came
    last: which one a byte came in is not kept."""
    told = stamps(tcb.last_received, asked, clock) if data else []
    if asked.get((IPPROTO_TCP, "TCP_INQ")):
        told.append((IPPROTO_TCP, _TCP_INQ, _INT.pack(tcb.unread or int(tcb.eof))))
    return told


def about_error(error):
    """The (level, type, value) of a SendError."""
    offender = bytes(_ADDRESS.size) if error.offender is None else _address(error.offender, 0)
    return IPPROTO_IP, IP_RECVERR, _EXTENDED_ERROR.pack(error.errno, error.origin, error.type, error.code, 0,
                                                        error.info, 0) + offender


def _address(ip, port):
    return _ADDRESS.pack(_AF_INET, port.to_bytes(2, "big"), ip)


def clip(told, space):
    """What of `told` fits a control buffer of `space` bytes (CMSG_LEN each), and MSG_CTRUNC if not all."""
    kept = []
    for level, kind, value in told:
        if space < _HEADER + len(value):
            if space > _HEADER:
                kept.append((level, kind, value[:space - _HEADER]))
            return kept, MSG_CTRUNC
        kept.append((level, kind, value))
        space -= -(-(_HEADER + len(value)) // _ALIGNED) * _ALIGNED
    return kept, 0
