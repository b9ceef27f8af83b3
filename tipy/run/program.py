"""The program of `tipy run`: started, and ended, as Python itself would.

`__main__`, `sys.argv` and `sys.path` are what the program would find without us; an exception it does not
catch is shown from its own first line on; exit statuses and Ctrl-C come out as they went in.

At the end, after its threads and atexit functions, the connections it left open are closed as the kernel
closes those of a process that is gone, and we stay until what was sent has been acknowledged, as long as
the peer keeps on acknowledging. Edge: os, signal, threading, atexit.
"""

import atexit
import io
import os
import signal
import sys
import threading
import types
from importlib.machinery import BuiltinImporter, SourceFileLoader

from tipy.run import tracebacks
from tipy.run.farewell import see_off

_DEADLY = ("SIGTERM", "SIGHUP")        # what ends a process that has no handler for it


class Unreadable(Exception):
    """The program cannot be read; `status` is the exit status that Python has for this."""

    status = 2


class Program:
    """A script, a directory or zip file with a __main__.py, "-m module", "-c code" or "-" for stdin."""

    def __init__(self, words, internals=False):
        self._kind = words[0] if words[0] in ("-m", "-c", "-") else "file"
        if self._kind in ("-m", "-c"):
            self._name, self._arguments = words[1], words[2:]
        else:
            self._name, self._arguments = words[0], words[1:]
        self._internals = internals    # show our own lines in tracebacks
        self._is_archive = False
        if self._kind == "file":
            self._look()
        self._signal = None            # that of which we shall die
        self._ours = []                # signals for which the handler is ours
        self._masks = {}               # thread that forks -> the signals it had blocked before

    def _look(self):
        """Can it be read? Before any network is made."""
        from pkgutil import get_importer
        path = os.path.abspath(self._name)
        self._is_archive = get_importer(path) is not None
        if self._is_archive:
            return
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise Unreadable(f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}") from None

    def run(self, network):
        """Run it, and leave the process with its exit status."""
        self._network = network
        self._pid = os.getpid()
        atexit.register(self._at_exit)                 # the first registered is called last
        self._die_politely()
        body = {"-m": self._module, "-c": self._code}.get(self._kind, self._script)
        try:
            body()
        except SystemExit:
            raise
        except BaseException as error:
            self._failed(error)
            raise SystemExit(1) from None
        raise SystemExit(0)

    # -- beginning --------------------------------------------------------------------------------

    def _main(self, **names):
        """A fresh module __main__; the old one stays alive, for its globals are those of our caller."""
        self._before = sys.modules["__main__"]
        module = types.ModuleType("__main__")
        if sys.version_info < (3, 14):
            module.__annotations__ = {}
        vars(module).update(__builtins__=sys.modules["builtins"], **names)
        sys.modules["__main__"] = module
        return vars(module)

    def _path(self, first):
        """Put `first` where Python puts it; `python3 -m tipy` had the current directory there."""
        if getattr(sys.flags, "safe_path", False) or sys.flags.isolated:
            if first is not None and self._is_archive:
                sys.path.insert(0, first)
        elif first is not None:
            sys.path[0] = first

    def _script(self):
        sys.argv[:] = [self._name, *self._arguments]
        if self._is_archive:
            import runpy
            self._path(os.path.join(os.getcwd(), self._name))
            self._main()
            runpy._run_module_as_main("__main__", alter_argv=False)
            return
        if self._kind == "-":
            self._path("")
            names = self._main(__loader__=BuiltinImporter)
            source, filename = sys.stdin.buffer.read(), "<stdin>"
        else:
            filename = os.path.join(os.getcwd(), self._name)       # as it is written: Python does not tidy it
            self._path(os.path.dirname(os.path.realpath(filename)))
            names = self._main(__file__=filename, __cached__=None,
                               __loader__=SourceFileLoader("__main__", filename))
            with io.open_code(filename) as file:
                source = file.read()
            if source[:4] == _magic():
                exec(_compiled(source), names)
                return
        exec(compile(source, filename, "exec", dont_inherit=True), names)

    def _code(self):
        sys.argv[:] = ["-c", *self._arguments]
        self._path("")
        names = self._main(__loader__=BuiltinImporter)
        exec(compile(self._name + "\n", "<string>", "exec", dont_inherit=True), names)

    def _module(self):
        import runpy
        sys.argv[:] = ["-m", *self._arguments]
        self._main()
        runpy._run_module_as_main(self._name)

    # -- the end ----------------------------------------------------------------------------------

    def _failed(self, error):
        """Show an exception that the program did not catch, beginning at its own lines."""
        if isinstance(error, KeyboardInterrupt):
            self._signal = signal.SIGINT               # a shell wants to see that
        if not self._internals:
            tracebacks.clean(error)
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
        if sys.version_info >= (3, 12):
            sys.last_exc = error
        _flush(sys.stdout)
        sys.excepthook(type(error), error, error.__traceback__)

    def _die_politely(self):
        """A signal that ends the program closes its connections first. Not in a forked child, which has none: there a
        handler in Python might wait for the end of the very call that the signal is to end (multiprocessing ends its idle
        children so), and Python forgets signals that come before the child is ready. So they wait until it is."""
        for name in _DEADLY:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._die)
                self._ours.append(number)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._hold_signals, after_in_parent=self._let_signals_in,
                                after_in_child=self._die_at_once)

    def _hold_signals(self):
        self._masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, self._ours)

    def _let_signals_in(self):
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.pop(threading.get_ident()))

    def _die_at_once(self):
        for number in self._ours:
            if signal.getsignal(number) == self._die:
                signal.signal(number, signal.SIG_DFL)
        self._let_signals_in()

    def _die(self, number, frame):
        self._close()
        _kill(number)

    def _at_exit(self):
        self._close()
        if self._signal is not None and os.getpid() == self._pid:
            _flush(sys.stdout)
            _flush(sys.stderr)
            _kill(self._signal)

    def _close(self):
        """Close what the program left open, see it off, and stop. Not in a child of the program."""
        if os.getpid() != self._pid or self._network is None:
            return
        network, self._network = self._network, None
        try:
            if network.stack.status == "running":
                see_off(network.stack, wait=not network.loopback_only)
        except (KeyboardInterrupt, OSError):
            pass                                       # who is in a hurry, or the device is gone
        finally:
            network.close()


def _kill(number):
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _flush(stream):
    try:
        stream.flush()
    except (AttributeError, OSError, ValueError):
        pass


def _magic():
    from importlib.util import MAGIC_NUMBER
    return MAGIC_NUMBER


def _compiled(source):
    import marshal
    return marshal.loads(source[16:])
