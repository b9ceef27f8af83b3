"""The network of the measurements: two namespaces of our own, gone when the program ends.

        "client" namespace                               "peer" namespace
    +---------------------------+                    +-------------------------+
    | cable1  10.9.1.1/24 ------|--- offloads off ---|----- cable1  10.9.1.2   |   the reference: 1.0
    | cable2  10.9.2.1/24 ------|--- offloads on ----|----- cable2  10.9.2.2   |   what the kernel can do
    | tapN    10.9.N.1/24       |                    |                         |
    +----|----------------------+                    +-------------------------+
         `--- a stack, or the bare probe, at 10.9.N.2

Where there is no /dev/net/tun a stack reads the far end of one more cable, cableN, which has no address of its
own there (AF_PACKET; the rung "packet" of tipy.lab). Offloads are switched by SIOCETHTOOL, by ctypes.
"""

import ctypes
import os
import socket
import struct

from tipy.lab import namespaces
from tipy.lab.network import Enter
from tipy.lab.worker import Worker
from tipy.link.ioctl import ioctl, request
from tipy.link.packet import PacketLink, open_packet_socket
from tipy.link.tap import TapLink, attach_tap
from tipy.netlink import Netlink

_SIOCETHTOOL = 0x8946
# ethtool commands that set one offload each: rx sum, tx sum, scatter-gather, TSO, GSO, GRO
_OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)
REFERENCE, WITH_TSO = 1, 2               # the third byte of their network
MTU = 1500
_TIMEOUT = 10.0


def address(subnet, host):
    """The address of host 1 (client) or 2 (server) on cable `subnet`."""
    return f"10.9.{subnet}.{host}"


class Network:
    """The two namespaces. client, peer: tipy.lab workers.

    rung: "tap" or "packet" insists on that one; None takes the first that works. OSError if there is none.
    reason: why it is not the better one, or ""
    """

    def __init__(self, rung=None):
        self.client = self.peer = None
        self.reason = ""
        try:
            self.client = _first()
            self.rung = rung or self._best_rung()
            if rung == "tap":
                self.client.call(_try_tap, timeout=_TIMEOUT)
            self.peer = self.client.spawn(Enter(), _TIMEOUT)
            for subnet in (REFERENCE, WITH_TSO):
                offload = subnet == WITH_TSO
                self.client.call(_lay_cable, subnet, self.peer.pid, offload, timeout=_TIMEOUT)
                self.peer.call(_other_end, subnet, offload, timeout=_TIMEOUT)
        except BaseException:
            self.close()
            raise

    def _best_rung(self):
        try:
            self.client.call(_try_tap, timeout=_TIMEOUT)
        except OSError as error:
            self.reason = f"no TAP: {error.strerror or error}"
            return "packet"
        return "tap"

    def lay_bare_cable(self, subnet):
        """Cable `subnet`, whose far end is for a packet socket."""
        self.client.call(_lay_cable, subnet, self.peer.pid, True, timeout=_TIMEOUT)
        self.peer.call(_bare_end, subnet, timeout=_TIMEOUT)

    def close(self):
        """End the processes, and with them the namespaces."""
        for worker in (self.peer, self.client):
            if worker is not None:
                worker.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


def _first():
    try:
        return Worker(_Enter(True), _TIMEOUT)
    except OSError:
        return Worker(_Enter(False), _TIMEOUT)


class _Enter(Enter):
    """The lab's way in, and ports and TIME-WAITs enough for tens of thousands of connections."""

    def __call__(self):
        super().__call__()
        roomy()


def roomy():
    """In a namespace: many ports, and TIME-WAIT sockets that may be used again."""
    namespaces.write_sysctl("ipv4/ip_local_port_range", "10000 65000")
    namespaces.write_sysctl("ipv4/tcp_tw_reuse", "1")
    namespaces.write_sysctl("core/somaxconn", "4096")
    namespaces.write_sysctl("ipv4/tcp_max_syn_backlog", "4096")


def _lay_cable(subnet, peer_pid, offload):
    with Netlink() as netlink:
        netlink.create_veth(f"cable{subnet}", f"cable{subnet}", peer_pid=peer_pid)
    _bring_up(f"cable{subnet}", f"{address(subnet, 1)}/24", offload)


def _other_end(subnet, offload):
    roomy()
    _bring_up(f"cable{subnet}", f"{address(subnet, 2)}/24", offload)


def _bare_end(subnet):
    set_offloads(f"cable{subnet}", True)
    with Netlink() as netlink:
        netlink.set(f"cable{subnet}", up=True)


def _try_tap():
    os.close(attach_tap("tap0"))


def _bring_up(name, network, offload):
    with Netlink() as netlink:
        set_offloads(name, offload)
        netlink.set(name, up=True)
        netlink.add_address(name, network)


def set_offloads(name, on):
    """Switch every offload of an interface, as `ethtool -K` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for command in _OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("=II", command, on), 8)
            pointer = struct.pack("@P", ctypes.addressof(value))
            ioctl(handle.fileno(), _SIOCETHTOOL, request(name, pointer))


def open_tap(subnet, offload):
    """In the client namespace: a TapLink on a new TAP, which is up and has its kernel side's address."""
    name = f"tap{subnet}"
    fd = attach_tap(name)
    bring_up_tap(subnet)
    return TapLink(name, MTU, offload, fd=fd)


def bring_up_tap(subnet):
    """In the client namespace: tapN, which somebody is attached to or which stays, gets its kernel side's address."""
    name = f"tap{subnet}"
    with Netlink() as netlink:
        netlink.set(name, up=True)
        netlink.add_address(name, f"{address(subnet, 1)}/24")


def open_packet(subnet, offload):
    """In the peer's namespace: a PacketLink on the bare end of cable `subnet`."""
    name = f"cable{subnet}"
    with Netlink() as netlink:
        mac = netlink.link(name).mac
    return PacketLink(name, MTU, offload, fd=open_packet_socket(name), mac=mac)
