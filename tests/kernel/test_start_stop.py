"""Stacks on a real TAP that come and go: nothing stays behind, blocked calls end, interrupts tear nothing."""

import errno
import gc
import os
import random
import signal
import threading

import pytest

from tipy import log
from tipy.demo.players import KernelPlayer, StackPlayer
from tipy.demo.programs import udp_echo_client, udp_echo_server
from tipy.lab import HOST, PREFIX_LENGTH, STACK, Lab
from tipy.settings import Settings
from tipy.stack import Stack

JOIN = 30                      # seconds after which a thread counts as stuck
STORM = 1500                   # signals
INTERVAL = 0.0003              # seconds from one to the next


def make(link, **settings):
    log.choose(())
    settings.setdefault("acd", False)
    return Stack(link=link, address=f"{STACK}/{PREFIX_LENGTH}", settings=Settings(), **settings)


def open_things():
    """Threads, descriptors and child processes."""
    gc.collect()
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
        return set(threading.enumerate()), len(os.listdir("/proc/self/fd")), set(file.read().split())


def echo(socket, address):
    """Accept one connection and send back what comes, to its end; the number of bytes."""
    with socket.create_server(address) as listener:
        listener.settimeout(JOIN)
        yield listener.getsockname()[1]
        sock, _ = listener.accept()
        count = 0
        with sock:
            sock.settimeout(JOIN)
            while data := sock.recv(1 << 16):
                count += len(data)
                sock.sendall(data)
        return count


def accept_and_hold(socket, address):
    """Accept two connections and hold them until their ends come."""
    with socket.create_server(address) as listener:
        listener.settimeout(JOIN)
        yield listener.getsockname()[1]
        socks = [listener.accept()[0] for _ in range(2)]
        yield "held"
        ends = []
        for sock in socks:
            sock.settimeout(JOIN)
            try:
                while sock.recv(1 << 16):
                    pass
                ends.append("end")
            except ConnectionResetError:
                ends.append("reset")
        return ends


def test_hundred_lives_with_traffic_leave_nothing(tap_lab):
    host = KernelPlayer("host", HOST, tap_lab.kernel)

    def live():
        link = tap_lab.link()
        with make(link) as stack:
            ours = StackPlayer("tipy", STACK, stack)
            with ours.start(udp_echo_server, (STACK, 0), 2) as serving:
                port = serving.next()
                assert host.play(udp_echo_client, (STACK, port), (10, 3000)) == 3010
                serving.result()
            with host.start(echo, (HOST, 0)) as echoing:
                with stack.socket.create_connection((HOST, echoing.next())) as sock:
                    sock.fileno()
                    sock.sendall(b"hello")
                    assert sock.recv(10) == b"hello"
                assert echoing.result() == 5
        assert link.fileno() is None and stack.errors == []

    live()
    before = open_things()
    for _ in range(100):
        live()
    assert open_things() == before


def test_labs_that_come_and_go_leave_nothing(tap_lab):
    before = open_things()
    for _ in range(5):
        with Lab("tap") as lab, make(lab.link()) as stack:
            assert stack.status == "running"
    assert open_things() == before


def test_stop_wakes_blocked_calls_and_resets_connections(tap_lab):
    host = KernelPlayer("host", HOST, tap_lab.kernel)
    with make(tap_lab.link()) as stack, host.start(accept_and_hold, (HOST, 0)) as holding:
        port = holding.next()
        reading, sending = (stack.socket.create_connection((HOST, port)) for _ in range(2))
        assert holding.next() == "held"
        listener = stack.socket.create_server((STACK, 0))
        outcomes, blocked = [], []

        def attempt(call):
            try:
                outcomes.append(call())
            except OSError as error:
                outcomes.append(error.errno)

        for call in (lambda: reading.recv(10), listener.accept):
            blocked.append(threading.Thread(target=attempt, args=(call,), daemon=True))
            blocked[-1].start()
        pause = threading.Event()
        for _ in range(JOIN * 1000):
            if len(stack.gate.describe_waits()) == 2:
                break
            pause.wait(0.001)
        stack.stop()
        for thread in blocked:
            thread.join(JOIN)
        assert outcomes == [errno.ENETDOWN] * 2 and "not running" in stack.status
        assert holding.result() == ["reset", "reset"]


class Interrupted(KeyboardInterrupt):
    pass


@pytest.fixture
def storm():
    """Start a storm of signals whose handler raises once for each time it is armed; the counters."""
    state = {"count": 0, "raised": 0, "armed": False}

    def handler(signum, frame):
        state["count"] += 1
        if state["armed"]:
            state["armed"] = False
            state["raised"] += 1
            raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    yield state
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def pattern(start, size):
    return bytes((at * 7 + (at >> 8)) & 0xFF for at in range(start, start + size))


def test_storm_of_interrupts_while_reading_the_tap(tap_lab, storm):
    """The blocked main thread reads the link itself; each interrupt tears it out of that."""
    host, rng, wrong = KernelPlayer("host", HOST, tap_lab.kernel), random.Random(1), []
    with make(tap_lab.link()) as stack, host.start(echo, (HOST, 0)) as echoing:
        sock = stack.socket.create_connection((HOST, echoing.next()))
        tcb = sock._channel.endpoint

        def written():
            return tcb.snd_end - tcb.iss - 1

        def consumed():
            return tcb.rcv_nxt - tcb.irs - 1 - tcb.unread

        def step():
            at, sent = consumed(), written()
            if at == sent:
                sock.send(pattern(sent, rng.choice((1, 100, 3000, 20_000))))
                return
            data = sock.recv(rng.choice((1, 100, 3000, 20_000)))
            if data != pattern(at, len(data)):
                wrong.append((at, len(data)))

        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
        for _ in range(400_000):
            if storm["count"] >= STORM:
                break
            try:
                storm["armed"] = True
                step()
                storm["armed"] = False
            except Interrupted:
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert storm["raised"] > STORM // 20
        sock.shutdown(1)
        at = consumed()
        while data := sock.recv(10_000):
            assert data == pattern(at, len(data))
            at += len(data)
        assert wrong == [] and at == written() == echoing.result()
        assert stack.errors == [] and stack.gate.describe_waits() == []
