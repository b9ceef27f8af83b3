"""Captures: the blocks of the file, what tshark says to it, and files that fail."""

import io
import os
import shutil
import struct
import subprocess
import threading

import pytest

from tests.unit.link_helpers import Host, QueueLink, tcp_frame, udp_frame, verified
from tipy.link.base import Offload
from tipy.link.memory import MemoryLink
from tipy.link.pcap import CaptureLink, PcapngWriter

CHECKS = ["tcp.check_checksum", "ip.check_checksum", "udp.check_checksum"]


def blocks(data):
    """[(type, body)] of a pcapng file; fails on inconsistent lengths."""
    found = []
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert length % 4 == 0 and struct.unpack_from("<I", data, length - 4)[0] == length <= len(data)
        found.append((kind, data[8:length - 4]))
        data = data[length:]
    return found


def packets(data):
    """[(interface, nanoseconds, frame, options)] of a pcapng file."""
    found = []
    for kind, body in blocks(data):
        if kind == 6:
            interface, high, low, captured, original = struct.unpack_from("<IIIII", body)
            assert captured == original
            frame, options = body[20:20 + captured], body[20 + captured + -captured % 4:]
            found.append((interface, high << 32 | low, frame, options))
    return found


def test_header_and_interfaces():
    file = io.BytesIO()
    writer = PcapngWriter(file)
    assert [writer.interface("tap7"), writer.interface("second")] == [0, 1]
    section, first, second = blocks(file.getvalue())
    assert section[0] == 0x0A0D0D0A and section[1][:16] == struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    options = b"\x02\0\x04\0tap7" + b"\x09\0\x01\0\x09\0\0\0" + bytes(4)
    assert first == (1, struct.pack("<HHI", 1, 0, 0) + options)
    assert second[0] == 1 and b"second" in second[1]


def test_packets_with_time_comment_and_direction():
    file = io.BytesIO()
    writer = PcapngWriter(file)
    writer.interface("a")
    number = writer.interface("b")
    writer.write(b"frame", 1700000000.5, interface=number)
    writer.write([b"fr", memoryview(b"ame2")], 0.000001, comment="why", sent=True)
    writer.write(b"in", 0, sent=False)
    assert packets(file.getvalue()) == [
        (1, 1700000000_500000000, b"frame", b""),
        (0, 1000, b"frame2", b"\x01\0\x03\0why\0" + b"\x02\0\x04\0\x02\0\0\0" + bytes(4)),
        (0, 0, b"in", b"\x02\0\x04\0\x01\0\0\0" + bytes(4)),
    ]
    assert writer.counters == {"frames": 3}


def test_an_interface_is_made_when_none_was():
    file = io.BytesIO()
    PcapngWriter(file).write(b"frame", 0)
    assert [kind for kind, _ in blocks(file.getvalue())] == [0x0A0D0D0A, 1, 6]


def test_snaplen_keeps_the_beginning_and_the_true_length():
    file = io.BytesIO()
    PcapngWriter(file, snaplen=6).write(b"longer frame", 0)
    _, interface, (_, body) = blocks(file.getvalue())
    assert interface[1][4:8] == struct.pack("<I", 6)
    assert struct.unpack_from("<II", body, 12) == (6, 12) and body[20:] == b"longer\0\0"


class FullDisk(io.RawIOBase):
    """A file that takes `room` writes."""

    def __init__(self, room):
        self.room, self.calls = room, 0

    def write(self, data):
        self.calls += 1
        if self.calls > self.room:
            raise OSError(28, "No space left on device")
        return len(data)


def test_full_disk_ends_the_capture_only():
    host, file = Host(), FullDisk(room=3)
    memory = MemoryLink()
    writer = PcapngWriter(file)
    link = CaptureLink(memory, writer)
    link.attach(host)
    for _ in range(5):
        memory.deliver(b"frame")
    assert len(host.frames) == 5
    assert writer.counters == {"frames": 1, "error": 1} and not writer.active
    assert file.calls == 4
    link.close()


def test_file_closed_by_somebody_else_ends_the_capture_only():
    file = io.BytesIO()
    writer = PcapngWriter(file)
    file.close()
    writer.write(b"frame", 0)
    assert writer.counters["error"] == 1
    writer.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_path_on_a_full_disk():
    writer = PcapngWriter("/dev/full")
    writer.write(bytes(100), 0)
    writer.flush()
    writer.close()
    assert writer.counters["error"] == 1 and not writer.active


def test_path_that_cannot_be_opened_is_the_callers_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        PcapngWriter(tmp_path / "nowhere" / "x.pcapng")


def test_close_is_idempotent_and_leaves_a_foreign_file_open(tmp_path):
    with open(tmp_path / "a.pcapng", "wb") as file:
        writer = PcapngWriter(file)
        writer.close()
        writer.close()
        writer.write(b"late", 0)
        assert not file.closed
    assert blocks((tmp_path / "a.pcapng").read_bytes())
    assert writer.counters == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("foreign", [False, True], ids=["path", "file"])
def test_the_child_of_a_fork_writes_nothing_again(tmp_path, foreign):
    path = tmp_path / "fork.pcapng"
    file = open(path, "wb") if foreign else path
    writer = PcapngWriter(file)
    writer.write(b"before", 1.0)
    pid = os.fork()
    if not pid:
        try:
            writer.write(b"the child's", 2.0)
            writer.close()
            if foreign:
                file.close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    writer.write(b"after", 3.0)
    writer.close()
    if foreign:
        file.close()
    assert [bytes(frame) for _, _, frame, _ in packets(path.read_bytes())] == [b"before", b"after"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_others_write_tears_no_block():
    file, stop = io.BytesIO(), threading.Event()
    writer = PcapngWriter(file)

    def keep_writing():
        while not stop.wait(0.0002):                   # without a pause the file grows faster than forks can copy it
            writer.write(b"frame", 1.0)

    thread = threading.Thread(target=keep_writing, daemon=True)
    thread.start()
    for _ in range(20):
        pid = os.fork()
        if not pid:
            writer.write(b"child", 1.0)
            os._exit(0 if not writer.active else 1)
        assert os.waitpid(pid, 0)[1] == 0
    stop.set()
    thread.join(20)
    assert not thread.is_alive() and {frame[:5] for _, _, frame, _ in packets(file.getvalue())} == {b"frame"}


def test_threads_share_one_file():
    file = io.BytesIO()
    writer = PcapngWriter(file)
    writer.interface("x")
    frames = [[bytes([n]) * (50 + k) for k in range(200)] for n in range(4)]
    threads = [threading.Thread(target=lambda mine=mine: [writer.write(frame, 0) for frame in mine])
               for mine in frames]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [frame for _, _, frame, _ in packets(file.getvalue())]
    assert sorted(written) == sorted(sum(frames, []))
    for mine in frames:
        assert [frame for frame in written if frame[0] == mine[0][0]] == mine


def test_threads_announce_interfaces():
    file = io.BytesIO()
    writer = PcapngWriter(file)
    told = []

    def announce(name):
        for turn in range(50):
            number = writer.interface(f"{name}{turn}")
            told.append((number, f"{name}{turn}".encode()))
            writer.write(b"frame", 0, interface=number)

    threads = [threading.Thread(target=announce, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    interfaces, known = [], []
    for kind, body, *_ in blocks(file.getvalue()):
        if kind == 1:
            interfaces.append(body[12:12 + body[10]])
        elif kind == 6:
            known.append(struct.unpack_from("<I", body)[0] < len(interfaces))
    assert sorted(told) == list(enumerate(interfaces)) and len(known) == 200 and all(known)


def test_writing_again_from_inside_a_write_keeps_blocks_whole():
    class Interrupted(io.BytesIO):
        """A file in the middle of whose third write a signal handler sends a frame."""
        count = 0

        def write(self, data):
            self.count += 1
            super().write(data[:10])
            if self.count == 3:
                writer.write(b"nested", 0)
                writer.flush()
            return 10 + super().write(data[10:])

    file = Interrupted()
    writer = PcapngWriter(file)
    writer.flush = lambda: None                # from inside, flushing waits for its turn
    writer.interface("x")
    writer.write(b"outer", 0)
    assert [frame for _, _, frame, _ in packets(file.getvalue())] == [b"outer", b"nested"]


def test_capture_cuts_and_completes_both_ways():
    host, inner, file = Host(), QueueLink(), io.BytesIO()
    passed = []
    inner.send = lambda parts, offload=None: passed.append((parts, offload))
    link = CaptureLink(inner, PcapngWriter(file), name="tap7")
    link.attach(host)
    assert (link.tx_checksum, link.tso_max) == (True, 65000)
    host.clock.advance(1.5)
    offload = Offload(1448, 20, 16, 52)
    outgoing = tcp_frame(bytes(4000))
    with host.gate:
        link.send([outgoing[:66], outgoing[66:]], offload)
        assert packets(file.getvalue()) == []            # not while the stack is locked
    assert passed == [([outgoing], offload)]             # on its way it stays whole
    inner.arriving = [(tcp_frame(b"hello"), True, 0)]
    assert link.receive_batch() == [(tcp_frame(b"hello"), True, 0)]
    with host.gate:
        pass
    seen = packets(file.getvalue())
    assert [len(verified(frame)[2]) for _, _, frame, _ in seen] == [1448, 1448, 1104, 5]
    assert all(nanoseconds == 1_500_000_000 for _, nanoseconds, _, _ in seen)
    assert [options[4] for _, _, _, options in seen] == [2, 2, 2, 1]


def test_capture_copies_before_buffers_are_used_again():
    host, inner, file = Host(), QueueLink(), io.BytesIO()
    inner.send = lambda parts, offload=None: None
    link = CaptureLink(inner, PcapngWriter(file))
    link.attach(host)
    buffer = bytearray(b"first frame")
    with host.gate:
        link.send([memoryview(buffer)])
        buffer[:] = b"other frame"
    assert packets(file.getvalue())[0][2] == b"first frame"


def test_frames_sent_while_closing_are_in_the_capture(tmp_path):
    host, path = Host(), tmp_path / "x.pcapng"
    link = CaptureLink(MemoryLink(), path)
    link.attach(host)
    with host.gate:
        link.send([b"goodbye"])
        link.close()
    assert [frame for _, _, frame, _ in packets(path.read_bytes())] == [b"goodbye"]
    assert not link.writer.active


def test_real_clock_gives_the_time_of_day():
    from tipy.clock import RealClock
    host, file = Host(), io.BytesIO()
    host.clock = RealClock()
    memory = MemoryLink()
    CaptureLink(memory, PcapngWriter(file)).attach(host)
    memory.deliver(b"frame")
    (_, nanoseconds, _, _), = packets(file.getvalue())
    assert nanoseconds / 1e9 > 1_600_000_000             # 2020, not some seconds since the machine started


def test_tshark_finds_nothing_wrong(tmp_path):
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed")
    path = tmp_path / "x.pcapng"
    host, inner = Host(), QueueLink()
    inner.send = lambda parts, offload=None: None
    writer = PcapngWriter(path)
    link = CaptureLink(inner, writer, name="tap7")
    link.attach(host)
    with host.gate:
        link.send([tcp_frame(bytes(range(256)) * 100)], Offload(1448, 20, 16, 52))
        link.send([tcp_frame(b"partial")], Offload(0, 20, 16, 52))
        link.send([udp_frame(b"partial")], Offload(0, 20, 6, 28))
    inner.arriving = [(tcp_frame(bytes(5000), seq=5), True, 1000), (udp_frame(b"arrived"), True, 0)]
    link.receive_batch()
    with host.gate:
        pass
    writer.write(udp_frame(b"x", value=0), 3, comment="a remark", sent=True)
    link.close()
    writer.close()

    options = [word for check in CHECKS for word in ("-o", f"{check}:TRUE")]
    result = subprocess.run([tshark, "-r", path, *options, "-T", "fields", "-e", "frame.interface_name", "-e",
                             "frame.comment", "-e", "_ws.expert.message", "-e", "_ws.malformed"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 18 + 1 + 1 + 5 + 1 + 1
    assert all(line.startswith("tap7\t") for line in lines)
    assert "a remark" in lines[-1]
    filtered = subprocess.run([tshark, "-r", path, *options, "-Y",
                               'tcp.checksum.status == "Bad" || udp.checksum.status == "Bad" || '
                               'ip.checksum.status == "Bad" || _ws.malformed'],
                              capture_output=True, text=True, timeout=60)
    assert filtered.returncode == 0, filtered.stderr
    assert filtered.stdout == ""
