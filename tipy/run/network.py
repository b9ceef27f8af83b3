"""Which network a program gets: what the options name, else what the user's config or environment names, else
the stack's own loopback and nothing more. Said in one line."""

import contextlib

from tipy import log, settings
from tipy.errors import SetupError
from tipy.stack import LOOPBACK_ONLY, Stack

_NAMES = ("ifname", "address", "gateway")


class Network:
    """The stack of one `tipy run`, started. str() is the line that says what it is.

    SetupError or OSError with one sentence if it cannot be had.
    """

    def __init__(self, options):
        self._options = options
        self._stack = None
        self._ends = contextlib.ExitStack()    # what is to be closed, last made first
        self._said = ""
        self.loopback_only = False
        try:
            self._choose()
        except BaseException:
            self._ends.close()
            raise

    def __str__(self):
        return self._said + self._describe_faults()

    @property
    def stack(self):
        """The running stack."""
        return self._stack

    def close(self):
        """Stop the stack, end captures and the lab."""
        self._stack.stop()
        self._ends.close()

    # -- choosing ---------------------------------------------------------------------------------

    def _choose(self):
        given = {name: getattr(self._options, name) for name in _NAMES if getattr(self._options, name)}
        if self._options.lab:
            self._start_lab(given)
            return
        named = settings.named_by_user()
        if given.get("ifname") == LOOPBACK_ONLY or not given and not named.keys() & {"ifname", "address"}:
            self._start_loopback("no network was named")
            return
        try:
            self._start_tap(given)
        except SetupError as error:
            # a config.py that merely lies in this directory is a wish, not an order
            if given or set(named.values()) - {"config.py"}:
                raise
            self._start_loopback(f"config.py names a network that is not there: {error.strerror}")

    def _start_loopback(self, why):
        self.loopback_only = True
        stack = self._make(ifname=LOOPBACK_ONLY)
        self._said = f"127.0.0.1 only, {why}"
        if self._options.faults or self._options.capture:
            from tipy.run.loop import through_wire
            link = through_wire(stack, self._wrap, bool(self._options.faults))
            self._ends.callback(link.close)
        self._start(stack)

    def _start_tap(self, given):
        from tipy.link.tap import TapLink
        chosen = settings.Settings.load(**given)
        if chosen.ifname == LOOPBACK_ONLY:
            self._start_loopback("as the settings say")
            return
        link = TapLink(chosen.ifname, chosen.mtu)
        stack = self._make(link=self._wrap(link), **given)
        stack.name = chosen.ifname
        self._start(stack)
        self._said = f"{self._where(stack)} on {chosen.ifname}"

    def _start_lab(self, given):
        from tipy.lab import HOST, PREFIX_LENGTH, STACK, Lab
        lab = self._ends.enter_context(Lab())
        given.setdefault("address", f"{STACK}/{PREFIX_LENGTH}")
        stack = self._make(link=self._wrap(lab.link()), ifname=LOOPBACK_ONLY, **given)
        stack.name = "lab"
        self._start(stack)
        self._said = f"{self._where(stack)} in a private network"
        if lab.kernel is None:
            self._said += f" with nobody else in it ({lab.reason})"
        else:
            self._said += (f"; beside it Linux, {HOST}: nsenter -t {lab.kernel.pid} -U -n "
                           "--preserve-credentials COMMAND")

    def _make(self, link=None, **given):
        stack = Stack(link=link, **given)
        if "log_channels" not in settings.named_by_user():
            log.choose(())                     # the line says it
        return stack

    def _start(self, stack):
        stack.start()
        self._stack = stack

    def _wrap(self, link):
        """Faults and capture around a link."""
        if self._options.faults:
            from tipy.link.faults import FaultLink
            link = FaultLink(link, seed=self._options.seed, **self._options.faults)
        if self._options.capture:
            from tipy.link.pcap import CaptureLink
            link = CaptureLink(link, self._options.capture)
        return link

    # -- words ------------------------------------------------------------------------------------

    @staticmethod
    def _where(stack):
        gateway = stack.settings.gateway
        return stack.settings.address + (f", gateway {gateway}," if gateway else "")

    def _describe_faults(self):
        words = [f"{name} {value * 1000:g}ms" if name in ("delay", "jitter") else f"{name} {value * 100:g}%"
                 for name, value in self._options.faults.items()]
        if words and self._options.seed is not None:
            words.append(f"seed {self._options.seed}")
        if self._options.capture:
            words.append(f"captured in {self._options.capture}")
        if self._options.kernel:
            words.append(f"{' '.join(map(str, self._options.kernel))} by the kernel")
        return "; " + ", ".join(words) if words else ""
