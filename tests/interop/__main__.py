"""Packages from PyPI on tipy: `python3 -m tests.interop [names] [--venv DIRECTORY] [--keep]`

Makes a virtual environment, installs the packages into it, and runs one small program for each: a client
and a server, round trips over TCP or UDP, every answer compared. Each runs twice: as it is, on the kernel's
sockets, for reference, and under `tipy run`. Prints a table; exit status 0 if tipy did all that the kernel
did.

Needs an index that pip can reach. The environment is thrown away (--keep: is not). Nothing here is run by
pytest.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSTALLING, HANG = 900, 120        # seconds

#: program: what pip installs for it
PROGRAMS = {
    "requests": "requests", "aiohttp": "aiohttp", "twisted": "twisted[tls]", "tornado": "tornado",
    "websockets": "websockets", "paramiko": "paramiko", "dnspython": "dnspython", "redis": "redis",
    "paho_mqtt": "paho-mqtt", "trio": "trio", "httpx": "httpx uvicorn", "flask": "flask",
    "pymysql": "PyMySQL", "gevent": "gevent",
}


def main():
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests.interop", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(PROGRAMS)} (default: all)")
    parser.add_argument("--venv", help="use, or make, this virtual environment")
    parser.add_argument("--keep", action="store_true", help="do not throw the environment away")
    options = parser.parse_args()
    names = options.names or list(PROGRAMS)
    unknown = set(names) - set(PROGRAMS)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    with Place(options) as place:
        python = environment(Path(place), [PROGRAMS[name] for name in names])
        return table(python, names)


class Place:
    """The directory of the environment."""

    def __init__(self, options):
        self._path = options.venv or tempfile.mkdtemp(prefix="tipy-interop-")
        self._keep = options.keep or options.venv

    def __enter__(self):
        return self._path

    def __exit__(self, *exc_info):
        if self._keep:
            print(f"the environment is in {self._path}")
        else:
            import shutil
            shutil.rmtree(self._path, ignore_errors=True)


def environment(place, packages):
    """The Python of an environment at `place` in which the packages are."""
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=INSTALLING)
    wanted = [word for package in packages for word in package.split()]
    done = subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted],
                          timeout=INSTALLING, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pip cannot install {' '.join(wanted)}:\n{done.stderr}")
    return str(python)


def table(python, names):
    """Run the programs and print the table; returns the exit status."""
    print(f"{'package':<12}{'version':<12}{'kernel':<18}{'tipy':<18}what went to and fro")
    status = 0
    for name in names:
        kernel, took, _, _ = run(python, name, [])
        tipy, took_ours, out, err = run(python, name, ["-m", "tipy", "run"])
        version, what = out.splitlines()[-1].partition(" ")[::2] if tipy == 0 else ("?", "FAILED")
        ends = f"{verdict(kernel, took):<18}{verdict(tipy, took_ours):<18}"
        print(f"{name:<12}{version:<12}{ends}{what}", flush=True)
        if tipy:
            print("    " + "\n    ".join((out + err).splitlines()[-25:]))
            status |= kernel == 0
    return status


def verdict(status, seconds):
    """How a program ended, in a word, and how long it took."""
    return f"{ {0: 'ok', None: 'hangs'}.get(status, f'status {status}')}, {seconds:.1f} s"


def run(python, name, before):
    """(exit status or None, seconds, stdout, stderr) of one program."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TIPY_CONFIG": "", "PYTHONWARNINGS": "ignore"}
    begun = time.monotonic()
    process = subprocess.Popen([python, *before, str(HERE / f"with_{name}.py")], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env=environment, cwd=tempfile.gettempdir())
    try:
        out, err = process.communicate(timeout=HANG)
        status = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        status = None
    return status, time.monotonic() - begun, out, err


if __name__ == "__main__":
    sys.exit(main())
