"""Ping a host through a raw ICMP socket of the stack.

Run:     PYTHONPATH=. python3 examples/ping.py [HOST [COUNT]]     (default: 192.168.2.199 4)
Prints:  56 bytes from 192.168.2.199: seq=1 ttl=64 time=0.21 ms     (for each answer)
         4 sent, 4 answered                                         (exit status 0 if at least one)
"""

import os
import struct
import sys
import time

from tipy import socket, tipy
from tipy.checksum import checksum

ECHO_REQUEST, ECHO_REPLY, PAYLOAD = 8, 0, bytes(range(56))
IDENTIFIER = os.getpid() & 0xFFFF


def echo_request(sequence):
    """An ICMP message (RFC 792): type, code, checksum, identifier, sequence number, payload."""
    header = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, IDENTIFIER, sequence)
    check = checksum(header + PAYLOAD).to_bytes(2, "big")
    return header[:2] + check + header[4:] + PAYLOAD


def await_reply(sock, sequence, deadline):
    """(sender, ttl) of the answer; TimeoutError if none comes."""
    while True:                                        # a raw socket sees every ICMP message
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        packet, (sender, _) = sock.recvfrom(65535)     # with its IP header
        start = (packet[0] & 0x0F) * 4                 # that says itself how long it is
        kind, _, _, identifier, number = struct.unpack_from("!BBHHH", packet, start)
        if (kind, identifier, number) == (ECHO_REPLY, IDENTIFIER, sequence):
            return sender, packet[8]


def main(host="192.168.2.199", count="4"):
    answered = 0
    with tipy(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        for sequence in range(1, int(count) + 1):
            begun = time.monotonic()
            try:
                sock.sendto(echo_request(sequence), (host, 0))
                sender, ttl = await_reply(sock, sequence, begun + 1)
            except OSError as error:
                print(f"{host}: seq={sequence} {error}")
                continue
            answered += 1
            spent = 1000 * (time.monotonic() - begun)
            print(f"{len(PAYLOAD)} bytes from {sender}: seq={sequence} ttl={ttl} time={spent:.2f} ms")
    print(f"{count} sent, {answered} answered")
    return not answered


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except OSError as error:                           # one sentence that says what to do
        sys.exit(str(error))
