"""The stack: where the layers are put together. No protocol is spoken here.

    link -> ethernet -> arp / ipv4 -> icmp / udp / tcp / raw -> sockets

Everything a layer needs is handed to it here: the gate (one lock), clock, timers, randomness, counters, settings.
Several stacks live side by side in one process; the one started last and still running is the default for
`tipy.socket`.
"""

import difflib
import errno
import os
import random
import secrets

from tipy import signals
from tipy.address import format_ip, format_mac, parse_ip, parse_mac, parse_network
from tipy.arp import Arp
from tipy.clock import RealClock
from tipy.counters import Counters
from tipy.errors import AddressConflict, PacketError, SetupError, os_error
from tipy.ethernet import Ethernet
from tipy.gate import STOPPED, Gate
from tipy.icmp import Icmp
from tipy.igmp import Igmp
from tipy.ipv4 import IPv4
from tipy.log import channel, choose
from tipy.ports import PortTable
from tipy.raw import Raw
from tipy.settings import Settings
from tipy.tcp import Tcp, congestion
from tipy.timers import Timers
from tipy.udp import Udp

_log = channel("stack")

_running = []                  # stacks in the order they were started
LOOPBACK_ONLY = "loopback"     # as ifname: a stack without a link


def default_stack():
    """The running stack started last. OSError(ENETDOWN) with what to do if there is none."""
    try:
        return _running[-1]
    except IndexError:
        raise os_error(errno.ENETDOWN, "no tipy stack is running: start one with "
                                       "'stack = tipy(ifname=\"tap7\"); stack.start()'") from None


class Stack:
    """A TCP/IP host.

    ifname    TAP to attach to, "tap7"; "loopback" for a stack that only talks to itself
    address   "192.168.2.200/24"; gateway "192.168.2.1"; mac "02:..."; mtu in bytes
    link      any tipy.link.Link instead of a TAP
    clock     RealClock (default) or ManualClock
    seed      repeatable ISNs, ports and IDs, for tests only
    settings  any other setting by name, see tipy.settings

    What is not given comes from the environment, config.py, the defaults, in this order; `settings=` takes a whole
    Settings object instead. ValueError, or SetupError with one sentence, for what makes no sense.
    """

    def __init__(self, ifname=None, *, address=None, gateway=None, mac=None, mtu=None, link=None, clock=None,
                 seed=None, settings=None, **keywords):
        given = dict(ifname=ifname, address=address, gateway=gateway, mac=mac, mtu=mtu, **keywords)
        given = {name: value for name, value in given.items() if value is not None}
        chosen_here = settings is not None or "congestion_control" in given
        if settings is None:
            settings = Settings.load(**given)
        elif given:
            settings = settings.replace(**given)
        _check_congestion_control(settings.congestion_control, ValueError if chosen_here else SetupError)
        self.settings = settings
        if settings.log_channels is not None:
            choose(settings.log_channels)
        self.name = settings.ifname if link is None else getattr(link, "name", "") or type(link).__name__
        self.clock = clock if clock is not None else RealClock()
        self.rng = random.Random(seed) if seed is not None else secrets.SystemRandom()
        self.counters = Counters()
        self.timers = Timers(self.clock)
        self.timers.on_error = self._contain
        self.gate = Gate(self.clock, self.timers)
        self.gate.on_error = self._contain
        self.gate.shut(STOPPED)
        self.status = STOPPED
        self.errors = []                       # the exceptions contained last, for whoever looks for a bug
        self.link = link if link is not None else self._make_link()
        self.on_end = None                     # fn(stack), inside the gate, when nothing works any more
        self._up = False                       # started, and not stopped since
        self._driver = None
        self._module = self._resolver = None
        self._build()

    def _make_link(self):
        if self.settings.ifname == LOOPBACK_ONLY:
            return None
        from tipy.link.tap import TapLink
        return TapLink(self.settings.ifname, self.settings.mtu)

    def _build(self):
        """The layers, bottom up."""
        settings, gate, timers, clock = self.settings, self.gate, self.timers, self.clock
        rng, counters = self.rng, self.counters
        self.address, self.network = parse_network(settings.address)
        self.gateway = parse_ip(settings.gateway) if settings.gateway else None
        self.mac = parse_mac(settings.mac)
        self.ipv4 = IPv4(gate, timers, clock, rng, counters, settings)
        self.interface = self.ethernet = self.arp = None
        if self.link is not None:
            self.ethernet = Ethernet(self.link, self.mac, counters)
            self.arp = Arp(self.ethernet, gate, timers, clock, rng, counters, settings)
            self.arp.detection.on_conflict = self._conflict
            self.interface = self.ipv4.add_interface(self.name, self.link, self.ethernet, self.arp)
        self.icmp = Icmp(self.ipv4, clock, counters, settings)
        self.igmp = Igmp(self.ipv4, timers, rng, counters)
        self.raw = Raw(self.ipv4, gate, counters, settings)
        self.udp = Udp(self.ipv4, gate, rng, counters, settings)
        self.tcp = Tcp(self.ipv4, PortTable(rng, settings), gate, timers, clock, rng, counters, settings)

    # -- life -------------------------------------------------------------------------------------

    def start(self):
        """Acquire the link and the address; returns when it is usable (with a manual clock at once).

        SetupError or OSError with one sentence if the link cannot be had, AddressConflict if another host has
        the address. Starting a running stack does nothing.
        """
        if not self._up:
            self.gate.shield(self._start)

    def _start(self):
        try:
            signals.protect(self.gate)
            if self.link is not None:
                self.link.open()
        except BaseException as error:
            self.status = str(error)
            signals.unprotect(self.gate)
            raise
        self._up = True
        try:
            self._bring_up()
        except BaseException as error:
            self._stop(str(error) or type(error).__name__)
            raise
        if __debug__ and _log.on and self.link is not None:
            _log("%s: up as %s/%d, %s", self.name, format_ip(self.address), self.network.length, format_mac(self.mac))

    def _bring_up(self):
        if self.link is not None:
            if hasattr(self.link, "keep_apart"):
                self.link.keep_apart(self.mac)
            self.link.attach(self)
        self.gate.reopen()
        self.clock.attach(self.gate)
        self.status = "running"
        _running.append(self)
        if not self.clock.manual:
            from tipy.driver import Driver
            self._driver = Driver(self)
            self._driver.start()
        self._acquire_address()

    def _acquire_address(self):
        if self.arp is None:
            return
        detection = self.arp.detection
        with self.gate:
            self.arp.start_probe(self.address, self.network, self._address_usable)
            if self.clock.manual:
                return
            self.gate.wait(detection, lambda: detection.state != "probing")
            if detection.state == "conflict":
                raise detection.conflict

    def _address_usable(self):
        self.ipv4.add_address(self.interface, self.address, self.network)
        if self.gateway is not None and self.gateway != self.address and (
                self.gateway in self.network or self.network.length == 32):    # a /32 has no other way out
            self.ipv4.add_gateway(self.interface, self.gateway)

    def stop(self):
        """Reset connections, release the device, wake blocked calls with ENETDOWN. Prompt and idempotent."""
        self._stop(STOPPED)

    def _stop(self, reason):
        if self._up:
            self.gate.shield(self._tear_down, reason)

    def _tear_down(self, reason):
        with self.gate:                                # from a hook a RuntimeError, before anything has happened
            if not self._up:                           # another thread was faster
                return
            self._up = False
            if self in _running:
                _running.remove(self)
        try:
            with self.gate:
                self._end_layers(reason)
        finally:
            driver, self._driver = self._driver, None
            try:
                if driver is not None:
                    driver.stop()
            finally:
                if self.link is not None:
                    self.link.close()
                self.clock.detach(self.gate)
                signals.unprotect(self.gate)

    def _end_layers(self, reason):
        self.status = reason
        try:
            self.tcp.stop()
            self.udp.stop()
            self.raw.stop()
            if self.arp is not None:
                self.arp.stop()
            self.ipv4.stop()
            if self.address in self.ipv4.addresses.own and self.interface is not None:
                self.ipv4.remove_address(self.interface, self.address)
        finally:
            self.timers.clear()
            self._shut(reason)

    def _shut(self, reason):
        """Wake whoever waits: in a call, or on a descriptor."""
        self.gate.shut(reason)
        if self.on_end is not None:
            self.on_end(self)

    def _abandon(self):
        """In the child of a fork: let go of everything without a word to the network."""
        reason = "this stack belongs to the parent process: start another in the child"
        self.status = reason
        self._up = False
        self.gate.abandon(reason)
        self.timers.clear()
        self.clock.detach(self.gate)
        if self._driver is not None:
            self._driver.forget()
            self._driver = None
        if self.link is not None:
            self.link.close()
        signals.unprotect(self.gate)

    def watch(self, fd, look):
        """Have look() called, inside the gate, when `fd` becomes readable. False if nobody would (virtual time)."""
        if self._driver is None:
            return False
        self._driver.watch(fd, look)
        return True

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def __repr__(self):
        return f"<tipy {self.name} {format_ip(self.address)} {self.status}>"

    @property
    def socket(self):
        """A module like Python's `socket`, bound to this stack."""
        if self._module is None:
            from tipy.socket import make_module
            self._module = make_module(self)
        return self._module

    @property
    def resolver(self):
        """Names and addresses from the Domain Name System: `addresses(name)`, `name(ip)`, `cache`."""
        if self._resolver is None:
            from tipy.resolver import Resolver
            self._resolver = Resolver(self)
        return self._resolver

    # -- what the link calls ----------------------------------------------------------------------

    def receive(self, batch):
        """Frames have arrived: [(frame, checked, gso_size), ...]. Takes the gate once for all of them."""
        if self.gate.held():                           # a timer of a fault-injecting link: not now
            self.gate.inside.append(lambda: self._climb(batch))
            return
        with self.gate:
            self._climb(batch)

    def serve(self):
        """Take what has arrived on a link with a descriptor. Called inside the gate by whoever drives the stack.
        True if the link is so busy that there may well be more; OSError if it is gone."""
        if self.link is None:
            return False
        batch = self.link.receive_batch()
        if batch:
            self._climb(batch)
        return len(batch) > 8

    def _climb(self, batch):
        ethernet_input = self.ethernet.input
        if self.gate.down is not None:
            return
        if len(batch) > 1:
            self.tcp.begin_batch()
        for frame, checked, gso_size in batch:
            try:
                ethernet_input(frame, checked, gso_size)
            except PacketError as error:
                self.counters[f"stack.drop_{error.reason}"] += 1
            except (Exception, SystemExit) as error:   # no frame kills: it costs that frame, and is counted
                self._contain(error)
        if len(batch) > 1:
            self.tcp.end_batch()

    def link_failed(self, error):
        """The link is gone: nothing can work any more. `status` says why; blocked calls end with ENETDOWN."""
        with self.gate:
            if not self._up:                           # it was stopped meanwhile
                return
            self.status = str(error)
            self._shut(self.status)
        if __debug__ and _log.on:
            _log("%s: %s", self.name, error)

    def _contain(self, error):
        """An exception that a frame or a timer caused. It must not take the stack down."""
        self.counters["stack.exceptions"] += 1
        self.errors.append(error)
        del self.errors[:-16]
        if __debug__ and _log.on:
            _log("an exception was contained: %r", error)

    def _conflict(self, error):
        """Somebody else uses our address (after start: it is defended; the log and `status` tell)."""
        self.counters["arp.conflicts"] += 1
        raised_by_start = self.arp.detection.state == "conflict" and not self.clock.manual
        if isinstance(error, AddressConflict) and not raised_by_start and __debug__ and _log.on:
            _log("%s", error)


def _check_congestion_control(chosen, wrong):
    """wrong(one sentence) if there is none of this name (a program may register more)."""
    names = congestion.names()
    if isinstance(chosen, str) and chosen not in names:
        near = difflib.get_close_matches(chosen, names, 1)
        raise wrong(f"congestion_control={chosen!r}: there is none of this name: "
                    + (f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(names)}"))


# -- fork -----------------------------------------------------------------------------------------

def _after_fork_in_child():
    """The child of a fork has the parent's stacks, but not their threads: it lets go of them without a word to
    the network (the parent's connections live on), so that it can start a stack of its own."""
    signals.forked()
    for stack in list(_running):
        stack._abandon()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
