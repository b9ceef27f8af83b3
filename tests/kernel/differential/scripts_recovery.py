"""Scripts: loss recovery's corners, found by playing random scripts against the kernel and tipy."""

from differ_script import Script
from scripts_loss import MSS, RTT, at, flight, sacks


def scripts():
    """All of this module's scripts."""
    yield from reordering()
    yield from reneging()
    yield from timeouts()
    yield from window()


def reordering():
    """What ACKs, SACKs and DSACKs tell of it."""
    for name, acked in (("all", 11), ("some", 6)):
        script = Script(f"a hole is overtaken, an ACK for {name} of the flight tells")
        flight(script, 10)
        script.segment(".", ack=1, sack=[(at(2), at(3))], after=0.04)
        script.segment(".", ack=at(acked))
        script.info("snd_cwnd", "ca_state", "reordering")
        yield script
    script = Script("a DSACK within what is SACKed")
    flight(script, 10)
    script.segment(".", ack=1, sack=[(at(4), at(9))], after=0.04)
    script.segment(".", ack=1, sack=[(at(2), at(9))])
    script.segment(".", ack=1, sack=[(at(2), at(3)), (at(2), at(9))])
    script.info("ca_state", "snd_cwnd", "snd_ssthresh", "reordering", "sacked", "lost", "retrans")
    script.segment(".", ack=at(9), sack=[(at(1), at(2))])
    script.segment(".", ack=at(9), sack=[(at(3), at(4))])
    script.info("ca_state", "snd_cwnd", "snd_ssthresh", "reordering", "sacked", "lost", "retrans")
    yield script
    script = Script("a DSACK of what its own ACK acknowledges")
    flight(script, 10, write=20 * MSS)
    sacks(script, 1, [2, 3, 4])
    script.segment(".", ack=at(11), after=0.01)
    script.segment(".", ack=at(13), sack=[(at(11), at(12)), (at(15), at(16))])
    script.info("ca_state", "snd_cwnd", "reordering", "sacked")
    yield script


def reneging():
    """The peer throws away what it had SACKed."""
    script = Script("the ACK stops below what was SACKed")
    flight(script, 10)
    script.segment(".", ack=1, sack=[(at(3), at(5))], after=0.04)
    script.segment(".", ack=at(3))
    script.rest(0.07)
    script.info()
    yield script
    script = Script("SACKs after the peer has reneged")
    flight(script, 10)
    script.segment(".", ack=1, sack=[(at(3), at(9))], after=0.04)
    script.segment(".", ack=at(3))
    script.rest(0.07)
    script.segment(".", ack=at(3), sack=[(at(4), at(5))])
    script.info("ca_state", "reordering", "sacked", "lost", "retrans")
    yield script


def timeouts():
    """Spurious ones, and what may be sent after one."""
    script = Script("F-RTO: an ACK of data never sent brings no retransmission")
    flight(script, 10, write=13 * MSS, sack=False)
    script.rest(0.5)
    script.segment(".", ack=at(5))
    script.segment(".", ack=at(30))
    script.info()
    yield script
    script = Script("F-RTO: the FIN is new data")
    flight(script, 5, sack=False)
    script.rest(0.5)
    script.call("shutdown", 1)
    script.segment(".", ack=at(2))
    script.info()
    script.segment(".", ack=at(3), after=0.01)
    script.info()
    yield script
    for ts in (True, False):
        script = Script(f"a spurious timeout: RACK does not find the same lost again, time stamps {ts}")
        script.pushes = False
        script.passive(rtt=RTT, ts=ts, mss=1012 if ts else MSS)
        script.call("send", 5 * MSS)
        script.segment(".", ack=1, sack=[(at(5), at(6))], ecr=0, after=0.04)
        script.rest(1.0)
        script.segment(".", ack=at(2), sack=[(at(3), at(4)), (at(5), at(6))], ecr=1)
        script.rest(0.03)
        script.info()
        yield script
    script = Script("a window closes after a timeout")
    flight(script, 5, sack=False)
    script.rest(0.4)
    script.segment(".", ack=at(2))
    script.segment(".", ack=at(6), win=0, after=0.04)
    script.call("send", 1000)
    script.rest(1.0)
    script.info("probes", "retrans")
    yield script
    script = Script("the reordering timer brings no new data")
    flight(script, 10, write=20 * MSS)
    script.segment(".", ack=at(2), after=0.04)
    script.rest(0.42)
    script.segment(".", ack=at(2), sack=[(at(4), at(5))], after=0.06)
    script.rest(0.05)
    script.info()
    yield script


def window():
    """How cwnd grows before and after a reduction."""
    script = Script("cwnd grew less than an RTO ago")
    flight(script, 10)
    script.segment(".", ack=at(6), after=0.04)
    script.rest(0.19)
    script.segment(".", ack=at(11))
    script.rest(0.11)
    script.call("send", 1000)
    script.info()
    yield script
    script = Script("cwnd grows anew after each reduction")
    flight(script, 10, write=40 * MSS)
    sacks(script, 1, [2, 3, 4])
    script.segment(".", ack=at(12), after=0.01)
    script.segment(".", ack=at(16))
    script.info("snd_cwnd", "snd_ssthresh", "ca_state", "unacked")
    sacks(script, 16, [17, 18, 19], first=0.004)
    for number in (21, 22, 23, 24, 25):
        script.segment(".", ack=at(number))
        script.info("snd_cwnd", "snd_ssthresh", "ca_state", "unacked")
    yield script
