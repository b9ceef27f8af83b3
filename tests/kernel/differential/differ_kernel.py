"""Scripts against the Linux kernel: a TAP device in a network namespace, and this process as all the peers.

`run_scripts` runs inside the namespace (a job of tipy.lab.worker). It is one thread: it reads the TAP, makes
the programs' calls on real sockets and writes the peers' frames, many scripts at a time, each with a peer
address and a port of its own. Frames are read before and after each step, so they are told apart from the
ones that a step brings about.
"""

import heapq
import os
import select
import socket
import struct
import time

from differ_run import PREFIX_LENGTH, UNDER_TEST, Place, Run

from tipy.address import parse_mac
from tipy.lab import namespaces, network
from tipy.lab.worker import Worker
from tipy.link.tap import attach_tap
from tipy.netlink import Netlink
from tipy.wire.arp import REPLY, REQUEST, ArpPacket
from tipy.wire.ethernet import TYPE_ARP, TYPE_IPV4, EthernetHeader
from tipy.wire.ipv4 import PROTOCOL_TCP, IPv4Header

TAP = "differ0"
HOST_MAC, PEER_MAC = "02:00:00:00:09:01", "02:00:00:00:09:02"
_NETLINK_ROUTE, _RTM_NEWLINK, _REQUEST_ACK, _IFLA_GSO_MAX_SEGS = 0, 16, 5, 40
_VNET = bytes(10)                      # a virtio_net_hdr that says: nothing left open
_PATIENCE = 5.0
# Defaults of the kernel that tipy follows, whatever the machine's are; plus what keeps scripts apart.
SYSCTLS = {
    "rmem": "4096 131072 6291456", "wmem": "4096 16384 4194304", "congestion_control": "reno", "ecn": "2",
    "no_metrics_save": "1", "sack": "1", "dsack": "1", "timestamps": "1", "window_scaling": "1",
    "recovery": "1",
    "early_retrans": "3", "syn_linear_timeouts": "0", "rfc1337": "1", "slow_start_after_idle": "1",
    "invalid_ratelimit": "500", "syncookies": "1", "fin_timeout": "60", "retries2": "15",
    "rto_min_us": "200000",
    "frto": "2", "mtu_probing": "0", "syn_retries": "6", "synack_retries": "5", "tw_reuse": "2",
}


class Kernel:
    """Kernels for scripts: one private network for each set of sysctls that scripts ask for, made when first
    needed. OSError where the machine does not permit one."""

    def __init__(self):
        self._hosts = {}
        self._host({})                 # fails now, if at all

    def run(self, scripts, timeout):
        """Run scripts [(place number, Script), ...] at the same time; [[Event, ...], ...]."""
        groups = {}
        for index, (_, script) in enumerate(scripts):
            groups.setdefault(tuple(sorted(script.sysctls.items())), []).append(index)
        jobs = {key: self._host(dict(key)).start(run_scripts, [scripts[index] for index in members],
                                                 dict(key))
                for key, members in groups.items()}
        results = [None] * len(scripts)
        for key, job in jobs.items():
            for index, events in zip(groups[key], job.result(timeout)):
                results[index] = events
        return results

    def missing_sysctls(self):
        """Those of SYSCTLS that cannot be set here."""
        return self._host({}).call(missing_sysctls)

    def _host(self, sysctls):
        key = tuple(sorted(sysctls.items()))
        if key not in self._hosts:
            self._hosts[key] = _new_host()
        return self._hosts[key]

    def close(self):
        for worker in self._hosts.values():
            worker.close()


def _new_host():
    """A worker in a network namespace of its own, where a TAP can be had."""
    try:
        worker = Worker(network.Enter(with_user=True), 10.0)
    except OSError:
        worker = Worker(network.Enter(with_user=False), 10.0)
    try:
        worker.call(_try_tap, timeout=10.0)
    except BaseException:
        worker.close()
        raise
    return worker


def _try_tap():
    os.close(attach_tap(TAP))


def run_scripts(scripts, sysctls):
    """In the namespace: run them all; their events."""
    loop = _Loop(scripts, sysctls)
    try:
        return loop.run()
    finally:
        loop.close()


class _Loop:
    def __init__(self, scripts, sysctls):
        self.fd = attach_tap(TAP)
        _set_sysctls(SYSCTLS | sysctls)
        with Netlink() as netlink:
            netlink.set(TAP, mac=HOST_MAC, up=True)
            netlink.add_address(TAP, f"{UNDER_TEST}/{PREFIX_LENGTH}")
            _forbid_bursts(netlink.link(TAP).index)
        self.start = time.monotonic()
        self.runs = [Run(script, Place(number), socket, self._deliver) for number, script in scripts]
        self.by_peer = {run.remote: run for run in self.runs}
        self.introduced = set()
        self.poll = select.poll()
        self.poll.register(self.fd, select.POLLIN)

    def close(self):
        for run in self.runs:
            for name, sock in run.calls.sockets.items():
                if not name.startswith("l"):
                    try:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    except OSError:
                        pass
            run.calls.close_all()
        os.close(self.fd)

    def now(self):
        return time.monotonic() - self.start

    def run(self):
        """All steps of all scripts, each `after` its predecessor, never sooner."""
        self._introduce()
        begin = self.now() + 0.05
        due = [(begin + index * 0.002, index) for index in range(len(self.runs))]
        heapq.heapify(due)
        while due:
            when, index = due[0]
            wait = when - self.now()
            if wait > 0:
                self._wait(wait)
                continue
            heapq.heappop(due)
            run = self.runs[index]
            self._perform(run)
            if run.done < len(run.script.steps):
                heapq.heappush(due, (self.now() + run.script.steps[run.done].after, index))
        return [run.events for run in self.runs]

    def _perform(self, run):
        self._drain()
        run.perform(self.now())
        self._drain()
        run.over = run.done == len(run.script.steps)

    # -- the wire -------------------------------------------------------------------------------------

    def _wait(self, seconds):
        """Until a frame comes or time has passed; the end of it is waited for exactly."""
        if self.poll.poll(max(seconds * 1000 - 0.5, 0)):
            self._drain()

    def _drain(self):
        for _ in range(10000):
            try:
                frame = os.read(self.fd, 2048)
            except BlockingIOError:
                return
            self._frame(frame[len(_VNET):])

    def _frame(self, frame):
        ethernet = EthernetHeader.unpack(frame, 0, len(frame))
        if ethernet.type == TYPE_ARP:
            packet = ArpPacket.unpack(frame, 14, len(frame))
            if packet.operation == REQUEST:
                self._arp(REPLY, packet.target_ip, packet.sender_mac, packet.sender_ip)
            else:
                self.introduced.add(packet.target_ip)
        elif ethernet.type == TYPE_IPV4:
            packet = frame[14:]
            ip = IPv4Header.unpack(packet, 0, len(packet))
            run = self.by_peer.get(ip.dst)
            if run is not None and ip.protocol == PROTOCOL_TCP:
                run.arrived(packet, ip, self.now())

    def _introduce(self):
        """Have the kernel know all peers' MACs before anything is measured."""
        deadline = self.now() + _PATIENCE
        while len(self.introduced) < len(self.runs) and self.now() < deadline:
            for run in self.runs:
                if run.remote not in self.introduced:
                    self._arp(REQUEST, run.remote, bytes(6), run.local)
                    self._drain()
            self._wait(0.02)

    def _arp(self, operation, sender_ip, target_mac, target_ip):
        mac = parse_mac(PEER_MAC)
        packet = ArpPacket(operation, mac, sender_ip, target_mac, target_ip)
        to = b"\xff" * 6 if operation == REQUEST else target_mac
        self._write(EthernetHeader(to, mac, TYPE_ARP).pack() + packet.pack())

    def _deliver(self, packet):
        self._write(EthernetHeader(parse_mac(HOST_MAC), parse_mac(PEER_MAC), TYPE_IPV4).pack() + packet)

    def _write(self, frame):
        os.write(self.fd, _VNET + frame)


def _forbid_bursts(index):
    """No segmentation offload in the kernel's TCP either: what it sends in one go is one segment, as on
    tipy's memory link (IFLA_GSO_MAX_SEGS = 1)."""
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0) + struct.pack("=HHI", 8, _IFLA_GSO_MAX_SEGS, 1)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as sock:
        sock.settimeout(5)
        sock.send(struct.pack("=IHHII", 16 + len(body), _RTM_NEWLINK, _REQUEST_ACK, 1, 0) + body)
        reply = sock.recv(4096)
    code = -struct.unpack_from("=i", reply, 16)[0]
    if code:
        raise OSError(code, os.strerror(code))


def _set_sysctls(values):
    for name, value in values.items():
        namespaces.write_sysctl(f"ipv4/tcp_{name}", str(value))


def missing_sysctls():
    """In the namespace: those of SYSCTLS that cannot be set there."""
    return [name for name, value in SYSCTLS.items()
            if not namespaces.write_sysctl(f"ipv4/tcp_{name}", str(value))]
