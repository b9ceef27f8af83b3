"""The demo's parts that need no network: screen, capture check, players."""

import io

import pytest

from tipy import demo
from tipy.demo.check import check_capture
from tipy.demo.players import StackPlayer
from tipy.demo.programs import pattern
from tipy.demo.screen import Screen
from tipy.demo.steps import NotHere, Unproven
from tipy.link.pcap import PcapngWriter


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding, live):
        super().__init__(io.BytesIO(), encoding=encoding)
        self._is_live = live

    def isatty(self):
        return self._is_live

    def written(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


class SocketsOnly:
    """As much of a stack as a player uses."""

    socket = "the stack's socket module"


def greet(socket, name):
    return f"{name} on {socket}"


def count(socket, to):
    for number in range(to):
        yield number
    return "done"


def fail(socket):
    raise ConnectionResetError("gone")


class FewSteps:
    """As much of a stage as the run of the steps uses."""

    def __init__(self, screen, status="running"):
        self.screen = screen
        self.stack = self
        self.status = status
        self.note = ""

    def take_packets(self):
        return []


def fine(stage):
    """A step that works."""
    return "as it should be"


def unproven(stage):
    """A step that is wrong."""
    raise Unproven("it is not")


def broken(stage):
    """A step that raises."""
    raise ConnectionResetError("gone")


def elsewhere(stage):
    """A step for another rung."""
    raise NotHere("there is no bridge")


@pytest.mark.parametrize("steps, status, lines", [
    ((fine, fine), 0, ["1. ok: as it should be", "2. ok: as it should be", "Every step was verified."]),
    ((fine, elsewhere), 0, ["1. ok: as it should be",
                            "2. not on this rung: A step for another rung: there is no bridge",
                            "Every step that this rung can run was verified."]),
    ((unproven, broken, fine), 1, ["1. FAILED: A step that is wrong: it is not",
                                   "2. FAILED: A step that raises: ConnectionResetError: gone",
                                   "3. ok: as it should be", "2 of 3 steps failed."]),
])
def test_status_is_zero_only_if_all_that_can_be_was_verified(monkeypatch, steps, status, lines):
    monkeypatch.setattr(demo, "STEPS", steps)
    out = Terminal("ascii", live=False)
    assert demo._perform(FewSteps(Screen(out))) == status
    assert out.written().splitlines() == lines


def test_stack_that_does_not_run_ends_the_demo(monkeypatch):
    monkeypatch.setattr(demo, "STEPS", (unproven, fine, fine))
    out = Terminal("ascii", live=False)
    assert demo._perform(FewSteps(Screen(out), status="tap7 is down")) == 1
    assert "the stack does not run (tap7 is down)" in out.written() and "2." not in out.written()


ARP = bytes.fromhex("ffffffffffff020000000001 0806 0001080006040001"
                    "020000000001c0a802c8 000000000000c0a802c7")
ICMP = bytes.fromhex("020000000002020000000001 0800 4500001c000100004001f400c0a802c7c0a802c8"
                     "0800f7fd00010001")


def test_progress_is_drawn_on_a_terminal_only():
    out = Terminal("utf-8", live=False)
    Screen(out).progress("fetch", 5, 10, 1.0)
    assert out.written() == ""


@pytest.mark.parametrize("encoding, bar", [("utf-8", "█" * 15 + "░" * 15), ("ascii", "#" * 15 + "." * 15),
                                           ("latin-1", "#" * 15 + "." * 15)])
def test_bar_uses_what_the_encoding_has(encoding, bar):
    out = Terminal(encoding, live=True)
    Screen(out).progress("fetch", 8_000_000, 16_000_000, 2.0)
    assert out.written() == f"\r   fetch {bar}   8.0 of 16.0 MB, 4 MB/s"


def test_line_wipes_the_bar():
    out = Terminal("ascii", live=True)
    screen = Screen(out)
    screen.progress("fetch", 1, 2, 1.0)
    screen.step(3, True, "done", ["> packet"])
    assert out.written().rpartition("\r")[2] == "3. ok: done\n      > packet\n"


def test_line_survives_an_encoding_without_its_characters():
    out = Terminal("ascii", live=False)
    Screen(out).line("caf\u00e9")
    assert out.written() == "caf?\n"


def test_program_runs_in_a_thread_on_the_stacks_sockets():
    player = StackPlayer("tipy", "192.0.2.1", SocketsOnly)
    assert player.play(greet, "me") == "me on the stack's socket module"


def test_program_reports_on_the_way():
    with StackPlayer("tipy", "192.0.2.1", SocketsOnly).start(count, 2) as job:
        assert [job.next(), job.next()] == [0, 1]
        with pytest.raises(StopIteration):
            job.next()
        assert job.result() == "done"


def test_programs_exception_is_raised_here():
    with pytest.raises(ConnectionResetError, match="gone"):
        StackPlayer("tipy", "192.0.2.1", SocketsOnly).play(fail)


def test_pattern_depends_on_its_seed():
    assert len(pattern("a", 1000)) == 1000 and pattern("a", 1000) != pattern("b", 1000)


def test_good_capture_has_no_faults(tmp_path):
    writer = PcapngWriter(tmp_path / "good.pcapng")
    writer.write(ARP, 1.0)
    writer.write(ICMP, 2.0)
    writer.close()
    assert check_capture(tmp_path / "good.pcapng") == (2, [])


@pytest.mark.parametrize("at, fault", [(30, "IPv4 header checksum"), (41, "ICMP checksum"), (14, "version")])
def test_flipped_bit_is_found(tmp_path, at, fault):
    frame = bytearray(ICMP)
    frame[at] ^= 0x10
    writer = PcapngWriter(tmp_path / "bad.pcapng")
    writer.write(ARP, 1.0)
    writer.write(frame, 2.0)
    writer.close()
    assert check_capture(tmp_path / "bad.pcapng") == (2, [f"frame 2: {fault}"])


def test_torn_capture_is_found(tmp_path):
    path = tmp_path / "torn.pcapng"
    writer = PcapngWriter(path)
    writer.write(ARP, 1.0)
    writer.close()
    path.write_bytes(path.read_bytes()[:-7])
    assert check_capture(path) == (0, ["the file ends in the middle of a block"])
