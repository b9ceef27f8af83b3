"""A congestion control of one's own beside cubic, on a path that loses one packet in a hundred. No root.

Run:     PYTHONPATH=. python3 examples/congestion.py
Prints:  how long 2 MB took with each, in virtual time (RTT 40 ms), and what was sent again:
         cubic        1.4 s, 10 segments sent again
         stubborn     0.9 s, 10 segments sent again
"""

from tipy import tipy
from tipy.clock import ManualClock
from tipy.link import Wire
from tipy.link.faults import FaultLink
from tipy.tcp.congestion import CongestionControl, register


@register
class Stubborn(CongestionControl):
    """Takes random loss for what it is: grows by one segment per round trip, gives back only an eighth."""

    name = "stubborn"

    def on_ack(self, acked):
        if self.in_slow_start:
            acked = self.slow_start(acked)
        self.grow(acked, per=self.cwnd)

    def on_loss(self):
        return max(self.cwnd * 7 // 8, 2)


def transfer(control, size=2_000_000):
    """Send `size` bytes from one host to another; (virtual seconds, segments sent again)."""
    clock, wire = ManualClock(auto=True), Wire()
    lossy = FaultLink(FaultLink(wire.port(), delay=0.02, seed=1), loss=0.01, direction="out", seed=7)
    with tipy(link=lossy, address="10.0.0.1/24", clock=clock, seed=1, acd=False, congestion_control=control) as near, \
            tipy(link=wire.port(), address="10.0.0.2/24", clock=clock, seed=2, acd=False) as far:
        server = far.socket.create_server(("10.0.0.2", 80))
        client = near.socket.create_connection(("10.0.0.2", 80))
        peer, _ = server.accept()
        start, data = clock.now(), bytes(size)
        while data:                                # both ends in one thread: neither may wait for the other
            client.setblocking(False)
            try:
                data = data[client.send(data):]
            except BlockingIOError:
                size -= len(peer.recv(1 << 20))
        while size:
            size -= len(peer.recv(1 << 20))
        return clock.now() - start, client.tcp_info()["tcpi_total_retrans"]


if __name__ == "__main__":
    for name in ("cubic", "stubborn"):
        seconds, again = transfer(name)
        print(f"{name:12} {seconds:.1f} s, {again} segments sent again")
