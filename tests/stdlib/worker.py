"""A process that runs the tests of one module, each in a fork of its own, and reports on a pipe.

A line of JSON for each test: id, status (pass, fail, skip, timeout, crash), why, network (did it make an
internet socket), seconds. Before them one with `note` if something is to be said about the module as a whole.

The test's process has its own session and a limit; afterwards its whole process group is ended.
"""

import faulthandler
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import types
import unittest

from tests.stdlib import catalogue

_GRACE = 1.0                   # seconds for a stuck test to write down where it is
_FAMILY = 2                    # AF_INET


def main(module, report, patterns, limit, kernel):
    """Run the tests of `module` (without "test.") and write what became of them to the descriptor
    `report`."""
    report = os.fdopen(report, "w", buffering=1)

    def say(**row):
        report.write(json.dumps(row) + "\n")

    private = _enter_network(kernel)
    if private is not None:
        say(note=f"not in a network of its own ({private})")
    if not kernel:
        import tipy
        tipy.install()
    try:
        tests = _load(module, private is None)
    except unittest.SkipTest as reason:
        say(note=f"skipped: {reason}")
        return
    except ModuleNotFoundError as error:
        say(note=f"not in this Python: {error}")
        return
    for test, cases in tests.items():
        if catalogue.wanted(test, module, patterns):
            say(id=test, **_run_forked(cases, limit, kernel))


def _enter_network(kernel):
    """Into a namespace of our own; why not, if that is not permitted."""
    from tipy.lab.namespaces import enter_new_network
    from tipy.netlink import Netlink
    try:
        enter_new_network(with_user=os.geteuid() != 0)
        if kernel:
            with Netlink() as netlink:
                netlink.set("lo", up=True)
    except OSError as error:
        return str(error)
    return None


def _load(module, private):
    """{id: [test cases]}"""
    from test import support
    support.verbose = 0
    support.use_resources = ["cpu", "walltime", "subprocess", "largefile"]
    if private:
        support.use_resources.append("network")        # nothing outside can be reached from here
    name = "test." + module
    try:
        loaded = importlib.import_module(name)
        if hasattr(loaded, "__path__"):                # from 3.12 on a package with tests in several modules
            raise ModuleNotFoundError(name)
    except ModuleNotFoundError:
        if not module.startswith("test_multiprocessing_"):
            raise
        loaded = sys.modules[name] = types.ModuleType(name)
        shared = importlib.import_module("test._test_multiprocessing")
        shared.install_tests_in_module_dict(vars(loaded), module.rpartition("_")[2])
    tests = {}
    for case in _flat(unittest.defaultTestLoader.loadTestsFromModule(loaded)):
        tests.setdefault(case.id(), []).append(case)
    return tests


def _flat(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flat(item)
        else:
            yield item


# -- one test ---------------------------------------------------------------------------------------------


def _run_forked(cases, limit, kernel):
    """What became of the test, as a dict."""
    results, ours = os.pipe()
    with tempfile.TemporaryFile() as output:
        begun = time.monotonic()
        child = os.fork()
        if not child:
            try:
                os.setsid()
                os.close(results)
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                outcome = json.dumps(_run(cases, kernel)).encode()
                while outcome:
                    outcome = outcome[os.write(ours, outcome):]
            finally:
                os._exit(0)
        os.close(ours)
        outcome = _await(child, results, limit)
        os.close(results)
        if "status" not in outcome:
            output.seek(0)
            outcome["trace"] = output.read()[-3000:].decode("utf-8", "replace")
            outcome["status"] = "timeout" if outcome.pop("late") else "crash"
        return {"why": "", "network": True, **outcome, "seconds": round(time.monotonic() - begun, 2)}


def _await(child, results, limit):
    """The child's report, or {"late": did it run out of time}; the child and its group are gone then."""
    data, deadline, late = b"", time.monotonic() + limit, False
    while True:
        left = deadline - time.monotonic()
        if select.select([results], [], [], max(left, 0))[0]:
            piece = os.read(results, 1 << 16)
            data += piece
            if not piece or _complete(data):
                break
        elif late:
            break
        else:
            late, deadline = True, time.monotonic() + _GRACE
            os.kill(child, signal.SIGUSR1)             # all its threads write down where they are
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass                                           # before its setsid, or all gone
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(child, 0)
    return json.loads(data) if _complete(data) else {"late": late}


def _complete(data):
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


class _Watch:
    """An audit hook that notices internet sockets."""

    def __init__(self):
        self.network = False
        sys.addaudithook(self._hook)

    def _hook(self, event, args):
        if event == "socket.__new__" and args[1] == _FAMILY:
            self.network = True


def _run(cases, kernel):
    """In the child: run the test on a new stack."""
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    place = tempfile.mkdtemp(prefix="tipy-stdlib-")
    os.chdir(place)
    watch = _Watch()
    try:
        stop = _nothing
        if not kernel:
            from tipy.testing import start_loopback
            stop = start_loopback()
        result = unittest.TestResult()
        unittest.TestSuite(cases).run(result)
        outcome = _verdict(result)
        stop()
    except BaseException as error:
        outcome = {"status": "fail", "why": repr(error), "trace": traceback.format_exc()[-3000:]}
    outcome["network"] = watch.network
    os.chdir("/")
    shutil.rmtree(place, ignore_errors=True)
    return outcome


def _nothing():
    pass


def _verdict(result):
    bad = result.errors + result.failures
    if bad:
        text = bad[0][1].strip()
        return {"status": "fail", "why": text.splitlines()[-1][:300], "trace": text[-3000:]}
    if result.unexpectedSuccesses:
        return {"status": "fail", "why": "unexpected success"}
    if result.skipped and len(result.skipped) >= result.testsRun:
        return {"status": "skip", "why": result.skipped[0][1][:200]}
    return {"status": "pass"}
