"""What somebody sees who mistypes something: one sentence that says what to do, exit status not 0, no traceback.

Here without a TAP; with one: tests/kernel/test_kernel_user_errors.py. Settings one by one: test_settings.py.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START = str(ROOT / "examples" / "start_stack.py")
HANG = 60                          # seconds; only a hang takes that long


def complaint(*words, cwd=ROOT, **environment):
    """The one line that a command says on stderr; AssertionError if it says anything else, or ends well."""
    done = subprocess.run([sys.executable, *words], cwd=cwd, capture_output=True, text=True, timeout=HANG,
                          stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})
    lines = done.stderr.splitlines()
    if done.returncode in (0, -2) or done.stdout or len(lines) != 1:
        raise AssertionError(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return lines[0]


@pytest.fixture
def config(tmp_path):
    """config(text): a config.py in a directory, which is returned, to run programs in."""
    def write(text):
        (tmp_path / "config.py").write_text("# tipy config\n" + text)
        return tmp_path
    return write


def complaint_about(config_directory):
    environment = {name: value for name, value in os.environ.items() if name != "TIPY_CONFIG"}
    done = subprocess.run([sys.executable, START], cwd=config_directory, capture_output=True, text=True,
                          env={**environment, "PYTHONPATH": str(ROOT)}, timeout=HANG, stdin=subprocess.DEVNULL)
    if done.returncode != 1 or done.stdout or len(done.stderr.splitlines()) != 1:
        raise AssertionError(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stderr.rstrip("\n")


# -- the interface ----------------------------------------------------------------------------------


def test_interface_that_is_not_there():
    assert "tipy-none" in complaint(START, "tipy-none")


@pytest.mark.parametrize("name", ["tap7890123456789", "täp789012345678", "tap 7", "tap/7", "."])
def test_name_that_no_interface_can_have(name):
    said = complaint(START, name, PYTHONUTF8="1")
    assert repr(name) in said and "1 to 15 bytes" in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the loopback interface is called lo on Linux only")
def test_interface_that_is_no_tap():
    complaint(START, "lo")


# -- config.py --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, sentence", [
    ("IP_ADRESS = '192.168.2.200'", "config.py: there is no setting IP_ADRESS: did you mean IP_ADDRESS?"),
    ("IP_ADDRESS = '192.168.2.300'\nMASK = '/24'", "192.168.2.300"),
    ("IP_ADDRESS = '192.168.2.200'\nMASK = '255.0.255.0'", "255.0.255.0 is not a netmask"),
    ("MAC_ADDRESS = '01:00:5e:00:00:01'", "cannot belong to one host"),
    ("MTU = 'big'", "a whole number between 68 and 65535"),
    ("IP_ADDRESS = 192.168.2.200", "config.py: line 2: SyntaxError"),
    ("IP_ADDRESS = ADDRESS", "config.py: line 2: NameError"),
])
def test_typo_in_config(config, text, sentence):
    assert sentence in complaint_about(config(text))


def test_config_that_is_not_there():
    assert "TIPY_CONFIG" in complaint(START, TIPY_CONFIG="/no/such/config.py")


def test_variable_that_makes_no_sense():
    assert complaint(START, TIPY_ADDRESS="tomorrow").startswith("environment: TIPY_ADDRESS = 'tomorrow': ")


# -- the command line -------------------------------------------------------------------------------


@pytest.mark.parametrize("words, part", [
    (["dmeo"], "did you mean 'demo'?"),
    (["frobnicate"], "there is: demo"),
    (["--frobnicate"], "there is: demo"),
    (["run", "no-such-program.py"], "no-such-program.py"),
])
def test_command_that_is_not_there(words, part):
    assert part in complaint("-m", "tipy", *words)


def test_demo_that_cannot_write_its_capture():
    done = subprocess.run([sys.executable, "-m", "tipy", "demo", "--rung", "memory", "--output", "/no/such/place/x"],
                          cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    assert "No such file or directory" in done.stdout + done.stderr


# -- in a program, a traceback ends with the sentence -----------------------------------------------


@pytest.mark.parametrize("code, last", [
    ("tipy(ifname='tipy-none').start()", "SetupError: there is no interface tipy-none: "),
    ("tipy(adress='10.0.0.1/8')", "TypeError: there is no setting adress: did you mean address?"),
    ("tipy(address='10.0.0.1/99')", "ValueError: address='10.0.0.1/99': "),
    ("socket.socket().connect(('10.0.0.1', 80))", "OSError: [Errno 100] no tipy stack is running: start one with "),
])
def test_last_line_of_a_traceback_is_the_sentence(code, last):
    done = subprocess.run([sys.executable, "-c", f"from tipy import tipy, socket\n{code}"], cwd=ROOT, timeout=HANG,
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert last in done.stderr.splitlines()[-1]
