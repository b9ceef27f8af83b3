"""asyncio in virtual time: an event loop that lives by a ManualClock(auto=True).

    with asyncio.Runner(loop_factory=clock.event_loop) as runner:
        runner.run(main())

`time()` is the clock's, so timeouts and `asyncio.sleep` cost no real time, and the selector waits as a blocking call
of a socket does: with the turns of other threads in between. Only descriptors that stacks on this clock look after
(and the loop's own) become ready by themselves; real ones, of the kernel's sockets or of pipes, are looked at, but
nothing waits for them. Pass sockets of a stack as `sock=` (`asyncio.open_connection(sock=...)`), or put tipy in the
place of `socket` (`tipy.install()`).
"""

import asyncio
import queue
import selectors
from concurrent.futures import ThreadPoolExecutor


class _Selector(selectors.DefaultSelector):
    """Waits by a clock's time."""

    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def select(self, timeout=None):
        """See BaseSelector. Others have their turns even with a timeout of 0."""
        ready = []

        def look():
            nonlocal ready
            ready = super(_Selector, self).select(0)
            return ready

        self._clock.wait(look, timeout and max(timeout, 0), f"{len(self.get_map())} descriptor(s)")
        return ready


class _Pool(ThreadPoolExecutor):
    """A pool whose idle threads wait in a way that the clock understands."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._work_queue = queue.Queue()


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop of `clock`, a ManualClock(auto=True)."""

    def __init__(self, clock):
        super().__init__(_Selector(clock))
        self._clock = clock
        self.set_default_executor(_Pool(thread_name_prefix="asyncio"))

    def time(self):
        """The clock's time, in seconds."""
        return self._clock.now()
