"""Names: getaddrinfo, gethostbyname, getnameinfo and their relatives, without the kernel's resolver.

Numeric addresses and the hosts file are answered here. Everything else is asked of `resolver`, an object
that a higher floor sets: `addresses(name) -> (canonical name, aliases, [ip])`, `name(ip) -> (name, aliases)`,
raising gaierror or herror. Without one, a name that is not in the hosts file does not exist (EAI_NONAME).
Only IPv4 is offered. Services (/etc/services) come from the C library: they are not on any network.
"""

import sys
from functools import lru_cache

import _socket
from _socket import gaierror, herror

from tipy.address import ANY, LIMITED_BROADCAST, LOOPBACK, format_ip
from tipy.sockets.arguments import hostname
from tipy.sockets.constants import SOCK_DGRAM, SOCK_RAW, SOCK_STREAM

HOSTS = "/etc/hosts"
_TEXT = {"EAI_BADFLAGS": "Bad value for ai_flags", "EAI_NONAME": "Name or service not known",
         "EAI_AGAIN": "Temporary failure in name resolution", "EAI_FAMILY": "ai_family not supported",
         "EAI_SOCKTYPE": "ai_socktype not supported", "EAI_SERVICE": "Servname not supported for ai_socktype",
         "EAI_ADDRFAMILY": "Address family for hostname not supported",
         "EAI_NODATA": "No address associated with hostname",
         "EAI_FAIL": "Non-recoverable failure in name resolution"}
_HOST_TEXT = {"HOST_NOT_FOUND": (1, "Unknown host"), "TRY_AGAIN": (2, "Host name lookup failure")}
_KINDS = ((SOCK_STREAM, 6, "tcp"), (SOCK_DGRAM, 17, "udp"), (SOCK_RAW, 0, None))
_FLAGS = 0x1FF                             # glibc's AI_IDN and friends included
for _name in ("AI_ALL", "AI_ADDRCONFIG", "AI_V4MAPPED", "AI_NUMERICSERV"):
    _FLAGS |= getattr(_socket, _name, 0)
_PASSIVE, _CANONNAME, _NUMERICHOST = _socket.AI_PASSIVE, _socket.AI_CANONNAME, _socket.AI_NUMERICHOST
_NUMERICSERV = getattr(_socket, "AI_NUMERICSERV", 0)


def gai_error(name):
    """gaierror of EAI_NONAME, EAI_AGAIN ... by name, with the C library's words."""
    return gaierror(getattr(_socket, name, -2), _TEXT[name])


def host_error(name):
    """herror of HOST_NOT_FOUND or TRY_AGAIN."""
    return herror(*_HOST_TEXT[name])


@lru_cache(1024)
def parse_numeric(text):
    """The 4 bytes of a dotted address, also in inet_aton's older spellings ("127.1"); None for a name."""
    if not text or not (text[0].isdigit() and text.isascii()) or text != text.strip() or " " in text or "\0" in text:
        return None
    try:
        return _socket.inet_aton(text)
    except OSError:
        return None


class Hosts:
    """The hosts file: [(ip bytes, [names])]; read when first asked."""

    def __init__(self, path=HOSTS):
        self.path = path
        self._entries = None

    @property
    def entries(self):
        """All IPv4 lines of the file."""
        if self._entries is None:
            self._entries = list(self._read())
        return self._entries

    def _read(self):
        try:
            with open(self.path, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    address, *names = line.partition("#")[0].split() or [""]
                    ip = parse_numeric(address)
                    if ip is not None and names:
                        yield ip, names
        except OSError:
            return

    def addresses(self, name):
        """(canonical name, aliases, [ip]) or None. Localhost is known without a file (RFC 6761)."""
        wanted = name.lower().rstrip(".")
        found = [(ip, names) for ip, names in self.entries if wanted in map(str.lower, names)]
        if not found:
            if wanted == "localhost" or wanted.endswith(".localhost"):
                return name, [], [LOOPBACK]
            return None
        canonical, *aliases = found[0][1]
        return canonical, aliases, list(dict.fromkeys(ip for ip, _ in found))

    def name(self, ip):
        """(name, aliases) of an address, or None."""
        for known, names in self.entries:
            if known == ip:
                return names[0], names[1:]
        return ("localhost", []) if ip == LOOPBACK else None


class Names:
    """The name functions of one socket namespace."""

    def __init__(self, resolver=None):
        self.hosts = Hosts()
        self.resolver = resolver

    # -- one name ---------------------------------------------------------------------------------

    def lookup(self, name):
        """(canonical name, aliases, [ip]) of a host name; gaierror if there is none."""
        found = self.hosts.addresses(name)
        if found is not None:
            return found
        if self.resolver is None or not name or len(name) > 253:
            raise gai_error("EAI_NONAME")
        return self.resolver.addresses(name)

    numeric = staticmethod(parse_numeric)      # for who has the names only

    def resolve(self, host):
        """The address a socket call means by `host`: "" any, "<broadcast>", numeric, or a name."""
        if not host:
            return ANY
        if host in ("<broadcast>", "255.255.255.255"):
            return LIMITED_BROADCAST
        ip = parse_numeric(host)
        if ip is None:
            if ":" in host and _is_ipv6(host):
                raise gai_error("EAI_ADDRFAMILY")
            ip = self.lookup(host)[2][0]
        return ip

    def reverse(self, ip):
        """(name, aliases) of an address; herror if it has none."""
        found = self.hosts.name(ip)
        if found is None and self.resolver is not None:
            found = self.resolver.name(ip)
        if found is None:
            raise host_error("HOST_NOT_FOUND")
        return found

    # -- the stdlib's functions -------------------------------------------------------------------

    def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):
        """getaddrinfo(host, port [, family, type, proto, flags]) -> list of (family, type, proto, canonname,
        sockaddr)"""
        sys.audit("socket.getaddrinfo", host, port, family, type, proto)
        host = None if host is None else hostname(host, strict=True)
        service = _service(port)
        if flags & ~_FLAGS or flags & _CANONNAME and host is None:
            raise gai_error("EAI_BADFLAGS")
        if host is None and service is None:
            raise gai_error("EAI_NONAME")
        if family not in (0, _socket.AF_INET):
            raise gai_error("EAI_ADDRFAMILY" if family == getattr(_socket, "AF_INET6", -1) else "EAI_FAMILY")
        kinds = _kinds(service, type, proto, flags)
        canonical, addresses = self._hosts(host, flags)
        result = []
        for ip in addresses:
            for kind, protocol, number in kinds:
                result.append((int(_socket.AF_INET), kind, protocol, canonical, (format_ip(ip), number)))
                canonical = ""
        return result

    def _hosts(self, host, flags):
        """(canonical name or "", [ip]) for getaddrinfo."""
        if host is None:
            return "", [ANY if flags & _PASSIVE else LOOPBACK]
        ip = parse_numeric(host)
        if ip is not None:
            return host if flags & _CANONNAME else "", [ip]
        if ":" in host and _is_ipv6(host):
            raise gai_error("EAI_ADDRFAMILY")
        if flags & _NUMERICHOST or not host:
            raise gai_error("EAI_NONAME")
        canonical, _, addresses = self.lookup(host)
        return canonical if flags & _CANONNAME else "", addresses

    def gethostbyname(self, host, /):
        """gethostbyname(host) -> address"""
        name = hostname(host)
        sys.audit("socket.gethostbyname", host)
        return format_ip(self.resolve(name))

    def gethostbyname_ex(self, host, /):
        """gethostbyname_ex(host) -> (name, aliaslist, addresslist)"""
        host = hostname(host)
        sys.audit("socket.gethostbyname", host)
        ip = parse_numeric(host)
        if ip is not None:
            return host, [], [format_ip(ip)]
        canonical, aliases, addresses = self.lookup(host)
        return canonical, list(aliases), [format_ip(ip) for ip in addresses]

    def gethostbyaddr(self, host, /):
        """gethostbyaddr(host) -> (name, aliaslist, addresslist)"""
        host = hostname(host)
        sys.audit("socket.gethostbyaddr", host)
        if ":" in host and _is_ipv6(host):
            raise host_error("HOST_NOT_FOUND")
        ip = self.resolve(host)
        name, aliases = self.reverse(ip)
        return name, list(aliases), [format_ip(ip)]

    def getnameinfo(self, sockaddr, flags, /):
        """getnameinfo(sockaddr, flags) -> (host, port)"""
        if not isinstance(sockaddr, tuple):
            raise TypeError("getnameinfo() argument 1 must be a tuple")
        if not 2 <= len(sockaddr) <= 4:
            raise TypeError("getnameinfo(): illegal sockaddr argument")
        host, port = sockaddr[0], sockaddr[1]
        if not isinstance(host, str) or not isinstance(port, int):
            raise TypeError("getnameinfo(): illegal sockaddr argument")
        sys.audit("socket.getnameinfo", sockaddr)
        ip = parse_numeric(host)
        if ip is None:
            raise gai_error("EAI_ADDRFAMILY" if _is_ipv6(host) else "EAI_NONAME")
        if len(sockaddr) != 2:
            raise OSError("IPv4 sockaddr must be 2 tuple")
        return self._host_text(ip, flags), _service_text(port & 0xFFFF, flags)

    def _host_text(self, ip, flags):
        again = False
        if not flags & _socket.NI_NUMERICHOST:
            try:
                return self.reverse(ip)[0]
            except OSError as error:
                again = error.args != _HOST_TEXT["HOST_NOT_FOUND"]
        if flags & _socket.NI_NAMEREQD:
            raise gai_error("EAI_AGAIN" if again else "EAI_NONAME")
        return format_ip(ip)


def _is_ipv6(text):
    try:
        _socket.inet_pton(_socket.AF_INET6, text.partition("%")[0])
    except (OSError, AttributeError):
        return False
    return True


def _service(port):
    """getaddrinfo's second argument as None, an int, or the name of a service."""
    if port is None or isinstance(port, int):
        return None if port is None else _port(port)
    if isinstance(port, (bytes, bytearray)):
        port = port.decode("ascii", "surrogateescape")
    if not isinstance(port, str):
        raise OSError("Int or String expected")
    port.encode("utf-8")                   # lone surrogates: UnicodeEncodeError, as CPython
    if not port:
        return 0
    return _port(int(port[:30]), True) if port.isascii() and port.isdigit() else port


def _port(number, text=False):
    """What glibc makes of a number: it passes through an unsigned long and an int, and 16 bits are used."""
    if not text and sys.version_info < (3, 12) and not -2 ** 63 <= number < 2 ** 63:
        raise OverflowError("Python int too large to convert to C long")
    as_int = number & 0xFFFFFFFF if abs(number) < 2 ** 64 else 0xFFFFFFFF
    if as_int >> 31:
        raise gai_error("EAI_SERVICE")
    return as_int & 0xFFFF


def _kinds(service, type, proto, flags):
    """[(type, protocol, port)] that fit what getaddrinfo was asked for."""
    if type and type not in [kind for kind, _, _ in _KINDS]:
        raise gai_error("EAI_SOCKTYPE")
    fitting = [(kind, proto or number, label) for kind, number, label in _KINDS
               if type in (0, kind) and (not proto or not number or proto == number)]
    if proto in (6, 17) and not type:
        fitting = fitting[:1]              # not a raw socket of that protocol
    if not fitting:
        raise gai_error("EAI_SOCKTYPE" if type else "EAI_SERVICE")
    if service is None or isinstance(service, int):
        return [(kind, number, service or 0) for kind, number, _ in fitting]
    named = []
    for kind, number, label in fitting:
        if label is not None and not flags & _NUMERICSERV:
            try:
                named.append((kind, number, _socket.getservbyname(service, label)))
            except OSError:
                pass
    if not named:
        raise gai_error("EAI_NONAME" if flags & _NUMERICSERV else "EAI_SERVICE")
    return named


def _service_text(port, flags):
    if not flags & _socket.NI_NUMERICSERV:
        try:
            return _socket.getservbyport(port, "udp" if flags & _socket.NI_DGRAM else "tcp")
        except OSError:
            pass
    return str(port)
