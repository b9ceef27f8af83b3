"""ioctl by ctypes: the request numbers and the `ifreq` that TAP devices are set up with.

    ifreq, 40 bytes:   name (16, zero-filled)   then flags (u16), int (i32) or sockaddr (family u16, MAC)

`ctypes` is imported when first needed, so that this module loads everywhere. The request numbers are those of
x86, ARM, RISC-V and s390 (asm-generic/ioctl.h).
"""

import errno
import os
import struct

from tipy.errors import SetupError

TUNSETIFF, TUNSETPERSIST, TUNSETOWNER, TUNSETGROUP = 0x400454CA, 0x400454CB, 0x400454CC, 0x400454CE
TUNGETFEATURES, TUNSETOFFLOAD, TUNGETIFF, TUNSETVNETHDRSZ = 0x800454CF, 0x400454D0, 0x800454D2, 0x400454D8
IFF_TAP, IFF_MULTI_QUEUE, IFF_NO_PI, IFF_VNET_HDR, IFF_TUN_EXCL = 0x0002, 0x0100, 0x1000, 0x4000, 0x8000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 0x01, 0x02, 0x04
SIOCGIFHWADDR, SIOCSIFHWADDR = 0x8927, 0x8924
LONGEST_NAME = 15                      # bytes: IFNAMSIZ less the zero

_ARPHRD_ETHER = 1
_LENGTH = 40
_ioctl = None


def ioctl(fd, request, argument):
    """ioctl(2). `argument`: an int, passed by value, or a ctypes buffer. Raises OSError with the errno."""
    import ctypes
    global _ioctl
    if _ioctl is None:
        function = ctypes.CDLL(None, use_errno=True).ioctl
        function.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
        function.restype = ctypes.c_int
        _ioctl = function
    ctypes.set_errno(0)
    if _ioctl(fd, request, argument) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def number(value):
    """A buffer holding one native int, for requests that take a pointer to one."""
    import ctypes
    return ctypes.create_string_buffer(struct.pack("=i", value), 4)


def request(name, value=b""):
    """An `ifreq` buffer for the interface `name`."""
    import ctypes
    encoded = check_name(name)
    return ctypes.create_string_buffer(encoded.ljust(16, b"\x00") + value, _LENGTH)


_NOT_IN_NAMES = frozenset(b"/: \t\n\v\f\r\xa0\0")       # as the kernel's dev_valid_name


def check_name(name):
    """The interface name as bytes; SetupError if no interface can be called so."""
    encoded = os.fsencode(name)
    if not 0 < len(encoded) <= LONGEST_NAME or encoded in (b".", b"..") or set(encoded) & _NOT_IN_NAMES:
        raise SetupError(f"{name!r} cannot be an interface name: use 1 to {LONGEST_NAME} bytes without "
                         "blanks, slashes and colons, like tap7",
                         errno.ENAMETOOLONG if len(encoded) > LONGEST_NAME else errno.EINVAL)
    return encoded


def get_features(fd):
    """The IFF_ flags this kernel's TAP driver knows."""
    buffer = number(0)
    ioctl(fd, TUNGETFEATURES, buffer)
    return struct.unpack("=i", buffer.raw)[0]


def get_interface(fd):
    """(name, IFF_ flags) of the interface that a TAP descriptor is attached to."""
    buffer = request("none")
    ioctl(fd, TUNGETIFF, buffer)
    return buffer.raw[:16].rstrip(b"\x00").decode(), struct.unpack_from("=H", buffer.raw, 16)[0]


def get_mac(fd, name):
    """The kernel side's MAC; `fd` is a TAP's own descriptor (any namespace) or any socket (its namespace)."""
    buffer = request(name)
    ioctl(fd, SIOCGIFHWADDR, buffer)
    return buffer.raw[18:24]


def set_mac(fd, name, mac):
    """Change the kernel side's MAC. On a TAP's own descriptor this needs no privilege."""
    ioctl(fd, SIOCSIFHWADDR, request(name, struct.pack("=H", _ARPHRD_ETHER) + mac))
