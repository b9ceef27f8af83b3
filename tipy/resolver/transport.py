"""One question to one server: over UDP, and again over TCP if the reply was cut (RFC 1035 4.2, RFC 7766).

Each question has its own connected UDP endpoint, hence a random port, and only datagrams from the server's
address reach it. A reply that does not repeat id and question, or makes no sense, is counted and waited past:
a forged one must not end the wait for the real one.
"""

from tipy.errors import PacketError
from tipy.sockets.constants import IPPROTO_UDP, SOCK_DGRAM
from tipy.sockets.datagram import Datagram
from tipy.sockets.stream import Stream
from tipy.wire import dns

PORT = 53
_LARGEST = 65535


def ask(stack, server, question, deadline):
    """The reply Message of `server` (ip); TimeoutError, another OSError if it cannot be reached."""
    query = dns.Message(stack.rng.getrandbits(16), dns.RD, (question,))
    reply = _ask_udp(stack, server, query, deadline)
    if reply.flags & dns.TC:
        with stack.gate:
            stack.counters["dns.truncated"] += 1
        reply = _ask_tcp(stack, server, query, deadline)
    return reply


def _ask_udp(stack, server, query, deadline):
    channel = Datagram(stack, SOCK_DGRAM, IPPROTO_UDP)
    try:
        channel.connect(server, PORT)
        channel.send(memoryview(query.pack()), 0, deadline)
        while True:
            reply = _matching(channel.receive(_LARGEST, 0, deadline), query)
            if reply is not None:
                return reply
            with stack.gate:
                stack.counters["dns.drop_reply"] += 1
    finally:
        channel.close()


def _ask_tcp(stack, server, query, deadline):
    message = query.pack()
    channel = Stream(stack)
    try:
        channel.connect(server, PORT, deadline)
        channel.send(memoryview(len(message).to_bytes(2, "big") + message), 0, deadline, True)
        length = int.from_bytes(_exactly(channel, 2, deadline), "big")
        reply = _matching(_exactly(channel, length, deadline), query)
    finally:
        channel.close(False)
    if reply is None:
        raise PacketError("mismatch")
    return reply


def _exactly(channel, size, deadline):
    data = bytearray()
    while len(data) < size:
        piece = channel.receive(size - len(data), 0, deadline)
        if not piece:
            raise PacketError("cut")
        data += piece
    return bytes(data)


def _matching(data, query):
    """The Message, if it is a reply to `query`, or None."""
    try:
        reply = dns.Message.unpack(data)
    except PacketError:
        return None
    if reply.id != query.id or reply.flags & (dns.QR | dns.OPCODE) != dns.QR or len(reply.questions) != 1:
        return None
    (asked,), (told,) = query.questions, reply.questions
    if told[1:] != asked[1:] or dns.folded(told.name) != dns.folded(asked.name):
        return None
    return reply
