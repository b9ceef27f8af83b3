"""A script: what a program and a hand-driven peer do to a TCP, step by step. It does not say what must
happen.

    script = Script("delayed ACK")
    script.passive()                              # the peer opens a connection, the program accepts it
    script.segment("P.", 100, after=0.02)         # 20 ms later the peer sends 100 bytes
    script.call("recv", 100)
    script.rest(0.1)                              # ... and what comes within 100 ms is still recorded

The same script is run against the Linux kernel and against tipy (differ_run.py); what both do is compared.
Numbers are relative: each SYN is 0. A script is made of plain values only, so that it can be sent to
another process, and nothing in it depends on what the TCP under test does: the peer says what it is told to.
"""

from typing import NamedTuple

GAP = 0.004                    # seconds between steps that say nothing else
TS_BASE = 1000                 # the peer's timestamp clock (ms) at the start of each script
PEER_PORT = 7
LAST = "last"                  # echo the newest timestamp that has come


class Step(NamedTuple):
    """One step: `after` seconds after the one before, do `what` ("call", "segment", "icmp" or "rest")."""

    after: float
    what: str
    text: str
    details: dict


class Script:
    """A named list of steps.

    cc        congestion control of all its sockets
    sysctls   Linux's names without "net.ipv4.tcp_", set while a step of this script runs; each has a tipy
              setting of the same name, unless `tipy_settings` says how it is called there
    windows   compare window fields exactly (else only: zero or not)
    pushes    compare PSH on data (Linux also sets it where more than half the peer's window waits to be sent)
    iss       the peer's initial sequence number
    """

    def __init__(self, name, *, cc="reno", sysctls=None, tipy_settings=None, windows=False, pushes=True,
                 iss=0xFFFFFE00):
        self.name, self.cc, self.windows, self.pushes, self.iss = name, cc, windows, pushes, iss
        self.sysctls = dict(sysctls or {})
        self.tipy_settings = self.sysctls if tipy_settings is None else dict(tipy_settings)
        self.steps = []
        self.time = 0.0                # nominal
        self.next = 0                  # the peer's next sequence number
        self.ack = 0                   # what it acknowledges unless told otherwise
        self.win = 65535               # likewise the window field
        self.ts = False                # put timestamps on segments
        self.socket = "c"              # the socket that calls are made on unless told otherwise

    def _add(self, after, what, text, **details):
        after = GAP if after is None else after
        self.time += after
        self.steps.append(Step(after, what, text, details))

    # -- the program ----------------------------------------------------------------------------------

    def call(self, name, *args, on=None, after=None, **rest):
        """A call of the program; see differ_calls.py for those there are. None of them blocks."""
        on = on or self.socket
        shown = ", ".join([*map(str, args), *(f"{key}={value}" for key, value in rest.items())])
        self._add(after, "call", f"{on}.{name}({shown})", name=name, on=on, args=args, rest=rest)

    def listen(self, backlog=8, options=(), on="l"):
        """socket, options, bind, listen."""
        self.call("socket", on=on, after=0)
        for option in options:
            self.call("set", *option, on=on, after=0)
        self.call("bind", on=on, after=0)
        self.call("listen", backlog, on=on, after=0)

    def connect(self, options=(), after=None):
        """socket, options, bind, connect."""
        self.call("socket", after=after)
        for option in options:
            self.call("set", *option, after=0)
        self.call("bind", after=0)
        self.call("connect", after=0)

    def info(self, *names, after=0):
        """What TCP_INFO tells."""
        self.call("info",
                  *(names or ("state", "ca_state", "snd_cwnd", "snd_ssthresh", "unacked", "sacked", "lost",
                                      "retrans")), after=after)

    # -- the peer -------------------------------------------------------------------------------------

    def segment(self, flags, length=0, *, seq=None, ack=None, win=None, mss=None, ws=None, sack_ok=False,
                ts=None,
                ecr=LAST, sack=(), raw=None, urgent=0, tos=0, port=PEER_PORT,
                after=None):
        """The peer sends a segment. What is left out goes on where the script stands.

        ts     TSval: None = the peer's clock if self.ts; False = none; a number = that one
        ecr    TSecr: LAST, the number n of one of the segments that came (0 = the first), or ("raw", number)
        sack   ((left, right), ...)
        raw    option bytes instead of all others
        """
        in_order = seq is None
        seq = self.next if in_order else seq
        if win is not None:
            self.win = win
        if "." in flags:
            ack = self.ack if ack is None else ack
            self.ack = ack
        after = GAP if after is None else after
        if ts is None and self.ts:
            ts = TS_BASE + round((self.time + after) * 1000)
        text = f"{flags or 'none'} {seq}:{seq + length}({length})" + (f" ack {ack}" if "." in flags else "")
        text += f" win {self.win}"
        for name, value in (("from port", port if port != PEER_PORT else None), ("mss", mss), ("ws", ws),
                            ("sackOK", sack_ok), ("ts", ts), ("raw", raw and raw.hex()),
                            ("urg", urgent), ("tos", tos)):
            if value not in (None, False, 0):
                text += f" {name}" if value is True else f" {name} {value}"
        text += "".join(f" sack {left}:{right}" for left, right in sack)
        self._add(after, "segment", text, flags=flags, seq=seq, ack=ack or 0, length=length, win=self.win,
                  mss=mss,
                  ws=ws, sack_ok=sack_ok, ts=ts or None, ecr=ecr, sack=tuple(sack), raw=raw, urgent=urgent,
                  tos=tos, port=port)
        if in_order and "R" not in flags and port == PEER_PORT:
            self.next += length + ("S" in flags) + ("F" in flags)

    def icmp(self, type, code, *, seq, mtu=0, after=None):
        """The peer (or a router) sends an ICMP error about a segment that began with `seq`."""
        self._add(after, "icmp", f"icmp {type}/{code} seq {seq} mtu {mtu}", type=type, code=code, seq=seq,
                  mtu=mtu)

    def rest(self, seconds):
        """Time passes."""
        self._add(seconds, "rest", f"{seconds} s have passed")

    # -- where most scripts start -----------------------------------------------------------------------

    def passive(self, *, rtt=0.01, options=(), win=65535, mss=1000, ws=None, sack=True, ts=False, tos=0,
                flags="S", accept=True):
        """The peer connects; the round trip takes `rtt`. The connection is the socket "c"."""
        self.listen(options=options)
        self.syn(win=win, mss=mss, ws=ws, sack=sack, ts=ts, flags=flags)
        self.segment(".", ack=1, after=rtt)
        if accept:
            self.call("accept", "l", after=0)

    def syn(self, *, win=65535, mss=1000, ws=None, sack=True, ts=False, flags="S", after=None):
        """The peer's SYN."""
        self.segment(flags, win=win, mss=mss, ws=ws, sack_ok=sack, ts=TS_BASE if ts else None, ecr=("raw", 0),
                     after=after)
        self.ts = ts

    def active(self, *, rtt=0.01, options=(), win=65535, mss=1000, ws=None, sack=True, ts=False):
        """The program connects."""
        self.connect(options)
        self.ts = ts
        self.segment("S.", ack=1, win=win, mss=mss, ws=ws, sack_ok=sack, after=rtt)

    def reach(self, state, **how):
        """Lead to a state of RFC 9293 by its name; the program's socket is "c"."""
        if state == "SYN-SENT":
            self.connect()
            self.ack = 1
            return
        if state == "SYN-RECEIVED":
            self.listen()
            self.syn()
            self.ack = 1
            return
        how.setdefault("rtt", 0.05)
        self.passive(**how)
        if state in ("CLOSE-WAIT", "LAST-ACK"):
            self.segment("F.")
        if state in ("FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "TIME-WAIT", "LAST-ACK"):
            self.call("shutdown", 1, after=0.06)
        if state in ("FIN-WAIT-2", "TIME-WAIT"):
            self.segment(".", ack=2)
        if state == "CLOSING":
            self.segment("F.", ack=1)
        if state == "TIME-WAIT":
            self.segment("F.")
        self.rest(0.05)
