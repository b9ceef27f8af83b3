"""aiohttp: its server and its client, a WebSocket, a stream, many at once."""

import asyncio

import aiohttp
from aiohttp import web

BIG = bytes(range(256)) * 4000


async def echo(request):
    return web.Response(body=(await request.read())[::-1])


async def chat(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


async def main():
    app = web.Application(client_max_size=1 << 24)
    app.add_routes([web.post("/echo", echo), web.get("/chat", chat)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = "http://127.0.0.1:%d" % site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        async def ask(number):
            async with session.post(url + "/echo", data=BIG[number:]) as answer:
                assert await answer.read() == BIG[number:][::-1]
        await asyncio.gather(*map(ask, range(20)))
        async with session.ws_connect(url + "/chat") as socket:
            for word in ("one", "two", "three" * 10000):
                await socket.send_str(word)
                assert await socket.receive_str() == word.upper()
    await runner.cleanup()


asyncio.run(asyncio.wait_for(main(), 60))
print(aiohttp.__version__, "20 POSTs at once, a WebSocket")
