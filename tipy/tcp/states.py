"""The connection states of RFC 9293 section 3.3.2, and the moves between them (figure 5).

    CLOSED ---- passive OPEN ----> LISTEN
      |                              | SYN: send SYN,ACK
      | active OPEN: send SYN        v
      +-------> SYN-SENT -- SYN --> SYN-RECEIVED
                   | SYN,ACK            | ACK of SYN
                   +----> ESTABLISHED <-+
               CLOSE: FIN /      \\ FIN: ACK
                FIN-WAIT-1       CLOSE-WAIT
           ACK  /     \\ FIN          | CLOSE: FIN
        FIN-WAIT-2   CLOSING      LAST-ACK
           FIN  \\     / ACK          | ACK
                TIME-WAIT --2MSL--> CLOSED

`MOVES` is what `Tcb.enter` checks every change of state against. Any state may also fall to CLOSED (RST,
abort, time-out). The numbers are those the Linux kernel uses in `tcpi_state`.
"""

from enum import IntEnum


class State(IntEnum):
    """A connection state; str() gives the RFC's spelling."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    TIME_WAIT = 6
    CLOSED = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11

    def __str__(self):
        return self.name.replace("_", "-")


# the same by name: an enum's attribute takes longer to find than a state to be compared
(ESTABLISHED, SYN_SENT, SYN_RECEIVED, FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT, CLOSED, CLOSE_WAIT, LAST_ACK, LISTEN,
 CLOSING) = State

MOVES = {
    CLOSED: {SYN_SENT, SYN_RECEIVED, LISTEN},
    LISTEN: {SYN_RECEIVED},
    SYN_SENT: {SYN_RECEIVED, ESTABLISHED},
    SYN_RECEIVED: {ESTABLISHED, FIN_WAIT_1, CLOSE_WAIT},
    ESTABLISHED: {FIN_WAIT_1, CLOSE_WAIT},
    FIN_WAIT_1: {FIN_WAIT_2, CLOSING, TIME_WAIT},
    FIN_WAIT_2: {TIME_WAIT},
    CLOSING: {TIME_WAIT},
    CLOSE_WAIT: {LAST_ACK},
    LAST_ACK: set(),
    TIME_WAIT: set(),
}
for _moves in MOVES.values():
    _moves.add(CLOSED)

#: states before the handshake is done
OPENING = frozenset({SYN_SENT, SYN_RECEIVED})
#: states in which the user may still send
CAN_SEND = frozenset({ESTABLISHED, CLOSE_WAIT})
#: states in which data may still arrive
CAN_RECEIVE = frozenset({ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2})
#: states in which queued data and a FIN may (still) be transmitted
CAN_TRANSMIT = frozenset({ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, CLOSING, LAST_ACK})
#: the peer's FIN has been received
PEER_FINISHED = frozenset({CLOSE_WAIT, LAST_ACK, CLOSING, TIME_WAIT})
