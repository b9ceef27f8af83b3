"""The programs that are measured, written once for any socket module: the interpreter's own or a stack's.

A TCP connection starts with a request of 16 bytes, operation and size; what follows depends on the operation:

    SINK     client sends `size` bytes, server answers with 8 bytes: how many came
    SOURCE   server sends `size` bytes and closes
    ECHO     server sends back every message of `size` bytes until the client closes
    CONNECT  server opens and closes `size` connections to the client's ACCEPTOR port, answers with 8 bytes:
             microseconds
    + CHECK  in SINK and SOURCE the stream is the pattern below and the receiver compares all of it
    + BUSY   in SINK and SOURCE the server's thread computes between its calls
"""

import random
import struct
import threading
import time

SINK, SOURCE, ECHO, CONNECT = 1, 2, 3, 4
CHECK, BUSY = 16, 32
REQUEST = struct.Struct("!QQ")
COUNT = struct.Struct("!Q")
CHUNK = 1 << 18                       # bytes per call of a bulk program
PORT, ACCEPTOR = 8000, 8001
_BUSY_TURNS = 2_500                   # about 0.15 ms of pure Python, what the stack takes for a CHUNK


# -- the stream -----------------------------------------------------------------------------------

_BASE = random.Random(1).randbytes(CHUNK) * 2
_STEP = 50_021                        # odd: the chunks repeat after 64 GB


def pattern(index):
    """Chunk number `index` of the stream that is compared: CHUNK bytes as a view. Every byte depends on where
    it is: the chunks are one random block, each time turned a little further."""
    start = index * _STEP % CHUNK
    return memoryview(_BASE)[start:start + CHUNK]


class Mismatch(Exception):
    """The stream that arrived is not the one that was sent."""


def compute():
    """Work that needs the interpreter all the time."""
    x = 1
    for _ in range(_BUSY_TURNS):
        x = x * 5 + 1 & 0xFFFF
    return x


def send_stream(sock, size, mode=0):
    """Send `size` bytes."""
    plain = memoryview(bytes(CHUNK))
    index = 0
    while size > 0:
        data = pattern(index) if mode & CHECK else plain
        sock.sendall(data[:size] if size < CHUNK else data)
        size -= CHUNK
        index += 1
        if mode & BUSY:
            compute()


def receive_stream(sock, size, mode=0):
    """Receive `size` bytes, or to the end; the number received. Mismatch if they are compared and differ."""
    if mode & CHECK:
        return _receive_checked(sock, size)
    view = memoryview(bytearray(CHUNK))
    got = 0
    while got < size:
        count = sock.recv_into(view)
        if not count:
            break
        got += count
        if mode & BUSY:
            compute()
    return got


def _receive_checked(sock, size):
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    index = got = 0
    while got < size:
        filled, wanted = 0, min(CHUNK, size - got)
        while filled < wanted:
            count = sock.recv_into(view[filled:wanted])
            if not count:
                raise Mismatch(f"the stream ended after {got + filled} of {size} bytes")
            filled += count
        same = buffer == pattern(index) if filled == CHUNK else buffer[:filled] == pattern(index)[:filled]
        if not same:
            raise Mismatch(f"the stream differs in bytes {got} to {got + filled}")
        got += filled
        index += 1
    return got


def receive_exactly(sock, size):
    """`size` bytes; ConnectionError if the stream ends before."""
    parts = []
    while size:
        part = sock.recv(size)
        if not part:
            raise ConnectionError("the stream ended early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# -- servers: program(module, address, ...), yielding once when ready ------------------------------


def tcp_server(module, address):
    """Serve requests, one connection at a time, for ever."""
    with module.socket() as listener:
        listener.setsockopt(module.SOL_SOCKET, module.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen()
        yield "ready"
        while True:
            connection, _ = listener.accept()
            with connection:
                try:
                    serve(module, connection)
                except ConnectionError:
                    pass                           # the client has had enough


def serve(module, connection):
    """Serve one request."""
    operation, size = REQUEST.unpack(receive_exactly(connection, REQUEST.size))
    kind, mode = operation & 15, operation & ~15
    if kind == SINK:
        connection.sendall(COUNT.pack(receive_stream(connection, size, mode)))
    elif kind == SOURCE:
        send_stream(connection, size, mode)
    elif kind == CONNECT:
        rate = connect_and_close(module, connection.getpeername()[0], size, ACCEPTOR)
        connection.sendall(COUNT.pack(int(size / rate * 1e6)))
    else:
        connection.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
        while True:
            connection.sendall(receive_exactly(connection, size))


def udp_echo(module, address):
    """Send every datagram back, for ever."""
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
        sock.bind((address, PORT))
        yield "ready"
        while True:
            data, peer = sock.recvfrom(2048)
            sock.sendto(data, peer)


def udp_sink(module, address):
    """Count datagrams; an empty one is answered with the count and the seconds from first to last."""
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
        sock.bind((address, PORT))
        yield "ready"
        while True:
            count, first, last = 0, None, 0.0
            data, peer = sock.recvfrom(2048)
            while data:
                last = time.perf_counter()
                first = last if first is None else first
                count += 1
                data, peer = sock.recvfrom(2048)
            if count:
                sock.sendto(struct.pack("!Qd", count, last - first), peer)
            else:
                sock.sendto(b"", peer)


def udp_source(module, address):
    """A request of 8 bytes, a number of milliseconds: send datagrams of 1000 bytes that long."""
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
        sock.bind((address, PORT))
        yield "ready"
        data = bytes(1000)
        while True:
            request, peer = sock.recvfrom(2048)
            if len(request) != 8:
                continue
            end = time.perf_counter() + COUNT.unpack(request)[0] / 1000
            while time.perf_counter() < end:
                for _ in range(32):
                    sock.sendto(data, peer)


def sleeper(module, address):
    """Do nothing."""
    yield "ready"
    while True:
        time.sleep(60)


def tcp_server_with_computing_thread(module, address):
    """tcp_server beside a thread that computes all the time."""
    threading.Thread(target=_compute_for_ever, daemon=True).start()
    yield from tcp_server(module, address)


def _compute_for_ever():
    while True:
        compute()


def run_acceptor():
    """On the kernel's sockets, at every address: accept_and_close at port ACCEPTOR."""
    import socket
    return accept_and_close(socket, "", ACCEPTOR)


def accept_and_close(module, address, port=PORT):
    """Accept connections and close them at once, for ever."""
    with module.socket() as listener:
        listener.setsockopt(module.SOL_SOCKET, module.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1024)
        yield "ready"
        while True:
            connection, _ = listener.accept()
            connection.close()


def connect_and_close(module, address, count, port=PORT):
    """Open and close `count` connections: how many per second."""
    start = time.perf_counter()
    for _ in range(count):
        sock = module.socket()
        sock.connect((address, port))
        sock.close()
    return count / (time.perf_counter() - start)
