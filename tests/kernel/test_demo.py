"""`python3 -m tipy demo` as a user runs it, on every rung this machine has."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tipy import demo
from tipy.lab import Lab

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
USERS_OWN = {"TIPY_ADDRESS": "10.9.9.9/8", "TIPY_MTU": "576"}     # which the demo ignores
HANG = 120                                # seconds; only a hang takes that long
NOT_RIGHT = ("_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || "
             "udp.checksum.status == 0 || icmp.checksum.status == 0")


def command(*arguments):
    return [sys.executable, "-m", "tipy", "demo", *arguments]


def run_demo(*arguments, cwd, **environment):
    return subprocess.run(command(*arguments), cwd=cwd, env={**ENVIRONMENT, **environment}, text=True,
                          capture_output=True, timeout=HANG)


def children_of(group):
    """Processes of a session that are still there, as /proc tells."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == group and fields[0] != "Z":
                found.append(int(entry))
    return found


@pytest.fixture(scope="module", params=["tap", "packet", "memory"])
def finished(request, tmp_path_factory):
    """(rung, the finished process, its capture): one run per rung."""
    try:
        Lab(request.param).close()
    except OSError as error:
        pytest.skip(f"no lab on the rung {request.param!r} here: {error}")
    path = tmp_path_factory.mktemp("demo") / "shown.pcapng"
    (path.parent / "config.py").write_text("# tipy config\nIP_ADDRESS = 'nonsense'\n")
    process = run_demo("--rung", request.param, "--output", path.name, cwd=path.parent, **USERS_OWN)
    return request.param, process, path


def test_every_step_is_verified_whatever_the_user_has_set(finished):
    rung, process, _ = finished
    assert process.returncode == 0, process.stdout + process.stderr
    verdict = "ok (in memory)" if rung == "memory" else "ok"
    assert re.findall(r"^(\d)\. (.*?):", process.stdout, re.M) == [(str(n), verdict) for n in range(1, 8)]
    assert process.stdout.rstrip().endswith("Every step was verified.")


def test_each_step_shows_its_packets(finished):
    _, process, _ = finished
    out = process.stdout
    assert re.search(r"^      > .*192\.168\.2\.200", out, re.M)           # the ARP probe
    assert re.search(r"^      [<>] .* S seq 0 win \d+", out, re.M)        # relative sequence numbers
    assert re.search(r"^      [<>] .* S\. seq 0 ack 1 win \d+", out, re.M)
    assert "\r" not in out and out.isascii()                              # not a terminal: no bar


def test_memory_rung_says_who_plays_the_kernel(finished):
    rung, process, _ = finished
    assert ("a second tipy stack" in process.stdout) == (rung == "memory")


def test_capture_is_where_it_was_asked_for(finished):
    _, process, path = finished
    assert path.stat().st_size > 4 * 16_000_000 and str(path) in process.stdout
    assert sorted(os.listdir(path.parent)) == ["config.py", path.name]


def test_capture_has_nothing_malformed_for_tshark(finished):
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    _, _, path = finished
    checks = [f"-o{name}.check_checksum:TRUE" for name in ("ip", "tcp", "udp")]
    wrong = subprocess.run([tshark, "-n", "-r", str(path), *checks, "-Y", NOT_RIGHT], text=True,
                           capture_output=True, timeout=HANG)
    assert wrong.returncode == 0, wrong.stderr
    assert wrong.stdout == ""


def test_capture_that_cannot_be_written_is_one_sentence(tmp_path):
    process = run_demo("--rung", "memory", "--output", str(tmp_path / "no" / "such.pcapng"), cwd=tmp_path)
    assert process.returncode == 1
    assert process.stdout.splitlines()[-1].startswith("the demo cannot run: ")
    assert "Traceback" not in process.stdout + process.stderr


def test_terminal_gets_a_progress_bar(tmp_path):
    master, slave = os.openpty()
    process = subprocess.Popen(command("--rung", "memory"), cwd=tmp_path, env=ENVIRONMENT, stdout=slave,
                               stdin=subprocess.DEVNULL)
    os.close(slave)
    seen = b""
    try:
        while data := os.read(master, 65536):
            seen += data
    except OSError:                       # EIO: the other end is closed
        pass
    finally:
        os.close(master)
    assert process.wait(HANG) == 0
    assert b"#....." in seen and seen.isascii()
    assert (tmp_path / "demo.pcapng").exists()


def test_reader_that_goes_away_is_no_traceback(tmp_path):
    process = subprocess.Popen(command("--rung", "memory"), cwd=tmp_path, env=ENVIRONMENT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(HANG) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_unwritable_directory_means_a_temporary_one(monkeypatch):
    monkeypatch.chdir("/proc")
    path = Path(demo._writable_path(None))
    assert path.name == "demo.pcapng" and path.parent != Path("/proc")
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("steps", [0, 2, 3])
def test_interrupt_leaves_nothing(steps, tmp_path):
    """Ctrl-C after so many steps: status 130, one sentence, no process of the session left."""
    process = subprocess.Popen(command(), cwd=tmp_path, env=ENVIRONMENT, text=True, start_new_session=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = ""
    while f"\n{steps}. " not in "\n" + seen if steps else "Network" not in seen:
        line = process.stdout.readline()
        assert line, f"the demo ended early: {seen} {process.stderr.read()}"
        seen += line
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 130, out + err
    assert "interrupted" in out and "Traceback" not in err
    assert children_of(process.pid) == []
