"""Ask a DNS server for the IPv4 addresses of a name: a query over UDP, made and read by hand (RFC 1035).

Run:     PYTHONPATH=. python3 examples/resolver.py [NAME [SERVER]]     (default: example.com 192.168.2.1)
Prints:  example.com has address 192.0.2.80     (for each address)
"""

import contextlib
import secrets
import struct
import sys

from tipy import socket, tipy

RECURSION_DESIRED, TYPE_A, END_OF_QUESTION = 0x0100, 1, bytes((0, 1, 0, 1))       # type A, class IN


def make_query(number, name):
    """Header (RFC 1035 4.1.1) and one question (4.1.2)."""
    labels = b"".join(bytes([len(label)]) + label for label in name.rstrip(".").encode("idna").split(b"."))
    return struct.pack("!6H", number, RECURSION_DESIRED, 1, 0, 0, 0) + labels + b"\0" + END_OF_QUESTION


def ask(server, query, tries=3):
    """The server's answer. UDP may lose query or answer: ask again after a second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.connect((server, 53))                     # now nobody else can answer
        for _ in range(tries):
            sock.send(query)
            with contextlib.suppress(TimeoutError):
                while (answer := sock.recv(4096))[:2] != query[:2]:
                    pass                               # a late answer to another question
                return answer
    raise TimeoutError(f"{server} does not answer")


def addresses(answer, query):
    """The addresses in an answer, which repeats the question. Records (4.1.3) start with a name (4.1.4)."""
    if error := answer[3] & 15:
        raise OSError("there is no such name" if error == 3 else f"the server says error {error}")
    at = len(query)
    for _ in range(int.from_bytes(answer[6:8], "big")):
        while 0 < answer[at] < 0xC0:                   # labels up to an empty one, or up to a pointer
            at += 1 + answer[at]
        at += 2 if answer[at] else 1
        kind, _, _, length = struct.unpack_from("!HHIH", answer, at)
        at += 10 + length
        if kind == TYPE_A:
            yield socket.inet_ntoa(answer[at - 4:at])


if __name__ == "__main__":
    name, server = (sys.argv[1:] + ["example.com", "192.168.2.1"][len(sys.argv) - 1:])[:2]
    try:
        with tipy():
            query = make_query(secrets.randbelow(1 << 16), name)
            for address in addresses(ask(server, query), query):
                print(name, "has address", address)
    except OSError as error:                           # one sentence that says what to do
        sys.exit(str(error))
