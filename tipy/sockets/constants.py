"""Numbers of the socket interface, as this platform's Python has them.

Programs pass the stdlib's constants, so those count. Where this Python has no name for a number that
Linux knows (a program then writes the number itself), Linux's is used on Linux; elsewhere None, which no
program can pass, or 0 for a flag, which no call has set.
"""

import sys

import _socket

_LINUX = sys.platform.startswith("linux")


def number(name, linux):
    """The value of option `name`, or None if programs on this platform cannot mean it."""
    return getattr(_socket, name, linux if _LINUX else None)


def _flag(name, linux):
    return getattr(_socket, name, linux if _LINUX else 0)


AF_INET = _socket.AF_INET
AF_INET6 = getattr(_socket, "AF_INET6", None)
AF_UNIX = getattr(_socket, "AF_UNIX", None)
SOCK_STREAM = _socket.SOCK_STREAM
SOCK_DGRAM = _socket.SOCK_DGRAM
SOCK_RAW = getattr(_socket, "SOCK_RAW", 3)
SOCK_NONBLOCK = getattr(_socket, "SOCK_NONBLOCK", 0)
SOCK_CLOEXEC = getattr(_socket, "SOCK_CLOEXEC", 0)
SOL_SOCKET = _socket.SOL_SOCKET
IPPROTO_IP = 0
IPPROTO_ICMP = 1
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_RAW = 255
SHUT_RD, SHUT_WR, SHUT_RDWR = 0, 1, 2

MSG_OOB = _flag("MSG_OOB", 1)
MSG_PEEK = _flag("MSG_PEEK", 2)
MSG_CTRUNC = _flag("MSG_CTRUNC", 8)
MSG_TRUNC = _flag("MSG_TRUNC", 0x20)
MSG_DONTWAIT = _flag("MSG_DONTWAIT", 0x40)
MSG_WAITALL = _flag("MSG_WAITALL", 0x100)
MSG_EOR = _flag("MSG_EOR", 0x80)
MSG_ERRQUEUE = _flag("MSG_ERRQUEUE", 0x2000)
MSG_MORE = _flag("MSG_MORE", 0x8000)

SO_TIMESTAMP = number("SO_TIMESTAMP", 29)
SO_TIMESTAMPNS = number("SO_TIMESTAMPNS", 35)
IP_TOS = number("IP_TOS", 1)
IP_TTL = number("IP_TTL", 2)
IP_RECVOPTS = number("IP_RECVOPTS", 6)
IP_RETOPTS = number("IP_RETOPTS", 7)
IP_PKTINFO = number("IP_PKTINFO", 8)
IP_RECVERR = number("IP_RECVERR", 11)
IP_RECVORIGDSTADDR = number("IP_RECVORIGDSTADDR", 20)
IP_RECVTTL = number("IP_RECVTTL", 12)
IP_RECVTOS = number("IP_RECVTOS", 13)
