"""The lab without its namespaces: workers and jobs as plain processes, rungs, what is left behind."""

import errno
import os
import select
import sys

import pytest

from tipy.lab import Lab
from tipy.link import Link

if not hasattr(os, "fork") or not sys.platform.startswith("linux"):
    pytest.skip("the lab's processes are a Linux affair", allow_module_level=True)

from tipy.lab.worker import RemoteFailure, Worker  # noqa: E402


def stay():
    """Enter no namespace."""


def refuse():
    raise PermissionError(errno.EPERM, "not here")


def add(a, b):
    return a + b


def refused():
    raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")


class Unsendable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def unsendable():
    raise Unsendable("this", "that")


def count(to):
    for number in range(to):
        yield number
    return "done"


def wait_forever():
    os.read(os.pipe()[0], 1)


def die():
    os._exit(3)


def fork_and_wait():
    """A job with a child of its own."""
    os.fork()
    wait_forever()


def pipe_with(data):
    reader, writer = os.pipe()
    os.write(writer, data)
    return reader


def own_ids():
    return os.getpid(), os.getppid(), os.getpgid(0)


def open_numbers():
    return sorted(os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
                  if os.path.exists(f"/proc/self/fd/{number}"))


@pytest.fixture(scope="module")
def worker():
    worker = Worker(stay)
    yield worker
    worker.close()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_call_returns_the_result(worker):
    assert worker.call(add, 2, 3) == 5


def test_call_raises_the_functions_exception_with_its_traceback(worker):
    with pytest.raises(ConnectionRefusedError) as caught:
        worker.call(refused)
    assert caught.value.errno == errno.ECONNREFUSED
    assert "in refused" in caught.value.__notes__[0]


def test_exception_that_cannot_be_pickled_back_still_tells(worker):
    with pytest.raises(RemoteFailure, match="Unsendable: this and that"):
        worker.call(unsendable)


def test_large_arguments_and_results(worker):
    assert worker.call(add, b"a" * 3_000_000, b"b") == b"a" * 3_000_000 + b"b"


def test_generator_hands_over_each_value(worker):
    job = worker.start(count, 3)
    assert [job.next(), job.next(), job.next()] == [0, 1, 2]
    with pytest.raises(StopIteration):
        job.next()
    assert job.result() == "done"


def test_result_skips_what_was_not_asked_for(worker):
    assert worker.start(count, 3).result() == "done"


def test_timeout_kills_the_job(worker):
    job = worker.start(wait_forever)
    with pytest.raises(TimeoutError):
        job.result(timeout=0.05)
    assert worker.call(add, 1, 1) == 2


def test_job_that_dies_is_told_from_one_that_is_slow(worker):
    with pytest.raises(ChildProcessError):
        worker.call(die)


def test_jobs_run_side_by_side(worker):
    with worker.start(wait_forever), worker.start(wait_forever):
        assert worker.call(add, 1, 2) == 3


def test_job_is_in_a_process_group_of_its_own(worker):
    pid, parent, group = worker.call(own_ids)
    assert parent == worker.pid and group == pid


def test_job_inherits_no_descriptor_of_the_caller(worker, tmp_path):
    with open(tmp_path / "secret", "w"):
        inner = Worker(stay)
        try:
            assert not any("secret" in name for name in inner.call(open_numbers))
        finally:
            inner.close()


def test_descriptor_comes_across(worker):
    fd = worker.descriptor(pipe_with, b"through")
    try:
        assert os.read(fd, 100) == b"through"
    finally:
        os.close(fd)


def test_descriptor_of_a_function_that_raises(worker):
    with pytest.raises(ConnectionRefusedError):
        worker.descriptor(refused)


def test_spawned_worker_is_a_process_of_the_first(worker):
    child = worker.spawn(stay)
    try:
        pid, parent, _ = child.call(own_ids)
        assert parent == child.pid != worker.pid
    finally:
        child.close()


def test_enter_that_fails_raises_here_and_leaves_no_process():
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(PermissionError, match="not here"):
        Worker(refuse)
    assert set(os.listdir("/proc/self/fd")) == before


def test_close_ends_every_process_and_descriptor():
    before = set(os.listdir("/proc/self/fd"))
    worker = Worker(stay)
    child = worker.spawn(stay)
    job = child.start(fork_and_wait)
    pids = [worker.pid, child.pid]
    job.close()
    child.close()
    worker.close()
    worker.close()
    assert not any(map(alive, pids))
    assert set(os.listdir("/proc/self/fd")) == before


def test_worker_dies_with_the_process_that_made_it():
    outer = Worker(stay)
    inner = outer.start(make_a_worker_and_wait)
    pid = inner.next()
    assert alive(pid)
    inner.close()                      # kills the process in the middle, without any farewell
    outer.close()
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


def make_a_worker_and_wait():
    worker = Worker(stay)
    yield worker.pid
    wait_forever()


def test_memory_rung_gives_links_on_one_wire():
    with Lab("memory") as lab:
        assert (lab.rung, lab.reason, lab.kernel, lab.other) == ("memory", "", None, None)
        first, second = lab.link(), lab.link()
        assert isinstance(first, Link) and first is not second and first.tso_max > 1460


def test_unknown_rung_is_the_callers_mistake():
    with pytest.raises(ValueError, match="choose from tap, packet, memory"):
        Lab("token ring")


def test_closed_lab_says_so():
    lab = Lab("memory")
    lab.close()
    with pytest.raises(OSError, match="make a new one"):
        lab.link()
