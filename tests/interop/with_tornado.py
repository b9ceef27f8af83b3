"""tornado: HTTP server and client, a WebSocket, its own IOStream."""

import asyncio

import tornado
import tornado.httpclient
import tornado.httpserver
import tornado.iostream
import tornado.netutil
import tornado.tcpclient
import tornado.tcpserver
import tornado.web
import tornado.websocket

BIG = bytes(range(256)) * 4000


class Echo(tornado.web.RequestHandler):
    def post(self):
        self.write(self.request.body[::-1])


class Chat(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message.upper())


class Lines(tornado.tcpserver.TCPServer):
    async def handle_stream(self, stream, address):
        try:
            while True:
                await stream.write((await stream.read_until(b"\n")).upper())
        except tornado.iostream.StreamClosedError:
            pass


def listen(server):
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    return sockets[0].getsockname()[1]


async def main():
    port = listen(tornado.httpserver.HTTPServer(tornado.web.Application([("/echo", Echo), ("/chat", Chat)])))
    client = tornado.httpclient.AsyncHTTPClient()

    async def ask():
        answer = await client.fetch(f"http://127.0.0.1:{port}/echo", method="POST", body=BIG,
                                    headers={"Content-Type": "application/octet-stream"})
        assert answer.body == BIG[::-1]

    await asyncio.gather(*(ask() for _ in range(10)))
    chat = await tornado.websocket.websocket_connect(f"ws://127.0.0.1:{port}/chat")
    for word in ("one", "two" * 10000):
        await chat.write_message(word)
        assert await chat.read_message() == word.upper()
    chat.close()
    stream = await tornado.tcpclient.TCPClient().connect("127.0.0.1", listen(Lines()))
    await stream.write(b"a line\n")
    assert await stream.read_until(b"\n") == b"A LINE\n"
    stream.close()


asyncio.run(asyncio.wait_for(main(), 60))
print(tornado.version, "10 POSTs at once, a WebSocket, a stream of lines")
