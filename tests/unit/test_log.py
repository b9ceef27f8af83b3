"""Log channels: chosen by name, silent and unformatted when off, gone under -O."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tipy import log

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def default_choice():
    yield
    log.choose(log.DEFAULT)


class Loud:
    """Notices when somebody formats it."""

    formatted = False

    def __str__(self):
        Loud.formatted = True
        return "loud"


def test_channel_is_one_object_per_name():
    assert log.channel("unit") is log.channel("unit") is not log.channel("unit2")


def test_chosen_channels_are_on_and_others_off():
    one, two = log.channel("unit.one"), log.channel("unit.two")
    log.choose(["unit.one"])
    assert one.on and not two.on
    log.choose("unit.one, unit.two")
    assert one.on and two.on
    log.choose(())
    assert not one.on and not two.on


def test_all_means_all_also_later_ones():
    log.choose("all")
    assert log.channel("unit.made later").on


def test_choice_waits_for_its_channel():
    log.choose(["unit.not there yet"])
    assert log.channel("unit.not there yet").on


def test_only_the_stack_speaks_by_default():
    log.choose(log.DEFAULT)
    assert [name for name in log.channels() if log.channel(name).on] in (["stack"], [])


def test_line_reaches_logging_under_its_name(caplog):
    log.choose(["unit"])
    with caplog.at_level("INFO", "tipy"):
        log.channel("unit")("who has %s", "192.168.2.1")
    assert ("tipy.unit", 20, "who has 192.168.2.1") in caplog.record_tuples


def test_nothing_is_formatted_when_off():
    channel = log.channel("unit")
    log.choose(())
    if __debug__ and channel.on:
        channel("%s", Loud())
    assert not Loud.formatted


def run(*flags, code):
    return subprocess.run([sys.executable, *flags, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          timeout=60, check=True)


SPEAK = ("from tipy import log\n_log = log.channel('stack')\n"
         "if __debug__ and _log.on:\n    _log('it is %d', 42)\n")


def test_lines_go_to_stderr():
    done = run(code=SPEAK)
    assert done.stdout == ""
    assert done.stderr.endswith("tipy.stack: it is 42\n")


def test_gone_under_optimisation():
    assert run("-O", code=SPEAK).stderr == ""


def test_logging_is_imported_by_the_first_line_only():
    code = "import sys\nfrom tipy import log\nlog.channel('x')\nprint('logging' in sys.modules)"
    assert run("-S", code=code).stdout == "False\n"


def test_program_that_set_up_logging_keeps_its_own_handlers():
    done = run(code="import logging\nlogging.basicConfig(format='MINE %(message)s', level=10)\n" + SPEAK)
    assert done.stderr == "MINE it is 42\n"


def test_stack_chooses_the_channels_of_its_settings():
    code = ("from tipy import tipy, log\nfor name in 'stack', 'arp', 'tcp':\n    log.channel(name)\n"
            "with tipy('loopback', log_channels='arp tcp'):\n"
            "    print(*[name for name in log.channels() if log.channel(name).on])")
    assert run(code=code).stdout == "arp tcp\n"


def test_stack_that_is_told_nothing_leaves_the_channels_alone():
    code = ("from tipy import tipy, log\nlog.choose('arp')\n"
            "with tipy('loopback'):\n    print(*[name for name in log.channels() if log.channel(name).on])")
    assert run(code=code).stdout == "arp\n"


# -- every call site ------------------------------------------------------------------------------


def unguarded(source):
    """Line numbers of calls of _log(...) that are not under `if __debug__ and _log.on`."""
    found = []

    def visit(node, guarded):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_log":
            if not guarded:
                found.append(node.lineno)
        if isinstance(node, ast.If):
            test = ast.unparse(node.test)
            inner = guarded or "__debug__" in test and "_log.on" in test
            for child in node.body:
                visit(child, inner)
            for child in [node.test, *node.orelse]:
                visit(child, guarded)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, guarded)

    visit(ast.parse(source), False)
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "tipy").rglob("*.py")),
                         ids=lambda path: str(path.relative_to(ROOT / "tipy")))
def test_every_log_line_is_guarded(path):
    assert unguarded(path.read_text(encoding="utf-8")) == []


def test_guard_is_looked_for():
    assert unguarded("_log('x')") == [1]
    assert unguarded("if __debug__ and _log.on:\n    _log('x')\nelse:\n    _log('y')") == [4]
