"""The lab itself: what it is made of, how it falls back, and that nothing of it stays."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tipy.address import parse_ip
from tipy.lab import HOST, OTHER, Lab, network
from tipy.lab.namespaces import enter_new_network
from tipy.lab.worker import Worker
from tipy.netlink import Netlink

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTED = """
import os, sys, time
from tipy.lab import Lab
with Lab() as lab:
    print(lab.kernel.pid, lab.other.pid, flush=True)
    if len(sys.argv) > 1:
        os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(60)
"""


# -- run inside the lab ---------------------------------------------------------------------------


def inventory():
    with Netlink() as netlink:
        names = {info.index: info for info in netlink.links()}
        addresses = {names[entry.index].name: entry.ip for entry in netlink.addresses() if len(entry.ip) == 4}
    return {info.name: (info.up, names[info.master].name if info.master else None)
            for info in names.values()}, addresses


def network_id():
    return os.readlink("/proc/self/ns/net")


def forbid_namespaces():
    """Enter a user namespace in which no further namespace may be made."""
    enter_new_network(with_user=True)
    for kind in ("user", "net"):
        with open(f"/proc/sys/user/max_{kind}_namespaces", "w") as file:
            file.write("0")


def forbid_taps():
    """Enter a user namespace that cannot open a TAP's device node."""
    enter_new_network(with_user=True)
    from tipy.link import tap
    tap.DEVICE = "/proc/self/no-such-node"


def forbid_user_namespaces():
    enter_new_network(with_user=True)
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")


def best_lab():
    with Lab() as lab:
        return lab.rung, lab.reason


def insist(rung):
    Lab(rung).close()


def stay():
    """Enter no namespace."""


def worker_or_skip(enter):
    try:
        return Worker(enter)
    except OSError as error:
        pytest.skip(f"no namespaces to try this in: {error}")


# -- what it is -----------------------------------------------------------------------------------


def test_host_has_the_bridge_with_both_ports(lab):
    links, addresses = lab.kernel.call(inventory)
    stack_port = {"tap": "tap7", "packet": "port7"}[lab.rung]
    assert links == {"lo": (True, None), "br0": (True, None), "port50": (True, "br0"),
                     stack_port: (True, "br0")}
    assert addresses == {"lo": parse_ip("127.0.0.1"), "br0": parse_ip(HOST)}


def test_second_host_is_elsewhere(lab):
    links, addresses = lab.other.call(inventory)
    assert links == {"lo": (True, None), "eth0": (True, None)}
    assert addresses["eth0"] == parse_ip(OTHER)
    ids = {network_id(), lab.kernel.call(network_id), lab.other.call(network_id)}
    assert len(ids) == 3


def test_rungs_insisted_on_have_no_excuse(lab):
    assert lab.reason == ""


def test_two_labs_do_not_meet(tap_lab):
    with Lab("tap") as second:
        assert second.kernel.call(network_id) != tap_lab.kernel.call(network_id)


# -- the ladder -----------------------------------------------------------------------------------


def test_without_taps_the_next_rung_is_packet():
    worker = worker_or_skip(forbid_taps)
    rung, reason = worker.call(best_lab)
    worker.close()
    assert rung == "packet" and reason.startswith("no TAP: there is no /proc/self/no-such-node")


def test_without_namespaces_the_last_rung_is_memory():
    worker = worker_or_skip(forbid_namespaces)
    rung, reason = worker.call(best_lab)
    worker.close()
    assert rung == "memory"
    assert reason == "no TAP: unshare: No space left on device; " \
                     "no veth with AF_PACKET: unshare: No space left on device"


def test_without_user_namespaces_root_still_has_a_lab():
    worker = worker_or_skip(forbid_user_namespaces)
    rung, _ = worker.call(best_lab)
    worker.close()
    assert rung in ("tap", "packet")


def test_rung_insisted_on_raises_if_it_cannot_be_had():
    worker = worker_or_skip(forbid_namespaces)
    with pytest.raises(OSError, match="unshare"):
        worker.call(insist, "tap")
    worker.close()


# -- nothing stays --------------------------------------------------------------------------------


def networks_in_use():
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found.add(os.readlink(f"/proc/{entry}/ns/net"))
            except OSError:                        # gone meanwhile, or not ours
                pass
    return found


@pytest.mark.parametrize("rung", ["tap", "packet"])
def test_closed_lab_leaves_no_process_descriptor_or_network(rung, lab):
    before = sorted(os.listdir("/proc/self/fd"))
    with Lab(rung) as second:
        networks = {second.kernel.call(network_id), second.other.call(network_id)}
        pids = [second.kernel.pid, second.other.pid]
        second.link()                              # forgotten: the lab closes it
        job = second.kernel.start(signal.pause)
    assert sorted(os.listdir("/proc/self/fd")) != before     # the job's channel is ours to close
    job.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert not networks & networks_in_use()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL],
                         ids=lambda number: number.name)
def test_lab_dies_with_its_maker(number, tap_lab):
    maker = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(int(number))], cwd=ROOT, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    pids = [int(pid) for pid in maker.stdout.readline().split()]
    assert len(pids) == 2
    assert maker.wait(30) != 0
    maker.stdout.close()
    for pid in pids:
        assert gone(pid)


def gone(pid):
    """Has it ended, or does it within the time the kernel needs to kill it?"""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


def test_hundred_links_one_after_the_other(tap_lab):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        link = tap_lab.link()
        link.open()
        link.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_device_survives_its_users(tap_lab):
    link = tap_lab.link()
    link.close()
    assert network.TAP in tap_lab.kernel.call(inventory)[0]
