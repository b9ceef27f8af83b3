"""MAC and IP addresses.

Inside the stack an address is `bytes`: 6 for a MAC, 4 for IPv4, 16 for IPv6. Text exists at the edges only,
and this module is the border: `parse_*` raises ValueError with a sentence, `format_*` cannot fail on stored
addresses.
No policy lives here (which address may speak, which is ours): that is the business of the layers.
"""

from typing import NamedTuple

BROADCAST_MAC = b"\xff" * 6
ANY = bytes(4)
LIMITED_BROADCAST = b"\xff" * 4
LOOPBACK = b"\x7f\x00\x00\x01"
_DIGITS = frozenset("0123456789")


def parse_ip(text: str) -> bytes:
    """4 or 16 bytes of an address in text: four decimals without leading zeros, or RFC 4291 text."""
    if ":" in text:
        return _parse_ipv6(text)
    parts = text.split(".")
    if len(parts) != 4 or not all(map(_is_octet, parts)):
        raise ValueError(f"{text!r} is not an IPv4 address like 192.168.2.200")
    return bytes(map(int, parts))


def _is_octet(part: str) -> bool:
    return (1 <= len(part) <= 3 and _DIGITS.issuperset(part) and int(part) <= 255
            and (part[0] != "0" or part == "0"))


def _parse_ipv6(text: str) -> bytes:
    import ipaddress                                   # late: 5 ms that an IPv4-only program need not pay
    if "%" in text:
        raise ValueError(f"{text!r}: an IPv6 address with a zone cannot be stored as 16 bytes")
    try:
        return ipaddress.IPv6Address(text).packed
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IPv6 address: {error}") from None


def format_ip(ip: bytes) -> str:
    """Text of a 4- or 16-byte address."""
    if len(ip) == 4:
        return "%d.%d.%d.%d" % (*ip,)
    import ipaddress
    return str(ipaddress.IPv6Address(bytes(ip)))


def parse_mac(text: str) -> bytes:
    """6 bytes of a MAC like 02:00:00:00:00:01 (or with dashes)."""
    parts = text.replace("-", ":").split(":")
    try:
        if len(parts) == 6 and all(len(part) in (1, 2) and part.isalnum() for part in parts):
            return bytes(int(part, 16) for part in parts)
    except ValueError:
        pass
    raise ValueError(f"{text!r} is not a MAC address like 02:00:00:00:00:01")


def format_mac(mac: bytes) -> str:
    """Text of a 6-byte MAC."""
    return bytes(mac).hex(":")


class Network(NamedTuple):
    """A network prefix: `prefix` with all host bits zero, `length` in bits."""
    prefix: bytes
    length: int

    @classmethod
    def of(cls, ip: bytes, length: int) -> "Network":
        """The network of this prefix length that holds `ip`."""
        bits = 8 * len(ip)
        if not 0 <= length <= bits:
            raise ValueError(f"prefix length {length} is not between 0 and {bits}")
        host = bits - length
        return cls((int.from_bytes(ip, "big") >> host << host).to_bytes(len(ip), "big"), length)

    def __contains__(self, ip) -> bool:
        if len(ip) != len(self.prefix):
            return False
        host = 8 * len(ip) - self.length
        return int.from_bytes(ip, "big") >> host == int.from_bytes(self.prefix, "big") >> host

    @property
    def mask(self) -> bytes:
        """The netmask, e.g. ff ff ff 00."""
        bits = 8 * len(self.prefix)
        host = bits - self.length
        return ((1 << bits) - (1 << host)).to_bytes(len(self.prefix), "big")

    @property
    def broadcast(self) -> bytes | None:
        """The directed broadcast address, or None: /31 (RFC 3021), /32 and IPv6 have none."""
        host = 32 - self.length
        if len(self.prefix) != 4 or host < 2:
            return None
        return (int.from_bytes(self.prefix, "big") | (1 << host) - 1).to_bytes(4, "big")

    def __str__(self) -> str:
        return f"{format_ip(self.prefix)}/{self.length}"


def parse_network(text: str) -> tuple[bytes, Network]:
    """(address, its network) of text like 192.168.2.200/24 or 192.168.2.200/255.255.255.0."""
    ip_text, slash, length_text = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} has no prefix length; write it like 192.168.2.200/24")
    ip = parse_ip(ip_text)
    length = _mask_length(parse_ip(length_text)) if "." in length_text else _prefix_length(text, length_text)
    return ip, Network.of(ip, length)


def _prefix_length(text: str, length_text: str) -> int:
    if not length_text or len(length_text) > 3 or not _DIGITS.issuperset(length_text):
        raise ValueError(f"{text!r}: {length_text!r} is not a prefix length")
    return int(length_text)


def _mask_length(mask: bytes) -> int:
    length = int.from_bytes(mask, "big").bit_count()
    if Network(mask, length).mask != mask:
        raise ValueError(f"{format_ip(mask)} is not a netmask")
    return length


def is_multicast(ip: bytes) -> bool:
    """224/4 (RFC 1112) or ff00::/8."""
    return ip[0] & 0xF0 == 0xE0 if len(ip) == 4 else ip[0] == 0xFF


def is_loopback(ip: bytes) -> bool:
    """127/8 (RFC 1122 3.2.1.3) or ::1."""
    return ip[0] == 127 if len(ip) == 4 else int.from_bytes(ip, "big") == 1


def is_broadcast_mac(mac: bytes) -> bool:
    """Is it ff:ff:ff:ff:ff:ff?"""
    return mac == BROADCAST_MAC


def is_group_mac(mac: bytes) -> bool:
    """Broadcast or multicast: the group bit is set."""
    return mac[0] & 1 == 1


def multicast_mac(ip: bytes) -> bytes:
    """MAC that carries a multicast group (RFC 1112 6.4, RFC 2464 7)."""
    if len(ip) == 4:
        return bytes((0x01, 0x00, 0x5E, ip[1] & 0x7F, ip[2], ip[3]))
    return b"\x33\x33" + bytes(ip[12:])
