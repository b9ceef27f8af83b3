"""Several processes on the queues of one TAP, beside the real kernel: which queue it steers a flow to, and that every
frame reaches the process it belongs to."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.kernel.test_demo import children_of
from tipy.lab import HOST, PREFIX_LENGTH
from tipy.lab.network import BRIDGE
from tipy.link.tap import create_tap
from tipy.netlink import Netlink
from tipy.workers import Workers

ROOT = Path(__file__).resolve().parents[2]
TAP, ADDRESS = "tap8", "192.168.2.201"
PORT, CONTROL, HOST_PORT, CLOSED = 8000, 9000, 7000, 81
AGED = 4.0                         # seconds; the kernel forgets after 3 which queue a flow was last written to
HANG = 60                          # seconds; only a hang takes that long


@pytest.fixture(scope="module")
def lab(tap_lab):
    tap_lab.kernel.call(make_tap)
    return tap_lab


def make_tap():
    create_tap(TAP, multi_queue=True)
    with Netlink() as netlink:
        netlink.set(TAP, master=BRIDGE, up=True)


# -- what the processes do ------------------------------------------------------------------------


def work(stack, number):
    """Answer every TCP connection with our number, and orders that come by UDP to a port of our own."""
    module = stack.socket
    listener = module.create_server((ADDRESS, PORT))
    orders = module.socket(module.AF_INET, module.SOCK_DGRAM)
    orders.bind((ADDRESS, CONTROL + number))
    in_thread(accept, listener, number)
    os.write(LISTENING[1], b"x")
    while True:
        order, sender = orders.recvfrom(10_000)
        if order == b"call":
            in_thread(echo, module.create_connection((HOST, HOST_PORT)), number)
        said = {"bytes": len(order), "name": stack.name, **stack.counters}
        orders.sendto(json.dumps(said).encode(), sender)


def in_thread(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()


def accept(listener, number):
    try:
        while True:
            in_thread(echo, listener.accept()[0], number)
    except OSError:
        pass                                           # the stack was stopped


def echo(sock, number):
    try:
        while sock.recv(1000):
            sock.sendall(b"%d" % number)
    except OSError:
        pass


# -- run in the namespace of the kernel's host ----------------------------------------------------


def with_workers(scene, count=2):
    """scene(workers) beside `count` processes that listen: its result."""
    global LISTENING
    LISTENING = os.pipe()
    with Workers(count, work, use_user_files=False, ifname=TAP, address=f"{ADDRESS}/{PREFIX_LENGTH}", gateway=None,
                 log_channels=()) as workers:
        heard = 0
        while heard < count:
            assert select.select([LISTENING[0]], [], [], HANG)[0]
            heard += len(os.read(LISTENING[0], count))
        return scene(workers)


def ask(number, order=b"how are you?"):
    """What a process says to an order: its counters, and how long the order was."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(HANG)
        sock.connect((ADDRESS, CONTROL + number))
        sock.send(order)
        return json.loads(sock.recv(10_000))


def connections(count, first_port=None):
    """Sockets that are connected; from ports of one's own, which no earlier flow has had, beginning at first_port."""
    return [socket.create_connection((ADDRESS, PORT), HANG, (HOST, first_port + number) if first_port else None)
            for number in range(count)]


def answers(socks):
    """Who answers on each: a digit, or "!" for one that was reset."""
    found = []
    for sock in socks:
        sock.settimeout(HANG)
        try:
            sock.sendall(b"?")
            found.append(sock.recv(10).decode())
        except ConnectionError:
            found.append("!")
    return "".join(found)


def refusal(kind):
    """The name of the exception that a closed port means."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(HANG)
        try:
            sock.connect((ADDRESS, CLOSED))
            sock.send(b"x")
            sock.recv(10)
        except OSError as error:
            return type(error).__name__


def totals(count=2):
    """The counters of all processes, added."""
    told = [ask(number) for number in range(count)]
    return {name: sum(one.get(name, 0) for one in told) for name in set().union(*told) - {"name"}}


def accepted_flows(workers):
    socks = connections(64, 10_000 * workers.count)        # a note about an earlier flow would mislead the kernel
    first = answers(socks)
    before = totals(workers.count)
    again = answers(socks)
    time.sleep(AGED)
    return first, again, answers(socks), before, totals(workers.count)


def opened_flows(workers):
    with socket.create_server((HOST, HOST_PORT)) as server:
        server.settimeout(HANG)
        socks = []
        for number in (0, 1) * 12:
            ask(number, b"call")
            socks.append(server.accept()[0])
        first = answers(socks)
        time.sleep(AGED)
        return first, answers(socks), totals()


def closed_ports(workers):
    refused = [refusal(socket.SOCK_STREAM) for _ in range(8)] + [refusal(socket.SOCK_DGRAM) for _ in range(4)]
    return refused, totals()


def fragments(workers):
    return [ask(number, bytes(5000))["bytes"] for number in (0, 1, 0, 1)], totals()


def death(workers):
    socks = connections(32)
    before = answers(socks)
    os.kill(workers.pids[0], signal.SIGKILL)
    ended = workers.pids[0]
    os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
    after = answers(socks)
    later = answers(connections(16))
    return before, after, later, [refusal(socket.SOCK_STREAM) for _ in range(4)]


def names(workers):
    return [ask(number)["name"] for number in (0, 1)]


def many_stops(workers):
    workers.stop()
    workers.stop()
    return workers.wait(), [os.path.exists(f"/proc/{pid}") for pid in workers.pids]


def scene_alone(scene, count=2):
    return with_workers(globals()[scene], count)


@pytest.fixture
def play(lab):
    return lambda scene, count=2: lab.kernel.call(scene_alone, scene.__name__, count, timeout=HANG)


# -- the tests ------------------------------------------------------------------------------------


def test_accepted_flows_stay_on_their_queue(play):
    check_that_flows_stay(*play(accepted_flows), 2)


def test_accepted_flows_of_three_processes_do_too(play):
    check_that_flows_stay(*play(accepted_flows, 3), 3)


def check_that_flows_stay(first, again, aged, before, after, count):
    assert set(first) == set("012"[:count])                # the kernel spreads them
    assert first == again == aged
    strays = after.get("workers.handed_on", 0) - before.get("workers.handed_on", 0)
    assert strays <= 2 * count * (count - 1)               # those are orders, each of which has one place only
    assert after.get("tcp.resets_out", 0) == 0


def test_flows_that_a_process_opens_stray_and_come_home(play):
    """The kernel's answer to a SYN, and what it sends after a pause, may land at the sibling."""
    first, aged, counters = play(opened_flows)
    assert first == aged == "01" * 12
    assert counters["workers.handed_on"] > 0 and counters.get("tcp.resets_out", 0) == 0


def test_closed_port_is_refused_by_one(play):
    refused, counters = play(closed_ports)
    assert refused == ["ConnectionRefusedError"] * 12
    assert counters["tcp.resets_out"] == 8 and counters["icmp.errors_out"] == 4


def test_fragments_reach_their_socket(play):
    lengths, counters = play(fragments)
    assert lengths == [5000] * 4 and counters["ipv4.reassembled"] == 4


def test_siblings_are_no_conflict(play):
    _, counters = play(fragments)
    assert counters.get("arp.conflict_packets", 0) == 0 and counters["workers.copied"] > 0


def test_death_of_one_costs_its_connections_only(play):
    before, after, later, refused = play(death)
    assert after == before.replace("0", "!")
    assert later == "1" * 16 and refused == ["ConnectionRefusedError"] * 4


def test_each_is_named_as_the_tap(play):
    assert play(names) == [TAP, TAP]


def test_stop_ends_all_and_may_be_repeated(play):
    assert play(many_stops) == ([130, 130], [False, False])


# -- what a user sees -----------------------------------------------------------------------------


def example(*arguments):
    environment = {**os.environ, "PYTHONPATH": ".", "TIPY_CONFIG": "", "TIPY_ADDRESS": f"{ADDRESS}/{PREFIX_LENGTH}"}
    return subprocess.Popen([sys.executable, "examples/workers.py", *arguments], cwd=ROOT, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def use_example():
    process = example("2", TAP)
    try:
        lines = [process.stdout.readline() for _ in range(2)]
        said = set()
        for _ in range(64):
            with socket.create_connection((ADDRESS, PORT), HANG) as sock:
                said.add(re.match(rb"this is worker (\d)", sock.recv(100))[1].decode())
    finally:                                               # it has a session of its own, nobody else would end it
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG)
    return sorted(lines), said, process.returncode, err, children_of(process.pid)


def test_example_answers_from_both_until_interrupted(lab):
    lines, said, status, err, left = lab.kernel.call(use_example, timeout=HANG)
    assert lines == [f"worker {number} waits on port {PORT}\n" for number in range(2)] and said == {"0", "1"}
    assert (status, left) == (0, []) and "Traceback" not in err


def complaint(*arguments):
    process = example(*arguments)
    out, err = process.communicate(timeout=HANG)
    return process.returncode, out, err


def test_tap_with_one_queue_is_a_sentence(lab):
    status, out, err = lab.kernel.call(complaint, "2", "tap7", timeout=HANG)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "tap7 is not a TAP with several queues" in err and "multi_queue" in err


def test_address_of_another_host_is_a_sentence(lab):
    status, out, err = lab.kernel.call(complaint_at_others_address, timeout=HANG)
    assert status == 1 and "192.168.2.50 is already used by" in err and "Traceback" not in err


def complaint_at_others_address():
    global ADDRESS
    ADDRESS = "192.168.2.50"
    return complaint("2", TAP)
