"""The printing link: a line for each frame, outside the lock."""

from tests.unit.link_helpers import Host, tcp_frame
from tipy.link.memory import MemoryLink
from tipy.link.printer import PrinterLink


def test_prints_both_ways_with_relative_numbers():
    host, lines, sent = Host(), [], []
    memory = MemoryLink(transmit=sent.append)
    link = PrinterLink(memory, write=lines.append)
    link.attach(host)
    host.clock.advance(0.25)
    with host.gate:
        link.send([tcp_frame(b"hello", partial=False)])
        assert lines == []                               # not while the stack is locked
    memory.deliver(b"abc")
    assert lines == [
        "0.250000 > 10.0.0.1:1000 > 10.0.0.2:80 . seq 1 ack 1 win 500 <TS val 5 ecr 6> length 5",
        "0.250000 < malformed frame length 3",
    ]
    assert sent == [tcp_frame(b"hello", partial=False)]
    assert host.frames == [b"abc"]


def test_prints_to_stderr_by_default(capsys):
    host = Host()
    memory = MemoryLink()
    PrinterLink(memory).attach(host)
    memory.deliver(b"abc")
    assert capsys.readouterr().err == "0.000000 < malformed frame length 3\n"


def test_writer_that_raises_costs_nobody_anything():
    host, told = Host(), []
    host.gate.on_error = told.append
    memory = MemoryLink()
    PrinterLink(memory, write=lambda line: 1 / 0).attach(host)
    memory.deliver(b"abc")
    assert host.frames == [b"abc"] and isinstance(told[0], ZeroDivisionError)
