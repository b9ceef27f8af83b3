"""Whose turn it is: several program threads in virtual time, one at a time, in an order that can be repeated.

The threads of a program are told apart by nothing but luck when they run at once, and so are the packets they send.
Here a thread keeps its *turn* from its first call into a stack until it waits there (or ends). Then, and only when
every thread of the program waits, the next one in the order of their starts whose wait is over gets the turn; if
there is none, time moves to the next deadline. Hence the same program does the same at the same virtual times,
whatever the operating system does with its threads.

Who belongs to the program: the thread that made the clock, every thread started since, and whoever calls in. A
thread that has been started but has not called yet holds up time as well. Who ends, leaves.

Who waits: first, whoever waits in here. Second, whoever waits outside for another thread in a way that can be told
for certain (outside.py): it gives up its turn, and takes part again once it has been woken. Nobody tells us of that
wait when it begins or ends, so one of the waiting threads, the lookout, looks round every millisecond. A thread that
computes, sleeps or reads a file holds up time, as it should. One that stands still for `patience` real seconds in a
way that is not understood ends the wait of the others with a RuntimeError; if it has never called in, it is taken
for none of the program's instead, after two seconds at most.
"""

import os
import threading
import time
import weakref

from tipy import outside

_NEVER = float("inf")
_GLANCE = 0.001                # seconds between two looks at those who are outside
_STRANGE = 2.0                 # patience with a thread that has never called in
_IDLE = 0.25                   # a process that uses less of one CPU waits for something: nobody computes

_all = weakref.WeakSet()
_resting = {}                  # thread -> its wait, in the turns of whichever clock: for others that is a wait outside


class _Player:
    """A thread of the program. While it waits in here, `happened` is set: a callable that says whether that is over."""

    def __init__(self, thread, serial):
        self.thread = thread
        self.serial = serial
        self.called = False                            # has it ever called in?
        self.happened = self.deadline = self.what = self.result = self.error = None
        self.bell = threading.Lock()
        self.bell.acquire()

    def rest(self, happened):
        """It waits until happened()."""
        self.happened = happened
        _resting[self.thread] = object()

    def rise(self):
        """It waits no more."""
        self.happened = None
        _resting.pop(self.thread, None)

    def ring(self):
        """Wake it, to see whether it has the turn."""
        try:
            self.bell.release()
        except RuntimeError:                           # it has been rung for already
            pass


class Turns:
    """The turns of one clock's program. `clock` is asked for three things:

    move(limit)         run what falls due next, if that is not after `limit` (seconds, or infinity), and return True;
                        otherwise time is `limit` then
    describe_waits()    sentences that say who waits for what in the stacks
    patience            real seconds, see above
    """

    def __init__(self, clock):
        self._clock = clock
        self._mutex = threading.RLock()                # an RLock only because it knows its owner
        self._here = threading.local()                 # .player: of the calling thread
        self._strangers = weakref.WeakSet(threading.enumerate())
        self._threads = []                             # all there are, as of the last census
        self._players = {}                             # thread -> _Player, in the order of their serial numbers
        self._serial = self._last = 0                  # of the newest player, of the one that had the turn last
        self._deciding = False                         # the holder is about to find out who is next
        self._lookout = None
        self._suspect = None                           # (player, position, real time, CPU time) of who holds all up
        self._holder = None
        self._holder = self._me()
        _all.add(self)

    def take(self, gate):
        """Return when it is the calling thread's turn. `gate`: the one it wants to enter, or None."""
        if self._me() is self._holder or self._mutex._is_owned():              # a finalizer, run in here
            return
        if gate is None:
            self.wait(_at_once, None, "its turn", just_do)
        else:
            gate.shield(self.wait, _at_once, None, "its turn", gate.nap)

    def wait(self, happened, deadline, what, nap):
        """Give up the turn until happened() is true or time is `deadline` (None = never), or for no reason; True if
        happened() was true.

        happened() is called, often and in whichever thread, only while all others wait. `what` stands in messages
        after "waits for"; None if `describe` has it. nap: see Gate.nap; no signal handler may run but there.
        RuntimeError if nothing is left that could happen, or if a thread holds up time by something that is not
        understood.
        """
        me = self._me()
        nested = me.happened is not None               # a signal handler wants to enter, while its thread waits
        me.deadline, me.what, me.result, me.error = deadline, what, False, None
        with self._mutex:
            me.rest(happened)
            self._players[me.thread] = me              # it may have been taken for dead or a stranger
            if self._holder is me:
                self._holder, self._last = None, me.serial
            self._lookout = me
        try:
            while not self._decide(me):
                nap(me.bell.acquire, True, _GLANCE if self._lookout is me else -1)
        except BaseException:                          # also a signal handler's: it takes the turn wherever it is
            with self._mutex:
                me.rise()
                self._holder = me
            raise
        finally:
            if self._lookout is me:
                self._appoint_lookout()
            if nested:
                me.ring()
        result, error, me.result, me.error = me.result, me.error, False, None
        if error is not None:
            raise error
        return result

    # -- who takes part ---------------------------------------------------------------------------

    def _me(self):
        try:
            return self._here.player
        except AttributeError:
            pass
        with self._mutex:
            self._census(outside.living())             # those started earlier come first
            thread = threading.current_thread()
            self._strangers.discard(thread)
            player = self._here.player = self._players.get(thread) or self._admit(thread)
            player.called = True
        return player

    def _admit(self, thread):
        self._serial += 1
        player = self._players[thread] = _Player(thread, self._serial)
        return player

    def _census(self, alive):
        players, strangers = self._players, self._strangers
        for thread in outside.in_order([each for each in alive if each not in players and each not in strangers]):
            self._admit(thread)
        for thread, player in list(players.items()):
            if thread not in alive and player.happened is None:
                del players[thread]

    def _runner(self):
        """(player, what is alive): one that neither waits in here nor, for certain, outside; (None, ...) if all wait.

        Two equal looks at those outside: only so all of their waits were under way at one moment.
        """
        threads, looks = threading.enumerate(), []
        if threads == self._threads and all(player.happened is not None for player in self._players.values()):
            return None, ()                            # nobody has come or gone, nobody is outside
        while len(looks) < 2:
            alive = outside.living()
            self._census(alive)
            look = {}
            for player in self._players.values():
                if player.happened is None:
                    wait = look[player] = _resting.get(player.thread) or outside.wait_of(player.thread, alive)
                    if wait is None:
                        return player, alive
            if not look:
                break
            looks.append(look)
        self._threads = threads
        if len(looks) == 2 and looks[0] != looks[1]:
            return next(iter(look)), alive
        return None, alive

    # -- who is next ------------------------------------------------------------------------------

    def _decide(self, me):
        """If everybody waits, find out who is next and give it the turn. True if it is the calling thread's."""
        with self._mutex:
            if self._holder is me:
                return True
            if self._deciding:
                return False
            runner, alive = self._runner()
            if runner is not None:
                self._be_patient(runner, alive)
                return False
            self._suspect = None
            self._deciding, self._holder = True, me
        chosen = me
        try:
            chosen = self._next()
        finally:
            with self._mutex:
                chosen.rise()
                self._holder, self._deciding = chosen, False
        if chosen is not me:
            chosen.ring()
        return chosen is me

    def _next(self):
        """Let time run until somebody's wait is over. Only the holder of the turn may."""
        while True:
            waiting = [player for player in list(self._players.values()) if player.happened is not None]
            waiting.sort(key=lambda player: (player.serial <= self._last, player.serial))
            for player in waiting:
                try:
                    player.result = bool(player.happened())
                except Exception as error:             # its own: it is raised there
                    player.error = error
                    return player
                if player.result:
                    return player
            limit = min([player.deadline for player in waiting if player.deadline is not None], default=_NEVER)
            if self._clock.move(limit):
                continue
            if limit < _NEVER:
                return next(player for player in waiting if player.deadline is not None and player.deadline <= limit)
            victim = min(waiting, key=lambda player: player.serial)
            victim.error = RuntimeError("nothing is left that could happen: " + self._who_waits(outside.living()))
            return victim

    def _be_patient(self, runner, alive):
        """`runner` holds up time: that is its right as long as it does something."""
        real, used, position = time.monotonic(), time.process_time(), outside.position(runner.thread, alive)
        if self._suspect is None or self._suspect[:2] != (runner, position):
            self._suspect = runner, position, real, used
            return
        patience = self._clock.patience if runner.called else min(self._clock.patience, _STRANGE)
        idle = real - self._suspect[2]
        if idle < patience:
            return
        busy = used - self._suspect[3] > idle * _IDLE
        self._suspect = None
        if busy:
            return
        if runner.called:
            raise RuntimeError(
                f"time cannot move: {runner.thread.name} stands still at {outside.place(runner.thread, alive)}, and "
                "what it waits for there cannot be told (in virtual time, wait with the clock's sleep() or wait()); "
                + self._who_waits(alive))
        self._strangers.add(runner.thread)
        del self._players[runner.thread]

    def _who_waits(self, alive):
        waits = self._clock.describe_waits()
        for player in list(self._players.values()):
            if player.happened is None:
                waits.append(f"{player.thread.name} is outside, at {outside.place(player.thread, alive)}")
            elif player.what is not None:
                waits.append(f"{player.thread.name} waits for {player.what}")
        return "; ".join(waits)

    def _appoint_lookout(self):
        """The lookout has the turn now: somebody else must look."""
        self._lookout = next((player for player in list(self._players.values()) if player.happened is not None), None)
        if self._lookout is not None:
            self._lookout.ring()

    # -- fork -------------------------------------------------------------------------------------

    def _forked(self):
        self._mutex = threading.RLock()
        self._players.clear()
        _resting.clear()
        self._threads = []
        self._holder = self._lookout = self._suspect = None
        self._deciding = False


def _at_once():
    return True


def just_do(fn, *args):
    """Gate.nap, where there is no gate."""
    return fn(*args)


class TurnLock:
    """The lock of `gate`: a `threading.RLock` that only the thread whose turn it is can get."""

    def __init__(self, turns, gate):
        lock = threading.RLock()
        self._take, self._gate = turns.take, gate
        self._acquire = lock.acquire
        self.release = lock.release
        self._is_owned = lock._is_owned

    def acquire(self, blocking=True):
        """Wait for the turn, then for the lock, which nobody without the turn holds for long: so `blocking` is always
        meant. What happens in a stack that is down needs no turn: most often it is the garbage collector that closes
        something, long after the program."""
        if self._gate.down is None:
            self._take(self._gate)
        return self._acquire()


def _after_fork_in_child():
    for turns in list(_all):
        turns._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
