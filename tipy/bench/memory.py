"""Two stacks of this process on a wire in memory: no namespace, no privilege, any system."""

import threading

from tipy import log
from tipy.link import Wire
from tipy.settings import Settings
from tipy.stack import Stack

_CLIENT, _SERVER = "10.8.0.1", "10.8.0.2"


class Pair:
    """The two stacks, running until the context ends. `offload`: super-segments pass the wire whole."""

    def __init__(self, offload=True):
        log.choose(())
        wire = Wire(offload=offload)
        self._client, self._server = [
            Stack(link=wire.port(), settings=Settings.load(use_user_files=False, acd=False, gateway=None,
                                                           address=f"{address}/24"))
            for address in (_CLIENT, _SERVER)]

    def __enter__(self):
        self._client.start()
        self._server.start()
        return self

    def __exit__(self, *exc_info):
        self._client.stop()
        self._server.stop()

    def serve(self, program):
        """Run a server program (see programs.py) on the second stack until this context ends."""
        return _Serving(program(self._server.socket, _SERVER))

    def ask(self, program, *args):
        """Run a client program on the first stack, in this thread: its figure."""
        return program(self._client.socket, _SERVER, *args)


class _Serving:
    """A server program in a thread. It ends with the stack below it."""

    def __init__(self, running):
        self._running = running

    def __enter__(self):
        next(self._running)
        threading.Thread(target=self._run_to_the_end, daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        pass

    def _run_to_the_end(self):
        try:
            for _ in self._running:
                pass
        except OSError:
            pass                                       # the stack was stopped
