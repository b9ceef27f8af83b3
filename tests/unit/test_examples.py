"""The examples: short, each says how to run it and what it prints; here they run as far as they can without a
TAP. With one: tests/kernel/test_kernel_examples.py."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
WANTED = {"start_stack.py", "ping.py", "udp.py", "tcp.py", "resolver.py", "http_server.py", "two_hosts.py"}
NEED_TAP = sorted(WANTED - {"two_hosts.py"})


def run(*words, cwd=ROOT, path="."):
    environment = {**os.environ, "PYTHONPATH": str(path), "TIPY_IFACE": "tipy-no-such"}
    return subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True,
                          timeout=60)


def test_examples_are_there():
    assert {path.name for path in EXAMPLES} >= WANTED


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_short_and_says_how_to_run_it_and_what_it_prints(path):
    text = path.read_text(encoding="utf-8")
    said = ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 60
    command = "python3 -m tipy run --ifname tap7" if path.name.startswith("echo_") else "python3"
    assert f"PYTHONPATH=. {command} examples/{path.name}" in said and "Prints:" in said


@pytest.mark.parametrize("name", NEED_TAP)
def test_example_without_its_interface_ends_with_one_sentence(name):
    done = run(f"examples/{name}")
    assert done.returncode == 1 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "tipy-no-such" in done.stderr


@pytest.mark.parametrize("flags", [[], ["-O"]], ids=["normal", "-O"])
def test_two_hosts_talk(flags):
    done = run(*flags, "examples/two_hosts.py")
    assert (done.returncode, done.stderr if flags else "") == (0, "")
    assert "ARP who-has 192.168.2.2 tell 192.168.2.1" in done.stdout
    assert "the server at 192.168.2.2 received b'hello' from 192.168.2.1\n" in done.stdout
    assert "the client at 192.168.2.1 received b'HELLO'\n" in done.stdout


def test_examples_run_from_any_directory_once_installed(tmp_path):
    done = run(str(ROOT / "examples" / "two_hosts.py"), cwd=tmp_path, path=ROOT)
    assert done.returncode == 0 and "b'HELLO'" in done.stdout
