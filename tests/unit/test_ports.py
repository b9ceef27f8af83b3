"""Port tables: Linux's rules for sharing, RFC 6056 for choosing."""

import errno
import random
from types import SimpleNamespace

import pytest

from tipy.address import parse_ip
from tipy.ports import PortTable

ANY, ONE, TWO = bytes(4), parse_ip("192.168.2.200"), parse_ip("127.0.0.1")


def table(low=32768, high=60999, seed=1):
    return PortTable(random.Random(seed), SimpleNamespace(ephemeral_ports=(low, high)))


def refused(number, call, *args, **options):
    with pytest.raises(OSError) as caught:
        call(*args, **options)
    assert caught.value.errno == number


def test_a_port_is_given_once():
    ports = table()
    assert ports.bind("a", ANY, 80) == 80
    refused(errno.EADDRINUSE, ports.bind, "b", ANY, 80)
    assert ports.in_use(80) and not ports.in_use(81)


def test_a_port_is_free_after_release():
    ports = table()
    ports.bind("a", ANY, 80)
    ports.release("a")
    ports.release("a")
    assert ports.bind("b", ANY, 80) == 80 and len(ports) == 1


def test_different_addresses_share_a_port():
    ports = table()
    ports.bind("a", ONE, 80)
    ports.bind("b", TWO, 80)
    assert len(ports) == 2


@pytest.mark.parametrize("first, second", [(ANY, ONE), (ONE, ANY), (ONE, ONE), (ANY, ANY)])
def test_any_address_overlaps_each_other(first, second):
    ports = table()
    ports.bind("a", first, 80)
    refused(errno.EADDRINUSE, ports.bind, "b", second, 80)


@pytest.mark.parametrize("mine, yours, works",
                         [(True, True, True), (True, False, False), (False, True, False)])
def test_reuse_address_must_be_said_by_both(mine, yours, works):
    ports = table()
    ports.bind("a", ANY, 80, reuse_address=mine)
    if works:
        assert ports.bind("b", ANY, 80, reuse_address=yours) == 80
    else:
        refused(errno.EADDRINUSE, ports.bind, "b", ANY, 80, reuse_address=yours)


def test_reuse_address_does_not_help_against_a_listener():
    ports = table()
    ports.bind("a", ANY, 80, reuse_address=True)
    ports.listen("a")
    refused(errno.EADDRINUSE, ports.bind, "b", ANY, 80, reuse_address=True)


def test_of_two_that_share_by_reuse_address_one_may_listen():
    ports = table()
    for name in "ab":
        ports.bind(name, ANY, 80, reuse_address=True)
    ports.listen("a")
    refused(errno.EADDRINUSE, ports.listen, "b")
    ports.change("a", listening=False)
    ports.listen("b")


@pytest.mark.parametrize("mine, yours, works",
                         [(True, True, True), (True, False, False), (False, True, False)])
def test_reuse_port_lets_several_listen_if_all_say_so(mine, yours, works):
    ports = table()
    ports.bind("a", ANY, 80, reuse_port=mine)
    ports.listen("a")
    if works:
        ports.bind("b", ANY, 80, reuse_port=yours)
        ports.listen("b")
    else:
        refused(errno.EADDRINUSE, ports.bind, "b", ANY, 80, reuse_port=yours)


def test_an_owner_is_bound_once():
    ports = table()
    ports.bind("a", ANY, 80)
    refused(errno.EINVAL, ports.bind, "a", ANY, 81)


def test_accepted_connections_block_a_new_listener_that_does_not_share():
    ports = table()
    ports.bind("listener", ANY, 80)
    ports.listen("listener")
    ports.inherit("connection", ONE, "listener")
    ports.release("listener")
    refused(errno.EADDRINUSE, ports.bind, "new", ANY, 80)
    refused(errno.EADDRINUSE, ports.bind, "new", ANY, 80, reuse_address=True)
    ports.release("connection")
    assert ports.bind("new", ANY, 80) == 80


def test_a_server_with_reuse_address_restarts_beside_its_old_connections():
    ports = table()
    ports.bind("listener", ANY, 80, reuse_address=True)
    ports.listen("listener")
    ports.inherit("connection", ONE, "listener")
    ports.release("listener")
    ports.bind("new", ANY, 80, reuse_address=True)
    ports.listen("new")


def test_an_address_that_is_narrowed_later_counts():
    ports = table()
    ports.bind("a", ANY, 80)
    ports.change("a", ip=ONE)
    assert ports.bind("b", TWO, 80) == 80
    ports.change("nobody", ip=ONE)


def test_ephemeral_ports_are_random_and_in_range():
    chosen = [table(seed=seed).bind("a", ANY, 0) for seed in range(50)]
    assert all(32768 <= port <= 60999 for port in chosen)
    assert len(set(chosen)) > 40


def test_ephemeral_ports_do_not_repeat_and_can_be_used_up():
    ports = table(5000, 5099)
    chosen = {ports.bind(number, ANY, 0) for number in range(100)}
    assert chosen == set(range(5000, 5100))
    refused(errno.EADDRINUSE, ports.bind, "late", ANY, 0)
    ports.release(7)
    assert ports.bind("late", ANY, 0) in chosen


def test_connections_share_ports_only_when_none_is_free():
    ports = table(5000, 5009)
    used = set()
    for number in range(10):
        used.add(ports.connect(number, ONE, lambda port: True))
    assert used == set(range(5000, 5010))
    taken = {5000, 5001}
    shared = ports.connect("late", ONE, lambda port: port in taken)
    assert shared in used - taken
    refused(errno.EADDRNOTAVAIL, ports.connect, "last", ONE, lambda port: True)


def test_connections_never_share_a_port_that_was_bound():
    ports = table(5000, 5001)
    ports.bind("server", ANY, 5000)
    ports.connect("a", ONE, lambda port: False)
    assert ports.connect("b", ONE, lambda port: False) == 5001


def test_what_stands_on_a_shared_port_shares_it_too():
    ports = table(5000, 5000)
    ports.connect("key", ONE, lambda port: False)
    ports.inherit("connection", ONE, "key")
    ports.release("key")
    assert ports.connect("other", ONE, lambda port: False) == 5000


def test_a_full_table_still_finds_the_last_port():
    ports = table()
    for number in range(32768, 61000):
        if number != 44444:
            ports.bind(number, ANY, number)
    assert ports.bind("last", ANY, 0) == 44444


def test_clear_takes_everything_back():
    ports = table()
    ports.bind("a", ANY, 80)
    ports.clear()
    assert "a" not in ports and ports.bind("a", ANY, 80) == 80
