"""Raw sockets: packets as they are (Linux raw(7)).

Every packet that arrives for us is shown, whole and with its IP header, to each raw endpoint of its protocol,
before the transport gets it (and whether or not there is one). ICMP echo requests are answered by the stack
all the same. What a raw endpoint sends is a payload for which IP makes the header, or with `hdrincl` a whole
packet.

An endpoint may be bound to a local address and connected to a remote one; both then filter what it receives.
Protocol 255 (IPPROTO_RAW) only sends, with hdrincl.
"""

import errno

from tipy.datagrams import PMTU_DO, PMTU_WANT, Datagram, DatagramEndpoint
from tipy.errors import os_error
from tipy.wire.icmp import DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED
from tipy.wire.ipv4 import PROTOCOL_ICMP

IPPROTO_RAW = 255


class Raw:
    """All raw endpoints of a stack on `network` (the IPv4)."""

    def __init__(self, network, gate, counters, settings):
        self._network, self._gate, self._counters, self._settings = network, gate, counters, settings
        self._endpoints = {}           # protocol -> [RawEndpoint]
        network.raw_errors = self

    def endpoint(self, protocol):
        """A new endpoint that sees packets of this protocol (1..255)."""
        endpoint = RawEndpoint(self, protocol, self._gate, self._counters, self._network, self._settings)
        self._endpoints.setdefault(protocol, []).append(endpoint)
        if protocol != IPPROTO_RAW:
            self._network.observers[protocol] = self.input
        return endpoint

    def input(self, packet):
        """Show a packet to every endpoint that wants it; True if there was one."""
        taken = False
        datagram = Datagram(packet.frame[packet.network:packet.end], (packet.src, 0), packet.dst, packet.ttl,
                            packet.tos, packet.interface)
        if packet.options is not None:
            datagram = datagram._replace(options=bytes(packet.options))
        for endpoint in self._endpoints[packet.protocol]:
            if endpoint.wants(packet):
                endpoint.deliver(datagram)
                taken = True
        return taken

    def icmp_error(self, error):
        """Something became of a packet that may be ours: connected endpoints are told, as Linux does."""
        too_big = (error.type, error.code) == (DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED)
        for endpoint in self._endpoints.get(error.protocol, ()):
            if endpoint.remote is None or endpoint.remote[0] != error.remote:
                continue
            if any(endpoint.local[0]) and endpoint.local[0] != error.local:
                continue
            if too_big and endpoint.pmtu_discovery in (PMTU_WANT, PMTU_DO):
                self._network.lower_path_mtu(error.remote, error.mtu)
            endpoint.icmp_error(error, 0, error.transport)

    def forget(self, endpoint):
        """The endpoint is closed."""
        endpoints = self._endpoints.get(endpoint.protocol, [])
        if endpoint in endpoints:
            endpoints.remove(endpoint)
            if not endpoints:
                del self._endpoints[endpoint.protocol]
                self._network.observers.pop(endpoint.protocol, None)

    def stop(self):
        """Close every endpoint (the stack stops)."""
        for endpoints in list(self._endpoints.values()):
            for endpoint in list(endpoints):
                endpoint.close()


class RawEndpoint(DatagramEndpoint):
    """What a raw socket stands on; see DatagramEndpoint. Datagram.data is the whole IP packet.

    hdrincl: what is sent has its own IP header. icmp_filter: bit n set = ICMP type n is not wanted
    (ICMP_FILTER).
    """

    def __init__(self, raw, protocol, gate, counters, network, settings):
        super().__init__(gate, counters, "raw", network, settings.pmtu_discovery)
        self.protocol = protocol
        self.hdrincl = protocol == IPPROTO_RAW
        self.icmp_filter = 0
        self._raw = raw
        self._bound_ip = network.any_address

    def __repr__(self):
        return f"<raw endpoint for protocol {self.protocol} {self.local} {self.remote}>"

    def wants(self, packet):
        """Do the addresses and the ICMP filter let this packet through?"""
        if any(self.local[0]) and self.local[0] != packet.dst:
            return False
        if self.remote is not None and self.remote[0] != packet.src:
            return False
        if packet.to_group and not self.wants_group(packet.dst, packet.interface, packet.src):
            return False
        if self.icmp_filter and packet.protocol == PROTOCOL_ICMP and packet.start < packet.end:
            kind = packet.frame[packet.start]
            return kind >= 32 or not self.icmp_filter >> kind & 1
        return True

    def bind(self, ip, port=0):
        """Receive only what is sent to this address, and send from it; EADDRNOTAVAIL if it is not ours."""
        if any(ip) and not (self.freebind or self._network.is_local(ip) or self._network.is_group(ip)):
            raise os_error(errno.EADDRNOTAVAIL)
        self._bound_ip = ip
        self.local = (ip, self.protocol)           # as getsockname shows it on Linux

    def connect(self, ip, port=0):
        """Send to and receive from this address only."""
        path = self._way(ip)
        self.local = (path.src, self.protocol) if not any(self.local[0]) else self.local
        self.remote = (path.dst, port)

    def disconnect(self):
        """Undo connect."""
        self.local, self.remote = (self._bound_ip, self.local[1]), None

    def send(self, data, remote=None, override=None):
        """Send one packet to `remote` ((ip, port), the port ignored) or where we are connected; returns its
        length.

        OSError as for UDP; with hdrincl EINVAL for a broken header and EMSGSIZE above the interface's MTU.
        """
        self._check_sending()
        remote = remote or self.remote
        if remote is None:
            raise os_error(errno.EDESTADDRREQ)
        path = self._way(remote[0]) if override is None else self._way(remote[0], override)
        self._counters["raw.out"] += 1
        if self.hdrincl:
            self._network.send_raw(path, data)
            return len(data)
        length = self._network.header_length + len(self.ip_options) + len(data)
        df, _ = self._forbids_fragments(path, length, 0)
        ttl, tos = self.multicast_ttl if path.multicast else self.ttl, self.tos
        if override is not None:
            ttl = ttl if override.ttl is None else override.ttl
            tos = tos if override.tos is None else override.tos
        self._network.send(path, self.protocol, [data], ttl=ttl, tos=tos, df=df, options=self.ip_options)
        return len(data)

    def close(self):
        """Receive nothing more. Idempotent."""
        if self._close():
            self._raw.forget(self)

    def options_changed(self):
        """Nothing is remembered."""
