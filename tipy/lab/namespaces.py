"""Private networks: forking into a namespace of one's own, and leaving nothing behind.

A process that calls `unshare(CLONE_NEWNET)` has a network with nothing in it but a downed loopback. Without
root it takes `CLONE_NEWUSER` in the same call: the process is then "root" over that network only, once its
ids are mapped. A namespace lives as long as a process is in it or a socket of it is open; nothing here gives
one a name, so all of it ends with its processes, and those end with the one that forked them
(PR_SET_PDEATHSIG).

Edge: fork, unshare, prctl, /proc.
"""

import ctypes
import gc
import os
import signal
import sys
import warnings

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG = 1


def _call(name, *arguments):
    """A libc function that returns -1 and sets errno."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.argtypes = [ctypes.c_ulong] * len(arguments) if name == "prctl" else [ctypes.c_int]
    function.restype = ctypes.c_int
    if function(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unshare(flags):
    """unshare(2); os.unshare exists from Python 3.12 on only."""
    _call("unshare", flags)


def enter_new_network(with_user=True):
    """Move this (single-threaded) process into a new network namespace, and into a new user namespace in
    which it may administer that network. OSError, from any of several steps, where the system forbids it."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWNET | (CLONE_NEWUSER if with_user else 0))
    if with_user:
        _write("/proc/self/setgroups", "deny")          # before gid_map, or that is refused
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")


def write_sysctl(name, value):
    """Set net.<name> in this process's network; False where /proc/sys is not writable."""
    try:
        _write("/proc/sys/net/" + name, value)
    except OSError:
        return False
    return True


def die_with_parent(parent):
    """Have the kernel kill this process when the thread that forked it ends; `parent` is that process's id.

    To be called after a change of namespaces, which may cancel it.
    """
    _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:              # it ended before we asked
        os._exit(1)


def fork_clean(keep, body):
    """Fork; the child runs body() and ends. Returns the child's process id.

    The child is in a process group of its own (Ctrl-C is the parent's affair), has default signal handlers,
    and none of our descriptors but 0, 1, 2 and `keep` (a collection of numbers): the others are pointed at
    /dev/null and stay taken, so that an inherited object which closes its number harms nobody.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)   # "multi-threaded": no matter here
        child = os.fork()
    if child:
        return child
    status = 1
    try:
        gc.freeze()                                # nothing inherited is finalized here
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _blank_descriptors(keep)
        body()
        status = 0
    except (BrokenPipeError, ConnectionResetError):
        pass                                       # who wanted to know has gone, by Ctrl-C perhaps
    except BaseException as error:
        print(f"tipy lab: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _blank_descriptors(keep):
    null = os.open(os.devnull, os.O_RDWR)
    for text in os.listdir("/proc/self/fd"):
        number = int(text)
        if number > 2 and number != null and number not in keep:
            try:
                os.fstat(number)
            except OSError:                        # the directory's own, closed by now
                continue
            os.dup2(null, number, inheritable=False)
    os.dup2(null, 0)


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)
