"""Finishing what offload leaves open: cut super-segments to wire size, complete checksums.

A frame that a link with offload passes up or down may be a single TCP segment of up to 256 KB whose checksum
holds only the pseudo-header sum. Whoever shows frames to somebody else (a capture), or treats them one by one
(injected faults), needs what would have been on the wire: the work of a network card, in software, for IPv4.

What cutting means (as Linux's tcp_gso_segment): every piece but the last carries exactly gso_size bytes; FIN
and PSH belong to the last, CWR to the first; seq advances by the bytes before, the IP id by one each; lengths
and both checksums are each piece's own.
"""

from tipy.checksum import checksum, pseudo_header, residue
from tipy.errors import PacketError
from tipy.wire.ethernet import HEADER_LENGTH, TYPE_IPV4
from tipy.wire.ipv4 import PROTOCOL_TCP, PROTOCOL_UDP, IPv4Header
from tipy.wire.tcp import CWR, FIN, PSH, TcpHeader

_CHECKSUM_AT = {PROTOCOL_TCP: 16, PROTOCOL_UDP: 6}


def complete(parts, offload=None) -> list[bytes]:
    """The wire frames of a frame that is being sent: a list of buffers and its Offload (or None)."""
    frame = b"".join(parts)
    if offload is None:
        return [frame]
    if offload.gso_size and len(frame) - HEADER_LENGTH - offload.header_length > offload.gso_size:
        return cut(frame, True, offload.gso_size)
    frame = bytearray(frame)
    start = HEADER_LENGTH + offload.csum_start
    at = start + offload.csum_offset
    value = -residue(memoryview(frame)[start:]) % 0xFFFF        # the pseudo-header's sum is in the field
    if not value and offload.csum_offset == _CHECKSUM_AT[PROTOCOL_UDP]:
        value = 0xFFFF
    frame[at:at + 2] = value.to_bytes(2, "big")
    return [bytes(frame)]


def cut(frame, checked: bool, gso_size: int) -> list[bytes]:
    """The wire frames of a frame that arrived with these marks.

    `checked` says that the payload is good but the checksum field may be unfinished, so it is computed anew.
    A frame that is not TCP or UDP over IPv4, or makes no sense, comes back as it is.
    """
    frame = bytes(frame)
    if not checked and not gso_size:
        return [frame]
    try:
        if int.from_bytes(frame[12:14], "big") != TYPE_IPV4:
            return [frame]
        ip = IPv4Header.unpack(frame, HEADER_LENGTH, len(frame))
        if ip.is_fragment or ip.protocol not in _CHECKSUM_AT:
            return [frame]
        start = HEADER_LENGTH + ip.header_length
        end = HEADER_LENGTH + ip.total_length
        if not checked and not _is_good(frame, ip, start, end):
            return [frame]                     # cutting would give damaged data good checksums
        if gso_size and ip.protocol == PROTOCOL_TCP:
            tcp = TcpHeader.unpack(frame, start, end)
            if end - start - tcp.header_length > gso_size:
                return _pieces(frame, ip, tcp, start, end, gso_size)
        return [_summed(frame, ip, start, end)]
    except PacketError:
        return [frame]


def _is_good(frame, ip, start, end):
    pseudo = pseudo_header(ip.src, ip.dst, ip.protocol, end - start)
    return (residue(frame[start:end]) + pseudo) % 0xFFFF == 0


def _summed(frame, ip, start, end):
    """The frame with its transport checksum computed from the data."""
    at = start + _CHECKSUM_AT[ip.protocol]
    if at + 2 > end:
        return frame
    if ip.protocol == PROTOCOL_UDP and frame[at:at + 2] == b"\0\0":
        return frame                           # sent without a checksum
    out = bytearray(frame)
    out[at:at + 2] = b"\0\0"
    value = checksum(out[start:end], pseudo_header(ip.src, ip.dst, ip.protocol, end - start))
    if ip.protocol == PROTOCOL_UDP:
        value = value or 0xFFFF
    out[at:at + 2] = value.to_bytes(2, "big")
    return bytes(out)


def _pieces(frame, ip, tcp, start, end, gso_size):
    payload = start + tcp.header_length
    tcp_options = frame[start + 20:payload]
    pieces = []
    for position in range(payload, end, gso_size):
        data = frame[position:min(position + gso_size, end)]
        length = tcp.header_length + len(data)
        flags = tcp.flags
        if position + gso_size < end:
            flags &= ~(FIN | PSH)
        if pieces:
            flags &= ~CWR
        head = ip._replace(total_length=ip.header_length + length, id=ip.id + len(pieces) & 0xFFFF).pack()
        seq = tcp.seq + position - payload & 0xFFFFFFFF
        segment = tcp._replace(seq=seq, flags=flags, checksum=0).pack() + tcp_options + data
        value = checksum(segment, pseudo_header(ip.src, ip.dst, ip.protocol, length))
        pieces.append(b"".join((frame[:HEADER_LENGTH], head, segment[:16], value.to_bytes(2, "big"),
                                segment[18:])))
    return pieces
