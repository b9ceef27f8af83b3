"""`python3 -m tipy demo`: the stack against the real Linux kernel, in a private network, in half a minute.

Nothing to install, no root, nothing of it left afterwards. The lab (see `tipy.lab`) is the best this machine
permits; on its last rung, in memory, a second and a third tipy stack play the hosts. Seven steps, one line
each with the first packets of each exchange below it. Exit status 0 only if every step that can run here was
verified.
"""

import argparse
import contextlib
import os
import sys
import tempfile

from tipy import log
from tipy.demo.players import KernelPlayer, StackPlayer
from tipy.demo.screen import Screen
from tipy.demo.steps import STEPS, NotHere, Stage, Unproven
from tipy.demo.watch import Watch
from tipy.lab import HOST, OTHER, PREFIX_LENGTH, RUNGS, STACK, Lab
from tipy.lab.network import HOST_MAC, OTHER_MAC
from tipy.link.pcap import CaptureLink, PcapngWriter
from tipy.settings import Settings
from tipy.stack import Stack

_INTERRUPTED = 130
_PLACES = {
    "tap": "TAP tap7 on the bridge of a private network namespace, the Linux kernel on the other side",
    "packet": "veth and AF_PACKET in a private network namespace, the Linux kernel on the other side",
    "memory": "a wire in memory; a second and a third tipy stack play the kernel and the other host",
}


def main(argv=None):
    """Run the demo with these command-line arguments; returns the exit status."""
    options = _parser().parse_args(argv)
    screen = Screen(sys.stdout)
    log.choose(())                     # the screen tells the story
    try:
        return _run(screen, options)
    except KeyboardInterrupt:
        screen.line("interrupted; everything is cleaned up")
        return _INTERRUPTED
    except BrokenPipeError:            # nobody reads any more; spare the interpreter's last flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        screen.line(f"the demo cannot run: {error.strerror or error}")
        return 1


def _parser():
    parser = argparse.ArgumentParser(prog="tipy demo", description="Show the stack at work against Linux, "
                                     "in a private network that is gone afterwards.")
    parser.add_argument("--output", metavar="FILE", help="where the capture goes (default: demo.pcapng here, "
                        "or in a temporary directory if this one is not writable)")
    parser.add_argument("--rung", choices=RUNGS, help="insist on this kind of network, not the best one")
    return parser


def _run(screen, options):
    with contextlib.ExitStack() as cleanup:
        lab = cleanup.enter_context(Lab(options.rung))
        screen.line(f"Network: {_PLACES[lab.rung]}." + (f" ({lab.reason}.)" if lab.reason else ""))
        path = _writable_path(options.output)
        writer = PcapngWriter(path)
        cleanup.callback(writer.close)
        return _perform(_stage(screen, lab, path, writer, cleanup))


def _stage(screen, lab, path, writer, cleanup):
    """Everything the steps need; what has to be stopped is told to `cleanup`."""
    watch = Watch(CaptureLink(lab.link(), writer, lab.rung))
    stack = _stack(watch, STACK, cleanup)
    ours = StackPlayer("tipy", STACK, stack)
    if lab.rung == "memory":
        kernel = StackPlayer("a second tipy stack", HOST,
                             _stack(lab.link(), HOST, cleanup, mac=HOST_MAC, acd=False))
        other = StackPlayer("a third tipy stack", OTHER,
                            _stack(lab.link(), OTHER, cleanup, mac=OTHER_MAC, acd=False))
        kernel.stack.start()
        other.stack.start()
    else:
        kernel = KernelPlayer("the kernel", HOST, lab.kernel)
        other = KernelPlayer("the host on the second bridge port", OTHER, lab.other)
    note = " (in memory)" if lab.rung == "memory" else ""
    return Stage(screen, watch, stack, ours, kernel, other, path, writer, note)


def _stack(link, address, cleanup, **settings):
    """A stack that knows nothing of the user's environment and config.py."""
    stack = Stack(link=link, address=f"{address}/{PREFIX_LENGTH}", settings=Settings(), **settings)
    cleanup.callback(stack.stop)
    return stack


def _perform(stage):
    """Run the steps: the exit status."""
    failures = left_out = 0
    for number, step in enumerate(STEPS, 1):
        try:
            verdict, text = True, step(stage)
        except NotHere as error:
            left_out += 1
            verdict, text = None, f"{_title(step)}: {error}"
        except Exception as error:
            failures += 1
            verdict, text = False, f"{_title(step)}: {_sentence(error)}"
        stage.screen.step(number, verdict, text, stage.take_packets(), stage.note)
        if stage.stack.status != "running" and step is not STEPS[-1]:
            stage.screen.line(f"the stack does not run ({stage.stack.status}): the other steps are pointless")
            return 1
    if failures:
        stage.screen.line(f"{failures} of {len(STEPS)} steps failed.")
    else:
        stage.screen.line(f"Every step {'that this rung can run ' if left_out else ''}was verified.")
    return 1 if failures else 0


def _title(step):
    return step.__doc__.splitlines()[0].rstrip(".")


def _sentence(error):
    return str(error) if isinstance(error, Unproven) else f"{type(error).__name__}: {error}"


def _writable_path(wanted):
    """Where the capture goes: as wanted, else here, else in a temporary directory."""
    path = os.path.abspath(wanted or "demo.pcapng")
    try:
        open(path, "wb").close()
    except OSError:
        if wanted:
            raise
        path = os.path.join(tempfile.mkdtemp(prefix="tipy-"), "demo.pcapng")
    return path
