"""asyncio in virtual time: the loop waits as a blocking call does, by the clock."""

import asyncio
import threading
import time

import pytest
from programs import NEAR, PORT, Net, outcomes

from tipy.clock import ManualClock

JOIN = 20                      # seconds after which a thread counts as stuck


def run(clock, main):
    with asyncio.Runner(loop_factory=clock.event_loop) as runner:
        return runner.run(main)


async def connect(stack, address):
    """asyncio.open_connection through one stack."""
    sock = stack.socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return await asyncio.open_connection(sock=sock)


async def serve(stack, handler):
    """asyncio.start_server through one stack."""
    return await asyncio.start_server(handler, sock=stack.socket.create_server((NEAR, PORT)))


async def echo(reader, writer):
    while data := await reader.read(4096):
        await asyncio.sleep(0.05)
        writer.write(data.upper())
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_loop_sleeps_by_the_clock():
    clock = ManualClock(start=100.0, auto=True)

    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(3600)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 3.5)
        return began, loop.time()

    began, ended = run(clock, main())
    assert (began, ended) == (100.0, 3703.5) and clock.now() == 3703.5


def test_echo_server_and_three_clients_do_the_same_at_the_same_times_always():
    async def client(net, number):
        await asyncio.sleep(0.3 * number)
        reader, writer = await connect(net.far, (NEAR, PORT))
        for question in range(3):
            writer.write(b"question %d of %d;" % (question, number) * 50)
            answer = await reader.readexactly(800)
            net.tell(number, answer[:15])
            await asyncio.sleep(number + 0.5)
        writer.close()
        await writer.wait_closed()

    async def main(net):
        async with await serve(net.near, echo):
            await asyncio.gather(*(client(net, number) for number in range(3)))
            await asyncio.sleep(1)                     # for the server's last words

    first, *others = outcomes(lambda net: run(net.clock, main(net)), 10)
    story, frames = first
    assert sorted(what[1] for what in story) == [0] * 3 + [1] * 3 + [2] * 3
    for when, number, text in story:
        assert text[-4:].strip() and when > 0.3 * number + 0.05 + 0.04      # its sleep, the server's, a round trip
    assert len(frames) > 40
    for other in others:
        assert other[0] == story
        assert other[1] == frames


def test_loop_and_threads_share_the_time():
    """The server is a thread with blocking calls, the clients are tasks."""
    def program(net):
        def server():
            listener = net.near.socket.create_server((NEAR, PORT))
            for _ in range(2):
                sock, _ = listener.accept()
                with sock:
                    while data := sock.recv(100):
                        net.clock.sleep(0.5)
                        sock.sendall(data)
            listener.close()

        async def client(number):
            reader, writer = await connect(net.far, (NEAR, PORT))
            writer.write(b"x" * 10)
            net.tell(number, await reader.readexactly(10))
            writer.close()
            await writer.wait_closed()

        async def main():
            await asyncio.gather(client(0), client(1))

        thread = threading.Thread(target=server)
        thread.start()
        net.clock.sleep(0.1)
        run(net.clock, main())
        thread.join()

    first, *others = outcomes(program, 10)
    assert [number for _, number, _ in first[0]] == [0, 1] and first[0][1][0] > 1.1
    assert all(other == first for other in others)


def test_time_waits_for_the_loops_own_threads():
    clock = ManualClock(auto=True)

    def job():
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return clock.now()

    async def main():
        sleeping = asyncio.create_task(asyncio.sleep(1))
        seen = [await asyncio.to_thread(job)]
        await sleeping                                 # the pool's thread is idle meanwhile
        return [*seen, await asyncio.to_thread(job), clock.now()]

    for _ in range(5):
        clock = ManualClock(auto=True)
        assert run(clock, main()) == [0.0, 1.0, 1.0]


def test_call_from_another_thread_wakes_the_loop():
    clock = ManualClock(auto=True)

    async def main():
        loop = asyncio.get_running_loop()
        told = loop.create_future()

        def tell():
            clock.sleep(2)
            loop.call_soon_threadsafe(told.set_result, "news")

        thread = threading.Thread(target=tell)
        thread.start()
        result = await told
        thread.join()
        return result, loop.time()

    assert run(clock, main()) == ("news", 2.0)


def test_loop_without_anything_to_wait_for_ends_with_an_error():
    clock = ManualClock(auto=True)

    async def main():
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is left that could happen: MainThread waits for 1 descriptor"):
        clock.event_loop().run_until_complete(main())


def test_loop_needs_a_clock_that_moves_by_itself():
    with pytest.raises(RuntimeError, match="auto=True"):
        ManualClock().event_loop()
