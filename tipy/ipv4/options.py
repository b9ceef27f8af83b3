"""IP options (RFC 791 3.1): what may arrive, what is echoed, what may be sent.

Few are left in use. Record route and timestamp collect the addresses and times of those who handle the
packet; source routes tell routers where to send it. A packet that arrives with a source route is dropped, as
Linux does by default: it lets an attacker choose the way of the answer (RFC 7126 4.3, 4.4). All lists go
through wire.options.walk.

    record route      7  length  pointer  address ...            pointer counts from 1, first slot at 4
    timestamp        68  length  pointer  overflow:4 flag:4  [address] time ...   first slot at 5
    source route 131/137 length  pointer  address ...
"""

import errno

from tipy.errors import PacketError, os_error
from tipy.wire.options import END, walk

RECORD_ROUTE = 7
TIMESTAMP = 68
LOOSE_SOURCE_ROUTE = 131
STRICT_SOURCE_ROUTE = 137
MAX_LENGTH = 40

_NOT_UT = 0x80000000           # marks a time that does not count from midnight UT
_COPIED = 0x80                 # kinds with this bit go into every fragment
_TIME_ONLY, _TIME_AND_ADDRESS, _PRESPECIFIED = 0, 1, 3


class ParameterProblem(PacketError):
    """An option is wrong at `pointer`, a byte offset from the start of the IP header."""

    def __init__(self, pointer):
        super().__init__("options")
        self.pointer = pointer


def check(frame, start, end):
    """Look at the options frame[start:end] of a packet that arrived for us.

    ParameterProblem if they are malformed, PacketError("source_route") for a source route. Unknown
    options are ignored (RFC 1122 3.2.1.8).
    """
    broken = []
    seen = set()
    for kind, value, stop in walk(frame, start, end, broken):
        here = value - 2
        if kind in (LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE):
            raise PacketError("source_route")
        if kind in (RECORD_ROUTE, TIMESTAMP):
            wrong = _slots_wrong(frame, kind, here, stop) if kind not in seen else 0
            seen.add(kind)
            if wrong is not None:
                raise ParameterProblem(20 + here - start + wrong)
    if broken:
        raise ParameterProblem(20 + broken[0] - start)


def _slots_wrong(frame, kind, here, stop):
    """Index within the option of the byte that is wrong, or None."""
    length = stop - here
    least = 4 if kind == RECORD_ROUTE else 5
    if length < least - 1:
        return 1
    pointer = frame[here + 2]
    if pointer < least:
        return 2
    if kind == TIMESTAMP:
        return _timestamp_wrong(frame, here, length, pointer)
    return 2 if pointer <= length and pointer + 3 > length else None


def _timestamp_wrong(frame, here, length, pointer):
    if length < 4:
        return 1
    flag, overflow = frame[here + 3] & 15, frame[here + 3] >> 4
    if flag not in (_TIME_ONLY, _TIME_AND_ADDRESS, _PRESPECIFIED):
        return 3
    if pointer > length:
        return 3 if overflow == 15 else None         # full, and cannot even count that any more
    return 2 if pointer + (3 if flag == _TIME_ONLY else 7) > length else None


def echo(options, own, milliseconds):
    """The options of an echo reply to a packet with these (checked) options: record route and timestamp with
    our entry added (RFC 1122 3.2.2.6), nothing else. `own`: our address, `milliseconds`: since midnight
    UT."""
    result = bytearray()
    for kind, value, stop in walk(options, 0, len(options)):
        if kind in (RECORD_ROUTE, TIMESTAMP):
            option = bytearray(options[value - 2:stop])
            if kind == RECORD_ROUTE:
                _record(option, own)
            else:
                _stamp(option, own, milliseconds)
            result += option
    return bytes(result) + bytes(-len(result) % 4)


def _record(option, own):
    slot = option[2] - 1
    if slot + 4 <= len(option):
        option[slot:slot + 4] = own
        option[2] += 4


def _stamp(option, own, milliseconds):
    slot, flag = option[2] - 1, option[3] & 15
    size = 4 if flag == _TIME_ONLY else 8
    if slot + size > len(option):
        if option[3] < 0xF0:
            option[3] += 0x10                        # one more that found no room
        return
    time = (milliseconds & 0x7FFFFFFF | _NOT_UT).to_bytes(4, "big")
    if flag == _PRESPECIFIED and option[slot:slot + 4] != own:
        return
    option[slot:slot + size] = time if flag == _TIME_ONLY else own + time
    option[2] += size


def prepare(data):
    """Options a user wants to send (IP_OPTIONS), padded to whole words; OSError(EINVAL) if malformed.

    A source route is given as the list of hops, pointer 4, the destination not included (as Linux wants it).
    """
    data = bytes(data)
    if len(data) > MAX_LENGTH:
        raise os_error(errno.EINVAL, "IP options are at most 40 bytes")
    broken = []
    routes = 0
    for kind, value, stop in walk(data, 0, len(data), broken):
        here = value - 2
        if kind in (LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE):
            routes += 1
            if routes > 1 or stop - here < 7 or (stop - here - 3) % 4 or data[here + 2] != 4:
                raise os_error(errno.EINVAL)
        elif kind in (RECORD_ROUTE, TIMESTAMP) and _slots_wrong(data, kind, here, stop) is not None:
            raise os_error(errno.EINVAL)
    if broken:
        raise os_error(errno.EINVAL)
    return data + bytes(-len(data) % 4)


def source_route(options, dst):
    """(first hop, options as they go on the wire) if prepared options hold a source route, else None.

    The packet is addressed to the first hop; the others move up, and `dst` becomes the last (RFC 791 3.1).
    """
    for kind, value, stop in walk(options, 0, len(options)):
        if kind in (LOOSE_SOURCE_ROUTE, STRICT_SOURCE_ROUTE):
            first = options[value + 1:value + 5]
            return first, options[:value + 1] + options[value + 5:stop] + dst + options[stop:]
    return None


def for_later_fragments(options):
    """The options that go into fragments other than the first: those with the copied bit."""
    kept = b"".join(bytes(options[value - 2:stop]) for kind, value, stop in walk(options, 0, len(options))
                    if kind & _COPIED)
    return kept + bytes((END,)) * (-len(kept) % 4)
