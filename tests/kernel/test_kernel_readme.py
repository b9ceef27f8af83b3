"""What the README tells a reader to type, typed: in a network namespace of the test's own, where nothing is lost.

`sudo` is left out (in its own namespace the test is root), and `python3` is the Python of this test. The second of
the two commands, which downloads, is run by .ci/run.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest
import readme_blocks as readme

from tipy.lab import network
from tipy.lab.worker import Worker

HANG = 90                          # seconds; only a hang takes that long
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TIPY_CONFIG"} | {
    "USER": "root", "PYTHONPATH": str(readme.ROOT), "PATH": f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"}
BRIDGE = readme.commands(readme.section("A bridge with a TAP"))
PROGRAMS = [command for command in readme.commands() if "PYTHONPATH=." in command]


def typed(command):
    """The words for a shell, without sudo and with this Python."""
    return command.removeprefix("sudo ").replace("python3 ", f"{sys.executable} ")


def shell(command, cwd=readme.ROOT):
    """Run a line of the README; AssertionError with its words if it fails. Returns (stdout, stderr)."""
    done = subprocess.run(["sh", "-c", typed(command)], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=HANG)
    if done.returncode:
        raise AssertionError(f"{command!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def shells(commands):
    """Run one after the other."""
    return [shell(command) for command in commands]


@pytest.fixture(scope="module")
def computer():
    """A private network in which the README's bridge has been set up; also with a card, which is a veth."""
    if shutil.which("ip", path=ENVIRONMENT["PATH"]) is None:
        pytest.skip("the program ip (package iproute2) is not installed")
    try:
        worker = Worker(network.Enter(with_user=True))
    except OSError as error:
        pytest.skip(f"no network namespace here: {error}")
    try:
        if not worker.call(os.access, "/dev/net/tun", os.R_OK | os.W_OK):
            pytest.skip("/dev/net/tun cannot be opened in a namespace here")
        worker.call(shells, ["ip link add enp0s3 type veth peer name rest", "ip link set rest up",
                             "ip address add 192.168.2.99/24 dev enp0s3", "ip link set enp0s3 up"])
        yield worker
    finally:
        worker.close()


@pytest.fixture(scope="module")
def bridge(computer):
    """With the bridge, as `ip` sets it up."""
    computer.call(shells, [command for command in BRIDGE if command.startswith("sudo ip ")], timeout=HANG)
    return computer


def run_script_with_server(source):
    """Run a Python program in a namespace where 192.168.2.199:8000 answers in capitals: its output."""
    with socket.create_server(("192.168.2.199", 8000)) as listener:
        def serve():
            sock, _ = listener.accept()
            with sock:
                sock.sendall(sock.recv(100).upper())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        done = subprocess.run([sys.executable, "-c", source], cwd=readme.ROOT, env=ENVIRONMENT, capture_output=True,
                              text=True, timeout=HANG)
        thread.join(HANG)
    return done.returncode, done.stdout, done.stderr


# -- the bridge -----------------------------------------------------------------------------------


def ports(name):
    """The names of a bridge's ports, and the addresses of an interface."""
    from tipy.address import format_ip
    from tipy.netlink import Netlink
    with Netlink() as netlink:
        links = {info.index: info for info in netlink.links()}
        addresses = [(links[each.index].name, format_ip(each.ip)) for each in netlink.addresses() if len(each.ip) == 4]
        names = [info.name for info in links.values() if info.master and links[info.master].name == name]
    return sorted(names), sorted(addresses)


def test_bridge_has_the_tap_the_card_and_the_cards_place(bridge):
    names, addresses = bridge.call(ports, "br0")
    assert names == ["enp0s3", "tap7"]
    assert ("br0", "192.168.2.199") in addresses and not [name for name, _ in addresses if name == "enp0s3"]
    out, _ = bridge.call(shell, "ip route show default")
    assert out.startswith("default via 192.168.2.1 dev br0")


def test_script_talks_to_the_host(bridge):
    script = readme.blocks("python", readme.section("A script"))[0]
    status, out, err = bridge.call(run_script_with_server, script, timeout=HANG)
    assert (status, out) == (0, "b'HELLO\\n'\n"), err


@pytest.mark.parametrize("command", PROGRAMS)
def test_program_runs(bridge, command):
    out, err = bridge.call(shell, command, timeout=HANG)
    assert "4 sent, 4 answered" in out or "b'HELLO'" in out
    assert bool(err) is (" -O " not in command)


def test_chosen_log_channels_speak(bridge):
    command = next(command for command in PROGRAMS if command.startswith("TIPY_LOG_CHANNELS=arp"))
    _, err = bridge.call(shell, command, timeout=HANG)
    assert "tipy.arp: " in err and "tipy.stack: " not in err


@pytest.mark.parametrize("command", [line for line in BRIDGE if line.startswith("sudo nmcli connection add")])
def test_nmcli_understands(command):
    if shutil.which("nmcli") is None:
        pytest.skip("nmcli (package network-manager) is not installed")
    out, _ = shell(command.replace("nmcli ", "nmcli --offline ", 1))
    assert "[connection]" in out


# -- what needs no bridge -------------------------------------------------------------------------


def test_first_command(tmp_path):
    first = readme.commands(readme.section("Two commands"))[0]
    out, _ = shell(first, cwd=tmp_path)
    assert "Every step was verified." in out and (tmp_path / "demo.pcapng").exists()


def test_lab_of_ones_own(tmp_path):
    source = readme.blocks("python", readme.section("Without a bridge"))[0]
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
                          timeout=HANG)
    assert done.returncode == 0, done.stderr


def test_no_command_is_left_out():
    known = BRIDGE + PROGRAMS + readme.commands(readme.section("Two commands"))
    assert [command for command in readme.commands() if command not in known] == []
