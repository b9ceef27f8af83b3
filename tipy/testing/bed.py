"""A stack on a wire that the test is: memory link, manual clock, a static neighbour, no address probe.

`Bed` starts the stack and hands what it sends to the peers (peer.py) that stand on the other end. Time stands
still until `advance` is called. Everything that crosses the wire is kept in `trace`, which failing
expectations print.
"""

import errno
import functools

from tipy.address import parse_ip, parse_mac
from tipy.clock import ManualClock
from tipy.link.base import BIG_TCP_PAYLOAD
from tipy.link.memory import MemoryLink
from tipy.link.segment import complete
from tipy.settings import Settings
from tipy.stack import Stack
from tipy.wire import icmp, tcp
from tipy.wire.ethernet import TYPE_IPV4, EthernetHeader
from tipy.wire.ipv4 import PROTOCOL_ICMP, PROTOCOL_TCP, IPv4Header

LOCAL, REMOTE = "192.168.2.200", "192.168.2.199"
LOCAL_MAC, REMOTE_MAC = "02:00:00:00:00:c8", "02:00:00:00:00:c7"
LOCAL_PORT, REMOTE_PORT = 8080, 50000
SEED = 1
ISN_RATE = 250000              # RFC 9293 3.4.1: the ISN clock ticks every 4 microseconds
TRACE_LINES = 40


class CuttingLink(MemoryLink):
    """The open end of a wire behind a card that cuts super-segments and finishes checksums."""

    tx_checksum = True
    tso_max = BIG_TCP_PAYLOAD

    def __init__(self, mtu=1500, transmit=None):
        super().__init__(mtu, transmit)
        self.longest = 0               # bytes of the longest frame handed to the card so far

    def send(self, parts, offload=None):
        self.longest = max(self.longest, sum(map(len, parts)))
        for frame in complete(parts, offload):
            super().send([frame])


class Bed:
    """One running stack and its wire.

    link      what kind: MemoryLink, or CuttingLink
    seed      of the stack
    settings  any of tipy.settings
    iss       the initial sequence number that a connection between LOCAL_PORT and REMOTE_PORT shall have if
              it is opened before time passes; None = whatever it is. The ISN follows a clock (RFC 9293 3.4.1,
              RFC 6528), so this only chooses when the manual clock starts.
    """

    def __init__(self, *, link=MemoryLink, iss=None, seed=SEED, mtu=1500, **settings):
        start = 0.0 if iss is None else (iss - _first_iss(seed) & 0xFFFFFFFF) / ISN_RATE
        self.clock = ManualClock(start)
        self.link = link(mtu, self._sent)
        self.local, self.remote = parse_ip(LOCAL), parse_ip(REMOTE)
        self.trace = []
        self.peers = []
        self.sockets = []              # kept alive: a socket nobody holds is closed
        self.strangers = []            # (IPv4Header, packet) of what belongs to no peer
        values = Settings.load(use_user_files=False, acd=False, address=f"{LOCAL}/24", mac=LOCAL_MAC,
                               **settings)
        self.stack = Stack(link=self.link, clock=self.clock, seed=seed, settings=values)
        self.stack.start()
        self.stack.arp.add(REMOTE, REMOTE_MAC)
        self.socket = self.stack.socket

    def now(self):
        """Seconds since the clock's start, virtual."""
        return self.clock.now()

    def advance(self, seconds):
        """Let virtual time pass; timers run in order."""
        self.clock.advance(seconds)

    def note(self, text):
        """Write a line into the trace."""
        self.trace.append(f"{self.clock.now():10.4f}  -- {text}")

    def story(self):
        """The end of the trace as text."""
        return "\n".join(self.trace[-TRACE_LINES:])

    def stop(self):
        """Stop the stack. AssertionError if it had to contain an exception meanwhile: no segment may cause
        one."""
        self.stack.stop()
        for sock in self.sockets:
            sock.close()
        if self.stack.counters["stack.exceptions"]:
            raise AssertionError(f"the stack contained {self.stack.errors!r}\n{self.story()}") \
                from self.stack.errors[-1]

    # -- the wire -------------------------------------------------------------------------------------

    def deliver(self, packet):
        """Hand the stack an IPv4 packet (bytes) from the neighbour."""
        ethernet = EthernetHeader(parse_mac(LOCAL_MAC), parse_mac(REMOTE_MAC), TYPE_IPV4)
        self.link.deliver(ethernet.pack() + packet)

    def deliver_icmp(self, type, code, rest, quoted, source=None):
        """Hand the stack an ICMP message; `rest` is its second word, `quoted` the packet it is about, cut as
        it shall be."""
        body = icmp.IcmpHeader(type, code, 0, rest).pack() + quoted
        body = body[:2] + _icmp_checksum(body) + body[4:]
        source = parse_ip(source) if source else self.remote
        header = IPv4Header(total_length=20 + len(body), protocol=PROTOCOL_ICMP, src=source, dst=self.local)
        self.trace.append(f"{self.clock.now():10.4f}  > icmp {type}/{code} rest {rest}")
        self.deliver(header.pack() + body)

    def _sent(self, frame):
        ethernet = EthernetHeader.unpack(frame, 0, len(frame))
        if ethernet.type != TYPE_IPV4:
            return
        packet = bytes(frame[14:])
        header = IPv4Header.unpack(packet, 0, len(packet))
        if header.protocol == PROTOCOL_TCP and not header.is_fragment:
            wire = tcp.TcpHeader.unpack(packet, header.header_length, header.total_length)
            for peer in self.peers:
                if peer.owns(header.dst, wire):
                    peer.receive(packet)
                    return
        self.strangers.append((header, packet))

    # -- sockets --------------------------------------------------------------------------------------

    def tcp_socket(self):
        """A non-blocking stream socket of the stack."""
        sock = self.socket.socket(self.socket.AF_INET, self.socket.SOCK_STREAM)
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    def listener(self, port=LOCAL_PORT, backlog=16, prepare=None):
        """A non-blocking listening socket; `prepare(sock)` may set options before listen()."""
        sock = self.tcp_socket()
        sock.setsockopt(self.socket.SOL_SOCKET, self.socket.SO_REUSEADDR, 1)
        if prepare is not None:
            prepare(sock)
        sock.bind((LOCAL, port))
        sock.listen(backlog)
        return sock

    def accept(self, listener):
        """The next connection of a listener as a non-blocking socket."""
        sock, _ = listener.accept()
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    def connecting(self, port=LOCAL_PORT, remote_port=REMOTE_PORT, prepare=None):
        """A non-blocking socket that has called connect()."""
        sock = self.tcp_socket()
        if prepare is not None:
            prepare(sock)
        sock.bind((LOCAL, port))
        result = sock.connect_ex((REMOTE, remote_port))
        if result != errno.EINPROGRESS:
            raise AssertionError(f"connect() returned {errno.errorcode.get(result, result)} at once")
        return sock


def _icmp_checksum(body):
    from tipy.checksum import checksum
    return checksum(body).to_bytes(2, "big")


@functools.lru_cache(maxsize=None)
def _first_iss(seed):
    """The ISN a connection LOCAL_PORT > REMOTE_PORT has with this seed at time 0."""
    bed = Bed(seed=seed)
    bed.connecting()
    (header, packet), = bed.strangers
    bed.stop()
    return tcp.TcpHeader.unpack(packet, header.header_length, len(packet)).seq
