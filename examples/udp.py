"""UDP echo: a server and a client. With --linux first: on Linux's own sockets.

Run:     PYTHONPATH=. python3 examples/udp.py --linux server          (on the computer the bridge is on)
         PYTHONPATH=. python3 examples/udp.py 192.168.2.199           (in another terminal)
or:      PYTHONPATH=. python3 examples/udp.py server                  (this time the stack is the server)
         PYTHONPATH=. python3 examples/udp.py --linux 192.168.2.200
Prints:  server:  waiting on port 9000
                  17 bytes from 192.168.2.200:41374
         client:  b'hello over tap7!' came back from 192.168.2.199:9000     (the same for 0, 1472, 8000 bytes)
"""

import sys

PORT = 9000
MESSAGES = (b"hello over tap7!", b"", bytes(1472), bytes(8000))


def serve(socket):
    """Send every datagram back to where it came from, until Ctrl-C."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", PORT))
        print("waiting on port", PORT, flush=True)
        while True:
            data, (host, port) = sock.recvfrom(65535)
            print(f"{len(data)} bytes from {host}:{port}", flush=True)
            sock.sendto(data, (host, port))


def ask(socket, host):
    """Send each message, wait for it to come back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(3)
        sock.connect((host, PORT))                     # a refusal (ICMP port unreachable) is then reported
        for message in MESSAGES:
            sock.send(message)
            if sock.recv(65535) != message:
                raise OSError("something else came back")
            text = repr(message) if len(message) < 40 else f"{len(message)} bytes"
            print(f"{text} came back from {host}:{PORT}")


def main(*arguments):
    if arguments[:1] == ("--linux",):
        import socket
        arguments = arguments[1:]
    else:
        from tipy import socket, tipy
        tipy().start()
    host = arguments[0] if arguments else "192.168.2.199"
    serve(socket) if host == "server" else ask(socket, host)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print()
    except OSError as error:                           # one sentence that says what to do
        sys.exit(str(error))
