"""Settings: everything about a stack that can be chosen, with its default.

    Settings(...)        defaults and keyword arguments
    Settings.load(...)   also the user's environment and config.py; what `tipy(...)` does

From strong to weak: keyword arguments, environment (TIPY_ADDRESS=10.0.0.2/24), config.py, defaults. The
config.py is the file that TIPY_CONFIG names (none, if that is empty), else ./config.py if its first line is
`# tipy config`: many projects have a config.py, and a stranger's is never executed.

Each name may be written in lower case, as below, or in upper case; a few have a second name (ALIASES), so
that files written for tipy 1 still work. TCP settings are called as Linux's sysctls without `tcp_` and mean
the same. A wrong name or value is one sentence: TypeError or ValueError for a keyword argument, SetupError
for what stands in the environment or the file.

Edge: reads the environment and a file. What may live here: names, defaults, and how the sources combine.
"""

import dataclasses
import difflib
import os
import types

from tipy import kinds
from tipy.address import Network, format_ip, format_mac, parse_ip, parse_network
from tipy.errors import SetupError

CONFIG_LINE = "# tipy config"
_PREFIX = "TIPY_"
_CONFIG = "TIPY_CONFIG"

ALIASES = {                    # other name -> setting; a few need a look at their value, see _original
    "iface": "ifname", "ip_address": "address", "router": "gateway", "mac_address": "mac",
    "log_chanel": "log_channels",
}
_ORIGINALS = ("network", "mask", "ip_broadcast_address", "ip_static", "enable_ip_option")


def _setting(default, kind):
    return dataclasses.field(default=default, metadata={"kind": kind})


# -- the settings ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of one stack. Times in seconds, sizes in bytes."""

    # interface and addresses
    ifname: str = _setting("tap7", kinds.NAME)                              # "loopback": no link at all
    address: str = _setting("192.168.2.200/24", kinds.ADDRESS)
    gateway: str | None = _setting("192.168.2.1", kinds.GATEWAY)            # None: the connected network only
    mac: str | None = _setting(None, kinds.MAC)                             # None: derived, see derive_mac
    mtu: int | None = _setting(None, kinds.integer(68, 65535, optional=True))  # None: the interface's
    acd: bool = _setting(True, kinds.FLAG)                                  # look for conflicts, RFC 5227
    log_channels: tuple | None = _setting(None, kinds.CHANNELS)             # None: leave them as they are

    # ARP; the probe times are much shorter than RFC 5227's 1, 1, 2, 2 s: see acd.py
    arp_reply_timeout: float = _setting(1.0, kinds.seconds(0.001))
    arp_retries: int = _setting(3, kinds.integer(1, 100))
    arp_cache_ttl: float = _setting(60.0, kinds.seconds(0.1))
    arp_cache_size: int = _setting(512, kinds.integer(8))
    arp_probe_wait: float = _setting(0.05, kinds.seconds())
    arp_probe_min: float = _setting(0.1, kinds.seconds())
    arp_probe_max: float = _setting(0.2, kinds.seconds())
    arp_announce_wait: float = _setting(0.25, kinds.seconds())

    # IP and ports
    ttl: int = _setting(64, kinds.integer(1, 255))
    pmtu_discovery: bool = _setting(True, kinds.FLAG)
    defragmentation_timeout: float = _setting(30.0, kinds.seconds(0.001))   # as Linux; RFC 1122: 60 to 120
    ephemeral_ports: tuple = _setting((32768, 60999), kinds.PORTS)

    # names; None: as /etc/resolv.conf says, else glibc's 1, 5 s, 2
    nameservers: tuple | None = _setting(None, kinds.ADDRESSES)
    search: tuple | None = _setting(None, kinds.DOMAINS)
    ndots: int | None = _setting(None, kinds.integer(0, 15, optional=True))
    dns_timeout: float | None = _setting(None, kinds.seconds(0.001, 3600, optional=True))
    dns_attempts: int | None = _setting(None, kinds.integer(1, 10, optional=True))

    # TCP: what is offered to the peer
    mss: int | None = _setting(None, kinds.integer(88, 65495, optional=True))  # a cap; None: the path's
    sack: bool = _setting(True, kinds.FLAG)
    dsack: bool = _setting(True, kinds.FLAG)
    timestamps: bool = _setting(True, kinds.FLAG)
    window_scaling: bool = _setting(True, kinds.FLAG)
    ecn: int = _setting(2, kinds.integer(0, 2))                             # 0 off, 1 on, 2 if the peer asks

    # TCP: buffers, sized as Linux's (its tcp_rmem and tcp_wmem)
    rcvbuf: int = _setting(131072, kinds.integer(2304))
    rcvbuf_max: int = _setting(6291456, kinds.integer(2304))
    sndbuf: int = _setting(16384, kinds.integer(4608))
    sndbuf_max: int = _setting(8388608, kinds.integer(4608))
    notsent_lowat: int | None = _setting(None, kinds.integer(1, optional=True))  # None: no limit
    max_early_ranges: int = _setting(256, kinds.integer(1))                 # ranges kept ahead of a gap

    # TCP: opening and closing
    syn_retries: int = _setting(6, kinds.integer(1, 127))
    synack_retries: int = _setting(5, kinds.integer(0, 127))
    syncookies: bool = _setting(True, kinds.FLAG)
    max_syn_backlog: int = _setting(4096, kinds.integer(1))
    somaxconn: int = _setting(4096, kinds.integer(1))
    fin_timeout: float = _setting(60, kinds.seconds())                      # an orphan's stay in FIN-WAIT-2
    time_wait: float = _setting(60, kinds.seconds())
    max_time_wait: int = _setting(16384, kinds.integer(1))
    rfc1337: bool = _setting(True, kinds.FLAG)                              # a RST does not end TIME-WAIT

    # TCP: retransmission and acknowledgements
    rto_initial: float = _setting(1.0, kinds.seconds(0.001))
    rto_min: float = _setting(0.2, kinds.seconds(0.001))
    rto_max: float = _setting(120.0, kinds.seconds(0.001))
    retries2: int = _setting(15, kinds.integer(1, 255))
    delayed_ack: float = _setting(0.04, kinds.seconds(0, 0.5))              # RFC 1122: below half a second
    challenge_ack_interval: float = _setting(0.5, kinds.seconds())
    recovery: bool = _setting(True, kinds.FLAG)                             # RACK-TLP, RFC 8985
    congestion_control: str = _setting("cubic", kinds.CONGESTION_CONTROL)
    slow_start_after_idle: bool = _setting(True, kinds.FLAG)

    # TCP: keepalive, for sockets that ask for it
    keepalive_time: float = _setting(7200, kinds.seconds(1))
    keepalive_intvl: float = _setting(75, kinds.seconds(1))
    keepalive_probes: int = _setting(9, kinds.integer(1, 127))

    def __post_init__(self):
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, _checked("", name, getattr(self, name), kind, ValueError))
        self._check_together()
        if self.mac is None:
            object.__setattr__(self, "mac", derive_mac(self.ifname, self.address))

    def _check_together(self):
        ip, network = parse_network(self.address)
        if self.gateway is not None:
            gateway = parse_ip(self.gateway)
            fits = gateway in network and gateway != ip
            if not fits and self.gateway == _DEFAULT_GATEWAY:      # nobody chose it
                object.__setattr__(self, "gateway", None)
            elif not fits:
                raise ValueError(f"gateway {self.gateway} is no other host in {network}, the network of "
                                 f"address {self.address}: choose one, or '' for none")
        for low, high in (("rto_min", "rto_max"), ("arp_probe_min", "arp_probe_max")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low}={getattr(self, low)} is more than {high}={getattr(self, high)}")

    @classmethod
    def load(cls, use_user_files=True, **keywords):
        """Settings from keyword arguments, the environment, config.py and the defaults, in this order.

        use_user_files=False: nothing of the user's environment and files. TypeError (unknown name) or
        ValueError for keywords, SetupError for the rest; each with one sentence.
        """
        found = {}
        if use_user_files:
            for label, given, read in (_from_file(os.environ.get(_CONFIG)), _from_environment(os.environ)):
                found = _merge(found, _resolve(label, given, SetupError, SetupError, read))
        found = _merge(found, _resolve("", keywords, TypeError, ValueError))
        if not use_user_files or found.keys() <= keywords.keys():
            return cls(**found)
        try:
            return cls(**found)
        except ValueError as error:
            raise SetupError(f"config.py, environment and program do not fit together: {error}") from None

    def replace(self, **changes):
        """A copy with these settings changed. TypeError or ValueError with one sentence."""
        changes = _resolve("", changes, TypeError, ValueError)
        if self.mac == derive_mac(self.ifname, self.address):
            changes.setdefault("mac", None)                        # derive it anew
        kept = {name: getattr(self, name) for name in _KINDS}
        return type(self)(**_merge(kept, changes))


_KINDS = {field.name: field.metadata["kind"] for field in dataclasses.fields(Settings)}
_DEFAULT_GATEWAY = Settings.__dataclass_fields__["gateway"].default


def derive_mac(ifname, address):
    """The MAC of a stack that was given none: text "02:...", always the same for this machine, interface and
    address, different on another machine, so that two hosts with one address notice each other."""
    import hashlib
    seed = f"{_machine()} {ifname} {address}"
    return format_mac(b"\x02" + hashlib.blake2b(seed.encode(), digest_size=5).digest())


def _machine():
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        import platform
        return platform.node()


def named_by_user():
    """Which settings the user's files and environment name: {setting: "config.py", "TIPY_CONFIG" or
    "environment"}, the stronger source. SetupError if they cannot be understood."""
    path = os.environ.get(_CONFIG)
    named = {}
    for source, (label, given, read) in (("config.py" if path is None else _CONFIG, _from_file(path)),
                                         ("environment", _from_environment(os.environ))):
        named.update(dict.fromkeys(_resolve(label, given, SetupError, SetupError, read), source))
    return named


# -- names and values from somewhere -------------------------------------------------------------------------


def _resolve(label, given, unknown, wrong, read=False):
    """{name as written: value} -> {setting: checked value}. label: where they come from ("" = keywords);
    unknown, wrong: the exceptions for names and values; read: the values are text to be understood."""
    found, originals = {}, {}
    for written, value in given.items():
        bare = written[len(_PREFIX):].lower() if read else written.lower() if written.isupper() else written
        name = ALIASES.get(bare, bare)
        if name in _ORIGINALS:
            originals[name] = value
        elif name not in _KINDS:
            raise unknown(_unknown(label, written, bare))
        else:
            found[name] = written, value
    if originals:
        _original(label, found, originals, wrong)
    return {name: _checked(label, written, _KINDS[name].read(value) if read else value, _KINDS[name], wrong)
            for name, (written, value) in found.items()}


def _checked(label, written, value, kind, wrong):
    try:
        return kind.check(value)
    except ValueError as error:
        shown = f"{label}{written} = {value!r}" if label else f"{written}={value!r}"
        raise wrong(f"{shown}: {error}") from None


def _unknown(label, written, bare):
    near = difflib.get_close_matches(bare, [*_KINDS, *ALIASES, *_ORIGINALS], 1)
    if not near:
        return f"{label}there is no setting {written}"
    suggestion = near[0] if not label else near[0].upper()
    if written.startswith(_PREFIX):
        suggestion = _PREFIX + suggestion
    return f"{label}there is no setting {written}: did you mean {suggestion}?"


def _original(label, found, originals, wrong):
    """Names of tipy 1 that say in several settings what is one here."""
    def fail(name, text):
        raise wrong(f"{label}{name.upper()} = {originals[name]!r}: {text}")

    if originals.get("ip_static") in (False, "0", "no", "false", "off"):
        fail("ip_static", "DHCP is not implemented yet; give IP_ADDRESS and MASK")
    network = str(originals.get("network") or "")
    if "address" not in found:
        for name in ("mask", "network"):
            if originals.get(name):
                fail(name, "this needs IP_ADDRESS beside it")
        return
    written, address = found["address"]
    if not isinstance(address, str):
        return                                                     # its own check will tell
    if "/" not in address:
        mask = originals.get("mask") or network.partition("/")[2]
        if not mask:
            return
        address = f"{address}/{str(mask).lstrip('/')}"
    try:
        ip, own = parse_network(address)
    except ValueError as error:
        raise wrong(f"{label}{written} = {address!r}: {error}") from None
    found["address"] = written, address
    if network and not _lies_in(network, own):
        fail("network", f"{format_ip(ip)} is not in it")
    told = originals.get("ip_broadcast_address")
    if told and own.broadcast and told != format_ip(own.broadcast):
        fail("ip_broadcast_address", f"the broadcast address of {own} is another one")


def _lies_in(text, network):
    """Does NETWORK = "10.0.0.0" or "10.0.0.0/8" name this network?"""
    try:
        return Network.of(parse_ip(text.partition("/")[0]), network.length) == network
    except ValueError:
        return False


def _merge(weak, strong):
    """Settings of two sources, the second decides. A gateway of the first that cannot belong to an address of
    the second is left out."""
    merged = {**weak, **strong}
    if "address" in strong and "gateway" not in strong and merged.get("gateway"):
        if parse_ip(merged["gateway"]) not in parse_network(strong["address"])[1]:
            merged["gateway"] = None
    return merged


def _from_environment(environment):
    """The variables TIPY_...; one that resembles no setting is somebody else's."""
    names = [*_KINDS, *ALIASES, *_ORIGINALS]
    given = {name: value for name, value in environment.items()
             if name.startswith(_PREFIX) and name != _CONFIG
             and difflib.get_close_matches(name[len(_PREFIX):].lower(), names, 1, 0.75)}
    return "environment: ", given, True


def _from_file(path):
    """What the user's config.py says."""
    if path is None:
        path = "config.py"
        if not _is_ours(path):
            return "", {}, False
    elif not path:
        return "", {}, False
    scope = {"__name__": "tipy_config", "__file__": os.path.abspath(path)}
    try:
        with open(path, "rb") as file:
            exec(compile(file.read(), path, "exec"), scope)
    except OSError as error:
        raise SetupError(f"{path} cannot be read ({error.strerror}): set {_CONFIG} to your config file, "
                         "or unset it") from None
    except Exception as error:
        raise SetupError(f"{path}: {_where(error, path)}{type(error).__name__}: {error}") from None
    return f"{path}: ", {name: value for name, value in scope.items() if _is_setting(name, value)}, False


def _is_ours(path):
    try:
        with open(path, "rb") as file:
            return file.readline(100).strip() == CONFIG_LINE.encode()
    except OSError:
        return False


def _is_setting(name, value):
    """Imports, functions and private names in a config.py are the user's own affair."""
    return name.lower() in _KINDS or not (name.startswith("_") or callable(value)
                                          or isinstance(value, types.ModuleType))


def _where(error, path):
    """Line of the config file at which it failed, as "line 3: "."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: "
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f"line {lines[0]}: " if lines else ""
