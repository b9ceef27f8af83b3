"""IGMP: telling the routers which multicast groups have members here (RFC 3376, RFC 2236, RFC 1112).

Version 3 is spoken, until a router of an older version is heard on the interface; then that one, until none
has been heard for OLDER_QUERIER s (RFC 3376 7.2.1).

* A change is told at once, and again after a random time, for a report may get lost (version 2 leaves only
  once, version 1 without a word): in version 3 a new filter mode with its sources, or the sources that are
  allowed or blocked from now on; in the older ones, which know no sources, the first join and the last leave.
* A query is answered after a random part of the time it allows: in version 3 all groups in one report, in the
  older ones each group by itself, and not if another member answers first.

224.0.0.1 has everybody as a member and is never reported. Only groups that are joined are kept, with a timer
each: what arrives cannot make anything grow.
"""

from tipy.address import ANY, format_ip
from tipy.errors import PacketError
from tipy.ipv4.addresses import ALL_HOSTS
from tipy.ipv4.membership import NOBODY
from tipy.log import channel
from tipy.wire import igmp as wire
from tipy.wire.ipv4 import PROTOCOL_IGMP

ALL_ROUTERS = b"\xe0\x00\x00\x02"
V3_ROUTERS = b"\xe0\x00\x00\x16"
ROBUSTNESS = 2                         # how often a change is told
UNSOLICITED = {1: 10.0, 2: 10.0, 3: 1.0}   # s in which it is told again
OLDER_QUERIER = 2 * 125 + 10           # s that an older router counts as present
MAX_SOURCES = 64                       # of a query that are answered one by one
_OPTIONS = b"\x94\x04\x00\x00"         # router alert (RFC 2113)
_TOS = 0xC0                            # internetwork control, as Linux
_HEADERS = 24 + 8                      # bytes of an IP packet with that option, and of a report
_RECORD = 8                            # bytes of a record without sources

_log = channel("igmp")


class Igmp:
    """The IGMP of a stack. Registers itself with `ipv4`, for its protocol and to hear of joins and leaves."""

    def __init__(self, ipv4, timers, rng, counters):
        self._ipv4, self._timers, self._rng, self._counters = ipv4, timers, rng, counters
        self._ports = {}                       # interface -> _Port
        ipv4.register(PROTOCOL_IGMP, self)
        ipv4.membership = self._changed

    def _port(self, interface):
        port = self._ports.get(interface)
        if port is None:
            port = self._ports[interface] = _Port(interface, self._ipv4, self._timers, self._rng,
                                                  self._counters)
        return port

    def _changed(self, interface, group, before, after):
        """What the sockets together want to hear of a group on an interface, a Filter, has changed."""
        if group != ALL_HOSTS:
            self._port(interface).change(group, before, after)

    def version(self, interface):
        """The version spoken there now."""
        return self._port(interface).version

    def input(self, packet):
        """An IGMP packet arrived; packet.start is its header."""
        if packet.interface.loopback:
            return                             # a copy of our own
        try:
            message = wire.unpack(packet.frame, packet.start, packet.end)
        except PacketError as error:
            self._counters["igmp.drop_" + error.reason] += 1
            return
        self._counters["igmp.in"] += 1
        port = self._port(packet.interface)
        if isinstance(message, wire.Query):
            if not packet.to_group:
                self._counters["igmp.drop_unicast"] += 1
                return
            if __debug__ and _log.on:
                _log("query version %d for %s from %s", message.version, format_ip(message.group),
                     format_ip(packet.src))
            port.answer(message)
        elif message.type in (wire.REPORT_V1, wire.REPORT_V2):
            port.suppress(message.group)

    def icmp_error(self, error):
        """What became of a report is nobody's business."""


class _Port:
    """One interface: the version spoken there, and what is still to be said."""

    def __init__(self, interface, ipv4, timers, rng, counters):
        self._interface, self._ipv4, self._rng, self._counters = interface, ipv4, rng, counters
        self._timers = timers
        self._older = {version: timers.timer(lambda: None) for version in (1, 2)}
        self._changes = {}                     # group -> _Change
        self._again = timers.timer(self._tell_changes)
        self._all = timers.timer(self._answer_all)
        self._answers = {}                     # group -> (timer, sources asked about; () = for the group)

    @property
    def version(self):
        """1 or 2 while such a router is present, else 3."""
        return next((version for version in (1, 2) if self._older[version].armed), 3)

    # -- changes --------------------------------------------------------------------------------------

    def change(self, group, before, after):
        """The Filter of a group has changed: say so now, and again later (RFC 3376 5.1)."""
        if after == NOBODY:
            self.suppress(group)
        change = self._changes.get(group) or _Change()
        if self.version < 3:
            if NOBODY not in (before, after):
                return                         # these versions know no sources
            change.mode = ROBUSTNESS
        elif before.exclude != after.exclude:
            change.mode = ROBUSTNESS
            change.sources.clear()
        else:
            change.sources.update(dict.fromkeys(before.sources ^ after.sources, ROBUSTNESS))
        self._changes[group] = change
        self._tell([group])
        self._plan()

    def _tell_changes(self):
        self._tell(list(self._changes))
        self._plan()

    def _plan(self):
        if self._changes and not self._again.armed:
            self._again.restart(self._rng.uniform(0, UNSOLICITED[self.version]))

    def _tell(self, groups):
        """Tell of the changes of these groups once."""
        version, wanted, records = self.version, self._wanted(), []
        for group in groups:
            change, now = self._changes[group], wanted.get(group, NOBODY)
            if version == 3:
                records += change.records(group, now)
            elif now != NOBODY:
                self._send(group, wire.Report(wire.REPORT_V1 if version == 1 else wire.REPORT_V2, group))
            elif version == 2:
                self._send(ALL_ROUTERS, wire.Report(wire.LEAVE, group))
            change.told()
            if not change.left or version < 3 and now == NOBODY:
                del self._changes[group]
        self._send_records(records)

    # -- queries --------------------------------------------------------------------------------------

    def answer(self, query):
        """A router asks: answer in a while, unless that is planned for earlier anyway."""
        if query.version < 3:
            self._hear_older(query.version)
        delay = self._rng.uniform(0, query.max_response)
        if query.group == ANY:
            if self.version == 3:
                self._sooner(self._all, delay)
            else:
                for group in self._wanted():
                    self._plan_answer(group, self._rng.uniform(0, query.max_response), ())
        elif query.group in self._wanted():
            self._plan_answer(query.group, delay, query.sources[:MAX_SOURCES + 1])

    def _hear_older(self, version):
        before = self.version
        self._older[version].restart(OLDER_QUERIER)
        if self.version != before:             # RFC 3376 7.2.1: nothing that is pending holds any more
            for group in list(self._answers):
                self.suppress(group)
            self._all.cancel()
            self._again.cancel()
            self._changes.clear()

    def _wanted(self):
        return self._ipv4.addresses.groups_on(self._interface)

    @staticmethod
    def _sooner(timer, delay):
        """Arm a timer; if it is armed, it can only become earlier."""
        if not timer.armed or timer.deadline > timer._timers.clock.now() + delay:
            timer.restart(delay)

    def _plan_answer(self, group, delay, sources):
        pending = self._answers.get(group)
        if pending is None:
            timer = self._timers.timer(lambda: self._answer(group))
        else:
            timer, before = pending
            sources = tuple(dict.fromkeys(before + sources)) if before and sources else ()
        self._answers[group] = timer, sources
        self._sooner(timer, delay)

    def suppress(self, group):
        """The answer about a group is not needed any more: another member gave it, or we have left."""
        pending = self._answers.pop(group, None)
        if pending is not None:
            pending[0].end()

    def _answer(self, group):
        _, asked = self._answers.pop(group)
        version, wanted = self.version, self._wanted()[group]
        if version < 3:
            self._send(group, wire.Report(wire.REPORT_V1 if version == 1 else wire.REPORT_V2, group))
        elif asked and len(asked) <= MAX_SOURCES:
            heard = tuple(source for source in asked if wanted.admits(source))
            if heard:                          # RFC 3376 5.2: else there is nothing to say
                self._send_records([wire.Record(wire.IS_INCLUDE, group, heard)])
        else:
            self._send_records([_current(group, wanted)])

    def _answer_all(self):
        self._send_records([_current(group, wanted) for group, wanted in self._wanted().items()])

    # -- sending --------------------------------------------------------------------------------------

    def _send_records(self, records):
        """In as few reports as hold them (RFC 3376 4.2.16)."""
        room = max(self._interface.link.mtu - _HEADERS, _RECORD + 4)
        packed, used = [], 0
        for record in records:
            for part in _fitting(record, (room - _RECORD) // 4):
                size = _RECORD + 4 * len(part.sources)
                if packed and used + size > room:
                    self._send(V3_ROUTERS, wire.Report(wire.REPORT_V3, records=tuple(packed)))
                    packed, used = [], 0
                packed.append(part)
                used += size
        if packed:
            self._send(V3_ROUTERS, wire.Report(wire.REPORT_V3, records=tuple(packed)))

    def _send(self, dst, report):
        try:
            path = self._ipv4.path(dst, None, self._interface)
            path.loops = False
            self._ipv4.send(path, PROTOCOL_IGMP, [report.pack()], ttl=1, tos=_TOS, df=True, options=_OPTIONS)
        except OSError:                        # no address yet: the next query finds us
            self._counters["igmp.drop_no_address"] += 1
            return
        self._counters["igmp.out"] += 1


class _Change:
    """What is still to be told of one group. mode: how often its filter mode; sources: {source: how often}."""

    __slots__ = ("mode", "sources")

    def __init__(self):
        self.mode = 0
        self.sources = {}

    @property
    def left(self):
        """Is there anything?"""
        return self.mode > 0 or bool(self.sources)

    def records(self, group, now):
        """The records that tell it (RFC 3376 5.1); now: what is wanted now, a Filter."""
        if self.mode:
            return [wire.Record(wire.TO_EXCLUDE if now.exclude else wire.TO_INCLUDE, group, _sorted(now.sources))]
        allowed = {source for source in self.sources if now.admits(source)}
        parts = (wire.ALLOW, allowed), (wire.BLOCK, self.sources.keys() - allowed)
        return [wire.Record(kind, group, _sorted(sources)) for kind, sources in parts if sources]

    def told(self):
        """It was told once more."""
        if self.mode:
            self.mode -= 1
        else:
            self.sources = {source: times - 1 for source, times in self.sources.items() if times > 1}


def _current(group, wanted):
    return wire.Record(wire.IS_EXCLUDE if wanted.exclude else wire.IS_INCLUDE, group, _sorted(wanted.sources))


def _sorted(sources):
    return tuple(sorted(sources))


def _fitting(record, most):
    """The record in parts of at most `most` sources; of a list of excluded ones only the first part counts,
    for two would contradict each other (RFC 3376 4.2.16)."""
    sources = record.sources
    if len(sources) <= most:
        return [record]
    if record.type in (wire.IS_EXCLUDE, wire.TO_EXCLUDE):
        return [record._replace(sources=sources[:most])]
    return [record._replace(sources=sources[at:at + most]) for at in range(0, len(sources), most)]
