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


_S = State
MOVES = {
    _S.CLOSED: {_S.SYN_SENT, _S.SYN_RECEIVED, _S.LISTEN},
    _S.LISTEN: {_S.SYN_RECEIVED},
    _S.SYN_SENT: {_S.SYN_RECEIVED, _S.ESTABLISHED},
    _S.SYN_RECEIVED: {_S.ESTABLISHED, _S.FIN_WAIT_1, _S.CLOSE_WAIT},
    _S.ESTABLISHED: {_S.FIN_WAIT_1, _S.CLOSE_WAIT},
    _S.FIN_WAIT_1: {_S.FIN_WAIT_2, _S.CLOSING, _S.TIME_WAIT},
    _S.FIN_WAIT_2: {_S.TIME_WAIT},
    _S.CLOSING: {_S.TIME_WAIT},
    _S.CLOSE_WAIT: {_S.LAST_ACK},
    _S.LAST_ACK: set(),
    _S.TIME_WAIT: set(),
}
for _moves in MOVES.values():
    _moves.add(_S.CLOSED)

#: asked for with every segment: a name is found at once, an attribute of an enum takes a while
CLOSED, ESTABLISHED = _S.CLOSED, _S.ESTABLISHED
#: states before the handshake is done
OPENING = frozenset({_S.SYN_SENT, _S.SYN_RECEIVED})
#: states in which the user may still send
CAN_SEND = frozenset({_S.ESTABLISHED, _S.CLOSE_WAIT})
#: states in which data may still arrive
CAN_RECEIVE = frozenset({_S.ESTABLISHED, _S.FIN_WAIT_1, _S.FIN_WAIT_2})
#: states in which queued data and a FIN may (still) be transmitted
CAN_TRANSMIT = frozenset({_S.ESTABLISHED, _S.CLOSE_WAIT, _S.FIN_WAIT_1, _S.CLOSING, _S.LAST_ACK})
#: the peer's FIN has been received
PEER_FINISHED = frozenset({_S.CLOSE_WAIT, _S.LAST_ACK, _S.CLOSING, _S.TIME_WAIT})
