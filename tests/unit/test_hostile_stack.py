"""What a stack owes on hostile input: no frame kills it, every table has an end, nothing malformed leaves it.

The single attacks have their tests beside the layers; here the whole stack is under fire, all it sends is
looked at, and service must go on.
"""

import random

import pytest

from frame_inspector import wrong
from tipy.address import parse_ip, parse_mac
from tipy.checksum import checksum, pseudo_header
from tipy.testing.bed import LOCAL, LOCAL_MAC, LOCAL_PORT, REMOTE, REMOTE_MAC, Bed
from tipy.testing.peer import Peer
from tipy.testing.segments import build
from tipy.wire.arp import REQUEST, ArpPacket
from tipy.wire.ethernet import TYPE_ARP, EthernetHeader
from tipy.wire.ipv4 import PROTOCOL_TCP, PROTOCOL_UDP, IPv4Header
from tipy.wire.tcp import ACK, RST, SYN, TcpHeader, TcpOptions, pack_options

GATEWAY = "192.168.2.1"
US = parse_ip(LOCAL)


class Range:
    """A stack under fire. Whatever it sends is inspected; what is wrong with it is in `malformed`."""

    def __init__(self, **settings):
        self.bed = Bed(gateway=GATEWAY, **settings)
        self.stack, self.link, self.clock = self.bed.stack, self.bed.link, self.bed.clock
        self.stack.arp.add(GATEWAY, "02:00:00:00:00:01")
        self.sent, self.malformed = [], []
        transmit = self.link.transmit

        def inspected(frame):
            self.sent.append(frame)
            error = wrong(frame, parse_mac(LOCAL_MAC), US)
            if error:
                self.malformed.append(error)
            transmit(frame)

        self.link.transmit = inspected

    def segment(self, flags, seq=0, ack=0, src=REMOTE, port=50000, to=LOCAL_PORT, options=b"", payload=b"",
                window=65535):
        """Deliver a TCP segment with whatever numbers."""
        header = TcpHeader(port, to, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, flags=flags, window=window)
        self.bed.deliver(build(_ip(src), US, header, options, payload))

    def udp(self, payload, port=9, src=REMOTE, src_port=1000):
        """Deliver a UDP datagram."""
        head = b"".join(number.to_bytes(2, "big") for number in (src_port, port, 8 + len(payload)))
        value = checksum(head + payload, pseudo_header(_ip(src), US, PROTOCOL_UDP, 8 + len(payload)))
        self.packet(PROTOCOL_UDP, head + value.to_bytes(2, "big") + payload, src)

    def packet(self, protocol, payload, src=REMOTE, **fields):
        """Deliver an IPv4 packet."""
        header = IPv4Header(total_length=20 + len(payload), protocol=protocol, src=_ip(src), dst=US, **fields)
        self.bed.deliver(header.pack() + payload)

    def serves(self, port=50999):
        """A new client connects, sends, gets an answer."""
        peer = Peer(self.bed, port=port, local_port=7777, iss=random.Random(port).getrandbits(32))
        listener = self.bed.listener(7777)
        sock = _accept(peer, listener)
        peer.send_data(5)
        data = sock.recv(100)
        sock.send(data)
        listener.close()
        sock.close()
        return len(data) == 5

    def stop(self):
        """Stop, and say what went wrong."""
        self.bed.stop()
        if self.malformed:
            raise AssertionError(f"malformed frames were sent: {self.malformed[:5]}")


def _accept(peer, listener):
    peer.send("S", mss=1460)
    (answer,) = [segment for segment in peer.segments if segment.flags == "S."] or [None]
    peer.segments.clear()
    peer.stack_iss, peer.got = answer.wire.seq, 1
    peer.send(".")
    sock, _ = listener.accept()
    sock.setblocking(False)
    return sock


def _ip(address):
    return parse_ip(address) if isinstance(address, str) else address


@pytest.fixture
def fire():
    """fire(**settings) -> Range; stopped and judged at the end."""
    ranges = []

    def make(**settings):
        ranges.append(Range(**settings))
        return ranges[-1]

    yield make
    for each in ranges:
        each.stop()


def strangers(count, seed=1):
    """Addresses from all over the world."""
    rng = random.Random(seed)
    return [bytes((rng.randrange(1, 100), *rng.randbytes(3))) for _ in range(count)]


# -- no frame kills, nothing malformed leaves -----------------------------------------------------


def mutated(rng, packet):
    """A packet with something changed in it, its checksums mostly made right again."""
    packet = bytearray(packet)
    for _ in range(rng.choice((0, 1, 1, 2, 4, 10))):
        value = rng.choice((0, 1, 2, 4, 5, 8, 20, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        packet[rng.randrange(len(packet))] = value
    if rng.random() < 0.2:
        del packet[rng.randrange(1, len(packet)):]
    if rng.random() < 0.1:
        packet += rng.randbytes(rng.randrange(1, 100))
    if len(packet) >= 40 and rng.random() < 0.9:
        _repair(packet)
    return bytes(packet)


def _repair(packet):
    packet[0] = 0x45
    packet[2:4] = len(packet).to_bytes(2, "big")
    packet[6:8] = bytes(2)
    packet[12:16], packet[16:20] = parse_ip(REMOTE), US
    packet[10:12] = bytes(2)
    packet[10:12] = checksum(packet[:20]).to_bytes(2, "big")
    if packet[9] == PROTOCOL_TCP:
        packet[36:38] = bytes(2)
        value = checksum(packet[20:], pseudo_header(packet[12:16], US, PROTOCOL_TCP, len(packet) - 20))
        packet[36:38] = value.to_bytes(2, "big")


def some_segment(rng, peers):
    """A segment that nearly fits one of the connections, or one to the listener."""
    peer = rng.choice(peers)
    off = (0, 0, 0, 0, -1, 1, -1000, 1000, 70_000, 1 << 31, rng.getrandbits(32))
    seq = peer.iss + peer.next + rng.choice(off) & 0xFFFFFFFF
    ack = peer.stack_iss + peer.got + rng.choice(off) & 0xFFFFFFFF
    options = rng.choice((b"", b"", pack_options(TcpOptions(1460, 7, True, (1, 2)), True),
                          pack_options(TcpOptions(timestamp=(5, 6), sack=((ack, ack ^ 7), (9, 3))), False),
                          rng.randbytes(rng.randrange(0, 40)), b"\x05", b"\x05\x00", b"\x02\x01", b"\x08\x0a",
                          b"\x01" * 39 + b"\x05"))
    options += bytes(-len(options) % 4)
    flags = rng.choice((ACK, ACK, ACK, SYN, RST, 1, ACK | 1, ACK | SYN, ACK | RST, ACK | 32,
                        rng.randrange(256)))
    header = TcpHeader(rng.choice((peer.port, peer.port, rng.randrange(65536))),
                       rng.choice((peer.local_port, LOCAL_PORT, 9)), seq, ack,
                       flags=flags, urgent=rng.choice((0, 0, 1, 65535)),
                       window=rng.choice((0, 1, 500, 65535)))
    return build(peer.address, US, header, options, rng.randbytes(rng.choice((0, 0, 1, 100, 1400))))


@pytest.mark.parametrize("seed", range(6))
def test_storm_of_broken_segments_kills_nothing(fire, seed):
    """Connections in several states, and segments that nearly fit them."""
    rng = random.Random(seed)
    place = fire(challenge_ack_interval=0.0)
    listener, peers, socks = place.bed.listener(), [], []
    for number in range(6):
        peer = Peer(place.bed, port=50000 + number, iss=rng.getrandbits(32))
        socks.append(_accept(peer, listener))
        peers.append(peer)
    socks[1].send(bytes(5000))
    socks[2].shutdown(1)
    peers[3].send("F.")
    socks[4].close()
    Peer(place.bed, port=50100, iss=7).send("S")
    for turn in range(2000):
        packet = some_segment(rng, peers)
        place.bed.deliver(mutated(rng, packet) if rng.random() < 0.5 else packet)
        if turn % 50 == 0:
            place.clock.advance(rng.choice((0.0, 0.01, 0.3, 5.0)))
            for sock in socks:
                _poke(sock, rng)
    assert place.stack.errors == []
    assert place.serves()


def _poke(sock, rng):
    try:
        sock.recv(10_000)
        sock.send(bytes(rng.randrange(1, 3000)))
    except OSError:
        pass


@pytest.mark.parametrize("seed", range(3))
def test_storm_of_noise_kills_nothing(fire, seed):
    """Random bytes behind every header there is."""
    rng, place = random.Random(seed), fire()
    place.bed.listener()
    macs = [parse_mac(LOCAL_MAC), b"\xff" * 6, b"\x01\0\x5e\0\0\1", rng.randbytes(6)]
    for turn in range(4000):
        kind = rng.randrange(5)
        if kind == 0:
            place.link.deliver(rng.randbytes(rng.randrange(0, 80)))
        elif kind == 1:
            ethertype = rng.choice((0x0800, 0x0806, 0x86DD, 5)).to_bytes(2, "big")
            head = rng.choice(macs) + parse_mac(REMOTE_MAC) + ethertype
            place.link.deliver(head + rng.randbytes(rng.randrange(0, 1700)))
        elif kind == 2:
            place.packet(rng.choice((1, 2, 6, 17, 47, 255)), rng.randbytes(rng.randrange(0, 200)),
                         src=rng.choice(strangers(5)), id=rng.randrange(4), mf=rng.random() < 0.5,
                         offset=rng.randrange(0, 8000) * 8)
        elif kind == 3:
            place.bed.deliver_icmp(rng.randrange(20), rng.randrange(18), rng.getrandbits(32),
                                   rng.randbytes(rng.randrange(0, 60)))
        else:
            syn = build(parse_ip(REMOTE), US, TcpHeader(1, LOCAL_PORT, flags=SYN), b"", b"")
            place.bed.deliver(mutated(rng, syn))
        if turn % 100 == 0:
            place.clock.advance(0.5)
    assert place.stack.errors == [] and place.serves()


@pytest.mark.parametrize("source", [LOCAL, "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1",
                                    "255.255.255.255", "192.168.2.255", "192.168.2.0"])
def test_sources_that_cannot_be_get_no_answer(fire, source):
    """Land, and the rest of its family."""
    place = fire()
    place.bed.listener()
    before = len(place.sent)
    for flags, port in ((SYN, LOCAL_PORT), (SYN, 9), (ACK, LOCAL_PORT), (ACK, 9)):
        place.segment(flags, 5, 5, src=source, to=port, port=LOCAL_PORT)
    place.udp(b"x", src=source)
    place.clock.advance(3)
    assert len(place.sent) == before and not place.stack.tcp.connections


@pytest.mark.parametrize("mac", ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"])
def test_nothing_is_said_about_what_came_to_a_group(fire, mac):
    place = fire()
    place.bed.listener()
    before = len(place.sent)
    for flags, port in ((SYN, LOCAL_PORT), (SYN, 9), (ACK, LOCAL_PORT)):
        packet = build(parse_ip(REMOTE), US, TcpHeader(50000, port, 5, 5, flags=flags, window=9), b"", b"")
        place.link.deliver(parse_mac(mac) + parse_mac(REMOTE_MAC) + b"\x08\0" + packet)
    place.clock.advance(3)
    assert len(place.sent) == before and not place.stack.tcp.connections


# -- every table has an end -----------------------------------------------------------------------


def test_arp_cache_is_bounded(fire):
    place = fire()
    for number in range(2, 65000, 13):                 # whoever asks us is remembered
        sender = parse_ip("192.168.2.0")[:2] + number.to_bytes(2, "big")
        request = ArpPacket(REQUEST, b"\x02\0\0\1" + number.to_bytes(2, "big"), sender, bytes(6), US)
        header = EthernetHeader(b"\xff" * 6, request.sender_mac, TYPE_ARP)
        place.link.deliver(header.pack() + request.pack())
    assert len(place.stack.arp._entries) <= 512 and place.serves()


def test_packets_for_those_who_never_answer_are_bounded(fire):
    place = fire()
    sock = place.bed.socket.socket(place.bed.socket.AF_INET, place.bed.socket.SOCK_DGRAM)
    for turn in range(20):
        for host in range(2, 190):
            try:
                sock.sendto(bytes(500), (f"192.168.2.{host}", 9))
            except OSError:
                pass                                   # EHOSTUNREACH of an earlier one
    assert all(len(entry.held) <= 3 for entry in place.stack.arp._entries.values() if entry.held)
    place.clock.advance(10)
    assert not any(entry.held for entry in place.stack.arp._entries.values()) and place.serves()


def test_fragments_are_bounded_in_number_and_bytes(fire):
    place = fire()
    reassembly = _find(place.stack.ipv4, "Reassembly")
    for number, source in enumerate(strangers(3000)):
        for offset in (8, 1480, 40_000):
            place.packet(PROTOCOL_UDP, bytes(1400), src=source, id=number & 0xFFFF, mf=True, offset=offset)
        assert len(reassembly) <= 64
    place.clock.advance(60)
    assert len(reassembly) == 0 and place.serves()


def _find(owner, name):
    """The attribute of `owner` that is of class `name`, one level down at most."""
    for value in vars(owner).values():
        if type(value).__name__ == name:
            return value
        for inner in vars(value).values() if hasattr(value, "__dict__") else ():
            if type(inner).__name__ == name:
                return inner
    raise AssertionError(f"no {name} in {owner}")


@pytest.mark.parametrize("syncookies", [True, False])
def test_syn_flood_leaves_room_for_those_who_are_there(fire, syncookies):
    place = fire(syncookies=syncookies)
    listener = place.bed.listener(backlog=16)
    peer = Peer(place.bed, iss=99)
    sock = _accept(peer, listener)
    for number, source in enumerate(strangers(3000)):
        place.segment(SYN, number, src=source, port=1024 + number)
        assert len(place.stack.tcp.connections) <= 1 + 17
    assert len(place.stack.timers) < 60
    peer.send_data(4)
    assert len(sock.recv(10)) == 4
    if syncookies:                                     # a new client gets in, by its cookie
        assert _accept(Peer(place.bed, port=51000, iss=5), listener)
    place.clock.advance(100)
    assert len(place.stack.tcp.connections) <= 2 and place.serves()


def test_accept_queue_is_bounded(fire):
    place = fire()
    listener = place.bed.listener(backlog=2)
    for number in range(100):
        peer = Peer(place.bed, port=50000 + number, iss=number)
        peer.send("S")
        answers = [segment for segment in peer.segments if segment.flags == "S."]
        if answers:
            peer.stack_iss, peer.got = answers[0].wire.seq, 1
            peer.send(".")
    ready = 0
    try:
        while True:
            listener.accept()
            ready += 1
    except BlockingIOError:
        pass
    assert 2 <= ready <= 3 and len(place.stack.tcp.connections) <= 10
    listener.close()
    assert place.serves()


def test_holes_in_the_stream_are_bounded(fire):
    """SegmentSmack: every second byte, first upwards, then downwards."""
    place = fire()
    peer = Peer(place.bed, iss=99)
    sock = _accept(peer, place.bed.listener())
    (tcb,) = place.stack.tcp.connections.values()
    for at in (*range(3, 20_001, 2), *range(40_001, 20_000, -2)):
        peer.send(".", seq=at, payload=b"x")
        assert len(tcb.early.ranges) <= 256
    assert sum(len(views) for _, _, views in tcb.early.ranges) <= 256
    peer.segments.clear()
    for at in range(1, 40_002, 1000):
        peer.send(".", seq=at, payload=b"y" * 1000)
    assert len(sock.recv(100_000)) == 41_000 and not tcb.early.ranges
    assert place.serves()


def test_scoreboard_is_bounded_whatever_is_sacked(fire):
    """Absurd SACK blocks against a full window of small segments."""
    rng, place = random.Random(1), fire(congestion_control="none")
    peer = Peer(place.bed, iss=99)
    listener = place.bed.listener()
    peer.send("S", mss=100, ws=7, sack_ok=True)
    (answer,) = peer.segments
    peer.stack_iss, peer.got = answer.wire.seq, 1
    peer.send(".", win=60_000)
    sock, _ = listener.accept()
    sock.setsockopt(place.bed.socket.SOL_SOCKET, place.bed.socket.SO_SNDBUF, 1 << 20)
    sock.send(bytes(300_000))
    (tcb,) = place.stack.tcp.connections.values()
    segments = len(tcb.records)
    for _ in range(1000):
        base = tcb.snd_una - tcb.iss
        blocks = []
        for _ in range(rng.randrange(1, 4)):
            left = base + rng.randrange(-1000, 300_000)
            blocks.append((left, left + rng.choice((-5, 0, 1, 7, 50, 100, 1000, 400_000))))
        peer.send(".", ack=base, sack=blocks)
        assert len(tcb.records) <= 2 * segments + 6100 and tcb.packets_out >= 0
    peer.segments.clear()
    place.clock.advance(30)
    peer.send(".", ack=tcb.snd_nxt - tcb.iss)
    assert place.stack.errors == [] and place.serves()


def test_time_waits_are_bounded(fire):
    place = fire(max_time_wait=20)
    listener = place.bed.listener()
    for number in range(100):
        peer = Peer(place.bed, port=50000 + number, iss=number)
        _accept(peer, listener).close()
        peer.send("F.", ack=2)
        peer.segments.clear()
        assert len(place.stack.tcp.time_waits) <= 20 and len(place.stack.tcp.connections) <= 21
    place.clock.advance(100)
    assert not place.stack.tcp.connections and place.serves()


def test_unread_datagrams_are_bounded(fire):
    place = fire()
    sock = place.bed.socket.socket(place.bed.socket.AF_INET, place.bed.socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(place.bed.socket.SOL_SOCKET, place.bed.socket.SO_RCVBUF, 20_000)
    sock.bind((LOCAL, 5000))
    for size in (1400, 0):
        for _ in range(5000):
            place.udp(bytes(size), port=5000)
    datagrams = held = 0
    try:
        while True:
            held += len(sock.recv(2000))
            datagrams += 1
    except BlockingIOError:
        pass
    assert held <= 40_000 + 1400 and datagrams <= 400
    assert place.serves()


def test_icmp_errors_are_bounded(fire):
    place = fire()
    for source in strangers(500):
        for _ in range(10):
            place.udp(b"anybody?", port=9, src=source)
    assert place.stack.counters["icmp.out"] <= 60 or len(place.sent) <= 60
    assert len(place.stack.icmp._peers) <= 256 and place.serves()


def test_learnt_path_mtus_are_bounded(fire):
    """Only what the stack has really sent teaches it anything, and no more than the table holds."""
    place = fire()
    sock = place.bed.socket.socket(place.bed.socket.AF_INET, place.bed.socket.SOCK_DGRAM)
    for source in strangers(1500):
        quoted = IPv4Header(total_length=1500, df=True, protocol=PROTOCOL_UDP, src=US, dst=source).pack()
        place.bed.deliver_icmp(3, 4, 600, quoted + sock.getsockname()[1].to_bytes(2, "big") + bytes(6), None)
    assert len(_known(place.stack.ipv4)) <= 512 and place.serves()


def _known(ipv4):
    for value in vars(ipv4).values():
        if hasattr(value, "known"):
            return value.known
    raise AssertionError("the table of path MTUs has moved")
