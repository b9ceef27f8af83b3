"""Packages that bring sockets of their own, written in C: on tipy they would silently use the kernel's
network.

Importing one fails as if it were not installed, so that programs for which it is an option (uvicorn,
aiohttp) take asyncio's own loop; the others end with a sentence that says why.
"""

import sys

NAMES = ("uvloop",)


class _Finder:
    """Stands first in sys.meta_path."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """importlib's protocol: ModuleNotFoundError for what we refuse, nothing about the rest."""
        if name in NAMES:
            raise ModuleNotFoundError(f"{name} has sockets of its own, which are the kernel's: it cannot "
                                      "run on tipy (asyncio's own event loop can)", name=name)
        return None


def refuse():
    """From now on."""
    sys.meta_path.insert(0, _Finder)
