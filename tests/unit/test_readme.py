"""The README says what is so: its links lead somewhere, its table of what is missing is true. What it tells a
reader to type is run in tests/kernel/test_kernel_readme.py."""

import errno
import re
import subprocess
import sys

import pytest
import readme_blocks as readme
import test_layering

from tipy.errors import SetupError
from tipy.settings import Settings
from tipy.stack import Stack

ROOT = readme.ROOT
FIRST = "python3 -m tipy demo"
SECOND = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest"


@pytest.fixture
def stack():
    """A stack without a link."""
    with Stack(settings=Settings(ifname="loopback")) as stack:
        yield stack


def test_two_commands_come_first():
    assert [block.strip() for block in readme.blocks("sh", readme.section("Two commands"))] == [FIRST, SECOND]


def test_ci_runs_the_second_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for part in SECOND.split(" && ")[1:]:
        assert part in script


@pytest.mark.parametrize("link", sorted(set(readme.links())))
def test_link_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_every_example_is_mentioned():
    said = readme.section("Examples")
    for path in (ROOT / "examples").glob("*.py"):
        assert f" examples/{path.name}`" in said


# -- "Read the code" --------------------------------------------------------------------------------


READING = readme.rows("Read the code")


def module_of(link):
    """tipy/ipv4/__init__.py -> tipy.ipv4"""
    return link.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_reading_goes_from_checksum_to_stack():
    paths = [readme.links(row[0])[0] for row in READING]
    assert paths[0] == "tipy/checksum.py" and "tipy/stack.py" in paths
    assert len(set(paths)) == len(paths)


def test_reading_goes_up_the_floors():
    floors = [test_layering.floor(module_of(readme.links(row[0])[0])) for row in READING]
    assert floors == sorted(floors)


@pytest.mark.parametrize("row", READING, ids=lambda row: row[0][1:].partition("]")[0])
def test_row_names_a_file_its_rfc_and_a_question(row):
    name, documents, question = row
    path = readme.links(name)[0]
    assert path.removesuffix("__init__.py") == name[1:].partition("]")[0]
    assert question.endswith("?")
    text = (ROOT / path).read_text(encoding="utf-8")
    for number in re.findall(r"\d+", documents):
        assert number in text, f"{path} says nothing about RFC {number}"


# -- "Not implemented (yet)" ------------------------------------------------------------------------


def refuses(what, name, call):
    """The README's row `what` says that call() fails with this errno or exception."""
    row = next(row for row in readme.rows("Not implemented (yet)") if row[0].startswith(what))
    assert name in row[1]
    with pytest.raises(OSError) as caught:
        call()
    return caught.value


def errno_of(error):
    return errno.errorcode[error.errno]


def test_ipv6_is_missing(stack):
    socket = stack.socket
    assert errno_of(refuses("IPv6", "EAFNOSUPPORT", lambda: socket.socket(socket.AF_INET6))) == "EAFNOSUPPORT"


def test_fast_open_and_md5_are_missing(stack):
    socket = stack.socket
    with socket.socket() as sock:
        for option in (socket.TCP_FASTOPEN, getattr(socket, "TCP_MD5SIG", 14)):
            error = refuses("TCP Fast Open", "ENOPROTOOPT",
                            lambda option=option: sock.setsockopt(socket.IPPROTO_TCP, option, 1))
            assert errno_of(error) == "ENOPROTOOPT"


def test_dhcp_is_missing(tmp_path, monkeypatch):
    config = tmp_path / "config.py"
    config.write_text("# tipy config\nIP_STATIC = False\n")
    monkeypatch.setenv("TIPY_CONFIG", str(config))
    refuses("DHCP", "IP_STATIC = False", Settings.load)


# -- settings and logs ------------------------------------------------------------------------------


def test_settings_of_the_readme_exist():
    block = readme.blocks("python", readme.section("Settings"))[0]
    arguments = block[block.index("(") + 1:block.rindex(")")]
    settings = eval(f"Settings({arguments})", {"Settings": Settings})
    assert settings.address == "10.0.0.2/24" and settings.timestamps is False


def test_log_channels_of_the_readme_exist():
    said = readme.section("Logs and `-O`").partition("others (`")[2].partition("`")[0].split()
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tipy").rglob("*.py"))
    assert said and set(said) <= set(re.findall(r'^\w+ = (?:log\.)?channel\("([\w.]+)"\)', sources, re.M))


def test_a_name_that_does_not_exist_suggests_a_near_one(tmp_path, monkeypatch):
    config = tmp_path / "config.py"
    config.write_text("# tipy config\nIP_ADRESS = '192.168.2.200'\n")
    monkeypatch.setenv("TIPY_CONFIG", str(config))
    with pytest.raises(SetupError, match="did you mean IP_ADDRESS?"):
        Settings.load()


def test_program_in_virtual_time_says_what_its_comment_says():
    source, = [block for block in readme.blocks("python") if "ManualClock" in block]
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "2.0 seconds: ARP, then the handshake\n", done.stderr
