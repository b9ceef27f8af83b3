"""gevent: its own monkey patching above tipy's sockets, server and clients as greenlets of one thread."""

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402

import gevent  # noqa: E402
from gevent.server import StreamServer  # noqa: E402

CLIENTS = 20


def serve(sock, address):
    while data := sock.recv(100):
        sock.sendall(data.upper())


def ask(number):
    with socket.create_connection(server.address, timeout=20) as sock:
        for turn in range(5):
            sock.sendall(b"client %d, %d" % (number, turn))
            assert sock.recv(100) == b"CLIENT %d, %d" % (number, turn)
            gevent.sleep(0)
        return number


server = StreamServer(("127.0.0.1", 0), serve)
server.start()
jobs = [gevent.spawn(ask, number) for number in range(CLIENTS)]
gevent.joinall(jobs, raise_error=True)
if [job.value for job in jobs] != list(range(CLIENTS)):
    raise SystemExit("somebody was not answered")
server.stop()
print(gevent.__version__, f"{CLIENTS} clients and their server, greenlets of one thread")
