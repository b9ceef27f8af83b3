"""Functions that run in the lab, where tap7 is: programs under `tipy run`, and their peers."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from tipy.lab import STACK

ROOT = Path(__file__).resolve().parents[2]
HANG = 60                          # seconds; only a hang takes that long
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TIPY_CONFIG": "", "PYTHONUNBUFFERED": "1"}
NETWORK = ("--ifname", "tap7", "--address", f"{STACK}/24")


def words(*program, python=sys.executable, options=()):
    """The command that runs `program` on the lab's TAP."""
    return [python, "-m", "tipy", "run", *NETWORK, *options, *program]


def start(command, cwd=ROOT, **options):
    """Popen with both streams open; Ctrl-C works, which the lab's own processes ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    options = {"stdin": subprocess.DEVNULL, "env": ENVIRONMENT, **options}
    return subprocess.Popen(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **options)


def outcome(process, said="", input=None):
    """(exit status, stdout, stderr); kills what hangs, and says so."""
    try:
        out, err = process.communicate(input, timeout=HANG)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        err += "\n(killed: it hung)"
    return process.returncode, said + out, err


def run(command, input=None, cwd=ROOT):
    """Run a command to its end."""
    stdin = subprocess.PIPE if input is not None else subprocess.DEVNULL
    return outcome(start(command, cwd, stdin=stdin), input=input)


def await_line(process, pattern, stream="stdout"):
    """Read lines until one matches; returns all of them. AssertionError if it ends without."""
    said = ""
    for line in getattr(process, stream):
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"{pattern!r} did not come:\n{said}\n{process.stderr.read()}")


def await_port(port, address=STACK):
    """Wait until something listens there: for programs that do not tell."""
    import socket
    deadline = time.monotonic() + HANG
    while True:
        try:
            socket.create_connection((address, port), timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def beside(server, ready, client, *args, end=signal.SIGINT, cwd=ROOT):
    """Start a server, when it says it is ready call client(*args), then end it with a signal:
    (client's result, server's outcome)."""
    process = start(server, cwd)
    said = ""
    try:
        said = await_line(process, ready)
        result = client(*args)
    except BaseException as error:
        process.kill()
        error.add_note(str(outcome(process, said)))
        raise
    process.send_signal(end)
    return result, outcome(process, said)


def talk(command, lines, answers):
    """Give a client (nc, telnet, openssl) lines one by one, each after the answer to the one before it; then
    end it. `answers`: a pattern for each line. Returns its whole output."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env=ENVIRONMENT)
    said = b""
    try:
        for line, answer in zip(lines, answers):
            process.stdin.write(line)
            process.stdin.flush()
            said = _read_until(process, said, answer)
        process.stdin.close()
        process.stdin = None
        process.terminate()
        return said + process.communicate(timeout=HANG)[0]
    finally:
        process.kill()


def _read_until(process, said, answer):
    """Read until the pattern is there."""
    deadline = time.monotonic() + HANG
    while not re.search(answer, said):
        ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
        piece = os.read(process.stdout.fileno(), 65536) if ready else b""
        if not piece:
            raise AssertionError(f"{answer!r} did not come in {said!r}")
        said += piece
    return said


def many_echoes(address, count, size=50):
    """`count` TCP clients, all open at the same time; each sends and receives. True if all was echoed.

    (Not so much that a server which prints it all would fill its pipe.)"""
    import socket
    clients = [socket.create_connection(address, timeout=HANG) for _ in range(count)]
    try:
        for number, client in enumerate(clients):
            client.sendall(bytes([number % 256]) * size)
        for number, client in enumerate(clients):
            got = b""
            while len(got) < size:
                piece = client.recv(size - len(got))
                if not piece:
                    return False
                got += piece
            if got != bytes([number % 256]) * size:
                return False
        return True
    finally:
        for client in clients:
            client.close()
