"""Building one segment: header, options, checksum; and handing it to IP.

output.py decides what is sent; here it is put into bytes (RFC 9293 section 3.1, RFC 7323 section 3, RFC 2018 section 4).
Payloads are views of the send queue and are not copied. A super-segment of many MSS leaves with the MSS as `gso_size`, on
a link that cuts it; for that, and on a link that finishes checksums, only the pseudo-header's sum is put in.
"""

from functools import lru_cache
from struct import Struct

from tipy.address import format_ip
from tipy.checksum import residue_of
from tipy.link.base import Offload
from tipy.log import channel
from tipy.tcp.seq import MASK
from tipy.wire.tcp import (ACK, ALIGNED_TIMESTAMP, ECE, HEADER_LENGTH, RST, STAMPED, STAMPED_OFFSET, STRUCT, SYN, URG,
                           TcpOptions, flags_text, pack_options)

_log = channel("tcp.segments")

PROTOCOL = 6
_CHECKSUM_AT = 16
_CHECKSUM = Struct("!H")
_STAMPED_SUM = PROTOCOL + STAMPED.size         # in the pseudo-header

_offload = lru_cache(256)(Offload)             # few different ones are in use at a time


def timestamp(tcb):
    """TSval: milliseconds, with an offset of the connection's own (RFC 7323 section 5.4)."""
    return int(tcb.now() * 1000) + tcb.ts_offset & MASK


def transmit(tcb, seq, flags, views, length, mss, tos=0, options=None):
    """Send one segment (or super-segment of `mss` bytes each) with everything the connection has to say.

    options: bytes to use instead of the ordinary ones (a SYN's, whose window is not scaled).
    """
    path, layer = tcb.path, tcb.tcp
    if path.generation != layer.addresses.generation:
        if not layer.renew_path(tcb):
            return
        path = tcb.path
    if tcb.ecn_echo and not flags & SYN and flags & ACK:
        flags |= ECE
    urgent = 0
    if tcb.snd_up > tcb.snd_una and not flags & (SYN | RST) and 0 < tcb.snd_up - seq <= 0xFFFF:
        urgent = tcb.snd_up - seq
        flags |= URG
    acknowledged, now, rcv_nxt, queue = 0, tcb.now(), tcb.rcv_nxt, tcb.receiveq
    if flags & ACK:                            # no other is due any more
        acknowledged = rcv_nxt & MASK
        tcb.last_ack_sent = rcv_nxt
        tcb.ack_now = tcb.ack_due = False
        tcb.full_segments = tcb.pushed = 0
        if tcb.quick_acks:
            tcb.quick_acks -= 1
        if tcb.delayed_ack is not None:
            tcb.delayed_ack.cancel()
    if options is None:
        window = tcb.rcv.announce(rcv_nxt, queue.length if queue is not None else 0, tcb.rcv_mss)
    else:
        window = min(tcb.rcv.wnd, 65535)
    if tcb.ts_ok and options is None and not tcb.sack_blocks and tcb.dsack is None:
        header = STAMPED.pack(tcb.local[1], tcb.remote[1], seq & MASK, acknowledged, STAMPED_OFFSET, flags, window,
                              (path.sum + _STAMPED_SUM + length) % 0xFFFF, urgent,
                              ALIGNED_TIMESTAMP, int(now * 1000) + tcb.ts_offset & MASK, tcb.ts_recent)
    else:
        if options is None:
            options = _options(tcb)
        header_length = HEADER_LENGTH + len(options)
        header = STRUCT.pack(tcb.local[1], tcb.remote[1], seq & MASK, acknowledged, header_length << 2, flags, window,
                             (path.sum + PROTOCOL + header_length + length) % 0xFFFF, urgent) + options
    count = -(-length // mss) if length > mss else 1
    tcb.segs_out += count
    if length:
        tcb.data_segs_out += count
        tcb.last_sent = now
        if tcb.quick_acks is not None and now - tcb.last_received < layer.settings.delayed_ack:
            tcb.interactive = True             # an answer: ACKs can ride on the next ones
    if __debug__ and _log.on:
        _log("%s out %s seq %d ack %d win %d len %d", tcb.name, flags_text(flags), seq - tcb.iss,
             tcb.rcv_nxt - tcb.irs, window, length)
    hand_down(layer, path, header, views, length, mss if length > mss else 0, tcb.options, tos)


def hand_down(layer, path, header, views, length, gso_size, options, tos=0):
    """Hand a segment with `length` bytes of text to IP.

    `header` carries the pseudo-header's sum in its checksum field; a link that does not finish checksums gets the whole
    one, unless it has to cut the segment anyway.
    """
    header_length = len(header)
    if gso_size or path.link.tx_checksum:
        start = path.header_length + len(options.ip_options)
        offload = _offload(gso_size, start, _CHECKSUM_AT, start + header_length)
    else:
        offload = None
        header = bytearray(header)
        _CHECKSUM.pack_into(header, _CHECKSUM_AT, -residue_of([header, *views]) % 0xFFFF)
    layer.counters["tcp.out"] += 1
    df = options.pmtu_discovery
    if df is None:
        df = layer.settings.pmtu_discovery
    try:
        layer.ipv4.send(path, PROTOCOL, [header, *views], offload, options.ttl, tos | options.tos, df, options.ip_options,
                        header_length + length)
    except OSError as error:                   # local trouble is as good as a lost segment
        layer.counters["tcp.send_failed"] += 1
        if __debug__ and _log.on:
            _log("to %s: %s", format_ip(path.dst), error)


def send_bare(layer, path, local, remote, seq, ack, flags, window, socket_options, options=b""):
    """A segment that belongs to no connection: a RST, or the SYN,ACK with a cookie. Wire numbers."""
    header_length = HEADER_LENGTH + len(options)
    header = STRUCT.pack(local[1], remote[1], seq, ack, header_length << 2, flags, window,
                         (path.sum + PROTOCOL + header_length) % 0xFFFF, 0) + options
    hand_down(layer, path, header, (), 0, 0, socket_options)


def _options(tcb):
    """Timestamps if negotiated, then SACK blocks: the duplicate first, then the newest ranges (RFC 2883)."""
    if not tcb.sack_blocks and tcb.dsack is None:
        return b""
    blocks = list(tcb.sack_blocks or ())
    if tcb.dsack is not None:
        blocks.insert(0, tcb.dsack)
        tcb.dsack = None                       # it is reported once
    return pack_options(TcpOptions(timestamp=(timestamp(tcb), tcb.ts_recent) if tcb.ts_ok else None,
                                   sack=tuple((left & MASK, right & MASK) for left, right in blocks)), False)
