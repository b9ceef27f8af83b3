"""struct tcp_info, as Linux's include/uapi/linux/tcp.h lays it out.

Names are the kernel's without their `tcpi_`. Times are microseconds here, as there; a connection's
`info()` may leave out any of them (0 is reported).
"""

import struct

_BYTES = ("state", "ca_state", "retransmits", "probes", "backoff", "options", "_wscale", "_flags")
_WORDS = ("rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "fackets",
          "last_data_sent", "last_ack_sent", "last_data_recv", "last_ack_recv", "pmtu", "rcv_ssthresh", "rtt",
          "rttvar", "snd_ssthresh", "snd_cwnd", "advmss", "reordering", "rcv_rtt", "rcv_space",
          "total_retrans")
_LONGS = ("pacing_rate", "max_pacing_rate", "bytes_acked", "bytes_received")
_WORDS2 = ("segs_out", "segs_in", "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out")
_LONGS2 = ("delivery_rate", "busy_time", "rwnd_limited", "sndbuf_limited")
_WORDS3 = ("delivered", "delivered_ce")
_LONGS3 = ("bytes_sent", "bytes_retrans")
_WORDS4 = ("dsack_dups", "reord_seen", "rcv_ooopack", "snd_wnd", "rcv_wnd", "rehash")

FIELDS = _BYTES + _WORDS + _LONGS + _WORDS2 + _LONGS2 + _WORDS3 + _LONGS3 + _WORDS4
STRUCT = struct.Struct(f"=8B{len(_WORDS)}I4Q{len(_WORDS2)}I4Q2I2Q{len(_WORDS4)}I")
_LIMITS = {"B": 0xFF, "I": 0xFFFFFFFF, "Q": 0xFFFFFFFFFFFFFFFF}
_KINDS = ("B" * 8 + "I" * len(_WORDS) + "Q" * 4 + "I" * len(_WORDS2) + "Q" * 4 + "II" + "QQ"
          + "I" * len(_WORDS4))


def pack_tcp_info(info):
    """The struct for a mapping of field names to numbers."""
    values = dict(info)
    values["_wscale"] = (values.get("snd_wscale", 0) & 15) | (values.get("rcv_wscale", 0) & 15) << 4
    return STRUCT.pack(*(min(max(int(values.get(field) or 0), 0), _LIMITS[kind])
                         for field, kind in zip(FIELDS, _KINDS)))
