"""Every example as its first lines say, with and without -O, on a real TAP tap7 beside the real kernel."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tipy.lab import HOST, STACK

ROOT = Path(__file__).resolve().parents[2]
HANG = 60                          # seconds; only a hang takes that long
ENVIRONMENT = {**os.environ, "PYTHONPATH": ".", "TIPY_CONFIG": ""}


@pytest.fixture(params=[(), ("-O",)], ids=["normal", "-O"])
def command(request):
    """command("ping.py", "192.168.2.199") -> the words to run it."""
    return lambda name, *arguments: [sys.executable, *request.param, f"examples/{name}", *arguments]


# -- run inside the lab, in the namespace where tap7 is -------------------------------------------


def start(command):
    signal.signal(signal.SIGINT, signal.SIG_DFL)           # the lab's processes ignore it, a shell's do not
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def outcome(process, said=""):
    """(exit status, stdout, stderr) of a process that ends by itself, or is told to."""
    try:
        out, err = process.communicate(timeout=HANG)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        err += "\n(killed: it hung)"
    return process.returncode, said + out, err


def run(command):
    return outcome(start(command))


def beside(server, ready, client):
    """Start a server, when it is ready call client(), then Ctrl-C: (client's result, server's outcome)."""
    process = start(server)
    said = ""
    for line in process.stdout:
        said += line
        if re.search(ready, line):
            break
    else:
        return None, outcome(process, said)
    result = client()
    process.send_signal(signal.SIGINT)
    return result, outcome(process, said)


def server_and_client(server, ready, client):
    return beside(server, ready, lambda: run(client))


def fetch(server, ready, url):
    def get():
        with urllib.request.urlopen(url, timeout=HANG) as answer:
            return answer.status, answer.read()
    return beside(server, ready, get)


def ping_it(server, ready, address):
    """One echo request of the kernel's own, by its ping socket or a raw one."""
    def ping():
        from tipy.demo.programs import ping as ping_once
        return len(ping_once(socket, address, [56]))
    return beside(server, ready, ping)


def ask_own_server(command, answer):
    """Run a command beside a DNS server that knows one answer (bytes from the header's flags on)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 53))
        sock.settimeout(HANG)

        def serve():
            query, sender = sock.recvfrom(512)
            sock.sendto(query[:2] + answer[:10] + query[12:] + answer[10:], sender)

        thread = threading.Thread(target=serve)
        thread.start()
        result = run(command)
        thread.join()
        return result


# -- the tests ------------------------------------------------------------------------------------


def fine(result, *patterns):
    """Exit status 0, and each pattern on stdout."""
    status, out, err = result
    if status:
        raise AssertionError(f"exit status {status}\n{out}\n{err}")
    for pattern in patterns:
        if not re.search(pattern, out, re.M):
            raise AssertionError(f"{pattern!r} is missing in\n{out}\n{err}")
    return err


def test_ping_is_answered(tap_lab, command):
    fine(tap_lab.kernel.call(run, command("ping.py", HOST, "2"), timeout=HANG),
         rf"^56 bytes from {HOST}: seq=1 ttl=64 time=[\d.]+ ms$", r"seq=2", r"^2 sent, 2 answered$")


def test_ping_of_a_silent_host_says_so(tap_lab, command):
    status, out, _ = tap_lab.kernel.call(run, command("ping.py", "192.168.2.77", "1"), timeout=HANG)
    assert status == 1 and "1 sent, 0 answered" in out


def test_start_stack_answers_the_kernels_ping(tap_lab, command):
    replies, served = tap_lab.kernel.call(ping_it, command("start_stack.py"), "Ctrl-C ends", STACK,
                                          timeout=HANG)
    fine(served, rf"^<tipy tap7 {STACK} running> 02:", r"^icmp\.\w+ \d+")
    assert replies == 1


@pytest.mark.parametrize("name", ["tcp.py", "udp.py"])
def test_client_on_the_stack_server_on_linux(name, tap_lab, command):
    asked, served = tap_lab.kernel.call(server_and_client, command(name, "--linux", "server"), "waiting",
                                        command(name, HOST), timeout=HANG)
    fine(asked, "^HELLO\nOVER TAP7$" if name == "tcp.py" else "hello over tap7!.* came back")
    fine(served, rf"{STACK}:\d+")


@pytest.mark.parametrize("name", ["tcp.py", "udp.py"])
def test_server_on_the_stack_client_on_linux(name, tap_lab, command):
    asked, served = tap_lab.kernel.call(server_and_client, command(name, "server"), "waiting",
                                        command(name, "--linux", STACK), timeout=HANG)
    fine(asked, "^HELLO\nOVER TAP7$" if name == "tcp.py" else "8000 bytes came back")
    fine(served, rf"{HOST}:\d+")


def test_client_without_server_is_refused_in_one_line(tap_lab, command):
    status, out, err = tap_lab.kernel.call(run, command("tcp.py", HOST), timeout=HANG)
    assert status == 1 and err.splitlines()[-1] == "[Errno 111] Connection refused"


def test_http_server_serves_a_file(tap_lab, command):
    (status, body), served = tap_lab.kernel.call(
        fetch, command("http_server.py", "examples"), "http://", f"http://{STACK}:8000/tcp.py", timeout=HANG)
    fine(served)
    assert status == 200 and body == (ROOT / "examples" / "tcp.py").read_bytes()


ADDRESS_RECORD = b"\xc0\x0c" + bytes((0, 1, 0, 1, 0, 0, 0, 60, 0, 4)) + bytes((192, 0, 2, 80))


def test_resolver_prints_the_address(tap_lab, command):
    answer = bytes((0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0)) + ADDRESS_RECORD
    asking = command("resolver.py", "example.com", HOST)
    fine(tap_lab.kernel.call(ask_own_server, asking, answer, timeout=HANG),
         r"^example\.com has address 192\.0\.2\.80$")


def test_resolver_says_that_there_is_no_such_name(tap_lab, command):
    answer = bytes((0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0))
    status, _, err = tap_lab.kernel.call(ask_own_server, command("resolver.py", "nowhere", HOST), answer,
                                         timeout=HANG)
    assert status == 1 and err.splitlines()[-1] == "there is no such name"


def test_normal_mode_logs_readable_lines_and_optimised_none(tap_lab):
    for flags, quiet in (((), False), (("-O",), True)):
        words = [sys.executable, *flags, "examples/ping.py", HOST, "1"]
        err = fine(tap_lab.kernel.call(run, words, timeout=HANG))
        assert (err == "") is quiet, err
