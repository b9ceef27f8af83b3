"""A file descriptor that tells the truth: for select, poll, epoll, asyncio. Edge: os, select.

The kernel knows nothing of our sockets, so `fileno()` gives a program the *near* end of an AF_UNIX stream
socketpair, made at the first call only, and the stack plays the kernel's part on the *far* end:

    readable              a token byte is put in; taken back when the receive buffer is empty again
    not writable          512 bytes of fill are written on the near end, whose send buffer is tiny;
                          drained when there is room again
    the peer has finished far end shut for writing: POLLIN, POLLRDHUP
    both have finished    far end shut both ways: POLLHUP
    reset, refused        far end closed with a byte unread: POLLERR, POLLHUP
    the stack has ended   the same
    an error waits (UDP)  the pair gives way to one of datagrams whose far end has turned to somebody else with
                          a datagram unread: POLLERR alone; a new pair follows when the error has been told

All of it happens inside the gate and at changes of state only. Who never asks for `fileno()` pays nothing.

The same pair answers who still holds the socket: when the last copy of the near end is closed (os.dup'ed,
inherited by a child, whatever), the far end sees a hang-up, and only then the connection is closed.

Programs may also use the descriptor itself. Bytes written straight to it (os.sendfile, a child process)
arrive at the far end and are sent. A descriptor that no socket object owns any more (`detach()`) becomes a
*bridge*: both directions are pumped, until `socket(fileno=fd)` takes it back, with the bytes not yet read.

Descriptors find their channel again by the inode of the near end, which all its duplicates share.
"""

import os
import select
import threading
from functools import partial

import _socket

from tipy.sockets.base import BROKEN, FAULT, HANGUP, PEER_DONE, READABLE, URGENT, WRITABLE
from tipy.sockets.watch import BYTES, ROOM, Watch, forget_all, register, registrations

FILL = os.urandom(512)         # with SO_SNDBUF 0 (4608) one write of 512 makes the near end not writable;
#                                random, to be told from what the program writes
MAX_TOKENS = 16                # one per arrival for edge-triggered users, but not without end
BRIDGE_BUFFER = 212992         # SO_SNDBUF of the near end while a program writes to it directly
CHUNK = 65536
_NOWAIT = getattr(_socket, "MSG_DONTWAIT", 0)

_channels = {}                 # inode of the near end -> channel
_table_lock = threading.Lock()
_poll = getattr(select, "poll", None)      # as it is now: gevent takes it out of the module


def channel_of(fd):
    """The channel that descriptor `fd` belongs to, or None if it is not one of ours."""
    return _channels.get(_inode(fd)) if _channels else None


def _inode(fd):
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return None


class Readiness:
    """The pair of one channel. All methods are called inside the gate.

    `fds`: the near-end descriptors that socket objects own. `broken`: the far end has been closed. `fault`: 1 if
    the pair shows a waiting error, 2 if also that there is something to read.
    """

    __slots__ = ("channel", "fds", "far", "inode", "watch", "broken", "bridged", "filled", "tokens", "unread",
                 "told", "urgent", "outbox", "fault", "_before", "_afterwards", "_collecting", "_fresh", "__weakref__")

    def __init__(self, channel):
        self.channel = channel
        self.fds = []
        self._before = None                # the far end that a fault has replaced
        channel.stack.on_end = _show_end
        self._fresh = self._start()

    def _start(self):
        near, self.far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
        near.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 0)
        self.far.setblocking(False)
        self.broken = False
        self.bridged = False
        self.filled = False
        self.tokens = 0
        self.unread = 0
        self.told = 0                      # PEER_DONE and HANGUP as shown so far
        self.urgent = False                # an urgent token is in
        self.outbox = b""                  # bytes from the descriptor that the connection had no room for
        self._afterwards = None            # what waits until they are sent: [callable]
        self._collecting = False
        self.fault = 0
        self._enter(near)
        self.watch = Watch.of(self.channel.stack)
        if self.watch is not None:
            self.watch.add(self)
        return near

    def _enter(self, near):
        self.inode = os.fstat(near.fileno()).st_ino
        with _table_lock:
            _channels[self.inode] = self.channel

    def first_fd(self):
        """The near end's descriptor, once, just after it was made."""
        near, self._fresh = self._fresh, None
        fd = near.detach()
        self.fds.append(fd)
        return fd

    def renew(self):
        """A broken pair cannot be mended: put a new one in its place."""
        self._replace(self._start)

    def _replace(self, make):
        """Put a new pair, whose near end make() returns, behind the same descriptor numbers.

        The program's epolls would not notice (they hold the file, not the number), so the descriptor is
        registered anew in those that had it."""
        stale = self.inode
        registered = list(registrations(stale))
        near = make()
        for fd in self.fds:
            if _inode(fd) == stale:
                blocking = os.get_blocking(fd)
                os.dup2(near.fileno(), fd, inheritable=False)
                os.set_blocking(fd, blocking)
        near.close()
        self._forget(stale)
        register(registered)

    def _show_fault(self, fault):
        """An error waits, or has been told (0). True if that could be shown."""
        before, make = self.far, self._start
        if fault:
            make = partial(self._start_fault, fault)
        if not self.fault:
            self.collect()
            self._put_token()              # wakes who is blocked in poll or select with the old pair
        try:
            self._replace(make)
        except OSError:                    # no descriptors left, or no abstract names
            if self.far is not before:
                self.far.close()
            self.far = before
            return False
        if fault and not self.fault:
            self._before = before
        else:
            before.close()
            if not fault:
                self._before.close()
                self._before = None
        self.fault = fault
        return True

    def _start_fault(self, fault):
        near, self.far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_DGRAM, 0)
        self.far.setblocking(False)
        if fault > 1:
            self.far.send(b"\0")
        near.send(b"\0")                   # what is lost here is the error
        nobody = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            nobody.bind("")                # the kernel chooses an abstract name
            self.far.connect(nobody.getsockname())
        finally:
            nobody.close()
        self._enter(near)
        return near

    # -- showing the state ------------------------------------------------------------------------

    def update(self):
        """Make the descriptor show what the channel's poll() says."""
        if self.far is None:
            if self.broken and not self.channel.poll() & BROKEN:
                self._unbreak()
            return
        if self.outbox and not self._collecting:
            self.collect()
            if self.far is None:
                return
        if self.bridged:
            self._pump()
            return
        state = self.channel.poll() if self.channel.gate.down is None else BROKEN
        if state & FAULT or self.fault:
            fault = 0 if not state & FAULT else 2 if state & READABLE else 1
            if fault != self.fault and not self._show_fault(fault):
                state |= READABLE          # the next best
            elif fault:
                return
        if state & BROKEN:
            self._break()
            return
        self._show_readable(state & READABLE)
        if bool(state & URGENT) != self.urgent:
            self._show_urgent(not self.urgent)
        if self.filled:
            if state & WRITABLE:
                self._drain()
        elif not state & WRITABLE and not self._collecting and self.collect():
            self._fill()
        if state & (PEER_DONE | HANGUP) & ~self.told:
            self.told |= state & (PEER_DONE | HANGUP)
            self._shut(_socket.SHUT_RDWR if state & HANGUP else _socket.SHUT_WR)

    def _show_readable(self, readable):
        if readable:
            unread = self.channel.unread()
            news = unread is None or unread > self.unread
            self.unread = unread or 0
            if not self.tokens or news and self.tokens < MAX_TOKENS:
                self._put_token()
        else:
            self.unread = 0
            if self.tokens and not self.told:
                self._take_tokens()

    def _show_urgent(self, waiting):
        self.urgent = waiting
        try:
            if waiting:
                self.far.send(b"\0", _socket.MSG_OOB | _NOWAIT)
            else:
                near = self._near()
                if near is not None:
                    try:
                        near.recv(1, _socket.MSG_OOB)
                        if not self.tokens:
                            near.recv(1, _NOWAIT)      # past the place where it was, or that counts as readable
                    finally:
                        near.detach()
        except OSError:
            pass                                       # this kernel's AF_UNIX has no urgent bytes

    def _put_token(self):
        try:
            self.tokens += self.far.send(b"\0", _NOWAIT)
        except OSError:
            self.tokens = self.tokens or 1             # shut for writing: readable for ever anyway

    def _take_tokens(self):
        near = self._near()
        if near is not None:
            try:
                near.recv(MAX_TOKENS, _NOWAIT)
            except OSError:
                pass                                   # the program read them itself
            finally:
                near.detach()
        self.tokens = 0

    def _fill(self):
        near = self._near()
        if near is not None:
            self._expect(0)
            try:
                near.send(FILL, _NOWAIT)
                self.filled = True
            except OSError:
                pass                                   # so full that it is not writable anyway
            finally:
                near.detach()

    def _drain(self):
        try:
            before, _, after = self.far.recv(CHUNK, _NOWAIT).partition(FILL)
            self.outbox += before + after              # the program wrote at the same time
        except OSError:
            pass
        self.filled = False
        self._expect(BYTES)

    def _shut(self, how):
        try:
            self.far.shutdown(how)
        except OSError:
            pass                                       # the program's end is closed

    def _break(self):
        """POLLERR | POLLHUP: close the far end with a byte unread."""
        if not self.filled:
            self._fill()
        self.broken = True
        self._end()

    def _unbreak(self):
        """The error has been told: what is left is POLLHUP."""
        near = self._near()
        if near is not None:
            near.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            near.detach()
        self.broken = False

    def _near(self):
        """A socket object on a near-end descriptor, to be detached after use; None if there is none.

        The inode is compared each time: a descriptor closed behind our back may be somebody else's now."""
        for fd in self.fds:
            if _inode(fd) == self.inode:
                return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
        return None

    # -- who holds the socket ---------------------------------------------------------------------

    def hung_up(self):
        """True once no process holds the near end any more."""
        if self.far is None or self.told & HANGUP or self.fault:
            return self.channel.attached == 0
        poll = _poll()
        poll.register(self.far, 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def close(self):
        """The channel is closed: let the descriptor show it, if somebody still has it."""
        self._forget(self.inode)
        if self.far is not None:
            if not self.told:
                self._shut(_socket.SHUT_RDWR)
            self._end()
        if self._before is not None:
            self._before.close()

    def _end(self):
        self.far.close()
        self.far = None

    @staticmethod
    def _forget(inode):
        with _table_lock:
            _channels.pop(inode, None)

    # -- bytes written straight to the descriptor, and the bridge -----------------------------------

    def collect(self):
        """Send what was written straight to the descriptor; True if all of it is on its way."""
        if self._collecting:
            return False
        self._collecting = True
        try:
            while self._flush_outbox():
                if self.far is None or self.filled:
                    break
                try:
                    self.outbox = self.far.recv(CHUNK, _NOWAIT)
                except OSError:
                    break
                if not self.outbox:
                    break
        finally:
            self._collecting = False
        if self.outbox:
            return False
        if self._afterwards:
            waiting, self._afterwards = self._afterwards, None
            for action in waiting:
                action()
        return True

    def after_collecting(self, action):
        """Do action() once all that was written to the descriptor is on its way."""
        self._afterwards = [*(self._afterwards or ()), action]
        self.collect()

    def _flush_outbox(self):
        """True if nothing is left in it."""
        if self.outbox:
            self.outbox = self.outbox[self._forward(self.outbox):]
        return not self.outbox

    def _forward(self, data):
        """Hand bytes to the connection; all of them count as taken if it cannot have any."""
        write = getattr(self.channel.endpoint, "write", None)
        if write is None:
            return len(data)
        try:
            return write(memoryview(data), False)
        except OSError:
            return len(data)

    def bridge(self):
        """No socket object is left, the descriptor is: from now on it carries the data itself."""
        if self.bridged or self.far is None or not hasattr(self.channel.endpoint, "write"):
            return
        if self.tokens:
            self._take_tokens()
        if self.filled:
            self._drain()
        near = self._near()
        if near is not None:
            near.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, BRIDGE_BUFFER)
            near.detach()
        self.bridged = True
        self._expect(BYTES | ROOM)
        self._pump()

    def unbridge(self):
        """A socket object takes the descriptor back: so do the bytes that were not read from it."""
        if not self.bridged:
            return
        self.bridged = False
        self._expect(BYTES)
        near = self._near()
        if near is not None:
            near.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 0)
            pieces = []
            try:
                while piece := near.recv(CHUNK, _NOWAIT):
                    pieces.append(piece)
            except OSError:
                pass
            near.detach()
            self.channel.pushback += b"".join(pieces)
        self.update()

    def _pump(self):
        endpoint = self.channel.endpoint
        self.collect()
        try:
            while endpoint.readable and not self.told:
                piece = endpoint.read(CHUNK, True)
                if not piece:
                    self.told |= PEER_DONE
                    self._shut(_socket.SHUT_WR)
                    break
                endpoint.read(self.far.send(piece, _NOWAIT))
        except BlockingIOError:
            return                                     # the program has to read first
        except OSError:
            self._break()

    def _expect(self, events):
        if self.watch is not None:
            self.watch.expect(self.far, events)

    def on_event(self):
        """Something happened at the far end: bytes to send, room to receive, or a hang-up."""
        if self.far is None:
            return
        if self.hung_up():
            self.after_collecting(self.channel.discard)
        elif self.bridged:
            self._pump()
        else:
            self.collect()


def _show_end(stack):
    """The stack has ended, perhaps because its link is gone: whoever waits on a descriptor learns it. Inside the
    gate."""
    with _table_lock:
        channels = [channel for channel in _channels.values() if channel.stack is stack]
    for channel in channels:
        if channel.readiness is not None:
            channel.readiness.update()


def _after_fork_in_child():
    """The parent's connections are the parent's: give up our copies of the far ends, or their hang-ups
    and the parent's would never be seen."""
    global _table_lock
    _table_lock = threading.Lock()
    for channel in list(_channels.values()):
        readiness = channel.readiness
        if readiness is not None and readiness.far is not None:
            readiness.far.close()
            readiness.far = None
            if readiness._before is not None:
                readiness._before.close()
    _channels.clear()
    forget_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

