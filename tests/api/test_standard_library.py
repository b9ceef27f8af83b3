"""Servers and clients of the standard library under `tipy run`, as they are: each pair a program of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import tls_material

ROOT = Path(__file__).resolve().parents[2]
HANG = 60

PRELUDE = """
import asyncio, os, socket, ssl, sys, threading

def start(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

def script(*answers):
    "A server that greets, then answers one line after the other; its port."
    listener = socket.create_server(("127.0.0.1", 0))
    def serve():
        sock = listener.accept()[0]
        with sock, sock.makefile("rb") as lines:
            sock.sendall(answers[0])
            for answer in answers[1:]:
                while not (line := lines.readline()).endswith(b"\\\\r\\\\n"):
                    pass
                sock.sendall(answer)
    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]
""".replace("\\\\", "\\")

PROGRAMS = {
    "http": """
import http.client, http.server, urllib.request
open("file.txt", "w").write("the file")
server = start(http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler))
where = "127.0.0.1:%d" % server.server_port
sys.stderr = open(os.devnull, "w")
print(urllib.request.urlopen(f"http://{where}/file.txt").read())
connection = http.client.HTTPConnection(where)
for _ in range(2):
    connection.request("GET", "/file.txt")
    print(connection.getresponse().read())
""", "socketserver": """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline().upper())
class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(self.request[0].upper(), self.client_address)
server = start(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo))
with socket.create_connection(server.server_address) as sock:
    sock.sendall(b"stream\\n")
    print(sock.recv(99))
server = start(socketserver.UDPServer(("127.0.0.1", 0), Datagram))
with socket.socket(type=socket.SOCK_DGRAM) as sock:
    sock.sendto(b"datagram", server.server_address)
    print(sock.recv(99))
""", "xmlrpc": """
import xmlrpc.client, xmlrpc.server
server = start(xmlrpc.server.SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False))
server.register_function(pow)
print(xmlrpc.client.ServerProxy("http://127.0.0.1:%d" % server.server_address[1]).pow(2, 10))
""", "wsgiref": """
import urllib.request, wsgiref.simple_server
server = start(wsgiref.simple_server.make_server("127.0.0.1", 0, wsgiref.simple_server.demo_app))
sys.stderr = open(os.devnull, "w")
print(urllib.request.urlopen("http://127.0.0.1:%d" % server.server_port).read()[:12])
""", "ftplib": """
import ftplib
data = socket.create_server(("127.0.0.1", 0))
def send():
    with data.accept()[0] as sock:
        sock.sendall(b"the file")
threading.Thread(target=send, daemon=True).start()
high, low = divmod(data.getsockname()[1], 256)
port = script(b"220 hello\\r\\n", b"331 password\\r\\n", b"230 in\\r\\n", b"200 type\\r\\n",
              b"227 (127,0,0,1,%d,%d)\\r\\n" % (high, low), b"150 comes\\r\\n226 done\\r\\n", b"221 bye\\r\\n")
ftp = ftplib.FTP()
ftp.connect("127.0.0.1", port)
ftp.login("user", "secret")
ftp.retrbinary("RETR file", print)
print(ftp.quit())
""", "smtplib": """
import smtplib
port = script(b"220 hello\\r\\n", b"250 ehlo\\r\\n", b"250 from\\r\\n", b"250 to\\r\\n", b"354 go on\\r\\n")
smtp = smtplib.SMTP("127.0.0.1", port, local_hostname="here")
print(smtp.ehlo(), smtp.mail("a@b"), smtp.rcpt("c@d"), smtp.docmd("data"))
""", "poplib": """
import poplib
pop = poplib.POP3("127.0.0.1", script(b"+OK hello\\r\\n", b"+OK user\\r\\n", b"+OK pass\\r\\n", b"+OK 2 300\\r\\n"))
print(pop.user("me"), pop.pass_("secret"), pop.stat())
""", "imaplib": """
import imaplib
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    sock = listener.accept()[0]
    with sock, sock.makefile("rb") as lines:
        sock.sendall(b"* OK IMAP4rev1\\r\\n")
        for line in lines:
            tag, command = line.split()[:2]
            extra = b"* CAPABILITY IMAP4rev1\\r\\n" if command == b"CAPABILITY" else b""
            sock.sendall(extra + tag + b" OK done\\r\\n")
threading.Thread(target=serve, daemon=True).start()
imap = imaplib.IMAP4("127.0.0.1", listener.getsockname()[1])
print(imap.login("me", "secret"), imap.noop())
""", "logging": """
import logging.handlers, pickle
tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
log = logging.getLogger()
handlers = logging.handlers
for handler in (handlers.SocketHandler(*tcp.getsockname()), handlers.DatagramHandler(*udp.getsockname()),
                handlers.SysLogHandler(udp.getsockname())):
    log.addHandler(handler)
log.warning("a warning")
sock = tcp.accept()[0]
print(pickle.loads(sock.recv(9999)[4:])["msg"])
print(pickle.loads(udp.recv(9999)[4:])["msg"], udp.recv(9999))
""", "multiprocessing": """
import multiprocessing.connection as connection
listener = connection.Listener(("127.0.0.1", 0), authkey=b"key")
def answer():
    with listener.accept() as peer:
        peer.send([peer.recv(), "answer"])
threading.Thread(target=answer, daemon=True).start()
with connection.Client(listener.address, authkey=b"key") as client:
    client.send({"question": 1})
    print(client.recv())
""", "asyncio": """
open("file", "wb").write(bytes(range(256)) * 1000)
async def main():
    loop = asyncio.get_running_loop()

    async def serve(reader, writer):
        await reader.readline()
        with open("file", "rb") as file:
            await loop.sendfile(writer.transport, file, 256)
        writer.close()

    for context in None, True:
        server_side = client_side = None
        if context:
            server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server_side.load_cert_chain("localhost.pem")
            client_side = ssl.create_default_context(cafile="ca.crt")
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=client_side,
                                                       server_hostname="localhost" if context else None)
        writer.write(b"go\\n")
        print(len(await reader.read()))
        writer.close()
        server.close()

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport
        def datagram_received(self, data, address):
            self.transport.sendto(data.upper(), address)

    class Hear(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            heard.set_result(data)
        def error_received(self, error):
            failed.set_result(type(error).__name__)

    heard, failed = loop.create_future(), loop.create_future()
    echo, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    address = echo.get_extra_info("sockname")
    hear, _ = await loop.create_datagram_endpoint(Hear, remote_addr=address)
    hear.sendto(b"datagram")
    print(await heard)
    echo.close()
    await asyncio.sleep(0)
    hear.sendto(b"nobody")
    print(await failed)
    hear.close()

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock, open("file", "rb") as file:
        listener.setblocking(False)
        sock.setblocking(False)
        await loop.sock_connect(sock, listener.getsockname())
        peer, _ = await loop.sock_accept(listener)
        await loop.sock_sendall(sock, b"question")
        print(await loop.sock_recv(peer, 99))
        sending = asyncio.ensure_future(loop.sock_sendfile(sock, file))
        rest = 256000
        while rest:
            rest -= len(await loop.sock_recv(peer, 65536))
        print(await sending)
        peer.close()

asyncio.run(main())
""", "tls": """
server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_side.load_cert_chain("localhost.pem")
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    for _ in range(2):
        with server_side.wrap_socket(listener.accept()[0], server_side=True) as sock:
            sock.sendall(sock.recv(99).upper())
threading.Thread(target=serve, daemon=True).start()
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context = ssl.create_default_context(cafile="ca.crt")
    context.minimum_version = context.maximum_version = version
    with context.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="localhost") as sock:
        sock.sendall(b"hello")
        print(sock.version(), sock.recv(99))
"""}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tls_material.make(tmp_path_factory.mktemp("programs"))


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_does_on_tipy_what_it_does_on_the_kernel(place, name):
    """The kernel's loopback is the reference; on tipy nothing of it is used (the line on stderr says so)."""
    (place / "program.py").write_text(PRELUDE + PROGRAMS[name])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": ""}
    done = [subprocess.run([sys.executable, "-W", "ignore", *words, "program.py"], cwd=place, env=environment,
                           capture_output=True, text=True, timeout=HANG) for words in ((), ("-m", "tipy", "run"))]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    assert done[0].stdout and done[1].stdout == done[0].stdout
    assert done[1].stderr.startswith("tipy: 127.0.0.1 only")
