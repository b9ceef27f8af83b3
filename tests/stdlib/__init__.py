"""CPython's own network tests, run on tipy's sockets.

    python3 -m tests.stdlib [--jobs N] [--kernel] [pattern ...]

The tests are those of the Python that runs this (its Lib/test must be installed). tipy takes the place of the
socket module as `tipy.install()` does it for any program, then the test module is imported, and each test
runs in a fork of its own on a new stack that has only its loopback interface. Where the system permits it,
all of this happens in a network namespace whose own loopback is down, so that a test which fell back on the
kernel's sockets would fail.

`score: N of M`: M are the tests that made an internet socket (all of test_socket's that were not skipped
count as such), N those of them that passed. What failed or was skipped is listed with its reason. Tests that
cannot pass stand in NOT_PASSING.md, with the reason; they count, but are no surprise.

    catalogue   which modules, which of their tests
    worker      a process for one module, a fork for each of its tests
    __main__    the command: starts the workers, adds up

Not collected by pytest: it takes minutes, and tests the tests of somebody else.
"""
