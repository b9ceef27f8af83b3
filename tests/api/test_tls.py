"""TLS on our sockets, in a patched program: versions, names, certificates, asyncio, odd ends. Each case in a
process of its own, run against the kernel's sockets, too: they are the reference."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ssl")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import tls_material  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
HANG = 60
PRELUDE = """
import sys, threading
if sys.argv[1] == "tipy":
    import tipy
    from tipy.testing import start_loopback
    tipy.install()
    start_loopback()
import socket, ssl
ADDRESS = ("127.0.0.1", 0)

def server_side(version=None, pem="localhost.pem"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    if version:
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    return context

def client_side():
    return ssl.create_default_context(cafile="ca.crt")

class Server:
    def __init__(self, context, body):
        self.sock, self.context, self.body, self.error = socket.create_server(ADDRESS), context, body, None
        self.address = self.sock.getsockname()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
    def run(self):
        try:
            plain, _ = self.sock.accept()
            with self.context.wrap_socket(plain, server_side=True) as tls:
                self.body(tls)
        except OSError as error:
            self.error = error
    def end(self):
        self.thread.join(20)
        self.sock.close()
        if self.thread.is_alive():
            raise SystemExit("the server hangs")
        return self.error

def echo(tls):
    while data := tls.recv(65536):
        tls.sendall(data)

def connect(server, context, name="localhost", **options):
    plain = socket.create_connection(server.address, timeout=20)
    return context.wrap_socket(plain, server_hostname=name, **options)
"""

CASES = {}


def case(body):
    """A program as a case; its name is the function's."""
    CASES[body.__name__] = body.__doc__
    return body


@case
def versions():
    """
for version in ("TLSv1_2", "TLSv1_3"):
    server = Server(server_side(version), echo)
    with connect(server, client_side()) as tls:
        assert tls.version().replace(".", "_") == version
        assert tls.cipher()[1] and tls.getpeercert()["subject"] == ((("commonName", "localhost"),),)
        data = bytes(range(256)) * 4096
        sender = threading.Thread(target=tls.sendall, args=(data,))
        sender.start()
        got = bytearray()
        while len(got) < len(data):
            got += tls.recv(100000)
        sender.join()
        assert got == data
    assert server.end() is None
"""


@case
def server_name_and_alpn():
    """
asked = []
outer, other = server_side(), server_side(pem="other.pem")
for context in (outer, other):
    context.set_alpn_protocols(["h2", "http/1.1"])

def choose(tls, name, context):
    asked.append((type(tls) is ssl.SSLSocket, name, context is outer))
    if name == "other.test":
        tls.context = other

outer.sni_callback = choose
for name, subject in (("other.test", "other"), ("localhost", "localhost")):
    server = Server(outer, lambda tls: tls.sendall(tls.selected_alpn_protocol().encode()))
    context = client_side()
    context.set_alpn_protocols(["spdy/3", "http/1.1"])
    with connect(server, context, name) as tls:
        assert tls.getpeercert()["subject"] == ((("commonName", subject),),)
        assert tls.recv(99) == b"http/1.1" and tls.selected_alpn_protocol() == "http/1.1"
    server.end()
print(asked)
"""


@case
def client_certificates():
    """
for version in ("TLSv1_2", "TLSv1_3"):
    for with_one in (True, False):
        context = server_side(version)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations("ca.crt")
        server = Server(context, lambda tls: tls.sendall(str(tls.getpeercert()["subject"]).encode()))
        mine = client_side()
        if with_one:
            mine.load_cert_chain("client.pem")
        try:
            with connect(server, mine) as tls:
                print(version, tls.recv(999))
        except (ssl.SSLError, ConnectionResetError) as error:
            print(version, with_one, getattr(error, "reason", None))
        print(getattr(server.end(), "reason", None))
"""


@case
def a_certificate_of_nobody_we_know():
    """
for context, name in ((ssl.create_default_context(), "localhost"), (client_side(), "elsewhere.test")):
    server = Server(server_side("TLSv1_2"), echo)
    try:
        connect(server, context, name)
    except ssl.SSLCertVerificationError as error:
        print(error.verify_code, error.reason)
    print(server.end().reason)
"""


@case
def a_peer_that_speaks_no_tls():
    """
server = socket.create_server(ADDRESS)
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
try:
    server_side().wrap_socket(peer, server_side=True)
except ssl.SSLError as error:
    print(error.reason)
client.close()
"""


@case
def plain_again_after_unwrap():
    """
def body(tls):
    tls.recv(10)
    plain = tls.unwrap()
    plain.sendall(b"plain " + plain.recv(10))
    plain.shutdown(socket.SHUT_WR)
    plain.recv(1)
server = Server(server_side(), body)
tls = connect(server, client_side())
tls.sendall(b"x")
plain = tls.unwrap()
plain.sendall(b"text")
assert plain.recv(99) == b"plain text" and plain.recv(1) == b""
plain.close()
server.end()
"""


@case
def sessions_are_resumed():
    """
context, session = client_side(), None
serving = server_side("TLSv1_2")
reused = []
for _ in range(2):
    server = Server(serving, echo)
    with connect(server, context, session=session) as tls:
        tls.sendall(b"x")
        tls.recv(1)
        session = tls.session
        reused.append(tls.session_reused)
    server.end()
print(reused)
"""


@case
def a_handshake_without_blocking():
    """
import select
server = Server(server_side(), echo)
plain = socket.create_connection(server.address)
plain.setblocking(False)
tls = client_side().wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)

def insist(call, *args):
    while True:
        try:
            return call(*args)
        except ssl.SSLWantReadError:
            assert select.select([tls], [], [], 20)[0]
        except ssl.SSLWantWriteError:
            assert select.select([], [tls], [], 20)[1]

insist(tls.do_handshake)
data = bytes(range(256)) * 8192
sent, got = 0, b""
while len(got) < len(data):
    can_read, can_write, _ = select.select([tls], [tls] if sent < len(data) else [], [], 20)
    assert can_read or can_write
    try:
        if can_write:
            sent += tls.send(data[sent:sent + 50000])
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass
    try:
        if can_read:
            got += tls.recv(50000)
            while tls.pending():
                got += tls.recv(50000)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass
assert got == data
tls.close()
server.end()
"""


@case
def both_ways_in_two_threads():
    """
data = bytes(range(256)) * 8192
def body(tls):
    other = threading.Thread(target=tls.sendall, args=(data,))
    other.start()
    got = 0
    while got < len(data):
        got += len(tls.recv(65536))
    other.join()
    tls.recv(1)
server = Server(server_side(), body)
with connect(server, client_side()) as tls:
    other = threading.Thread(target=tls.sendall, args=(data,))
    other.start()
    got = bytearray()
    while len(got) < len(data):
        got += tls.recv(65536)
    other.join()
    assert got == data
server.end()
"""


@case
def an_end_without_good_bye():
    """
def body(tls):
    tls.sendall(b"last words")
    socket.socket.shutdown(tls, socket.SHUT_WR)
    tls.close()
for ragged in (True, False):
    server = Server(server_side(), body)
    tls = connect(server, client_side(), suppress_ragged_eofs=ragged)
    print(tls.recv(99))
    try:
        print(tls.recv(99))
    except ssl.SSLEOFError as error:
        print("EOF", error.args[0])
    tls.close()
    server.end()
"""


@case
def asyncio_client_and_server():
    """
import asyncio

async def answer(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, *ADDRESS, ssl=server_side(), limit=1 << 20)
    where = server.sockets[0].getsockname()
    async def talk(number):
        reader, writer = await asyncio.open_connection(*where, ssl=client_side(), server_hostname="localhost")
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
        for _ in range(3):
            writer.write(b"line %d\\n" % number)
            assert await reader.readline() == b"LINE %d\\n" % number
        big = b"x" * 300000 + b"\\n"
        writer.write(big)
        assert await reader.readexactly(len(big)) == big.upper()
        writer.close()
        await writer.wait_closed()
    await asyncio.gather(*map(talk, range(10)))
    # the same on a socket that is connected already, and STARTTLS
    sock = socket.create_connection(where)
    sock.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=sock, ssl=client_side(), server_hostname="localhost")
    writer.write(b"more\\n")
    assert await reader.readline() == b"MORE\\n"
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()

loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda loop, context: print("unhandled", context))
asyncio.set_event_loop(loop)
loop.run_until_complete(asyncio.wait_for(main(), 40))
loop.close()
"""


@case
def https_by_the_standard_library():
    """
import http.server, urllib.request

class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(ADDRESS, Handler)
server.socket = server_side().wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = "https://127.0.0.1:%d/ca.crt" % server.server_port
for _ in range(3):
    with urllib.request.urlopen(url, context=client_side(), timeout=20) as answer:
        assert answer.read() == open("ca.crt", "rb").read()
server.shutdown()
server.server_close()
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return tls_material.make(tmp_path_factory.mktemp("tls"))


def run(material, which, name):
    done = subprocess.run([sys.executable, "-c", PRELUDE + CASES[name], which], cwd=material, timeout=HANG,
                          env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TIPY_CONFIG": ""},
                          capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"on {which}:\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


@pytest.mark.parametrize("name", [name for name in CASES if name != "both_ways_in_two_threads"])
def test_tls(material, name):
    """As on the kernel: what is asserted, what is printed, nothing on stderr."""
    assert run(material, "tipy", name) == run(material, "kernel", name)


def test_one_thread_reads_while_another_writes(material):
    """Without the kernel beside it: there CPython 3.13.0 now and then reports one thread's EAGAIN to the other, since
    OpenSSL's connection is used by two threads without a lock."""
    assert run(material, "tipy", "both_ways_in_two_threads") == ("", "")
