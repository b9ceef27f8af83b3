"""One run of a script against one TCP, whichever it is: building the peer's packets, reading what comes back.

The side that owns the wire and the time (differ_kernel.py, differ_tipy.py) calls `perform` for each step and
`arrived` for each packet. What happened is a list of Events, in order.
"""

from typing import NamedTuple

from differ_calls import Calls
from differ_script import LAST, PEER_PORT

from tipy.address import parse_ip
from tipy.checksum import checksum
from tipy.testing.peer import pattern
from tipy.testing.segments import build, flag_bits, relative
from tipy.wire import icmp, tcp
from tipy.wire.ipv4 import PROTOCOL_ICMP, IPv4Header

UNDER_TEST = "10.9.0.1"        # the host under test, in 10.9.0.0/16
PREFIX_LENGTH = 16
FIRST_PORT = 10000


class Event(NamedTuple):
    """time    seconds since the run began
    step    index of the step, or None: a segment came from the TCP under test
    text    without time"""

    time: float
    step: int | None
    text: str


class Place(NamedTuple):
    """Where a script plays: a peer address and a port of its own."""

    number: int

    @property
    def peer(self):
        return f"10.9.{1 + self.number // 200}.{1 + self.number % 200}"

    @property
    def port(self):
        return FIRST_PORT + self.number


class Run:
    """deliver: callable(packet), hands an IPv4 packet to the TCP under test; module: its socket module."""

    def __init__(self, script, place, module, deliver):
        self.script, self.place, self.deliver = script, place, deliver
        self.calls = Calls(module, (UNDER_TEST, place.port), (place.peer, PEER_PORT), script.cc)
        self.local, self.remote = parse_ip(UNDER_TEST), parse_ip(place.peer)
        self.iss = {}                  # peer port -> initial sequence number of the TCP under test
        self.over = False              # what comes now no longer counts
        self.stamps = []               # TSvals that came, one per segment (None: without)
        self.events = []
        self.done = 0                  # steps performed

    # -- steps ----------------------------------------------------------------------------------------

    def perform(self, now):
        """Do the next step; `now` is the run's time."""
        step = self.script.steps[self.done]
        event = len(self.events)
        text = step.text if step.what in ("call", "rest") else f"> {step.text}"
        self.events.append(Event(now, self.done, text))
        self.done += 1
        result = getattr(self, "_" + step.what)(step.details)
        if result is not None:
            self.events[event] = Event(now, self.done - 1, f"{text} = {result}")

    def _call(self, details):
        return self.calls.do(details["name"], details["on"], details["args"], details["rest"])

    def _rest(self, details):
        return None

    def _segment(self, details):
        port = details["port"]
        base = self.iss.get(port, 0)
        ts = details["ts"]
        options = tcp.TcpOptions(details["mss"], details["ws"], details["sack_ok"],
                                 None if ts is None else (ts, self._echo(details["ecr"])),
                                 tuple((left + base & 0xFFFFFFFF, right + base & 0xFFFFFFFF)
                                       for left, right in details["sack"]))
        raw = details["raw"]
        if raw is None:
            raw = tcp.pack_options(options, "S" in details["flags"])
        ack = details["ack"] + base & 0xFFFFFFFF if "." in details["flags"] else 0
        header = tcp.TcpHeader(port, self.place.port, self.script.iss + details["seq"] & 0xFFFFFFFF, ack,
                               flags=flag_bits(details["flags"]), window=details["win"],
                               urgent=details["urgent"])
        self.deliver(build(self.remote, self.local, header, raw, pattern(details["seq"], details["length"]),
                           tos=details["tos"]))

    def _echo(self, wanted):
        if wanted == LAST:
            known = [stamp for stamp in self.stamps if stamp is not None]
            return known[-1] if known else 0
        if isinstance(wanted, tuple):
            return wanted[1]
        return self.stamps[wanted] if wanted < len(self.stamps) else 0

    def _icmp(self, details):
        header = tcp.TcpHeader(self.place.port, PEER_PORT,
                               self.iss.get(PEER_PORT, 0) + details["seq"] & 0xFFFFFFFF,
                               self.script.iss + 1 & 0xFFFFFFFF, flags=tcp.ACK, window=1000)
        quoted = build(self.local, self.remote, header, b"", bytes(100))[:28]
        body = icmp.IcmpHeader(details["type"], details["code"], 0, details["mtu"]).pack() + quoted
        body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
        ip = IPv4Header(total_length=20 + len(body), protocol=PROTOCOL_ICMP, src=self.remote, dst=self.local)
        self.deliver(ip.pack() + body)

    # -- what comes back ------------------------------------------------------------------------------

    def arrived(self, packet, ip, now):
        """The TCP under test has sent this packet (bytes, and its IPv4Header)."""
        if self.over:
            return
        start, end = ip.header_length, ip.total_length
        body = packet[start:end]
        wire = tcp.TcpHeader.unpack(packet, start, end)
        if wire.flags & tcp.SYN:
            self.iss[wire.dst_port] = wire.seq
        raw = body[20:wire.header_length]
        options = tcp.parse_options(raw, 0, len(raw))
        self.stamps.append(options.timestamp[0] if options.timestamp is not None else None)
        payload = body[wire.header_length:]
        seq = relative(wire.seq, self.iss.get(wire.dst_port))
        if not wire.seq and wire.flags & tcp.RST:
            seq = 0                    # not of any connection
        flags = tcp.flags_text(wire.flags if self.script.pushes or not payload else wire.flags & ~tcp.PSH)
        text = f"< {flags} {seq}:{seq + len(payload)}({len(payload)})"
        if wire.flags & tcp.ACK:
            text += f" ack {relative(wire.ack, self.script.iss)}"
        text += self._window(wire) + self._options(raw, options)
        if wire.flags & tcp.URG:
            text += f" urg {wire.urgent}"
        if ip.tos:
            text += f" tos {ip.tos:#x}"
        if not ip.df:
            text += " (no DF)"
        if wire.dst_port != PEER_PORT:
            text += f" to port {wire.dst_port}"
        if payload != pattern(seq, len(payload)):
            text += " (wrong data)"
        self.events.append(Event(now, None, text))

    def _window(self, wire):
        if self.script.windows or wire.flags & tcp.SYN:
            return f" win {wire.window}"
        return "" if wire.window or wire.flags & tcp.RST else " win 0"

    def _options(self, raw, options):
        """The options in their order on the wire."""
        shown, at = [], 0
        while at < len(raw) and raw[at]:
            kind = raw[at]
            if kind == 1:
                shown.append("nop")
                at += 1
                continue
            if kind == tcp.MSS:
                shown.append(f"mss {options.mss}")
            elif kind == tcp.WINDOW_SCALE:
                shown.append(f"ws {options.window_scale}")
            elif kind == tcp.SACK_PERMITTED:
                shown.append("sackOK")
            elif kind == tcp.TIMESTAMP:
                shown.append(f"TS ecr {options.timestamp[1]}")
            elif kind == tcp.SACK:
                shown.append("sack " + " ".join(
                    f"{relative(left, self.script.iss)}:{relative(right, self.script.iss)}"
                    for left, right in options.sack))
            else:
                shown.append(f"option {kind}")
            at += max(raw[at + 1], 2) if at + 1 < len(raw) else 2
        return f" <{','.join(shown)}>" if shown else ""
