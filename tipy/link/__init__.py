"""Links: how frames get in and out. `MemoryLink` is imported here; the others need an operating system and
are imported when used (tap, packet)."""

from tipy.link.base import Link, Offload
from tipy.link.memory import MemoryLink, Wire

__all__ = ["Link", "MemoryLink", "Offload", "Wire"]
