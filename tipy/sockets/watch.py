"""Epolls: the one by which a stack sees what happens at the far ends of its sockets' pairs, and those of the
program, in which a pair that is replaced has to be registered anew. Edge: os, select.
"""

import os
import select
import weakref

# as it is now: gevent takes it out of the module when a program asks it to
_epoll = getattr(select, "epoll", None)
BYTES = getattr(select, "EPOLLIN", 0) | getattr(select, "EPOLLET", 0)
ROOM = getattr(select, "EPOLLOUT", 0)

_watches = weakref.WeakKeyDictionary()     # stack -> weak reference to its Watch


class Watch:
    """Tells the far ends of one stack that something happened there: bytes, room, a hang-up.

    An epoll of them all, edge-triggered, which the stack's driver looks at and keeps alive."""

    def __init__(self, stack):
        self._epoll = _epoll()
        self._far = weakref.WeakValueDictionary()      # fd -> Readiness

    @staticmethod
    def of(stack):
        """The stack's Watch, or None where there is nobody to look (virtual time) or no epoll."""
        known = _watches.get(stack)
        watch = known() if known is not None else None
        if watch is None and _epoll is not None:
            watch = Watch(stack)
            if not stack.watch(watch._epoll.fileno(), watch._look):
                return None
            _watches[stack] = weakref.ref(watch)
        return watch

    def add(self, readiness):
        """Look at this far end; closing it ends that."""
        fd = readiness.far.fileno()
        self._far[fd] = readiness
        self._epoll.register(fd, BYTES)

    def expect(self, far, events):
        """From now on these events matter (hang-ups always do)."""
        self._epoll.modify(far.fileno(), events)

    def _look(self):
        for fd, _ in self._epoll.poll(0):
            readiness = self._far.get(fd)
            if readiness is not None:
                readiness.channel.gate.inside.append(readiness.on_event)


def forget_all():
    """In the child of a fork: the watches are the parent's."""
    _watches.clear()


def registrations(inode):
    """(epoll descriptor, descriptor, events) of every epoll of this process that holds the file `inode`."""
    if _epoll is None:
        return
    for name in os.listdir("/proc/self/fd"):
        try:
            if "eventpoll" not in os.readlink(f"/proc/self/fd/{name}"):
                continue
            with open(f"/proc/self/fdinfo/{name}", encoding="ascii") as lines:
                for line in lines:
                    words = line.replace(":", " ").split()
                    if words[0] == "tfd" and int(words[words.index("ino") + 1], 16) == inode:
                        yield int(name), int(words[1]), int(words[3], 16)
        except (OSError, ValueError, IndexError):
            continue


def register(registered):
    """Enter descriptors where registrations() found them, whatever file they stand for now."""
    for epoll_fd, fd, events in registered:
        epoll = _epoll.fromfd(os.dup(epoll_fd))
        try:
            epoll.register(fd, events)
        except OSError:
            pass
        epoll.close()
