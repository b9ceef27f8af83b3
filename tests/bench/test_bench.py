"""The measurements measure what they say. No figure is judged here."""

import json
import subprocess
import sys
import textwrap
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

import tipy
from tests.bench import bounds
from tests.bench.__main__ import ROWS, main
from tests.bench.layers import Bytecodes, Meter, layer_of
from tests.bench.loss import bottleneck, transfer
from tipy import log
from tipy.bench import programs
from tipy.bench.contest import Goal, Line, versus
from tipy.bench.network import Network
from tipy.link import Offload
from tipy.link.virtio import pack_header
from tipy.tcp.seq import unwrap

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def quiet():
    log.choose(())
    yield
    log.choose(log.DEFAULT)


def test_pattern_depends_on_the_position():
    chunks = {bytes(programs.pattern(index)) for index in range(50)}
    assert len(chunks) == 50
    assert all(len(chunk) == programs.CHUNK for chunk in chunks)
    first = bytes(programs.pattern(0))
    assert Counter(first).most_common(1)[0][1] < len(first) / 100      # not a constant that hides shifts


class _Stream:
    """A socket to read `data` from."""

    def __init__(self, data):
        self.data = memoryview(data)

    def recv_into(self, view):
        count = min(len(view), 5000, len(self.data))
        view[:count] = self.data[:count]
        self.data = self.data[count:]
        return count


def test_comparing_notices_one_wrong_byte_and_a_lost_one():
    stream = bytearray(bytes(programs.pattern(0)) + bytes(programs.pattern(1)))
    size = len(stream)
    assert programs.receive_stream(_Stream(stream), size, programs.CHECK) == size
    with pytest.raises(programs.Mismatch):
        programs.receive_stream(_Stream(stream[:100] + stream[101:]), size, programs.CHECK)
    stream[-1] ^= 1
    with pytest.raises(programs.Mismatch):
        programs.receive_stream(_Stream(stream), size, programs.CHECK)


def test_goals_and_verdicts():
    assert str(Goal(low=1.5)) == ">= 1.5" and str(Goal(high=2.0)) == "<= 2"
    assert Goal(low=1.5).met(1.5) and not Goal(low=1.5).met(1.4)
    assert Line("x", 1.0, "us", 3.0, goal=Goal(high=2)).verdict == "NOT MET"
    assert Line("x", 1.0, "us").verdict == ""


def test_bounds():
    assert bounds.jain([5, 5, 5]) == pytest.approx(1)
    assert bounds.jain([1, 0, 0, 0]) == pytest.approx(0.25)
    assert bounds.ideal_sack(0, 10_000_000, 0.1, 32768, 1448, 1) == pytest.approx(22 * 1448 / 0.1, rel=0.01)
    assert bounds.cubic_response(0.01, 0.1, 1448) == pytest.approx(150 ** 0.5 * 1448 / 0.1)


def test_a_simulated_transfer_is_repeatable():
    runs = [transfer(3, 200_000, loss=0.05) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0]["lost"] and runs[0]["retransmitted"]


def test_the_bottleneck_carries_no_more_than_its_rate():
    rates = bottleneck(1, 2, until=3.0, since=1.0, rate=1e6)
    assert len(rates) == 2 and min(rates) > 0
    assert sum(rates) < 1e6


def test_the_meter_charges_each_layer_its_own_time():
    meter = Meter()
    inner = meter.wrap("inner", lambda: sum(range(100_000)))
    meter.wrap("outer", inner)()
    spent = meter.figures()
    assert spent["inner"] > spent["outer"]


def test_bytecodes_are_counted_for_the_layer_whose_file_they_are_in():
    found = []
    with closing(Bytecodes()) as count:
        for turns in (10, 20):
            count.reset()
            for number in range(turns):
                unwrap(number, 0)                      # of tipy/tcp/seq.py
            pack_header.__wrapped__(8, Offload(0, 20, 6, 28))          # of tipy/link/virtio.py
            found.append(count.figures())
            unwrap(1, 0)
            assert count.figures() == found[-1]        # nobody counts any more
    assert found[1]["tcp"] == 2 * found[0]["tcp"] > 0 and found[1]["link"] == found[0]["link"] > 0
    assert {layer for layer, steps in found[1].items() if steps} == {"tcp", "link"}


def test_every_file_on_the_way_of_a_segment_belongs_to_a_layer():
    package = Path(tipy.__file__).parent
    names = {file.relative_to(package).as_posix(): layer_of(str(file)) for file in package.rglob("*.py")}
    assert names["tcp/congestion/cubic.py"] == names["wire/tcp.py"] == names["buffers.py"] == "tcp"
    assert names["sockets/stream.py"] == "socket" and names["arp.py"] == "ipv4" and names["fuse.py"] == "driver"
    assert names["bench/bulk.py"] is names["lab/worker.py"] is None


def test_two_of_a_kind_are_compared_turn_by_turn():
    line = versus("x", {"tipy": [1.0, 20.0, 3.0], "other": [2.0, 20.0, 4.0]}, "/s", Goal(low=0.7))
    assert (line.value, line.ratio, line.base, line.verdict) == (3.0, 0.75, "other", "met")


def test_a_row_of_the_table(capsys):
    try:
        Network().close()
    except OSError as error:
        pytest.skip(f"no network namespaces here: {error}")
    assert main(["--quick", "--repetitions", "1", "--rows", "memory", "--json"]) == 0
    reference, line, *_ = json.loads(capsys.readouterr().out)
    assert line["title"] == "stack <-> stack in memory" and line["value"] > 0
    assert reference["who"] == "kernel" and line["ratio"] == pytest.approx(line["value"] / reference["value"])


@pytest.mark.parametrize("flag", [[], ["-O"]])
@pytest.mark.parametrize("optimize", [0, 1])
def test_the_package_compiled_anew(flag, optimize):
    """Whatever the interpreter's own mode is: else the row "logs" would compare a mode with itself."""
    program = textwrap.dedent(f"""\
        import dis
        from tests.bench.logs import compile_anew
        import tipy.stack
        before = tipy.stack.Stack
        compile_anew({optimize})
        from tipy.stack import Stack
        from tipy.tcp import transmit
        assert Stack is not before
        print(any(step.argval == "_log" for step in dis.get_instructions(transmit.transmit)))
        """)
    output = subprocess.run([sys.executable, *flag, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == str(not optimize)


def test_the_table_has_every_row():
    assert set(ROWS) == {"bulk", "busy", "background", "plain", "memory", "ping-pong", "udp", "connect", "ping",
                         "connections", "workers", "logs"}
    assert all(row.__doc__ for row in ROWS.values())


def test_line_knows_its_reference():
    line = Line("x", 6.0, "MB/s", 1.5, "bare TAP", Goal(low=5, of_value=True), (), "tipy")
    assert line.reference == ("bare TAP", 4.0) and line.verdict == "met" and line.name == "x, tipy"
    assert Line("x", 6.0, "MB/s", 1.0, "kernel", who="kernel").reference is None
    assert Line("x", 6.0, "MB/s", 3.0, goal=Goal(low=5)).verdict == "NOT MET"


def test_an_unknown_row_is_refused(capsys):
    assert main(["--rows", "nonsense"]) == 2
    assert "no row nonsense" in capsys.readouterr().err
