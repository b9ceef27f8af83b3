"""dnspython: queries over UDP and TCP, a truncated answer, its resolver, asyncio; its server uses it, too."""

import asyncio
import socket
import struct
import threading

import dns.asyncquery
import dns.flags
import dns.message
import dns.query
import dns.resolver
import dns.rrset
import dns.version


def answer(wire, tcp):
    query = dns.message.from_wire(wire)
    reply = dns.message.make_response(query)
    name = query.question[0].name
    count = 200 if b"big" in name.labels else 2
    if count > 2 and not tcp:
        reply.flags |= dns.flags.TC
    else:
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *(f"10.0.0.{n}" for n in range(count))))
    return reply.to_wire()


def serve_udp():
    while True:
        wire, address = udp.recvfrom(4096)
        udp.sendto(answer(wire, False), address)


def serve_tcp():
    while True:
        sock, _ = tcp.accept()
        with sock, sock.makefile("rb") as file:
            while head := file.read(2):
                reply = answer(file.read(struct.unpack("!H", head)[0]), True)
                sock.sendall(struct.pack("!H", len(reply)) + reply)


udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
port = udp.getsockname()[1]
tcp = socket.create_server(("127.0.0.1", port))
for target in (serve_udp, serve_tcp):
    threading.Thread(target=target, daemon=True).start()
small, big = dns.message.make_query("small.test", "A"), dns.message.make_query("big.test", "A")
for query in (dns.query.udp, dns.query.tcp):
    assert len(query(small, "127.0.0.1", timeout=20, port=port).answer[0]) == 2
reply, by_tcp = dns.query.udp_with_fallback(big, "127.0.0.1", timeout=20, port=port)
assert by_tcp and len(reply.answer[0]) == 200
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port = ["127.0.0.1"], port
assert sorted(map(str, resolver.resolve("small.test"))) == ["10.0.0.0", "10.0.0.1"]
reply = asyncio.run(dns.asyncquery.udp(small, "127.0.0.1", timeout=20, port=port))
assert len(reply.answer[0]) == 2
print(dns.version.version, "UDP, TCP, truncation, resolver, asyncio")
