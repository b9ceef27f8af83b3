"""The clients: program(module, address, ...) -> figure. They run on the kernel's sockets here."""

import struct
import time

from tipy.bench.programs import (CHECK, CONNECT, COUNT, ECHO, PORT, REQUEST, SINK, SOURCE, Mismatch,
                                  receive_exactly, receive_stream, send_stream)


def bulk_in(module, address, size, mode=0):
    """Send `size` bytes to the server: bytes per second until it says it has them."""
    with module.create_connection((address, PORT)) as sock:
        start = time.perf_counter()
        sock.sendall(REQUEST.pack(SINK | mode, size))
        send_stream(sock, size, mode & CHECK)
        count, = COUNT.unpack(receive_exactly(sock, COUNT.size))
        seconds = time.perf_counter() - start
    if count != size:
        raise Mismatch(f"{count} of {size} bytes arrived")
    return size / seconds


def bulk_out(module, address, size, mode=0):
    """Have the server send `size` bytes: bytes per second."""
    with module.create_connection((address, PORT)) as sock:
        start = time.perf_counter()
        sock.sendall(REQUEST.pack(SOURCE | mode, size))
        count = receive_stream(sock, size, mode & CHECK)
        seconds = time.perf_counter() - start
    if count != size:
        raise Mismatch(f"{count} of {size} bytes arrived")
    return size / seconds


def tcp_ping_pong(module, address, count, size=64):
    """The median round trip of `count` messages, in microseconds."""
    with module.create_connection((address, PORT)) as sock:
        sock.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
        sock.sendall(REQUEST.pack(ECHO, size))
        data = bytes(size)
        return _median_of_trips(count, lambda: (sock.sendall(data), receive_exactly(sock, size)))


def udp_ping_pong(module, address, count, size=64):
    """The median round trip of `count` datagrams, in microseconds."""
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
        sock.connect((address, PORT))
        data = bytes(size)
        return _median_of_trips(count, lambda: (sock.send(data), sock.recv(2048)))


def _median_of_trips(count, trip):
    now = time.perf_counter
    for _ in range(count // 10):
        trip()
    times = []
    for _ in range(count):
        start = now()
        trip()
        times.append(now() - start)
    return sorted(times)[count // 2] * 1e6


def udp_window(module, address, seconds, outstanding=32, size=64):
    """Echoes per second with `outstanding` datagrams under way. Lost ones are replaced."""
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
        sock.connect((address, PORT))
        sock.settimeout(0.2)
        data = bytes(size)
        start = time.perf_counter()
        end, count = start + seconds, 0
        for _ in range(outstanding):
            sock.send(data)
        while time.perf_counter() < end:
            try:
                sock.recv(2048)
            except TimeoutError:
                for _ in range(outstanding):
                    sock.send(data)
                continue
            count += 1
            sock.send(data)
        return count / (time.perf_counter() - start)


def udp_into(module, address, seconds):
    """Send datagrams of 1000 bytes for that long: how many per second the server's program received."""
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
        sock.connect((address, PORT))
        data = bytes(1000)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(32):
                try:
                    sock.send(data)
                except OSError:                     # ENOBUFS: the interface's queue is full
                    break
        return _ask_for_count(sock)


def _ask_for_count(sock):
    sock.settimeout(1.0)
    for _ in range(10):
        sock.send(b"")
        try:
            answer = sock.recv(64)
        except TimeoutError:
            continue
        if len(answer) == 16:
            count, seconds = struct.unpack("!Qd", answer)
            return count / seconds if seconds else 0.0
    raise TimeoutError("the server does not tell its count")


def udp_out_of(module, address, seconds):
    """Have the server send datagrams of 1000 bytes for that long: how many per second arrive here."""
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
        sock.connect((address, PORT))
        sock.settimeout(0.3)
        sock.send(COUNT.pack(int(seconds * 1000)))
        view, count, first, last = bytearray(2048), 0, None, 0.0
        limit = time.perf_counter() + seconds + 5
        try:
            while last < limit:
                sock.recv_into(view)
                last = time.perf_counter()
                first = last if first is None else first
                count += 1
        except TimeoutError:
            pass
        return count / (last - first) if count > 1 else 0.0


def have_it_connect(module, address, count):
    """Have the server's program open and close `count` connections to the acceptor here: per second."""
    with module.create_connection((address, PORT)) as sock:
        sock.sendall(REQUEST.pack(CONNECT, count))
        microseconds, = COUNT.unpack(receive_exactly(sock, COUNT.size))
        return count / microseconds * 1e6
