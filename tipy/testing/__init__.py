"""Tools for testing network programs, with tipy as the network. Our own tests stand on them.

    start_loopback()    a stack that has only its loopback interface, as the default stack
    bed.Bed             a stack on an in-memory wire in virtual time, every packet seen
    peer.Peer           a TCP peer driven by hand on that wire: send this segment, expect that one
    calls.Call          a blocking call in a thread of its own, while the test moves the clock
"""


def start_loopback():
    """Start a stack with only its loopback interface as the default stack; returns a callable that stops it.

    The real clock runs. The user's environment and config.py are ignored.
    """
    from tipy.settings import Settings
    from tipy.stack import LOOPBACK_ONLY, Stack
    stack = Stack(settings=Settings.load(use_user_files=False, ifname=LOOPBACK_ONLY))
    stack.start()
    return stack.stop
