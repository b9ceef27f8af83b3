"""`python3 -m tipy run`: what the program sees of itself is as under Python alone, but its network is ours."""

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINE = "tipy: 127.0.0.1 only, no network was named\n"
HANG = 60                          # seconds; only a hang takes that long
TALK = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer = server.accept()[0]
"""


@pytest.fixture
def place(tmp_path):
    """An empty directory to work in, without any config.py."""
    return tmp_path


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "", **more}


def python(place, *words, **options):
    """Run Python; (status, stdout, stderr)."""
    done = subprocess.run([sys.executable, *words], cwd=place, capture_output=True, text=True, timeout=HANG,
                          env=environment(**options.pop("env", {})), **options)
    return done.returncode, done.stdout, done.stderr


def tipy_run(place, *words, **options):
    return python(place, "-m", "tipy", "run", *words, **options)


def script(place, text, name="script.py"):
    path = place / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return name


def same_as_python(place, words, **options):
    """Run it with and without tipy: the outcomes must be equal, but for the line on stderr."""
    alone = python(place, *words, **options)
    status, out, err = tipy_run(place, *words, **options)
    assert err.startswith(LINE)
    assert (status, out, err.removeprefix(LINE)) == alone
    return alone


SELF = """
import sys
names = sorted(name for name in globals() if name.startswith("__"))
print(__name__, globals().get("__file__"), __spec__ and __spec__.name, __package__, names)
print(sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals(), type(__loader__).__name__)
print("annotations" in str(globals().get("__annotations__")), __doc__)
"""


@pytest.mark.parametrize("words", [["script.py"], ["script.py", "a", "--loss", "-m"], ["./script.py", "-h"],
                                   ["sub/inner.py", "x"], ["-m", "script", "a", "-b"], ["-m", "package", "1"],
                                   ["-c", SELF, "a", "-m"], ["folder", "x"], ["archive.zip"],
                                   ["-m", "sub.inner"]])
def test_a_program_finds_itself_as_under_python(place, words):
    for name in ("script.py", "sub/inner.py", "package/__main__.py", "folder/__main__.py"):
        script(place, '"""The docstring."""\n' + SELF, name)
    script(place, "", "package/__init__.py")
    with zipfile.ZipFile(place / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SELF)
    status, out, _ = same_as_python(place, words)
    assert status == 0 and "__main__" in out


def test_a_program_from_standard_input(place):
    same_as_python(place, ["-", "a"], input="import sys\nprint(__name__, sys.argv, sys.path[0])\n")


def test_a_compiled_program(place):
    import py_compile
    py_compile.compile(str(place / script(place, "print(__name__)")), cfile=str(place / "script.pyc"))
    assert same_as_python(place, ["script.pyc"])[1] == "__main__\n"


def test_modules_beside_the_script_are_found_and_those_in_the_working_directory_are_not(place):
    script(place, "raise SystemExit('the wrong one')", "helper.py")
    script(place, "print('the right one')", "sub/helper.py")
    script(place, "import helper", "sub/main.py")
    assert same_as_python(place, ["sub/main.py"])[1] == "the right one\n"


@pytest.mark.parametrize("end, status", [
    ("", 0), ("raise SystemExit", 0), ("raise SystemExit(7)", 7), ("raise SystemExit('words')", 1),
    ("import sys; sys.exit(3)", 3), ("import os; os._exit(9)", 9), ("exit(4)", 4), ("1 / 0", 1),
    ("def f(:", 1), ("import atexit, sys; atexit.register(print, 'bye')", 0),
    ("import threading; threading.Timer(0.05, print, ['late']).start()", 0),
    ("raise KeyboardInterrupt", -signal.SIGINT),
    ("import sys; sys.excepthook = lambda *args: print('mine', args[0].__name__); 1 / 0", 1),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ("raise ExceptionGroup('two', [ValueError(1), OSError(2, 'x')])", 1),
])
def test_the_end_is_that_of_python(place, end, status):
    assert same_as_python(place, [script(place, "import sys\n" + end)])[0] == status


MISTAKES = {
    "refused": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "wrong type": "import socket\nsocket.socket().connect('nowhere')",
    "bad port": "import socket\ndef f():\n    socket.socket().bind(('127.0.0.1', 99999))\nf()",
    "text": "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.sendto('x', ('127.0.0.1', 9))",
    "no such name": "import socket\nsocket.create_connection(('name.invalid', 80))",
    "handled": "import socket, traceback\ntry:\n    socket.socket().send(b'x')\nexcept OSError:\n    "
               "traceback.print_exc()",
    "chained": "import socket\ntry:\n    socket.socket().accept()\nexcept OSError as error:\n    "
               "raise ValueError('so') from error",
    "logged": "import socket, logging\ntry:\n    socket.socket().getpeername()\nexcept OSError:\n    "
              "logging.exception('it')",
    "in a thread": "import socket, threading\nthread = threading.Thread(name='T', target=lambda: "
                   "socket.socket().connect(('127.0.0.1', 9)))\nthread.start()\nthread.join()",
    "as a module would": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')",
    "asyncio": "import asyncio\nasyncio.run(asyncio.open_connection('127.0.0.1', 9))",
    "closed": "import socket\ns = socket.socket()\ns.close()\ns.recv(1)",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_looks_as_under_python(place, name):
    """The same traceback, to the letter, as the kernel's sockets give."""
    words = ["-W", "ignore", script(place, MISTAKES[name])]
    alone = python(place, *words)
    status, out, err = python(place, *words[:2], "-m", "tipy", "run", words[2])
    assert (status, out, err.removeprefix(LINE)) == alone


def test_internals_can_be_shown(place):
    _, _, err = tipy_run(place, "--internals", script(place, MISTAKES["refused"]))
    assert "tipy/sockets/" in err


def test_a_fault_of_tipys_own_is_shown_whole(place):
    text = "import tipy.sockets.api as api\nimport socket\ndel api.operator\nsocket.socket().recv(1)"
    assert "tipy/sockets/api.py" in tipy_run(place, script(place, text))[2]


def test_a_program_that_is_not_there_is_pythons_sentence(place):
    alone = python(place, "nosuch.py")
    status, _, err = tipy_run(place, "nosuch.py")
    assert status == alone[0] == 2
    assert err == "tipy: " + alone[2].partition(": ")[2]


@pytest.mark.parametrize("words, text", [
    ([], "which program?"), (["--loss", "5%"], "which program?"), (["-m"], "argument expected after -m"),
    (["--loss", "much", "x.py"], "'much' is no rate: write 5% or 0.05"),
    (["--delay", "5 parsec", "x.py"], "is no time: write 50ms"), (["--lost", "x.py"], "--lost"),
    (["--link", "udp:1", "x.py"], "--link is not there yet"), (["--kernel", "here", "x.py"], "--kernel"),
    (["--lab", "--ifname", "tap7", "x.py"], "choose one"),
])
def test_a_wrong_option_is_explained(place, words, text):
    status, out, err = tipy_run(place, *words)
    assert (status, out) == (2, "") and text in err.splitlines()[-1] and "Traceback" not in err


def test_the_programs_help_is_the_programs(place):
    name = script(place, "import sys\nprint(sys.argv)")
    assert tipy_run(place, name, "--help")[1] == f"['{name}', '--help']\n"
    assert "usage: python3 -m tipy run" in tipy_run(place, "--help")[1]


def test_a_tap_that_is_not_there_is_one_sentence(place):
    status, out, err = tipy_run(place, "--ifname", "tipy-none", script(place, "print('ran')"))
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith("tipy: ") and "tipy-none" in err


# -- the network ------------------------------------------------------------------------------------


def test_sockets_are_ours_and_the_kernel_is_not_asked(place):
    name = script(place, TALK + """
client.sendall(b"hello")
print(peer.recv(9), socket.if_nameindex() is not None, type(client).__module__)
print(client.tcp_info()["tcpi_state"])
""")
    assert tipy_run(place, name) == (0, "b'hello' True tipy.socket\n1\n", LINE)


@pytest.mark.parametrize("name, why", [("uvloop", "has sockets of its own"), ("eventlet", "replaces the locks")])
def test_a_package_that_cannot_work_is_refused(place, name, why):
    script(place, "print('imported')", f"{name}.py")
    status, out, err = tipy_run(place, script(place, f"import {name}"))
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith(f"ModuleNotFoundError: {name} {why}") and ROOT.name + "/tipy/" not in err


def test_what_the_environment_names_is_tried(place):
    name = script(place, "print('ran')")
    status, out, err = tipy_run(place, name, env={"TIPY_IFACE": "tipy-none"})
    assert (status, out) == (1, "") and "tipy-none" in err
    assert tipy_run(place, name, env={"TIPY_IFACE": "loopback"})[:2] == (0, "ran\n")


def test_a_config_beside_the_program_is_a_wish(place):
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    script(place, "# tipy config\nIFACE = 'tipy-none'\nIP_ADDRESS = '10.7.0.2/24'\n", "config.py")
    command = [sys.executable, "-m", "tipy", "run", script(place, TALK + "print('ran')")]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert done.stderr.startswith("tipy: 127.0.0.1 only, config.py names a network that is not there: ")


BULK = TALK + """
import threading, hashlib
data = hashlib.shake_128(b"run").digest(300_000)
threading.Thread(target=lambda: (client.sendall(data), client.shutdown(1))).start()
received = b"".join(iter(lambda: peer.recv(65536), b""))
info = client.tcp_info()
print(received == data, info["tcpi_total_retrans"] > 0, info["tcpi_rtt"] >= 4000)
"""


def test_faults_on_the_loopback_are_survived_and_felt(place):
    words = ["--loss", "5%", "--delay", "2ms", "--reorder", "1%", "--seed", "7", script(place, BULK)]
    status, out, err = tipy_run(place, *words)
    assert (status, out) == (0, "True True True\n")
    assert err == LINE[:-1] + "; loss 5%, reorder 1%, delay 2ms, seed 7\n"


def test_without_faults_nothing_is_lost(place):
    assert tipy_run(place, script(place, BULK))[1] == "True False False\n"


def test_a_capture_holds_what_was_sent(place):
    import struct
    name = script(place, TALK + "client.sendall(b'in it')")
    status, _, err = tipy_run(place, "--capture", "run.pcapng", name)
    data = (place / "run.pcapng").read_bytes()
    assert status == 0 and "captured in run.pcapng" in err
    assert data[:4] == struct.pack("<I", 0x0A0D0D0A) and b"in it" in data


def test_destinations_can_be_left_to_the_kernel(place):
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        name = script(place, f"""
import socket, asyncio
where = ("127.0.0.1", {server.getsockname()[1]})

async def talk():
    reader, writer = await asyncio.open_connection(*where)
    data = await reader.read()
    writer.close()
    return data

with socket.create_connection(where, timeout=20) as sock:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(sock.recv(99), sock.gettimeout(), sock.getpeername() == where)
print(asyncio.run(talk()))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
udp.bind(("127.0.0.1", 0))
udp.sendto(b"self", udp.getsockname())
print(udp.recv(99), udp.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))
other = socket.socket()
try:
    other.connect(("127.1.1.1", 9))
except OSError as error:
    print(type(error).__name__, type(other).__module__)
""")
        command = [sys.executable, "-m", "tipy", "run", "--kernel", "127.0.0.1", name]
        process = subprocess.Popen(command, cwd=place, env=environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        server.settimeout(HANG)
        for _ in range(2):
            peer, _ = server.accept()
            peer.sendall(b"from the kernel")
            peer.close()
        out, err = process.communicate(timeout=HANG)
    assert (out.splitlines(), err) == (["b'from the kernel' 20.0 True", "b'from the kernel'", "b'self' 1",
                                        "ConnectionRefusedError tipy.socket"],
                                       LINE[:-1] + "; 127.0.0.1/32 by the kernel\n")


# -- the end of open connections --------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "import sys; sys.exit()"])
def test_open_sockets_do_not_keep_a_program(place, end):
    name = script(place, TALK + "client.sendall(bytes(100000))\nimport select\nwaiting = select.epoll()\n"
                                "waiting.register(client, 1)\n" + end)
    assert tipy_run(place, name)[0] == 0


def test_daemon_threads_never_learn_how_it_ends(place):
    """As on the kernel's sockets, where they are gone with the process: nothing of them on stderr."""
    name = script(place, TALK + """
import asyncio, sys, threading

def wait(call, *args):
    try:
        call(*args)
    except BaseException as error:
        sys.stdout.write(f"woken by {error!r}\\n")

async def serve():
    await asyncio.start_server(print, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.getsockname()[1])
    ready.set()
    await reader.read(1)

def call_again_and_again():
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.sendto(b"x", ("127.0.0.1", 9))
        udp.close()

ready = threading.Event()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
other = socket.create_server(("127.0.0.1", 0))
for arguments in ((client.recv, 1), (other.accept,), (udp.recv, 1), (asyncio.run, serve()),
                  (call_again_and_again,)):
    threading.Thread(target=wait, args=arguments, daemon=True).start()
ready.wait()
""")
    assert tipy_run(place, name) == (0, "", LINE)


BLOCKED = {
    "recv": "client.recv(1)", "accept": "server.accept()", "sendall": "client.sendall(bytes(100 << 20))",
    "select": "select.select([client], [], [])",
    "epoll": "waiting = select.epoll()\nwaiting.register(client, 1)\nwaiting.poll()",
    "connect": "for _ in range(9): more.append(socket.create_connection(full.getsockname()))",
    "recvfrom": "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nudp.bind(('', 0))\nudp.recvfrom(1)",
    "asyncio": "asyncio.run(talk())", "handshake": "ssl._create_unverified_context().wrap_socket(client)"}


@pytest.mark.parametrize("call", BLOCKED)
def test_ctrl_c_ends_a_blocked_call_at_once(place, call):
    name = script(place, TALK + """
import asyncio, select, ssl
full, more = socket.create_server(("127.0.0.1", 0), backlog=0), []

async def talk():
    reader, writer = await asyncio.open_connection(*server.getsockname())
    await reader.read(1)

print("waiting", flush=True)
""" + BLOCKED[call])
    process = subprocess.Popen([sys.executable, "-m", "tipy", "run", name], cwd=place, env=environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt" and "tipy/" not in err


def test_a_handler_that_does_not_raise_lets_the_call_go_on(place):
    name = script(place, TALK + """
import os, signal
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"handled\\n") and peer.send(b"goes on"))
print("waiting", flush=True)           # a handler must not print: it may come while this line is still at it
print(client.recv(99))
""")
    process = subprocess.Popen([sys.executable, "-m", "tipy", "run", name], cwd=place, env=environment(),
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=HANG)[0] == "handled\nb'goes on'\n" and process.returncode == 0


def test_multiprocessing_works_and_its_children_have_other_networks(place):
    """A forked child has none, one that was started anew the kernel's; pipes and listeners are as ever."""
    name = script(place, """
import multiprocessing.connection, socket, threading

def square(number):
    return number * number

def ask(queue):
    try:
        queue.put(type(socket.socket()).__module__)
    except OSError as error:
        queue.put(error.errno)

if __name__ == "__main__":
    for method in "fork", "spawn":
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            print(pool.map(square, range(4)))
        queue = context.Queue()
        process = context.Process(target=ask, args=(queue,))
        process.start()
        print(queue.get())
        process.join()
    listener = multiprocessing.connection.Listener(("127.0.0.1", 0), authkey=b"key")
    def client():
        print(multiprocessing.connection.Client(listener.address, authkey=b"key").recv())
    thread = threading.Thread(target=client)
    thread.start()
    listener.accept().send({"a": "dict"})
    thread.join()
""")
    status, out, _ = tipy_run(place, name)
    assert (status, out.splitlines()) == (0, ["[0, 1, 4, 9]", "100", "[0, 1, 4, 9]", "socket", "{'a': 'dict'}"])


def test_a_forked_child_dies_of_a_signal_at_once(place):
    """Ours is the parent's way to die; a handler of the program's own is the child's as well. What comes while a fork is
    under way waits: Python would forget it (PyOS_AfterFork_Child clears what is pending)."""
    name = script(place, """
import os, signal
from tipy import signals

def own(number, frame): pass
def blocked(): return sorted(number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
def forked(): first(), on_the_way.extend(blocked())

signal.signal(signal.SIGHUP, own)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
first, signals.forked, on_the_way = signals.forked, forked, []
pid = os.fork()
if not pid:
    print(on_the_way, blocked(), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.getsignal(signal.SIGHUP) is own)
    raise SystemExit
os.waitpid(pid, 0)
print(blocked(), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
""")
    status, out, _ = tipy_run(place, name)
    assert (status, out.splitlines()) == (0, [
        "['SIGHUP', 'SIGTERM', 'SIGUSR1'] ['SIGUSR1'] True True", "['SIGUSR1'] False"])


def test_a_forked_child_leaves_the_network_alone(place):
    name = script(place, TALK + """
import os
pid = os.fork()
if not pid:
    raise SystemExit(5)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
client.sendall(b"still here")
print(peer.recv(99))
""")
    assert tipy_run(place, name)[:2] == (0, "5\nb'still here'\n")
