"""The same scripts against the Linux kernel and against tipy: packets, times and calls compared.

The kernel's runs are made all at once (each script has a peer address and a port of its own), in real time;
tipy's in virtual time, its steps at the times at which the kernel's happened. A script whose runs differ in
an unexpected way is run again, alone with others of its kind: a busy machine makes timers late. What still
differs must be in explained.py, line by line.
"""

import fnmatch
import os

import differ_compare
import differ_tipy
import pytest
import scripts_handshake
import scripts_loss
import scripts_path
import scripts_receiving
import scripts_recovery
import scripts_sending
import scripts_states
import scripts_window
from differ_kernel import Kernel
from explained import EXPLAINED, KERNEL

SCRIPTS = [script for module in (scripts_loss, scripts_recovery, scripts_window, scripts_sending, scripts_receiving,
                                 scripts_path, scripts_handshake, scripts_states)
           for script in module.scripts()]
TIMES = 8                      # that a script is run before its differences count
_PATIENCE = 60


def expected(script):
    """The differences that the table knows for this script."""
    found = [lines for patterns, lines, _ in EXPLAINED
             if any(fnmatch.fnmatchcase(script.name, pattern) for pattern in patterns)]
    assert len(found) <= 1, f"{script.name} is explained more than once"
    return found[0] if found else []


class Outcome:
    """What came of one script: the last differences, and both runs as text."""

    def __init__(self, number, script):
        self.number, self.script = number, script      # where it plays; another place each time
        self.lines, self.story, self.runs = None, "", 0

    def compare(self, events):
        """One more run of the kernel: run tipy alike, and compare."""
        times = [event.time for event in events if event.step is not None]
        ours = differ_tipy.run_script(self.number, self.script, times)
        self.number += len(SCRIPTS)
        self.lines = differ_compare.differences(events, ours)
        self.story = differ_compare.story(events, ours)
        self.runs += 1

    @property
    def as_expected(self):
        return self.lines == expected(self.script)


@pytest.fixture(scope="module")
def outcomes():
    """All scripts, run; by name."""
    try:
        kernel = Kernel()
    except OSError as error:
        pytest.skip(f"no private network with a TAP here: {error}")
    try:
        missing = kernel.missing_sysctls()
        if missing:
            pytest.skip(f"net.ipv4.tcp_{missing[0]} cannot be set in a private network here")
        outcomes = {script.name: Outcome(number, script) for number, script in enumerate(SCRIPTS)}
        todo = list(outcomes.values())
        for _ in range(TIMES):
            results = kernel.run([(outcome.number, outcome.script) for outcome in todo], _PATIENCE)
            for outcome, events in zip(todo, results):
                outcome.compare(events)
            todo = [outcome for outcome in todo if not outcome.as_expected]
            if not todo or os.uname().release.split(".")[:2] != KERNEL.split("."):
                break
        yield outcomes
    finally:
        kernel.close()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_tipy_does_what_the_kernel_does(outcomes, script):
    outcome = outcomes[script.name]
    if outcome.as_expected:
        return
    text = "\n".join(outcome.lines) or "(no difference)"
    wanted = "\n".join(expected(script)) or "(none)"
    if os.uname().release.split(".")[:2] != KERNEL.split("."):
        pytest.skip(f"this Linux is {os.uname().release}, the table was made for {KERNEL}:\n{text}")
    pytest.fail(f"differences:\n{text}\n\nexplained:\n{wanted}\n\n{outcome.story}", pytrace=False)


def test_every_explanation_has_its_script():
    names = [script.name for script in SCRIPTS]
    assert len(set(names)) == len(names)
    for patterns, lines, reason in EXPLAINED:
        assert lines and reason
        for pattern in patterns:
            assert fnmatch.filter(names, pattern), f"no script is called {pattern}"
