"""`python3 -m tipy bench`: how fast this stack is on this machine, beside the Linux kernel, in 20 seconds.

Every figure stands beside the kernel's own from the same run: the same Python client, the same server program,
over a veth pair between two namespaces with offloads off. That is 1.0. Contenders take turns, repetition by
repetition, so that a neighbour's noise hits all of them alike; shown are medians. The bare TAP is the ceiling:
the same system calls and copies in pure Python, and no protocol.

    network     two namespaces, the reference cables, ethtool by ctypes
    places      where a program runs: the kernel's sockets, a stack on a TAP or a packet socket
    memory      ... or two stacks in this process
    programs    the servers, written once for any socket module; clients, pings: the clients
    probe       the ceiling
    contest     turns, medians, lines of the table
    bulk latency rates scale crew      the rows, for the full bench, too (tests/bench)
    quick       those of the quick form
    table       how they are shown
"""

import argparse
import os
import sys

from tipy.lab import RUNGS

_INTERRUPTED = 130


def main(argv=None):
    """Run the quick form with these command-line arguments; returns the exit status."""
    options = _parser().parse_args(argv)
    from tipy import log
    from tipy.bench.table import run
    log.choose(())
    try:
        return run(sys.stdout, options.rung, options.json)
    except KeyboardInterrupt:
        print("interrupted; everything is cleaned up", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:            # nobody reads any more; spare the interpreter's last flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"the bench cannot run: {error.strerror or error}", file=sys.stderr)
        return 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="tipy bench", description="Measure the stack beside the Linux kernel on this machine, in a private "
        "network that is gone afterwards. It takes about 20 seconds and both of two CPUs.")
    parser.add_argument("--json", action="store_true", help="the figures as JSON; times in microseconds (us)")
    parser.add_argument("--rung", choices=RUNGS, help="insist on this kind of network, not the best one")
    return parser
