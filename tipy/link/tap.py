"""TAP: an Ethernet interface whose wire ends in this process.

The kernel sees `tap7`, usually a port of a bridge; every frame it sends there is a read on our descriptor,
and every write of ours is a frame it receives. Attached without `fcntl`: TUNSETIFF by ctypes. With
IFF_VNET_HDR the `virtio_net_hdr` stands before each frame (see virtio.py) and TUNSETOFFLOAD says what the
kernel may leave to us. That setting outlives the process on a persistent TAP, so it is issued at each
attach, as 0 if unwanted.

The interface has two MACs in play: the kernel's own, for this end of the wire, and the stack's. They must
differ: a bridge keeps frames for a MAC that one of its ports owns, so that with equal ones only the bridge's
own host would ever reach the stack. `keep_apart` sees to that.

What may live here: attaching, making and removing TAPs, and the sentences for what can go wrong.
"""

import errno
import os
import struct

from tipy.address import format_mac
from tipy.errors import SetupError
from tipy.link import ioctl as tun
from tipy.link.base import BIG_TCP_PAYLOAD, LARGEST_PAYLOAD
from tipy.link.virtio import HEADER_LENGTH, VirtioLink
from tipy.log import channel
from tipy.netlink import Netlink

_log = channel("stack")

DEVICE = "/dev/net/tun"
_KINDS = ("tun",)              # what netlink calls both TUN and TAP
_DELETED = (errno.EBADFD, errno.ENODEV, errno.EBADF)


class TapLink(VirtioLink):
    """A TAP device.

    ifname   its name, "tap7"
    mtu      in bytes; None takes the interface's
    offload  False: exchange plain frames of at most the MTU, with complete checksums
    fd       a descriptor that is attached already (as from `attach_tap`), which this object then owns; give
             `mtu` too, as the interface may be in a namespace that cannot be asked
    multi_queue   this is one of several links, each with a queue of the same TAP; see tipy.workers

    After open(): `mac` is the kernel side's address, `tx_checksum` says whether the kernel finishes frames.
    """

    def __init__(self, ifname="tap7", mtu=None, offload=True, *, fd=None, multi_queue=False):
        super().__init__()
        tun.check_name(ifname)
        self.name = ifname
        self._wanted_mtu = mtu
        self._wanted_offload = offload
        self._given = fd
        self._multi_queue = multi_queue

    def open(self):
        """Attach. SetupError with what to do if there is no such TAP, it is down, in use or not ours."""
        if self._fd is not None:
            return
        if self._given is None:
            self._inspect()
            fd = attach_tap(self.name, self._multi_queue)
        else:
            fd, self._given = self._given, None
            self.mtu = self._wanted_mtu or 1500
        try:
            self._set_up(fd)
        except OSError as error:
            os.close(fd)
            raise self._explain(error) from None
        self._fd = fd
        self._separate_from_host()

    def attach(self, host):
        """Deliver to `host` from now on."""
        super().attach(host)
        self._separate_from_host()

    def close(self):
        """Detach. Idempotent."""
        super().close()
        fd, self._given = self._given, None
        if fd is not None:
            os.close(fd)

    def keep_apart(self, mac):
        """Make sure the kernel side's MAC is not `mac`, the stack's; a clash is repaired by moving the
        kernel side to fe:... with the same tail. SetupError if that is refused."""
        if self._fd is None or mac != self.mac:
            return
        other = b"\xfe" + mac[1:] if mac[0] != 0xFE else b"\xfa" + mac[1:]
        try:
            tun.set_mac(self._fd, self.name, other)
        except OSError as error:
            text = (f"{self.name} has the stack's own MAC {format_mac(mac)}, so other bridge ports cannot "
                    f"reach it: type 'sudo ip link set {self.name} address {format_mac(other)}'")
            raise SetupError(text, error.errno) from None
        self.mac = other
        if __debug__ and _log.on:
            _log("%s had the stack's MAC %s; set the kernel side to %s", self.name, format_mac(mac),
                 format_mac(other))

    # -- setting up -------------------------------------------------------------------------------

    def _inspect(self):
        """Look at the interface before touching it: TUNSETIFF would silently make a missing one."""
        try:
            with Netlink() as netlink:
                info = netlink.link(self.name)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise SetupError(f"there is no interface {self.name}: make it with {_recipe(self.name)}",
                                 errno.ENODEV) from None
            self.mtu = self._wanted_mtu or 1500     # nothing to ask here: let the attach tell
            return
        if info.kind not in _KINDS:
            raise SetupError(f"{self.name} is not a TAP (it is a {info.kind or 'physical'} interface): "
                             f"choose another name, or make one with {_recipe('tap7')}", errno.EINVAL)
        if not info.up:
            raise SetupError(f"{self.name} is down: type 'sudo ip link set {self.name} up'", errno.ENETDOWN)
        if self._wanted_mtu is not None and self._wanted_mtu > info.mtu:
            raise SetupError(f"{self.name} has MTU {info.mtu}, less than {self._wanted_mtu}: type "
                             f"'sudo ip link set {self.name} mtu {self._wanted_mtu}'", errno.EMSGSIZE)
        self.mtu = self._wanted_mtu or info.mtu

    def _set_up(self, fd):
        os.set_blocking(fd, False)
        self.name, flags = tun.get_interface(fd)
        header = bool(flags & tun.IFF_VNET_HDR)
        if header:
            tun.ioctl(fd, tun.TUNSETVNETHDRSZ, tun.number(HEADER_LENGTH))
        offload = self._offer(fd, header and self._wanted_offload)
        self._skip = HEADER_LENGTH if header else 0
        self.tx_checksum = offload
        self.tso_max = BIG_TCP_PAYLOAD if offload and _takes_big_tcp() else LARGEST_PAYLOAD
        self.mac = tun.get_mac(fd, self.name)

    def _offer(self, fd, wanted):
        """Tell the kernel what we take unfinished; True if it agreed to offload."""
        everything = tun.TUN_F_CSUM | tun.TUN_F_TSO4 | tun.TUN_F_TSO6
        try:
            tun.ioctl(fd, tun.TUNSETOFFLOAD, everything if wanted else 0)
            return wanted
        except OSError:
            if wanted:                               # too old for TSO: at least undo what a former user left
                return self._offer(fd, False)
            return False

    def _separate_from_host(self):
        mac = getattr(self.host, "mac", None)
        if isinstance(mac, bytes):
            self.keep_apart(mac)

    def _explain(self, error):
        name = self.name
        if error.errno == errno.EIO:
            text = f"{name} is down: type 'sudo ip link set {name} up'"
        elif error.errno in _DELETED:
            text = f"{name} was deleted: make it again with {_recipe(name)}, then start the stack again"
        else:
            text = f"{name} does not work ({error.strerror}): look at it with 'ip link show {name}'"
        return SetupError(text, error.errno)


def _takes_big_tcp(release=None):
    """True if this kernel takes IPv4 super-segments above 64 KB (Linux 6.3) from a TAP (6.6)."""
    numbers = (release or os.uname().release).split(".")
    try:
        return (int(numbers[0]), int(numbers[1])) >= (6, 6)
    except (IndexError, ValueError):
        return False


def attach_tap(name, multi_queue=False):
    """A descriptor attached to the TAP `name`. A missing one is made, and goes away with the descriptor.

    The `virtio_net_hdr` is on where this kernel knows it. multi_queue: several descriptors, one interface.
    """
    tun.check_name(name)
    fd = _open_device()
    try:
        flags = tun.IFF_TAP | tun.IFF_NO_PI | (tun.IFF_MULTI_QUEUE if multi_queue else 0)
        if tun.get_features(fd) & tun.IFF_VNET_HDR:
            flags |= tun.IFF_VNET_HDR
        tun.ioctl(fd, tun.TUNSETIFF, tun.request(name, struct.pack("=H", flags)))
    except OSError as error:
        os.close(fd)
        raise _attach_error(name, error, multi_queue) from None
    return fd


def create_tap(name, owner=None, group=None, multi_queue=False):
    """Make a TAP that stays, for the user id `owner` (None: whoever runs this) to attach to.

    Without an owner anybody could; RTM_NEWLINK cannot make one, so this is TUNSETIFF and TUNSETPERSIST.
    """
    fd = attach_tap(name, multi_queue)
    try:
        tun.ioctl(fd, tun.TUNSETOWNER, os.getuid() if owner is None else owner)
        if group is not None:
            tun.ioctl(fd, tun.TUNSETGROUP, group)
        tun.ioctl(fd, tun.TUNSETPERSIST, 1)
    except OSError as error:
        raise _attach_error(name, error) from None
    finally:
        os.close(fd)


def delete_tap(name):
    """Remove a TAP that `create_tap` made (or any other that nobody is attached to)."""
    fd = attach_tap(name)
    try:
        tun.ioctl(fd, tun.TUNSETPERSIST, 0)
    finally:
        os.close(fd)


def _open_device():
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except AttributeError:
        raise SetupError("TAP devices exist on Linux only: use a MemoryLink here", errno.ENOSYS) from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            text = f"there is no {DEVICE}: type 'sudo modprobe tun' (for a container: --device {DEVICE})"
        elif error.errno in (errno.EACCES, errno.EPERM):
            text = f"no permission to open {DEVICE}: run this with sudo, or type 'sudo chmod 0666 {DEVICE}'"
        else:
            text = f"{DEVICE} cannot be opened ({error.strerror}): run this with sudo, or use a MemoryLink"
        raise SetupError(text, error.errno) from None


def _attach_error(name, error, multi_queue=False):
    if isinstance(error, SetupError):
        return error
    if error.errno == errno.EBUSY:
        text = f"{name} is in use by another program: stop that one, or give this stack a TAP of its own"
    elif error.errno in (errno.EPERM, errno.EACCES):
        text = f"no permission to use {name}: run this with sudo, or make it yours with {_recipe(name)}"
    elif error.errno == errno.EINVAL and multi_queue:
        text = (f"{name} is not a TAP with several queues: make one with {_recipe('tap8', 'multi_queue ')}, and use "
                "that name")
    elif error.errno == errno.EINVAL:
        text = f"{name} is not a TAP that takes one program at a time: make one with {_recipe('tap7')}"
    else:
        text = f"{name} cannot be attached ({error.strerror}): look at it with 'ip -d link show {name}'"
    return SetupError(text, error.errno)


def _recipe(name, more=""):
    return f"'sudo ip tuntap add dev {name} mode tap {more}user $USER && sudo ip link set {name} master br0 up'"
