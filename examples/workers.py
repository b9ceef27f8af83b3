"""One address, several processes: each has its own stack on a queue of the same TAP, the kernel spreads connections.

Before:  sudo ip tuntap add dev tap8 mode tap multi_queue user "$USER" && sudo ip link set tap8 master br0 up
Run:     PYTHONPATH=. python3 examples/workers.py [PROCESSES [TAP]]        (default: 2 tap8)
Try:     for i in 1 2 3 4 5 6; do nc 192.168.2.200 8000 </dev/null; done
Prints:  worker 0 waits on port 8000
         worker 1 waits on port 8000
         worker 1 has answered 192.168.2.199:41374
Ctrl-C ends them all.
"""

import os
import sys

from tipy.workers import Workers

PORT = 8000


def work(stack, number):
    """What each process does, with a stack that runs: tell every client which one it is."""
    with stack.socket.create_server(("", PORT)) as listener:
        print(f"worker {number} waits on port {PORT}", flush=True)
        while True:
            connection, (host, port) = listener.accept()
            with connection:
                connection.sendall(f"this is worker {number}, process {os.getpid()}\n".encode())
            print(f"worker {number} has answered {host}:{port}", flush=True)


def main(count="2", ifname="tap8"):
    with Workers(int(count), work, ifname=ifname) as workers:
        workers.wait()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print()
    except OSError as error:                           # one sentence that says what to do
        sys.exit(str(error))
