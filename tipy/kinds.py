"""Kinds of settings: what a value must look like, and how it is written in text.

A kind has check(value), which gives the value in its final form or raises ValueError with what is needed
instead, and read(text), what text from the environment means before it is checked. No names, no defaults, no
files here.
"""

from tipy.address import (format_ip, format_mac, is_group_mac, is_loopback, is_multicast, parse_ip, parse_mac,
                          parse_network)

_WORDS = {"1": True, "yes": True, "true": True, "on": True,
          "0": False, "no": False, "false": False, "off": False}


class Number:
    """A number of `types` between low and high; None too, if it may be missing."""

    def __init__(self, what, types, low, high, optional=False):
        self.what = what
        self.types = types
        self.low, self.high = low, high
        self.optional = optional

    def check(self, value):
        """The number, or None."""
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, self.types) or not self.low <= value <= self.high:
            raise ValueError(f"{self.what} between {self.low} and {self.high} is needed")
        return value

    def read(self, text):
        """An int if it looks like one, else a float; "" is None; other text stays for check to refuse."""
        if not text and self.optional:
            return None
        for kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                pass
        return text


class Flag:
    """True or False, also written 1 or 0; in text also yes, no, on, off."""

    @staticmethod
    def check(value):
        """True or False."""
        if value not in (0, 1):
            raise ValueError("True or False is needed")
        return bool(value)

    @staticmethod
    def read(text):
        """What one of the words means."""
        return _WORDS.get(text.lower(), text)


class Text:
    """What `check` makes of it; text from the environment needs no reading."""

    def __init__(self, check):
        self.check = check

    @staticmethod
    def read(text):
        """The text itself."""
        return text


def integer(low, high=2**31 - 1, optional=False):
    """A whole number."""
    return Number("a whole number", int, low, high, optional)


def seconds(low=0, high=2**31 - 1, optional=False):
    """A time."""
    return Number("a number of seconds", (int, float), low, high, optional)


def _check_name(value):
    if not isinstance(value, str) or not value:
        raise ValueError("the name of an interface like tap7 is needed")
    return value


def _check_address(value):
    _needs_text(value, "192.168.2.200/24")
    ip, network = parse_network(value)
    if len(ip) != 4:
        raise ValueError("IPv6 is not implemented yet")
    special = network.length < 31 and ip in (network.prefix, network.broadcast)
    if special or ip[0] == 0 or ip[0] >= 240 or is_multicast(ip) or is_loopback(ip):
        raise ValueError(f"{format_ip(ip)} cannot be the address of a host in {network}")
    return f"{format_ip(ip)}/{network.length}"


def _check_gateway(value):
    if value is None or value == "":
        return None
    _needs_text(value, "192.168.2.1")
    if len(parse_ip(value)) != 4:
        raise ValueError("IPv6 is not implemented yet")
    return value


def _check_mac(value):
    if value is None or value == "":
        return None
    _needs_text(value, "02:00:00:00:00:01")
    mac = parse_mac(value)
    if is_group_mac(mac) or not any(mac):
        raise ValueError("that MAC cannot belong to one host (the first byte must be even)")
    return format_mac(mac)


def _check_ports(value):
    if isinstance(value, str):
        value = value.replace("-", " ").replace(",", " ").split()
    if isinstance(value, range) and value.step == 1 and value:
        value = value[0], value[-1]
    try:
        low, high = (int(port) for port in value)
    except (TypeError, ValueError):
        low, high = 0, 0
    if not 1 <= low <= high <= 65535:
        raise ValueError("two port numbers, lowest and highest, are needed, like 32768, 60999")
    return low, high


def _check_channels(value):
    if value is None:
        return None
    names = value.replace(",", " ").split() if isinstance(value, str) else value
    try:
        names = tuple(sorted(names) if isinstance(names, (set, frozenset)) else names)
    except TypeError:
        names = (None,)
    if not all(isinstance(name, str) for name in names):
        raise ValueError('names of log channels are needed, like ["stack", "arp"], or "all"')
    return tuple(name for name in names if name.lower() != "none")


def _check_congestion_control(value):
    if isinstance(value, type) or isinstance(value, str) and value:
        return value
    raise ValueError('the name of a congestion control is needed, like "cubic"')


def _words(value, what):
    """A tuple of str, from one or several; None stays None."""
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if value is None or isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value):
        return value if value is None else tuple(value)
    raise ValueError(f"{what} are needed, or None")


def _check_addresses(value):
    words = _words(value, 'addresses like ["192.168.2.1"]')
    for word in words or ():
        ip = parse_ip(word)
        if len(ip) != 4:
            raise ValueError("IPv6 is not implemented yet")
        if is_multicast(ip) or not any(ip) or ip[0] >= 240:
            raise ValueError(f"{word} cannot be the address of a host")
    return words


def _check_domains(value):
    words = _words(value, 'domains like ["example.org"]')
    for word in words or ():
        labels = word.removesuffix(".").split(".")
        if len(word) > 253 or not word.isascii() or not all(0 < len(label) < 64 for label in labels):
            raise ValueError(f"{word!r} is no domain name")
    return words


def _needs_text(value, example):
    if not isinstance(value, str):
        raise ValueError(f"text like {example} is needed")


FLAG = Flag()
NAME = Text(_check_name)
ADDRESS = Text(_check_address)
GATEWAY = Text(_check_gateway)
MAC = Text(_check_mac)
PORTS = Text(_check_ports)
CHANNELS = Text(_check_channels)
ADDRESSES = Text(_check_addresses)
DOMAINS = Text(_check_domains)
CONGESTION_CONTROL = Text(_check_congestion_control)
