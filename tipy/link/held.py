"""read and write that keep the interpreter's lock.

`os.read` and `os.writev` let other threads run meanwhile, even if the descriptor is non-blocking and they return at once.
If another thread computes in pure Python, getting the lock back takes its whole turn, 5 ms (`sys.getswitchinterval`):
a link would come down to 200 frames a second. Through ctypes.PyDLL the same calls keep the lock; they cost a copy and
a microsecond more, so they are for that case only.
"""

import ctypes
import os


class Held:
    """read(fd, size) and writev(fd, parts) as in `os`, for non-blocking descriptors and up to `largest` bytes."""

    def __init__(self, largest):
        library = ctypes.PyDLL(None, use_errno=True)
        self._read, self._write = library.read, library.write
        self._read.argtypes = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t
        self._write.argtypes = ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t
        self._read.restype = self._write.restype = ctypes.c_ssize_t
        self._buffer = ctypes.create_string_buffer(largest)

    def read(self, fd, size):
        """Like os.read."""
        return ctypes.string_at(self._buffer, _checked(self._read(fd, self._buffer, min(size, len(self._buffer)))))

    def writev(self, fd, parts):
        """Like os.writev."""
        data = b"".join(parts)
        return _checked(self._write(fd, data, len(data)))


def _checked(count):
    if count < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return count
