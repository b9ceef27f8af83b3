"""Modules that a program may import, or not: what we want of them, we do once they are there.

`ssl` and `traceback` take milliseconds to load, which a program that needs neither shall not pay.
"""

import sys


class _Finder:
    """Stands first in sys.meta_path until the module `name` is imported; then `then(module)` is called."""

    def __init__(self, name, then):
        self.name, self.then = name, then

    def find_spec(self, name, path=None, target=None):
        """importlib's protocol: the spec that others find, with a loader that tells us."""
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec
        spec = find_spec(name)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            execute, then = spec.loader.exec_module, self.then

            def exec_module(module):
                execute(module)
                then(module)

            spec.loader.exec_module = exec_module
        return spec


def when_imported(name, then):
    """Call then(module) now, if the module `name` is loaded, or once it is."""
    if name in sys.modules:
        then(sys.modules[name])
    else:
        sys.meta_path.insert(0, _Finder(name, then))


def no_longer_awaited(name, then):
    """Undo when_imported(name, then), if it has not happened yet."""
    sys.meta_path[:] = [finder for finder in sys.meta_path
                        if not (isinstance(finder, _Finder) and (finder.name, finder.then) == (name, then))]
