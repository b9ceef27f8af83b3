"""`python3 -m tipy bench` as a user runs it. Structure and units; no figure is judged."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.test_demo import children_of
from tipy.bench import network, quick
from tipy.bench.network import Network
from tipy.bench.quick import Quick

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
HANG = 180                                # seconds; only a hang takes that long
UNITS = {"MB/s", "us", "/s", "KB"}
TITLES = {                                # row -> the titles of its lines
    "bulk": ["bulk TCP k2s", "bulk TCP k2s, of the ceiling", "bulk TCP s2k", "bulk TCP s2k, of the ceiling"],
    "ping-pong": ["UDP ping-pong 64 B, free CPUs", "UDP ping-pong 64 B, one CPU",
                  "TCP ping-pong 64 B, free CPUs", "TCP ping-pong 64 B, one CPU"],
    "udp": ["UDP echoes, 32 outstanding", "UDP one way in, 1000 B", "UDP one way out, 1000 B"],
    "connect": ["accept + close as server", "connect + close as client"],
    "ping": ["ping replies, 32 outstanding"],
    "connections": ["memory per idle connection, 200 open"],
    "memory": ["stack <-> stack in memory"],
}


def need(rung):
    try:
        Network(rung).close()
    except OSError as error:
        pytest.skip(f"no network for the rung {rung!r} here: {error}")


def bench(*arguments, flags=()):
    return subprocess.run([sys.executable, *flags, "-m", "tipy", "bench", *arguments], cwd=ROOT, env=ENVIRONMENT,
                          text=True, capture_output=True, timeout=HANG)


def test_json_on_a_tap():
    need("tap")
    done = bench("--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["network"], told["reason"], told["not_measured"]) == ("tap", "", [])
    assert {"tipy", "python", "optimized", "system", "cpus", "seconds"} <= told.keys()
    found = {}
    for row in told["rows"]:
        found.setdefault(row["row"], []).append(row["title"])
        assert row["unit"] in UNITS and row["value"] > 0
        assert row["smaller_is_better"] == (row["unit"] in ("us", "KB"))
        if row["ratio"] is not None:
            # it is that of the medians; of the ceiling the median of those of each turn, which may differ
            near = 0.5 if row["title"].endswith("of the ceiling") else 1e-6
            assert row["base"] and row["value"] / row["reference"] == pytest.approx(row["ratio"], rel=near)
    assert found == TITLES


@pytest.mark.parametrize("flags", [(), ("-O",)], ids=["normal", "-O"])
def test_table_in_memory(flags):
    done = bench("--rung", "memory", flags=flags)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "stack <-> stack in memory, bulk TCP" in done.stdout and done.stdout.isascii()
    missing = [line for line in done.stdout.splitlines() if line.startswith("not measured: ")]
    assert len(missing) == len(quick.ROWS) - 1 and all("no kernel to talk to" in line for line in missing)


def test_json_in_memory():
    told = json.loads(bench("--rung", "memory", "--json").stdout)
    assert told["network"] == "memory" and {row["unit"] for row in told["rows"]} == {"MB/s", "us", "/s"}
    assert {entry["row"] for entry in told["not_measured"]} == set(quick.ROWS) - {"memory"}


def test_packet_rung_measures_without_the_ceiling(monkeypatch):
    need("packet")
    monkeypatch.setattr(quick, "ROWS", {name: quick.ROWS[name] for name in ("bulk", "ping")})
    with Quick("packet") as run:
        titles = [line.title for _, line in run.rows()]
    assert titles == ["bulk TCP k2s", "bulk TCP s2k", "ping replies, 32 outstanding"]
    assert run.failed == [] and "needs a TAP" in run.missing["bulk, of the ceiling"]


def test_without_tun_it_is_a_packet_socket_and_says_why(monkeypatch):
    def no_tun(name):
        raise OSError(2, "there is no /dev/net/tun")
    need("packet")
    monkeypatch.setattr(network, "attach_tap", no_tun)         # the processes are forked from this one
    with Network() as net:
        assert (net.rung, net.reason) == ("packet", "no TAP: there is no /dev/net/tun")
    with pytest.raises(OSError):
        Network("tap")


def test_without_namespaces_it_is_in_memory_and_says_why(monkeypatch):
    def forbidden(**options):
        raise PermissionError(1, "unshare: Operation not permitted")
    monkeypatch.setattr(quick, "Contest", forbidden)
    with Quick() as run:
        assert (run.rung, run.reason) == ("memory", "no network namespace: unshare: Operation not permitted")
    with pytest.raises(PermissionError):
        Quick("tap")


def test_bar_is_longer_for_what_is_better():
    """Twice the rate and half the time are equally good."""
    from tipy.bench.contest import Line
    from tipy.bench.table import _merit
    assert _merit(Line("x", 200.0, "MB/s", 2.0)) == _merit(Line("x", 5.0, "us", 0.5)) == 2.0
    assert _merit(Line("x", 5.0, "us")) is None


def test_row_that_fails_is_a_sentence_and_a_status(monkeypatch, capsys):
    def broken():
        raise OSError("the wire broke")
        yield
    monkeypatch.setattr(quick, "in_memory", broken)
    from tipy.bench import main
    assert main(["--rung", "memory"]) == 1
    assert "not measured: memory (OSError: the wire broke)" in capsys.readouterr().out


def test_wrong_word_is_a_sentence():
    done = bench("--fast")
    assert done.returncode == 2 and "--fast" in done.stderr and "Traceback" not in done.stderr


def test_interrupt_leaves_nothing():
    need("tap")
    process = subprocess.Popen([sys.executable, "-m", "tipy", "bench"], cwd=ROOT, env=ENVIRONMENT, text=True,
                               start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = process.stdout.readline()
    while line and not line.startswith("bulk TCP k2s"):
        line = process.stdout.readline()
    for _ in range(3):                                 # a finalizer in which it is raised loses it: press again
        os.killpg(process.pid, signal.SIGINT)
        try:
            _, err = process.communicate(timeout=5)
            break
        except subprocess.TimeoutExpired:
            continue
    else:
        process.kill()
        _, err = process.communicate(timeout=HANG)
    assert process.returncode == 130 and err.endswith("interrupted; everything is cleaned up\n"), err
    assert err.count("\n") == 1 or "Exception ignored" in err
    assert children_of(process.pid) == []


def test_tipy_itself_does_not_load_the_bench():
    code = ("import sys, tipy; from tipy import Stack, socket; import tipy.__main__;"
            "assert not [name for name in sys.modules if name.startswith('tipy.bench')]")
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
