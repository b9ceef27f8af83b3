"""Scripts: what random peers have taught us about receiving. FINs and early text, urgent pointers, buffers."""

from differ_script import Script


def scripts():
    """All of this module's scripts."""
    yield from fins()
    yield from urgent()
    yield from buffers()
    yield from keepalive()


def fins():
    script = Script("a FIN in order, although text came early behind it")
    script.passive()
    script.segment("P.", 300, seq=101)
    script.segment("F.", 100, seq=1)
    script.rest(0.06)
    script.call("recv", 1000)
    script.call("recv", 1000)
    script.info("state")
    yield script


    script = Script("an early FIN in the middle of what comes later")
    script.passive()
    script.segment("F.", seq=11)
    script.segment("P.", 20, seq=1)
    script.rest(0.06)
    yield script
    for state, length in (("FIN-WAIT-1", 10), ("FIN-WAIT-1", 20), ("FIN-WAIT-2", 10), ("FIN-WAIT-2", 20)):
        flags = "F." if length == 10 else "FP."
        script = Script(f"{state}: the last {length} bytes and the FIN, partly again")
        script.reach(state)
        script.segment("P.", 10)
        script.segment(flags, length, seq=1)
        script.rest(0.06)
        yield script


def urgent():
    script = Script("an urgent pointer to what is here already")
    script.passive()
    script.segment("P.", 10)
    script.segment("P.U", 10, seq=1, urgent=3)
    script.call("recv", 1, oob=True)
    script.call("recv", 100)
    yield script
    script = Script("an urgent pointer to what came early")
    script.passive()
    script.segment("P.", 10, seq=11)
    script.segment("P.", 10, seq=1)
    script.segment("P.U", 15, seq=11, urgent=1)
    script.call("recv", 100)
    yield script


def buffers():
    script = Script("a receive buffer larger than any window")
    script.passive(ws=None)
    script.call("set", "SO_RCVBUF", 1000000)
    for _ in range(3):
        script.segment("P.", 10)
        script.call("recv", 100)
        script.rest(0.06)
    yield script
    script = Script("SO_RCVLOWAT, and a read that does not wait")
    script.passive()
    script.call("set", "SO_RCVLOWAT", 5000)
    script.segment("P.", 10)
    script.call("recv", 100)
    script.call("recv", 100)
    yield script


def keepalive():
    script = Script("keepalive: what the peer sends shows that it is there")
    script.passive()
    for option, value in (("TCP_KEEPCNT", 2), ("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("SO_KEEPALIVE", 1)):
        script.call("set", option, value, after=0)
    for _ in range(2):
        script.segment("P.", 10, after=1.15)
    script.rest(1.2)
    script.call("error")
    yield script
