"""Signal handlers and the lock: how a KeyboardInterrupt never tears a connection.

Python runs a signal's handler in the main thread between any two bytecodes. If that thread is inside the
stack, with `snd_nxt` moved and the segment not yet queued, a handler that raises leaves a half-changed
connection, and a handler that uses a socket waits for a lock its own thread holds.

So while a stack runs, handlers written in Python are called through `_guard`. It asks whether the main
thread is inside any gate right now; if it is, the signal is remembered and its handler is called as soon as
the thread has left (`deliver`, at the end of every gate). A blocked call is *not* inside the gate, so Ctrl-C
still ends a `recv` at once.

To programs this is invisible: `signal.signal` and `signal.getsignal` are wrapped to speak of the program's
own handlers (asyncio compares them). The wrapping is undone when the last stack stops. It can only be put
in place by the main thread; a stack started by another thread is guarded from the next start in the main one.
"""

import signal
import sys
import threading
from collections import deque

deferred = deque()             # signal numbers that arrived while the main thread was inside a gate
_gates = ()                    # replaced, never changed: read by _guard between any two bytecodes
_handlers = {}                 # signal number -> the program's own handler
_originals = None              # (signal.signal, signal.getsignal) while ours stand in their place


def protect(gate):
    """Defer signal handlers while the main thread is inside `gate` (has `busy_here()`)."""
    global _gates
    if gate not in _gates:
        _gates += (gate,)
    if _originals is None and threading.current_thread() is threading.main_thread():
        _install()


def unprotect(gate):
    """Stop looking at `gate`; with the last one gone the program's handlers are put back."""
    global _gates
    _gates = tuple(g for g in _gates if g is not gate)
    if not _gates and _originals is not None and threading.current_thread() is threading.main_thread():
        _uninstall()


def deliver():
    """Call the handlers of deferred signals, if this is the main thread and it is in no gate."""
    if threading.current_thread() is not threading.main_thread() or _inside():
        return
    while deferred:
        signum = deferred.popleft()
        handler = _handlers.get(signum)
        if callable(handler):
            handler(signum, sys._getframe(1))


def _inside():
    return any(gate.busy_here() for gate in _gates)


def _guard(signum, frame):
    if _inside():
        deferred.append(signum)
    else:
        _handlers[signum](signum, frame)


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
    set_handler, get_handler = _originals or (signal.signal, signal.getsignal)
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
    handler = (_originals[1] if _originals else signal.getsignal)(signalnum)
    return _handlers.get(signalnum, handler) if handler is _guard else handler


for _wrapper, _name in ((_signal, "signal"), (_getsignal, "getsignal")):
    _wrapper.__name__ = _wrapper.__qualname__ = _name
