"""TCP over bad paths, in virtual time: no CPU in these figures, the same on every machine.

Means over seeds. Loss is on the data direction only; every byte is compared.
"""

import os
import statistics
from functools import partial
from multiprocessing import get_context
from random import Random

from tests.bench import bounds
from tests.bench.path import Lane, Simulation
from tipy import log
from tipy.bench.contest import Goal, Line

_RTT, _MSS = 0.1, 1448
_LIMIT = 20_000.0                      # virtual seconds
_SMALL = dict(rcvbuf=65536, rcvbuf_max=65536, sndbuf=65536, sndbuf_max=65536)
"""SO_RCVBUF and SO_SNDBUF of 32 KB: the kernel doubles them; the window announced is 32 KB."""


# -- one run --------------------------------------------------------------------------------------


def transfer(seed, size, loss=0.0, reorder=0.0, late=0.0, rtt=_RTT, **settings):
    """Move `size` bytes: a dict with goodput (bytes/s) and retransmitted, lost, sent (data segments)."""
    forward = Lane(seed, rtt / 2, loss, reorder, late)
    simulation = Simulation(seed, forward, Lane(seed + 1, rtt / 2), **settings)
    data, received = Random(seed).randbytes(size), []
    flow = simulation.open(_reader(data))
    flow.sink = received.append
    seconds = simulation.run(lambda: flow.ended or simulation.clock.now() > _LIMIT)
    if b"".join(received) != data:
        raise RuntimeError(f"seed {seed}: {flow.received} of {size} bytes, or others than were sent")
    info = flow.info()
    simulation.close()
    return {"goodput": size / seconds, "retransmitted": info["tcpi_total_retrans"], "lost": forward.lost,
            "sent": info["tcpi_data_segs_out"]}


def _reader(data):
    view, at = memoryview(data), 0

    def read(count):
        nonlocal at
        at += count
        return view[at - count:at]

    return read


def bottleneck(seed, flows, low=0.05, high=0.15, until=90.0, since=30.0, rate=200e6 / 8, queue=65536,
               **settings):
    """`flows` unlimited senders through one queue, RTTs between `low` and `high`: bytes per second of each,
    measured from `since` to `until`."""
    rng = Random(seed)
    delays = {}

    def delay(flow):
        if flow not in delays:
            delays[flow] = rng.uniform(low, high) / 2
        return delays[flow]

    forward = Lane(seed, delay, rate=rate, queue=queue)
    simulation = Simulation(seed, forward, Lane(seed + 1, delay), **settings)
    piece = bytes(1 << 16)
    running = [simulation.open(lambda count: piece) for _ in range(flows)]
    clock = simulation.clock
    simulation.run(lambda: clock.now() >= since)
    before = [flow.received for flow in running]
    start = clock.now()
    simulation.run(lambda: clock.now() >= until)
    seconds = clock.now() - start
    rates = [(flow.received - was) / seconds for flow, was in zip(running, before)]
    simulation.close()
    return rates


# -- the tables -----------------------------------------------------------------------------------


def small_window(pool, options):
    """smoltcp's contest: RTT 100 ms, 32 KB buffers, no congestion control; also beside the ideal SACK."""
    size = 1_000_000 if options.quick else 10_000_000
    for loss, smoltcp in bounds.SMOLTCP.items():
        runs = pool(partial(transfer, size=size, loss=loss, congestion_control="none", **_SMALL))
        value = _mean(runs, "goodput")
        title = f"32 KB window, no cc, loss {loss:.1%}"
        if loss < 0.01:
            yield Line(title, value / 1e3, "kB/s", value / smoltcp, "smoltcp", Goal(low=0.97))
            continue
        ideal = statistics.mean(bounds.ideal_sack(loss, size, _RTT, 32768, _MSS, seed) for seed in range(5))
        yield Line(title, value / 1e3, "kB/s", value / ideal, f"ideal SACK, {ideal / 1e3:.0f} kB/s",
                   Goal(low=0.8 if loss <= 0.05 else 0.5))
        if loss in (0.01, 0.05, 0.2):
            yield _retransmitted(runs, loss)


def _retransmitted(runs, loss):
    ratio = _mean(runs, "retransmitted") / max(_mean(runs, "lost"), 1)
    return Line(f"  retransmitted / lost at {loss:.0%}", _mean(runs, "retransmitted"), "", ratio, "lost",
                Goal(high=1.05 if loss <= 0.05 else 1.15))


def cubic(pool, options):
    """Default buffers and cubic: beside RFC 9438's response function, and beside smoltcp from 5 % loss up."""
    for loss in (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3):
        size = 10_000_000 if loss <= 0.02 else 2_000_000 if loss <= 0.1 else 500_000
        if options.quick:
            size = min(size, 2_000_000)
        runs = pool(partial(transfer, size=size, loss=loss))
        value = _mean(runs, "goodput")
        if loss <= 0.02:
            should = bounds.cubic_response(loss, _RTT, _MSS)
            yield Line(f"cubic, loss {loss:.1%}", value / 1e3, "kB/s", value / should,
                       f"RFC 9438, {should / 1e3:.0f} kB/s", Goal(low=0.9))
        else:
            ratio = value / bounds.SMOLTCP[loss]
            yield Line(f"cubic, loss {loss:.1%}", value / 1e3, "kB/s", ratio, "smoltcp", Goal(low=1.0))
        if loss in (0.01, 0.05, 0.2):
            yield _retransmitted(runs, loss)


def reordering(pool, options):
    """No loss, 10 % of the segments come 2 ms late at RTT 20 ms: what is sent again is spurious."""
    size = 2_000_000 if options.quick else 10_000_000
    runs = pool(partial(transfer, size=size, reorder=0.1, late=0.002, rtt=0.02))
    share = _mean(runs, "retransmitted") / _mean(runs, "sent")
    yield Line("10 % reordered, spurious retransmissions", share * 100, "%", share * 100, "%", Goal(high=1.0))
    yield Line("10 % reordered, goodput", _mean(runs, "goodput") / 1e3, "kB/s")


def shared(pool, options):
    """200 Mbit/s with a queue of 64 KB, cubic, default buffers: 1, 16, 64 flows; 16 of equal RTT."""
    times = dict(since=20.0, until=40.0) if options.quick else {}
    line = 200e6 / 8
    for flows in (1, 16, 64):
        total = statistics.mean(map(sum, pool(partial(bottleneck, flows=flows, **times))))
        title = f"200 Mbit/s, 64 KB queue, {flows} flows, RTT 50-150 ms"
        yield Line(title, total / 1e6, "MB/s", total / line, "the line", Goal(low=0.6))
    runs = pool(partial(bottleneck, flows=16, low=0.1, high=0.1, **times))
    total = statistics.mean(map(sum, runs))
    yield Line("200 Mbit/s, 64 KB queue, 16 flows, RTT 100 ms", total / 1e6, "MB/s", total / line, "the line")
    fairness = statistics.mean(map(bounds.jain, runs))
    yield Line("  Jain fairness of these flows", fairness, "", fairness, "equal shares", Goal(low=0.8))


TABLES = {"small-window": small_window, "cubic": cubic, "reordering": reordering, "bottleneck": shared}


def run(options, names, say):
    """Print the tables `names`; the lines. options: quick, seeds, jobs."""
    done = []
    log.choose(())
    with get_context("fork").Pool(options.jobs or os.cpu_count()) as workers:
        for name in names:
            seeds = range(1, 1 + (options.seeds or _seeds(name, options.quick)))
            for line in TABLES[name](lambda function, seeds=seeds: workers.map(function, seeds, 1), options):
                line = line._replace(base=f"{line.base}; {len(seeds)} seeds")
                done.append(line)
                say(line)
    return done


def _seeds(name, quick):
    """How many: a bottleneck's run simulates two gigabytes and takes minutes."""
    if quick:
        return 2 if name == "bottleneck" else 4
    return 20


def _mean(runs, field):
    return statistics.mean(run[field] for run in runs)
