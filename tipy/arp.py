"""ARP: which MAC has this neighbour? (RFC 826, RFC 1122 2.3.2)

A cache entry is a small machine; the timer of each entry, or a packet that arrives, moves it:

    INCOMPLETE  asked by broadcast, packets held; answered: REACHABLE; silent for all retries: removed, and
                the senders of the held packets are told EHOSTUNREACH
    REACHABLE   answered within arp_cache_ttl. Shortly before that runs out an entry that was used is asked
                again, at its own MAC (REFRESHING); one that was not used is left to AGE
    REFRESHING  still used; silent for all retries: removed
    AGING       unused; removed when its time is up
    MOVING      somebody else claims the address: the old owner is asked first. It speaks: nothing changes.
                It is silent for HOLD_DOWN: the claim is believed
    STATIC      given by the user, never changed by packets

Rules against spoofing: no entry comes from an unsolicited reply; an entry moves only as above; our own
addresses and group MACs are never cached. The cache holds arp_cache_size entries (oldest use goes first). A
neighbour is asked at most once per arp_reply_timeout. Conflicts over our own address are acd.py's.

What may live here: the cache, asking and answering. Nothing of IP but the four bytes of an address.
"""

from collections import OrderedDict, deque
from functools import partial

from tipy.acd import AddressDetection
from tipy.address import (ANY, BROADCAST_MAC, format_ip, format_mac, is_group_mac, is_multicast, parse_ip,
                          parse_mac)
from tipy.errors import PacketError
from tipy.log import channel
from tipy.wire.arp import REPLY, REQUEST, ArpPacket
from tipy.wire.ethernet import TYPE_ARP

HELD_CAP = 3                # datagrams per unresolved neighbour
HOLD_DOWN_QUERIES = 2       # questions to the old owner before a claim is believed, arp_reply_timeout apart

INCOMPLETE, REACHABLE, REFRESHING, AGING, MOVING, STATIC = (
    "INCOMPLETE", "REACHABLE", "REFRESHING", "AGING", "MOVING", "STATIC")

_NO_MAC = bytes(6)
_log = channel("arp")


class Neighbour:
    """One cache entry; see the module's text for the states."""

    __slots__ = ("ip", "mac", "state", "used", "asked", "tries", "held", "claim", "timer")

    def __init__(self, ip):
        self.ip = ip
        self.mac = None
        self.state = INCOMPLETE
        self.used = False          # since it was last confirmed
        self.asked = None          # when
        self.tries = 0
        self.held = None           # deque of (frames, give_up), one per datagram
        self.claim = None          # MOVING: the MAC that wants to be it
        self.timer = None

    def __str__(self):
        return f"{format_ip(self.ip)} {format_mac(self.mac) if self.mac else 'unknown'} {self.state}"


class Arp:
    """The ARP of one interface. Registers itself with `ethernet`.

    addresses: our own, ip -> Network; fill it when an address may be used (see start_probe).
    """

    def __init__(self, ethernet, gate, timers, clock, rng, counters, settings):
        self.addresses = {}
        self._ethernet = ethernet
        self._gate, self._timers, self._clock = gate, timers, clock
        self._counters, self._settings = counters, settings
        self._entries = OrderedDict()              # ip -> Neighbour, the one used last at the end
        self.detection = AddressDetection(self._probe, self._announce, gate, timers, clock, rng,
                                          counters, settings)
        ethernet.register(TYPE_ARP, self.input)

    # -- asked by IP -----------------------------------------------------------------------------------

    def lookup(self, ip):
        """The MAC of a neighbour, or None: then `hold` the packet."""
        entry = self._entries.get(ip)
        if entry is None or entry.mac is None:
            return None
        entry.used = True
        self._entries.move_to_end(ip)
        return entry.mac

    def hold(self, ip, ethertype, frames, give_up):
        """Keep one datagram until the neighbour's MAC is known.

        frames: list of (parts, offload), the fragments of the one datagram; they are copied. give_up(packet)
        is called, inside the gate, with the bytes of its first packet if nobody answers. Beyond HELD_CAP
        datagrams per neighbour the oldest is dropped (RFC 1122 2.3.2.2 wants the latest kept).
        """
        entry = self._entries.get(ip)
        if entry is None:
            entry = self._create(ip)
        if entry.held is None:
            entry.held = deque()
        elif len(entry.held) >= HELD_CAP:
            entry.held.popleft()
            self._counters["arp.drop_held"] += 1
        copies = [(b"".join(parts), offload) for parts, offload in frames]
        entry.held.append((ethertype, copies, give_up))
        if not entry.tries:
            self._query(entry)

    # -- for the user ----------------------------------------------------------------------------------

    def add(self, ip, mac):
        """A static neighbour; text or bytes, e.g. add("192.168.2.199", "02:00:00:00:00:01")."""
        ip = parse_ip(ip) if isinstance(ip, str) else bytes(ip)
        mac = parse_mac(mac) if isinstance(mac, str) else bytes(mac)
        if len(ip) != 4 or len(mac) != 6 or is_group_mac(mac):
            raise ValueError("a neighbour has an IPv4 address and the MAC of one host")
        self._gate.do(partial(self._add, ip, mac))

    def remove(self, ip):
        """Forget a neighbour (text or bytes), static or not; who is not there is not missed."""
        ip = parse_ip(ip) if isinstance(ip, str) else bytes(ip)
        self._gate.do(partial(self._remove, ip))

    def entries(self):
        """The cache as a list of (ip, mac or None, state), the one used last at the end."""
        return [(entry.ip, entry.mac, entry.state) for entry in list(self._entries.values())]

    def _add(self, ip, mac):
        entry = self._entries.get(ip) or self._create(ip)
        entry.timer.cancel()
        entry.state, entry.mac = STATIC, mac
        self._release(entry)

    def _remove(self, ip):
        entry = self._entries.pop(ip, None)
        if entry is not None:
            entry.timer.end()

    # -- our own address -------------------------------------------------------------------------------

    @property
    def state(self):
        """Of address detection: "idle", "probing", "usable" or "conflict" (wait on `detection`)."""
        return self.detection.state

    def start_probe(self, ip, network, on_usable=None):
        """Probe for `ip` and, if nobody has it, answer for it from then on; on_usable() says when.

        Follow `detection.state`: gate.wait(arp.detection, lambda: arp.state != "probing"). With the setting
        `acd` off the address is usable at once.
        """
        def usable():
            self.addresses[ip] = network
            if on_usable is not None:
                on_usable()
        self.detection.start(ip, usable)

    def stop(self):
        """Forget every neighbour that is not static, and our addresses."""
        self.detection.stop()
        self.addresses.clear()
        for ip in [ip for ip, entry in self._entries.items() if entry.state != STATIC]:
            self._remove(ip)

    # -- asked by the wire -----------------------------------------------------------------------------

    def input(self, packet, source_mac):
        """An ARP packet arrived (RFC 826, "packet reception")."""
        try:
            arp = ArpPacket.unpack(packet.frame, packet.start, packet.end)
        except PacketError as error:
            self._counters["arp.drop_" + error.reason] += 1
            return
        self._counters["arp.in"] += 1
        mac = arp.sender_mac
        if mac == self._ethernet.mac:
            self._counters["arp.drop_own"] += 1              # our own frame came back
        elif is_group_mac(mac) or mac == _NO_MAC:
            self._counters["arp.drop_sender_mac"] += 1
        elif arp.operation not in (REQUEST, REPLY):
            self._counters["arp.drop_operation"] += 1
        elif not self.detection.hears(arp, self._ethernet.mac):
            self._heed(arp)

    def _heed(self, arp):
        ip = arp.sender_ip
        if ip != ANY:
            if ip in self.addresses or not self._may_be_neighbour(ip):
                self._counters["arp.drop_sender_ip"] += 1
                return
            self._learn(arp)
        if arp.operation == REQUEST and arp.target_ip in self.addresses:
            self._say(REPLY, arp.target_ip, arp.sender_mac, ip, arp.sender_mac)

    def _may_be_neighbour(self, ip):
        """Not a host: 0/8, 127/8, multicast and above, a subnet's own and broadcast address."""
        if ip[0] in (0, 127) or ip[0] >= 240 or is_multicast(ip):
            return False
        for network in self.addresses.values():
            if network.broadcast is not None and ip in (network.broadcast, network.prefix):
                return False
        return True

    def _learn(self, arp):
        ip, mac = arp.sender_ip, arp.sender_mac
        entry = self._entries.get(ip)
        asked_us = arp.operation == REQUEST and arp.target_ip in self.addresses
        if entry is None:
            if asked_us and any(ip in network for network in self.addresses.values()):
                self._confirm(self._create(ip), mac)     # who asks for us is about to talk to us
        elif entry.state == INCOMPLETE:
            self._confirm(entry, mac)
        elif entry.state == STATIC:
            return
        elif entry.mac == mac:
            if arp.operation == REPLY or asked_us:
                self._confirm(entry, mac)
        elif entry.state != MOVING:
            self._counters["arp.claims"] += 1
            entry.state, entry.claim, entry.tries = MOVING, mac, 0
            self._query(entry)

    # -- the life of an entry --------------------------------------------------------------------------

    def _create(self, ip):
        if len(self._entries) >= self._settings.arp_cache_size:
            self._evict()
        entry = self._entries[ip] = Neighbour(ip)
        entry.timer = self._timers.timer(partial(self._due, entry))
        return entry

    def _evict(self):
        for ip, entry in self._entries.items():
            if entry.state != STATIC:
                self._counters["arp.evicted"] += 1
                self._remove(ip)
                return

    def _confirm(self, entry, mac):
        if __debug__ and _log.on and entry.mac != mac:
            _log("%s is at %s", format_ip(entry.ip), format_mac(mac))
        entry.state, entry.mac = REACHABLE, mac
        entry.claim, entry.tries, entry.used = None, 0, False
        entry.timer.restart(self._settings.arp_cache_ttl - self._margin())
        self._release(entry)

    def _release(self, entry):
        """Send what was held, each datagram whole and in order."""
        held, entry.held = entry.held, None
        for ethertype, frames, _ in held or ():
            entry.used = True
            for frame, offload in frames:
                self._ethernet.send(entry.mac, ethertype, [frame], offload)

    def _margin(self):
        """How long before its end an entry is asked again: time for every retry."""
        settings = self._settings
        return min(settings.arp_retries * settings.arp_reply_timeout, settings.arp_cache_ttl / 2)

    def _due(self, entry):
        """The timer of an entry."""
        state = entry.state
        if state == REACHABLE and not entry.used:
            entry.state = AGING
            entry.timer.restart(self._margin())
        elif state == REACHABLE:
            entry.state = REFRESHING
            self._query(entry)
        elif state == MOVING and entry.tries >= HOLD_DOWN_QUERIES:
            self._counters["arp.moved"] += 1
            self._confirm(entry, entry.claim)
        elif state == AGING or entry.tries >= self._settings.arp_retries:
            self._give_up(entry)
        else:
            self._query(entry)

    def _query(self, entry):
        """Ask once more, by broadcast or, if it is known, at the old MAC; not twice per timeout."""
        now, timeout = self._clock.now(), self._settings.arp_reply_timeout
        if entry.asked is not None and now - entry.asked < 0.99 * timeout:      # 0.99: floats
            entry.timer.restart(entry.asked + timeout - now)
            return
        entry.asked = now
        entry.tries += 1
        entry.timer.restart(timeout)
        if __debug__ and _log.on:
            _log("who has %s? (try %d)", format_ip(entry.ip), entry.tries)
        self._say(REQUEST, self._source_for(entry.ip), _NO_MAC, entry.ip, entry.mac or BROADCAST_MAC)

    def _give_up(self, entry):
        self._remove(entry.ip)
        if entry.state == AGING:
            return
        self._counters["arp.unresolved"] += 1
        for _, frames, give_up in entry.held or ():
            give_up(frames[0][0])

    # -- sending ---------------------------------------------------------------------------------------

    def _source_for(self, ip):
        for own, network in self.addresses.items():
            if ip in network:
                return own
        return next(iter(self.addresses), ANY)

    def _say(self, operation, sender_ip, target_mac, target_ip, dst_mac):
        self._counters["arp.out"] += 1
        packet = ArpPacket(operation, self._ethernet.mac, sender_ip, target_mac, target_ip)
        self._ethernet.send(dst_mac, TYPE_ARP, [packet.pack()])

    def _probe(self, ip):
        self._say(REQUEST, ANY, _NO_MAC, ip, BROADCAST_MAC)

    def _announce(self, ip):
        self._say(REQUEST, ip, _NO_MAC, ip, BROADCAST_MAC)
