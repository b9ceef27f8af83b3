"""Answers that may still be believed. At most `CAP` of them; the one not used for longest goes first."""

from collections import OrderedDict

CAP = 512


class Cache:
    """(name in small letters, type) -> Answer, for as long as its TTL says. Used inside the gate."""

    def __init__(self, clock, cap=CAP):
        self._clock, self._cap = clock, cap
        self._entries = OrderedDict()      # key -> (when it is forgotten, answer)

    def __len__(self):
        return len(self._entries)

    def get(self, key):
        """The Answer, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock.now():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key, answer):
        """Keep an answer for its TTL (0: not at all)."""
        self._entries.pop(key, None)
        if answer.ttl <= 0:
            return
        if len(self._entries) >= self._cap:
            self._entries.popitem(last=False)
        self._entries[key] = self._clock.now() + answer.ttl, answer

    def clear(self):
        """Forget everything."""
        self._entries.clear()
