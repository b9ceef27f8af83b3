"""Scripts: ICMP, path MTU, time stamps."""

from differ_script import TS_BASE, Script

RTT = 0.05


def scripts():
    """All of this module's scripts."""
    yield from unreachable()
    yield from path_mtu()
    yield from time_stamps()


def unreachable():
    kinds = [(3, code) for code in range(16)] + [(4, 0), (11, 0), (11, 1), (12, 0), (12, 1), (3, 100),
                                                 (5, 1), (42, 0)]
    for type, code in kinds:
        if (type, code) == (3, 4):
            continue
        script = Script(f"icmp {type}/{code} in SYN-SENT")
        script.reach("SYN-SENT")
        script.icmp(type, code, seq=0, after=0.05)
        script.call("error")
        script.segment("S.", seq=0, ack=1, mss=1000)
        script.rest(0.02)
        yield script
    for type, code in ((3, 0), (3, 1), (3, 2), (3, 3), (3, 13), (4, 0), (11, 0), (12, 0)):
        script = Script(f"icmp {type}/{code} in ESTABLISHED")
        script.passive(rtt=RTT)
        script.call("send", 100)
        script.icmp(type, code, seq=1, after=0.02)
        script.call("error")
        script.call("send", 100)
        script.rest(0.4)
        script.segment(".", ack=201)
        script.call("error")
        yield script
        script = Script(f"icmp {type}/{code} in SYN-RECEIVED")
        script.reach("SYN-RECEIVED")
        script.icmp(type, code, seq=0, after=0.02)
        script.segment(".", ack=1)
        script.call("accept", "l")
        yield script
    for seq in (-1, 1, 2):
        script = Script(f"icmp 3/3 in SYN-SENT about segment {seq}")
        script.reach("SYN-SENT")
        script.icmp(3, 3, seq=seq, after=0.05)
        script.call("error")
        script.segment("S.", seq=0, ack=1, mss=1000)
        yield script
    script = Script("icmp host unreachable, then a timeout")
    script.passive(rtt=RTT)
    script.call("set", "TCP_USER_TIMEOUT", 500)
    script.call("send", 100)
    script.icmp(3, 1, seq=1, after=0.02)
    script.rest(1.5)
    script.call("error")
    yield script


def path_mtu():
    script = Script("fragmentation needed about a SYN-ACK")
    script.reach("SYN-RECEIVED")
    script.icmp(3, 4, seq=0, mtu=552)
    script.segment(".", ack=1)
    script.call("accept", "l")
    script.call("send", 1000)
    script.rest(0.02)
    yield script
    for mtu in (1400, 1000, 576, 500, 300, 68, 0, 1500, 5000):
        script = Script(f"fragmentation needed, MTU {mtu}")
        script.passive(rtt=RTT, mss=1460)
        script.call("send", 4380)
        script.icmp(3, 4, seq=1, mtu=mtu, after=0.03)
        script.info("ca_state", "snd_cwnd", "snd_mss", "lost", "retrans")
        script.segment(".", ack=4381, after=0.05)
        script.call("send", 1460)
        script.info("ca_state", "snd_cwnd", "snd_mss")
        yield script
    for seq in (-1459, 4381, 5000, 1461, 2000):
        script = Script(f"fragmentation needed about segment {seq}")
        script.passive(rtt=RTT, mss=1460)
        script.call("send", 4380)
        script.icmp(3, 4, seq=seq, mtu=1000, after=0.03)
        script.info("ca_state", "snd_mss", "lost", "retrans")
        script.rest(0.02)
        yield script
    script = Script("fragmentation needed with time stamps")
    script.passive(rtt=RTT, mss=1460, ts=True)
    script.call("send", 4380)
    script.icmp(3, 4, seq=1, mtu=1000, after=0.03)
    script.info("ca_state", "snd_mss")
    script.rest(0.02)
    yield script
    script = Script("fragmentation needed for the second of three")
    script.passive(rtt=RTT, mss=1460)
    script.call("send", 4380)
    script.segment(".", ack=1461, after=RTT)
    script.icmp(3, 4, seq=1461, mtu=1000)
    script.segment(".", ack=2421, after=RTT)
    script.info("ca_state", "snd_cwnd", "snd_mss")
    script.rest(0.02)
    yield script
    script = Script("fragmentation needed in SYN-SENT")
    script.reach("SYN-SENT")
    script.icmp(3, 4, seq=0, mtu=1000, after=0.02)
    script.segment("S.", seq=0, ack=1, mss=1460)
    script.call("send", 3000)
    script.rest(0.02)
    yield script


def time_stamps():
    script = Script("time stamps: which one is echoed")
    script.passive(ts=True)
    script.segment("P.", 100, seq=1, ts=5000)
    script.segment("P.", 100, seq=201, ts=5010)          # early: does not count
    script.segment("P.", 100, seq=101, ts=5020)
    script.segment("P.", 100, seq=301, ts=5030)
    script.segment(".", seq=401, ts=5040)
    script.call("send", 10)
    script.rest(0.06)
    yield script
    script = Script("time stamps: a delayed ACK echoes the oldest")
    script.passive(ts=True, rtt=0.02)
    script.segment("P.", 100)
    script.call("recv", 100)
    script.call("send", 10)
    script.segment(".", ack=11, ts=4990, after=0.02)
    script.segment("P.", 100, ts=5000, after=0.005)
    script.segment("P.", 100, ts=5010, after=0.005)
    script.rest(0.08)
    yield script
    for name, stamp in (("equal", 5000), ("older", 4999), ("much older", 5000 - 0x7FFFFFFF & 0xFFFFFFFF),
                        ("half the circle", 5000 + 0x80000000), ("newer", 5000 + 0x7FFFFFFF)):
        script = Script(f"PAWS: a stamp {name}")
        script.passive(ts=True)
        script.segment("P.", 100, ts=5000)
        script.segment("P.", 100, ts=stamp & 0xFFFFFFFF)
        script.call("recv", 1000)
        script.rest(0.05)
        yield script
    for flags, length in ((".", 0), ("P.", 100), ("F.", 0), ("R", 0), ("R.", 0)):
        script = Script(f"no time stamp although agreed: {flags} {length}")
        script.passive(ts=True)
        script.segment(flags, length, ts=False)
        script.call("recv", 1000, after=0.06)
        script.call("error")
        yield script
    script = Script("a time stamp although not agreed")
    script.passive()
    script.segment("P.", 100, ts=TS_BASE)
    script.call("recv", 1000)
    script.rest(0.05)
    yield script
    script = Script("time stamps: retransmissions carry fresh ones, RST too")
    script.passive(ts=True, rtt=RTT)
    script.call("send", 100)
    script.rest(0.6)
    script.segment("P.", 10)
    script.call("close")
    yield script
    script = Script("time stamps: an echo of zero or nonsense")
    script.passive(ts=True, rtt=RTT)
    script.call("send", 100)
    script.segment(".", ack=101, ecr=("raw", 0), after=RTT)
    script.call("send", 100)
    script.segment(".", ack=201, ecr=("raw", 77777777), after=RTT)
    script.info("state", "ca_state")
    script.call("send", 100)
    script.rest(0.4)
    yield script
