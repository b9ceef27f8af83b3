"""websockets: its asyncio server, with the asyncio client and the threaded one."""

import asyncio
import threading

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.sync import client as sync_client
from websockets.sync import server as sync_server


async def upper(socket):
    async for message in socket:
        await socket.send(message.upper())


def ask_in_thread(port):
    with sync_client.connect(f"ws://127.0.0.1:{port}") as socket:
        for word in ("one", "two", "three" * 50000):
            socket.send(word)
            assert socket.recv(timeout=20) == word.upper()


async def main():
    async with serve(upper, "127.0.0.1", 0, max_size=1 << 24) as server:
        port = server.sockets[0].getsockname()[1]

        async def ask(number):
            async with connect(f"ws://127.0.0.1:{port}", max_size=1 << 24) as socket:
                for word in ("one", f"two {number}", "x" * 300000):
                    await socket.send(word)
                    assert await socket.recv() == word.upper()
                await (await socket.ping())

        await asyncio.gather(*map(ask, range(10)))
        await asyncio.to_thread(ask_in_thread, port)


def threads():
    def upper(socket):
        for message in socket:
            socket.send(message.upper())
    with sync_server.serve(upper, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        ask_in_thread(server.socket.getsockname()[1])
        server.shutdown()
        thread.join()


asyncio.run(asyncio.wait_for(main(), 60))
threads()
print(websockets.__version__, "10 at once, both clients, both servers, pings")
