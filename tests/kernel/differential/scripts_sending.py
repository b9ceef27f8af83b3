"""Scripts: when data and ACKs are sent. Delayed ACKs, Nagle, cork, windows, persist, keepalive, urgent "
"data."""

from differ_script import Script


def scripts():
    """All of this module's scripts."""
    yield from delayed_acks()
    yield from immediate_acks()
    yield from nagle()
    yield from cork()
    yield from pushes()
    yield from peer_windows()
    yield from persist()
    yield from own_window()
    yield from urgent()
    yield from keepalive()
    yield from user_timeout()
    yield from unsent_limit()
    yield from marks()


# -- ACKs -----------------------------------------------------------------------------------------


def conversation(script, **how):
    """Use up quick ACKs: data in, an answer out at once; from then on ACKs are delayed."""
    script.passive(rtt=0.02, **how)
    script.segment("P.", 100)
    script.call("recv", 1000)
    script.call("send", 100)
    script.segment(".", ack=101, after=0.02)


def delayed_acks():
    script = Script("the first segments are acknowledged at once")
    script.passive()
    for _ in range(14):
        script.segment("P.", 1000, after=0.01)
        script.call("recv", 5000, after=0)
    script.rest(0.08)
    yield script
    script = Script("small segments, acknowledged at once at first")
    script.passive()
    for _ in range(24):
        script.segment("P.", 10, after=0.01)
        script.call("recv", 5000, after=0)
    script.rest(0.08)
    yield script
    script = Script("in a conversation the ACK is delayed")
    conversation(script)
    script.segment("P.", 100, after=0.01)
    script.rest(0.08)
    script.segment("P.", 100)
    script.rest(0.08)
    yield script
    script = Script("in a conversation the ACK rides on the answer")
    conversation(script)
    for number in range(3):
        script.segment("P.", 100)
        script.call("recv", 1000, after=0.01)
        script.call("send", 50, after=0)
        script.segment(".", ack=151 + 50 * number, after=0.02)
    script.rest(0.06)
    yield script
    script = Script("in a conversation every second full segment is acknowledged")
    conversation(script, ws=7)
    for _ in range(6):
        script.segment(".", 1000)
    script.rest(0.08)
    yield script
    script = Script("in a conversation two small segments wait")
    conversation(script, ws=7)
    for _ in range(5):
        script.segment("P.", 300)
    script.rest(0.08)
    yield script
    for value in (0, 1):
        script = Script(f"TCP_QUICKACK {value}")
        conversation(script)
        script.call("set", "TCP_QUICKACK", value)
        for _ in range(3):
            script.segment("P.", 100, after=0.06)
        script.rest(0.08)
        yield script
    script = Script("TCP_QUICKACK 0 from the start")
    script.passive()
    script.call("set", "TCP_QUICKACK", 0)
    for _ in range(3):
        script.segment("P.", 100, after=0.06)
    script.rest(0.08)
    yield script
    script = Script("a silence makes ACKs quick again")
    conversation(script)
    script.segment("P.", 100, after=0.01)
    script.rest(0.6)
    script.segment("P.", 100)
    script.rest(0.08)
    script.segment("P.", 100)
    script.rest(0.08)
    yield script
    script = Script("an ACK already delayed goes with TCP_QUICKACK")
    conversation(script)
    script.segment("P.", 100, after=0.01)
    script.call("set", "TCP_QUICKACK", 1, after=0.01)
    script.rest(0.08)
    yield script


def immediate_acks():
    cases = {
        "early": [(500, 100)], "early twice": [(500, 100), (700, 100)], "again": [(-99, 100)],
        "gap filled": [(101, 100), (1, 100)], "gap half filled": [(301, 100), (1, 100), (101, 100)],
        "overlap": [(-49, 100)], "FIN": [(1, 0)],
    }
    for name, pieces in cases.items():
        script = Script(f"in a conversation an ACK is due at once: {name}")
        conversation(script)
        for seq, length in pieces:
            script.segment("F." if not length else "P.", length, seq=100 + seq, after=0.02)
        script.rest(0.08)
        yield script


# -- Nagle, cork ----------------------------------------------------------------------------------


def nagle():
    for nodelay in (0, 1):
        script = Script(f"small writes, TCP_NODELAY {nodelay}")
        script.passive(rtt=0.04, options=[("TCP_NODELAY", nodelay)])
        for _ in range(3):
            script.call("send", 100)
        script.segment(".", ack=101, after=0.02)
        script.call("send", 1500)
        script.call("send", 100)
        script.segment(".", ack=1001, after=0.02)
        script.rest(0.02)
        yield script
    script = Script("TCP_NODELAY set while data waits")
    script.passive(rtt=0.04)
    script.call("send", 100)
    script.call("send", 100)
    script.call("set", "TCP_NODELAY", 1)
    script.rest(0.02)
    yield script
    script = Script("Nagle and a FIN")
    script.passive(rtt=0.04)
    script.call("send", 100)
    script.call("send", 100)
    script.call("shutdown", 1)
    script.rest(0.02)
    yield script
    script = Script("Nagle lets a full segment go")
    script.passive(rtt=0.04)
    script.call("send", 100)
    script.call("send", 950)
    script.call("send", 60)
    script.segment(".", ack=101, after=0.02)
    script.rest(0.02)
    yield script
    script = Script("Nagle holds the tail after full segments")
    script.passive(rtt=0.04)
    script.call("send", 2100)
    script.call("send", 100)
    script.segment(".", ack=2001, after=0.02)
    script.rest(0.02)
    yield script


def cork():
    script = Script("TCP_CORK and its release")
    script.passive(rtt=0.04, options=[("TCP_CORK", 1)])
    script.call("send", 100)
    script.call("send", 1000)
    script.call("send", 100)
    script.call("set", "TCP_CORK", 0, after=0.02)
    script.rest(0.02)
    yield script
    script = Script("TCP_CORK holds no longer than 200 ms")
    script.passive(rtt=0.04, options=[("TCP_CORK", 1)])
    script.call("send", 100)
    script.rest(0.45)
    yield script
    script = Script("TCP_CORK and TCP_NODELAY")
    script.passive(rtt=0.04, options=[("TCP_CORK", 1)])
    script.call("send", 100)
    script.call("set", "TCP_NODELAY", 1)
    script.call("send", 100)
    script.call("set", "TCP_CORK", 0)
    script.rest(0.02)
    yield script
    script = Script("TCP_CORK and a close")
    script.passive(rtt=0.04, options=[("TCP_CORK", 1)])
    script.call("send", 100)
    script.call("close", after=0.02)
    script.rest(0.02)
    yield script
    script = Script("MSG_MORE, then a plain write")
    script.passive(rtt=0.04)
    script.call("send", 100, more=True)
    script.call("send", 1000, more=True)
    script.call("send", 100, after=0.02)
    script.rest(0.02)
    yield script
    script = Script("MSG_MORE alone")
    script.passive(rtt=0.04, options=[("TCP_NODELAY", 1)])
    script.call("send", 100, more=True)
    script.rest(0.45)
    yield script
    script = Script("MSG_MORE while data is in flight, NODELAY")
    script.passive(rtt=0.04, options=[("TCP_NODELAY", 1)])
    script.call("send", 100)
    script.call("send", 100, more=True)
    script.segment(".", ack=101, after=0.02)
    script.rest(0.45)
    yield script


def pushes():
    script = Script("PSH ends each write")
    script.passive(rtt=0.04, options=[("TCP_NODELAY", 1)])
    for size in (1000, 2000, 500, 1500):
        script.call("send", size)
    script.rest(0.02)
    yield script
    script = Script("PSH when a write waited for the window")
    script.passive(rtt=0.04, win=1000)
    for size in (1000, 2000, 500):
        script.call("send", size)
    script.segment(".", ack=1001, win=60000, after=0.04)
    script.rest(0.02)
    yield script


# -- the peer's window ----------------------------------------------------------------------------


def peer_windows():
    for window in (0, 500, 1000, 1001, 1999, 2000):
        script = Script(f"a peer's window of {window}", pushes=False)
        script.passive(rtt=0.04, win=window)
        script.call("send", 5000)
        script.rest(0.1)
        script.segment(".", ack=1, win=window)
        script.segment(".", ack=1, win=3000)
        script.rest(0.05)
        yield script
    script = Script("the peer's window shrinks")
    script.passive(rtt=0.04, win=10000)
    script.call("send", 5000)
    script.segment(".", ack=1001, win=2000, after=0.04)
    script.call("send", 5000)
    script.segment(".", ack=3001, win=1000, after=0.04)
    script.rest(0.3)
    yield script
    script = Script("the peer's window shrinks to nothing with data in flight")
    script.passive(rtt=0.04, win=10000)
    script.call("send", 5000)
    script.segment(".", ack=1, win=0, after=0.04)
    script.rest(1.0)
    script.segment(".", ack=5001, win=10000)
    script.rest(0.05)
    script.info()
    yield script
    script = Script("a window update on an old ACK is not believed", pushes=False)
    script.passive(rtt=0.04, win=2000)
    script.call("send", 5000)
    script.segment(".", ack=2001, win=0, after=0.04)
    script.segment(".", ack=1001, win=20000)
    script.rest(0.05)
    script.segment(".", ack=2001, win=20000)
    script.rest(0.02)
    yield script


def persist():
    script = Script("persist: probes and back-off", pushes=False)
    script.passive(rtt=0.04, win=1000)
    script.call("send", 3000)
    script.segment(".", ack=1001, win=0, after=0.04)
    script.rest(3.4)
    script.segment(".", ack=1001, win=0)
    script.rest(0.1)
    script.segment(".", ack=1001, win=5000)
    script.rest(0.05)
    yield script
    script = Script("persist: answered probes", pushes=False)
    script.passive(rtt=0.04, win=1000)
    script.call("send", 3000)
    script.segment(".", ack=1001, win=0, after=0.04)
    for pause in (0.3, 0.6, 1.0):
        script.segment(".", ack=1001, win=0, after=pause)
    script.rest(0.6)
    yield script
    script = Script("persist: a FIN waits behind data", pushes=False)
    script.passive(rtt=0.04, win=1000)
    script.call("send", 1500)
    script.call("shutdown", 1)
    script.segment(".", ack=1001, win=0, after=0.04)
    script.rest(0.6)
    script.segment(".", ack=1001, win=100)
    script.rest(0.62)
    yield script
    script = Script("a bare FIN at a closed window")
    script.passive(rtt=0.04, win=1000)
    script.call("send", 1000)
    script.segment(".", ack=1001, win=0, after=0.04)
    script.call("shutdown", 1)
    script.rest(0.6)
    yield script
    script = Script("persist: user timeout", pushes=False)
    script.passive(rtt=0.04, win=1000)
    script.call("set", "TCP_USER_TIMEOUT", 800)
    script.call("send", 3000)
    script.segment(".", ack=1001, win=0, after=0.04)
    for pause in (0.3, 0.2, 1.2, 0.1):
        script.segment(".", ack=1001, win=0, after=pause)
    script.call("error")
    yield script


# -- our window -----------------------------------------------------------------------------------


def own_window():
    script = Script("the window fills, and opens as the program reads")
    script.passive(options=[("SO_RCVBUF", 8192)], ws=0)
    for _ in range(7):
        script.segment("P.", 1000, after=0.001)
    script.rest(0.06)
    for size in (500, 1000, 5500):
        script.call("recv", size, after=0.05)
    script.rest(0.06)
    yield script
    script = Script("probes of a closed window")
    script.passive(options=[("SO_RCVBUF", 4096)], ws=0)
    for _ in range(6):
        script.segment("P.", 1000)
    for _ in range(2):
        script.segment("P.", 1, seq=script.next, after=0.6)
        script.segment(".", 0, seq=script.next - 1, after=0.6)
    for size in (100, 1000, 5000):
        script.call("recv", size, after=0.02)
    script.rest(0.06)
    yield script
    script = Script("a FIN at our closed window")
    script.passive(options=[("SO_RCVBUF", 4096)], ws=0, mss=1000)
    for _ in range(5):
        script.segment("P.", 1000)
    script.segment("F.", seq=script.next)
    script.rest(0.06)
    script.info("state")
    yield script
    for ws in (None, 7):
        script = Script(f"the window after small segments, scale {ws}")
        script.passive(ws=ws, mss=1460)
        for size in (10, 100, 500, 1000, 1460):
            script.segment("P.", size)
            script.call("recv", 10000)
        script.call("send", 100)
        script.rest(0.06)
        yield script


# -- urgent data ----------------------------------------------------------------------------------


def urgent():
    script = Script("sending urgent data")
    script.passive(rtt=0.04)
    script.call("send", 5, oob=True)
    script.call("send", 5)
    script.segment(".", ack=6, after=0.02)
    script.call("send", 3, oob=True)
    script.segment(".", ack=14, after=0.02)
    script.rest(0.02)
    yield script
    script = Script("receiving urgent data")
    script.passive()
    script.segment("P.U", 5, urgent=5)
    for name, size, rest in (("recv", 10, {"oob": True}), ("recv", 10, {}), ("recv", 10, {"oob": True}),
                             ("recv", 10, {})):
        script.call(name, size, **rest)
    script.segment("P.", 5)
    script.call("recv", 10)
    yield script
    script = Script("receiving urgent data inline")
    script.passive()
    script.call("set", "SO_OOBINLINE", 1)
    script.segment("P.U", 5, urgent=3)
    for rest in ({"oob": True}, {}, {}, {}):
        script.call("recv", 10, **rest)
    yield script
    script = Script("an urgent pointer beyond what has come")
    script.passive()
    script.segment("P.U", 5, urgent=8)
    script.call("recv", 10, oob=True)
    script.call("recv", 10)
    script.segment("P.", 5)
    for rest in ({"oob": True}, {}, {}):
        script.call("recv", 10, **rest)
    yield script
    script = Script("two urgent bytes, the first unread")
    script.passive()
    script.segment("P.U", 5, urgent=5)
    script.segment("P.U", 5, urgent=5)
    for rest in ({}, {"oob": True}, {}, {}):
        script.call("recv", 20, **rest)
    yield script


# -- keepalive, user timeout ----------------------------------------------------------------------

KEEPALIVE = [("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 2)]


def keepalive():
    script = Script("keepalive: no answer")
    script.passive(options=KEEPALIVE)
    script.rest(3.8)
    script.call("error")
    script.segment(".", ack=1)
    script.rest(0.05)
    yield script
    script = Script("keepalive: answered")
    script.passive(options=KEEPALIVE, ts=True)
    script.segment(".", ack=1, after=1.3)
    script.segment(".", ack=1, after=1.2)
    script.segment("P.", 10, after=0.5)
    script.rest(1.3)
    yield script
    script = Script("keepalive: set on a live connection, values")
    script.passive()
    for option, value in KEEPALIVE:
        script.call("set", option, value, after=0)
    for option, _ in KEEPALIVE:
        script.call("get", option, after=0)
    script.rest(1.5)
    yield script
    script = Script("keepalive: user timeout decides")
    script.passive(options=[*KEEPALIVE, ("TCP_USER_TIMEOUT", 1500)])
    script.rest(3.5)
    script.call("error")
    yield script


def user_timeout():
    script = Script("user timeout with data in flight")
    script.passive(rtt=0.04)
    script.call("set", "TCP_USER_TIMEOUT", 1000)
    script.call("send", 100)
    script.rest(2.5)
    script.call("error")
    script.call("send", 10)
    script.segment(".", ack=101)
    script.rest(0.05)
    yield script
    script = Script("calls' values")
    script.passive()
    for option, value in (("TCP_USER_TIMEOUT", 1234), ("TCP_KEEPIDLE", 77), ("TCP_SYNCNT", 3),
                          ("TCP_LINGER2", 7),
                          ("TCP_NODELAY", 1), ("TCP_CORK", 1), ("SO_RCVBUF", 10000), ("SO_SNDBUF", 10000),
                          ("TCP_MAXSEG", 600), ("TCP_QUICKACK", 1), ("TCP_DEFER_ACCEPT", 5),
                          ("SO_RCVLOWAT", 10),
                          ("SO_KEEPALIVE", 1), ("TCP_KEEPCNT", 200), ("TCP_KEEPIDLE", 0),
                          ("TCP_NOTSENT_LOWAT", 99),
                          ("TCP_WINDOW_CLAMP", 100), ("IP_TTL", 300), ("IP_TOS", 0x13)):
        script.call("set", option, value, after=0)
        if not option.startswith("IP_"):
            script.call("get", option, after=0)
    script.rest(0.02)
    yield script


def unsent_limit():
    for lowat in (1, 1500, 4000):
        script = Script(f"TCP_NOTSENT_LOWAT {lowat}")
        script.passive()
        script.call("set", "TCP_NOTSENT_LOWAT", lowat)
        for length in (300, 300, 300, 59000, 1000):
            script.call("send", length, after=0)
        for ack in (2001, 4001, 6001):
            script.segment(".", ack=ack)
            script.call("send", 5000, after=0)
        yield script


# -- ECN ------------------------------------------------------------------------------------------


def marks():
    for answer in (False, True):
        script = Script("ECN marks" + (" in a conversation" if answer else ""), sysctls={"ecn": 1})
        script.passive(flags="SEW")
        script.segment("P.", 100, tos=2)
        script.call("recv", 1000)
        if answer:
            script.call("send", 100)
            script.segment(".", ack=101)
        for flags, tos in (("P.", 2), ("P.", 3), ("P.", 3), ("P.", 3), ("P.", 2), ("P.W", 2), ("P.", 2), ("P.", 2),
                           ("P.", 0), ("P.", 2), ("P.", 2), ("P.", 2)):
            script.segment(flags, 100, tos=tos, after=0.06)
            script.call("recv", 1000)
        script.rest(0.08)
        yield script
