"""Packages that cannot work here: those that bring sockets of their own, written in C, would silently use the
kernel's network; eventlet puts locks of its own into objects that exist, and the stack's thread cannot take them.

Importing one fails as if it were not installed, so that programs for which it is an option (uvicorn,
aiohttp) take asyncio's own loop; the others end with a sentence that says why.
"""

import sys

REASONS = {
    "uvloop": "has sockets of its own, which are the kernel's: it cannot run on tipy (asyncio's own event loop can)",
    "eventlet": "replaces the locks of threads that run already: it cannot run on tipy (gevent can)",
}


class _Finder:
    """Stands first in sys.meta_path."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """importlib's protocol: ModuleNotFoundError for what we refuse, nothing about the rest."""
        if name in REASONS:
            raise ModuleNotFoundError(f"{name} {REASONS[name]}", name=name)
        return None


def refuse():
    """From now on."""
    sys.meta_path.insert(0, _Finder)
