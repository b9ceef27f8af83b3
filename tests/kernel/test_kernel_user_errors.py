"""What a user sees whose TAP is taken, down, somebody else's, or whose address another host has: one sentence on
stderr that says what to do, and exit status 1. The examples stand for the user's program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tipy.lab import HOST, network
from tipy.lab.network import HOST_MAC
from tipy.lab.worker import Worker
from tipy.link.tap import create_tap
from tipy.netlink import Netlink

ROOT = Path(__file__).resolve().parents[2]
HANG = 60                          # seconds; only a hang takes that long
SOMEBODY = 12345                   # a user id that is not ours
LAST_CAPABILITY = 40


# -- run inside the lab ---------------------------------------------------------------------------


def complaint(*arguments, **environment):
    """The one line that an example says on stderr; AssertionError if it says anything else, or ends well."""
    done = subprocess.run([sys.executable, "examples/start_stack.py", *arguments], cwd=ROOT, capture_output=True,
                          env={**os.environ, "PYTHONPATH": ".", **environment}, text=True, timeout=HANG)
    if done.returncode != 1 or done.stdout or len(done.stderr.splitlines()) != 1:
        raise AssertionError(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stderr.rstrip("\n")


def complaint_with(environment):
    return complaint(**environment)


def complaint_when_down():
    with Netlink() as netlink:
        netlink.set(network.TAP, up=False)
    return complaint()


def complaint_about_somebody_elses_tap():
    create_tap("tap9", owner=SOMEBODY)
    with Netlink() as netlink:
        netlink.set("tap9", up=True)
    give_up_capabilities()
    return complaint("tap9")


def give_up_capabilities():
    """No capability from here on, nor after exec, as a user who is not root."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(24, capability, 0, 0, 0)                                 # PR_CAPBSET_DROP
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) < 0:
        raise OSError(ctypes.get_errno(), "capset")


# -- the tests ------------------------------------------------------------------------------------


def test_address_of_another_host(tap_lab):
    said = tap_lab.kernel.call(complaint_with, {"TIPY_ADDRESS": f"{HOST}/24"}, timeout=HANG)
    assert said == (f"address {HOST} is already used by the host with MAC {HOST_MAC}: choose a free one with "
                    "tipy(address=...) or IP_ADDRESS in config.py")


def test_tap_in_use(tap_lab):
    link = tap_lab.link()
    said = tap_lab.kernel.call(complaint, timeout=HANG)
    link.close()
    assert said.startswith("tap7 is in use by another program: stop that one, or ")


def test_tap_that_is_down(fresh_lab):
    said = fresh_lab.kernel.call(complaint_when_down, timeout=HANG)
    assert said == "tap7 is down: type 'sudo ip link set tap7 up'"


def test_bridge_instead_of_a_tap(tap_lab):
    assert "br0 is not a TAP" in tap_lab.kernel.call(complaint, "br0", timeout=HANG)


def test_interface_that_is_not_there(tap_lab):
    said = tap_lab.kernel.call(complaint, "tap8", timeout=HANG)
    assert said.startswith("there is no interface tap8: make it with 'sudo ip tuntap add dev tap8 mode tap user $USER")


def test_tap_of_somebody_else():
    try:
        worker = Worker(network.Enter(with_user=False))
    except OSError as error:
        pytest.skip(f"only root can make a TAP for another user ({error})")
    try:
        said = worker.call(complaint_about_somebody_elses_tap, timeout=HANG)
    finally:
        worker.close()
    assert said.startswith("no permission to use tap9: run this with sudo, or make it yours with 'sudo ip tuntap add")


@pytest.mark.parametrize("environment, part", [
    ({"TIPY_MTU": "9000"}, "sudo ip link set tap7 mtu 9000"),
    ({"TIPY_MAC_ADDRESS": "01:00:5e:00:00:01"}, "cannot belong to one host"),
    ({"TIPY_ROUTER": "10.0.0.1"}, "gateway 10.0.0.1 is no other host in 192.168.2.0/24"),
])
def test_setting_that_does_not_fit(tap_lab, environment, part):
    assert part in tap_lab.kernel.call(complaint_with, environment, timeout=HANG)
