"""PyMySQL: log in, a query with 1000 rows, against a small server that speaks the protocol."""

import hashlib
import importlib.metadata
import socketserver
import threading

import pymysql

SALT = b"12345678abcdefghijkl"


def text(data):
    return bytes([len(data)]) + data if len(data) < 251 else b"\xfc" + len(data).to_bytes(2, "little") + data


def column(name):
    parts = b"".join(map(text, (b"def", b"", b"", b"", name, name)))
    return parts + b"\x0c\x21\x00\xff\x00\x00\x00\xfd\x00\x00\x00\x00\x00"


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, request_queue_size = True, 100

    def handle_error(self, request, client_address):
        """Clients hang up as they please."""


class Handler(socketserver.StreamRequestHandler):
    def send(self, *payloads):
        for payload in payloads:
            self.wfile.write(len(payload).to_bytes(3, "little") + bytes([self.number % 256]) + payload)
            self.number += 1

    def receive(self):
        head = self.rfile.read(4)
        self.number = head[3] + 1 if head else 0
        return self.rfile.read(int.from_bytes(head[:3], "little")) if head else b""

    def handle(self):
        self.number = 0
        flags = 0x000FA201 | 0x80000                   # secure connection, protocol 4.1, plugin auth
        low, high = (flags & 0xFFFF).to_bytes(2, "little"), (flags >> 16).to_bytes(2, "little")
        self.send(b"\x0a5.7.0\0" + bytes(4) + SALT[:8] + b"\0" + low + b"\x21\x02\x00" + high +
                  b"\x15" + bytes(10) + SALT[8:] + b"\0mysql_native_password\0")
        once = hashlib.sha1(b"secret").digest()
        proof = hashlib.sha1(SALT + hashlib.sha1(once).digest()).digest()
        if bytes(a ^ b for a, b in zip(once, proof)) not in self.receive():
            return self.send(b"\xff\x15\x04#28000Access denied")
        self.send(b"\0\0\0\x02\0\0\0")
        while command := self.receive():
            if command[:1] == b"\x03" and command[1:].startswith(b"SELECT"):
                self.send(b"\x02", column(b"n"), column(b"word"), b"\xfe\0\0\x02\0")
                self.send(*(text(b"%d" % n) + text(b"x" * n) for n in range(1000)), b"\xfe\0\0\x02\0")
            elif command[:1] == b"\x01":
                return
            else:
                self.send(b"\0\0\0\x02\0\0\0")


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
options = {"host": "127.0.0.1", "port": server.server_address[1], "user": "tipy", "read_timeout": 20}
with pymysql.connect(password="secret", **options) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT n, word FROM numbers")
    rows = cursor.fetchall()
    assert len(rows) == 1000 and all(word == "x" * n for n, (_, word) in enumerate(rows))
    assert connection.ping() is None
try:
    pymysql.connect(password="wrong", **options)
except pymysql.err.OperationalError as error:
    assert error.args[0] == 1045
else:
    raise AssertionError("a wrong password was accepted")
print(importlib.metadata.version("PyMySQL"), "log in, 1000 rows, a wrong password")
