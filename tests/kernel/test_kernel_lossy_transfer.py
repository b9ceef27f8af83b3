"""Bulk between the stack and the Linux kernel while a link loses, doubles, reorders and damages frames.

SHA-256 is equal both ways, whatever the faults. The kernel's half runs in the lab's namespace.
"""

import hashlib
import tempfile

import pytest

from tipy import log
from tipy.demo.players import KernelPlayer, StackPlayer
from tipy.demo.programs import pattern
from tipy.lab import HOST, PREFIX_LENGTH, STACK
from tipy.link.faults import FaultLink
from tipy.link.pcap import CaptureLink, PcapngWriter
from tipy.settings import Settings
from tipy.stack import Stack

TIMEOUT = 60                   # seconds for one transfer, several times what it takes
BULK = 16_000_000
MORE = 2_000_000
BAD = dict(loss=0.02, duplicate=0.02, reorder=0.05)


def receive_all(socket, address):
    """Accept one connection, read it to its end; the SHA-256 of what came goes back and is returned."""
    with socket.create_server(address) as listener:
        listener.settimeout(TIMEOUT)
        yield listener.getsockname()[1]
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(TIMEOUT)
            digest = hashlib.sha256()
            while data := sock.recv(1 << 18):
                digest.update(data)
            sock.sendall(digest.digest())
        return digest.hexdigest()


def send_all(socket, address, seed, size):
    """Connect, send the pattern, half-close; the SHA-256 that the other side answers with."""
    with socket.create_connection(address, timeout=TIMEOUT) as sock:
        sock.sendall(pattern(seed, size))
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while data := sock.recv(100):
            answer += data
        return answer.hex()


class Place:
    """A stack behind faults in the lab, and the players on both sides. A failure names seed and capture."""

    def __init__(self, lab, seed, **faults):
        log.choose(())
        self.seed = seed
        self.file = tempfile.NamedTemporaryFile(prefix=f"tipy-lossy-{seed}-", suffix=".pcapng")
        capture = CaptureLink(lab.link(), PcapngWriter(self.file, snaplen=100))
        self.faults = FaultLink(capture, seed=seed, **faults)
        self.stack = Stack(link=self.faults, address=f"{STACK}/{PREFIX_LENGTH}", settings=Settings())
        self.ours = StackPlayer("tipy", STACK, self.stack)
        self.host = KernelPlayer("host", HOST, lab.kernel)

    def __enter__(self):
        self.stack.start()
        return self

    def __exit__(self, kind, error, trace):
        self.stack.stop()
        if error is not None:
            self.file.delete = False
            error.add_note(f"seed {self.seed}; packets: {self.file.name}")
        self.file.close()

    def ends(self, way):
        """(sender, receiver) for "from stack" or "to stack"."""
        return (self.ours, self.host) if way == "from stack" else (self.host, self.ours)

    def transfer(self, size, *ways):
        """Carry `size` bytes each of `ways`, at the same time; True if all arrived whole."""
        wanted = hashlib.sha256(pattern("lossy", size)).hexdigest()
        receiving, sending = [], []
        for way in ways:
            sender, receiver = self.ends(way)
            job = receiver.start(receive_all, (receiver.address, 0))
            receiving.append(job)
            sending.append(sender.start(send_all, (receiver.address, job.next()), "lossy", size))
        outcomes = [job.result(TIMEOUT) for job in (*sending, *receiving)]
        for job in (*sending, *receiving):
            job.close()
        return outcomes == [wanted] * (2 * len(ways)) and self.stack.errors == []


@pytest.mark.parametrize("way", ["from stack", "to stack"])
def test_sixteen_megabytes_arrive_whole(tap_lab, way):
    with Place(tap_lab, seed=21, **BAD) as place:
        assert place.transfer(BULK, way)
        assert place.faults.counters["out.loss"] and place.faults.counters["in.loss"]


def test_both_directions_at_once_arrive_whole(tap_lab):
    with Place(tap_lab, seed=22, **BAD) as place:
        assert place.transfer(4 * MORE, "from stack", "to stack")


@pytest.mark.parametrize("way", ["from stack", "to stack"])
@pytest.mark.parametrize("faults", [
    dict(loss=0.05), dict(loss=0.2), dict(reorder=0.1), dict(duplicate=0.1), dict(corrupt=0.02),
    dict(truncate=0.02), dict(loss=0.02, reorder=0.05, duplicate=0.05, corrupt=0.01, truncate=0.01)], ids=str)
def test_every_kind_of_bad_wire(tap_lab, faults, way):
    size = MORE // 4 if faults.get("loss", 0) > 0.1 else MORE
    with Place(tap_lab, seed=23, **faults) as place:
        assert place.transfer(size, way)
