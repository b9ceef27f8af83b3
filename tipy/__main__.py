"""`python3 -m tipy`: the command line. Each command has its own --help.

This file and `__init__.py` parse on Python 3.8, so that an older Python is told in one sentence what is missing.
"""

import sys

COMMANDS = {
    "demo": "show the stack at work against the Linux kernel, in a private network",
    "bench": "measure the stack beside the Linux kernel on this machine, in 20 seconds",
    "run": "run a program on tipy instead of the kernel's network, nothing changed in it",
}
NOT_YET = ("ping", "capture")


def main(argv=None):
    """Run one command; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    name = argv.pop(0)
    if name in ("-V", "--version"):
        from tipy import __version__
        print("tipy", __version__)
        return 0
    if name not in COMMANDS:
        print("tipy: " + complaint(name), file=sys.stderr)
        return 2
    try:
        return {"demo": demo, "bench": bench, "run": run}[name](argv)
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        print("tipy: %s" % (error.strerror if isinstance(error, OSError) and error.strerror else error),
              file=sys.stderr)
        return 1


def usage():
    """The text of `python3 -m tipy`."""
    lines = ["usage: python3 -m tipy COMMAND [--help] ...", ""]
    lines += ["    %-8s%s" % (name, text) for name, text in COMMANDS.items()]
    lines += ["", "In a program: from tipy import tipy, socket. See README.md."]
    return "\n".join(lines)


def complaint(name):
    """One sentence about a command that is not there."""
    if name in NOT_YET:
        return "the command '%s' does not exist yet; there is: %s" % (name, ", ".join(COMMANDS))
    import difflib
    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = "did you mean '%s'?" % near[0] if near else "there is: %s" % ", ".join(COMMANDS)
    return "there is no command '%s'; %s" % (name, hint)


def demo(argv):
    """python3 -m tipy demo"""
    from tipy.demo import main as start
    return start(argv)


def bench(argv):
    """python3 -m tipy bench"""
    from tipy.bench import main as start
    return start(argv)


def run(argv):
    """python3 -m tipy run"""
    from tipy.run import main as start
    return start(argv)


if __name__ == "__main__":
    sys.exit(main())
