"""A UDP echo server in asyncio, from the standard library alone.

    PYTHONPATH=. python3 -m tipy run --ifname tap7 examples/echo_udp.py
    nc -u 192.168.2.200 1234

Prints:

    listening on 0.0.0.0:1234
    received b'hello\\n' from ('192.168.2.199', 40210)
"""

import asyncio
import sys


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        print(f"received {data!r} from {addr}", flush=True)
        self.transport.sendto(data, addr)


async def main(port):
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", port))
    print(f"listening on 0.0.0.0:{port}", flush=True)
    await loop.create_future()                     # for ever


try:
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1234))
except KeyboardInterrupt:
    print("bye")
