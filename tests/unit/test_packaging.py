"""What is installed: the package and nothing else, on any Python from 3.11, from any directory."""

import glob
import importlib.util
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import tipy

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LAYOUT = {"tipy", "tests", "examples", "config.py", "pyproject.toml", "README.md", "LICENSE"}


def run(*command, cwd=ROOT, timeout=240, **environment):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **environment})


def must(*command, **options):
    done = run(*command, **options)
    if done.returncode:
        raise AssertionError(f"{command} failed with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The tracked files, as a fresh clone in a folder called tipy."""
    place = tmp_path_factory.mktemp("parent") / "tipy"
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is nothing to clone")
    if run("git", "--version").returncode:
        pytest.skip("git is not installed")
    must("git", "-c", f"safe.directory={ROOT}", "clone", "-q", str(ROOT), str(place))
    return place


@pytest.fixture(scope="module")
def builder():
    """This Python, if it can build without the network."""
    for module in ("pip", "setuptools"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed in {sys.prefix}, and tests do not download")
    version = must(sys.executable, "-c", "import setuptools; print(setuptools.__version__)").strip()
    if tuple(map(int, version.split(".")[:2])) < (70, 1) and importlib.util.find_spec("wheel") is None:
        pytest.skip(f"setuptools {version} cannot build wheels by itself (70.1 can), and wheel is not installed")
    return sys.executable


# -- the project file -----------------------------------------------------------------------------


def test_version_is_newer_than_the_original():
    assert tuple(map(int, tipy.__version__.split("."))) > (1, 0, 1)


def test_nothing_is_needed_at_run_time():
    assert PROJECT["project"]["dependencies"] == []


def test_tests_need_pytest_and_hypothesis_only():
    needed = PROJECT["project"]["optional-dependencies"]["test"]
    assert sorted(requirement.split(">")[0] for requirement in needed) == ["hypothesis", "pytest"]


def test_python_that_is_required():
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_licence_is_mit():
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_top_level_holds_the_fixed_layout_only(copy):
    assert {entry.name for entry in copy.iterdir() if not entry.name.startswith(".")} <= LAYOUT


def test_ci_can_be_run(copy):
    assert os.access(copy / ".ci" / "run", os.X_OK)
    must("bash", "-n", str(copy / ".ci" / "run"))


# -- wheel and editable install -------------------------------------------------------------------


def test_wheel_contains_the_package_only(builder, copy, tmp_path):
    must(builder, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation",
         "-w", str(tmp_path), str(copy))
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"tipy", f"tipy-{tipy.__version__}.dist-info"}
    tracked = {path.relative_to(copy).as_posix() for path in (copy / "tipy").rglob("*")
               if path.suffix in (".py", ".typed")}
    assert {name for name in names if name.startswith("tipy/")} == tracked
    assert "tipy/py.typed" in names


def test_editable_install_works_from_any_directory(builder, copy, tmp_path):
    """The trap: without package-dir in pyproject.toml, a script in the clone's parent directory imports the
    clone's folder, which is called tipy, as an empty namespace package."""
    place = tmp_path / "venv"
    must(builder, "-m", "venv", "--without-pip", str(place))
    python = str(place / ("Scripts" if os.name == "nt" else "bin") / "python")
    tools = os.path.dirname(os.path.dirname(importlib.util.find_spec("setuptools").origin))
    must(builder, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index",
         "--no-build-isolation", "-e", str(copy), PYTHONPATH=tools)
    code = "import tipy; print(tipy.__version__, tipy.__file__)"
    for directory in (copy.parent, copy, tmp_path):
        found = must(python, "-c", code, cwd=directory).split()
        assert found == [tipy.__version__, str(copy / "tipy" / "__init__.py")]


# -- other Pythons --------------------------------------------------------------------------------


def pythons():
    """{"3.8": path, ...} of the interpreters there are: in PATH, and as pyenv installs them."""
    found = {}
    for minor in range(6, 15):
        patterns = [f"{place}/python3.{minor}" for place in os.environ.get("PATH", "").split(os.pathsep)]
        patterns.append(os.path.expanduser(f"~/.pyenv/versions/3.{minor}.*/bin/python"))
        for path in (path for pattern in patterns for path in sorted(glob.glob(pattern))):
            if run(path, "-c", "", timeout=30).returncode == 0:            # pyenv's shims may lead nowhere
                found[f"3.{minor}"] = path
                break
    return found


PYTHONS = pythons()


@pytest.fixture
def python(request):
    if request.param not in PYTHONS:
        pytest.skip(f"Python {request.param} is not installed")
    return PYTHONS[request.param]


def sentence(version):
    return f"tipy {tipy.__version__} needs Python 3.11 or newer; this is Python {version}"


@pytest.mark.parametrize("python, version", [(v, v) for v in ("3.8", "3.9", "3.10")], indirect=["python"])
def test_older_python_is_told_by_import(python, version):
    done = run(python, "-c", "import tipy")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: " + sentence(version)


@pytest.mark.parametrize("python, version", [(v, v) for v in ("3.8", "3.9", "3.10")], indirect=["python"])
@pytest.mark.parametrize("arguments", [[], ["demo"]], ids=["alone", "demo"])
def test_older_python_is_told_by_the_command_in_one_line(python, version, arguments):
    done = run(python, "-m", "tipy", *arguments)
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", sentence(version) + "\n")


@pytest.mark.parametrize("python", ["3.8"], indirect=True)
@pytest.mark.parametrize("name", ["__init__.py", "__main__.py"])
def test_entrance_parses_on_old_python(python, name):
    must(python, "-c", f"import ast; ast.parse(open('tipy/{name}').read())")


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"], indirect=True)
def test_package_imports_and_talks_on_newer_python(python):
    code = """
import importlib, pkgutil, tipy
for module in pkgutil.walk_packages(tipy.__path__, "tipy."):
    if module.name != "tipy.__main__":
        importlib.import_module(module.name)
from tipy import socket, testing
stop = testing.start_loopback()
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname(), timeout=10)
peer, address = server.accept()
client.sendall(b"hello")
assert peer.recv(10) == b"hello"
for sock in client, peer, server:
    sock.close()
stop()
print("talked")
"""
    assert must(python, "-W", "error", "-c", code) == "talked\n"


# -- the command line -----------------------------------------------------------------------------


def test_command_alone_prints_short_help():
    done = run(sys.executable, "-m", "tipy")
    assert done.returncode == 0
    assert "demo" in done.stdout and len(done.stdout.splitlines()) < 10


def test_version():
    assert must(sys.executable, "-m", "tipy", "--version") == f"tipy {tipy.__version__}\n"


@pytest.mark.parametrize("arguments, text", [
    (["dmeo"], "there is no command 'dmeo'; did you mean 'demo'?"),
    (["zzz"], "there is no command 'zzz'; there is: demo, bench, run"),
    (["capture"], "the command 'capture' does not exist yet; there is: demo, bench, run"),
])
def test_wrong_command_is_one_sentence(arguments, text):
    done = run(sys.executable, "-m", "tipy", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"tipy: {text}\n")


def test_demo_explains_itself():
    assert "usage:" in must(sys.executable, "-m", "tipy", "demo", "--help")
