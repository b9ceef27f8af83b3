"""A TCP echo server in asyncio, from the standard library alone: many clients at once, one thread.

    PYTHONPATH=. python3 -m tipy run --ifname tap7 examples/echo_tcp.py
    telnet 192.168.2.200 1234

or, without a bridge, `run --lab`: beside a Linux host in a private network; it says how to get in. The
program knows nothing of tipy: python3 examples/echo_tcp.py runs it on the kernel's network. Prints:

    listening on 0.0.0.0:1234
    received b'hello\\r\\n' from 192.168.2.199:41312
"""

import asyncio
import sys


async def echo(reader, writer):
    host, port = writer.get_extra_info("peername")[:2]
    try:
        while data := await reader.read(65536):
            print(f"received {data!r} from {host}:{port}", flush=True)
            writer.write(data)
            await writer.drain()
    except ConnectionError as error:
        print(f"{host}:{port} is gone: {error}", flush=True)
    finally:
        writer.close()


async def main(port):
    server = await asyncio.start_server(echo, "0.0.0.0", port)
    print(f"listening on 0.0.0.0:{port}", flush=True)
    async with server:
        await server.serve_forever()


try:
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1234))
except KeyboardInterrupt:
    print("bye")
