"""The lab's network, built by rtnetlink from inside it. The functions here run in the lab's workers.

        host's namespace                        second host's            the stack
    +--------------------------------+        +----------------+
    |  br0 192.168.2.199/24          |        |                |
    |   |-- port50 ------------------|--------| eth0  .50      |
    |   `-- tap7  (rung "tap") ------|--------|----------------|------- a descriptor      .200
    |   or  port7 (rung "packet") ---|--------|----------------|------- veth7, in a namespace of its own,
    +--------------------------------+        +----------------+        read through a packet socket
"""

import time
from typing import NamedTuple

from tipy.lab import namespaces
from tipy.link.packet import open_packet_socket
from tipy.link.tap import attach_tap, create_tap
from tipy.netlink import Netlink

NETWORK = "192.168.2.0/24"
HOST, OTHER, STACK = "192.168.2.199", "192.168.2.50", "192.168.2.200"
HOST_MAC, OTHER_MAC = "02:00:00:00:01:99", "02:00:00:00:00:50"
BRIDGE, TAP = "br0", "tap7"
PREFIX_LENGTH = 24
_HOST_END, _OTHER_END = "port50", "eth0"
_BRIDGE_END, STACK_END = "port7", "veth7"
_TURNS, _TURN = 200, 0.005         # the carrier comes up within a few ms, from a kernel thread

# What a lab wants of its kernel, where it may say so: no IPv6 chatter, no source filter, no ICMP rate limit.
_SYSCTLS = (("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1"),
            ("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/icmp_ratelimit", "0"))


class Enter(NamedTuple):
    """What a new worker does first; `with_user`: in a user namespace of its own (for the first one)."""

    with_user: bool = False

    def __call__(self):
        namespaces.enter_new_network(self.with_user)
        for name, value in _SYSCTLS:
            namespaces.write_sysctl(name, value)
        with Netlink() as netlink:
            netlink.set("lo", up=True)


def build_host():
    """In the host's namespace: the bridge and its address."""
    with Netlink() as netlink:
        netlink.create_bridge(BRIDGE, HOST_MAC)
        netlink.set(BRIDGE, up=True)
        netlink.add_address(BRIDGE, f"{HOST}/{PREFIX_LENGTH}")


def join_other(pid):
    """In the host's namespace: a cable from the bridge to the second host, process `pid`."""
    _add_port(_HOST_END, _OTHER_END, pid)


def build_other():
    """In the second host's namespace, once the cable is there."""
    with Netlink() as netlink:
        netlink.set(_OTHER_END, up=True, mac=OTHER_MAC)
        netlink.add_address(_OTHER_END, f"{OTHER}/{PREFIX_LENGTH}")


def build_tap():
    """In the host's namespace: tap7, a port of the bridge, which stays when nobody is attached."""
    create_tap(TAP)
    with Netlink() as netlink:
        netlink.set(TAP, master=BRIDGE, up=True)


def open_tap():
    """In the host's namespace: a descriptor attached to tap7, with the bridge forwarding to it."""
    fd = attach_tap(TAP)
    _await_carrier(TAP)
    return fd


def join_stack(pid):
    """In the host's namespace: a cable from the bridge to the namespace where the packet socket will be."""
    _add_port(_BRIDGE_END, STACK_END, pid)


def build_stack_end():
    """In the stack's namespace, once the cable is there: the interface, without any address."""
    with Netlink() as netlink:
        netlink.set(STACK_END, up=True)


def open_packet():
    """In the stack's namespace: a packet socket on its end of the cable."""
    _await_carrier(STACK_END)
    return open_packet_socket(STACK_END)


def stack_end_mac():
    """In the stack's namespace: the MAC of its end of the cable."""
    with Netlink() as netlink:
        return netlink.link(STACK_END).mac


def _add_port(name, peer, pid):
    with Netlink() as netlink:
        netlink.create_veth(name, peer, peer_pid=pid)
        netlink.set(name, master=BRIDGE, up=True)


def _await_carrier(name):
    with Netlink() as netlink:
        for _ in range(_TURNS):
            if netlink.link(name).running:
                return
            time.sleep(_TURN)
    raise TimeoutError(f"{name} has no carrier")
