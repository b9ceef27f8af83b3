"""Who of this process's threads runs, and who waits for another: as far as Python itself can tell. Edge: threading.

A thread in a system call is not to be told from one that waits for the interpreter's lock, so "it sleeps" can never
be said for certain. What can be said: it is inside `Thread.join` and that thread has not ended, or inside
`Condition.wait` and nobody has notified it. Then it does nothing before another thread has done something. Events,
queues (`queue.Queue`), semaphores, barriers and futures all wait in conditions. A raw lock, `queue.SimpleQueue`,
`time.sleep` and input or output are not understood: such a thread counts as running.
"""

import gc
import sys
import threading

_CONDITION_WAIT = threading.Condition.wait.__code__
_JOIN = threading.Thread.join.__code__
# before Python 3.13
_JOIN_INNER = getattr(getattr(threading.Thread, "_wait_for_tstate_lock", None), "__code__", None)

_WRAPPED = 16384               # in a gap so wide the numbers of threads began again; Linux has at least 32768


def _frames():
    """{ident: innermost frame}. Before Python 3.12 a collection in there may deadlock (CPython issue 106883)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if enabled:
            gc.enable()


def living():
    """{thread: its innermost frame, or None while it is being started}."""
    threads = threading.enumerate()                    # first: who starts after this is missed, not taken for dead
    frames = _frames()
    main = threading.main_thread()
    return {thread: frames.get(thread.ident) for thread in threads
            if (thread.ident is None or thread.ident in frames) and (thread is not main or thread.is_alive())}


def in_order(threads):
    """A list of threads, lately started, in the order of their starts.

    `threading` does not keep it: start() returns before the new thread has entered itself. But systems number threads
    as they make them, and begin again after the highest number (Windows does not: there the order may be another).
    """
    if sys.platform == "win32":
        return threads
    unborn = [thread for thread in threads if thread.native_id is None]        # its start() has not returned yet
    born = sorted((thread for thread in threads if thread.native_id is not None), key=lambda each: each.native_id)
    for at in range(1, len(born)):
        if born[at].native_id - born[at - 1].native_id > _WRAPPED:
            born = born[at:] + born[:at]
            break
    return born + unborn


def wait_of(thread, alive):
    """What `thread` waits for, as something that is equal as long as it is the same wait; None if it may run.

    alive: as `living` has just returned it. A time limit of the wait, in real seconds, does not count.
    """
    frame = alive[thread]
    if frame is None:
        return None
    code = frame.f_code
    if code is _CONDITION_WAIT:
        inner = frame.f_locals
        waiter = inner.get("waiter")
        return (frame, waiter) if waiter in inner["self"]._waiters else None
    if code is _JOIN_INNER:
        frame = frame.f_back
        code = frame.f_code
    if code is _JOIN:
        awaited = frame.f_locals["self"]
        return (frame, awaited) if awaited in alive else None
    return None


def position(thread, alive):
    """Where `thread` stands: equal as long as it has not moved on."""
    frame = alive.get(thread)
    return frame and (id(frame), frame.f_lasti)


def place(thread, alive):
    """"/home/me/program.py:12 in main": where `thread` stands, as a user would look for it."""
    frame = alive.get(thread)
    while frame is not None and frame.f_code.co_filename == threading.__file__ and frame.f_back is not None:
        frame = frame.f_back
    if frame is None:
        return "its start"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
