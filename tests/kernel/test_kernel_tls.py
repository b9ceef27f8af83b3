"""TLS between a program on tipy and the kernel side's own tools: openssl s_client and s_server, curl."""

import shutil
import sys
from pathlib import Path

import pytest
import run_helpers as helpers
from run_helpers import HANG, beside, run, talk, words

from tipy.lab import HOST, STACK

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import tls_material  # noqa: E402

SERVER = """
import http.server, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("localhost.pem")
if "client" in sys.argv:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations("ca.crt")
server = http.server.ThreadingHTTPServer(("", 4433), http.server.SimpleHTTPRequestHandler)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("serving", flush=True)
server.serve_forever()
"""
ECHO = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("localhost.pem")
context.set_alpn_protocols(["echo/1", "http/1.1"])
context.sni_callback = lambda tls, name, context: print("asked for", name, flush=True)
with socket.create_server(("", 4433)) as plain:
    print("serving", flush=True)
    with context.wrap_socket(plain.accept()[0], server_side=True) as tls:
        print(tls.version(), tls.selected_alpn_protocol(), flush=True)
        while data := tls.recv(100):
            tls.sendall(data)
"""
CLIENT = f"""
import socket, ssl, sys
context = ssl.create_default_context(cafile="ca.crt")
context.set_alpn_protocols(["echo/1"])
if "client" in sys.argv:
    context.load_cert_chain("client.pem")
plain = socket.create_connection(("{HOST}", 4433))
with context.wrap_socket(plain, server_hostname="{HOST}") as tls:
    print(tls.version(), tls.selected_alpn_protocol())
    tls.sendall(b"upside down\\n")
    print(tls.recv(100))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where keys and certificates lie."""
    return str(tls_material.make(tmp_path_factory.mktemp("tls")))


def in_lab(lab, place, program, ready, client, *args):
    return lab.kernel.call(_beside_in, place, words(*program), ready, client, *args, timeout=HANG)


def _beside_in(place, command, ready, client, *args):
    return beside(command, ready, client, *args, cwd=place)


@pytest.mark.parametrize("version", ["1_2", "1_3"])
def test_s_client_talks_to_our_server(tap_lab, place, version):
    command = ["openssl", "s_client", f"-tls{version}", "-CAfile", f"{place}/ca.crt", "-verify_return_error",
               "-servername", "localhost", "-alpn", "other,echo/1", "-connect", f"{STACK}:4433"]
    said, (_, out, err) = in_lab(tap_lab, place, ["-c", ECHO], "serving", talk, command,
                                 [b"hello over TLS\n"], [rb"\nhello over TLS\r?\n"])
    assert b"Verify return code: 0 (ok)" in said and b"ALPN protocol: echo/1" in said
    assert f"asked for localhost\nTLSv{version.replace('_', '.')} echo/1" in out, err


@pytest.mark.parametrize("flags", [["-k"], ["--cacert", "{place}/ca.crt"], ["-k", "--tls-max", "1.2"]],
                         ids=["-k", "verified", "TLS 1.2"])
def test_curl_fetches_from_our_server(tap_lab, place, flags):
    if shutil.which("curl") is None:
        pytest.skip("the program curl is not installed")
    Path(place, "big.bin").write_bytes(bytes(range(256)) * 20000)
    flags = [flag.format(place=place) for flag in flags]
    command = ["curl", "-sS", *flags, "-o", f"{place}/got.bin", f"https://{STACK}:4433/big.bin"]
    (status, _, err), _ = in_lab(tap_lab, place, ["-c", SERVER], "serving", run, command)
    assert (status, err) == (0, "")
    assert Path(place, "got.bin").read_bytes() == Path(place, "big.bin").read_bytes()


@pytest.mark.parametrize("certificate", [True, False])
def test_our_server_asks_for_a_certificate(tap_lab, place, certificate):
    if shutil.which("curl") is None:
        pytest.skip("the program curl is not installed")
    command = ["curl", "-sS", "-k", *(["--cert", f"{place}/client.pem"] if certificate else []), "-o",
               f"{place}/got.crt", f"https://{STACK}:4433/ca.crt"]
    (status, _, _), _ = in_lab(tap_lab, place, ["-c", SERVER, "client"], "serving", run, command)
    assert (status == 0) is certificate


@pytest.mark.parametrize("version", ["1_2", "1_3"])
@pytest.mark.parametrize("certificate", [True, False])
def test_our_client_talks_to_s_server(tap_lab, place, version, certificate):
    """`-rev` sends each line back reversed; with a certificate asked for, the client has one."""
    verify = ["-Verify", "1", "-CAfile", "ca.crt", "-verify_return_error"] if certificate else []
    server = ["openssl", "s_server", f"-tls{version}", "-accept", "4433", "-cert", "localhost.pem", "-rev",
              "-alpn", "echo/1", *verify]
    client = [*words("-c", CLIENT), *(["client"] if certificate else [])]
    (status, out, err), _ = tap_lab.kernel.call(_serve_and_ask, place, server, client, timeout=HANG)
    assert (status, out) == (0, f"TLSv{version.replace('_', '.')} echo/1\nb'nwod edispu\\n'\n"), err


def _serve_and_ask(place, server, client):
    return beside(server, "ACCEPT", run, client, None, place, cwd=place)


def test_the_example_answers_s_client(tap_lab, place):
    example = str(helpers.ROOT / "examples" / "echo_tls.py")
    said, (_, out, err) = tap_lab.kernel.call(
        _beside_in, place, words(example, "localhost.key", "localhost.crt"), "listening", talk,
        ["openssl", "s_client", "-connect", f"{STACK}:1234"], [b"hello\n"], [rb"\nhello\r?\n"], timeout=HANG)
    assert "received b'hello\\n' by TLSv1.3" in out, err


def test_the_example_client_speaks_tls(tap_lab, place):
    example = str(helpers.ROOT / "examples")
    (status, out, err), _ = tap_lab.kernel.call(
        _beside_in, place, [sys.executable, f"{example}/echo_tls.py", "localhost.key", "localhost.crt"],
        "listening", run, words(f"{example}/echo_tcp_client.py", "--tls", HOST), timeout=HANG)
    assert (status, out) == (0, "Server said: b'Hello, world!'\nConnection lost.\n"), err
