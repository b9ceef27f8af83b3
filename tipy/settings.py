"""Everything that can be set about a stack, with its default.

Where a value comes from, first match wins: keyword arguments, the environment (TIPY_ADDRESS ...), the user's config.py,
the defaults below. config.py is the file TIPY_CONFIG names, else `config.py` in the working directory if its first line
is `# tipy config`: many projects have a config.py, and a stranger's is never executed.

Names follow Linux's sysctls without `tcp_` where there is one, with the same units and meanings; buffers are bytes, times
seconds. The upper-case names of the first tipy work in config.py.
"""

import dataclasses
import difflib
import os
import re
from dataclasses import dataclass

from tipy import log
from tipy.address import parse_ip, parse_mac, parse_network
from tipy.errors import SetupError

MARK = "# tipy config"
_PREFIX = "TIPY_"
_UNLIMITED = 0x7FFFFFFF


@dataclass(frozen=True)
class Settings:
    """The settings of one stack. Make one with `load`; `replace` gives a changed copy."""

    # the network
    ifname: str = "tap7"                       # the TAP; "loopback" = no link at all
    address: str = "192.168.2.200/24"
    gateway: str | None = "192.168.2.1"
    mac: str | None = None                     # None = a stable 02:... made from ifname and address
    mtu: int | None = None                     # None = the interface's
    ttl: int = 64
    ephemeral_ports: tuple = (32768, 60999)    # lowest, highest; both included
    defragmentation_timeout: float = 30.0
    pmtu_discovery: bool = True
    log_channels: tuple = log.DEFAULT

    # ARP and address conflict detection (RFC 826, 1122, 5227)
    acd: bool = True
    arp_reply_timeout: float = 1.0             # between requests
    arp_retries: int = 3
    arp_cache_ttl: float = 60.0
    arp_probe_wait: float = 0.05               # RFC 5227: 1
    arp_probe_min: float = 0.1                 # RFC 5227: 1
    arp_probe_max: float = 0.15                # RFC 5227: 2
    arp_announce_wait: float = 0.2             # RFC 5227: 2

    # TCP: what is offered
    sack: bool = True
    dsack: bool = True
    timestamps: bool = True
    window_scaling: bool = True
    ecn: int = 2                               # 0 never, 1 always asked for, 2 only if the peer asks
    mss: int | None = None                     # cap on the MSS
    rcvbuf: int = 131072                       # half of it is announced as window
    rcvbuf_max: int = 6291456
    sndbuf: int = 87040
    sndbuf_max: int = 4194304

    # TCP: time
    rto_min: float = 0.2
    rto_initial: float = 1.0
    rto_max: float = 120.0
    delayed_ack: float = 0.04
    challenge_ack_interval: float = 0.5
    syn_retries: int = 6
    synack_retries: int = 5
    retries2: int = 15
    fin_timeout: float = 60.0                  # FIN-WAIT-2 of a closed socket
    time_wait: float = 60.0
    keepalive_time: float = 7200.0
    keepalive_intvl: float = 75.0
    keepalive_probes: int = 9

    # TCP: congestion, loss, limits
    congestion_control: str = "cubic"
    recovery: bool = True                      # RACK-TLP (RFC 8985)
    slow_start_after_idle: bool = True
    notsent_lowat: int = _UNLIMITED
    rfc1337: bool = True                       # a RST does not end TIME-WAIT
    syncookies: bool = True
    max_syn_backlog: int = 4096
    somaxconn: int = 4096
    max_time_wait: int = 16384
    max_early_ranges: int = 256

    @classmethod
    def load(cls, use_user_files=True, **keywords):
        """Settings from keywords, the environment, config.py and the defaults.

        use_user_files=False ignores environment and config.py. Unknown names: TypeError for keywords, SetupError
        elsewhere, both suggesting the near one; a value of the wrong kind: ValueError (keywords) or SetupError.
        """
        values = {}
        if use_user_files:
            values.update(_from_config())
            values.update(_from_environment())
        for name, value in keywords.items():
            if name not in FIELDS:
                raise TypeError(f"there is no setting {name!r}{_suggest(name)}")
            if value is not None:
                values[name] = _checked(name, value)
        return _complete(cls(**values))

    def replace(self, **changes):
        """A copy with some settings changed."""
        for name in changes:
            if name not in FIELDS:
                raise TypeError(f"there is no setting {name!r}{_suggest(name)}")
        return _complete(dataclasses.replace(self, **{n: _checked(n, v) for n, v in changes.items()}))


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}

#: names of the first tipy that are not simply the lower-case name in capitals
_ORIGINAL = {"MAC_ADDRESS": "mac", "IP_ADDRESS": "address", "IP_STATIC": "address", "ROUTER": "gateway",
             "IFACE": "ifname"}


def _complete(settings):
    """Fill in what follows from the rest."""
    if settings.mac is None:
        settings = dataclasses.replace(settings, mac=_stable_mac(settings.ifname, settings.address))
    return settings


def _stable_mac(ifname, address):
    """A locally administered MAC that stays the same for this interface and address. It must differ from the
    tap's own MAC, see link/tap.py."""
    from hashlib import blake2s
    tail = blake2s(f"{ifname} {address}".encode(), digest_size=5).digest()
    return "02:" + ":".join(f"{byte:02x}" for byte in tail)


# -- checking -------------------------------------------------------------------------------------

def _checked(name, value):
    """`value` in the form the field wants, or ValueError with one sentence."""
    default = FIELDS[name].default
    kind = FIELDS[name].type
    try:
        if value is None and ("None" in str(kind)):
            return None
        if name == "address":
            parse_network(value)
        elif name == "gateway" and value:
            parse_ip(value)
        elif name == "mac" and value:
            parse_mac(value)
        if name == "ephemeral_ports":
            return _port_range(value)
        if name == "log_channels":
            return tuple(value.replace(",", " ").split()) if isinstance(value, str) else tuple(value)
        if name == "congestion_control" and isinstance(value, type):
            return value
        return _converted(value, default, str(kind))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{name} cannot be {value!r}: {error}") from None


def _converted(value, default, kind):
    if isinstance(default, bool):
        if isinstance(value, str):
            word = value.strip().lower()
            if word in ("1", "true", "yes", "on"):
                return True
            if word in ("0", "false", "no", "off"):
                return False
            raise ValueError("it is True or False")
        return bool(value)
    if "int" in kind or "float" in kind:
        number = float(value) if "float" in kind else int(value)
        if number < 0:
            raise ValueError("it cannot be negative")
        return number
    if not isinstance(value, str):
        raise ValueError("it is a text")
    return value


def _port_range(value):
    if isinstance(value, str):
        value = re.findall(r"\d+", value)
    low, high = (int(each) for each in value)
    if not 0 < low <= high <= 65535:
        raise ValueError("it is two port numbers, the lower one first")
    return low, high


def _suggest(name):
    near = difflib.get_close_matches(name.lower(), [*FIELDS, *map(str.lower, _ORIGINAL)], 1)
    return f"; did you mean {near[0]!r}?" if near else ""


# -- environment and config.py --------------------------------------------------------------------

def _from_environment():
    values = {}
    for variable, text in os.environ.items():
        name = variable.removeprefix(_PREFIX).lower()
        if not variable.startswith(_PREFIX) or name == "config":
            continue
        if name not in FIELDS:
            raise SetupError(f"the environment variable {variable} sets nothing{_suggest(name)}")
        try:
            values[name] = _checked(name, text)
        except ValueError as error:
            raise SetupError(f"the environment variable {variable}: {error}") from None
    return values


def _find_config():
    path = os.environ.get("TIPY_CONFIG")
    if path:
        return path
    try:
        with open("config.py", encoding="utf-8") as file:
            return "config.py" if file.readline().rstrip() == MARK else None
    except (OSError, UnicodeDecodeError):
        return None


def _from_config():
    path = _find_config()
    if path is None:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            source = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    space = {"__name__": "tipy_config", "__file__": path}
    try:
        exec(compile(source, path, "exec"), space)
    except Exception as error:
        line = getattr(error, "lineno", None) or _line_of(error, path)
        raise SetupError(f"{path}{f' line {line}' if line else ''}: {error}") from None
    return _understood(path, {name: value for name, value in space.items()
                              if not name.startswith("__") and not isinstance(value, type(os))})


def _line_of(error, path):
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _understood(path, given):
    values = {}
    length = given.pop("MASK", None) or given.pop("NETWORK", None)
    given.pop("NETWORK", None)
    for name, value in given.items():
        setting = _ORIGINAL.get(name, name.lower())
        if setting not in FIELDS:
            raise SetupError(f"{path}: there is no setting {name}{_suggest(name)}")
        if setting == "address" and isinstance(value, str) and "/" not in value:
            value = f"{value}/{_prefix_length(path, length)}"
        if value is None:
            continue
        try:
            values[setting] = _checked(setting, value)
        except ValueError as error:
            raise SetupError(f"{path}: {name}: {error}") from None
    return values


def _prefix_length(path, mask):
    """The prefix length in a mask ("255.255.255.0", 24, "192.168.2.0/24"); 24 if there is none."""
    if mask is None:
        return 24
    text = str(mask).rpartition("/")[2]
    try:
        if text.isdigit():
            return int(text)
        bits = "".join(f"{byte:08b}" for byte in parse_ip(text))
        if "01" in bits:
            raise ValueError
        return bits.count("1")
    except ValueError:
        raise SetupError(f"{path}: MASK cannot be {mask!r}: it is like 255.255.255.0 or 24") from None
