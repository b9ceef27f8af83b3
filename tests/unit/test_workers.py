"""Siblings on one address: what is copied to all, how a stray packet travels, who may answer it. In memory."""

import errno

import pytest

from tipy.address import BROADCAST_MAC, parse_ip, parse_mac
from tipy.link import Wire
from tipy.settings import Settings
from tipy.stack import Stack
from tipy.wire.arp import REPLY, REQUEST, ArpPacket
from tipy.wire.ethernet import TYPE_ARP, EthernetHeader
from tipy.workers import Workers
from tipy.workers.siblings import Ring, SharedLink, Siblings, concerns_everybody

OURS, THEIRS = parse_ip("10.0.0.2"), parse_ip("10.0.0.1")
MAC, OTHER_MAC = parse_mac("02:00:00:00:00:02"), parse_mac("02:00:00:00:00:01")

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")


# -- what is copied -------------------------------------------------------------------------------


def arp(operation, sender, target):
    packet = ArpPacket(operation, OTHER_MAC, sender, MAC, target)
    return EthernetHeader(BROADCAST_MAC, OTHER_MAC, TYPE_ARP).pack() + packet.pack()


def ipv4(dst=MAC, protocol=1, fragment=b"\0\0", first=0, options=0):
    header = bytes([0x45 + options // 4]) + bytes(5) + fragment + b"\x40" + bytes([protocol]) + bytes(10 + options)
    return dst + OTHER_MAC + b"\x08\x00" + header + bytes([first]) + bytes(7)


@pytest.mark.parametrize("frame, wanted", [
    (arp(REPLY, THEIRS, OURS), True),
    (arp(REQUEST, THEIRS, OURS), False),                          # one answers
    (arp(REQUEST, THEIRS, THEIRS), True),                         # an announcement
    (arp(REQUEST, OURS, OURS), True),                             # somebody claims our address
    (arp(REPLY, THEIRS, OURS)[:30], False),
    (ipv4(first=8), False), (ipv4(first=0), True), (ipv4(first=3), True),
    (ipv4(first=3, options=8), True), (ipv4(first=8, options=8), False),
    (ipv4(first=3, fragment=b"\x20\0"), False), (ipv4(first=3, fragment=b"\0\x10"), False),
    (ipv4(first=3, fragment=b"\x40\0"), True),                    # DF is no fragment
    (ipv4(protocol=6, first=3), False), (ipv4(protocol=17, first=3), False),
    (ipv4(BROADCAST_MAC, protocol=17), True), (ipv4()[:34], False),
    (MAC + OTHER_MAC + b"\x86\xdd" + bytes(60), False), (b"", False),
])
def test_what_concerns_everybody(frame, wanted):
    assert concerns_everybody(memoryview(frame), OURS) == wanted


# -- the ring -------------------------------------------------------------------------------------


class Deaf(SharedLink):
    """A queue into which nothing is steered."""

    def arrived(self, batch):
        return []


class Member:
    """One process's part, in this process: a stack on a port of its own, and a hand on the ring."""

    def __init__(self, number, ring, wire):
        self.ring = ring
        siblings = Siblings(ring)
        settings = Settings(address="10.0.0.2/24", mac="02:00:00:00:00:02", gateway=None, acd=False,
                            ephemeral_ports=(40000 + number * 100, 40099 + number * 100))
        link = (Deaf if number else SharedLink)(wire.port(), siblings)
        self.stack = Stack(link=link, settings=settings)
        siblings.adopt(self.stack)
        self.stack.start()
        siblings.watch()

    def counted(self, name):
        return self.stack.counters["workers." + name]


class OneRing(Ring):
    """Rings share their sockets here; each member sees its own number."""

    def __init__(self, ring, number):
        self._pairs, self.count, self.number = ring._pairs, ring.count, number


@pytest.fixture
def team():
    """A client on one wire, and three members of which only the first hears it: every flow of the others strays."""
    wire, ring = Wire(), Ring(3)
    members = [Member(number, OneRing(ring, number), wire) for number in range(3)]
    client = Stack(link=wire.port(), settings=Settings(address="10.0.0.1/24", acd=False, gateway=None))
    client.start()
    yield client, members
    for stack in (client, *(member.stack for member in members)):
        stack.stop()
    ring.close()


def test_listener_of_the_last_sibling_is_found_and_serves(team):
    client, members = team
    with members[2].stack.socket.create_server(("10.0.0.2", 80)) as server:
        with client.socket.create_connection(("10.0.0.2", 80), timeout=20) as near:
            far, _ = server.accept()
            with far:
                near.sendall(b"over the ring")
                assert far.recv(100) == b"over the ring"
                far.sendall(b"and back")
                assert near.recv(100) == b"and back"
    assert members[0].counted("handed_on") and members[1].counted("handed_on")
    assert not members[2].counted("handed_on") and not any(member.counted("judged") for member in members)
    assert not any(member.stack.counters["tcp.resets_out"] for member in members)


def test_nobodys_segment_is_refused_once_where_the_ring_began(team):
    client, members = team
    with pytest.raises(ConnectionRefusedError):
        client.socket.create_connection(("10.0.0.2", 81), timeout=20)
    assert [member.counted("judged") for member in members] == [1, 0, 0]
    assert [member.stack.counters["tcp.resets_out"] for member in members] == [1, 0, 0]


def test_listener_here_does_not_reset_a_siblings_connection(team):
    client, members = team
    with members[1].stack.socket.create_server(("10.0.0.2", 80)) as server:
        with client.socket.create_connection(("10.0.0.2", 80), timeout=20) as near:
            far, _ = server.accept()
            with far, members[0].stack.socket.create_server(("10.0.0.2", 80)):
                near.sendall(b"still there")
                assert far.recv(100) == b"still there"


def test_datagram_even_a_reassembled_one_finds_its_socket(team):
    client, members = team
    module = members[1].stack.socket
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as far:
        far.bind(("10.0.0.2", 90))
        far.settimeout(20)
        with client.socket.socket(module.AF_INET, module.SOCK_DGRAM) as near:
            near.connect(("10.0.0.2", 90))
            near.settimeout(20)
            near.send(bytes(5000))
            data, where = far.recvfrom(10_000)
            assert data == bytes(5000)
            far.sendto(b"back", where)
            assert near.recv(100) == b"back"
    assert members[0].stack.counters["icmp.errors_out"] == 0


def test_nobodys_datagram_is_unreachable(team):
    client, members = team
    with client.socket.socket(client.socket.AF_INET, client.socket.SOCK_DGRAM) as near:
        near.connect(("10.0.0.2", 91))
        near.settimeout(20)
        near.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            near.recv(100)
    assert [member.stack.counters["icmp.errors_out"] for member in members] == [1, 0, 0]


def test_every_sibling_learns_from_a_reply_of_arp_and_asks_for_itself(team):
    client, members = team
    for member in members:
        module = member.stack.socket
        with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
            sock.sendto(b"x", ("10.0.0.1", 7))
    with client.socket.create_server(("10.0.0.1", 82)) as server:
        for member in members[1:]:                         # their replies came to the first one
            with member.stack.socket.create_connection(("10.0.0.1", 82), timeout=20):
                server.accept()[0].close()
    assert members[0].counted("copied")


def test_ring_passes_over_who_is_gone(team):
    client, members = team
    members[1].stack.stop()
    members[1].ring._pairs[1][0].close()
    with members[2].stack.socket.create_server(("10.0.0.2", 80)) as server:
        with client.socket.create_connection(("10.0.0.2", 80), timeout=20):
            server.accept()[0].close()
    with pytest.raises(ConnectionRefusedError):
        client.socket.create_connection(("10.0.0.2", 81), timeout=20)


def test_the_last_one_left_answers_itself(team):
    client, members = team
    for number in (1, 2):
        members[number].stack.stop()
        members[number].ring._pairs[number][0].close()
    with pytest.raises(ConnectionRefusedError):
        client.socket.create_connection(("10.0.0.2", 81), timeout=20)
    assert members[0].counted("handed_on") == 0


def test_nonsense_in_the_ring_costs_that_message_only(team):
    client, members = team
    members[1].ring.send(0, [b"x"])
    test_nobodys_segment_is_refused_once_where_the_ring_began(team)
    assert members[0].stack.counters["stack.exceptions"] == 1
    members[0].stack.errors.clear()


def test_loopback_stays_at_home(team):
    _, members = team
    with pytest.raises(ConnectionRefusedError):
        members[0].stack.socket.create_connection(("127.0.0.1", 83), timeout=20)
    assert members[0].counted("handed_on") == 0


# -- the processes --------------------------------------------------------------------------------


def test_no_workers_at_all_is_a_value_error():
    with pytest.raises(ValueError, match="at least one"):
        Workers(0, print)


def test_wrong_setting_is_found_before_anything_is_forked():
    with pytest.raises(TypeError, match="did you mean"):
        Workers(2, print, adress="10.0.0.2/24")


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")      # other tests' threads
def test_failure_of_a_worker_to_start_is_raised_here_and_leaves_no_process():
    workers = Workers(2, print, use_user_files=False, ifname="tipy-no-such", gateway=None)
    with pytest.raises(OSError) as failure:
        workers.start()
    assert failure.value.errno in (errno.ENODEV, errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOSYS)
    assert workers.wait() in ([1], [130])              # 130: the interrupt was faster
