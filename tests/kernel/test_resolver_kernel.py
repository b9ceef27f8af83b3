"""Names from a DNS server on the real kernel's sockets, over the lab's wire; its replies are written by hand."""

import select
import socket
import struct

import pytest

from tipy import log
from tipy.lab import HOST, PREFIX_LENGTH, STACK
from tipy.settings import Settings
from tipy.stack import Stack

PATIENCE = 20
ADDRESSES = {b"www.lab": ["192.0.2.1"], b"many.lab": [f"192.0.2.{n}" for n in range(200)]}
NAMES = {b"199.2.168.192.in-addr.arpa": b"\4host\3lab\0"}


def reply_to(query, limit):
    """A reply with a compressed name in each record; cut and marked so if it is larger than `limit`."""
    end = query.index(0, 12)
    labels, at = [], 12
    while at < end:
        labels.append(query[at + 1:at + 1 + query[at]])
        at += 1 + query[at]
    name = b".".join(labels).lower()
    records = [struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(ip) for ip in ADDRESSES.get(name, ())]
    if name in NAMES:
        records.append(struct.pack("!HHHIH", 0xC00C, 12, 1, 60, len(NAMES[name])) + NAMES[name])
    head = lambda flags, count: query[:2] + struct.pack("!HHHHH", flags, 1, count, 0, 0) + query[12:end + 5]  # noqa
    whole = head(0x8180 if records else 0x8183, len(records)) + b"".join(records)
    return whole if len(whole) <= limit else head(0x8380, 0)


def dns_server(questions):
    """Serve so many questions; yields True when ready, at last how each was asked."""
    udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
    with udp, tcp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for sock in (udp, tcp):
            sock.bind((HOST, 53))
        tcp.listen()
        yield True
        asked = []
        while len(asked) < questions:
            ready = select.select([udp, tcp], [], [], PATIENCE)[0]
            if not ready:
                break
            if udp in ready:
                query, remote = udp.recvfrom(4096)
                udp.sendto(reply_to(query, 512), remote)
                asked.append("udp")
            if tcp in ready:
                client = tcp.accept()[0]
                with client, client.makefile("rb") as stream:
                    query = stream.read(int.from_bytes(stream.read(2), "big"))
                    reply = reply_to(query, 65535)
                    client.sendall(len(reply).to_bytes(2, "big") + reply)
                asked.append("tcp")
        yield asked


@pytest.fixture(scope="module")
def stack(lab):
    log.choose(())
    with Stack(link=lab.link(), address=f"{STACK}/{PREFIX_LENGTH}",
               settings=Settings(nameservers=(HOST,), search=("lab",))) as stack:
        yield stack
        assert stack.errors == []


@pytest.fixture
def served(lab, stack):
    """served(questions, call) -> (what call() returned, how the questions were asked)"""
    def serve(questions, call):
        job = lab.kernel.start(dns_server, questions)
        assert job.next(PATIENCE) is True
        outcome = call()
        return outcome, job.next(PATIENCE)
    return serve


def test_a_name_and_its_address(stack, served):
    net = stack.socket
    assert served(1, lambda: net.gethostbyname_ex("www")) == (("www.lab", [], ["192.0.2.1"]), ["udp"])


def test_a_long_answer_comes_over_tcp(stack, served):
    found, asked = served(2, lambda: stack.socket.getaddrinfo("many.lab", 80, type=socket.SOCK_STREAM))
    assert [address[0] for *_, address in found] == ADDRESSES[b"many.lab"] and asked == ["udp", "tcp"]


def test_an_address_and_its_name(stack, served):
    assert served(1, lambda: stack.socket.gethostbyaddr(HOST)) == (("host.lab", [], [HOST]), ["udp"])


def test_no_such_name(stack, served):
    def ask():
        with pytest.raises(stack.socket.gaierror) as caught:
            stack.socket.gethostbyname("nowhere.lab.")
        return caught.value.errno
    assert served(1, ask) == (socket.EAI_NONAME, ["udp"])


def test_a_server_that_is_not_there_is_told_at_once(stack):
    with pytest.raises(stack.socket.gaierror) as caught:
        stack.socket.gethostbyname("unheard.lab.")
    assert caught.value.errno == socket.EAI_AGAIN
    assert not stack.counters["dns.failed_timeout"]
