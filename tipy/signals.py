"""Signal handlers and the lock: how a KeyboardInterrupt never tears a connection.

Python runs a signal's handler in the main thread between any two bytecodes. If that thread is inside the
stack, with `snd_nxt` moved and the segment not yet queued, a handler that raises leaves a half-changed
connection, and a handler that uses a socket waits for a lock its own thread holds.

So while a stack runs, handlers written in Python are called through `_guard`. It asks whether the main
thread is inside any gate right now; if it is, the signal is remembered and its handler is called as soon as
the thread has left (`deliver`, at the end of every gate). While a blocked call sleeps (`Gate.nap`) handlers
run as usual, so Ctrl-C still ends a `recv` at once.

What Python calls "between any two bytecodes" is, since 3.11, after a call, at the start of a function and at
a backward jump. `deliver` counts on that where it takes a signal out of the queue.

To programs this is invisible: `signal.signal` and `signal.getsignal` are wrapped to speak of the program's
own handlers (asyncio compares them). The wrapping is undone when the last stack stops. It can only be put
in place by the main thread; a stack started by another thread is guarded from the next start in the main one.
"""

import signal
import sys
import threading
from collections import deque

deferred = deque()             # signal numbers that arrived while the main thread was inside a gate
main_ident = threading.main_thread().ident
_gates = {}                    # gate -> True; several threads may start and stop stacks
_changing = False              # the main thread puts the guard in place, or takes it away
_handlers = {}                 # signal number -> the program's own handler
_originals = None              # (signal.signal, signal.getsignal) while ours stand in their place
_found = signal.signal, signal.getsignal               # for a program that kept ours after the last stop


def protect(gate):
    """Defer signal handlers while the main thread is inside `gate` (has `busy_here()`)."""
    _gates[gate] = True
    if _originals is None and threading.get_ident() == main_ident:
        _change(_install)


def unprotect(gate):
    """Stop looking at `gate`; with the last one gone the program's handlers are put back."""
    if threading.get_ident() == main_ident:
        _change(_forget, gate)
    else:
        _gates.pop(gate, None)


def _change(fn, *args):
    global _changing
    _changing = True
    try:
        fn(*args)
    finally:
        _changing = False
        if deferred:
            deliver()


def _forget(gate):
    _gates.pop(gate, None)
    if not _gates and _originals is not None:
        _uninstall()


def forked():
    """In the child of a fork the thread that forked is the main one."""
    global main_ident
    main_ident = threading.main_thread().ident
    deferred.clear()


def deliver():
    """Call the handlers of deferred signals, if this is the main thread and it is in no gate."""
    if threading.get_ident() != main_ident or _inside():
        return
    try:
        while deferred:
            _step_aside()
            signum = deferred[0]
            handler, frame = _getsignal(signum), sys._getframe(1)
            handler = handler if callable(handler) else _default
            if not deferred or deferred[0] != signum:
                continue                       # one that came a moment ago has delivered it
            del deferred[0]
            handler(signum, frame)
    finally:
        if deferred:                   # a handler has raised: that is no reason to forget the other signals
            deliver()


def _inside():
    return _changing or any(gate.busy_here() for gate in list(_gates))


def _step_aside():
    """The handler may take its time, or wait in a socket call: let the stacks be served by their own threads."""
    for gate in list(_gates):
        gate.step_aside()


def _guard(signum, frame):
    if not _inside():
        _step_aside()
        try:
            _handlers.get(signum, _default)(signum, frame)
        finally:
            if deferred:               # it has come while the thread was on its way out, before another could be handled
                deliver()
    elif signum not in deferred:
        deferred.append(signum)


def _default(signum, frame):
    """The program has taken its handler away while the signal was deferred."""


def _is_python_handler(handler):
    return callable(handler) and handler is not _guard


def _install():
    global _originals
    _originals = signal.signal, signal.getsignal
    for signum in signal.valid_signals():
        handler = signal.getsignal(signum)
        if _is_python_handler(handler):
            _handlers[signum] = handler
            _originals[0](signum, _guard)
    signal.signal, signal.getsignal = _signal, _getsignal


def _uninstall():
    global _originals
    set_handler, get_handler = _originals
    if signal.signal is _signal:
        signal.signal = set_handler
    if signal.getsignal is _getsignal:
        signal.getsignal = get_handler
    _originals = None
    for signum, handler in list(_handlers.items()):
        if get_handler(signum) is _guard:
            set_handler(signum, handler)
    _handlers.clear()


def _signal(signalnum, handler):
    """signal.signal, keeping the guard in front of handlers written in Python."""
    if _originals is None:
        return _found[0](signalnum, handler)
    set_handler = _originals[0]
    if not _is_python_handler(handler):
        previous = _getsignal(signalnum)
        set_handler(signalnum, handler)
        _handlers.pop(signalnum, None)
        return previous
    previous = _getsignal(signalnum)
    before = _handlers.get(signalnum)
    _handlers[signalnum] = handler         # first, so that the guard always finds a handler
    try:
        set_handler(signalnum, _guard)
    except BaseException:
        if before is None:
            _handlers.pop(signalnum, None)
        else:
            _handlers[signalnum] = before
        raise
    return previous


def _getsignal(signalnum):
    """signal.getsignal, speaking of the program's own handlers."""
    handler = (_originals or _found)[1](signalnum)
    return _handlers.get(signalnum, handler) if handler is _guard else handler


for _wrapper, _name in ((_signal, "signal"), (_getsignal, "getsignal")):
    _wrapper.__name__ = _wrapper.__qualname__ = _name
