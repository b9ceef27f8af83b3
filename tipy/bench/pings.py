"""A ping client on a raw socket, for the measurements."""

import struct
import time

from tipy.checksum import checksum
from tipy.wire.ipv4 import PROTOCOL_ICMP

_ECHO, _REPLY = 8, 0
_SIZE = 56


def window(module, address, seconds, outstanding=32):
    """Echo replies per second with `outstanding` requests of 56 bytes under way. Lost ones are replaced."""
    body = struct.pack("!HH", 7, 1) + bytes(_SIZE)
    request = struct.pack("!BBH", _ECHO, 0, checksum(struct.pack("!BBH", _ECHO, 0, 0) + body)) + body
    with module.socket(module.AF_INET, module.SOCK_RAW, PROTOCOL_ICMP) as sock:
        sock.connect((address, 0))
        sock.settimeout(0.2)
        start = time.perf_counter()
        end, count, missing = start + seconds, 0, outstanding
        while time.perf_counter() < end:
            for _ in range(missing):
                sock.send(request)
            try:
                missing = int(sock.recv(2048)[20] == _REPLY)
            except TimeoutError:
                missing = outstanding
                continue
            count += missing
        return count / (time.perf_counter() - start)
