"""The program's side of a script: calls by name, on the standard library's sockets or on a stack's.

Each call returns a short text, the same for the same outcome on either side: a number, "ok", an errno name.
"""

import errno
import struct
import zlib

from tipy.testing.peer import pattern

# the kernel's socket is closed then, what is in TIME-WAIT is no socket any more
_TIME_WAIT, _CLOSED = 6, 7
LINGER = "LINGER"              # an option whose value is a struct; ("set", LINGER, seconds)
_INFO = struct.Struct("=8B24I")
_INFO_NAMES = ("state", "ca_state", "retransmits", "probes", "backoff", "options", "wscale", "flags",
               "rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "fackets",
               "last_data_sent", "last_ack_sent", "last_data_recv", "last_ack_recv", "pmtu", "rcv_ssthresh",
               "rtt",
               "rttvar", "snd_ssthresh", "snd_cwnd", "advmss", "reordering", "rcv_rtt", "rcv_space",
               "total_retrans")


class Calls:
    """The sockets of one run. `module`: socket, or what looks like it; `local`, `remote`: (ip, port)."""

    def __init__(self, module, local, remote, cc):
        self.module, self.local, self.remote, self.cc = module, local, remote, cc
        self.sockets = {}
        self.written = {}              # name -> bytes accepted by send so far
        self.taken = {}                # name -> bytes read so far

    def do(self, name, on, args, rest):
        """Make the call; its outcome as text."""
        if name not in ("socket", "accept") and on not in self.sockets:
            return "no socket"
        try:
            result = getattr(self, name)(on, *args, **rest)
        except OSError as error:
            return errno.errorcode.get(error.errno, repr(error))
        return "ok" if result is None else str(result)

    def close_all(self):
        for sock in self.sockets.values():
            sock.close()

    # -- one method per call ----------------------------------------------------------------------------

    def socket(self, on):
        sock = self.module.socket(self.module.AF_INET, self.module.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(self.module.SOL_SOCKET, self.module.SO_REUSEADDR, 1)
        sock.setsockopt(self.module.IPPROTO_TCP, self.module.TCP_CONGESTION, self.cc.encode())
        self.sockets[on] = sock

    def set(self, on, option, value):
        module, sock = self.module, self.sockets[on]
        if option == LINGER:
            sock.setsockopt(module.SOL_SOCKET, module.SO_LINGER, struct.pack("ii", 1, value))
        elif option.startswith("SO_"):
            sock.setsockopt(module.SOL_SOCKET, getattr(module, option), value)
        elif option.startswith("IP_"):
            sock.setsockopt(module.IPPROTO_IP, getattr(module, option), value)
        else:
            sock.setsockopt(module.IPPROTO_TCP, getattr(module, option), value)

    def get(self, on, option):
        level = self.module.SOL_SOCKET if option.startswith("SO_") else self.module.IPPROTO_TCP
        return self.sockets[on].getsockopt(level, getattr(self.module, option))

    def bind(self, on):
        self.sockets[on].bind(self.local)

    def listen(self, on, backlog):
        self.sockets[on].listen(backlog)

    def connect(self, on):
        self.sockets[on].connect(self.remote)

    def accept(self, on, listener):
        sock, _ = self.sockets[listener].accept()
        sock.setblocking(False)
        self.sockets[on] = sock

    def send(self, on, length, more=False, oob=False):
        start = self.written.get(on, 0)
        flags = self.module.MSG_MORE * more | self.module.MSG_OOB * oob
        count = self.sockets[on].send(pattern(start + 1, length), flags)
        self.written[on] = start + count
        return count

    def recv(self, on, length, oob=False, peek=False):
        flags = self.module.MSG_OOB * oob | self.module.MSG_PEEK * peek
        data = self.sockets[on].recv(length, flags)
        start = self.taken.get(on, 0)
        if not peek and not oob:
            self.taken[on] = start + len(data)
        return f"{len(data)}" if data == pattern(start + 1,
                                                 len(data)) else f"{len(data)} crc {zlib.crc32(data):x}"

    def shutdown(self, on, how):
        self.sockets[on].shutdown(how)

    def close(self, on):
        self.sockets[on].close()

    def error(self, on):
        code = self.sockets[on].getsockopt(self.module.SOL_SOCKET, self.module.SO_ERROR)
        return errno.errorcode.get(code, code)

    def info(self, on, *names):
        raw = self.sockets[on].getsockopt(self.module.IPPROTO_TCP, self.module.TCP_INFO, _INFO.size)
        values = dict(zip(_INFO_NAMES, _INFO.unpack(raw)))
        if values["state"] == _TIME_WAIT:
            values["state"] = _CLOSED
        return " ".join(f"{name} {values[name] if values[name] < 0x7FFFFFFF else 'inf'}" for name in names)
