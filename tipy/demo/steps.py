"""The seven steps of the demo. Each does something for real, compares the outcome, and returns one sentence;
what is not as it should be is raised, by Python or as `Unproven`.
"""

import errno
import hashlib
import time

from tipy.demo import programs
from tipy.demo.check import check_capture

PING_SIZES = (0, 56, 1472, 8000)
UDP_SIZES = (0, 1, 64, 1472, 1473, 9000, 32768, 65507)
FILE_SIZE = 16 * 1000 * 1000
UDP_PORT, HTTP_PORT, CLOSED_PORT = 7, 8000, 81
SILENT = "192.168.2.77"                # nobody's address
START_LIMIT, REFUSAL_LIMIT, SILENCE_LIMIT = 1.0, 2.0, 8.0      # seconds


class Unproven(Exception):
    """A step did not come out as it should; the text says how."""


class NotHere(Exception):
    """A step cannot run on this rung; the text says why."""


class Stage:
    """What the steps work with: the players (`ours`, `kernel`, `other`), the stack under demonstration, the
    watch on its link, the screen, the capture's path and writer, and a note that goes into every line."""

    def __init__(self, screen, watch, stack, ours, kernel, other, path, writer, note=""):
        self.screen = screen
        self.watch = watch
        self.stack = stack
        self.ours = ours
        self.kernel = kernel
        self.other = other
        self.path = path
        self.writer = writer
        self.note = note
        self.packets = []

    def exchange(self, room=4):
        """A new exchange begins: remember the packets of the last one, describe the first of this one."""
        self.packets += self.watch.packets()
        self.watch.begin(room)

    def take_packets(self):
        """All packet lines since the last call."""
        self.exchange()
        packets, self.packets = self.packets, []
        return packets


def address_detection(stage):
    """ARP probe and announcement."""
    stage.watch.begin(8)
    begun = time.monotonic()
    stage.stack.start()
    seconds = time.monotonic() - begun
    lines = stage.watch.packets()
    if stage.stack.status != "running":
        raise Unproven(f"the stack is {stage.stack.status}")
    for wanted in ("ARP probe", "ARP announce"):
        if not any(f"{wanted} " in line and stage.ours.address in line for line in lines):
            raise Unproven(f"no {wanted} for {stage.ours.address} was sent")
    if seconds > START_LIMIT:
        raise Unproven(f"the address took {seconds:.2f} s to become usable")
    return f"{stage.ours.address} probed and announced by ARP (RFC 5227), usable after {seconds:.2f} s"


def pings(stage):
    """ICMP echo both ways, over raw sockets."""
    results = []
    for pinger, target in ((stage.kernel, stage.ours), (stage.ours, stage.kernel)):
        for size in PING_SIZES:
            stage.exchange(room=2 if size != PING_SIZES[-1] else 12)
            try:
                results += pinger.play(programs.ping, target.address, [size])
            except PermissionError:
                raise NotHere(f"{pinger.name} may not open raw sockets") from None
    sizes = ", ".join(map(str, PING_SIZES))
    return (f"{stage.kernel.name} pings {stage.ours.name} and back with {sizes} bytes, the largest in "
            f"fragments; median {sorted(results)[len(results) // 2] * 1e6:.0f} us")


def udp_echo(stage):
    """UDP echo both ways."""
    for client, server in ((stage.kernel, stage.ours), (stage.ours, stage.kernel)):
        stage.exchange(room=4)
        address = server.address, UDP_PORT
        with server.start(programs.udp_echo_server, address, len(UDP_SIZES)) as serving:
            serving.next()
            client.play(programs.udp_echo_client, address, UDP_SIZES)
            serving.result()
    return (f"UDP echo both ways with {stage.kernel.name}, {2 * len(UDP_SIZES)} datagrams of {UDP_SIZES[0]} "
            f"to {UDP_SIZES[-1]} bytes, all compared")


def http_with_kernel(stage):
    """16 MB from a tipy server to a kernel client, and from a kernel server to a tipy client."""
    return _http_both_ways(stage, stage.kernel)


def http_with_other(stage):
    """The same with the host behind the second port of the bridge."""
    return _http_both_ways(stage, stage.other)


def _http_both_ways(stage, partner):
    from_us = _http(stage, partner, stage.ours)
    to_us = _http(stage, stage.ours, partner)
    return (f"HTTP, {FILE_SIZE // 1000000} MB: {partner.name} fetches from tipy at {from_us:.0f} MB/s, tipy "
            f"from it at {to_us:.0f} MB/s, SHA-256 equal")


def _http(stage, client, server):
    """One fetch; its speed in MB/s."""
    stage.exchange(room=6)
    address, seed = (server.address, HTTP_PORT), f"{server.address} to {client.address}"
    title = f"{client.name} fetches from {server.name}"
    with server.start(programs.http_server, address, seed, FILE_SIZE, 1) as serving:
        serving.next()
        with client.start(programs.http_fetch, address) as fetching:
            received, digest, seconds = _follow(stage, fetching, title)
        serving.result()
    if received != FILE_SIZE:
        raise Unproven(f"{title}: {received} of {FILE_SIZE} bytes came")
    if digest != hashlib.sha256(programs.pattern(seed, FILE_SIZE)).hexdigest():
        raise Unproven(f"{title}: the SHA-256 differs")
    return received / 1e6 / seconds


def _follow(stage, job, title):
    """Draw the progress of a fetch until it is done: its result."""
    begun = time.monotonic()
    while True:
        try:
            done = job.next()
        except StopIteration:
            return job.result()
        stage.screen.progress(title, done, FILE_SIZE, time.monotonic() - begun)


def refusals(stage):
    """A port nobody listens on, both ways, and a host that is not there."""
    said = []
    for client, server in ((stage.ours, stage.kernel), (stage.kernel, stage.ours)):
        stage.exchange(room=2)
        outcome = client.play(programs.try_to_connect, (server.address, CLOSED_PORT))
        _expect(outcome, "ConnectionRefusedError", errno.ECONNREFUSED, REFUSAL_LIMIT)
    said.append(f"a closed port is ConnectionRefusedError, at {stage.kernel.name} and at tipy")
    stage.exchange(room=4)
    outcome = stage.ours.play(programs.try_to_connect, (SILENT, CLOSED_PORT))
    _expect(outcome, "OSError", errno.EHOSTUNREACH, SILENCE_LIMIT)
    said.append(f"the silent host {SILENT} is EHOSTUNREACH after {outcome[2]:.1f} s of ARP retries")
    return ", ".join(said)


def _expect(outcome, name, code, limit):
    if outcome is None:
        raise Unproven("a connection that cannot be was established")
    found, found_code, seconds = outcome
    if (found, found_code) != (name, code):
        raise Unproven(f"{found} ({errno.errorcode.get(found_code, found_code)}) instead of {name}")
    if seconds > limit:
        raise Unproven(f"{name} only after {seconds:.1f} s")


def capture(stage):
    """The capture of all of it, read back."""
    stage.stack.stop()
    stage.writer.close()
    if stage.writer.counters["error"]:
        raise Unproven(f"{stage.path} could not be written to the end")
    frames, faults = check_capture(stage.path)
    if faults:
        raise Unproven(f"{stage.path}: {len(faults)} of {frames} frames are wrong, first {faults[0]}")
    if not frames:
        raise Unproven(f"{stage.path} is empty")
    return f"{frames} frames, no checksum wrong, captured in {stage.path}"


STEPS = (address_detection, pings, udp_echo, http_with_kernel, http_with_other, refusals, capture)
