"""Logs: what a stack does, in readable lines on stderr. Gone under `python -O`, never formatted when off.

A module asks for its channel once and tests it before anything is formatted:

    _log = channel("arp")
    if __debug__ and _log.on:
        _log("who has %s", format_ip(ip))

Under -O the compiler drops the whole statement. The standard library's logging does the writing (loggers
"tipy.arp" ...), and is imported when the first line is written. By default only the channel "stack" speaks.
"""

DEFAULT = ("stack",)

_channels = {}
_chosen = frozenset(DEFAULT)
_prepared = False


class Channel:
    """One source of log lines. `on`: test it before calling."""

    __slots__ = ("name", "on")

    def __init__(self, name):
        self.name = name
        self.on = _is_chosen(name)

    def __call__(self, text, *args):
        """Write one line; `text` and `args` as for logging."""
        _logger(self.name).info(text, *args)

    def __repr__(self):
        return f"<log channel {self.name} {'on' if self.on else 'off'}>"


def channel(name):
    """The channel called `name`; "tcp.segments" belongs to "tcp" but must be chosen by its whole name."""
    found = _channels.get(name)
    if found is None:
        found = _channels[name] = Channel(name)
    return found


def choose(names):
    """Let exactly these channels speak: names, "all", or nothing. Unknown names wait for their module."""
    global _chosen
    if isinstance(names, str):
        names = [name for name in names.replace(",", " ").split() if name]
    _chosen = frozenset(names)
    for each in _channels.values():
        each.on = _is_chosen(each.name)


def channels():
    """The names of all channels known so far."""
    return sorted(_channels)


def _is_chosen(name):
    return "all" in _chosen or name in _chosen


def _logger(name):
    global _prepared
    import logging
    if not _prepared:
        _prepared = True
        root = logging.getLogger("tipy")
        if not root.handlers and not logging.getLogger().handlers:
            handler = logging.StreamHandler()              # stderr
            handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
            root.addHandler(handler)
            root.propagate = False
        root.setLevel(logging.INFO)
    return logging.getLogger("tipy." + name)
