"""`tipy run` on a real TAP: programs that know nothing of tipy, with the kernel as their peer."""

import shutil
import signal
import socket
import sys

import pytest
import run_helpers as helpers
from run_helpers import HANG, beside, run, start, talk, words

from tipy.lab import HOST, STACK

ECHO = ("examples/echo_tcp.py", "1234")


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"the program {program} is not installed")


def fine(result, *texts):
    """Exit status 0 or Ctrl-C's, and all `texts` on stdout."""
    status, out, err = result
    if status not in (0, -signal.SIGINT) or not all(text in out for text in texts):
        raise AssertionError(f"{status}\n{out}\n{err}")
    return err


def test_the_network_is_one_line(tap_lab):
    status, out, err = tap_lab.kernel.call(run, words("-c", "print('ran')"), timeout=HANG)
    assert (status, out, err) == (0, "ran\n", f"tipy: {STACK}/24, gateway 192.168.2.1, on tap7\n")


# -- the examples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command, lines", [
    (["nc", STACK, "1234"], [b"hello\n", b"again\n"]),
    (["telnet", STACK, "1234"], [b"hello\r\n", b"again\r\n"]),
], ids=["nc", "telnet"])
def test_echo_tcp_answers_the_kernels_clients(tap_lab, command, lines):
    need(command[0])
    said, served = tap_lab.kernel.call(beside, words(*ECHO), "listening", talk, command, lines,
                                       [b"hello", b"again"], timeout=HANG)
    fine(served, "received b'hello", "received b'again", "bye")
    assert b"again" in said


def test_echo_tcp_serves_a_hundred_at_once(tap_lab):
    echoed, served = tap_lab.kernel.call(beside, words(*ECHO), "listening", helpers.many_echoes,
                                         (STACK, 1234), 100, timeout=HANG)
    assert echoed
    fine(served, "bye")


def test_echo_udp_answers_nc(tap_lab):
    need("nc")
    said, served = tap_lab.kernel.call(beside, words("examples/echo_udp.py"), "listening", talk,
                                       ["nc", "-u", STACK, "1234"], [b"hello\n", b"again\n"],
                                       [b"hello", b"again"], timeout=HANG)
    fine(served, f"received b'hello\\n' from ('{HOST}', ")
    assert b"again" in said


@pytest.mark.parametrize("ours", ["server", "client"])
def test_the_echo_client_on_either_side(tap_lab, ours):
    client = ["examples/echo_tcp_client.py", STACK if ours == "server" else HOST]
    server, client = [sys.executable, *ECHO], [sys.executable, *client]
    if ours == "server":
        server = words(*server[1:])
    else:
        client = words(*client[1:])
    asked, served = tap_lab.kernel.call(beside, server, "listening", run, client, timeout=HANG)
    fine(served, "Hello, world!")
    fine(asked, "Server said: b'Hello, world!'\nConnection lost.\n")


def test_the_client_says_that_nobody_listens(tap_lab):
    status, _, err = tap_lab.kernel.call(run, words("examples/echo_tcp_client.py", HOST, "9"), timeout=HANG)
    assert status == 1 and err.splitlines()[-1].startswith("Connection failed: [Errno 111]")


# -- how open connections end -----------------------------------------------------------------------


LEAVER = f"""
import socket, sys
sock = socket.create_connection(("{HOST}", int(sys.argv[1])))
sock.recv(1)
"""
ENDS = {
    "FIN": (LEAVER + "sock.recv(99)", b"all", 0),
    "FIN after a lot of data": (LEAVER + "sock.recv(99)\nsock.sendall(b'x' * 3_000_000)", b"all", 0),
    "RST for data that was not read": (LEAVER, b"unread data" * 9, 0),
    "FIN after an exception": (LEAVER + "sock.recv(99)\n1 / 0", b"all", 1),
    "FIN after SIGTERM": (LEAVER + "sock.recv(99)\nprint('ready', flush=True)\nimport time\ntime.sleep(99)",
                          b"all", -signal.SIGTERM),
}


def watch_it_leave(command, data, kill):
    """Accept one connection of the program, send data; (what came, how it ended, the program's outcome)."""
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(HANG)
        process = start([*command, str(server.getsockname()[1])])
        try:
            peer, _ = server.accept()
            with peer:
                peer.settimeout(HANG)
                peer.sendall(b"1" + data)
                if kill:
                    helpers.await_line(process, "ready")
                    process.terminate()
                received = 0
                try:
                    while piece := peer.recv(1 << 16):
                        received += len(piece)
                    end = "FIN"
                except ConnectionResetError:
                    end = "RST"
        finally:
            result = helpers.outcome(process)
        return received, end, result


@pytest.mark.parametrize("name", ENDS)
def test_what_a_program_leaves_open_is_closed_as_by_the_kernel(tap_lab, name):
    program, data, status = ENDS[name]
    received, end, result = tap_lab.kernel.call(watch_it_leave, words("-c", program), data, "SIGTERM" in name,
                                                timeout=HANG)
    assert end == name[:3] and result[0] == status
    assert received == (3_000_000 if "lot" in name else 0)


def test_with_faults_all_arrives(tap_lab):
    faults = "--loss", "2%", "--reorder", "1%", "--seed", "7"
    command = words("-c", ENDS["FIN after a lot of data"][0], options=faults)
    received, end, result = tap_lab.kernel.call(watch_it_leave, command, b"all", False, timeout=HANG)
    assert (received, end, result[0]) == (3_000_000, "FIN", 0)
    assert result[2].endswith("; loss 2%, reorder 1%, seed 7\n")


def test_a_capture_is_clean(tap_lab, tmp_path):
    need("tshark")
    from subprocess import run as run_here
    file = tmp_path / "run.pcapng"
    command = words("-c", ENDS["FIN after a lot of data"][0], options=("--capture", str(file)))
    tap_lab.kernel.call(watch_it_leave, command, b"all", False, timeout=HANG)
    shark = ["tshark", "-r", str(file), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y"]
    bad = "_ws.malformed or tcp.checksum.status == 0 or ip.checksum.status == 0"
    found = [run_here([*shark, what], capture_output=True, text=True, timeout=HANG).stdout
             for what in (bad, "tcp.flags.fin == 1")]
    assert found[0] == "" and f"{STACK} " in found[1]


def test_other_destinations_go_by_the_kernel(tap_lab):
    program = f"""
import socket
a = socket.create_server(("127.0.0.1", 0))           # the kernel's
b = socket.create_server(("{STACK}", 0))             # ours
with socket.create_connection(a.getsockname()) as one:
    print(one.getsockname()[0])
try:
    socket.create_connection(("127.0.0.2", b.getsockname()[1]))
except OSError as error:
    print(type(error).__name__)
"""
    status, out, _ = tap_lab.kernel.call(run, words("-c", program, options=("--kernel", "127.0.0.1/32")),
                                         timeout=HANG)
    assert status == 0 and "127.0.0.1\nConnectionRefusedError" in out


# -- the lab ------------------------------------------------------------------------------------------


def test_run_in_a_lab_says_how_to_get_in():
    """The line on stderr is a command that runs a client on the Linux host beside the program."""
    need("nsenter")
    need("nc")
    process = start([sys.executable, "-m", "tipy", "run", "--lab", *ECHO])
    said = helpers.await_line(process, "^tipy: ", "stderr")
    if "nsenter" not in said:
        process.kill()
        helpers.outcome(process)
        pytest.skip(f"no lab with a kernel here: {said}")
    enter = said.partition("nsenter ")[2].removesuffix("COMMAND\n").split()
    helpers.await_line(process, "listening")
    answer = talk(["nsenter", *enter, "nc", STACK, "1234"], [b"from outside\n"], [b"from outside"])
    process.send_signal(signal.SIGINT)
    fine(helpers.outcome(process))
    assert answer == b"from outside\n"
