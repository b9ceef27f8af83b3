"""Challenge ACKs (RFC 5961): "if you really mean that, say it with the right sequence number".

A blind attacker's RST or SYN is answered with an ACK; the true peer, if it has lost the connection, replies to that
with an exact RST. The rate is limited per connection: one limit for the whole stack, as RFC 5961 proposed, let
attackers count (CVE-2016-5696).

The same limit holds for every other answer to a segment without text: two ends that have lost each other's place
would otherwise answer each other's ACKs for ever.
"""

from tipy.tcp.output import send_ack


def challenge(tcb):
    """Send a challenge ACK, unless this connection had one within `challenge_ack_interval`."""
    if allowed(tcb):
        tcb.tcp.counters["tcp.challenge_acks"] += 1
        send_ack(tcb)


def allowed(tcb):
    """May this connection answer something odd now? At most once in `challenge_ack_interval` seconds."""
    now = tcb.now()
    last = tcb.challenged_at
    if last is not None and now - last < tcb.tcp.settings.challenge_ack_interval:
        tcb.tcp.counters["tcp.challenge_limited"] += 1
        return False
    tcb.challenged_at = now
    return True
