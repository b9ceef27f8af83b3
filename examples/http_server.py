"""Python's own http.server on the stack: the files of a directory for every browser of the network.

Run:     PYTHONPATH=. python3 examples/http_server.py [DIRECTORY [PORT]]     (default: . 8000)
Try:     curl http://192.168.2.200:8000/README.md
Prints:  http://192.168.2.200:8000/
         192.168.2.199 - - [21/Nov/2026 08:15:27] "GET /README.md HTTP/1.1" 200 -
Ctrl-C ends it.
"""

import functools
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from tipy import socket, tipy


class Server(ThreadingHTTPServer):
    """The stdlib's server. Only where its socket comes from is different."""

    daemon_threads = True

    def __init__(self, address, handler):
        super().__init__(address, handler, bind_and_activate=False)
        self.socket.close()                            # one of Linux's, not even bound
        self.socket = socket.create_server(address)
        self.server_name, self.server_port = address


def main(directory=".", port="8000"):
    handler = functools.partial(SimpleHTTPRequestHandler, directory=directory)
    with tipy() as stack:
        host = stack.settings.address.partition("/")[0]
        with Server((host, int(port)), handler) as server:
            print(f"http://{host}:{port}/", flush=True)
            server.serve_forever()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print()
    except OSError as error:                           # one sentence that says what to do
        sys.exit(str(error))
