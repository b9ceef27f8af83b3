"""Finishing what offload leaves open: cut super-segments to wire size, complete checksums.

A frame that a link with offload passes up or down may be a single TCP segment of up to 256 KB whose checksum
holds only the pseudo-header sum. Whoever shows frames to somebody else (a capture), treats them one by one (injected
faults), or has a device that cuts nothing (virtio.py), needs what would have been on the wire: the work of a network
card, in software, for IPv4.

What cutting means (as Linux's tcp_gso_segment): every piece but the last carries exactly gso_size bytes; FIN
and PSH belong to the last, CWR to the first; seq advances by the bytes before, the IP id by one each; lengths
and both checksums are each piece's own.
"""

from struct import Struct

from tipy.checksum import checksum, pseudo_header, residue
from tipy.errors import PacketError
from tipy.wire.ethernet import HEADER_LENGTH, TYPE_IPV4
from tipy.wire.ipv4 import PROTOCOL_TCP, PROTOCOL_UDP, IPv4Header
from tipy.wire.tcp import CWR, FIN, PSH, TcpHeader

_CHECKSUM_AT = {PROTOCOL_TCP: 16, PROTOCOL_UDP: 6}
# where in the frame, and in the TCP header, stands what differs from piece to piece
_TOTAL_LENGTH, _ID, _IP_CHECKSUM = HEADER_LENGTH + 2, HEADER_LENGTH + 4, HEADER_LENGTH + 10
_SEQ, _FLAGS, _TCP_CHECKSUM = 4, 13, _CHECKSUM_AT[PROTOCOL_TCP]
_WORD, _TWO_WORDS, _LONG = Struct("!H"), Struct("!HH"), Struct("!I")


def complete(parts, offload=None) -> list[bytes]:
    """The wire frames of a frame that is being sent: a list of buffers and its Offload (or None)."""
    frame = b"".join(parts)
    if offload is None:
        return [frame]
    start, payload = HEADER_LENGTH + offload.csum_start, HEADER_LENGTH + offload.header_length
    at = start + offload.csum_offset
    if offload.gso_size:
        (pseudo,) = _WORD.unpack_from(frame, at)
        return _pieces(frame, start, payload, len(frame), offload.gso_size, pseudo - (len(frame) - start))
    frame = bytearray(frame)
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
                payload = start + tcp.header_length
                pseudo = pseudo_header(ip.src, ip.dst, PROTOCOL_TCP, 0)
                return _pieces(frame, start, payload, end, gso_size, pseudo)
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


def _pieces(frame, start, payload, end, gso_size, pseudo):
    """The wire frames of a super-segment. Its TCP header begins at `start`, the payload at `payload`, and that goes up to
    `end`. pseudo: residue of the pseudo-header without the length, which is each piece's own."""
    header, view = bytearray(frame[:payload]), memoryview(frame)
    ip_length, tcp_length = start - HEADER_LENGTH, payload - start
    (id,), (seq,) = _WORD.unpack_from(header, _ID), _LONG.unpack_from(header, start + _SEQ)
    flags = header[start + _FLAGS]
    for at, length in ((_TOTAL_LENGTH, 4), (_IP_CHECKSUM, 2), (start + _SEQ, 4), (start + _FLAGS, 1),
                       (start + _TCP_CHECKSUM, 2)):
        header[at:at + length] = bytes(length)
    constant = residue(header[HEADER_LENGTH:start])        # the sums of what is the same in each
    tcp_constant = residue(header[start:]) + pseudo + tcp_length
    pieces = []
    for position in range(payload, max(end, payload + 1), gso_size):       # one at least
        data = view[position:min(position + gso_size, end)]
        length = len(data)
        how = flags
        if position + gso_size < end:
            how &= ~(FIN | PSH)
        if pieces:
            how &= ~CWR
        total = ip_length + tcp_length + length
        _TWO_WORDS.pack_into(header, _TOTAL_LENGTH, total, id)
        _WORD.pack_into(header, _IP_CHECKSUM, -(constant + total + id) % 0xFFFF)
        _LONG.pack_into(header, start + _SEQ, seq)
        header[start + _FLAGS] = how
        _WORD.pack_into(header, start + _TCP_CHECKSUM, -(tcp_constant + seq + how + length + residue(data)) % 0xFFFF)
        pieces.append(b"".join((header, data)))
        seq, id = seq + length & 0xFFFFFFFF, id + 1 & 0xFFFF
    return pieces
