"""The programs of a Twisted tutorial (tests/tutorial), unchanged, under `tipy run` on a TAP: telnet, nc and
openssl s_client on the kernel's side are their clients. Twisted comes into a virtual environment of our own.
"""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import run_helpers as helpers
from run_helpers import HANG, ROOT, await_port, outcome, start, talk, words

from tipy.lab import STACK

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import tls_material  # noqa: E402

TUTORIAL = ROOT / "tests" / "tutorial"
INSTALLING = 600                   # seconds; a slow network


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with twisted[tls]."""
    place = tmp_path_factory.mktemp("twisted") / "venv"
    for command in ([sys.executable, "-m", "venv", str(place)],
                    [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "twisted[tls]"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            pytest.skip(f"twisted[tls] cannot be installed: {said[-1] if said else command}")
    return str(place / "bin" / "python")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where domain.key, with its passphrase, and domain.crt are."""
    return str(tls_material.make(tmp_path_factory.mktemp("domain")))


def program(python, name):
    return words(str(TUTORIAL / name), python=python)


def need(command):
    if shutil.which(command) is None:
        pytest.skip(f"the program {command} is not installed")


# -- in the lab -------------------------------------------------------------------------------------


def serve_tcp(server, client, lines, answers):
    """Start the server; (what the client saw, whether fifty at once were served, threads, its outcome)."""
    process = start(server)
    try:
        await_port(1234)
        said = talk(client, lines, answers)
        echoed = helpers.many_echoes((STACK, 1234), 50)
        threads = len(os.listdir(f"/proc/{process.pid}/task"))
    finally:
        process.send_signal(signal.SIGINT)
        result = outcome(process)
    return said, echoed, threads, result


def serve_udp(server, clients):
    """As serve_tcp, for several nc -u at once, each with a line of its own."""
    process = start(server)
    try:
        _until_answered(["nc", "-u", "-w", "1", STACK, "1234"], b"are you there?\n")
        running = [subprocess.Popen(["nc", "-u", STACK, "1234"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE) for _ in range(clients)]
        said = []
        for number, client in enumerate(running):
            client.stdin.write(b"line %d\n" % number)
            client.stdin.flush()
        for client in running:
            said.append(helpers._read_until(client, b"", b"\n"))
            client.kill()
            client.communicate()
    finally:
        process.send_signal(signal.SIGINT)
        result = outcome(process)
    return said, result


def _until_answered(command, line):
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        done = subprocess.run(command, input=line, capture_output=True, timeout=HANG)
        if done.stdout:
            return
    raise AssertionError("nobody answers")


def serve_tls(server, cwd, passphrase):
    """Start the server on a terminal of its own and type the passphrase when it asks; two clients at once.
    (what was on the terminal, what the first client saw, what the second saw)."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(cwd)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execve(server[0], server, helpers.ENVIRONMENT)
    shown = b""
    try:
        shown = _read_terminal(terminal, shown, rb"pass ?phrase.*:")
        os.write(terminal, passphrase + b"\n")
        await_port(1234)
        client = ["openssl", "s_client", "-connect", f"{STACK}:1234"]
        other = subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
        try:
            said = talk(client, [b"hello\n", b"again\n"], [rb"\nhello\r?\n", rb"\nagain\r?\n"])
            other.stdin.write(b"me too\n")
            other.stdin.flush()
            other_said = helpers._read_until(other, b"", rb"\nme too\r?\n")
        finally:
            other.kill()
            other.communicate()
        shown = _read_terminal(terminal, shown, b"me too")
        os.kill(pid, signal.SIGINT)
        shown = _read_terminal(terminal, shown, None)
    finally:
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)
    return shown, said, other_said


def _read_terminal(terminal, shown, pattern):
    """Read until the pattern is shown, or to the end."""
    deadline = time.monotonic() + HANG
    while pattern is None or not re.search(pattern, shown, re.I):
        ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
        try:
            piece = os.read(terminal, 65536) if ready else b""
        except OSError:                    # the other side of a terminal is closed
            piece = b""
        if not piece:
            if pattern is None:
                break
            raise AssertionError(f"{pattern!r} was not shown in {shown!r}")
        shown += piece
    return shown


# -- the tests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command, lines", [
    (["telnet", STACK, "1234"], [b"hello\r\n", b"again\r\n"]),
    (["nc", STACK, "1234"], [b"hello\n", b"again\n"])], ids=["telnet", "nc"])
def test_echo_tcp(tap_lab, python, command, lines):
    need(command[0])
    said, echoed, threads, (status, out, err) = tap_lab.kernel.call(
        serve_tcp, program(python, "echo_tcp.py"), command, lines, [b"hello", b"again"], timeout=HANG)
    assert b"again" in said and echoed
    assert "received b'hello\\" in out
    assert threads == 2                    # the program's one, and the stack's
    assert status == 0 and err.startswith("tipy: ") and len(err.splitlines()) == 1


def test_echo_udp(tap_lab, python):
    need("nc")
    command = program(python, "echo_udp.py")
    said, (status, out, err) = tap_lab.kernel.call(serve_udp, command, 10, timeout=HANG)
    assert said == [b"line %d\n" % number for number in range(10)]
    assert re.search(r"received b'line 7\\n' from \('192\.168\.2\.199', \d+\)", out)
    assert status == 0 and len(err.splitlines()) == 1


def test_echo_ssl_asks_for_its_passphrase(tap_lab, python, place):
    shown, said, other = tap_lab.kernel.call(serve_tls, program(python, "echo_ssl.py"), place, b"secret",
                                             timeout=HANG)
    assert b"BEGIN CERTIFICATE" in said and b"TLSv1.3" in said and b"TLSv1.3" in other
    assert b"received b'hello" in shown and b"received b'me too" in shown
    assert b"Traceback" not in shown


BOTH = """
import runpy, socketserver, sys, threading

class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096):
            self.request.sendall(data)

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True

if sys.argv[2] == "served":
    threading.Thread(target=Server(("127.0.0.1", 1234), Echo).serve_forever, daemon=True).start()
sys.path.insert(0, "")
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("served, said", [
    ("served", "Server said: b'Hello, world!'\nConnection lost.\n"), ("alone", "Connection failed.\n")])
def test_echo_tcp_client(tmp_path, python, served, said):
    """"localhost" is the stack's own, so the server it talks to runs beside it, in the same process."""
    command = [python, "-m", "tipy", "run", "-c", BOTH, str(TUTORIAL / "echo_tcp_client.py"), served]
    done = subprocess.run(command, cwd=tmp_path, env=helpers.ENVIRONMENT, capture_output=True, text=True,
                          timeout=HANG)
    assert (done.returncode, done.stdout) == (0, said), done.stderr
