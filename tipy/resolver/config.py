"""Which servers are asked, and for which names (resolv.conf(5)).

The settings decide (`nameservers`, `search`, `ndots`, `dns_timeout`, `dns_attempts`); what they leave open
is read from resolv.conf, each time, for it changes when the machine moves to another network.

A server on the machine's loopback (systemd's 127.0.0.53) cannot be reached from the stack, whose loopback is
another one: if resolv.conf names no others, systemd's list of the real ones is read.
"""

from typing import NamedTuple

from tipy.address import is_loopback, parse_ip
from tipy.wire import dns

RESOLV_CONF = "/etc/resolv.conf"
SYSTEMD_CONF = "/run/systemd/resolve/resolv.conf"
MAX_SERVERS = 3            # glibc's MAXNS
MAX_SEARCH = 6
_TIMEOUT, _ATTEMPTS, _NDOTS = 5, 2, 1
_LIMITS = {"timeout": 30, "attempts": 5, "ndots": 15}


class Config(NamedTuple):
    """servers: [ip bytes]; search: [names]; ndots: a name with so many dots is tried as it is first;
    timeout: seconds for the first round; attempts: rounds."""
    servers: tuple
    search: tuple
    ndots: int = _NDOTS
    timeout: float = _TIMEOUT
    attempts: int = _ATTEMPTS

    @classmethod
    def load(cls, settings):
        """What counts now."""
        servers, search, options = read(RESOLV_CONF) if settings.nameservers is None else ((), (), {})
        if settings.nameservers is not None:
            servers = tuple(map(parse_ip, settings.nameservers))
        elif not servers:
            servers = read(SYSTEMD_CONF)[0]
        if settings.search is not None:
            search = tuple(map(dns.parse_name, settings.search))
        return cls(servers[:MAX_SERVERS], search,
                   _first(settings.ndots, options.get("ndots"), _NDOTS),
                   _first(settings.dns_timeout, options.get("timeout"), _TIMEOUT),
                   _first(settings.dns_attempts, options.get("attempts"), _ATTEMPTS))

    def patience(self, attempt):
        """Seconds to wait for one server in round `attempt`: as glibc, twice as long each time, but
        shared."""
        if not attempt or not self.servers:
            return self.timeout
        return max(self.timeout * 2 ** attempt / len(self.servers), 1)

    def candidates(self, text):
        """The full names that `text` may mean, in the order to try; ValueError if it cannot be a name."""
        name = dns.parse_name(text)
        if not name:
            raise ValueError("the root is no host")
        if text.endswith("."):
            return [name]
        searched = []
        for suffix in self.search:
            try:
                dns.pack_name(name + suffix)
            except ValueError:                         # too long together
                continue
            searched.append(name + suffix)
        ordered = [name, *searched] if len(name) > self.ndots else [*searched, name]
        return list(dict.fromkeys(ordered))


def _first(*values):
    return next(value for value in values if value is not None)


def read(path):
    """((server ip, ...), (search name, ...), {option: int}) of a resolv.conf; empty if it cannot be read."""
    servers, search, options = [], (), {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file if line[:1] not in "#;"]
    except OSError:
        lines = []
    for words in lines:
        keyword, values = (words[0], words[1:]) if words else ("", [])
        if keyword == "nameserver" and values:
            servers += _server(values[0])
        elif keyword in ("search", "domain"):
            search = _search(values if keyword == "search" else values[:1])
        elif keyword == "options":
            options.update(_options(values))
    return tuple(servers), search, options


def _server(text):
    try:
        ip = parse_ip(text)
    except ValueError:
        return []
    return [ip] if len(ip) == 4 and not is_loopback(ip) else []


def _search(values):
    names = []
    for value in values[:MAX_SEARCH]:
        try:
            names.append(dns.parse_name(value))
        except ValueError:
            pass
    return tuple(names)


def _options(values):
    for value in values:
        name, _, number = value.partition(":")
        if name in _LIMITS and number.isascii() and number.isdigit() and (int(number[:9]) or name == "ndots"):
            yield name, min(int(number[:9]), _LIMITS[name])
