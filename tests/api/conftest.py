"""The same bodies against the interpreter's socket module and against tipy.

`net` is the module under test: "kernel" runs on the machine's loopback and proves that a test states what
Linux does; "tipy" runs on a stack that has nothing but its own loopback interface.
"""

import socket as kernel
import sys
import threading

import pytest

JOIN = 20                      # seconds after which a helper thread counts as stuck


@pytest.fixture
def loopback():
    """A running stack with only its loopback interface, as the default stack."""
    from tipy.testing import start_loopback
    stop = start_loopback()
    yield
    stop()


@pytest.fixture(params=["kernel", "tipy"])
def net(request):
    """A socket module: the stdlib's on Linux, or tipy's."""
    if request.param == "kernel":
        if not sys.platform.startswith("linux"):
            pytest.skip("the reference is Linux")
        yield kernel
        return
    request.getfixturevalue("loopback")
    import tipy.socket
    yield tipy.socket


@pytest.fixture
def ours(loopback):
    """tipy's module alone, for what has no counterpart."""
    import tipy.socket
    return tipy.socket


@pytest.fixture
def keep():
    """keep(sock) closes it after the test and returns it."""
    kept = []

    def keep_(sock):
        kept.append(sock)
        return sock

    yield keep_
    for sock in kept:
        sock.close()


@pytest.fixture
def listener(net, keep):
    """A listening TCP socket on 127.0.0.1."""
    sock = keep(net.socket())
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


@pytest.fixture
def pair(net, keep, listener):
    """(client, server): a connected pair of TCP sockets."""
    client = keep(net.create_connection(listener.getsockname()))
    server = keep(listener.accept()[0])
    return client, server


@pytest.fixture
def udp(net, keep):
    """A bound UDP socket on 127.0.0.1."""
    sock = keep(net.socket(net.AF_INET, net.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    return sock


class Background:
    """A call in another thread; `result()` gives what it returned or raised."""

    def __init__(self, fn, *args):
        self._outcome = None
        self._thread = threading.Thread(target=self._run, args=(fn, args), daemon=True)
        self._thread.start()

    def _run(self, fn, args):
        try:
            self._outcome = fn(*args), None
        except BaseException as error:
            self._outcome = None, error

    def result(self):
        self._thread.join(JOIN)
        if self._outcome is None:
            raise AssertionError("the background call is stuck")
        value, error = self._outcome
        if error is not None:
            raise error
        return value


@pytest.fixture
def background():
    """background(fn, *args) -> Background"""
    return Background
