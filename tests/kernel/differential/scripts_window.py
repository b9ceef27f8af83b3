"""Scripts: the congestion window, how it grows and when it starts over, ECN, TCP_USER_TIMEOUT."""

from differ_script import Script
from scripts_loss import MSS, RTT, at, flight, sacks


def scripts():
    """All of this module's scripts."""
    yield from user_timeout()
    yield from growth()
    yield from ecn()


def growth():
    script = Script("the first write")
    script.passive(rtt=RTT)
    script.call("send", 100 * MSS)
    yield script
    for used in (5, 6, 9, 10):
        script = Script(f"{used} of 10 in flight")
        flight(script, used)
        script.segment(".", ack=at(used + 1), after=0.05)
        script.info("snd_cwnd", "snd_ssthresh")
        script.call("send", 30 * MSS)
        script.info("snd_cwnd", "snd_ssthresh")
        yield script
    for per in (1, 2, 4, 10):
        for cc in ("reno", "cubic"):
            script = Script(f"slow start, an ACK per {per}, {cc}", cc=cc)
            flight(script, 10, write=90 * MSS)
            for index in range(per, 11, per):
                script.segment(".", ack=at(index + 1), after=0.05 if index == per else 0)
            script.info("snd_cwnd", "snd_ssthresh")
            for index in range(10 + per, 31, per) if cc == "reno" else ():
                script.segment(".", ack=at(index + 1), after=0.05 if index == 10 + per else 0)
            script.info("snd_cwnd", "snd_ssthresh")
            yield script
    script = Script("slow start after idle")
    flight(script, 10, write=10 * MSS)
    for index in range(1, 11):
        script.segment(".", ack=at(index + 1), after=0.05 if index == 1 else 0)
    script.call("send", 20 * MSS)
    script.segment(".", ack=at(31), after=0.05)
    script.info("snd_cwnd", "snd_ssthresh")
    script.rest(1.2)
    script.call("send", 40 * MSS)
    script.info("snd_cwnd", "snd_ssthresh")
    yield script
    script = Script("no slow start after idle", sysctls={"slow_start_after_idle": 0},
                    tipy_settings={"slow_start_after_idle": False})
    flight(script, 10, write=10 * MSS)
    script.segment(".", ack=at(11), after=0.05)
    script.rest(1.0)
    script.call("send", 40 * MSS)
    script.info("snd_cwnd", "snd_ssthresh")
    yield script
    script = Script("congestion avoidance, reno")
    flight(script, 10, write=60 * MSS)
    sacks(script, 1, [2, 3, 4])
    script.segment(".", ack=at(13), after=0.05)
    script.info("snd_cwnd", "snd_ssthresh")
    for turn in range(1, 5):
        script.segment(".", ack=at(13 + 4 * turn), after=0.05)
        script.info("snd_cwnd", "snd_ssthresh")
    yield script


# -- ECN ------------------------------------------------------------------------------------------


def ecn():
    for setting in (0, 1, 2):
        script = Script(f"passive ECN, setting {setting}", sysctls={"ecn": setting})
        script.passive(rtt=RTT, flags="SEW")
        script.call("send", 3000)
        script.segment(".E", ack=2001, after=0.05)
        script.call("send", 3000)
        script.info("snd_cwnd", "snd_ssthresh", "ca_state")
        script.segment("P.W", 100, ack=6001, tos=2, after=0.05)
        script.segment("P.", 100, tos=3)
        script.segment("P.", 100, tos=2)
        script.segment("P.W", 100, tos=2)
        script.rest(0.06)
        yield script
        for answer in ("S.", "S.E", "S.EW"):
            script = Script(f"active ECN, setting {setting}, answered {answer}", sysctls={"ecn": setting})
            script.connect()
            script.segment(answer, seq=0, ack=1, mss=1000, sack_ok=True, after=RTT)
            script.next = 1
            script.call("send", 3000)
            script.segment(".E", ack=3001, after=RTT)
            script.call("send", 3000)
            script.info("snd_cwnd", "ca_state")
            script.rest(0.02)
            yield script
    script = Script("ECN: a SYN without an answer", sysctls={"ecn": 1})
    script.connect()
    script.rest(3.6)
    yield script
    script = Script("ECN: retransmissions are not ECT", sysctls={"ecn": 1})
    script.passive(rtt=RTT, flags="SEW")
    script.call("send", 10000)
    sacks(script, 1, [2, 3, 4])
    script.rest(0.02)
    yield script
    for odd in ("SE", "SW", "SEWP"):
        script = Script(f"ECN: a SYN with {odd}", sysctls={"ecn": 1})
        script.listen()
        script.segment(odd, mss=1000)
        script.rest(0.02)
        yield script


def user_timeout():
    for timeout, answers in ((100, 0), (300, 0), (900, 5)):
        script = Script(f"user timeout {timeout}, the window closes on data in flight, {answers} answers")
        script.passive(rtt=0.03)
        script.call("set", "TCP_USER_TIMEOUT", timeout)
        script.call("send", 10)
        script.segment(".", seq=1, ack=1, win=0, after=0.01)
        for _ in range(answers):
            script.segment(".", seq=1, ack=1, after=0.3)
        script.rest(1.2)
        script.call("error")
        yield script
