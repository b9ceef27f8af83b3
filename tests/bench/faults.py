"""The kernel at the other end of a bad link: is every byte right?

Transfers between the stack and the Linux kernel over a TAP, with losses, reordering, duplicates and bit errors
injected between them, in both directions, several seeds each. SHA-256 of what arrived is compared with what was
sent. The seconds are real ones and say little (the kernel's own RTO rules them); the hashes say all.

    python3 -m tests.bench faults [--seeds 5] [--quick]
"""

import hashlib
import random
import time

from tipy import log
from tipy.bench.contest import Goal, Line
from tipy.lab import HOST, STACK, Lab
from tipy.link.faults import FaultLink
from tipy.settings import Settings
from tipy.stack import Stack

FAULTS = {
    "1 % lost": dict(loss=0.01),
    "5 % lost": dict(loss=0.05),
    "20 % lost": dict(loss=0.20),
    "10 % reordered": dict(reorder=0.10, reorder_delay=0.002),
    "10 % duplicated": dict(duplicate=0.10),
    "2 % with a wrong bit": dict(corrupt=0.02),
    "2 % lost, 2 % duplicated, 5 % reordered": dict(loss=0.02, duplicate=0.02, reorder=0.05),
    "5 % lost, 10 % reordered, 2 % with a wrong bit": dict(loss=0.05, reorder=0.10, corrupt=0.02),
}
_PORT = 8000
_TIMEOUT = 300.0


def content(seed, size):
    """What is sent: different for each seed."""
    return random.Random(seed).randbytes(size)


def digest_of(sock):
    """SHA-256 of everything until the end of the stream."""
    digest = hashlib.sha256()
    while data := sock.recv(1 << 18):
        digest.update(data)
    return digest.hexdigest()


def host_receives(seed, size):
    """In the kernel's host: accept one connection, the digest of what comes."""
    import socket
    with socket.create_server((HOST, _PORT)) as server:
        yield "ready"
        server.settimeout(_TIMEOUT)
        sock, _ = server.accept()
        with sock:
            sock.settimeout(_TIMEOUT)
            yield digest_of(sock)


def host_sends(seed, size):
    """In the kernel's host: connect to the stack and send."""
    import socket
    with socket.create_connection((STACK, _PORT), timeout=_TIMEOUT) as sock:
        sock.sendall(content(seed, size))
        sock.shutdown(socket.SHUT_WR)
        yield sock.recv(1)


def to_kernel(lab, stack, seed, size):
    """stack -> kernel; True if the digests agree."""
    with lab.kernel.start(host_receives, seed, size) as job:
        job.next()
        data = content(seed, size)
        with stack.socket.create_connection((HOST, _PORT), timeout=_TIMEOUT) as sock:
            sock.sendall(data)
            sock.shutdown(stack.socket.SHUT_WR)
            return job.next(timeout=_TIMEOUT) == hashlib.sha256(data).hexdigest()


def from_kernel(lab, stack, seed, size):
    """kernel -> stack; True if the digests agree."""
    with stack.socket.create_server((STACK, _PORT)) as server:
        server.settimeout(_TIMEOUT)
        with lab.kernel.start(host_sends, seed, size):
            sock, _ = server.accept()
            with sock:
                sock.settimeout(_TIMEOUT)
                return digest_of(sock) == hashlib.sha256(content(seed, size)).hexdigest()


def _one(lab, faults, seed, size, run):
    link = FaultLink(lab.link(), seed=seed, **faults)
    # at 20 % any loss-based control is down to a few segments, and what is measured is patience: a fixed window then
    control = "none" if faults.get("loss", 0) > 0.1 else "cubic"
    settings = Settings(address=f"{STACK}/24", acd=False, congestion_control=control)
    with Stack(link=link, settings=settings) as stack:
        started = time.monotonic()
        right = run(lab, stack, seed, size)
        return right, time.monotonic() - started


def table(seeds, size):
    """A Line for each kind of fault and direction: the share of runs in which every byte was right."""
    for title, faults in FAULTS.items():
        for way, run in (("to the kernel", to_kernel), ("from the kernel", from_kernel)):
            right, seconds = 0, 0.0
            for seed in range(1, seeds + 1):
                with Lab() as lab:
                    if lab.rung == "memory":
                        raise SystemExit(f"there is no kernel to talk to here: {lab.reason}")
                    good, took = _one(lab, faults, seed, size, run)
                right += good
                seconds += took
            yield Line(f"{title}, {way}", seconds / seeds, "s", right / seeds, f"{seeds} runs with equal SHA-256",
                       Goal(low=1.0))


def main(options, say):
    """Print the table; the lines."""
    log.choose(())
    lines = []
    for line in table(options.seeds or (1 if options.quick else 5), 2_000_000 if options.quick else 20_000_000):
        lines.append(line)
        say(line)
    return lines


