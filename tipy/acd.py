"""Address conflict detection: is the address we want free, and does it stay ours? (RFC 5227)

Before an address is used, a few *probes* ask who has it: ARP requests with sender address 0.0.0.0, which
change nobody's cache. An answer, or somebody else's probe for the same address, is a conflict: the address is
not taken into use. Silence makes it ours; *announcements* (requests for our own address) then correct caches
that still hold an earlier owner's MAC. Later, whenever another host speaks as us, the address is *defended*
with one announcement, at most once in DEFEND_INTERVAL: two stubborn hosts must not flood the link. We never
give the address up (RFC 5227 2.4 (c)): connections live on it, and the user is told whom to look for.

    idle --start--> probing --silence--> usable
                        \\----conflict----> conflict

Timing. RFC 5227's own constants make a host wait 5 to 7 s. They are meant for links that take seconds to come
up, and for address *selection* by hundreds of hosts powered on at once. A virtual link passes frames at once,
and its hosts answer in microseconds: the same three probes, a tenth of a second apart, see every host that is
alive, and `start()` stays under a second. The settings arp_probe_wait, arp_probe_min, arp_probe_max,
arp_announce_wait restore the RFC's numbers (1, 1, 2, 2).
"""

from tipy.address import format_ip
from tipy.errors import AddressConflict
from tipy.log import channel

PROBE_COUNT = 3
ANNOUNCE_COUNT = 2
ANNOUNCE_INTERVAL = 2.0     # s between announcements
DEFEND_INTERVAL = 10.0      # s between defences

_log = channel("arp")


class AddressDetection:
    """Conflict detection for the one address of an interface.

    probe(ip), announce(ip): send one such packet. state: "idle", "probing", "usable" or "conflict".
    conflict: the AddressConflict seen last, or None. on_conflict(error) is called for each one that is
    acted upon. `waiters`, `readiness`: somebody may wait for `state` through the gate.
    """

    def __init__(self, probe, announce, gate, timers, clock, rng, counters, settings):
        self.state = "idle"
        self.conflict = None
        self.on_conflict = None
        self.address = None
        self.waiters = None
        self.readiness = None
        self._probe, self._announce = probe, announce
        self._gate, self._clock, self._rng = gate, clock, rng
        self._counters, self._settings = counters, settings
        self._timer = timers.timer(self._next)
        self._probes = self._announcements = 0      # still to be sent
        self._on_usable = None
        self._defended = None                       # when we last defended

    def start(self, ip, on_usable):
        """Find out whether `ip` is free; on_usable() is called, inside the gate, when it may be used.

        With the setting `acd` off that is now.
        """
        self.address = ip
        self.conflict = None
        self._on_usable = on_usable
        if not self._settings.acd:
            self._enter("usable")
            on_usable()
            return
        self._enter("probing")
        self._probes, self._announcements = PROBE_COUNT, ANNOUNCE_COUNT
        self._timer.restart(self._rng.uniform(0, self._settings.arp_probe_wait))

    def stop(self):
        """Forget the address; nothing more is sent for it."""
        self._timer.cancel()
        self.address = None
        self._enter("idle")

    def hears(self, packet, own_mac):
        """Look at an ArpPacket; True if it is a conflict, and so teaches nobody anything."""
        ip, mac = self.address, packet.sender_mac
        if ip is None or mac == own_mac:
            return False
        if packet.sender_ip == ip:
            self._collided(mac)
            return True
        if self.state == "probing" and packet.is_probe and packet.target_ip == ip:
            self._collided(mac)
            return True
        return False

    def _next(self):
        """The timer: the next probe, the end of the wait after the last one, or the next announcement."""
        settings = self._settings
        if self._probes:
            self._probes -= 1
            self._probe(self.address)
            pause = (self._rng.uniform(settings.arp_probe_min, settings.arp_probe_max) if self._probes
                     else settings.arp_announce_wait)
            self._timer.restart(pause)
            return
        if self.state == "probing":
            self._enter("usable")
            self._on_usable()
        self._announcements -= 1
        self._announce(self.address)
        if self._announcements:
            self._timer.restart(ANNOUNCE_INTERVAL)

    def _collided(self, mac):
        self._counters["arp.conflict_packets"] += 1
        if self.state == "usable":
            now = self._clock.now()
            if self._defended is not None and now - self._defended < DEFEND_INTERVAL:
                return
            self._defended = now
            self._counters["arp.defended"] += 1
            self._announce(self.address)
        elif self.state == "conflict":
            return
        else:
            self._timer.cancel()
            self._enter("conflict")
        self.conflict = AddressConflict(self.address, mac)
        if __debug__ and _log.on:
            _log("%s", self.conflict)
        if self.on_conflict is not None:
            self.on_conflict(self.conflict)

    def _enter(self, state):
        self.state = state
        if __debug__ and _log.on and self.address is not None:
            _log("address %s: %s", format_ip(self.address), state)
        self._gate.notify(self)
