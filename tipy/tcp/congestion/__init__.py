"""Congestion controls, by name: reno, cubic (the default), none, and those a program registers."""

import errno

from tipy.tcp.congestion.base import INFINITE, INITIAL_WINDOW, CongestionControl
from tipy.tcp.congestion.cubic import Cubic
from tipy.tcp.congestion.fixed import Fixed
from tipy.tcp.congestion.reno import Reno

_by_name = {cls.name: cls for cls in (Cubic, Reno, Fixed)}


def register(cls):
    """Make a CongestionControl subclass known under its `name`. Usable as a class decorator."""
    if not (isinstance(cls, type) and issubclass(cls, CongestionControl) and cls.name):
        raise TypeError("a congestion control is a subclass of CongestionControl with a name")
    _by_name[cls.name] = cls
    return cls


def find(name):
    """The class called `name` (or the class itself). FileNotFoundError (ENOENT) as Linux if there is none."""
    if isinstance(name, type):
        return name
    try:
        return _by_name[name]
    except KeyError:
        raise OSError(errno.ENOENT, f"no congestion control {name!r}; there are {', '.join(_by_name)}") from None


def names():
    """The names that TCP_CONGESTION and settings.congestion_control understand."""
    return tuple(_by_name)


__all__ = ["INFINITE", "INITIAL_WINDOW", "CongestionControl", "find", "names", "register"]
