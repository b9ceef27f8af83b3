"""tipy: a TCP/IP stack in pure Python.

    from tipy import tipy, socket
    stack = tipy(ifname="tap7")
    stack.start()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)

`tipy` (also `Stack`, `Tipy`) is the stack, `socket` a drop-in for Python's own module, `Settings` what can be set.
"""

import sys

__version__ = "2.0.0"

if sys.version_info < (3, 11):
    _sentence = ("tipy %s needs Python 3.11 or newer; this is Python %d.%d"
                 % (__version__, sys.version_info[0], sys.version_info[1]))
    if sys.argv[:1] == ["-m"]:             # python3 -m tipy: the sentence without a traceback
        raise SystemExit(_sentence)
    raise ImportError(_sentence)

_LAZY = {
    "tipy": ("tipy.stack", "Stack"),
    "Tipy": ("tipy.stack", "Stack"),
    "Stack": ("tipy.stack", "Stack"),
    "Settings": ("tipy.settings", "Settings"),
    "socket": ("tipy.socket", None),
    "link": ("tipy.link", None),
    "clock": ("tipy.clock", None),
    "testing": ("tipy.testing", None),
    "install": ("tipy.patch", "install"),
    "patched": ("tipy.patch", "patched"),
}
__all__ = ["Settings", "Stack", "Tipy", "__version__", "install", "patched", "socket", "tipy"]


def __getattr__(name):
    """Public names are imported when first used: `import tipy` is cheap and works everywhere."""
    import importlib
    try:
        module_name, attribute = _LAZY[name]
    except KeyError:
        raise AttributeError("module 'tipy' has no attribute %r" % name) from None
    module = importlib.import_module(module_name)
    value = module if attribute is None else getattr(module, attribute)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(_LAZY))
