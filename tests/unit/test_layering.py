"""The floors: an import only goes down, and only edge modules touch the operating system.

All imports count, also those inside functions: a late import saves time, it does not make upward downward.
Those under `if TYPE_CHECKING` are nobody's business. Two late imports are allowed to go up, see UPWARD.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the ground up; a name stands for a module or a whole package. Within a floor: see SIBLINGS.
FLOORS = (
    ("checksum address counters errors imports log clock timers buffers kinds settings packet ports gate signals "
     "outside turns fuse virtual_loop"),
    ("wire"),
    ("link netlink"),
    ("ethernet"),
    ("acd"),
    ("arp"),
    ("ipv4"),
    ("groups"),
    ("datagrams"),                             # what udp and raw have in common
    ("icmp igmp udp raw tcp"),
    ("sockets"),
    ("tls resolver"),
    ("sslsocket"),
    ("stack"),
    ("driver socket testing"),
    ("patch"),
    ("lab"),
    ("demo run workers"),
    ("bench"),
    ("__main__"),
)
# Floors whose modules may import each other, as long as there is no cycle.
SIBLINGS = ("checksum", "link")
# The stack hands itself to these when it starts, and makes its socket module on demand.
UPWARD = {("tipy.stack", "tipy.driver"), ("tipy.stack", "tipy.socket")}

# Who may import what of the operating system, of randomness and of time.
EDGE = {
    "time": "clock turns driver fuse link.virtio link.wrapper lab.worker lab.network demo bench workers",
    "threading": "clock turns outside fuse gate signals link.pcap sockets.readiness tls driver patch demo.players "
                 "run.program run.tracebacks run.farewell testing bench.programs bench.memory",
    "os": "errors settings turns fuse netlink link lab sockets.readiness sockets.watch stack driver demo run bench "
          "workers",
    "select": "lab.worker sockets.readiness sockets.watch driver bench.probe",
    "random": "link.faults stack bench.programs",
    "secrets": "stack",
    "ctypes": "fuse link.held link.heap link.ioctl lab.namespaces bench.network bench.probe",
    "signal": "signals lab run.program workers",
    "socket": "demo.players bench",
    "_socket": "netlink link.packet lab.worker sockets.constants sockets.handle sockets.names "
               "sockets.readiness socket workers",
    "subprocess": "",
    "multiprocessing": "",
    "fcntl": "",
}


def modules():
    """{module name: its syntax tree}"""
    found = {}
    for path in sorted((ROOT / "tipy").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports(tree, known, late=True):
    """Names of the modules a tree imports; late: also those inside functions."""
    found = set()
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(inner & known)
            if not inner <= known:
                found.add(node.module)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif late or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending += ast.iter_child_nodes(node)
    return found


def covers(names, module):
    """Is `module` (without "tipy.") one of these, or inside one?"""
    return any(module == name or module.startswith(name + ".") for name in names.split())


def floor(module):
    for number, names in enumerate(FLOORS):
        if covers(names, module.removeprefix("tipy.")):
            return number
    raise AssertionError(f"{module} is on no floor: give it one in FLOORS")


TREES = modules()
NAMES = set(TREES) - {"tipy"}


def inside(importer, imported):
    """Both in one package, like tipy.wire.tcp and tipy.wire.options?"""
    return importer.split(".")[1] == imported.split(".")[1]


def may_import(importer, imported):
    if (importer, imported) in UPWARD or inside(importer, imported):
        return True
    ours, theirs = floor(importer), floor(imported)
    return theirs < ours or theirs == ours and FLOORS[ours].split()[0] in SIBLINGS


@pytest.mark.parametrize("name", sorted(NAMES))
def test_imports_go_down(name):
    ours = {imported for imported in imports(TREES[name], NAMES) if imported in NAMES}
    upward = sorted(imported for imported in ours if not may_import(name, imported))
    assert not upward, f"{name} imports {', '.join(upward)}, which is not below it"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_only_edge_modules_touch_the_operating_system(name):
    used = {imported.split(".")[0] for imported in imports(TREES[name], NAMES)} & EDGE.keys()
    foreign = sorted(module for module in used if not covers(EDGE[module], name.removeprefix("tipy.")))
    assert not foreign, f"{name} imports {', '.join(foreign)}: give it what it needs, or list it in EDGE"


def test_no_import_cycle():
    graph = {name: imports(tree, NAMES, late=False) & NAMES - {name} for name, tree in TREES.items()}
    while graph:
        leaves = {name for name, needs in graph.items() if not needs & graph.keys()}
        assert leaves, f"a cycle among {', '.join(sorted(graph))}"
        graph = {name: needs for name, needs in graph.items() if name not in leaves}


def test_package_itself_imports_nothing_of_ours_at_once():
    assert not imports(TREES["tipy"], NAMES, late=False) & NAMES


def test_only_the_standard_library_is_imported():
    import sys
    foreign = {imported.split(".")[0] for tree in TREES.values() for imported in imports(tree, NAMES)}
    assert foreign - {"tipy"} <= set(sys.stdlib_module_names)


def test_every_edge_entry_is_used():
    stale = [(module, entry) for module, entries in EDGE.items() for entry in entries.split()
             if not any(covers(entry, name.removeprefix("tipy.")) and
                        module in {each.split(".")[0] for each in imports(TREES[name], NAMES)} for name in NAMES)]
    assert not stale, f"in EDGE, but not used: {stale}"


# -- the test tests itself --------------------------------------------------------------------------


@pytest.mark.parametrize("source, found", [
    ("import os.path", {"os.path"}),
    ("from tipy import log", {"tipy.log"}),
    ("from tipy.log import channel", {"tipy.log"}),
    ("def f():\n    from tipy import driver", {"tipy.driver"}),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import tipy.stack", {"typing"}),
    ("if True:\n    import time", {"time"}),
])
def test_imports_are_found(source, found):
    assert imports(ast.parse(source), NAMES) == found


def test_late_imports_are_told_apart():
    assert imports(ast.parse("def f():\n    import time"), NAMES, late=False) == set()


@pytest.mark.parametrize("importer, imported, allowed", [
    ("tipy.arp", "tipy.ethernet", True),
    ("tipy.ethernet", "tipy.arp", False),
    ("tipy.udp", "tipy.tcp.states", False),
    ("tipy.tcp.input", "tipy.tcp.output", True),
    ("tipy.log", "tipy.stack", False),
    ("tipy.stack", "tipy.driver", True),
    ("tipy.sockets.stream", "tipy.socket", False),
])
def test_rule_decides(importer, imported, allowed):
    assert may_import(importer, imported) is allowed
