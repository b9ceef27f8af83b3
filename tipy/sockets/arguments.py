"""What programs pass to socket calls, checked as CPython's `_socket` checks it, with its words.

Buffers become flat memoryviews, addresses (bytes, int), timeouts float seconds or None.
"""

import math
import operator
import sys

_NOTHING = 0                               # `is` takes a third of the time of `==`, and True is not meant
_LONGEST_TIMEOUT = 2 ** 63 / 1e9           # _PyTime_t counts nanoseconds in 64 bits
_LONGEST_POLL = (2 ** 31 - 1) / 1e3        # poll() takes an int of milliseconds


def c_int(value):
    """An int that fits a C int."""
    if value is _NOTHING:                      # nearly always: no flags
        return value
    value = operator.index(value)
    if not -2 ** 31 <= value < 2 ** 31:
        raise OverflowError("signed integer is greater than maximum" if value > 0
                            else "signed integer is less than minimum")
    return value


def readable(data):
    """A flat view of the bytes-like `data`."""
    if type(data) is bytes:
        return memoryview(data)
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not '{type(data).__name__}'") from None
    return _flat(view)


def writable(buffer, caller):
    """A flat, writable view of `buffer`."""
    try:
        view = memoryview(buffer)
    except TypeError:
        view = None
    if view is None or view.readonly:
        raise TypeError(f"{caller}() argument 1 must be read-write bytes-like object, "
                        f"not {type(buffer).__name__}")
    return _flat(view)


def _flat(view):
    if view.format == "B" and view.ndim == 1 and view.c_contiguous:
        return view
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return view.cast("B") if view.nbytes else memoryview(b"")      # which may be released, see lend()


def room(buffer, size, caller, complaint="buffer too small for requested bytes"):
    """The first `size` bytes (0 = all) of the writable `buffer`."""
    view = writable(buffer, caller)
    size = operator.index(size)
    if size < 0:
        raise ValueError(f"negative buffersize in {caller}")
    if size > len(view):
        raise ValueError(complaint)
    return view[:size] if size else view


def views(buffers, caller, position, convert):
    """A list of views made by `convert` of an iterable of buffers."""
    try:
        buffers = list(buffers)
    except TypeError:
        raise TypeError(f"{caller}() argument {position} must be an iterable") from None
    return [convert(buffer) for buffer in buffers]


def timeout(value):
    """What settimeout accepts, as float seconds or None."""
    if value is None:
        return None
    if not isinstance(value, float):
        value = _seconds(value)
    if math.isnan(value):
        raise ValueError("Invalid value NaN (not a number)")
    if abs(value) >= _LONGEST_TIMEOUT or value > _LONGEST_POLL:
        raise OverflowError("timestamp out of range for platform time_t")
    if value < 0:
        raise ValueError("Timeout value out of range")
    return math.ceil(value * 1e9) / 1e9


def _seconds(value):
    """A timeout that is no float, as this version of CPython takes it: 3.15 takes every real number."""
    if sys.version_info >= (3, 15) and not hasattr(type(value), "__index__"):
        return math.ldexp(value, 0)        # float(value), but never of text
    try:
        return float(operator.index(value))
    except TypeError as error:
        raise TypeError(f"{error} or float" if sys.version_info >= (3, 14) else str(error)) from None


def address(value, caller, names):
    """(ip, port) of an AF_INET address as programs write it. names: knows them, see names.Names."""
    if not isinstance(value, tuple):
        raise TypeError(f"{caller}(): AF_INET address must be tuple, not {type(value).__name__}")
    if len(value) != 2:
        raise TypeError("AF_INET address must be a pair (host, port)")
    host, port = value
    ip = names.numeric(host) if type(host) is str else None        # nearly always, and remembered
    name = host if ip is not None else hostname(host)
    port = operator.index(port)
    if ip is None:
        ip = names.resolve(name)
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{caller}(): port must be 0-65535.")
    return ip, port


def hostname(host, strict=False):
    """A host as str: bytes as they are, text as IDNA encodes it (`strict`: even if it is ASCII)."""
    if isinstance(host, str):
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        elif strict and max(map(len, host.split("."))) > 63:
            host.encode("idna")            # raises with the codec's own words
    elif isinstance(host, (bytes, bytearray)):
        host = host.decode("ascii", "surrogateescape")
    else:
        raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")
    if "\0" in host:
        raise TypeError("host name must not contain null character")
    return host
