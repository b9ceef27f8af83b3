"""The little programs of the demo: each is told which `socket` module to use and knows nothing else about the
network it runs on. The same function runs on Linux's sockets, in the lab's namespaces, and on a tipy stack.

Generators yield what the other side must know before it starts (a port), or how far they are (bytes so far),
and return their result.
"""

import hashlib
import os
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer

from tipy.checksum import checksum

PATIENCE = 10.0                    # seconds for any single answer
_ECHO_REQUEST, _ECHO_REPLY = 8, 0
_CHUNK = 1 << 18
_REPORT = 1 << 20                  # bytes between two reports of progress


def pattern(seed, size):
    """`size` bytes that look random and depend on `seed` only: a byte out of place cannot hide."""
    return hashlib.shake_128(seed.encode()).digest(size)


def ping(socket, address, sizes):
    """Echo requests with payloads of these sizes over a raw ICMP socket: [round trip in seconds]."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(PATIENCE)
        return [_ping_once(sock, address, sequence, pattern(f"ping {size}", size))
                for sequence, size in enumerate(sizes, 1)]


def _ping_once(sock, address, sequence, payload):
    tail = os.getpid().to_bytes(4, "big")[2:] + sequence.to_bytes(2, "big") + payload
    head = bytes((_ECHO_REQUEST, 0))
    begun = time.monotonic()
    sock.sendto(head + checksum(head + bytes(2) + tail).to_bytes(2, "big") + tail, (address, 0))
    while time.monotonic() < begun + PATIENCE:
        packet = sock.recv(65535)                          # with its IP header, as raw sockets give it
        message = packet[(packet[0] & 0x0F) * 4:]
        if message[0] == _ECHO_REPLY and message[4:] == tail:
            return time.monotonic() - begun
    raise TimeoutError(f"no echo of {len(payload)} bytes")


def udp_echo_server(socket, address, count):
    """Send `count` datagrams back to where they came from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(PATIENCE)
        yield sock.getsockname()[1]
        for _ in range(count):
            data, sender = sock.recvfrom(65535)
            sock.sendto(data, sender)


def udp_echo_client(socket, address, sizes):
    """Send datagrams of these sizes, compare what comes back: how many bytes went each way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.settimeout(PATIENCE)
        for size in sizes:
            data = pattern(f"udp {size}", size)
            sock.send(data)
            back = sock.recv(65535)
            if back != data:
                raise ValueError(f"a datagram of {size} bytes came back with {len(back)} bytes, changed")
    return sum(sizes)


class _Handler(BaseHTTPRequestHandler):
    """Answers every GET with the server's one file."""

    timeout = PATIENCE

    def do_GET(self):
        content = self.server.content
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), _CHUNK):
            self.wfile.write(content[start:start + _CHUNK])

    def log_message(self, format, *args):
        """Say nothing: the demo tells the story."""


class _Server(BaseServer):
    """`http.server.HTTPServer` in all but where its socket comes from."""

    def __init__(self, sock, content):
        super().__init__(sock.getsockname(), _Handler)
        self.socket = sock
        self.content = memoryview(content)
        self.server_name, self.server_port = self.server_address[:2]

    def get_request(self):
        return self.socket.accept()

    def shutdown_request(self, request):
        request.close()

    def handle_error(self, request, client_address):
        raise


def http_server(socket, address, seed, size, count):
    """Serve `count` requests for pattern(seed, size)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen()
        sock.settimeout(PATIENCE)
        server = _Server(sock, pattern(seed, size))
        yield sock.getsockname()[1]
        for _ in range(count):
            server.process_request(*server.get_request())


def http_fetch(socket, address):
    """Fetch the file from http_server; returns (bytes, SHA-256, seconds)."""
    connection = HTTPConnection(*address, timeout=PATIENCE)
    connection._create_connection = socket.create_connection
    digest, received, reported, buffer = hashlib.sha256(), 0, 0, memoryview(bytearray(_CHUNK))
    begun = time.monotonic()
    try:
        connection.request("GET", "/demo.bin")
        response = connection.getresponse()
        while count := response.readinto(buffer):
            digest.update(buffer[:count])
            received += count
            if received - reported >= _REPORT:
                reported = received
                yield received
        seconds = time.monotonic() - begun
    finally:
        connection.close()
    return received, digest.hexdigest(), seconds


def try_to_connect(socket, address):
    """(exception's class name, errno, seconds) of a connection attempt that fails; None if it does not."""
    begun = time.monotonic()
    try:
        socket.create_connection(address, timeout=PATIENCE).close()
    except OSError as error:
        return type(error).__name__, error.errno, time.monotonic() - begun
    return None
