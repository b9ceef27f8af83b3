"""The module itself: complete, cheap, bound to the right stack."""

import gc
import subprocess
import sys
import warnings

import pytest


def test_every_name_of_the_stdlibs_module_is_there():
    import socket as kernel

    import tipy.socket
    assert set(kernel.__all__) <= set(vars(tipy.socket))


def test_importing_starts_no_thread():
    code = "import threading, tipy.socket as s; assert threading.active_count() == 1 and s.AF_INET == 2"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_a_stack_a_socket_says_what_to_do():
    import errno

    import tipy.socket
    with pytest.raises(OSError, match="start") as error:
        tipy.socket.socket()
    assert error.value.errno == errno.ENETDOWN


def test_other_families_are_the_kernels(ours):
    a, b = ours.socketpair()
    with a, b:
        a.sendall(b"abc")
        assert b.recv(3) == b"abc" and a.family == ours.AF_UNIX


def test_our_sockets_pass_for_the_interpreters(ours, keep):
    import _socket
    assert isinstance(keep(ours.socket()), _socket.socket)


def test_a_forgotten_socket_is_warned_of_and_closed(ours, keep):
    listener = keep(ours.create_server(("127.0.0.1", 0)))
    client = ours.create_connection(listener.getsockname())
    server = keep(listener.accept()[0])
    text = repr(client)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client
        gc.collect()
    assert [w.category for w in caught] == [ResourceWarning] and text in str(caught[0].message)
    assert server.recv(1) == b""


def test_a_finalizer_at_the_very_end_is_silent(ours, keep, monkeypatch):
    """The interpreter sets the names of modules to None, and collects what is left; without the GIL even what a program
    just forgot to close."""
    from tipy.sockets import handle
    sock = ours.socket()
    with monkeypatch.context() as patch:
        for name in [name for name in vars(handle) if not name.startswith("__")]:
            patch.setattr(handle, name, None)
        patch.setattr("tipy.driver.os", None)
        sock._channel.gate.poke()
        with warnings.catch_warnings(record=True) as caught:
            sock.__del__()
    sock.close()
    assert caught == []


def test_a_finalizer_never_takes_the_lock(ours, keep):
    from tipy.stack import default_stack
    sock = ours.socket()
    sock.bind(("127.0.0.1", 0))
    name = sock.getsockname()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with default_stack().gate:
            del sock
            gc.collect()
    keep(ours.socket()).bind(name)                     # the port is free again


def test_a_stack_has_its_own_namespace(ours):
    from tipy.stack import default_stack
    stack = default_stack()
    assert stack.socket is stack.socket and stack.socket is not ours
    with stack.socket.create_server(("127.0.0.1", 0)) as server:
        with ours.create_connection(server.getsockname()) as client:
            assert client.getpeername() == server.getsockname()


def test_stopping_the_stack_wakes_blocked_calls_with_enetdown(background):
    import errno

    import tipy.socket
    from tipy.testing import start_loopback
    stop = start_loopback()
    listener = tipy.socket.create_server(("127.0.0.1", 0))
    waiting = background(listener.accept)
    stop()
    with pytest.raises(OSError) as error:
        waiting.result()
    assert error.value.errno == errno.ENETDOWN
    listener.close()
