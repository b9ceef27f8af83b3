"""Scripts: opening connections. Options, retransmitted SYNs, simultaneous open, LISTEN and CLOSED, queues."""

from itertools import product

from differ_script import TS_BASE, Script

ON_OFF = (False, True)
FLAGS = ("", "S", "F", "R", "P", "U", ".", "S.", "SF", "SR", "SF.", "F.", "P.", "R.", "FPU", "SFRP.U")


def scripts():
    """All of this module's scripts."""
    yield from passive_options()
    yield from active_options()
    yield from odd_options()
    yield from retransmitted()
    yield from simultaneous()
    yield from not_connected()
    yield from syn_sent()
    yield from syn_received()
    yield from last_ack_of_the_handshake()
    yield from queues()


def named(*, ts, ws, sack):
    return " ".join(word for word, on in (("ts", ts), ("ws", ws), ("sack", sack)) if on) or "none"


# -- options --------------------------------------------------------------------------------------


def exchange(script):
    """A little data both ways, and a close, to see what was agreed."""
    script.segment("P.", 10)
    script.call("recv", 100)
    script.call("send", 3000)
    script.segment(".", ack=3001, after=0.01)
    script.call("shutdown", 1)
    script.segment("F.", ack=3002)
    script.rest(0.06)


def passive_options():
    for ts, ws, sack in product(ON_OFF, repeat=3):
        script = Script(f"passive open, offered {named(ts=ts, ws=ws, sack=sack)}")
        script.passive(ts=ts, ws=7 if ws else None, sack=sack)
        exchange(script)
        yield script
    for mss in (None, 48, 100, 536, 1460, 9000, 65535):
        script = Script(f"passive open, mss {mss}")
        script.passive(mss=mss)
        script.call("get", "TCP_MAXSEG")
        script.call("send", 400)
        script.rest(0.02)
        yield script
    for ws in (0, 1, 14, 15, 255):
        script = Script(f"passive open, window scale {ws}", pushes=False)
        script.passive(ws=ws, win=100)
        script.call("send", 3000)
        script.segment(".", ack=101, win=1)
        script.rest(0.008)
        yield script


def active_options():
    for ts, ws, sack in product(ON_OFF, repeat=3):
        script = Script(f"active open, answered {named(ts=ts, ws=ws, sack=sack)}")
        script.active(ts=ts, ws=7 if ws else None, sack=sack)
        exchange(script)
        yield script
        script = Script(f"active open, offering {named(ts=ts, ws=ws, sack=sack)}",
                        sysctls={"timestamps": int(ts), "window_scaling": int(ws), "sack": int(sack)})
        script.active(ts=ts, ws=7, sack=True)
        exchange(script)
        yield script


def odd_options():
    odd = {
        "unknown kinds": "020405b4 fe04abcd 0101 1e0400ff 00000000",
        "length 0": "02040218 0800 0000",
        "length 1": "02040218 0301 0000",
        "overrun": "02040218 0820 0000",
        "kind in the last byte": "02040218 01010108",
        "mss twice": "02040218 02040400",
        "mss of length 3": "02030201 04020000",
        "sack permitted of length 3": "02040218 04030100",
        "window scale of length 4": "02040218 03040707",
        "timestamp of length 9": "02040218 0809000003e8000000000000",
        "end before the rest": "02040218 00010402",
    }
    for name, text in odd.items():
        script = Script(f"odd options: {name}")
        script.listen()
        script.segment("S", raw=bytes.fromhex(text))
        script.segment(".", ack=1)
        script.call("accept", "l", after=0)
        script.call("send", 2000)
        script.segment(".", ack=1, seq=1, raw=bytes.fromhex("0102fe00"))
        script.segment("P.", 10, seq=1, ack=1, raw=bytes.fromhex("050a00000001"), after=0.01)
        script.rest(0.06)
        yield script
    for name, options in (("maxseg 500", [("TCP_MAXSEG", 500)]), ("rcvbuf 8192", [("SO_RCVBUF", 8192)]),
                          ("rcvbuf 200000", [("SO_RCVBUF", 200000)]),
                          ("window clamp 4000", [("TCP_WINDOW_CLAMP", 4000)])):
        for active in ON_OFF:
            script = Script(f"{'active' if active else 'passive'} open with {name}")
            (script.active if active else script.passive)(options=options, ws=7)
            script.call("get", "TCP_MAXSEG")
            script.segment("P.", 10)
            script.call("send", 1000)
            script.rest(0.06)
            yield script


# -- time -----------------------------------------------------------------------------------------


def retransmitted():
    script = Script("SYN without an answer")
    script.connect()
    script.rest(7.6)
    script.call("error")
    script.segment("S.", ack=1, mss=1000, sack_ok=True)
    script.call("send", 5000)
    script.rest(0.1)
    script.info()
    yield script
    script = Script("SYN without an answer, TCP_SYNCNT 1")
    script.connect(options=[("TCP_SYNCNT", 1)])
    script.rest(3.8)
    script.call("error")
    script.call("send", 1)
    yield script
    script = Script("SYN-ACK without an answer")
    script.listen()
    script.syn()
    script.rest(7.6)
    script.segment(".", ack=1)
    script.call("accept", "l", after=0)
    script.call("send", 5000)
    script.rest(0.1)
    script.info()
    yield script
    script = Script("SYN-ACK without an answer, with timestamps")
    script.listen()
    script.syn(ts=True)
    script.rest(1.5)
    script.segment(".", ack=1, ecr=0)
    script.call("accept", "l", after=0)
    script.call("send", 5000)
    script.rest(0.1)
    script.info()
    yield script
    script = Script("duplicate SYN is answered at once")
    script.listen()
    script.syn()
    script.segment("S", seq=0, mss=1000, sack_ok=True, after=0.3)
    script.segment("S", seq=0, mss=1000, sack_ok=True, after=0.3)
    script.rest(1.2)
    script.segment(".", ack=1)
    script.call("accept", "l")
    yield script
    script = Script("SYN with user timeout")
    script.connect(options=[("TCP_USER_TIMEOUT", 2000)])
    script.rest(4.0)
    script.call("error")
    yield script


# -- simultaneous open ------------------------------------------------------------------------------


def simultaneous():
    for answer, length in ((".", 0), ("S.", 0), (".", 100), ("S.", 100), ("F.", 0)):
        script = Script(f"simultaneous open, completed by {answer} with {length} bytes")
        script.connect()
        script.syn(ts=False)
        script.rest(0.1)
        script.ack = 1
        script.segment(answer, length, seq=0 if "S" in answer else None, mss=1000 if "S" in answer else None)
        script.call("error", after=0.06)
        script.call("recv", 1000)
        script.call("send", 100)
        script.rest(0.06)
        script.info("state")
        yield script
    for how in ("shutdown", "close"):
        for answer in (".", "S.") if how == "close" else (".",):
            script = Script(f"simultaneous open, {how} before {answer}")
            script.connect()
            script.syn(ts=False)
            script.call("send", 10)
            script.call(how, *([1] if how == "shutdown" else []))
            script.segment(answer, seq=0 if "S" in answer else 1, ack=1, after=0.06)
            script.segment(".", seq=1, ack=12, after=0.05)
            script.segment("F.", seq=1, ack=12)
            script.rest(0.06)
            yield script
    script = Script("simultaneous open, not completed")
    script.connect()
    script.syn(ts=True, ws=3, after=0.1)
    script.rest(2.5)
    script.segment("S", seq=0, mss=1000, after=0.1)
    script.segment("R", seq=1)
    script.call("error")
    yield script


# -- LISTEN and CLOSED ------------------------------------------------------------------------------


def not_connected():
    for flags in FLAGS:
        for place in ("closed port", "listener"):
            script = Script(f"{flags or 'no flags'} to a {place}")
            if place == "listener":
                script.listen()
            script.segment(flags, seq=100, ack=200)
            script.segment(flags, 10, seq=100, ack=200, after=0.02)
            script.rest(0.05)
            yield script
    script = Script("a SYN with data to a listener")
    script.listen()
    script.segment("S", 10, mss=1000)
    script.segment(".", seq=1, ack=1)
    script.call("accept", "l")
    script.call("recv", 100)
    script.segment("P.", 10, seq=1, ack=1)
    script.call("recv", 100)
    yield script
    script = Script("a timestamp on the SYN to a closed port")
    script.segment("S", ts=TS_BASE, mss=1000, sack_ok=True, ws=2)
    yield script


# -- SYN-SENT ---------------------------------------------------------------------------------------


def syn_sent():
    cases = {
        "R. right": ("R.", 0, 1), "R. wrong": ("R.", 0, 2), "R. of the ISS": ("R.", 0, 0),
        "R": ("R", 0, None),
        ". wrong": (".", 0, 2), ". of the ISS": (".", 0, 0), ". right": (".", 0, 1),
        "F": ("F", 0, None), "F. right": ("F.", 0, 1), "data": ("P", 10, None),
        "data, ack right": ("P.", 10, 1),
        "data, ack wrong": ("P.", 10, 100), "S. wrong": ("S.", 0, 2), "S. of the ISS": ("S.", 0, 0),
        "SR.": ("SR.", 0, 1), "SR": ("SR", 0, None), "no flags": ("", 0, None), "SF.": ("SF.", 0, 1),
        "S. with data": ("S.", 100, 1), "S with data": ("S", 100, None), "SF": ("SF", 0, None),
    }
    for name, (flags, length, ack) in cases.items():
        script = Script(f"in SYN-SENT: {name}")
        script.reach("SYN-SENT")
        script.segment(flags, length, seq=0, ack=ack, after=0.05)
        script.call("error", after=0.02)
        script.segment("S.", seq=0, ack=1, mss=1000)
        script.segment("P.", 10, seq=1, ack=1)
        script.call("recv", 1000)
        script.call("send", 10)
        script.rest(0.06)
        script.info("state")
        yield script
    script = Script("in SYN-SENT: a SYN-ACK that echoes a time stamp never sent")
    script.reach("SYN-SENT")
    script.segment("S.", seq=0, ack=1, mss=1000, ts=TS_BASE, ecr=("raw", 12345))
    script.rest(0.05)
    script.info("state")
    yield script
    for name in ("close", "shutdown"):
        script = Script(f"in SYN-SENT: {name}")
        script.reach("SYN-SENT")
        script.call(name, *([2] if name == "shutdown" else []), after=0.05)
        script.segment("S.", seq=0, ack=1, mss=1000)
        script.rest(0.05)
        yield script
    for name, calls in (("recv", [("recv", 10), ("recv", 10), ("send", 10)]), ("error", [("error",), ("recv", 10)]),
                        ("send", [("send", 10), ("send", 10), ("recv", 10)]), ("connect", [("connect",), ("error",)])):
        script = Script(f"in SYN-SENT: shutdown, then {name}")
        script.reach("SYN-SENT")
        script.call("shutdown", 1)
        for call in calls:
            script.call(*call)
        yield script
    script = Script("in SYN-SENT: RST, then connect and recv")
    script.reach("SYN-SENT")
    script.segment("R.", seq=0, ack=1)
    for call in (("connect",), ("recv", 10), ("send", 10), ("connect",)):
        script.call(*call)
    yield script
    script = Script("in SYN-SENT: calls")
    script.reach("SYN-SENT")
    for name, *args in (("connect",), ("send", 10), ("recv", 10), ("error",)):
        script.call(name, *args)
    script.segment("S.", seq=0, ack=1, mss=1000)
    for name, *args in (("connect",), ("send", 10), ("recv", 10), ("connect",), ("error",)):
        script.call(name, *args)
    script.rest(0.05)
    yield script


# -- SYN-RECEIVED -----------------------------------------------------------------------------------


def syn_received():
    cases = {
        "RST exact": ("R", 0, 1, None), "RST in the window": ("R", 0, 2, None),
        "RST far": ("R", 0, 100000, None),
        "RST below": ("R", 0, 0, None), "RST. exact": ("R.", 0, 1, 1),
        "RST. exact, ack wrong": ("R.", 0, 1, 5),
        "ACK too high": (".", 0, 1, 2), "ACK of the ISS": (".", 0, 1, 0), "ACK too low": (".", 0, 1, -5),
        "ACK too high, with data": ("P.", 10, 1, 2), "ACK out of window": (".", 0, 100000, 1),
        "SYN in the window": ("S", 0, 5, None), "SYN out of the window": ("S", 0, 100000, None),
        "SYN-ACK": ("S.", 0, 0, 1), "FIN": ("F", 0, 1, None), "FIN.": ("F.", 0, 1, 1),
        "data": ("P.", 10, 1, 1),
        "data without ACK": ("P", 10, 1, None), "later data": ("P.", 10, 11, 1), "no flags": ("", 0, 1, None),
        "SYN with data": ("S", 10, 0, None), "old data": ("P.", 10, -20, 1),
        "old FIN": ("F.", 0, 0, 1), "data up to the window": ("P.", 10, -9, 1), "old SYN with RST": ("SR.", 0, 0, 1),
        "FIN at the right edge": ("F", 0, 64241, None), "data at the right edge": ("P.", 10, 64241, 1),
        "SYN-ACK in the window": ("S.", 0, 5, 1), "SYN and FIN at the edge": ("SF", 0, 64241, None),
    }
    for name, (flags, length, seq, ack) in cases.items():
        script = Script(f"in SYN-RECEIVED: {name}")
        script.reach("SYN-RECEIVED")
        script.segment(flags, length, seq=seq, ack=ack, after=0.05)
        script.call("accept", "l", after=0.02)
        script.segment(".", seq=1, ack=1)
        script.call("accept", "l")
        script.segment("P.", 10, seq=1, ack=1)
        script.call("recv", 100)
        script.rest(0.06)
        yield script
    for name, flags, seq, ack, rest in (("the same SYN without a time stamp", "S", 0, None, {"ts": False}),
                                        ("another SYN without a time stamp", "S", 100, None, {"ts": False}),
                                        ("ACK too high, from the past", ".", 1, 100, {"ts": 1}),
                                        ("an echo never sent", ".", 1, 1, {"ecr": ("raw", 12345)})):
        script = Script(f"in SYN-RECEIVED: {name}")
        script.listen()
        script.syn(ts=True)
        script.segment(flags, seq=seq, ack=ack, after=0.02, **rest)
        script.call("accept", "l", after=0.02)
        script.rest(0.05)
        yield script
    for stamp in (1, 0x80000001, 0xFFFFFFF0):
        script = Script(f"a time stamp of 0 on the SYN, then {stamp:#x}")
        script.listen()
        script.segment("S", mss=1000, sack_ok=True, raw=bytes.fromhex("0402080a0000000000000000"))
        script.segment(".", ack=1, ts=stamp, after=0.02)
        script.call("accept", "l")
        script.segment("P.", 10, ack=1, ts=stamp)
        script.segment("P.", 10, ack=1, ts=stamp + 4)
        script.rest(0.06)
        yield script
    script = Script("in SYN-RECEIVED: a RST is challenged though the peer's window is closed")
    script.listen()
    script.syn(win=0)
    script.segment("R", seq=100)
    script.rest(0.02)
    yield script
    script = Script("the listener closes while handshakes are under way")
    script.listen()
    script.syn()
    script.segment("S", seq=0, mss=1000, port=8)
    script.segment(".", seq=1, ack=1, port=8)
    script.call("close", on="l", after=0.05)
    script.segment(".", ack=1, after=0.05)
    script.rest(0.05)
    yield script


def last_ack_of_the_handshake():
    for name, flags, length in (("data", "P.", 100), ("a FIN", "F.", 0), ("data and a FIN", "FP.", 100)):
        script = Script(f"the handshake's last ACK carries {name}")
        script.listen()
        script.syn()
        script.segment(flags, length, ack=1)
        script.call("accept", "l", after=0.06)
        script.call("recv", 1000)
        script.call("recv", 1000)
        script.rest(0.06)
        yield script
    script = Script("defer accept")
    script.listen(options=[("TCP_DEFER_ACCEPT", 3)])
    script.syn()
    script.segment(".", ack=1)
    script.call("accept", "l")
    script.rest(0.5)
    script.segment("P.", 10, ack=1)
    script.call("accept", "l")
    script.call("recv", 100)
    script.rest(0.06)
    yield script
    script = Script("defer accept, no data comes")
    script.listen(options=[("TCP_DEFER_ACCEPT", 1)])
    script.syn()
    script.segment(".", ack=1)
    script.call("accept", "l")
    script.rest(1.5)
    script.segment(".", ack=1)
    script.call("accept", "l")
    script.rest(0.1)
    yield script


def queues():
    script = Script("the accept queue is full")
    script.listen(0)
    for port in (8, 9, 10):
        script.segment("S", seq=0, mss=1000, port=port)
        script.segment(".", seq=1, ack=1, port=port)
    script.call("accept", "l", on="a", after=0.2)
    script.segment(".", seq=1, ack=1, port=9, after=0.1)
    script.call("accept", "l", on="b")
    script.call("accept", "l", on="d")
    script.rest(1.3)
    script.segment(".", seq=1, ack=1, port=9, after=0.1)
    script.call("accept", "l", on="b")
    yield script
    for cookies in (1, 0):
        script = Script(f"the SYN queue is full, syncookies {cookies}", sysctls={"syncookies": cookies},
                        tipy_settings={"syncookies": bool(cookies)})
        script.listen(1)
        for port in (8, 9, 10, 11):
            script.segment("S", seq=0, mss=1000, sack_ok=True, port=port)
        for port in (11, 10):
            script.segment(".", seq=1, ack=1, port=port, after=0.05)
            script.call("accept", "l", on=f"a{port}")
        script.segment("P.", 10, seq=1, ack=1, port=11)
        script.rest(0.1)
        yield script
    for ts in (None, 5000):
        for ws in (None, 7):
            script = Script(f"a SYN cookie, time stamp {ts}, window scale {ws}", sysctls={"syncookies": 1})
            script.listen(1)
            for port in (8, 9, 10):
                script.segment("S", seq=0, mss=1000, sack_ok=True, port=port)
            script.segment("S", seq=0, mss=1000, sack_ok=True, ws=ws, ts=ts, ecr=("raw", 0), port=11)
            script.segment(".", seq=1, ack=1, port=11, ts=ts and ts + 50, after=0.05)
            script.call("accept", "l", on="a")
            script.call("info", "state", "snd_mss", "options", on="a")
            script.segment("P.", 10, seq=11, ack=1, port=11, ts=ts and ts + 60)
            script.rest(0.1)
            yield script
