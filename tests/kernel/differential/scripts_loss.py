"""Scripts: loss. What a receiver reports (SACK, DSACK), how a sender finds and repairs losses.

The round trip is 50 ms: long against the kernel's clock tick, short enough for many scripts.
"""

from differ_script import Script

RTT = 0.05
MSS = 1000


def scripts():
    """All of this module's scripts."""
    yield from sack_receiver()
    yield from dsack_receiver()
    yield from fast_retransmit()
    yield from traces()
    yield from without_sack()
    yield from odd_sacks()
    yield from rack()
    yield from probes()
    yield from timeouts()
    yield from undo()


# -- receiver -------------------------------------------------------------------------------------


def receive(script, pieces, **how):
    """Segments of the peer by number (1 = the first 100 bytes), or (first, last)."""
    script.passive(**how)
    for piece in pieces:
        first, last = piece if isinstance(piece, tuple) else (piece, piece)
        script.segment("P.", 100 * (last - first + 1), seq=1 + 100 * (first - 1), ack=1)
    script.rest(0.06)
    script.call("recv", 10000)
    return script


def sack_receiver():
    orders = ([2], [2, 3], [3, 2], [2, 4], [4, 2], [2, 4, 6], [6, 4, 2], [2, 4, 6, 8], [2, 4, 6, 8, 10],
              [10, 8, 6, 4, 2, 12], [2, 4, 3], [2, 6, 4, 3, 5], [2, 4, 1], [2, 4, 1, 3], [3, 5, 7, 4],
              [2, 4, 6, 1, 3, 5],
              [(2, 4), 6], [(2, 6), 3], [3, (2, 6)], [3, 5, (2, 6)], [(2, 3), (4, 5)], [(2, 4), (3, 6)],
              [2, (1, 3)],
              [3, 5, (1, 4)], [3, (1, 5)])
    for order in orders:
        name = " ".join(f"{p[0]}-{p[1]}" if isinstance(p, tuple) else str(p) for p in order)
        yield receive(Script(f"SACK of {name}"), order)
        if len(order) > 3:
            yield receive(Script(f"SACK of {name}, time stamps"), order, ts=True)
    yield receive(Script("gaps without SACK"), [2, 4, 3, 1], sack=False)


def dsack_receiver():
    orders = ([1, 1], [1, 2, 1], [1, 2, (1, 2)], [1, (1, 2)], [2, 2], [2, 3, 2], [(2, 4), 3], [(2, 4), 2],
              [(2, 4), 4],
              [(2, 4), (3, 5)], [(3, 5), (2, 4)], [(3, 5), (2, 6)], [3, 5, (2, 6), 1], [2, 4, 2],
              [2, 4, (2, 4)],
              [1, 3, 1], [1, 3, 5, 1], [1, 3, 5, 3], [1, 3, 5, 7, 9, 3], [1, 3, (1, 3)], [1, 3, (1, 2)],
              [1, 2, 3, 2, 1])
    for order in orders:
        name = " ".join(f"{p[0]}-{p[1]}" if isinstance(p, tuple) else str(p) for p in order)
        yield receive(Script(f"DSACK of {name}"), order)
    yield receive(Script("DSACK with time stamps"), [1, 3, 5, 7, 3], ts=True)


# -- sender ---------------------------------------------------------------------------------------


def flight(script, count, *, write=None, **how):
    """Establish, and have the program write; `count` segments of 1000 bytes."""
    script.pushes = False
    script.passive(rtt=RTT, options=[("SO_SNDBUF", 200000)], **how)
    script.call("send", write or count * MSS)


def at(number):
    """Where segment `number` begins (1 = the first)."""
    return 1 + (number - 1) * MSS


def blocks(numbers):
    """Segment numbers as SACK blocks: the newest first, then the others from the highest down."""
    ranges = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number:
            ranges[-1][1] = number + 1
        else:
            ranges.append([number, number + 1])
    newest = numbers[-1]
    ranges.sort(key=lambda r: (not r[0] <= newest < r[1], -r[0]))
    return [(at(left), at(right)) for left, right in ranges][:3]


def sacks(script, una, order, gap=0.0005, first=0.04):
    """The peer has everything below segment `una`, and receives those in `order`."""
    for index in range(len(order)):
        script.segment(".", ack=at(una), sack=blocks(order[:index + 1]), after=first if not index else gap)


def fast_retransmit():
    for cc in ("reno", "cubic"):
        script = Script(f"fast retransmit with SACK, {cc}", cc=cc)
        flight(script, 10, write=20 * MSS)
        sacks(script, 1, [2, 3, 4])
        script.info()
        sacks(script, 1, [2, 3, 4, 5, 6, 7, 8, 9, 10][:9], first=0.004)
        script.info()
        script.segment(".", ack=at(11), after=0.04)
        script.info()
        script.segment(".", ack=at(13), after=0.02)
        script.info()
        yield script
    for order in ([2, 6, 8, 3, 9], [7, 3, 4, 8, 9], [7, 5, 6, 8, 9], [10, 9, 8, 7], [4, 6, 8, 10],
                  [2, 4, 6, 8, 10]):
        script = Script(f"SACKs come in the order {order}")
        flight(script, 10)
        sacks(script, 1, order)
        script.info()
        script.segment(".", ack=at(11), after=0.04)
        script.info()
        yield script
    for sack in (True, False):
        script = Script(f"limited transmit, reordering resolves, SACK {sack}")
        flight(script, 10, write=20 * MSS, sack=sack)
        for number in (2, 3):
            script.segment(".", ack=1, sack=[(at(2), at(number + 1))] if sack else (),
                           after=0.04 if number == 2 else 0.0005)
        script.segment(".", ack=at(4))
        script.info()
        script.rest(0.02)
        yield script
        script = Script(f"three duplicate ACKs, few segments, SACK {sack}")
        flight(script, 4, sack=sack)
        for number in (2, 3, 4):
            script.segment(".", ack=1, sack=[(at(2), at(number + 1))] if sack else (),
                           after=0.04 if number == 2 else 0.0005)
        script.info()
        script.segment(".", ack=at(5), after=0.04)
        script.info()
        yield script


def traces():
    """TCP's behaviour under PRR (RFC 6937): one out per one in, then slow start to ssthresh."""
    for cc in ("reno", "cubic"):
        script = Script(f"10 sent, the first lost, {cc}", cc=cc)
        flight(script, 10, write=40 * MSS)
        sacks(script, 1, list(range(2, 11)))
        script.info()
        script.segment(".", ack=at(11), after=0.05)
        script.info()
        script.rest(0.02)
        yield script
        script = Script(f"20 sent, 1-4 lost, {cc}", cc=cc)
        twenty(script)
        sacks(script, 11, list(range(15, 31)))
        script.info()
        for number in (12, 13, 14, 31):
            script.segment(".", ack=at(number), sack=blocks(list(range(15, 31))) if number < 31 else (),
                           after=0.01)
        script.info()
        yield script
        script = Script(f"20 sent, 1-4 and 11-16 lost, {cc}", cc=cc)
        twenty(script)
        sacks(script, 11, [*range(15, 21), *range(27, 31)])
        script.info()
        yield script
    script = Script("10 sent, 1 3 5 7 lost")
    flight(script, 10, write=40 * MSS)
    sacks(script, 1, [2, 4, 6, 8, 9, 10])
    script.info()
    script.segment(".", ack=at(3), sack=blocks([4, 6, 8, 9, 10]), after=0.03)
    script.segment(".", ack=at(5), sack=blocks([6, 8, 9, 10]), after=0.01)
    script.segment(".", ack=at(7), sack=blocks([8, 9, 10]), after=0.01)
    script.segment(".", ack=at(11), after=0.01)
    script.info()
    yield script


def twenty(script):
    """Ten segments acknowledged one by one: twenty in flight, numbers 11 to 30."""
    flight(script, 10, write=80 * MSS)
    for number in range(2, 12):
        script.segment(".", ack=at(number), after=0.045 if number == 2 else 0)


def without_sack():
    script = Script("NewReno: fast retransmit, partial and full ACK")
    flight(script, 10, write=20 * MSS, sack=False)
    for index in range(5):
        script.segment(".", ack=1, after=0.0005 if index else 0.04)
    script.info()
    script.segment(".", ack=at(4), after=0.03)
    script.segment(".", ack=at(11), after=0.03)
    script.info()
    script.segment(".", ack=at(14), after=0.03)
    script.info()
    yield script
    script = Script("NewReno: duplicates after recovery")
    flight(script, 10, sack=False)
    for index in range(4):
        script.segment(".", ack=1, after=0.0005 if index else 0.04)
    script.segment(".", ack=at(11), after=0.03)
    for _ in range(4):
        script.segment(".", ack=at(11))
    script.info()
    script.rest(0.02)
    yield script
    script = Script("NewReno: with time stamps, the retransmission was needless")
    flight(script, 10, sack=False, ts=True)
    for index in range(3):
        script.segment(".", ack=1, ecr=1, after=0.0005 if index else 0.04)
    script.info()
    script.segment(".", ack=1 + 10 * 988, ecr=2)
    script.info()
    yield script


def odd_sacks():
    odd = {
        "below SND.UNA": [(-2000, -1000)], "beyond SND.NXT": [(20001, 21001)],
        "across SND.NXT": [(9001, 12001)],
        "backwards": [(3001, 2001)], "empty": [(2001, 2001)], "half a segment": [(1501, 2001)],
        "half segments": [(1501, 2501), (3501, 4501)], "the head": [(1, 1001)],
        "from the head on": [(1, 3001)],
    }
    for name, sack in odd.items():
        script = Script(f"a SACK block {name}")
        flight(script, 10)
        for index in range(4):
            script.segment(".", ack=1, sack=sack, after=None if index else 0.02)
        script.info()
        yield script
    script = Script("SACK news on an ACK below SND.UNA")
    flight(script, 10)
    script.segment(".", ack=at(3), after=0.04)
    script.segment(".", ack=at(2), sack=[(at(4), at(7))])
    script.info()
    script.segment(".", ack=at(3), sack=[(at(4), at(8))])
    script.info()
    yield script
    script = Script("IP_TOS changes in mid-flight")
    flight(script, 4)
    script.call("set", "IP_TOS", 0x10)
    script.call("send", 4000)
    sacks(script, 1, [2, 3, 4, 5])
    script.info()
    yield script


def rack():
    script = Script("RACK: a lost retransmission")
    flight(script, 10, write=20 * MSS)
    sacks(script, 1, [2, 3, 4])
    script.segment(".", ack=1, sack=[(at(2), at(11))], after=0.02)
    script.segment(".", ack=1, sack=[(at(2), at(12))], after=0.06)
    script.info()
    script.segment(".", ack=1, sack=[(at(2), at(13))], after=0.02)
    script.info()
    yield script
    script = Script("RACK: one SACK, then the reordering window")
    flight(script, 4)
    script.segment(".", ack=1, sack=[(at(2), at(3))], after=0.05)
    script.rest(0.04)
    script.info()
    yield script
    script = Script("RACK: reordering seen, then patience")
    flight(script, 10, write=20 * MSS)
    sacks(script, 1, [3, 4])
    script.segment(".", ack=1, sack=[(at(2), at(5))])
    script.segment(".", ack=at(5))
    sacks(script, 5, [6, 7, 8, 9], first=0.01)
    script.info()
    script.rest(0.03)
    script.info()
    yield script


def probes():
    for count in (1, 2, 4, 10):
        script = Script(f"tail loss probe, {count} in flight")
        flight(script, count)
        script.rest(0.2)
        script.info()
        yield script
        script = Script(f"tail loss probe repairs the tail, {count} in flight")
        flight(script, count)
        if count > 1:
            script.segment(".", ack=at(count), after=0.05)
        script.rest(0.29)
        script.segment(".", ack=at(count + 1))
        script.info()
        yield script
    script = Script("tail loss probe with new data")
    flight(script, 10, write=12 * MSS)
    script.rest(0.14)
    script.info()
    script.segment(".", ack=1, sack=[(at(11), at(12))])
    script.info()
    script.rest(0.06)
    script.info()
    yield script
    script = Script("tail loss probe, DSACK says needless")
    flight(script, 4)
    script.rest(0.14)
    script.segment(".", ack=at(5))
    script.segment(".", ack=at(5), sack=[(at(4), at(5))])
    script.info()
    yield script
    script = Script("tail loss probe finds three lost")
    flight(script, 10)
    script.segment(".", ack=at(7), after=0.05)
    script.rest(0.14)
    script.segment(".", ack=at(7), sack=[(at(10), at(11))], after=0.04)
    script.rest(0.02)
    script.info()
    yield script


def timeouts():
    for sack in (True, False):
        script = Script(f"timeouts double, SACK {sack}")
        flight(script, 3, sack=sack)
        script.rest(2.2)
        script.info()
        script.segment(".", ack=at(2))
        script.rest(0.03)
        script.segment(".", ack=at(4), after=0.03)
        script.info()
        yield script
    script = Script("timeout: everything again in slow start", cc="reno")
    flight(script, 10, sack=False)
    script.rest(0.4)
    script.segment(".", ack=at(2))
    script.segment(".", ack=at(3), after=0.05)
    script.segment(".", ack=at(4))
    script.info()
    script.rest(0.03)
    yield script
    script = Script("the first round trip decides the first timeout")
    script.passive(rtt=0.1, sack=False)
    script.call("send", 100)
    script.rest(0.45)
    yield script
    script = Script("round trips of 50, 100 and 20 ms")
    script.passive(rtt=0.05, sack=False)
    for number, pause in enumerate((0.1, 0.02, 0.05)):
        script.call("send", 100)
        script.segment(".", ack=101 + 100 * number, after=pause)
    script.call("send", 100)
    script.rest(0.6)
    yield script


def undo():
    script = Script("undo by DSACK")
    flight(script, 10, write=20 * MSS)
    sacks(script, 1, [2, 3, 4])
    script.segment(".", ack=at(5), after=0.01)
    script.info()
    script.segment(".", ack=at(5), sack=[(at(1), at(2))])
    script.info()
    yield script
    script = Script("undo by time stamp")
    script.passive(rtt=RTT, ts=True, mss=1012)
    script.call("send", 20 * MSS)
    for number in (3, 4, 5):
        script.segment(".", ack=1, sack=[(at(2), at(number))], ecr=1, after=0.04 if number == 3 else 0.0005)
    script.info()
    script.segment(".", ack=at(5), ecr=2, after=0.02)
    script.info()
    script.rest(0.02)
    yield script
    for name, acks in (("all of it", [11]), ("bit by bit", [2, 3, 5])):
        script = Script(f"F-RTO: the originals arrive late, {name}")
        flight(script, 10, write=14 * MSS)
        script.rest(0.5)
        script.info()
        for ack in acks:
            script.segment(".", ack=at(ack), after=0.01)
        script.info()
        yield script
    script = Script("F-RTO: the loss was real")
    flight(script, 10, write=14 * MSS)
    script.rest(0.5)
    script.segment(".", ack=at(2))
    script.segment(".", ack=at(2), sack=[(at(12), at(13))], after=0.04)
    script.info()
    script.rest(0.03)
    yield script
    script = Script("F-RTO without SACK: originals arrive late")
    flight(script, 10, write=14 * MSS, sack=False)
    script.rest(0.5)
    script.segment(".", ack=at(2))
    script.segment(".", ack=at(3), after=0.01)
    script.info()
    script.segment(".", ack=at(5), after=0.01)
    script.info()
    yield script
    script = Script("a timeout undone by time stamp")
    script.passive(rtt=RTT, ts=True, mss=1012, sack=False)
    script.call("send", 6 * MSS)
    script.rest(0.35)
    script.segment(".", ack=at(3), ecr=1)
    script.info()
    script.rest(0.02)
    yield script
