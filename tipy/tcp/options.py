"""The options of one TCP socket: set by the user, read by the connection.

Defaults are class attributes, so a socket on which nothing was set costs an empty object; an accepted
connection gets a copy of its listener's (Linux's accept inherits them too). None means "as the stack's
settings say". Times are seconds, sizes bytes.
"""


class Options:
    """What setsockopt can change about a connection."""

    ttl = None
    tos = 0
    ip_options = b""
    nodelay = False            # TCP_NODELAY: no Nagle algorithm
    cork = False               # TCP_CORK: hold partial segments
    quickack = None            # TCP_QUICKACK: True/False as last set, None = the stack decides
    maxseg = None              # TCP_MAXSEG: cap on the MSS, both ways
    rcvbuf = None              # SO_RCVBUF as getsockopt shows it (Linux doubles what is set)
    sndbuf = None
    rcvlowat = 1
    window_clamp = None
    linger = None              # SO_LINGER seconds, None = off
    linger2 = None             # TCP_LINGER2: FIN-WAIT-2 time of an orphan
    keepalive = False
    keepidle = None
    keepintvl = None
    keepcnt = None
    user_timeout = 0.0         # RFC 5482; 0 = by retransmission count (retries2)
    syncnt = None
    defer_accept = 0.0
    congestion = None          # name of a congestion control
    notsent_lowat = None
    oobinline = False
    reuse_address = False
    reuse_port = False
    pmtu_discovery = None      # None = settings.pmtu_discovery
    device = None              # SO_BINDTODEVICE: only by this interface
    min_ttl = 0                # IP_MINTTL
    recverr = False            # IP_RECVERR: ICMP errors are reported at once
    freebind = False           # IP_FREEBIND: any address may be bound
    bind_no_port = False       # IP_BIND_ADDRESS_NO_PORT: bind(ip, 0) leaves the port to connect

    def inherited(self):
        """What a connection gets of its listener's options: all but those about the handshake (IP options follow
        the SYN's)."""
        twin = Options()
        twin.__dict__.update(self.__dict__)
        for name in ("ip_options", "defer_accept"):
            twin.__dict__.pop(name, None)
        return twin
