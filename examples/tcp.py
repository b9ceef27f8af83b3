"""TCP: a server that answers in capitals, and a client. With --linux first: on Linux's own sockets.

Run:     PYTHONPATH=. python3 examples/tcp.py --linux server          (on the computer the bridge is on)
         PYTHONPATH=. python3 examples/tcp.py 192.168.2.199           (in another terminal)
or:      PYTHONPATH=. python3 examples/tcp.py server                  (this time the stack is the server)
         PYTHONPATH=. python3 examples/tcp.py --linux 192.168.2.200   (or: nc 192.168.2.200 8000)
Prints:  server:  waiting on port 8000
                  192.168.2.200:38170 said 2 lines
         client:  HELLO
                  OVER TAP7
"""

import sys

PORT = 8000
LINES = (b"hello\n", b"over tap7\n")


def serve(socket):
    """One caller after the other, until Ctrl-C."""
    with socket.create_server(("", PORT)) as listener:
        print("waiting on port", PORT, flush=True)
        while True:
            sock, (host, port) = listener.accept()
            with sock, sock.makefile("rb") as lines:
                count = 0
                for line in lines:                     # ends when the caller has shut down its side
                    sock.sendall(line.upper())
                    count += 1
            print(f"{host}:{port} said {count} lines", flush=True)


def ask(socket, host):
    """Say everything, then listen to the end."""
    with socket.create_connection((host, PORT), timeout=5) as sock:
        for line in LINES:
            sock.sendall(line)
        sock.shutdown(socket.SHUT_WR)
        while data := sock.recv(4096):
            print(data.decode(), end="")


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
