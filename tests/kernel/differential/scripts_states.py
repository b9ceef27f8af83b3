"""Scripts: each synchronised state meets each kind of segment at each place relative to the window; "
"closing."""

from differ_calls import LINGER
from differ_script import Script

STATES = ("ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT")
EDGE = 64077                   # about where the window ends, from RCV.NXT on


def scripts():
    """All of this module's scripts."""
    yield from matrix()
    yield from matrix_with_timestamps()
    yield from windows()
    yield from late_segments()
    yield from closing()
    yield from lingering()
    yield from shut_reads()
    yield from time_wait()


# -- the matrix -----------------------------------------------------------------------------------

# name: (flags, length, place of seq relative to RCV.NXT, ack relative to what is right)
SEGMENTS = {
    "RST exact": ("R", 0, 0, 0), "RST next": ("R", 0, 1, 0), "RST in window": ("R", 0, 5000, 0),
    "RST one below": ("R", 0, -1, 0), "RST far below": ("R", 0, -2000, 0), "RST beyond": ("R", 0, 70000, 0),
    "RST. exact": ("R.", 0, 0, 0), "RST. with data": ("R.", 10, 0, 0), "RST ack wrong": ("R.", 0, 0, 5000),
    "SYN exact": ("S", 0, 0, 0), "SYN in window": ("S", 0, 100, 0), "SYN below": ("S", 0, -5, 0),
    "SYN beyond": ("S", 0, 70000, 0), "SYN-ACK": ("S.", 0, -1, 0), "SYN with data": ("S", 10, 0, 0),
    "data exact": ("P.", 100, 0, 0), "data again": ("P.", 100, -100, 0),
    "data overlapping": ("P.", 100, -50, 0),
    "data early": ("P.", 100, 100, 0), "data beyond": ("P.", 100, 70000, 0),
    "data far below": ("P.", 100, -70000, 0),
    "bare ACK below": (".", 0, -1, 0), "bare ACK beyond": (".", 0, 70000, 0),
    "bare ACK early": (".", 0, 100, 0),
    "ACK too new": (".", 0, 0, 1), "ACK old": (".", 0, 0, -1), "ACK ancient": (".", 0, 0, -100000),
    "data, ACK too new": ("P.", 100, 0, 1), "data, ACK ancient": ("P.", 100, 0, -100000),
    "data, ACK old": ("P.", 100, 0, -1),
    "data without ACK": ("P", 100, 0, 0), "no flags": ("", 0, 0, 0), "FIN without ACK": ("F", 0, 0, 0),
    "data without ACK, beyond": ("P", 100, 70000, 0), "no flags, below": ("", 0, -1, 0),
    "FIN without ACK, below": ("F", 0, -1, 0),
    "data at the right edge": ("P.", 10, 64240, 0), "FIN at the right edge": ("F.", 0, 64240, 0),
    "FIN": ("F.", 0, 0, 0), "FIN again": ("F.", 0, -1, 0), "FIN early": ("F.", 0, 100, 0),
    "FIN beyond": ("F.", 0, 70000, 0), "data and FIN": ("FP.", 100, 0, 0),
    "FIN, ACK too new": ("F.", 0, 0, 1),
    "SYN and FIN": ("SF", 0, 0, 0), "everything": ("SFRP.U", 10, 0, 0),
}
FIN_SENT = ("FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "LAST-ACK", "TIME-WAIT")


def matrix():
    for state in STATES:
        for name, (flags, length, place, offset) in SEGMENTS.items():
            script = Script(f"in {state}: {name}")
            script.reach(state, rtt=0.05)
            probe(script, state, flags, length, place, offset)
            yield script


def matrix_with_timestamps():
    for state in ("ESTABLISHED", "FIN-WAIT-2", "CLOSE-WAIT", "TIME-WAIT"):
        for name in ("RST exact", "RST in window", "SYN in window", "data again", "data early",
                     "data beyond", "FIN",
                     "ACK too new", "bare ACK below"):
            for age, text in ((0, "fresh"), (-50000, "from the past")):
                flags, length, place, offset = SEGMENTS[name]
                script = Script(f"in {state} with time stamps: {name}, {text}")
                script.reach(state, rtt=0.05, ts=True)
                probe(script, state, flags, length, place, offset,
                      ts=None if not age else 1000 + round(script.time * 1000) + age & 0xFFFFFFFF)
                yield script


def probe(script, state, flags, length, place, offset, **rest):
    """The segment, then a look at what it has changed."""
    right = script.ack + 0
    if state in ("FIN-WAIT-1", "CLOSING", "LAST-ACK"):
        right = 2                  # all that has been sent, the FIN included
    seq = script.next + place
    script.segment(flags, length, seq=seq, ack=right + offset, urgent=5 if "U" in flags else 0, after=0.02,
                   **rest)
    script.call("error", after=0.05)
    script.call("recv", 1000, after=0)
    script.call("recv", 1000, after=0)
    script.ack = right if state not in ("FIN-WAIT-1",) else 1
    script.segment("P.", 20, seq=script.next, ack=script.ack)
    script.call("recv", 1000)
    script.call("send", 10)
    script.rest(0.05)
    script.info("state")


# -- the window's edges ---------------------------------------------------------------------------


def windows():
    for name, flags, length in (("RST", "R", 0), ("SYN", "S", 0), ("data", "P.", 10), ("bare ACK", ".", 0),
                                ("FIN", "F.", 0)):
        for place in (-2, -1, 0, 1, 10):
            script = Script(f"at the window's edge: {name}, {place}")
            script.passive(options=[("SO_RCVBUF", 4096)], ws=0)
            script.segment(".", 0, ack=1)
            # set by rcvbuf 8192 / 2
            script.segment(flags, length, seq=3648 + 1 + place, ack=1, after=0.05)
            script.call("error", after=0.06)
            script.segment("P.", 20, seq=1, ack=1)
            script.rest(0.06)
            yield script


def late_segments():
    """Segments for a connection that is gone."""
    for flags, length in ((".", 0), ("P.", 10), ("F.", 0), ("R", 0), ("S", 0), ("", 0), ("FP.", 10)):
        script = Script(f"after LAST-ACK: {flags or 'no flags'} with {length} bytes")
        script.reach("LAST-ACK")
        script.segment(".", ack=2)
        script.segment(flags, length, seq=2, ack=2, after=0.05)
        script.rest(0.05)
        yield script
    for flags, length in ((".", 0), ("P.", 10), ("F.", 0), ("FP.", 10), ("R", 0), ("R.", 0)):
        for acked in (True, False):
            fin = "acknowledged" if acked else "in flight"
            script = Script(f"after close(), FIN {fin}: {flags} with {length}")
            script.passive()
            script.call("close", after=0.05)
            if acked:
                script.segment(".", ack=2)
            script.segment(flags, length, ack=2 if acked else 1, after=0.05)
            script.segment(flags, length, seq=1, ack=2, after=0.05)
            script.rest(0.05)
            yield script
    for flags, length in ((".", 0), ("P.", 10), ("F.", 0), ("FP.", 10)):
        script = Script(f"after close(), ahead of a gap: {flags} with {length}")
        script.passive()
        script.call("close", after=0.05)
        script.segment(flags, length, seq=101, ack=2, after=0.05)
        script.segment("F.", ack=2, after=0.05)
        script.rest(0.05)
        yield script


# -- closing --------------------------------------------------------------------------------------


def closing():
    for how in ("close", "shutdown"):
        args = () if how == "close" else (1,)
        script = Script(f"{how}: active, in order")
        script.passive()
        script.call(how, *args)
        script.segment(".", ack=2)
        script.segment("F.", ack=2, after=0.05)
        script.segment("F.", seq=1, ack=2, after=0.05)
        script.rest(0.05)
        yield script
        script = Script(f"{how}: the FIN is retransmitted")
        script.passive(rtt=0.04)
        script.call(how, *args)
        script.rest(1.2)
        script.segment("F.", ack=2)
        script.rest(0.05)
        yield script
        script = Script(f"{how}: data, then the FIN on the last segment")
        script.passive(rtt=0.04)
        script.call("send", 2500)
        script.call(how, *args, after=0)
        script.segment(".", ack=1001, after=0.04)
        script.segment(".", ack=2502, after=0.01)
        script.segment("F.", ack=2502, after=0.01)
        script.rest(0.05)
        yield script
        script = Script(f"{how}: unsent data and FIN wait for the window", pushes=False)
        script.passive(rtt=0.04, win=1500)
        script.call("send", 4000)
        script.call(how, *args, after=0.01)
        for ack in (1001, 2001, 3001, 4002):
            script.segment(".", ack=ack, after=0.01)
        script.rest(0.05)
        yield script
        script = Script(f"{how}: simultaneous close")
        script.passive()
        script.call(how, *args)
        script.segment("F.", ack=1)
        script.segment(".", ack=2, after=0.05)
        script.rest(0.05)
        yield script
        script = Script(f"{how}: CLOSING retransmits its FIN")
        script.passive(rtt=0.04)
        script.call(how, *args)
        script.segment("F.", ack=1)
        script.rest(0.6)
        script.segment("F.", seq=1, ack=1)
        script.segment(".", ack=2, after=0.02)
        script.rest(0.05)
        yield script
        script = Script(f"{how}: passive, after the peer")
        script.passive()
        script.segment("F.")
        script.rest(0.06)
        script.call("recv", 10)
        script.call("send", 100)
        script.segment(".", ack=101)
        script.call(how, *args)
        script.rest(0.02)
        script.segment(".", ack=102)
        script.segment("P.", 10, seq=2, ack=102)
        script.rest(0.02)
        yield script
        script = Script(f"{how}: with unread data")
        script.passive()
        script.segment("P.", 100)
        script.call(how, *args)
        script.segment(".", ack=1)
        script.segment("P.", 10, ack=2)
        script.rest(0.06)
        yield script
        script = Script(f"{how}: unread data behind a gap")
        script.passive()
        script.segment("P.", 100, seq=101)
        script.call(how, *args)
        script.segment(".", seq=1, ack=2)
        script.segment("P.", 100, seq=1, ack=2)
        script.rest(0.06)
        yield script
        script = Script(f"{how}: the peer's FIN overtakes its data")
        script.passive()
        script.call(how, *args)
        script.segment(".", ack=2)
        script.segment("F.", seq=201, ack=2)
        script.segment("P.", 100, seq=101, ack=2)
        script.segment("P.", 100, seq=1, ack=2)
        script.rest(0.06)
        yield script
    script = Script("close: FIN-WAIT-2 of an orphan ends after TCP_LINGER2")
    script.passive()
    script.call("set", "TCP_LINGER2", 1)
    script.call("close")
    script.segment(".", ack=2)
    script.segment("P.", 10, seq=1, ack=2, after=1.5)
    script.rest(0.05)
    yield script
    script = Script("close: an orphan's data never acknowledged, user timeout")
    script.passive(rtt=0.04)
    script.call("set", "TCP_USER_TIMEOUT", 700)
    script.call("send", 100)
    script.call("close")
    script.rest(2.5)
    script.segment(".", ack=101)
    script.rest(0.05)
    yield script


def lingering():
    for seconds in (0,):
        for unread in (False, True):
            script = Script(f"close with linger {seconds}{', unread data' if unread else ''}")
            script.passive()
            script.call("set", LINGER, seconds)
            script.call("send", 500)
            if unread:
                script.segment("P.", 10)
            script.call("close", after=0.02)
            script.segment(".", ack=501)
            script.segment("F.", ack=501)
            script.rest(0.05)
            yield script
    for state in ("SYN-SENT", "CLOSE-WAIT", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "LAST-ACK", "TIME-WAIT"):
        script = Script(f"linger 0 and close in {state}")
        script.reach(state)
        script.call("set", LINGER, 0)
        script.call("close")
        script.segment(".", ack=2, after=0.05)
        script.rest(0.05)
        yield script
    script = Script("an error is reported once")
    script.passive()
    script.call("send", 10)
    script.segment("R", seq=1)
    for name, *args in (("send", 10), ("send", 10), ("recv", 10), ("recv", 10), ("error",), ("shutdown", 1)):
        script.call(name, *args)
    yield script
    script = Script("a reset after data: data, error, end")
    script.passive()
    script.segment("P.", 10)
    script.segment("R", seq=11)
    for name, *args in (("recv", 5), ("recv", 10), ("recv", 10), ("recv", 10), ("send", 10)):
        script.call(name, *args)
    yield script
    script = Script("a reset after a FIN")
    script.passive()
    script.segment("FP.", 10)
    script.segment("R", seq=12, after=0.06)
    for name, *args in (("send", 5), ("send", 10), ("recv", 10), ("recv", 10), ("error",)):
        script.call(name, *args)
    yield script


def shut_reads():
    for how in (0, 2):
        script = Script(f"shutdown({how}), then data")
        script.passive()
        script.segment("P.", 10)
        script.call("shutdown", how)
        script.segment(".", ack=1)
        for _ in range(2):
            script.call("recv", 100)
        script.segment("P.", 10, ack=1, after=0.02)
        script.rest(0.05)
        script.call("recv", 100)
        script.call("send", 10)
        script.segment("F.", seq=21, ack=2)
        script.rest(0.06)
        yield script
    script = Script("shutdown twice")
    script.passive()
    script.call("shutdown", 1)
    script.call("shutdown", 1)
    script.call("send", 10)
    script.segment("F.", ack=2)
    script.call("shutdown", 1)
    script.call("shutdown", 2)
    script.call("recv", 10)
    script.rest(0.05)
    yield script
    script = Script("calls on sockets that are not connected")
    script.call("socket")
    for name, *args in (("send", 10), ("recv", 10), ("shutdown", 1), ("error",), ("accept", "c")):
        script.call(name, *args)
    script.listen()
    for name, *args in (("send", 10), ("recv", 10), ("connect",), ("shutdown", 1), ("accept", "l")):
        script.call(name, *args, on="l" if name != "accept" else "a")
    yield script


# -- TIME-WAIT ------------------------------------------------------------------------------------


def time_wait():
    for rfc1337 in (0, 1):
        for place in (-1, 0, 1, 70000):
            script = Script(f"in TIME-WAIT, rfc1337 {rfc1337}: RST at {place}", sysctls={"rfc1337": rfc1337},
                            tipy_settings={"rfc1337": bool(rfc1337)})
            script.reach("TIME-WAIT")
            script.segment("R", seq=2 + place)
            script.segment("F.", seq=1, ack=2, after=0.02)
            script.rest(0.05)
            yield script
    for name, ts, seq, value in (("higher seq", False, 5000, None), ("same seq", False, 2, None),
                                 ("lower seq", False, -5000, None), ("lower seq, newer stamp", True, -5000, 50000),
                                 ("lower seq, same stamp", True, -5000, 0), ("higher seq, older stamp", True, 5000, -500),
                                 ("higher seq, newer stamp", True, 5000, 50000),
                                 ("higher seq, no stamp", True, 5000, None)):
        script = Script(f"in TIME-WAIT: SYN with {name}")
        script.reach("TIME-WAIT", ts=ts)
        stamp = False if value is None else 1000 + round(script.time * 1000) + value
        script.segment("S", seq=seq, mss=1000, ts=stamp, ecr=("raw", 0), after=0.05)
        script.segment(".", seq=seq + 1, ack=1, ts=stamp, after=0.02)
        script.call("accept", "l", on="again", after=0.02)
        script.rest(0.05)
        yield script
