"""TLS: the stdlib's SSLSocket on a socket of ours. In a process of its own, for it patches `ssl`."""

import subprocess
import sys

import pytest

ssl = pytest.importorskip("ssl")

PRELUDE = """
import sys, threading
import tipy.socket as socket
sys.modules["socket"] = socket
socket.patch_stdlib()
import ssl, select
from tipy.testing import start_loopback
start_loopback()
pem = sys.argv[1]
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(pem)
server_context.set_alpn_protocols(["x"])
client_context = ssl.create_default_context(cafile=pem)
client_context.set_alpn_protocols(["x"])
listener = socket.create_server(("127.0.0.1", 0))

def serve(body):
    def run():
        sock, _ = listener.accept()
        with server_context.wrap_socket(sock, server_side=True) as tls:
            body(tls)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread

def client():
    sock = socket.create_connection(listener.getsockname())
    return client_context.wrap_socket(sock, server_hostname="localhost")

def check(condition):
    if not condition:
        raise SystemExit("wrong")
"""

ECHO = """
def echo(tls):
    while data := tls.recv(65536):
        tls.sendall(data)
    tls.unwrap()
thread = serve(echo)
with client() as tls:
    check(tls.version() == "TLSv1.3" and tls.selected_alpn_protocol() == "x")
    for size in (1, 1000, 100000):
        data = bytes(range(256)) * (size // 256 + 1)
        sender = threading.Thread(target=tls.sendall, args=(data,))
        sender.start()
        got = b""
        while len(got) < len(data):
            got += tls.recv(65536)
        sender.join()
        check(got == data)
    tls.unwrap().close()
thread.join(20)
"""

UNREAD = """
def two(tls):
    tls.sendall(b"a" * 10)
    tls.sendall(b"b" * 10)
    tls.recv(1)
serve(two)
with client() as tls:
    check(tls.recv(10) == b"a" * 10)
    check(select.select([tls], [], [], 20)[0] == [tls])        # the second record waits where select sees it
    check(tls.recv(10) == b"b" * 10)
    tls.setblocking(False)
    try:
        tls.recv(1)
    except ssl.SSLWantReadError:
        pass
    else:
        check(False)
"""

TIMEOUT = """
serve(lambda tls: tls.recv(1))
with client() as tls:
    tls.settimeout(0.05)
    try:
        tls.recv(1)
    except TimeoutError as error:
        check("timed out" in str(error))
    else:
        check(False)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for localhost, made by the openssl program."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", path, "-out",
                        f"{path}.crt", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no certificate could be made: {error}")
    with open(path, "ab") as pem, open(f"{path}.crt", "rb") as crt:
        pem.write(crt.read())
    return str(path)


@pytest.mark.parametrize("body", [ECHO, UNREAD, TIMEOUT],
                         ids=["echo_both_ways", "an_unread_record_is_readable", "a_timeout_is_one"])
def test_tls_over_our_sockets(certificate, body):
    result = subprocess.run([sys.executable, "-c", PRELUDE + body, certificate], capture_output=True,
                            text=True, timeout=60)
    assert result.returncode == 0, result.stderr
