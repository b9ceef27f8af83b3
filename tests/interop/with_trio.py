"""trio: streams, cancellation, datagrams, a hundred connections at once."""

import trio

BIG = bytes(range(256)) * 2000


async def echo(stream):
    async for data in stream:
        await stream.send_all(data)


async def ask(port, number):
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        data = BIG[number:]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, data)
            got = b""
            while len(got) < len(data):
                got += await stream.receive_some(65536)
        assert got == data


async def datagrams():
    one, two = (trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) for _ in range(2))
    for sock in (one, two):
        await sock.bind(("127.0.0.1", 0))
    await one.sendto(b"hello", two.getsockname())
    assert await two.recvfrom(99) == (b"hello", one.getsockname())
    with trio.move_on_after(0.05) as scope:
        await one.recvfrom(99)
    assert scope.cancelled_caught
    one.close()
    two.close()


async def main():
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(lambda *, task_status: trio.serve_tcp(
                echo, 0, host="127.0.0.1", task_status=task_status))
            port = listeners[0].socket.getsockname()[1]
            async with trio.open_nursery() as inner:
                for number in range(50):
                    inner.start_soon(ask, port, number)
            await datagrams()
            nursery.cancel_scope.cancel()


trio.run(main)
print(trio.__version__, "50 streams at once, both ways; datagrams; cancellation")
