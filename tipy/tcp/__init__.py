"""TCP (RFC 9293 and its company), readable beside the RFC. Where a segment goes:

    layer.py         whose segment is it? a connection's, a listener's, nobody's (RST)
    batch.py         what comes in one batch of frames is coupled, and answered once
    input.py         segment_arrives: the RFC's numbered checks       (RFC 9293 3.10.7, 5961, 7323)
    prediction.py    the short way past them, for what was expected (skip it at first)
    ack.py           what was acknowledged                            text.py    the byte stream put together
    output.py        the one place that decides to send               (RFC 9293 3.8, 1122 Nagle and SWS)
    timeouts.py      what happens when a timer fires                  alarm.py   which timer runs
    connection.py    the user's calls                                 listen.py  passive open, SYN cookies
    handshake.py     what must be right before a SYN,ACK is believed seen
    tcb.py           everything one connection knows                  states.py  the states and their moves
    window.py        the receive window                               segment.py, records.py, seq.py: small parts
    transmit.py      a segment put into bytes                         time_wait.py, challenge.py: what few segments meet

Loss and congestion, each alone in its file: rto.py (6298), sack.py (2018, 2883), rack.py (8985), loss.py and
recovery.py (5681, 6582, 6937, 5682), pacing.py, cwnd_validation.py (7661), congestion/ (5681, 9438, 9406).
isn.py: 6528, 4987. ttl_guard.py: 5082. chrono.py, info.py: what tcp_info tells.
"""

from tipy.tcp.layer import Tcp
from tipy.tcp.options import Options
from tipy.tcp.states import State

__all__ = ["Options", "State", "Tcp"]
