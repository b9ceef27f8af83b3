"""Two stacks on a wire in memory, in one process: no root, no bridge, any operating system.

Run:     PYTHONPATH=. python3 examples/two_hosts.py
Prints:  every frame on the wire, as the second host sees it, and what the programs say:
         0.591607 < ARP who-has 192.168.2.2 tell 192.168.2.1 ...
         the server at 192.168.2.2 received b'hello' from 192.168.2.1
         the client at 192.168.2.1 received b'HELLO'
"""

import sys
import threading

from tipy import Settings, tipy
from tipy.link import Wire
from tipy.link.printer import PrinterLink

ALICE, BOB, PORT = "192.168.2.1", "192.168.2.2", 8000


def show(line):
    sys.stdout.write(line + "\n")                      # in one piece, while other threads print too


def serve(listener):
    """Answer one caller in capitals."""
    sock, (host, _) = listener.accept()
    with sock:
        data = sock.recv(4096)
        show(f"the server at {BOB} received {data!r} from {host}")
        sock.sendall(data.upper())


def main():
    wire = Wire()                                      # a hub; as many ports as you like
    alice = tipy(link=wire.port(), settings=Settings(address=f"{ALICE}/24"))
    bob = tipy(link=PrinterLink(wire.port(), write=show), settings=Settings(address=f"{BOB}/24"))
    with alice, bob:
        listener = bob.socket.create_server((BOB, PORT))       # each stack has a socket module of its own
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        with alice.socket.create_connection((BOB, PORT), timeout=5) as sock:
            sock.sendall(b"hello")
            show(f"the client at {ALICE} received {sock.recv(4096)!r}")
        server.join()
        listener.close()


if __name__ == "__main__":
    main()
