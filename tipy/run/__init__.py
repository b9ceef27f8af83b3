"""`python3 -m tipy run`: a whole program on tipy, nothing changed in it.

    options     what the words before the program mean
    network     which network the program gets
    loop        the stack's loopback as a wire that can lose frames and be captured
    kernel      destinations left to the kernel's sockets
    refused     packages that would go by the kernel in silence
    program     the program: __main__, sys.argv, sys.path, its end
    tracebacks  what it is shown when it fails
    farewell    how the stack ends

First the network is started and the socket module replaced, then the program begins. Its end is as in
Python: threads are waited for, atexit functions called, the exit status passed on. The connections it left
open are closed by then as the kernel would: FIN, or RST where data was not read.
"""

import sys

from tipy.errors import SetupError
from tipy.run.options import parse


def main(argv):
    """Run a program; returns only if it could not be started, with the exit status."""
    options = parse(argv)
    if options is None:
        return 0
    from tipy.run.network import Network
    from tipy.run.program import Program, Unreadable
    try:
        program = Program(options.program, options.internals)
        network = Network(options)
    except (Unreadable, SetupError, OSError, ValueError) as error:
        print(f"tipy: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return getattr(error, "status", 1)
    from tipy import patch
    from tipy.run.refused import refuse
    patch.install()
    refuse()
    if options.kernel:
        from tipy.run.kernel import leave_to_kernel
        leave_to_kernel(options.kernel)
    if not options.internals:
        from tipy.run import tracebacks
        tracebacks.hide_ours()
    print(f"tipy: {network}", file=sys.stderr, flush=True)
    program.run(network)
