"""Interface set-up without `ip`, `brctl` or `nmcli`: rtnetlink over a raw AF_NETLINK socket.

A request is one `nlmsghdr`, one fixed struct that depends on the kind of object (`ifinfomsg`, `ifaddrmsg`,
`rtmsg`), then attributes: type, length, value, padded to 4. The kernel answers with NLMSG_ERROR (0 = done,
else minus the errno, with a sentence of its own where it has one), or, to a dump, with the objects one by
one and NLMSG_DONE. All integers are in host byte order, addresses in network byte order (RFC 3549).

What may live here: creating, changing, listing and deleting interfaces, addresses and routes, in the network
namespace of the process that made the `Netlink`. RTM_NEWLINK cannot create a TAP: see `tipy.link.tap`.
"""

import _socket as kernel          # never `socket`: that one may have been replaced by ours
import os
import struct
import sys
from typing import NamedTuple

from tipy.address import parse_ip, parse_mac, parse_network

_MESSAGE = struct.Struct("=IHHII")         # nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")          # rtattr: length, type
_LINK = struct.Struct("=BxHiII")           # ifinfomsg: family, device type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")         # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")       # rtmsg: family, lengths, tos, table, ... , flags

_ERROR, _DONE = 2, 3
_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _GETADDR, _NEWROUTE = 16, 17, 18, 20, 22, 24
_REQUEST, _ACK, _DUMP, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
_CAPPED, _ACK_TLVS = 0x100, 0x200          # flags of an NLMSG_ERROR
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 1, 3, 4, 10
_IFLA_LINKINFO, _IFLA_NET_NS_PID, _IFLA_NET_NS_FD = 18, 19, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER, _BRIDGE_MULTICAST_SNOOPING = 1, 2, 1, 23
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST = 1, 2, 3, 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5

_UP, _LOOPBACK, _RUNNING = 0x1, 0x8, 0x40
_TIMEOUT = 5.0                             # seconds; the kernel answers within the send


class LinkInfo(NamedTuple):
    """One interface. `mac` is empty where it has none; `running` means it has a carrier; `master` is the
    index of the bridge it is a port of, or 0; `kind` is "bridge", "veth", "tun"..., "" if physical."""

    index: int
    name: str
    mac: bytes
    mtu: int
    up: bool
    running: bool
    loopback: bool
    master: int
    kind: str


class AddressInfo(NamedTuple):
    """One address of one interface."""

    index: int
    ip: bytes
    prefix_length: int


class Netlink:
    """A conversation with the kernel about the network namespace this object was made in.

    Every method raises OSError with the kernel's errno; its text names the request.
    """

    def __init__(self):
        self._socket = kernel.socket(kernel.AF_NETLINK, kernel.SOCK_RAW | kernel.SOCK_CLOEXEC, 0)
        self._sequence = 0
        self._socket.settimeout(_TIMEOUT)
        self._socket.bind((0, 0))
        for option in (_CAP_ACK, _EXT_ACK):        # niceties: Linux 4.3 and 4.12
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                pass

    def close(self):
        """Close the socket. Idempotent."""
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    # -- interfaces -------------------------------------------------------------------------------

    def links(self):
        """All interfaces, as LinkInfo."""
        replies = self._ask(_GETLINK, _DUMP, _LINK.pack(0, 0, 0, 0, 0), what="list interfaces")
        return [_link_info(body) for kind, body in replies if kind == _NEWLINK]

    def link(self, name):
        """The interface called `name`; OSError(ENODEV) if there is none."""
        body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)
        for kind, reply in self._ask(_GETLINK, _ACK, body, what=f"look up {name}"):
            if kind == _NEWLINK:
                return _link_info(reply)
        raise OSError(19, os.strerror(19), name)

    def create_bridge(self, name, mac=None):
        """A bridge without spanning tree and multicast snooping. With `mac` it keeps that address; without,
        a bridge's address changes with its ports."""
        data = _attribute(_BRIDGE_MULTICAST_SNOOPING, b"\x00")
        self._create(name, "bridge", data, _mac(mac))

    def create_dummy(self, name):
        """An interface that drops what it is given."""
        self._create(name, "dummy")

    def create_veth(self, name, peer, peer_pid=None):
        """Two interfaces joined back to back; `peer` appears in the namespace of the process `peer_pid`."""
        there = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, peer)
        if peer_pid is not None:
            there += _attribute(_IFLA_NET_NS_PID, _u32(peer_pid))
        self._create(name, "veth", _attribute(_VETH_PEER, there))

    def delete(self, name):
        """Remove an interface (of a veth pair: both ends)."""
        self._ask(_DELLINK, _ACK, _LINK.pack(0, 0, self.link(name).index, 0, 0), what=f"delete {name}")

    def set(self, name, *, up=None, mac=None, mtu=None, master=None):
        """Change what is given: up (bool), mac (text or bytes), mtu, master (a bridge, "" for none)."""
        index = self.link(name).index
        flags, change = (_UP if up else 0), (0 if up is None else _UP)
        attributes = _mac(mac)
        if mtu is not None:
            attributes += _attribute(_IFLA_MTU, _u32(mtu))
        if master is not None:
            attributes += _attribute(_IFLA_MASTER, _u32(self.link(master).index if master else 0))
        self._ask(_NEWLINK, _ACK, _LINK.pack(0, 0, index, flags, change) + attributes, what=f"change {name}")

    def move(self, name, *, pid=None, fd=None):
        """Move an interface to the network namespace of a process, or to the one that `fd` refers to."""
        by_pid = fd is None
        target = _attribute(_IFLA_NET_NS_PID if by_pid else _IFLA_NET_NS_FD, _u32(pid if by_pid else fd))
        body = _LINK.pack(0, 0, self.link(name).index, 0, 0) + target
        self._ask(_NEWLINK, _ACK, body, what=f"move {name}")

    # -- addresses and routes ---------------------------------------------------------------------

    def addresses(self):
        """All addresses of all interfaces, as AddressInfo."""
        replies = self._ask(_GETADDR, _DUMP, _ADDRESS.pack(0, 0, 0, 0, 0), what="list addresses")
        return [_address_info(body) for kind, body in replies if kind == _NEWADDR]

    def add_address(self, name, network):
        """Give an interface an address, "192.168.2.199/24"; the connected route comes with it."""
        ip, net = parse_network(network)
        body = _ADDRESS.pack(_family(ip), net.length, 0, 0, self.link(name).index)
        body += _attribute(_IFA_LOCAL, ip) + _attribute(_IFA_ADDRESS, ip)
        if len(ip) == 4:
            body += _text(_IFA_LABEL, name)
            if net.broadcast is not None:
                body += _attribute(_IFA_BROADCAST, net.broadcast)
        self._ask(_NEWADDR, _ACK | _CREATE | _EXCLUSIVE, body, what=f"add {network} to {name}")

    def add_route(self, destination=None, *, gateway=None, interface=None):
        """Add a route to "10.0.0.0/8", or the default one (None), by a gateway, an interface or both."""
        ip, net = parse_network(destination) if destination else (parse_ip(gateway), None)
        length = net.length if net else 0
        table, by_admin, universe, link_scope, unicast = 254, 4, 0, 253, 1
        body = _ROUTE.pack(_family(ip), length, 0, 0, table, by_admin,
                           universe if gateway else link_scope, unicast, 0)
        if net:
            body += _attribute(_RTA_DST, net.prefix)
        if gateway:
            body += _attribute(_RTA_GATEWAY, parse_ip(gateway))
        if interface:
            body += _attribute(_RTA_OIF, _u32(self.link(interface).index))
        what = f"add a route to {destination or 'everywhere'}"
        self._ask(_NEWROUTE, _ACK | _CREATE | _EXCLUSIVE, body, what=what)

    # -- the conversation -------------------------------------------------------------------------

    def _create(self, name, kind, data=b"", attributes=b""):
        info = _text(_INFO_KIND, kind)
        if data:
            info += _attribute(_INFO_DATA, data)
        body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name) + attributes
        body += _attribute(_IFLA_LINKINFO, info)
        self._ask(_NEWLINK, _ACK | _CREATE | _EXCLUSIVE, body, what=f"create {kind} {name}")

    def _ask(self, kind, flags, body, what):
        """Send one request; the replies as [(message type, body)], until the kernel says it is done."""
        self._sequence += 1
        length = _MESSAGE.size + len(body)
        self._socket.send(_MESSAGE.pack(length, kind, _REQUEST | flags, self._sequence, 0) + body)
        replies = []
        while True:
            for kind, flags, sequence, body in _messages(self._socket.recv(1 << 18)):
                if sequence != self._sequence:      # left over from a request that timed out
                    continue
                if kind == _ERROR:
                    _check(body, flags, what)
                if kind in (_ERROR, _DONE):
                    return replies
                replies.append((kind, body))


def _messages(data):
    """The messages in one datagram from the kernel: (type, flags, sequence, body)."""
    at = 0
    while at + _MESSAGE.size <= len(data):
        length, kind, flags, sequence, _ = _MESSAGE.unpack_from(data, at)
        if length < _MESSAGE.size:
            return
        yield kind, flags, sequence, data[at + _MESSAGE.size:at + length]
        at += length + 3 & ~3


def _check(body, flags, what):
    """Raise what an NLMSG_ERROR tells; 0 is the acknowledgement."""
    code = -struct.unpack_from("=i", body)[0]
    if code == 0:
        return
    text = f"{what}: {os.strerror(code)}"
    if flags & _ACK_TLVS:
        request_length = struct.unpack_from("=I", body, 4)[0]
        start = 4 + (_MESSAGE.size if flags & _CAPPED else request_length + 3 & ~3)
        said = dict(attributes(body, start)).get(1)
        if said:
            text += f" ({said.rstrip(bytes(1)).decode('utf-8', 'replace')})"
    raise OSError(code, text)


def attributes(body, start):
    """The attributes from `start` on, as (type, value); stops at the first one that does not fit."""
    while start + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        if length < _ATTRIBUTE.size or start + length > len(body):
            return
        yield kind & 0x3FFF, body[start + _ATTRIBUTE.size:start + length]     # upper bits: nested, byte order
        start += length + 3 & ~3


def _attribute(kind, value):
    padding = bytes(-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + padding


def _text(kind, text):
    return _attribute(kind, text.encode() + b"\x00")


def _u32(number):
    return struct.pack("=I", number)


def _mac(mac):
    if mac is None:
        return b""
    return _attribute(_IFLA_ADDRESS, parse_mac(mac) if isinstance(mac, str) else mac)


def _family(ip):
    return kernel.AF_INET if len(ip) == 4 else kernel.AF_INET6


def _link_info(body):
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = dict(attributes(body, _LINK.size))
    info = dict(attributes(found.get(_IFLA_LINKINFO, b""), 0))
    return LinkInfo(index, _string(found.get(_IFLA_IFNAME)), found.get(_IFLA_ADDRESS, b""),
                    _number(found.get(_IFLA_MTU)), bool(flags & _UP), bool(flags & _RUNNING),
                    bool(flags & _LOOPBACK), _number(found.get(_IFLA_MASTER)), _string(info.get(_INFO_KIND)))


def _address_info(body):
    _, prefix_length, _, _, index = _ADDRESS.unpack_from(body)
    found = dict(attributes(body, _ADDRESS.size))
    return AddressInfo(index, found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS, b""), prefix_length)


def _string(value):
    return value.rstrip(b"\x00").decode("utf-8", "replace") if value else ""


def _number(value):
    return int.from_bytes(value, sys.byteorder) if value else 0
