"""TCP sockets, as programs use them."""

import array
import errno
import hashlib

import pytest
from api_helpers import receive_exactly


def test_bytes_sent_arrive_in_order(pair):
    client, server = pair
    client.sendall(b"hello ")
    client.sendall(b"world")
    assert receive_exactly(server, 11) == b"hello world"


def test_a_megabyte_arrives_unchanged(pair, background):
    client, server = pair
    data = bytes(range(251)) * 4200
    sender = background(client.sendall, data)
    received = receive_exactly(server, len(data))
    sender.result()
    assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


def test_both_ends_know_both_names(pair, listener):
    client, server = pair
    assert client.getpeername() == server.getsockname() == listener.getsockname()
    assert client.getsockname() == server.getpeername()


def test_accept_returns_the_address_of_the_client(net, keep, listener):
    client = keep(net.create_connection(listener.getsockname()))
    server, address = listener.accept()
    keep(server)
    assert address == client.getsockname()


def test_a_closed_port_refuses(net, keep, listener):
    name = listener.getsockname()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        keep(net.socket()).connect(name)


def test_connect_ex_returns_the_errno(net, keep, listener):
    name = listener.getsockname()
    listener.close()
    assert keep(net.socket()).connect_ex(name) == errno.ECONNREFUSED


def test_a_refused_socket_may_connect_again(net, keep, listener):
    closed = keep(net.socket())
    closed.bind(("127.0.0.1", 0))
    sock = keep(net.socket())
    with pytest.raises(ConnectionRefusedError):
        sock.connect(closed.getsockname())
    sock.connect(listener.getsockname())
    assert sock.getpeername() == listener.getsockname()


def test_connecting_twice_is_eisconn(pair, listener):
    client, _ = pair
    with pytest.raises(OSError) as error:
        client.connect(listener.getsockname())
    assert error.value.errno == errno.EISCONN


def test_connecting_a_listener_is_eisconn(listener):
    with pytest.raises(OSError) as error:
        listener.connect(("127.0.0.1", 9))
    assert error.value.errno == errno.EISCONN


def test_a_non_blocking_connect_is_in_progress_then_done(net, keep, listener):
    sock = keep(net.socket())
    sock.setblocking(False)
    assert sock.connect_ex(listener.getsockname()) == errno.EINPROGRESS
    keep(listener.accept()[0])
    assert sock.getsockopt(net.SOL_SOCKET, net.SO_ERROR) == 0
    assert sock.getpeername() == listener.getsockname()


def test_so_error_tells_a_refused_non_blocking_connect_once(net, keep, listener):
    import select
    name = listener.getsockname()
    listener.close()
    sock = keep(net.socket())
    sock.setblocking(False)
    assert sock.connect_ex(name) == errno.EINPROGRESS
    assert select.select([], [sock], [], 20)[1] == [sock]
    assert sock.getsockopt(net.SOL_SOCKET, net.SO_ERROR) == errno.ECONNREFUSED
    assert sock.getsockopt(net.SOL_SOCKET, net.SO_ERROR) == 0


def test_the_end_of_the_stream_is_an_empty_read(pair):
    client, server = pair
    client.sendall(b"last")
    client.close()
    assert receive_exactly(server, 4) == b"last"
    assert server.recv(10) == b""
    assert server.recv(10) == b""


def test_after_shutdown_of_writing_the_other_direction_works(net, pair):
    client, server = pair
    client.sendall(b"question")
    client.shutdown(net.SHUT_WR)
    assert receive_exactly(server, 8) == b"question"
    assert server.recv(1) == b""
    server.sendall(b"answer")
    assert receive_exactly(client, 6) == b"answer"


def test_writing_after_shutdown_is_epipe(net, pair):
    client, _ = pair
    client.shutdown(net.SHUT_WR)
    with pytest.raises(BrokenPipeError):
        client.send(b"x")


def test_shutdown_of_reading_reads_nothing_when_empty(net, pair):
    client, server = pair
    server.sendall(b"before")
    assert client.recv(1, net.MSG_PEEK) == b"b"
    client.shutdown(net.SHUT_RD)
    assert receive_exactly(client, 6) == b"before"
    assert client.recv(10) == b""
    client.sendall(b"still")
    assert receive_exactly(server, 5) == b"still"


def test_shutdown_wakes_a_blocked_read(net, pair, background):
    client, _ = pair
    reader = background(client.recv, 10)
    client.shutdown(net.SHUT_RDWR)
    assert reader.result() == b""


def test_shutdown_of_an_unconnected_socket_is_enotconn(net, keep):
    with pytest.raises(OSError) as error:
        keep(net.socket()).shutdown(net.SHUT_RDWR)
    assert error.value.errno == errno.ENOTCONN


def test_shutdown_knows_three_ways(net, pair):
    with pytest.raises(OSError) as error:
        pair[0].shutdown(3)
    assert error.value.errno == errno.EINVAL


def test_linger_zero_resets(net, pair):
    import struct
    client, server = pair
    client.setsockopt(net.SOL_SOCKET, net.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    with pytest.raises(ConnectionResetError):
        server.recv(1)
    assert server.recv(1) == b""


def test_closing_with_unread_data_resets(net, pair):
    client, server = pair
    client.sendall(b"unread")
    assert server.recv(1, net.MSG_PEEK) == b"u"
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_lingering_close_returns_once_all_is_acknowledged(net, pair, background):
    import struct
    client, server = pair
    client.setsockopt(net.SOL_SOCKET, net.SO_LINGER, struct.pack("ii", 1, 20))
    client.sendall(b"x" * 1000)
    closing = background(client.close)
    assert receive_exactly(server, 1000) == b"x" * 1000
    closing.result()


def test_peek_leaves_the_data(net, pair):
    client, server = pair
    client.sendall(b"abc")
    assert server.recv(2, net.MSG_PEEK) == b"ab"
    assert receive_exactly(server, 3) == b"abc"


def test_waitall_waits_for_everything(net, pair, background):
    client, server = pair
    reader = background(server.recv, 6, net.MSG_WAITALL)
    client.sendall(b"abc")
    client.sendall(b"def")
    assert reader.result() == b"abcdef"


def test_waitall_ends_with_the_stream(net, pair, background):
    client, server = pair
    reader = background(server.recv, 600, net.MSG_WAITALL)
    client.sendall(b"abc")
    client.close()
    assert reader.result() == b"abc"


def test_dontwait_does_not_wait(net, pair):
    with pytest.raises(BlockingIOError):
        pair[0].recv(1, net.MSG_DONTWAIT)


def test_recv_with_trunc_discards(net, pair):
    client, server = pair
    client.sendall(b"abcdef")
    assert server.recv(1, net.MSG_PEEK) == b"a"
    assert len(server.recv(3, net.MSG_TRUNC)) == 3
    assert receive_exactly(server, 3) == b"def"


def test_recv_into_fills_a_part_of_a_buffer(pair):
    client, server = pair
    client.sendall(b"abc")
    buffer = bytearray(b"........")
    count = server.recv_into(memoryview(buffer)[2:], 3)
    assert buffer[2:2 + count] == b"abc"[:count]


def test_nothing_can_be_sent_after_a_failure_to_do_so(net, pair):
    """Nothing, of a type that is not bytes: no view of it is common to all that send it."""
    nothing = array.array("i")
    with net.socket() as other, pytest.raises(OSError):
        other.send(nothing)
    assert pair[0].send(nothing) == 0


def test_recv_of_nothing_is_nothing(pair):
    assert pair[0].recv(0) == b""


def test_a_timeout_is_a_timeout_error(pair):
    client, _ = pair
    client.settimeout(0.01)
    with pytest.raises(TimeoutError, match="^timed out$"):
        client.recv(1)


def test_accept_times_out(listener):
    listener.settimeout(0.01)
    with pytest.raises(TimeoutError, match="^timed out$"):
        listener.accept()


def test_a_non_blocking_read_and_accept_are_eagain(pair, listener):
    client, _ = pair
    client.setblocking(False)
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_an_accepted_socket_blocks_even_if_the_listener_does_not(net, keep, listener):
    listener.settimeout(10)
    keep(net.create_connection(listener.getsockname()))
    server = keep(listener.accept()[0])
    assert server.gettimeout() is None


def test_a_non_blocking_send_takes_what_fits_then_is_eagain(pair):
    client, _ = pair
    client.setblocking(False)
    total = 0
    with pytest.raises(BlockingIOError):
        for _ in range(100000):
            total += client.send(b"x" * 65536)
    assert total > 0


def test_sendall_times_out_as_a_whole(pair):
    client, _ = pair
    client.settimeout(0.05)
    with pytest.raises(TimeoutError, match="^timed out$"):
        client.sendall(bytes(64 << 20))


def test_what_a_timed_out_sendall_has_left_in_the_queue_arrives(pair, background):
    """Whatever it was given, and whatever becomes of that: it failed in the middle, but what was taken was taken."""
    client, server = pair

    def read():
        got = bytearray()
        while not got.endswith(b"the end!"):
            got += server.recv(1 << 20)
        return got[:-8]

    for kind in (bytes, bytearray, memoryview):
        whole = bytes(range(251)) * (1 << 16)
        data = kind(whole)
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.sendall(data)
        if kind is bytearray:
            data[:] = bytes(len(data))
            data.clear()                               # nobody holds on to it
        del data
        reader = background(read)
        client.settimeout(20)
        client.sendall(b"the end!")
        got = reader.result()
        assert got == whole[:len(got)]


def test_what_waits_to_be_sent_holds_on_to_little_more(ours, keep):
    """A program that sends what is left of its buffer again and again makes a new object each time."""
    listener = keep(ours.create_server(("127.0.0.1", 0)))
    client = keep(ours.create_connection(listener.getsockname()))
    client.setblocking(False)
    rest = bytes(8 << 20)
    with pytest.raises(BlockingIOError):
        while True:
            rest = rest[client.send(rest):]
    queue = client._channel.endpoint.sendq
    held = sum(len(chunk.obj) for chunk in queue._chunks if chunk is not None)
    assert len(queue) <= held <= 2 * len(queue)


def test_the_buffer_may_change_after_sending(pair):
    client, server = pair
    data = bytearray(b"before")
    client.sendall(data)
    client.sendall(memoryview(data))
    data[:] = b"after!"
    client.shutdown(1)
    got = b""
    while piece := server.recv(100):
        got += piece
    assert got == b"before" * 2


def test_rcvtimeo_ends_a_blocking_read_with_eagain(net, pair):
    import struct
    client, _ = pair
    client.setsockopt(net.SOL_SOCKET, net.SO_RCVTIMEO, struct.pack("ll", 0, 10000))
    with pytest.raises(BlockingIOError):
        client.recv(1)


def test_sending_before_connecting_is_epipe_and_receiving_enotconn(net, keep):
    sock = keep(net.socket())
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")
    with pytest.raises(OSError) as error:
        sock.recv(1)
    assert error.value.errno == errno.ENOTCONN


def test_a_listener_neither_sends_nor_receives(listener):
    with pytest.raises(BrokenPipeError):
        listener.send(b"x")
    with pytest.raises(OSError) as error:
        listener.recv(1)
    assert error.value.errno == errno.ENOTCONN


def test_accepting_without_listening_is_einval(net, keep):
    with pytest.raises(OSError) as error:
        keep(net.socket()).accept()
    assert error.value.errno == errno.EINVAL


def test_shutdown_of_a_listener_wakes_accept_with_einval(net, listener, background):
    waiting = background(listener.accept)
    listener.shutdown(net.SHUT_RDWR)
    with pytest.raises(OSError) as error:
        waiting.result()
    assert error.value.errno == errno.EINVAL


def test_two_listeners_on_one_port_are_eaddrinuse(net, keep, listener):
    with pytest.raises(OSError) as error:
        keep(net.socket()).bind(listener.getsockname())
    assert error.value.errno == errno.EADDRINUSE


def test_a_foreign_address_cannot_be_bound(net, keep):
    with pytest.raises(OSError) as error:
        keep(net.socket()).bind(("192.0.2.77", 0))
    assert error.value.errno == errno.EADDRNOTAVAIL


def test_binding_twice_is_einval(net, keep):
    sock = keep(net.socket())
    sock.bind(("127.0.0.1", 0))
    with pytest.raises(OSError) as error:
        sock.bind(("127.0.0.1", 0))
    assert error.value.errno == errno.EINVAL


def test_listening_without_a_name_chooses_a_port(net, keep):
    sock = keep(net.socket())
    assert sock.getsockname() == ("0.0.0.0", 0)
    sock.listen()
    assert sock.getsockname()[0] == "0.0.0.0" and sock.getsockname()[1]


def test_a_bound_client_keeps_its_port(net, keep, listener):
    sock = keep(net.socket())
    sock.bind(("127.0.0.1", 0))
    name = sock.getsockname()
    sock.connect(listener.getsockname())
    assert sock.getsockname() == name


def test_connecting_to_the_unspecified_address_reaches_this_host(net, keep, listener):
    sock = keep(net.socket())
    sock.connect(("", listener.getsockname()[1]))
    assert sock.getpeername() == listener.getsockname()


def test_waiting_connections_are_accepted_in_order(net, keep, listener):
    clients = [keep(net.create_connection(listener.getsockname())) for _ in range(5)]
    accepted = [keep(listener.accept()[0]) for _ in clients]
    assert [s.getpeername() for s in accepted] == [c.getsockname() for c in clients]


def test_closing_a_listener_resets_who_was_not_accepted(net, keep, listener):
    client = keep(net.create_connection(listener.getsockname()))
    listener.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_sendmsg_gathers_and_recvmsg_into_scatters(net, pair):
    client, server = pair
    assert client.sendmsg([b"abc", b"", b"defg"]) == 7
    first, second = bytearray(3), bytearray(10)
    assert server.recv(7, net.MSG_PEEK | net.MSG_WAITALL) == b"abcdefg"
    count, ancillary, flags, _ = server.recvmsg_into([first, second])
    assert (count, ancillary, bytes(first), bytes(second[:4])) == (7, [], b"abc", b"defg")


def test_makefile_reads_lines(pair):
    client, server = pair
    with client.makefile("w") as writer:
        writer.write("one\ntwo\n")
    with server.makefile("r") as reader:
        assert reader.readline() == "one\n"
        assert reader.readline() == "two\n"


def test_a_socket_stays_open_while_its_file_is(pair):
    client, server = pair
    reader = client.makefile("rb")
    client.close()
    server.sendall(b"abc")
    assert reader.read(3) == b"abc"
    reader.close()
    assert server.recv(1) == b""


def test_sendfile_sends_a_file(pair, tmp_path, background):
    client, server = pair
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 1000)
    with open(path, "rb") as file:
        sender = background(client.sendfile, file, 256, 200000)
        assert receive_exactly(server, 200000) == path.read_bytes()[256:200256]
        assert sender.result() == 200000
        assert file.tell() == 200256


@pytest.mark.parametrize("call", ["recv", "accept", "sendall", "connect"])
def test_close_by_another_thread_wakes_a_blocked_call(ours, keep, background, call):
    listener = keep(ours.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    sock = listener
    if call != "accept":
        sock = keep(ours.create_connection(listener.getsockname()))    # the accept queue is full now
    if call == "connect":
        sock = keep(ours.socket())
    calls = {"recv": lambda: sock.recv(1), "accept": sock.accept, "sendall": lambda: sock.sendall(bytes(100 << 20)),
             "connect": lambda: sock.connect(listener.getsockname())}
    blocked = background(calls[call])
    until_blocked()
    sock.close()
    with pytest.raises(OSError) as error:
        blocked.result()
    assert error.value.errno == errno.EBADF


def until_blocked():
    """Until a thread waits in a call of the default stack."""
    from tipy.stack import default_stack
    while not default_stack().gate.describe_waits():
        pass


def test_an_urgent_byte_lies_beside_the_stream(net, pair):
    import select
    client, server = pair
    server.sendall(b"abc")
    server.send(b"!", net.MSG_OOB)
    assert select.select([], [], [client], 20)[2] == [client]
    assert client.recv(1, net.MSG_OOB) == b"!"
    assert select.select([], [], [client], 0)[2] == []
    assert receive_exactly(client, 3) == b"abc"
    with pytest.raises(OSError) as error:
        client.recv(1, net.MSG_OOB)
    assert error.value.errno == errno.EINVAL


def test_a_failed_call_lets_go_of_the_buffer(pair):
    client, _ = pair
    client.setblocking(False)
    buffer = bytearray(100)
    try:
        client.recv_into(buffer)
    except BlockingIOError:
        buffer.clear()
    buffer += bytes(1 << 20)
    try:
        while True:
            client.send(buffer)
    except BlockingIOError:
        buffer.clear()


def test_a_reset_after_the_end_of_the_stream_is_for_writers_only(net, pair):
    import select
    client, server = pair
    client.close()
    assert server.recv(1, net.MSG_PEEK) == b""
    server.send(b"answered by a reset")
    poll = select.poll()
    poll.register(server, 0)
    assert poll.poll(20000)[0][1] == select.POLLERR | select.POLLHUP
    assert server.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        server.send(b"x")
    assert server.recv(1) == b""
