"""UDP (RFC 768, RFC 1122 4.1, RFC 8085): datagrams to ports.

A datagram that arrives belongs to the endpoint that fits it best: one connected to exactly this remote
address, else one bound to the local address, else one bound to any address; of several equal ones the last
bound, or, if they share the port by SO_REUSEPORT, one chosen by the remote address. A datagram to a broadcast
address or a multicast group goes to every endpoint it fits. If nobody is there the sender is told (port
unreachable).

Each endpoint is filed under one key, (ip, port) or (ip, port, remote ip, remote port), so that finding it
takes three dictionary look-ups at most, however many there are.

Checksums: 0 means "none" and is accepted; a sum that comes out as 0 is sent as 0xFFFF. If the interface
finishes checksums, only the pseudo-header's sum is filled in, unless IP will have to fragment.
"""

import errno
from hashlib import blake2b

from tipy.checksum import pseudo_header, residue
from tipy.datagrams import PMTU_DO, PMTU_WANT, Datagram, DatagramEndpoint
from tipy.errors import os_error
from tipy.link.base import Offload
from tipy.ports import PortTable
from tipy.wire.icmp import DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED
from tipy.wire.ipv4 import MAX_PACKET, PROTOCOL_UDP
from tipy.wire.udp import HEADER_LENGTH, STRUCT

_OFFLOAD = Offload(0, 20, 6, 28)


class Udp:
    """The UDP of a stack. `network` is the IPv4; registers itself there. ports: the PortTable."""

    def __init__(self, network, gate, rng, counters, settings):
        self.network = network
        self.ports = PortTable(rng, settings)
        self._gate, self._counters, self._settings = gate, counters, settings
        self._filed = {}               # (ip, port) or (ip, port, remote ip, remote port) -> [endpoint]
        self._by_port = {}             # port -> [endpoint], for groups
        self._balance_key = rng.getrandbits(128).to_bytes(16, "big")
        network.register(PROTOCOL_UDP, self)

    def endpoint(self):
        """A new endpoint, not bound."""
        return UdpEndpoint(self, self._gate, self._counters, self.network, self._settings)

    # -- what arrives ----------------------------------------------------------------------------------

    def input(self, packet):
        """A UDP packet arrived; packet.start is its header."""
        frame, start, counters = packet.frame, packet.start, self._counters
        available = packet.end - start
        if available < HEADER_LENGTH:
            counters["udp.drop_short"] += 1
            return
        src_port, dst_port, length, checksum = STRUCT.unpack_from(frame, start)
        if not HEADER_LENGTH <= length <= available:
            counters["udp.drop_length"] += 1
            return
        end = start + length
        if checksum and not packet.checked:
            pseudo = pseudo_header(packet.src, packet.dst, PROTOCOL_UDP, length)
            if (residue(frame[start:end]) + pseudo) % 0xFFFF:
                counters["udp.drop_checksum"] += 1
                return
        counters["udp.in"] += 1
        options = b"" if packet.options is None else bytes(packet.options)
        datagram = tuple.__new__(Datagram, (           # the short way to a NamedTuple
            frame[start + HEADER_LENGTH:end], (packet.src, src_port), packet.dst, packet.ttl, packet.tos,
            packet.interface, dst_port, 0.0, options))
        if packet.to_group:
            endpoints = self._group_members(datagram, dst_port)
        else:
            endpoints = self._find(packet.dst, dst_port, packet.src, src_port, packet.interface)
        for endpoint in endpoints:
            endpoint.deliver(datagram)
        if not endpoints:
            counters["udp.no_port"] += 1
            self.network.unreachable(packet, "port")

    def _find(self, ip, port, remote_ip, remote_port, interface=None):
        """The one endpoint (in a list) for a datagram to one of our addresses; [] if there is none."""
        filed = self._filed
        endpoints = (filed.get((ip, port, remote_ip, remote_port)) or filed.get((ip, port))
                     or filed.get((self.network.any_address, port)) or [])
        if len(endpoints) == 1 and endpoints[0].device is None or not endpoints:
            return endpoints
        return self._find_one(ip, port, remote_ip, remote_port, interface)

    def _find_one(self, ip, port, remote_ip, remote_port, interface):
        """The same where several fit, or some only by their interface: those bound to it come first."""
        for key in ((ip, port, remote_ip, remote_port), (ip, port), (self.network.any_address, port)):
            endpoints = self._filed.get(key, ())
            fitting = ([e for e in endpoints if e.device is interface is not None]
                       or [e for e in endpoints if e.device is None])
            if fitting:
                return self._choose(fitting, remote_ip, remote_port)
        return []

    def _choose(self, endpoints, remote_ip, remote_port):
        """One of several that share a port, in a list: by a keyed hash of the remote address if they agreed
        to balance (SO_REUSEPORT), so that nobody outside can aim at one of them; else the last one."""
        if not endpoints[-1].reuse_port:
            return endpoints[-1:]
        key = remote_ip + remote_port.to_bytes(2, "big")
        digest = blake2b(key, digest_size=4, key=self._balance_key).digest()
        return [endpoints[int.from_bytes(digest, "big") % len(endpoints)]]

    def _group_members(self, datagram, port):
        """All endpoints for a datagram to a broadcast address or group."""
        ip = datagram.local
        anywhere = (self.network.any_address, ip)
        return [e for e in self._by_port.get(port, ()) if e.local[0] in anywhere
                and e.remote in (None, datagram.remote)
                and e.wants_group(ip, datagram.interface, datagram.remote[0])]

    def icmp_error(self, error):
        """Something became of a datagram of ours. Connected endpoints are told of what is hard, and of a
        neighbour that does not answer; others did not ask (RFC 1122 4.1.3.3, Linux without IP_RECVERR)."""
        src_port, dst_port, _, _ = STRUCT.unpack_from(error.transport)
        filed, any_address = self._filed, self.network.any_address
        connected = filed.get((error.local, src_port, error.remote, dst_port)) or ()
        others = connected or filed.get((error.local, src_port)) or filed.get((any_address, src_port))
        if not others:
            self._counters["udp.drop_error_stranger"] += 1
            return
        self._counters["udp.errors_in"] += 1
        told = connected or self._choose(others, error.remote, dst_port)
        if (error.type, error.code) == (DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED):
            if not any(endpoint.pmtu_discovery in (PMTU_WANT, PMTU_DO) for endpoint in others):
                return
            self.network.lower_path_mtu(error.remote, error.mtu)
        for endpoint in told:
            endpoint.icmp_error(error, dst_port, error.transport[HEADER_LENGTH:], bool(connected))

    # -- filing ----------------------------------------------------------------------------------------

    def file(self, endpoint):
        """Find this endpoint from now on under its present addresses."""
        self._filed.setdefault(_key(endpoint), []).append(endpoint)
        self._by_port.setdefault(endpoint.local[1], []).append(endpoint)

    def unfile(self, endpoint):
        """Undo `file`, before the addresses change."""
        for table, key in ((self._filed, _key(endpoint)), (self._by_port, endpoint.local[1])):
            endpoints = table.get(key, [])
            if endpoint in endpoints:
                endpoints.remove(endpoint)
            if not endpoints:
                table.pop(key, None)

    def stop(self):
        """Close every endpoint (the stack stops)."""
        for endpoint in list(self._by_port.values()):
            for one in list(endpoint):
                one.close()


def _key(endpoint):
    return endpoint.local if endpoint.remote is None else endpoint.local + endpoint.remote


class UdpEndpoint(DatagramEndpoint):
    """What a UDP socket stands on; see DatagramEndpoint for options and receiving. Made by Udp.endpoint()."""

    def __init__(self, udp, gate, counters, network, settings):
        super().__init__(gate, counters, "udp", network, settings.pmtu_discovery)
        self._udp = udp
        self._path = None
        self._bound_ip = network.any_address       # what the user chose, to go back to on disconnect
        self._bound_port = 0

    def __repr__(self):
        return f"<UDP endpoint {self.local} {self.remote}>"

    # -- addresses -------------------------------------------------------------------------------------

    def bind(self, ip, port):
        """Take a local address; ip 0.0.0.0 = any, port 0 = choose one.

        OSError: EINVAL if bound already, EADDRNOTAVAIL, EADDRINUSE.
        """
        if self.local[1] or self.closed:
            raise os_error(errno.EINVAL)
        network = self._network
        if any(ip) and not (self.freebind or network.is_local(ip) or network.is_group(ip)):
            raise os_error(errno.EADDRNOTAVAIL)
        if port or not self.bind_no_port:
            self._take_port(ip, port)
        self.local = ip, self.local[1]
        self._bound_ip, self._bound_port = ip, port

    def connect(self, ip, port):
        """Only this remote address from now on; OSError as for sending there."""
        path = self._find_path(ip)
        ip = path.dst                              # 0.0.0.0 means this host
        if not self.local[1]:
            self._take_port(self.local[0], 0)
        self._move((path.src, self.local[1]) if not any(self.local[0]) else self.local, (ip, port))

    def disconnect(self):
        """Any remote address again; back to the local address that was asked for."""
        if self.remote is None:
            return
        self._move((self._bound_ip, self.local[1]), None)
        if not self._bound_port:
            self._udp.unfile(self)
            self._udp.ports.release(self)
            self.local = (self._bound_ip, 0)

    def close(self):
        """Give the port back. Idempotent."""
        if not self._close():
            return
        if self.local[1]:
            self._udp.unfile(self)
            self._udp.ports.release(self)

    def _take_port(self, ip, port):
        port = self._udp.ports.bind(self, ip, port, reuse_address=self.reuse_address,
                                    reuse_port=self.reuse_port)
        self.local = (ip, port)
        self._udp.file(self)

    def _move(self, local, remote):
        self._udp.unfile(self)
        self.local, self.remote = local, remote
        self._udp.ports.change(self, ip=local[0])
        self._udp.file(self)

    # -- sending ---------------------------------------------------------------------------------------

    def send(self, data, remote=None, override=None):
        """Send one datagram of `data` (bytes-like) to `remote`, or to where we are connected; returns its
        length.

        OSError: the pending one; EPIPE after shutdown; EDESTADDRREQ; EMSGSIZE above 65507 bytes or if it may
        not be fragmented; EACCES to a broadcast address without `broadcast`; ENETUNREACH; EINVAL to port 0.
        override: an Override for this datagram.
        """
        self._check_sending()
        if remote is None:
            remote = self.remote
            if remote is None:
                raise os_error(errno.EDESTADDRREQ)
        options = self.ip_options
        length = HEADER_LENGTH + len(data)
        packet_length = self._network.header_length + len(options) + length
        if packet_length > MAX_PACKET:
            raise os_error(errno.EMSGSIZE)
        if not remote[1]:
            raise os_error(errno.EINVAL)
        path = self._find_path(remote[0]) if override is None else self._way(remote[0], override)
        if not self.local[1]:
            self._take_port(self.local[0], 0)
        src_port, dst_port = self.local[1], remote[1]
        df, fits = self._forbids_fragments(path, packet_length, dst_port if self.remote is not None else 0)
        pseudo = path.sum + PROTOCOL_UDP + length
        if fits and path.link.tx_checksum:
            checksum = pseudo % 0xFFFF
            offload = _OFFLOAD if not options else Offload(0, 20 + len(options), 6, 28 + len(options))
        else:
            checksum = -(residue(data) + pseudo + src_port + dst_port + length) % 0xFFFF or 0xFFFF
            offload = None
        header = STRUCT.pack(src_port, dst_port, length, checksum)
        self._counters["udp.out"] += 1
        ttl, tos = self.multicast_ttl if path.multicast else self.ttl, self.tos
        if override is not None:
            ttl = ttl if override.ttl is None else override.ttl
            tos = tos if override.tos is None else override.tos
        self._network.send(path, PROTOCOL_UDP, [header, data], offload, ttl, tos, df, options, length)
        return len(data)

    def _find_path(self, ip):
        """The way to `ip`; the last one is kept."""
        path = self._path
        if path is None or path.dst != ip or path.generation != self._network.addresses.generation:
            path = self._path = self._way(ip)
        elif path.broadcast and not self.broadcast:
            raise os_error(errno.EACCES)
        elif path.multicast:
            self._decide_loop(path)
        return path

    def options_changed(self):
        """Forget the way we last sent."""
        self._path = None
        self._udp.ports.change(self, reuse_address=self.reuse_address, reuse_port=self.reuse_port)
