"""AF_PACKET: raw frames on an interface the kernel already has.

Where no TAP can be had: one end of a veth pair, or a real Ethernet port. A packet socket bound to it receives
every frame that arrives there and sends frames as they are. With PACKET_VNET_HDR the same `virtio_net_hdr` as
on a TAP stands before each (see virtio.py); it is always switched on where it exists, because the kernel
hands over its own unfinished checksums and super-segments here whether asked or not, and only the header
tells them apart from broken ones.

The interface's own IP stack sees the frames too: give it no address where the stack lives.
"""

import _socket as kernel          # never `socket`: that one may have been replaced by ours
import errno
import os
import struct

from tipy.errors import SetupError
from tipy.link import ioctl
from tipy.link.base import LARGEST_PAYLOAD
from tipy.link.virtio import HEADER_LENGTH, VirtioLink
from tipy.netlink import Netlink

_SOL_PACKET = 263
_ADD_MEMBERSHIP, _VNET_HDR, _IGNORE_OUTGOING = 1, 15, 23
_PROMISCUOUS = 1
_EVERY_PROTOCOL = 0x0003
_SO_RCVBUFFORCE = 33
_QUEUE = 8 << 20                   # bytes; the default holds three super-segments


class PacketLink(VirtioLink):
    """A packet socket on the Ethernet interface `ifname`.

    mtu      in bytes; None takes the interface's
    offload  False: send plain frames of at most the MTU, with complete checksums
    fd       a socket made by `open_packet_socket`, which this object then owns; give `mtu` and `mac` too

    After open(): `mac` is the interface's own address.
    """

    def __init__(self, ifname, mtu=None, offload=True, *, fd=None, mac=None):
        super().__init__()
        ioctl.check_name(ifname)
        self.name = ifname
        self.mac = mac
        self._wanted_mtu = mtu
        self._wanted_offload = offload
        self._given = fd

    def open(self):
        """Open the socket. SetupError with what to do if that is not possible."""
        if self._fd is not None:
            return
        if self._given is None:
            info = _inspect(self.name)
            self.mac = info.mac
            self.mtu = self._wanted_mtu or info.mtu
            fd = open_packet_socket(self.name)
        else:
            fd, self._given = self._given, None
            self.mtu = self._wanted_mtu or 1500
        self._fd = fd
        self._skip = HEADER_LENGTH if _has_header(fd) else 0
        offload = bool(self._skip) and self._wanted_offload
        self.tx_checksum = offload
        self.tso_max = LARGEST_PAYLOAD

    def close(self):
        """Close the socket. Idempotent."""
        super().close()
        fd, self._given = self._given, None
        if fd is not None:
            os.close(fd)

    def _explain(self, error):
        name = self.name
        if error.errno == errno.ENETDOWN:
            text = f"{name} is down: type 'sudo ip link set {name} up'"
        elif error.errno in (errno.ENXIO, errno.ENODEV):
            text = f"{name} was deleted: make it again, then start the stack again"
        else:
            text = f"{name} does not work ({error.strerror}): look at it with 'ip link show {name}'"
        return SetupError(text, error.errno)


def open_packet_socket(name):
    """The non-blocking descriptor of a packet socket bound to `name`, with the header where there is one."""
    try:
        packet = kernel.socket(kernel.AF_PACKET, kernel.SOCK_RAW | kernel.SOCK_CLOEXEC, 0)
    except AttributeError:
        raise SetupError("AF_PACKET exists on Linux only: use a MemoryLink here", errno.ENOSYS) from None
    except OSError as error:
        text = f"no permission for raw frames on {name} ({error.strerror}): run this with sudo"
        raise SetupError(text, error.errno) from None
    try:
        _prepare(packet, name)
    except OSError as error:
        packet.close()
        raise SetupError(f"{name} cannot be opened for raw frames ({error.strerror}): look at it with "
                         f"'ip link show {name}'", error.errno) from None
    packet.setblocking(False)
    return packet.detach()


def _prepare(packet, name):
    packet.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)       # Linux 4.20; without it we would hear ourselves
    try:
        packet.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
    except OSError:
        pass
    try:
        packet.setsockopt(kernel.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE)
    except OSError:
        packet.setsockopt(kernel.SOL_SOCKET, kernel.SO_RCVBUF, _QUEUE)
    packet.bind((name, _EVERY_PROTOCOL))
    member = struct.pack("=iHH8s", kernel.if_nametoindex(name), _PROMISCUOUS, 0, b"")
    packet.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)   # the stack's MAC is not the interface's


def _has_header(fd):
    duplicate = kernel.socket(fileno=os.dup(fd))
    try:
        return bool(duplicate.getsockopt(_SOL_PACKET, _VNET_HDR))
    except OSError:
        return False
    finally:
        duplicate.close()


def _inspect(name):
    try:
        with Netlink() as netlink:
            info = netlink.link(name)
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise SetupError(f"there is no interface {name}: 'ip link' lists those that exist",
                             errno.ENODEV) from None
        raise SetupError(f"{name} cannot be looked up ({error.strerror}): is this Linux?",
                         error.errno) from None
    if info.loopback or len(info.mac) != 6:
        raise SetupError(f"{name} is not an Ethernet interface: 'ip link' lists those that are", errno.EINVAL)
    if not info.up:
        raise SetupError(f"{name} is down: type 'sudo ip link set {name} up'", errno.ENETDOWN)
    return info
