"""tcp_info: what a connection says about itself, under the kernel's names and in its struct layout.

Units as in linux/tcp.h: times in microseconds except the tcpi_last_* ones (milliseconds), windows in segments,
the rest bytes or counts. Fields tipy has nothing to say about are 0.
"""

from struct import Struct

from tipy.tcp import chrono
from tipy.tcp.congestion import INFINITE

# struct tcp_info, linux/uapi/linux/tcp.h: name and format of each field, in order
_LAYOUT = [
    *((name, "B") for name in ("state", "ca_state", "retransmits", "probes", "backoff", "options", "wscale",
                               "delivery_rate_app_limited")),
    *((name, "I") for name in (
        "rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "fackets", "last_data_sent",
        "last_ack_sent", "last_data_recv", "last_ack_recv", "pmtu", "rcv_ssthresh", "rtt", "rttvar", "snd_ssthresh",
        "snd_cwnd", "advmss", "reordering", "rcv_rtt", "rcv_space", "total_retrans")),
    *((name, "Q") for name in ("pacing_rate", "max_pacing_rate", "bytes_acked", "bytes_received")),
    *((name, "I") for name in ("segs_out", "segs_in", "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out")),
    *((name, "Q") for name in ("delivery_rate", "busy_time", "rwnd_limited", "sndbuf_limited")),
    *((name, "I") for name in ("delivered", "delivered_ce")),
    *((name, "Q") for name in ("bytes_sent", "bytes_retrans")),
    *((name, "I") for name in ("dsack_dups", "reord_seen", "rcv_ooopack", "snd_wnd")),
]
_STRUCT = Struct("=" + "".join(code for _, code in _LAYOUT))
_TIMESTAMPS, _SACK, _WSCALE, _ECN = 1, 2, 4, 8


def pack(tcb):
    """The connection's struct tcp_info, as getsockopt(IPPROTO_TCP, TCP_INFO) returns it."""
    values = fields(tcb)
    wscale = values["tcpi_snd_wscale"] | values["tcpi_rcv_wscale"] << 4
    return _STRUCT.pack(*(wscale if name == "wscale" else values.get("tcpi_" + name, 0) for name, _ in _LAYOUT))


def fields(tcb):
    """The same as a dict of tcpi_* names."""
    loss, rtt, now = tcb.loss, tcb.rtt, tcb.now()
    options = (_TIMESTAMPS * tcb.ts_ok | _SACK * tcb.sack_ok | _WSCALE * bool(tcb.snd_wscale or tcb.rcv.scale)
               | _ECN * tcb.ecn_ok)
    result = {name if name.startswith("tcpi_") else "tcpi_" + name: 0 for name, _ in _LAYOUT if name != "wscale"}
    result.update(
        tcpi_state=int(tcb.state), tcpi_retransmits=tcb.retries, tcpi_probes=tcb.probes_out or tcb.keepalives_out,
        tcpi_backoff=rtt.backoff or tcb.persist_backoff, tcpi_options=options, tcpi_snd_wscale=tcb.snd_wscale,
        tcpi_rcv_wscale=tcb.rcv.scale, tcpi_rto=_us(rtt.rto), tcpi_ato=_us(tcb.tcp.settings.delayed_ack),
        tcpi_snd_mss=tcb.mss, tcpi_rcv_mss=tcb.rcv_mss, tcpi_unacked=tcb.packets_out,
        tcpi_last_data_sent=_ms(now - tcb.last_sent), tcpi_last_data_recv=_ms(now - tcb.last_received),
        tcpi_last_ack_recv=_ms(now - tcb.last_heard), tcpi_pmtu=tcb.path.mtu, tcpi_rcv_ssthresh=tcb.rcv.threshold,
        tcpi_rtt=_us(rtt.srtt), tcpi_rttvar=_us(rtt.rttvar), tcpi_snd_ssthresh=min(tcb.ssthresh, INFINITE),
        tcpi_snd_cwnd=tcb.cwnd, tcpi_advmss=tcb.advertised_mss, tcpi_rcv_space=tcb.rcv.measured,
        tcpi_total_retrans=tcb.total_retrans, tcpi_bytes_acked=tcb.bytes_acked,
        tcpi_bytes_received=tcb.bytes_received, tcpi_segs_out=tcb.segs_out, tcpi_segs_in=tcb.segs_in,
        tcpi_notsent_bytes=max(tcb.snd_end - tcb.snd_nxt, 0), tcpi_data_segs_in=tcb.data_segs_in,
        tcpi_data_segs_out=tcb.data_segs_out, tcpi_delivered=tcb.delivered, tcpi_snd_wnd=tcb.snd_wnd,
        tcpi_min_rtt=_us(rtt.min_rtt) if rtt.min_rtt != float("inf") else 0xFFFFFFFF, tcpi_reordering=3,
        tcpi_bytes_sent=max(min(tcb.snd_nxt, tcb.snd_end) - tcb.iss - 1, 0))
    busy, window, buffer = chrono.totals(tcb)
    result.update(tcpi_busy_time=_us(busy), tcpi_rwnd_limited=_us(window), tcpi_sndbuf_limited=_us(buffer))
    if loss is not None:
        result.update(tcpi_ca_state=int(loss.phase), tcpi_sacked=loss.sacked_out, tcpi_lost=loss.lost_out,
                      tcpi_retrans=loss.retrans_out, tcpi_reordering=loss.reordering,
                      tcpi_dsack_dups=loss.dsack_count, tcpi_reord_seen=loss.reordering_seen)
    return result


def _us(seconds):
    return min(int(round(seconds * 1e6)), 0xFFFFFFFF)


def _ms(seconds):
    return min(int(seconds * 1e3), 0xFFFFFFFF)
