"""Random and mutated frames: nothing but counted drops, nothing unbounded, service goes on."""

import random

import pytest
from network_host import BROADCAST_MAC, MAC, OWN, PEER, PEER_MAC, Host
from test_icmp import complaint, message
from test_udp import bound, datagram, received

from tipy.ipv4.reassembly import MAX_BYTES, MAX_DATAGRAMS
from tipy.wire.arp import ArpPacket
from tipy.wire.ipv4 import IPv4Header


def seeds():
    """Valid frames of every kind these layers know."""
    def packet(protocol, payload, **fields):
        options = fields.get("options", b"")
        length = 20 + len(options) + -len(options) % 4 + len(payload)
        head = IPv4Header(total_length=length, protocol=protocol, src=PEER, dst=OWN, **fields).pack()
        return b"\x08\0" + head + payload
    options = b"\x07\x0b\x04" + bytes(8) + b"\x44\x0c\x05\x01" + bytes(8) + b"\x94\x04\0\0\x01"
    bodies = [
        b"\x08\x06" + ArpPacket(1, PEER_MAC, PEER, bytes(6), OWN).pack(),
        b"\x08\x06" + ArpPacket(2, PEER_MAC, PEER, MAC, OWN).pack() + bytes(18),
        packet(1, message(8, data=b"ping")), packet(1, message(8, data=b"ping"), options=options),
        packet(1, complaint(3, 3, protocol=17)), packet(1, complaint(3, 4, 576)), packet(1, complaint(11, 1)),
        packet(17, datagram(b"data", 1, 7)), packet(17, datagram(b"data", 1, 8)), packet(99, b"other"),
        packet(17, bytes(64), id=1, mf=True), packet(17, bytes(64), id=1, offset=64),
        packet(17, bytes(64), id=2, offset=65472, mf=True),
    ]
    return [dst + PEER_MAC + body for body in bodies for dst in (MAC, BROADCAST_MAC)]


def mutated(rng, frame):
    """Some bytes changed, a cut, an extension; half of the time the IP checksum made right again."""
    frame = bytearray(frame)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        values = [0, 1, 2, 7, 0x44, 0x45, 0x4F, 0x7F, 0x80, 0x83, 0xFF, rng.randrange(256)]
        frame[rng.randrange(6, len(frame))] = rng.choice(values)
    choice = rng.random()
    if choice < 0.2:
        del frame[rng.randrange(len(frame)):]
    elif choice < 0.3:
        frame += rng.randbytes(rng.randrange(1, 1600))
    if len(frame) >= 34 and rng.random() < 0.7:
        end = 14 + max(20, (frame[14] & 15) << 2)
        if end <= len(frame):
            frame[24:26] = b"\0\0"
            frame[24:26] = (-int.from_bytes(frame[14:end], "big") % 0xFFFF).to_bytes(2, "big")
    return bytes(frame)


@pytest.mark.parametrize("seed", range(8))
def test_no_frame_raises_and_service_goes_on(seed):
    rng = random.Random(seed)
    host = Host()
    host.know()
    server = bound(host, rcvbuf=20_000)
    raw = host.raw.endpoint(1)
    frames = seeds()
    for number in range(3000):
        host.link.deliver(mutated(rng, rng.choice(frames)))
        if number % 100 == 0:
            host.clock.advance(rng.uniform(0, 3))
    assert host.failures == []
    assert len(host.arp.entries()) <= host.settings.arp_cache_size
    assert len(host.ipv4._reassembly) <= MAX_DATAGRAMS and host.ipv4._reassembly._cost <= MAX_BYTES
    host.clock.advance(100)
    received(server), received(raw), host.take()
    host.hear_ip(17, datagram(b"alive", 1, 7))
    host.hear_ip(1, message(8, data=b"alive"))
    assert received(server) == [b"alive"]
    assert [payload[8:] for _, payload in host.take_ip()] == [b"alive"]


def test_everything_that_leaves_is_well_formed():
    rng = random.Random(99)
    host = Host()
    host.know()
    frames = seeds()
    for number in range(5000):
        host.link.deliver(mutated(rng, rng.choice(frames)))
        host.clock.advance(0.05)
    left = host.take()
    assert len(left) > 200
    for frame in left:
        assert len(frame) <= 1514 and frame[6:12] == MAC and not frame[6] & 1
        if frame[12:14] == b"\x08\0":
            head = IPv4Header.unpack(frame, 14, len(frame))
            assert 14 + head.total_length == len(frame)
            assert int.from_bytes(frame[14:14 + head.header_length], "big") % 0xFFFF == 0
            body = frame[14 + head.header_length:]
            assert head.src == OWN and (head.protocol != 1 or head.is_fragment
                                        or int.from_bytes(body + bytes(len(body) & 1), "big") % 0xFFFF == 0)
        else:
            assert frame[12:14] == b"\x08\x06" and len(frame) == 42
