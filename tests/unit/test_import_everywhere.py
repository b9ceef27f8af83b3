"""The package imports on systems that lack what Linux has (macOS, Windows): all of that is imported late."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TAKEN_AWAY = """
import ctypes, os, select, signal, sys, _socket
real = ctypes.CDLL
def CDLL(name, *args, **kwargs):
    if name is None:
        raise TypeError("bad argument type for built-in operation")     # what Windows says
    return real(name, *args, **kwargs)
ctypes.CDLL = CDLL
if hasattr(ctypes, "PyDLL"):
    ctypes.PyDLL = CDLL
for name in ("writev", "readv", "fork", "register_at_fork", "unshare", "setns", "pidfd_open", "memfd_create",
             "eventfd", "uname", "getuid", "geteuid"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("poll", "epoll", "kqueue"):
    if hasattr(select, name):
        delattr(select, name)
for name in ("AF_PACKET", "AF_UNIX", "AF_NETLINK", "SOL_PACKET", "SO_REUSEPORT", "CMSG_LEN", "CMSG_SPACE",
             "MSG_DONTWAIT", "MSG_NOSIGNAL", "TCP_INFO", "TCP_CORK", "SCM_RIGHTS"):
    if hasattr(_socket, name):
        delattr(_socket, name)
for name in ("fcntl", "termios", "resource", "pwd", "grp"):
    sys.modules[name] = None
"""

EVERYTHING = """
import importlib, pkgutil, tipy
for module in pkgutil.walk_packages(tipy.__path__, "tipy."):
    if module.name != "tipy.__main__":
        importlib.import_module(module.name)
import tipy.__main__
for name in tipy.__all__:
    getattr(tipy, name)
print("imported")
"""


def run(*flags, code):
    return subprocess.run([sys.executable, *flags, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          timeout=60)


def test_package_imports_without_what_only_linux_has():
    done = run(code=TAKEN_AWAY + EVERYTHING)
    assert (done.stdout, done.stderr) == ("imported\n", "")


def test_stacks_talk_in_memory_without_what_only_linux_has():
    code = TAKEN_AWAY + """
from tipy import tipy
from tipy.link.memory import Wire
wire = Wire()
one = tipy(link=wire.port(), address="10.0.0.1/24", acd=False)
two = tipy(link=wire.port(), address="10.0.0.2/24", acd=False)
with one, two:
    server = one.socket.create_server(("10.0.0.1", 80))
    client = two.socket.create_connection(("10.0.0.1", 80), timeout=10)
    peer, _ = server.accept()
    client.sendall(b"over the wire")
    print(peer.recv(100))
    for sock in (client, peer, server):
        sock.close()
"""
    done = run("-O", code=code)
    assert (done.stdout, done.stderr) == ("b'over the wire'\n", "")


@pytest.mark.parametrize("flag", [[], ["-O"], ["-OO"], ["-W", "error"], ["-X", "importtime"]])
def test_package_imports_with_every_flag(flag):
    done = run(*flag, code=EVERYTHING)
    assert done.stdout == "imported\n", done.stderr


def test_bare_import_is_cheap():
    code = "import sys; import tipy; print([name for name in sys.modules if name.startswith('tipy.')])"
    assert run(code=code).stdout == "[]\n"


def test_public_names():
    done = run(code="from tipy import *\n"
                    "print(tipy is Stack is Tipy, socket.AF_INET.name, Settings().ttl, __version__)")
    assert done.stdout.startswith("True AF_INET 64 2."), done.stderr


def test_name_that_is_not_there():
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        import tipy
        tipy.nothing_of_the_kind
