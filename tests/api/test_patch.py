"""tipy.install() and tipy.patched(): the socket module of a process replaced. Each case in a process of its
own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
import sys
from tipy.testing import start_loopback

def ours():
    import tipy.socket
    return sys.modules["tipy.socket"].socket

def round_trip(socket):
    with socket.create_server(("127.0.0.1", 0)) as server, \\
            socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            client.sendall(b"over tipy")
            assert peer.recv(99) == b"over tipy"
            return type(client), type(peer)
"""


def run(body, *flags):
    """Run a program, whose own checks say whether all is well; returns what it prints."""
    done = subprocess.run([sys.executable, *flags, "-W", "error", "-c", PRELUDE + body], cwd=ROOT, timeout=60,
                          env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout


def test_install_reaches_every_way_to_get_at_a_socket():
    run("""
import socket, asyncio, http.client, socketserver
from socket import socket as S, AF_INET, gethostbyname, create_connection
import tipy
tipy.install()
start_loopback()
assert socket.socket is S is ours()
assert round_trip(socket) == (S, S)
assert create_connection is socket.create_connection
assert AF_INET is socket.AF_INET and type(AF_INET) is socket.AddressFamily
with socket.socket() as sock:
    assert sock.family is AF_INET
assert gethostbyname("localhost") == "127.0.0.1"
assert socketserver.socket is socket and not socket.has_ipv6
""")


def test_install_twice_is_install():
    run("import tipy, socket\ntipy.install()\nclass Holder: kept = [socket.socket]\ntipy.install()\n"
        "assert Holder.kept[0] is socket.socket")


def test_without_a_stack_a_socket_says_what_to_do():
    out = run("""
import tipy, socket
tipy.install()
try:
    socket.socket()
except OSError as error:
    print(error)
""")
    assert "stack.start()" in out


def test_patched_ends_with_its_block_also_in_modules_imported_meanwhile():
    run("""
import socket, types, tipy
kernel = [socket.socket, socket.gethostbyname, socket.AF_INET]
start_loopback()
with tipy.patched():
    with tipy.patched():
        assert socket.socket is ours()
    assert socket.socket is ours()
    import socketserver, ftplib
    late = sys.modules["late"] = types.ModuleType("late")
    exec("from socket import socket as S, gethostbyname, AF_INET", vars(late))
    assert late.S is ours()
    round_trip(socket)
assert [socket.socket, socket.gethostbyname, socket.AF_INET] == kernel
assert [late.S, late.gethostbyname] == kernel[:2] and late.AF_INET is kernel[2]
assert round_trip(socket)[0] is kernel[0]
""")


def test_patched_inside_install_changes_nothing():
    run("import tipy, socket\ntipy.install()\nwith tipy.patched():\n    pass\nassert socket.socket is ours()")


def test_patched_ends_when_its_block_raises():
    run("""
import socket, tipy
kernel = [socket.socket]
try:
    with tipy.patched():
        raise KeyError
except KeyError:
    pass
assert socket.socket is kernel[0]
""")


def test_what_a_program_puts_into_the_module_counts():
    run("""
import tipy
tipy.install()
import socket
start_loopback()
server = socket.create_server(("127.0.0.1", 0))
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: real("127.0.0.1", *rest, **more)
socket.create_connection(("name.invalid", server.getsockname()[1])).close()
made = []
class Counting(socket.socket):
    def __init__(self, *args, **keywords):
        made.append(self)
        super().__init__(*args, **keywords)
socket.socket = Counting
socket.create_connection(server.getsockname()).close()
assert len(made) == 1
server.close()
""")


def test_class_attributes_are_swept():
    run("""
import socket, types, tipy
module = sys.modules["there"] = types.ModuleType("there")
exec("import socket\\nclass Client:\\n    factory = socket.socket\\n    wait = 3", vars(module))
tipy.install()
assert module.Client.factory is ours() and module.Client.wait == 3
""")


def test_the_default_timeout_is_kept():
    run("""
import socket, tipy
socket.setdefaulttimeout(4)
tipy.install()
start_loopback()
with socket.socket() as sock:
    assert sock.gettimeout() == socket.getdefaulttimeout() == 4
""")


def test_other_families_and_old_sockets_go_on_working():
    run("""
import socket, tipy
a, b = socket.socketpair()
tipy.install()
start_loopback()
a.sendall(b"old")
assert b.recv(9) == b"old"
c, d = socket.socketpair()
c.sendall(b"new")
assert d.recv(9) == b"new" and isinstance(c, socket.socket) and c.family == socket.AF_UNIX
for each in (a, b, c, d):
    each.close()
""")


@pytest.mark.parametrize("when", ["before", "after", "never"])
def test_ssl_follows_whenever_it_is_imported(when):
    pytest.importorskip("ssl")
    run(f"""
import socket, tipy
if {when == "before"}:
    import ssl
    from ssl import SSLSocket
tipy.install()
if {when != "never"}:
    import ssl
    from ssl import SSLSocket
    assert issubclass(ssl.SSLSocket, ours()) and ssl.SSLContext.sslsocket_class is SSLSocket is ssl.SSLSocket
else:
    assert "ssl" not in sys.modules
""")


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_ssl_is_the_kernels_again_after_patched(when):
    pytest.importorskip("ssl")
    run(f"""
import socket, tipy
if {when == "before"}:
    import ssl
    kept = [ssl.SSLSocket]
with tipy.patched():
    import ssl
    assert issubclass(ssl.SSLSocket, ours())
assert issubclass(ssl.SSLSocket, socket.socket) and not issubclass(ssl.SSLSocket, ours())
assert ssl.SSLContext.sslsocket_class is ssl.SSLSocket
assert {when != "before"} or ssl.SSLSocket is kept[0]
""")


def test_a_library_that_builds_on_the_layer_below_finds_ours():
    run("""
import tipy, _socket
real = [sys.modules["_socket"]]
with tipy.patched():
    import _socket
    assert issubclass(ours(), _socket.socket) and issubclass(_socket.socket, real[0].socket)
    start_loopback()
    class Native(_socket.socket):
        pass
    sock = Native(_socket.AF_INET, _socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    import tipy.stack
    assert tipy.stack.default_stack().tcp.ports is not None and sock.getsockname()[0] == "127.0.0.1"
    assert sock._channel is not None
    sock.close()
assert sys.modules["_socket"] is real[0]
""")


def test_asyncio_runs_unmodified():
    run("""
import asyncio, tipy
tipy.install()
start_loopback()

async def main():
    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    assert isinstance(server.sockets[0]._sock, ours())
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    writer.write(b"hello\\n")
    assert await reader.read() == b"HELLO\\n"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()

asyncio.run(main())
""")
