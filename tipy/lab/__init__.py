"""A private lab: a network of one's own with the real Linux kernel in it, without root, gone afterwards.

    with Lab() as lab:
        stack = tipy(link=lab.link(), address="192.168.2.200/24")
        lab.kernel.call(function, *args)      # runs in the namespace of the host, 192.168.2.199
        lab.other.call(function, *args)       # runs in that of the second host, 192.168.2.50

The stack runs in the process that made the lab: only the descriptor of its end of the wire comes out of the
namespace (SCM_RIGHTS). The hosts are processes, see worker.py.

There are three rungs, and which one a machine can give is found out by trying, in a forked child, never by
looking at user ids:

    tap      a TAP device on the lab's bridge
    packet   veth and AF_PACKET, where /dev/net/tun cannot be opened
    memory   no namespaces: a wire in memory, on which second and third tipy stacks play the hosts

Any OSError on the way means the next rung, and is kept as the sentence `lab.reason`.
"""

import os
import sys

from tipy.errors import SetupError
from tipy.lab import network
from tipy.lab.network import HOST, NETWORK, OTHER, PREFIX_LENGTH, STACK

__all__ = ["HOST", "Lab", "NETWORK", "OTHER", "PREFIX_LENGTH", "RUNGS", "STACK"]

RUNGS = ("tap", "packet", "memory")
_TIMEOUT = 10.0                      # seconds, for each step of building


class Lab:
    """The lab. rung: "tap", "packet" or "memory" insists on that one (OSError if it cannot be had); None
    takes the first that works.

    rung      which one it is
    reason    why it is not a better one: a sentence, or ""
    kernel    the host 192.168.2.199: call, start (see `tipy.lab.worker.Worker`); on the rung "memory", None
    other     the second host, 192.168.2.50, likewise
    """

    def __init__(self, rung=None):
        if rung not in (None, *RUNGS):
            raise ValueError(f"{rung!r} is no rung of the lab: choose from {', '.join(RUNGS)}")
        self.rung = None
        self.kernel = self.other = self._stack_end = None
        self.wire = None
        self._links = []
        reasons = []
        for candidate in RUNGS if rung is None else (rung,):
            try:
                self._build(candidate)
                self.rung = candidate
                break
            except OSError as error:
                self.close()
                if rung is not None:
                    raise
                reasons.append(f"no {_TITLES[candidate]}: {error.strerror or error}")
            except BaseException:                        # Ctrl-C while it is being built
                self.close()
                raise
        self.reason = "; ".join(reasons)

    def link(self, offload=True):
        """A new link for a stack in this process, at the lab's third place. One at a time on the rungs "tap"
        and "packet"; the stack's address there is 192.168.2.200."""
        if self.rung == "tap":
            from tipy.link.tap import TapLink
            fd = self.kernel.descriptor(network.open_tap, timeout=_TIMEOUT)
            link = TapLink(network.TAP, 1500, offload, fd=fd)
        elif self.rung == "packet":
            from tipy.link.packet import PacketLink
            mac = self._stack_end.call(network.stack_end_mac, timeout=_TIMEOUT)
            fd = self._stack_end.descriptor(network.open_packet, timeout=_TIMEOUT)
            link = PacketLink(network.STACK_END, 1500, offload, fd=fd, mac=mac)
        elif self.rung == "memory":
            link = self.wire.port()
        else:
            raise SetupError("the lab is closed: make a new one")
        self._links.append(link)
        return link

    def close(self):
        """End the lab: its processes, and with them its networks. Idempotent. Stop your stacks first."""
        for link in self._links:
            link.close()
        self._links.clear()
        workers = (self._stack_end, self.other, self.kernel)
        self._stack_end = self.other = self.kernel = self.wire = self.rung = None
        for worker in workers:
            if worker is not None:
                worker.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    # -- building ---------------------------------------------------------------------------------

    def _build(self, rung):
        if rung == "memory":
            from tipy.link.memory import Wire
            self.wire = Wire(offload=True)
            return
        if not sys.platform.startswith("linux") or not hasattr(os, "fork"):
            raise SetupError("network namespaces exist on Linux only")
        self.kernel = _first_worker()
        self._step(self.kernel, network.build_host)
        self.other = self.kernel.spawn(network.Enter(), _TIMEOUT)
        self._step(self.kernel, network.join_other, self.other.pid)
        self._step(self.other, network.build_other)
        if rung == "tap":
            self._step(self.kernel, network.build_tap)
            os.close(self.kernel.descriptor(network.open_tap, timeout=_TIMEOUT))
        else:
            self._stack_end = self.kernel.spawn(network.Enter(), _TIMEOUT)
            self._step(self.kernel, network.join_stack, self._stack_end.pid)
            self._step(self._stack_end, network.build_stack_end)
            os.close(self._stack_end.descriptor(network.open_packet, timeout=_TIMEOUT))

    def _step(self, worker, function, *args):
        worker.call(function, *args, timeout=_TIMEOUT)


_TITLES = {"tap": "TAP", "packet": "veth with AF_PACKET", "memory": "wire in memory"}


def _first_worker():
    """A process in a namespace of its own: with a user namespace (so it can do no harm outside even as root),
    or, where those are forbidden, without (which only root may)."""
    from tipy.lab.worker import Worker
    try:
        return Worker(network.Enter(with_user=True), _TIMEOUT)
    except OSError as error:
        try:
            return Worker(network.Enter(with_user=False), _TIMEOUT)
        except OSError:
            raise error from None
