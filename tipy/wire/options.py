"""The one bounded walker over lists of options: a kind byte, a length byte that counts both, a value.

    +--------+--------+----------------+        IP options (RFC 791 3.1) and TCP options (RFC 9293 3.2)
    |  kind  | length |  value ...     |        share the shape: kind 0 ends the list, kind 1 is a single
    +--------+--------+----------------+        byte of padding, every other kind has a length.

Attackers end lists in the middle of an option, or give a length of 0 to make a parser stand still. Here a
kind in the very last byte, a length below 2 and a value that runs over the end all stop the walk; each step
moves at least one byte forward, so it takes at most `end - start` steps.
"""

END = 0
NOP = 1


def walk(frame, start: int, end: int, broken: list | None = None):
    """Yield (kind, value_start, value_end) for each whole option of frame[start:end], NOPs left out.

    The offset of an option that made the walk stop early is appended to `broken`, if given.
    """
    end = min(end, len(frame))
    position = max(start, 0)
    while position < end:
        kind = frame[position]
        if kind == NOP:
            position += 1
            continue
        if kind == END:
            return
        following = position + frame[position + 1] if position + 1 < end else end + 1
        if not position + 2 <= following <= end:
            if broken is not None:
                broken.append(position)
            return
        yield kind, position + 2, following
        position = following
