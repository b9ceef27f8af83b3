"""glibc's heap, told to keep what it has.

Super-frames of 64 KB come and go thousands of times a second. By default glibc gives the top of the heap back to the
kernel whenever 128 KB of it are free, and faults the pages in again a moment later: half of the time of a bulk
transfer. A larger trim threshold (64 MB) ends that. It is a setting of the whole process, and only a hint; on a C
library without `mallopt` nothing happens.
"""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 64 << 20               # bytes that may stay at the top of the heap
_MMAP_FROM = 1 << 20           # smaller blocks come from the heap
_done = False


def keep():
    """Set the thresholds, once per process."""
    global _done
    if _done:
        return
    _done = True
    import ctypes
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_TRIM_THRESHOLD, _KEEP)
    mallopt(_M_MMAP_THRESHOLD, _MMAP_FROM)
