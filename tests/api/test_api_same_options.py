"""The same calls on the kernel's socket and on tipy's: every option we have, value by value, must answer alike.

The kernel's answers are not written down here: it is asked. What depends on the machine (limits of buffers, the
kernel's congestion control) is left out; what needs a capability is compared only where the kernel has it.
"""

import errno
import os
import socket as kernel
import struct
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the reference is Linux")

SOL, IP, TCP, UDP = kernel.SOL_SOCKET, kernel.IPPROTO_IP, kernel.IPPROTO_TCP, kernel.IPPROTO_UDP
KINDS = {"stream": (kernel.SOCK_STREAM, 0), "datagram": (kernel.SOCK_DGRAM, 0), "raw": (kernel.SOCK_RAW, 99),
         "icmp": (kernel.SOCK_RAW, 1)}
VALUES = (1, 0, -1, 2, 300, 40000, b"", b"\1", b"\1\0\0\0\0\0\0\0")
PRIVILEGED = {(SOL, 1), (SOL, 12), (SOL, 36)}      # DEBUG, PRIORITY, MARK: some values need CAP_NET_ADMIN
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

EVERYWHERE = [
    (SOL, 1), (SOL, 2), (SOL, 3), (SOL, 4), (SOL, 6), (SOL, 9), (SOL, 10), (SOL, 12), (SOL, 13), (SOL, 15), (SOL, 18),
    (SOL, 19), (SOL, 20), (SOL, 21), (SOL, 25), (SOL, 29), (SOL, 30), (SOL, 35), (SOL, 36), (SOL, 38), (SOL, 39),
    (SOL, 250), (IP, 1), (IP, 2), (IP, 3), (IP, 6), (IP, 7), (IP, 8), (IP, 10), (IP, 11), (IP, 12), (IP, 13), (IP, 14),
    (IP, 15), (IP, 20), (IP, 21), (IP, 24), (IP, 32), (IP, 33), (IP, 34), (IP, 35), (IP, 36), (IP, 37), (IP, 38),
    (IP, 39), (IP, 40), (IP, 49), (IP, 250), (TCP, 2), (TCP, 250), (UDP, 250), (41, 1)]
UDP_CORK, SOL_RAW, ICMP_FILTER = 1, 255, 1
OF_STREAMS = [(TCP, number) for number in (1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 18, 25, 36)]
# the machine's limits decide: all but the stream's cap on SO_RCVLOWAT are the same; raw sockets of the kernel
# have SO_REUSEADDR from the start
SKIPPED = {("stream", SOL, 18, -1)}


def outcome(call, *args):
    """What it returned, or the name of its errno."""
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]


def new(net, kind):
    try:
        return net.socket(net.AF_INET, *KINDS[kind])
    except PermissionError:
        pytest.skip("raw sockets of the kernel need root")


def readings(sock, level, option):
    return [outcome(sock.getsockopt, level, option, size) for size in (0, 1, 4, 16)]


def transcript(net, kind, level, option):
    """[(value, what setting it said, what it reads back)], each on a new socket."""
    with new(net, kind) as sock:
        told = [("new", None, readings(sock, level, option))]
    for value in VALUES:
        if (kind, level, option, value) in SKIPPED:
            continue
        with new(net, kind) as sock:
            said = outcome(sock.setsockopt, level, option, value)
            told.append((value, said, readings(sock, level, option)))
    return told


CASES = ([(kind, *pair) for kind in ("stream", "datagram", "raw") for pair in EVERYWHERE
          if (kind, *pair) != ("raw", SOL, 2)]
         + [("stream", *pair) for pair in OF_STREAMS]
         + [(kind, *pair) for kind in ("datagram", "raw") for pair in ((UDP, UDP_CORK), (SOL_RAW, ICMP_FILTER))]
         + [("icmp", SOL_RAW, ICMP_FILTER)])


@pytest.mark.parametrize("kind, level, option", CASES)
def test_every_value_is_taken_and_read_back_alike(ours, kind, level, option):
    if (level, option) in PRIVILEGED and not ROOT:
        pytest.skip("the kernel asks for CAP_NET_ADMIN")
    assert transcript(ours, kind, level, option) == transcript(kernel, kind, level, option)


def test_the_kind_of_service_sets_the_priority(ours):
    def told(net):
        with net.socket() as sock:
            for tos in (16, 8, 4, 0x1C, 0):
                sock.setsockopt(IP, net.IP_TOS, tos)
                yield sock.getsockopt(SOL, net.SO_PRIORITY)
    assert list(told(ours)) == list(told(kernel))


def test_transparent_proxying_is_not_for_us(ours):
    with ours.socket() as sock:
        sock.setsockopt(IP, 19, 0)
        assert outcome(sock.setsockopt, IP, 19, 1) == "EPERM" and sock.getsockopt(IP, 19) == 0


# -- before and after connect -----------------------------------------------------------------------------

CHOSEN = {                     # (level, option): the value to set before connect and listen
    (SOL, 2): 1, (SOL, 6): 1, (SOL, 7): 50000, (SOL, 8): 50000, (SOL, 9): 1, (SOL, 10): 1,
    (SOL, 13): b"\1\0\0\0\7\0\0\0", (SOL, 15): 1, (SOL, 18): 1, (SOL, 20): b"\7" + bytes(15), (SOL, 25): b"lo",
    (SOL, 29): 1,
    (IP, 1): 16, (IP, 2): 33, (IP, 4): b"\1\1\1\0", (IP, 6): 1, (IP, 7): 1, (IP, 8): 1, (IP, 10): 2, (IP, 11): 1,
    (IP, 12): 1, (IP, 13): 1, (IP, 15): 1, (IP, 20): 1, (IP, 21): 3, (IP, 24): 1, (IP, 34): 0, (IP, 49): 0,
    (TCP, 1): 1, (TCP, 2): 1000, (TCP, 3): 1, (TCP, 4): 9, (TCP, 5): 8, (TCP, 6): 7, (TCP, 7): 3, (TCP, 8): 30,
    (TCP, 9): 2, (TCP, 10): 5000, (TCP, 18): 3000, (TCP, 25): 5000, (TCP, 36): 1}


def three_ends(net, chosen):
    """{option: what listener, client, accepted socket read}. chosen: set on listener and client before."""
    with net.socket() as listener, net.socket() as client:
        for sock in (listener, client):
            for (level, option), value in chosen.items():
                sock.setsockopt(level, option, value)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())
        if (TCP, 9) in chosen:
            client.send(b"wake")                               # a deferred accept waits for data
        with listener.accept()[0] as accepted:
            return {option: [sock.getsockopt(*option, 16) for sock in (listener, client, accepted)]
                    for option in CHOSEN}


@pytest.mark.parametrize("chosen", [{}, *({option: value} for option, value in CHOSEN.items())],
                         ids=lambda chosen: "-".join(str(number) for option in chosen for number in option) or "none")
def test_options_live_on_in_the_connection_and_in_what_is_accepted(ours, chosen):
    ignored = {(SOL, 7), (SOL, 8), (TCP, 2), (TCP, 10)} - chosen.keys()   # these the stack tunes itself
    tipy, linux = three_ends(ours, chosen), three_ends(kernel, chosen)
    assert {option: tipy[option] for option in tipy if option not in ignored} == {
        option: linux[option] for option in linux if option not in ignored}


def test_the_clamp_that_nobody_set_is_shown_once_connected(net, pair):
    assert net.socket().getsockopt(TCP, 10) == 0
    assert pair[0].getsockopt(TCP, 10) > 30000
    assert outcome(pair[0].setsockopt, TCP, 10, 0) == "EINVAL"


# -- sources of groups ------------------------------------------------------------------------------------

GROUP, LOOPBACK, SOURCE = b"\xef\1\2\3", b"\x7f\0\0\1", b"\x0a\0\0"
UNBLOCK, BLOCK, ADD, DROP, MSFILTER = 37, 38, 39, 40, 41
EXCLUDE, INCLUDE = 0, 1


def source(option, number=1, group=GROUP, interface=LOOPBACK):
    return option, group + interface + SOURCE + bytes((number,))


def whole(mode, *numbers, count=None, interface=LOOPBACK):
    head = GROUP + interface + struct.pack("=II", mode, len(numbers) if count is None else count)
    return MSFILTER, head + b"".join(SOURCE + bytes((number,)) for number in numbers)


JOIN, LEAVE = (35, GROUP + LOOPBACK), (36, GROUP + LOOPBACK)


@pytest.mark.parametrize("steps", [
    [source(ADD), source(ADD), source(ADD, 2), source(DROP, 3), source(DROP), source(DROP, 2), source(DROP, 2), LEAVE],
    [source(ADD), JOIN, LEAVE, LEAVE],
    [JOIN, source(ADD), source(BLOCK), JOIN, source(DROP), LEAVE],
    [source(BLOCK), JOIN, source(BLOCK), source(BLOCK), source(ADD), source(UNBLOCK, 2), source(UNBLOCK),
     source(UNBLOCK), source(ADD), source(BLOCK), LEAVE],
    [source(ADD, group=LOOPBACK), source(ADD, interface=b"\xc0\0\2\1"), source(DROP), source(UNBLOCK), (ADD, b"short"),
     (BLOCK, source(BLOCK)[1] + b"long")],
    [JOIN, *(source(BLOCK, number) for number in range(12))],
    [*(source(ADD, number) for number in range(12)), LEAVE],
    [whole(INCLUDE, 1), JOIN, whole(INCLUDE, 1), whole(EXCLUDE, 2), whole(EXCLUDE), whole(INCLUDE), whole(INCLUDE),
     JOIN, whole(2, 1), whole(INCLUDE, 1, count=2), whole(INCLUDE, *range(11)), source(ADD, 2), source(BLOCK, 2),
     whole(EXCLUDE), whole(EXCLUDE, interface=b"\xc0\0\2\1"), (MSFILTER, b"short")],
], ids=["add", "add-join", "join-add", "block", "bad", "many-blocked", "many-added", "whole"])
def test_sources_are_named_as_linux_does(ours, steps):
    def told(net):
        with net.socket(net.AF_INET, net.SOCK_DGRAM) as sock:
            return [outcome(sock.setsockopt, IP, *step) for step in steps]
    assert told(ours) == told(kernel)


def heard(net, sock, port, sources):
    """Which of the sources (addresses in 127/8) the socket hears."""
    for address in sources:
        with net.socket(net.AF_INET, net.SOCK_DGRAM) as sender:
            sender.setsockopt(IP, net.IP_MULTICAST_IF, LOOPBACK)
            sender.bind((address, 0))
            sender.sendto(address.encode(), ("239.1.2.3", port))
    sock.settimeout(0.05)
    found = []
    try:
        while True:
            found.append(sock.recv(100).decode())
    except TimeoutError:
        return found


@pytest.mark.parametrize("steps, expected", [
    ([JOIN], ["127.0.0.1", "127.0.0.2"]),
    ([JOIN, (BLOCK, GROUP + LOOPBACK + b"\x7f\0\0\2")], ["127.0.0.1"]),
    ([(ADD, GROUP + LOOPBACK + b"\x7f\0\0\2")], ["127.0.0.2"]),
    ([(ADD, GROUP + LOOPBACK + b"\x7f\0\0\2"), (ADD, GROUP + LOOPBACK + b"\x7f\0\0\1")], ["127.0.0.1", "127.0.0.2"]),
    ([(ADD, GROUP + LOOPBACK + b"\x7f\0\0\3")], [])])
def test_only_the_sources_that_are_wanted_are_heard(net, keep, steps, expected):
    sock = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    sock.bind(("239.1.2.3", 0))
    for step in steps:
        sock.setsockopt(IP, *step)
    assert heard(net, sock, sock.getsockname()[1], ["127.0.0.1", "127.0.0.2"]) == expected


def test_each_member_has_a_filter_of_its_own(net, keep):
    one, two = (keep(net.socket(net.AF_INET, net.SOCK_DGRAM)) for _ in range(2))
    for sock in (one, two):
        sock.setsockopt(SOL, net.SO_REUSEADDR, 1)
    one.bind(("239.1.2.3", 0))
    two.bind(one.getsockname())
    one.setsockopt(IP, ADD, GROUP + LOOPBACK + b"\x7f\0\0\1")
    two.setsockopt(IP, ADD, GROUP + LOOPBACK + b"\x7f\0\0\2")
    port = one.getsockname()[1]
    assert heard(net, one, port, ["127.0.0.1", "127.0.0.2"]) == ["127.0.0.1"]
    assert heard(net, two, port, []) == ["127.0.0.2"]


# -- what the options do ----------------------------------------------------------------------------------


@pytest.mark.parametrize("option, unit", [(29, 10 ** 6), (35, 10 ** 9)])
def test_a_stream_tells_when_its_data_came(net, pair, option, unit):
    client, server = pair
    server.setsockopt(SOL, option, 1)
    server.settimeout(20)
    told = []
    while not told:                                    # the kernel begins to take times a while after it was asked
        client.sendall(b"data")
        data, told, _, _ = server.recvmsg(4, 100)
    (level, kind, value), = told
    seconds, rest = struct.unpack("@ll", value)
    assert (data, level, kind) == (b"data", SOL, option) and seconds > 10 ** 9 and 0 <= rest < unit
    client.close()
    assert server.recvmsg(100, 100)[:2] == (b"", [])


def test_a_stream_tells_how_much_is_left(net, pair):
    client, server = pair
    server.settimeout(20)
    server.setsockopt(TCP, 36, 1)
    client.sendall(b"0123456789")
    assert server.recv(10, net.MSG_PEEK | net.MSG_WAITALL) == b"0123456789"
    assert server.recvmsg(4, 100)[:2] == (b"0123", [(TCP, 36, struct.pack("=i", 6))])
    client.close()
    assert server.recvmsg(6, 100)[0] == b"456789"
    assert server.recvmsg(6, 100)[:2] == (b"", [(TCP, 36, struct.pack("=i", 1))])


def test_ip_options_are_told_as_they_came(net, keep, udp):
    sender = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    udp.settimeout(20)
    udp.setsockopt(IP, 6, 1)
    sender.sendto(b"none", udp.getsockname())
    sender.setsockopt(IP, net.IP_OPTIONS, b"\x94\4\0\0\1")
    sender.sendto(b"some", udp.getsockname())
    assert udp.recvmsg(10, 100)[:2] == (b"none", [])
    assert udp.recvmsg(10, 100)[:2] == (b"some", [(IP, 6, b"\x94\4\0\0\1\0\0\0")])


def test_the_options_of_an_answer_have_our_address_in_the_route(net, keep, udp):
    sender = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    udp.settimeout(20)
    udp.setsockopt(IP, 7, 1)
    sender.setsockopt(IP, net.IP_OPTIONS, b"\7\x0b\4" + bytes(9))
    sender.sendto(b"x", udp.getsockname())
    (level, kind, value), = udp.recvmsg(10, 100)[1]
    assert (level, kind, value[:2]) == (IP, 7, b"\7\x0b") and LOOPBACK in value


def test_segments_from_too_far_are_dropped(net, keep, listener):
    listener.setsockopt(IP, 21, 64)
    near = keep(net.create_connection(listener.getsockname(), 20))
    accepted = keep(listener.accept()[0])
    near.sendall(b"near")
    assert accepted.recv(10) == b"near"
    far = keep(net.socket())
    far.setsockopt(IP, net.IP_TTL, 63)
    far.settimeout(0.1)
    with pytest.raises(TimeoutError):
        far.connect(listener.getsockname())


def test_a_foreign_address_can_be_bound_if_one_insists(net, keep):
    for kind in (net.SOCK_STREAM, net.SOCK_DGRAM):
        sock = keep(net.socket(net.AF_INET, kind))
        assert outcome(sock.bind, ("192.0.2.77", 0)) == "EADDRNOTAVAIL"
        sock.setsockopt(IP, 15, 1)
        sock.bind(("192.0.2.77", 0))
        assert sock.getsockname()[0] == "192.0.2.77" and sock.getsockname()[1]


def test_a_bind_without_a_port_leaves_it_to_connect(net, keep, listener, udp):
    for kind, remote in ((net.SOCK_STREAM, listener), (net.SOCK_DGRAM, udp)):
        sock = keep(net.socket(net.AF_INET, kind))
        sock.setsockopt(IP, 24, 1)
        sock.bind(("127.0.0.5", 0))
        assert sock.getsockname() == ("127.0.0.5", 0)
        sock.connect(remote.getsockname())
        assert sock.getsockname()[0] == "127.0.0.5" and sock.getsockname()[1]


def test_a_bind_without_a_port_leaves_it_to_listen(net, keep):
    sock = keep(net.socket())
    sock.setsockopt(IP, 24, 1)
    sock.bind(("127.0.0.5", 0))
    sock.listen()
    assert sock.getsockname()[0] == "127.0.0.5" and sock.getsockname()[1]


def test_a_socket_bound_to_a_device_works_there(net, keep):
    listener = keep(net.socket())
    listener.setsockopt(SOL, net.SO_BINDTODEVICE, b"lo")
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    client = keep(net.socket())
    client.setsockopt(SOL, net.SO_BINDTODEVICE, b"lo\0")
    client.connect(listener.getsockname())
    keep(listener.accept()[0])


# -- datagrams in pieces ----------------------------------------------------------------------------------


def pieces(net, steps):
    """[what each step said] and [what arrived where]. A step: (data, flags, to the second socket?), or a value of
    UDP_CORK."""
    with (net.socket(net.AF_INET, net.SOCK_DGRAM) as sender, net.socket(net.AF_INET, net.SOCK_DGRAM) as one,
          net.socket(net.AF_INET, net.SOCK_DGRAM) as two):
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(0.05)
        said = []
        for step in steps:
            if isinstance(step, int):
                said.append(outcome(sender.setsockopt, UDP, UDP_CORK, step))
            else:
                data, flags, second = step
                said.append(outcome(sender.sendto, data, flags, (two if second else one).getsockname()))
        arrived = []
        for sock in (one, two):
            try:
                while True:
                    arrived.append((sock is one, sock.recv(65535)))
            except TimeoutError:
                pass
        return said, arrived


MORE = 0x8000


@pytest.mark.parametrize("steps", [
    [(b"one ", MORE, False), (b"datagram", 0, False), (b"another", 0, False)],
    [(b"first decides ", MORE, False), (b"where to", 0, True)],
    [1, (b"held ", 0, False), (b"back ", MORE, False), (b"until", 0, True), 0, (b"next", 0, False)],
    [(b"begun ", MORE, False), 1, (b"held", 0, False), 0],
    [(b"", MORE, False), (b"", 0, False)], [1, 0, (b"x", 0, False)],
    [(bytes(40000), MORE, False), (bytes(40000), 0, False), (b"gone", 0, False)],
    [1, (b"never sent", 0, False)]], ids=range(8))
def test_datagrams_are_put_together_from_pieces(ours, steps):
    assert pieces(ours, steps) == pieces(kernel, steps)


def test_a_piece_without_a_destination(net, keep):
    sock = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    assert outcome(sock.send, b"x", MORE) == "EDESTADDRREQ"


def test_types_of_icmp_that_are_not_wanted(ours, keep):
    sock = keep(ours.socket(ours.AF_INET, ours.SOCK_RAW, ours.IPPROTO_ICMP))
    sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << 0) & 0xFFFFFFFF))       # echo replies only
    sock.settimeout(20)
    sock.sendto(b"\x08\0\xf7\xff\0\0\0\0", ("127.0.0.1", 0))
    assert sock.recv(100)[20] == 0
