"""redis: commands, a pipeline, publish and subscribe, asyncio; against a small server of its protocol."""

import asyncio
import socketserver
import threading

import redis
import redis.asyncio


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, request_queue_size = True, 100

    def handle_error(self, request, client_address):
        """Clients hang up as they please."""


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2])
            self.wfile.write(self.answer(words[0].upper(), words[1:]))

    def answer(self, command, words):
        if command == b"SET":
            store[words[0]] = words[1]
        elif command == b"GET":
            value = store.get(words[0])
            return b"$-1\r\n" if value is None else bulk(value)
        elif command in (b"INCR", b"INCRBY"):
            store[words[0]] = b"%d" % (int(store.get(words[0], b"0")) + 1)
            return b":" + store[words[0]] + b"\r\n"
        elif command == b"SUBSCRIBE":
            subscribers.append(self.wfile)
            return b"*3\r\n" + bulk(b"subscribe") + bulk(words[0]) + b":1\r\n"
        elif command == b"PUBLISH":
            for file in subscribers:
                file.write(b"*3\r\n" + bulk(b"message") + bulk(words[0]) + bulk(words[1]))
            return b":%d\r\n" % len(subscribers)
        elif command == b"HELLO":
            return b"-ERR unknown command\r\n"
        elif command == b"PING":
            return b"+PONG\r\n"
        return b"+OK\r\n"


def bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)


store, subscribers = {}, []
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_address[1]
options = {"host": "127.0.0.1", "port": port, "socket_timeout": 20, "protocol": 2}
big = bytes(range(256)) * 4000
with redis.Redis(socket_keepalive=True, **options) as client:
    assert client.ping() and client.set("a", big) and client.get("a") == big and client.get("b") is None
    with client.pipeline(transaction=False) as pipe:
        for _ in range(1000):
            pipe.incr("n")
        assert pipe.execute() == list(range(1, 1001))
    listening = client.pubsub()
    listening.subscribe("news")
    assert listening.get_message(timeout=20)["type"] == "subscribe"
    client.publish("news", "hello")
    assert listening.get_message(timeout=20)["data"] == b"hello"
    listening.close()


async def main():
    async with redis.asyncio.Redis(**options) as client:
        await asyncio.gather(*(client.set(f"k{n}", n) for n in range(50)))
        assert await client.get("k49") == b"49"


asyncio.run(asyncio.wait_for(main(), 60))
print(redis.__version__, "commands, 1000 in a pipeline, publish and subscribe, asyncio")
