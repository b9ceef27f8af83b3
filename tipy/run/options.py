"""The words of `tipy run` before the program, and what they mean.

Rates are written 0.05 or 5%, times 0.05, 50ms or 1s. The first word that is no option is the program, and
all that follows belongs to it.
"""

import argparse
import re
import sys

from tipy.address import parse_network

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0}
_PROGRAM = ("-m", "-c", "-")           # as Python's own, they end the options
_FAULTS = ("loss", "duplicate", "reorder", "corrupt", "truncate", "delay", "jitter")


def rate(text):
    """"5%" or "0.05" as a probability."""
    number = text.removesuffix("%")
    try:
        value = float(number) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate: write 5% or 0.05")
    return value


def seconds(text):
    """"50ms", "1s" or "0.05" as seconds."""
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)(us|ms|s|)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 50ms or 0.05s")
    return float(found[1]) * _UNITS[found[2]]


def network(text):
    """"10.0.0.0/8" or "10.0.0.1" as a Network."""
    try:
        return parse_network(text if "/" in text else text + "/32")[1]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}") from None


def parse(argv):
    """The options as a namespace; `program` holds the program's words, `faults` what FaultLink takes.

    Exits as argparse does (status 2) for what it does not understand; None after --help."""
    parser = _parser()
    count = _count_options(argv, parser)
    options = parser.parse_args(argv[:count])
    if options.help:
        parser.print_help()
        return None
    options.program = argv[count:]
    if not options.program:
        parser.error("which program? Give a script, or -m and a module")
    if options.program[0] in _PROGRAM[:2] and len(options.program) == 1:
        parser.error(f"argument expected after {options.program[0]}")
    if options.link:
        parser.error("--link is not there yet: it comes with links by URL; use --ifname, --lab or neither")
    if options.lab and options.ifname:
        parser.error("--lab and --ifname are two networks: choose one")
    options.faults = {name: getattr(options, name) for name in _FAULTS if getattr(options, name)}
    return options


def _count_options(argv, parser):
    """How many words come before the program."""
    takes_value = {name: action.nargs != 0 for action in parser._actions for name in action.option_strings}
    count = 0
    while count < len(argv):
        word = argv[count]
        if word == "--":
            del argv[count]
            break
        if word in _PROGRAM or not word.startswith("-"):
            break
        count += 2 if takes_value.get(word) else 1
    return min(count, len(argv))


def _parser():
    parser = argparse.ArgumentParser(
        prog="tipy run", add_help=False, allow_abbrev=False,
        usage="python3 -m tipy run [options] script.py args...   (or -m module, -c code)",
        description="Run a program on tipy instead of the kernel's network, nothing changed in it. Without "
                    "--ifname or --lab, and if no config.py or TIPY_... variable names a network, the "
                    "stack's own loopback, 127.0.0.1, is all there is.")
    if sys.version_info >= (3, 14):
        parser.color = False
    add = parser.add_argument
    add("-h", "--help", action="store_true", help="show this text")
    group = parser.add_argument_group("network")
    add = group.add_argument
    add("--ifname", metavar="TAP", help="attach to this TAP, for example tap7")
    add("--lab", action="store_true",
        help="make a private network with a real Linux host in it, 192.168.2.199")
    add("--link", metavar="URL", help="(not there yet)")
    add("--address", metavar="A", help='the stack\'s address, "192.168.2.200/24"')
    add("--gateway", metavar="A", help="the router to other networks")
    add("--kernel", metavar="CIDR", type=network, action="append", default=[],
        help="leave these destinations to the kernel's sockets; may be repeated")
    add("--capture", metavar="FILE", help="write all frames to this pcapng file")
    group = parser.add_argument_group("faults of the network")
    add = group.add_argument
    for name, text in (("loss", "frames lost"), ("duplicate", "frames that come twice"),
                       ("reorder", "frames overtaken by later ones"), ("truncate", "frames cut short"),
                       ("corrupt", "frames with a bit flipped")):
        add(f"--{name}", metavar="RATE", type=rate, default=0, help=f"{text}: 5%% or 0.05")
    add("--delay", metavar="TIME", type=seconds, default=0, help="each way: 50ms")
    add("--jitter", metavar="TIME", type=seconds, default=0, help="up to so much more delay")
    add("--seed", metavar="N", type=int, help="the same fates again")
    add = parser.add_argument_group("other").add_argument
    add("--internals", action="store_true", help="show tipy's own lines in tracebacks")
    return parser
