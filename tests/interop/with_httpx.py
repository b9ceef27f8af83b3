"""httpx, threaded and async, against uvicorn."""

import asyncio
import threading
import time

import httpx
import uvicorn

BIG = bytes(range(256)) * 4000


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for start in range(0, len(body), 50000):
        await send({"type": "http.response.body", "body": body[start:start + 50000], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="critical", lifespan="off"))
thread = threading.Thread(target=server.run, daemon=True)
thread.start()
while not server.started:
    time.sleep(0.01)
url = "http://127.0.0.1:%d/" % server.servers[0].sockets[0].getsockname()[1]
with httpx.Client(timeout=20) as client:
    for _ in range(5):
        assert client.post(url, content=BIG).content == BIG


async def main():
    async with httpx.AsyncClient(timeout=20) as client:
        answers = await asyncio.gather(*(client.post(url, content=BIG) for _ in range(20)))
        assert all(answer.content == BIG for answer in answers)


asyncio.run(main())
server.should_exit = True
thread.join(20)
print(httpx.__version__, f"threaded, and 20 at once in asyncio, against uvicorn {uvicorn.__version__}")
