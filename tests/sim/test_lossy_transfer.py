"""Bulk over a bad wire in virtual time: SHA-256 equal both ways, and no more sent again than was lost.

The wire loses 2 %, duplicates 2 % and reorders 5 % of the frames. A failing run names its seed and leaves a
capture.
"""

import hashlib
import os
import random
import tempfile

import pytest

from tipy import log
from tipy.clock import ManualClock
from tipy.link.faults import FaultLink
from tipy.link.memory import Wire
from tipy.link.pcap import CaptureLink, PcapngWriter
from tipy.settings import Settings
from tipy.stack import Stack

A, B = "10.0.0.1", "10.0.0.2"
MEGABYTE = 1 << 20
BAD = dict(loss=0.02, duplicate=0.02, reorder=0.05)
TURNS = 2_000_000              # steps after which a transfer counts as stuck


class Pair:
    """Two stacks on one wire, the first behind faults in one direction or both."""

    def __init__(self, seed, direction="both", rtt=0.02, offload=False, **faults):
        log.choose(())
        self.seed = seed
        self.clock = ManualClock()
        self.file = tempfile.NamedTemporaryFile(prefix=f"tipy-lossy-{seed}-", suffix=".pcapng", delete=False)
        wire = Wire(offload=offload)
        self.faults = FaultLink(wire.port(), seed=seed, direction=direction, **faults)
        far = FaultLink(self.faults, seed=seed, delay=rtt / 2)
        capture = CaptureLink(wire.port(), PcapngWriter(self.file, snaplen=100), "b")
        self.a = self._stack(A, far, "0a", seed)
        self.b = self._stack(B, capture, "0b", seed + 1)

    def _stack(self, address, link, mac, seed):
        settings = Settings.load(use_user_files=False, acd=False, address=f"{address}/24",
                                 mac=f"02:00:00:00:00:{mac}")
        return Stack(link=link, clock=self.clock, seed=seed, settings=settings)

    def __enter__(self):
        self.a.start()
        self.b.start()
        return self

    def __exit__(self, kind, error, trace):
        self.a.stop()
        self.b.stop()
        self.file.close()
        if error is not None:
            error.add_note(f"seed {self.seed}; packets: {self.file.name}")
        else:
            os.unlink(self.file.name)

    def connect(self):
        """(socket of a, socket of b), non-blocking, connected or about to be."""
        listener = self.b.socket.socket()
        listener.setblocking(False)
        listener.bind((B, 80))
        listener.listen()
        client = self.a.socket.socket()
        client.setblocking(False)
        client.connect_ex((B, 80))
        for _ in range(TURNS):
            try:
                server, _ = listener.accept()
                server.setblocking(False)
                listener.close()
                return client, server
            except BlockingIOError:
                self.step()
        raise AssertionError("the connection was not made")

    def step(self):
        """Go on to the next moment at which something happens."""
        deadline = self.clock.next_deadline()
        if deadline is None:
            raise AssertionError("nothing is left that could happen")
        self.clock.advance(max(deadline - self.clock.now(), 0.0))


class Flow:
    """`size` bytes from one socket to another, with their digests."""

    def __init__(self, source, sink, seed, size):
        block = random.Random(seed).randbytes(1 << 16)
        self.source, self.sink = source, sink
        self.data = memoryview(block * (size // len(block) + 1))[:size]
        self.sent = self.received = 0
        self.digest = hashlib.sha256()
        self.shut = self.ended = False

    def step(self):
        """Send and receive what is possible now."""
        try:
            while self.sent < len(self.data):
                self.sent += self.source.send(self.data[self.sent:self.sent + (1 << 18)])
        except BlockingIOError:
            pass
        if self.sent == len(self.data) and not self.shut:
            self.source.shutdown(1)
            self.shut = True
        try:
            while not self.ended:
                data = self.sink.recv(1 << 20)
                self.digest.update(data)
                self.received += len(data)
                self.ended = not data
        except BlockingIOError:
            pass

    def whole(self):
        """Has exactly what was sent arrived?"""
        return (self.received == len(self.data)
                and self.digest.digest() == hashlib.sha256(self.data).digest())


def carry(pair, flows):
    """Run the flows to their end."""
    for _ in range(TURNS):
        for flow in flows:
            if not flow.ended:
                flow.step()
        if all(flow.ended for flow in flows):
            return
        pair.step()
    raise AssertionError("the transfer does not end")


def transfer(pair, size, ways=("out",)):
    """Carry `size` bytes each of `ways`: "out" (from a) and "in" (to a). Returns the client's tcp_info."""
    client, server = pair.connect()
    flows = [Flow(*((client, server) if way == "out" else (server, client)), way, size) for way in ways]
    if len(flows) == 1:                                # the other direction is only closed
        flows.append(Flow(flows[0].sink, flows[0].source, "", 0))
    carry(pair, flows)
    assert all(flow.whole() for flow in flows)
    info = {sock: sock.tcp_info() for sock in (client, server)}
    client.close()
    server.close()
    pair.clock.advance(200)
    for stack in (pair.a, pair.b):
        assert not stack.tcp.connections and stack.errors == []
    return info[client], info[server]


@pytest.mark.parametrize("way", ["out", "in"])
def test_sixteen_megabytes_arrive_whole(way):
    with Pair(seed=11, **BAD) as pair:
        transfer(pair, 16 * MEGABYTE, (way,))
        assert pair.faults.counters["out.loss"] > 100


@pytest.mark.parametrize("seed", range(3))
def test_both_directions_at_once_arrive_whole(seed):
    with Pair(seed=seed, **BAD) as pair:
        transfer(pair, 2 * MEGABYTE, ("out", "in"))


@pytest.mark.parametrize("faults", [
    dict(loss=0.01), dict(loss=0.05), dict(loss=0.2), dict(reorder=0.1), dict(duplicate=0.1),
    dict(corrupt=0.02), dict(truncate=0.02), dict(loss=0.05, reorder=0.1, duplicate=0.1, corrupt=0.02, truncate=0.02)], ids=str)
@pytest.mark.parametrize("way", ["out", "in"])
def test_every_kind_of_bad_wire(faults, way):
    with Pair(seed=3, **faults) as pair:
        transfer(pair, 1 * MEGABYTE, (way,))


def test_over_a_wire_with_offload():
    """The fault link cuts super-segments first: a frame lost is one segment lost."""
    with Pair(seed=5, offload=True, **BAD) as pair:
        transfer(pair, 4 * MEGABYTE, ("out", "in"))


def test_without_delay():
    with Pair(seed=6, rtt=0.0, **BAD) as pair:
        transfer(pair, 1 * MEGABYTE, ("out", "in"))


@pytest.mark.parametrize("loss, bound", [(0.01, 1.05), (0.05, 1.05), (0.2, 1.15)])
def test_no_more_is_sent_again_than_was_lost(loss, bound):
    """Means of five seeds, loss on the data direction only."""
    again = lost = 0
    for seed in range(5):
        with Pair(seed=seed, direction="out", rtt=0.02, loss=loss) as pair:
            info, _ = transfer(pair, 1 * MEGABYTE)
            again += info["tcpi_total_retrans"]
            lost += pair.faults.counters["out.loss"]
    assert lost > 20 and again <= bound * lost + 5     # 5: a tail loss probe at the end of each
