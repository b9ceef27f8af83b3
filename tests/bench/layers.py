"""Where the time goes: microseconds of CPU per frame in each layer, and the functions that take it.

How. Every way from one layer into another is a method of some class; before the stack is made, those
methods are replaced by ones that read the thread's CPU clock on the way in and on the way out, and charge
what has passed since the last reading to the layer that was running. So each layer gets the time of its own
code, without that of the layers it calls; waiting (poll, locks, the interpreter lock) costs no CPU, so is
not in it. The clock itself costs something at each crossing: that is measured first, with an empty
function, and taken off.

What runs under a layer's method and is not listed here belongs to that layer: checksums to TCP, the ARP cache
to IPv4, timers' callbacks to "timers", poll to "driver". "system calls" are read and write of the link, with
all that the kernel does in them: a write into a TAP runs the receiving half of its stack.

With --functions the same traffic runs under cProfile instead, one profile per thread (cProfile slows small
functions down most: read it for the ranking, and the layers for the microseconds). With --bytecodes the
interpreter's steps are counted: they depend on the version of Python, but neither on the machine nor on what else it
does, so that two versions of the code can be told apart by less than a hundredth.
"""

import cProfile
import functools
import importlib
import inspect
import sys
import threading
import time
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import NamedTuple

from tipy.bench import clients, programs
from tipy.bench.contest import STACK
from tipy.bench.places import OnStack

LAYERS = ("system calls", "link", "stack", "gate", "timers", "ethernet", "ipv4", "tcp", "udp", "socket",
          "driver")

_CROSSINGS = (                     # (layer, module, class, methods)
    ("link", "tipy.link.virtio", "VirtioLink", "receive_batch send"),
    ("driver", "tipy.driver", "Driver", "begin turn end"),
    ("stack", "tipy.stack", "Stack", "receive serve"),
    ("gate", "tipy.gate", "Gate", "__enter__ __exit__ wait notify"),
    ("timers", "tipy.timers", "Timers", "expire next_deadline"),
    ("ethernet", "tipy.ethernet", "Ethernet", "input send transmit"),
    ("ipv4", "tipy.ipv4", "IPv4", "path"),
    ("ipv4", "tipy.ipv4.input", "Input", "input"),
    ("ipv4", "tipy.ipv4.output", "Output", "send"),
    ("tcp", "tipy.tcp.layer", "Tcp", "input connect listen"),
    ("tcp", "tipy.tcp.connection", "Connection", "read read_into write readable"),
    ("udp", "tipy.udp", "Udp", "input"),
    ("udp", "tipy.udp", "UdpEndpoint", "send receive"),
    ("socket", "tipy.sockets.api", "Socket", "send sendall sendto recv recv_into recvfrom"),
)
_SYSTEM_CALLS = ("read", "writev", "write")
_CALIBRATION = 20_000


class Meter:
    """The running sums of all threads: ns[layer], calls[(caller's layer, layer)]."""

    def __init__(self):
        self.ns, self.calls = {}, {}
        self._local = threading.local()
        self._inside = self._outside = 0.0       # what one crossing costs the layer called, and its caller
        self._calibrate()

    def reset(self):
        """Forget what was measured."""
        self.ns, self.calls = {}, {}

    def wrap(self, layer, function):
        """`function`, its time charged to `layer`."""
        local, clock = self._local, time.thread_time_ns

        @functools.wraps(function)
        def crossing(*args, **kwargs):
            try:
                stack = local.stack
            except AttributeError:
                stack = local.stack = [_root()]
                local.last = clock()
            caller = stack[-1]
            now = clock()
            ns, calls = self.ns, self.calls
            ns[caller] = ns.get(caller, 0) + now - local.last
            calls[caller, layer] = calls.get((caller, layer), 0) + 1
            local.last = now
            stack.append(layer)
            try:
                return function(*args, **kwargs)
            finally:
                now = clock()
                ns = self.ns
                ns[layer] = ns.get(layer, 0) + now - local.last
                local.last = now
                stack.pop()

        return crossing

    def figures(self):
        """Layer -> CPU microseconds, the crossings' own cost taken off."""
        left = dict(self.ns)
        for (caller, layer), count in list(self.calls.items()):
            left[layer] = left.get(layer, 0) - count * self._inside
            left[caller] = left.get(caller, 0) - count * self._outside
        return {layer: max(value, 0) / 1000 for layer, value in left.items()}

    def _calibrate(self):
        def nothing():
            pass

        def calls(function):
            for _ in range(_CALIBRATION):
                function()

        start = time.thread_time_ns()
        calls(nothing)
        bare = (time.thread_time_ns() - start) / _CALIBRATION
        self.wrap("outer", calls)(self.wrap("inner", nothing))
        self._inside = max(self.ns["inner"] / _CALIBRATION - bare / 2, 0)
        self._outside = max(self.ns["outer"] / _CALIBRATION - bare / 2, 0)
        self.reset()


def _root():
    return "driver" if threading.current_thread().name.startswith("tipy") else "program"


def install(meter):
    """Put the crossings in place; the names of those this version of the stack does not have."""
    missing = []
    for layer, module, class_name, methods in _CROSSINGS:
        owner = getattr(importlib.import_module(module), class_name, None)
        for method in methods.split():
            found = inspect.getattr_static(owner, method, None)
            if isinstance(found, property):
                setattr(owner, method, property(meter.wrap(layer, found.fget)))
            elif found is not None and callable(found):
                setattr(owner, method, meter.wrap(layer, found))
            else:
                missing.append(f"{class_name}.{method}")
    virtio = importlib.import_module("tipy.link.virtio")
    calls = {name: meter.wrap("system calls", getattr(virtio.os, name)) for name in _SYSTEM_CALLS}
    virtio.os = SimpleNamespace(**{**vars(virtio.os), **calls})
    return missing


# -- places and programs ---------------------------------------------------------------------------


class Measured(NamedTuple):
    """A place: a stack whose layers are metered."""

    stack: OnStack
    worker = "client"

    @property
    def subnet(self):
        """As the stack's."""
        return self.stack.subnet

    @contextmanager
    def open(self):
        """(meter, socket module) instead of the socket module."""
        meter = Meter()
        missing = install(meter)
        with self.stack.open() as (module, address):
            yield (meter, missing, module), address


class Profiled(Measured):
    """A place: a stack whose threads run under cProfile."""

    @contextmanager
    def open(self):
        """(ranking, missing, socket module) instead of the socket module."""
        ranking = Ranking()
        ranking.include_driver()
        with self.stack.open() as (module, address):
            yield (ranking, [], module), address


class Counted(Measured):
    """A place: a stack whose interpreter steps are counted."""

    @contextmanager
    def open(self):
        """(bytecodes, missing, socket module) instead of the socket module."""
        with self.stack.open() as (module, address), closing(Bytecodes()) as bytecodes:
            yield (bytecodes, [], module), address


class Bytecodes:
    """The bytecodes that are executed in each layer, in the shape of a Meter: by sys.monitoring, or, before Python 3.12, by
    sys.settrace, which sees the calling thread only."""

    def __init__(self):
        self._counts = {layer: [0] for layer in LAYERS[1:]}
        self._of_file = {}                       # file -> the count of its layer
        self._monitoring = getattr(sys, "monitoring", None)
        if self._monitoring is not None:
            self._tool = self._monitoring.PROFILER_ID
            self._monitoring.use_tool_id(self._tool, "tipy bench")
            self._monitoring.register_callback(self._tool, self._monitoring.events.INSTRUCTION, self._step)

    def reset(self):
        """Count anew from now on."""
        for count in self._counts.values():
            count[0] = 0
        self._switch(True)

    def figures(self):
        """Layer -> bytecodes; counting ends."""
        self._switch(False)
        return {layer: count[0] for layer, count in self._counts.items()}

    def close(self):
        """Let others count."""
        if self._monitoring is not None:
            self._monitoring.free_tool_id(self._tool)

    def _switch(self, on):
        if self._monitoring is not None:
            self._monitoring.set_events(self._tool, self._monitoring.events.INSTRUCTION if on else 0)
        else:
            sys.settrace(self._trace if on else None)

    def _trace(self, frame, event, arg):
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            self._step(frame.f_code, 0)
        return self._trace

    def _step(self, code, offset):
        try:
            self._of_file[code.co_filename][0] += 1
        except KeyError:
            layer = layer_of(code.co_filename)
            count = self._of_file[code.co_filename] = self._counts.get(layer, [0])
            count[0] += 1


_ELSEWHERE = {"clock": "gate", "signals": "gate", "fuse": "driver", "packet": "ethernet", "arp": "ipv4", "buffers": "tcp",
              "datagrams": "udp", "sockets": "socket"}
_PACKAGE = __file__.rpartition("/tests/")[0] + "/tipy/"


def layer_of(file):
    """The layer a file of the package belongs to; None for what several layers share (checksum.py, counters.py), and for
    the measurements."""
    first, *rest = file.removeprefix(_PACKAGE).removesuffix(".py").split("/")
    if first == "wire":
        first = rest[0]
    layer = _ELSEWHERE.get(first, first)
    return layer if layer in LAYERS[1:] else None


class Ranking:
    """Profiles of the driver's and the program's threads, in the shape of a Meter."""

    def __init__(self):
        self._profiles = []
        self._mine = None

    def reset(self):
        """Forget what the program's thread has done, and go on. The driver's profile goes on in any case."""
        if self._mine is not None:
            self._mine.disable()                 # or its end would disable the next one
        self._mine = self._enable()

    def include_driver(self):
        """Have the driver's thread profiled, from its start."""
        from tipy.driver import Driver
        original = Driver._run

        def run(driver):
            self._profiles.append(self._enable())
            original(driver)

        Driver._run = run

    @staticmethod
    def _enable():
        profile = cProfile.Profile(builtins=True)
        try:
            profile.enable()
        except ValueError:                       # from Python 3.12 on one thread at a time
            return None
        return profile

    def figures(self):
        """Function -> microseconds of its own, the twenty highest."""
        if self._mine is not None:
            self._mine.disable()
        own = {}
        for profile in (*self._profiles, self._mine):
            for entry in profile.getstats() if profile is not None else ():
                name = _name_of(entry.code)
                if "poll" not in name and "acquire" not in name:     # waiting
                    own[name] = own.get(name, 0) + entry.inlinetime * 1e6
        return dict(sorted(own.items(), key=lambda item: -item[1])[:20])


def _name_of(code):
    if isinstance(code, str):
        return code
    return f"{code.co_filename.rpartition('/tipy/')[2]}:{code.co_firstlineno} {code.co_name}"


# -- what is run ----------------------------------------------------------------------------------


def server(surroundings, address, udp):
    """Serve one request after another (or, with udp, one burst of echoes); yield after each what it cost."""
    meter, missing, module = surroundings
    with module.socket(module.AF_INET, module.SOCK_DGRAM if udp else module.SOCK_STREAM) as listener:
        listener.bind((address, programs.PORT))
        if not udp:
            listener.listen()
        yield "ready"
        while True:
            connection = listener if udp else listener.accept()[0]
            meter.reset()
            try:
                if udp:
                    _echo_datagrams(connection)
                else:
                    programs.serve(module, connection)
            except ConnectionError:
                pass
            yield meter.figures(), missing
            if not udp:
                connection.close()


def _echo_datagrams(sock):
    data, peer = sock.recvfrom(2048)
    while data:
        sock.sendto(data, peer)
        data, peer = sock.recvfrom(2048)


def echo_datagrams(module, address, count):
    """The client of `_echo_datagrams`: round trips, then the empty datagram that ends them."""
    median = clients.udp_ping_pong(module, address, count)
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as sock:
        sock.sendto(b"", (address, programs.PORT))
    return median


_SIZE = 256 << 20
_TRIPS = 4000
_LARGEST = 45 * 1448                             # payload of a super-segment


def profile(contest, functions, bytecodes):
    """Print the tables."""
    size, trips = (_SIZE // 4, _TRIPS // 4) if contest.quick or bytecodes else (_SIZE, _TRIPS)
    place = Profiled if functions else Counted if bytecodes else Measured
    traffic = (
        ("bulk k2s", True, False, clients.bulk_in, size, size / _LARGEST),
        ("bulk s2k", True, False, clients.bulk_out, size, size / _LARGEST),
        ("plain k2s", False, False, clients.bulk_in, size // 8, size / 8 / 1448),
        ("plain s2k", False, False, clients.bulk_out, size // 8, size / 8 / 1448),
        ("TCP echo", True, False, clients.tcp_ping_pong, trips, trips * 1.1),
        ("UDP echo", True, True, echo_datagrams, trips, trips * 1.1),
    )
    figures = {}
    for title, offload, udp, program, amount, frames in traffic:
        with contest.servers() as servers:
            servers.start(STACK, place(contest.stack(offload)), server, udp)
            figure = contest.ask(servers.all[STACK], program, amount)
            spent, missing = servers.all[STACK].next()
        figures[title] = {layer: value / frames for layer, value in spent.items()}
        if functions:
            _print_ranking(title, figures[title])
    if missing:
        print(f"not found, so counted to the layer that calls: {', '.join(missing)}")
    if not functions:
        _print_layers(figures, "bytecodes" if bytecodes else "CPU microseconds")


def _print_layers(figures, what):
    print(f"{what} per frame: 45 segments (bulk), one segment (plain TAP), one round trip (echo)")
    print(f"{'':14s}" + "".join(f"{title:>11s}" for title in figures))
    digits = 2 if any("program" in spent for spent in figures.values()) else 0
    for layer in LAYERS:
        if any(layer in spent for spent in figures.values()):
            print(f"{layer:14s}" + "".join(f"{spent.get(layer, 0):11.{digits}f}" for spent in figures.values()))
    totals = [sum(spent.values()) - spent.get("program", 0) for spent in figures.values()]
    print(f"{'together':14s}" + "".join(f"{total:11.{digits}f}" for total in totals))
    if digits:
        print(f"{'(program)':14s}" + "".join(f"{spent.get('program', 0):11.2f}" for spent in figures.values()))


def _print_ranking(title, spent):
    print(f"\n{title}: microseconds per frame (cProfile, own time)")
    for name, value in spent.items():
        print(f"  {value:9.2f}  {name}")
