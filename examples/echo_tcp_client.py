"""A client for echo_tcp.py (and, with --tls, for echo_tls.py): sends a line, prints what comes back.

    PYTHONPATH=. python3 -m tipy run --ifname tap7 examples/echo_tcp_client.py 192.168.2.199
    python3 examples/echo_tcp_client.py 192.168.2.200           # the same on the kernel

Usage: echo_tcp_client.py [--tls] [host [port]]. Prints:

    Server said: b'Hello, world!'
    Connection lost.
"""

import asyncio
import ssl
import sys


async def main(host="localhost", port="1234", context=None):
    try:
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    except OSError as error:
        sys.exit(f"Connection failed: {error}")
    writer.write(b"Hello, world!")
    print("Server said:", await reader.readexactly(13))
    writer.close()
    await writer.wait_closed()
    print("Connection lost.")


arguments = sys.argv[1:]
context = None
if arguments[:1] == ["--tls"]:
    del arguments[0]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE       # the certificate signed itself
asyncio.run(main(*arguments, context=context))
