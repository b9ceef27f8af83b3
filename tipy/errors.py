"""Whose fault is it?

* The peer's: `PacketError`. Raised by codecs and layers on what came off the wire; caught where the frame
  was handed in, counted as `<layer>.drop_<reason>`, and never seen by the user.
* The caller's: an `OSError` with the errno the kernel would give, made by `os_error`.
* The environment's, before anything runs: `SetupError` and `AddressConflict`, whose text is one sentence that
  says what to do.
* Ours: `assert`, which `-O` removes.

Edge: needs `os` for strerror only.
"""

import errno as _errno


class PacketError(Exception):
    """Something malformed arrived. `reason` is a short slug, the suffix of the drop counter."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def os_error(errno: int, text: str | None = None) -> OSError:
    """OSError of the subclass that belongs to `errno` (ConnectionRefusedError ...); text: strerror's."""
    if text is None:
        from os import strerror
        text = strerror(errno)
    return OSError(errno, text)


class SetupError(OSError):
    """Something the stack needs is missing or wrong. `str()` is one sentence that says what to type."""

    def __init__(self, text: str, errno: int = _errno.EINVAL):
        super().__init__(errno, text)

    def __str__(self) -> str:
        return self.strerror

    def __reduce__(self):
        return type(self), (self.strerror, self.errno)


class AddressConflict(OSError):
    """Another host uses our address (RFC 5227). `.address` and `.mac` (the offender's) are text."""

    def __init__(self, address: bytes | str, mac: bytes | str):
        from tipy.address import format_ip, format_mac
        self.address = address if isinstance(address, str) else format_ip(address)
        self.mac = mac if isinstance(mac, str) else format_mac(mac)
        super().__init__(_errno.EADDRINUSE, f"address {self.address} is already used by the host with MAC "
                         f"{self.mac}: choose a free one with tipy(address=...) or IP_ADDRESS in config.py")

    def __str__(self) -> str:
        return self.strerror

    def __reduce__(self):
        return type(self), (self.address, self.mac)
