"""A program's tracebacks without our lines, as they look on the kernel's sockets, whose code is C and has
none.

A traceback that ends in an error of our own making (an AttributeError inside the stack, say) is shown
whole: that is a bug of tipy's, and whoever sees it should see where it is.
"""

import functools
import os
import sys
import threading
import types

from tipy.imports import when_imported
from tipy.run import refused

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_OUR_FAULT = (AttributeError, NameError, LookupError, AssertionError, ZeroDivisionError, ImportError)


def is_ours(filename):
    """Is this a file of tipy's?"""
    return filename.startswith(_HERE)


def is_bug(error):
    """Did one of our own lines fail in a way that no argument of the program's should cause?"""
    trace = error.__traceback__
    if trace is None or not isinstance(error, _OUR_FAULT):
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    filename = trace.tb_frame.f_code.co_filename
    return is_ours(filename) and filename != refused.__file__


def trim(trace):
    """The traceback `trace` without our lines."""
    entries = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    result = None
    for entry in reversed(entries):
        if not is_ours(entry.tb_frame.f_code.co_filename):
            result = types.TracebackType(result, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return result


def clean(error, seen=None):
    """Take our lines out of the traceback of an exception and of those it is chained to. Returns it."""
    seen = set() if seen is None else seen
    if error is None or id(error) in seen or is_bug(error):
        return error
    seen.add(id(error))
    error.__traceback__ = trim(error.__traceback__)
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        clean(other, seen)
    return error


def hide_ours():
    """From now on, in whatever threads, finalizers and the `traceback` module show."""
    _wrap_hook(threading, "excepthook")
    _wrap_hook(sys, "unraisablehook")
    when_imported("traceback", _trim_in)


def _wrap_hook(module, name):
    original = getattr(module, name)

    def hook(arguments, /):
        error = arguments.exc_value
        ending = is_bug is None                        # the interpreter has emptied this module already
        if error is not None and not ending and not is_bug(error):
            clean(error)
            fields = list(arguments)
            fields[2] = error.__traceback__
            arguments = type(arguments)(fields)
        original(arguments)

    setattr(module, name, hook)


def _trim_in(traceback):
    """In the module `traceback`: logging.exception, print_exc and the like all come through here."""
    init, extract = traceback.TracebackException.__init__, traceback.extract_tb

    @functools.wraps(init)
    def __init__(self, exc_type, exc_value, exc_traceback, **options):
        if not (isinstance(exc_value, BaseException) and is_bug(exc_value)):
            exc_traceback = trim(exc_traceback)
        init(self, exc_type, exc_value, exc_traceback, **options)

    @functools.wraps(extract)
    def extract_tb(tb, limit=None):
        return extract(trim(tb), limit)

    traceback.TracebackException.__init__ = __init__
    traceback.extract_tb = extract_tb
