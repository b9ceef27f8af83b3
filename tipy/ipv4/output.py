"""The way down: IP headers and fragmentation (RFC 791 3.2, RFC 6864 for the ID field).

`send` is on the path of every segment: with no options it packs the header in one go, and computes its
checksum of the header's fields and the addresses' sum that the Path remembers.

The ID only matters to datagrams that may be fragmented. A packet with DF gets the ID its transport asks for,
or 0; the others get the next value of one of 1024 counters, chosen by a keyed hash of the addresses and
started at random: IDs towards one destination do not repeat soon, and tell nothing about traffic to others
(RFC 7739 5.3).

A super-packet (offload.gso_size > 0) is cut by the link, never here. One that is too long for the total length
field has 0 there, as on Linux: only those who cut it ever see it.
"""

import errno
from hashlib import blake2b

import tipy.ipv4.options as ip_options
from tipy.errors import os_error
from tipy.ipv4.path import MIN_PMTU
from tipy.wire.ipv4 import DF, HEADER_LENGTH, MAX_PACKET, MF, STRUCT, IPv4Header

_ID_COUNTERS = 1024


class Output:
    """Sends packets along paths. `find_path(dst, src)` is used for source routes only."""

    def __init__(self, rng, counters, settings, loopback, find_path):
        self._rng, self._counters, self._settings = rng, counters, settings
        self._loopback = loopback
        self._find_path = find_path
        self._id_key = rng.getrandbits(128).to_bytes(16, "big")
        self._ids = None                       # made when first needed

    def send(self, path, protocol, parts, offload=None, ttl=None, tos=0, df=False, options=b"", length=None, id=None):
        """Send one packet: `parts`, a list of buffers, starts with the transport header; `length`: of all of them, for
        who knows it anyway.

        options must come from `options.prepare`. OSError(EMSGSIZE) if it does not fit the path's MTU and df
        forbids fragments, or not into 65535 bytes at all. An `offload` with gso_size 0 (a partial checksum)
        is for packets that fit.
        """
        length = HEADER_LENGTH + len(options) + (sum(map(len, parts)) if length is None else length)
        mtu = path.mtu
        if df and mtu <= MIN_PMTU and not path.may_forbid_fragments:       # only so small an estimate may be locked
            df = False
        fits = length <= mtu or offload is not None and offload.gso_size > 0
        if not fits and (df or length > MAX_PACKET):
            raise os_error(errno.EMSGSIZE)
        if ttl is None:
            ttl = self._settings.ttl
        if id is None:
            id = 0 if df else self._next_id(path.src, path.dst, protocol, _pieces(length, offload))
        self._counters["ipv4.out"] += 1
        if length > MAX_PACKET:
            length = 0                         # BIG TCP: as long as the frame is
        if options or not fits:
            header = IPv4Header(tos=tos, total_length=length, id=id, df=df, ttl=ttl, protocol=protocol,
                                src=path.src, dst=path.dst, options=options)
            self._send_slowly(path, header, parts, mtu if not fits else MAX_PACKET, offload)
            return
        flags = DF if df else 0
        checksum = -(0x4500 + tos + length + id + flags + (ttl << 8) + protocol + path.sum) % 0xFFFF
        header = STRUCT.pack(0x45, tos, length, id, flags, ttl, protocol, checksum, path.src, path.dst)
        packet = [header, *parts]
        path.interface.transmit(path, packet, offload)
        if path.loops and not path.loopback:
            self._loopback.transmit(path, packet, offload)

    def send_raw(self, path, packet):
        """Send a whole packet whose header the user wrote (IP_HDRINCL).

        Total length and checksum are always filled in; the source address and the ID if they are 0 (as
        Linux). OSError EINVAL for a broken header, EMSGSIZE above the interface's MTU (never fragmented).
        """
        packet = bytearray(packet)
        header_length = (packet[0] & 15) << 2 if packet else 0
        if len(packet) < HEADER_LENGTH or not HEADER_LENGTH <= header_length <= len(packet):
            raise os_error(errno.EINVAL)
        if len(packet) > min(path.link.mtu, MAX_PACKET):
            raise os_error(errno.EMSGSIZE)
        version, tos, _, id, flags, ttl, protocol, _, src, dst = STRUCT.unpack_from(packet)
        id = id or self._next_id(path.src, dst, protocol)
        header = IPv4Header(tos=tos, total_length=len(packet), id=id,
                            df=flags & DF != 0, mf=flags & MF != 0, offset=(flags & 0x1FFF) << 3, ttl=ttl,
                            protocol=protocol, src=src if any(src) else path.src, dst=dst,
                            options=bytes(packet[HEADER_LENGTH:header_length]))
        self._counters["ipv4.out"] += 1
        path.interface.transmit(path, [header.pack(), memoryview(packet)[header_length:]], None)

    def _send_slowly(self, path, header, parts, mtu, offload):
        """Packets with options, and those to be fragmented."""
        if header.options:
            route = ip_options.source_route(header.options, path.dst)
            if route is not None:
                path = self._find_path(route[0], path.src)
                header = header._replace(dst=route[0], options=route[1])
                mtu = min(mtu, path.mtu)
        if header.total_length <= mtu or (offload is not None and offload.gso_size):
            packets = [[header.pack(), *parts]]
        else:
            assert offload is None, "a packet that is fragmented needs its whole checksum"
            packets = self._cut(header, parts, mtu)
        interfaces = [path.interface] + ([self._loopback] if path.loops and not path.loopback else [])
        for interface in interfaces:
            if len(packets) == 1:
                interface.transmit(path, packets[0], offload)
            else:
                interface.transmit_all(path, packets)

    def _cut(self, header, parts, mtu):
        """The fragments of one datagram, each a list of buffers (RFC 791 3.2, "an example fragmentation")."""
        payload = memoryview(b"".join(parts))
        fragments = []
        offset = 0
        while offset < len(payload):
            header_length = HEADER_LENGTH + len(header.options)
            room = mtu - header_length & ~7
            if room < 8:
                raise os_error(errno.EMSGSIZE)           # a link that is no IP link (RFC 791: at least 68)
            piece = payload[offset:offset + room]
            more = offset + len(piece) < len(payload)
            head = header._replace(total_length=header_length + len(piece), mf=more, offset=offset)
            fragments.append([head.pack(), piece])
            if offset == 0 and header.options:
                header = header._replace(options=ip_options.for_later_fragments(header.options))
            offset += len(piece)
        self._counters["ipv4.fragmented"] += 1
        self._counters["ipv4.fragments_out"] += len(fragments)
        return fragments

    def _next_id(self, src, dst, protocol, count=1):
        """The first of `count` IDs, one for each packet."""
        if self._ids is None:
            self._ids = [self._rng.getrandbits(16) for _ in range(_ID_COUNTERS)]
        digest = blake2b(src + dst + bytes((protocol,)), digest_size=2, key=self._id_key).digest()
        index = int.from_bytes(digest, "big") % _ID_COUNTERS
        id = self._ids[index] + 1 & 0xFFFF
        self._ids[index] = id + count - 1 & 0xFFFF
        return id


def _pieces(length, offload):
    """How many packets the link makes of one of `length` bytes."""
    if offload is None or not offload.gso_size:
        return 1
    return -(-(length - offload.header_length) // offload.gso_size)
