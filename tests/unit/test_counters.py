"""Counters are a Counter in everything that a user does with them."""

from collections import Counter

import pytest

from tipy.counters import Counters


def test_they_count_what_was_never_named():
    counters = Counters()
    counters["tcp.in"] += 1
    counters["tcp.in"] += 2
    assert counters["tcp.in"] == 3 and counters["tcp.out"] == 0 and "tcp.out" not in counters


def test_they_can_be_compared_copied_and_subtracted():
    before = Counters({"a": 1})
    after = before.copy()
    after["a"] += 1
    after["b"] += 1
    assert after - before == Counter(a=1, b=1) and isinstance(before, Counter)
    assert after.most_common(1) == [("a", 2)] and after == {"a": 2, "b": 1}


def test_an_entry_can_be_deleted():
    counters = Counters(a=1)
    del counters["a"]
    assert counters["a"] == 0
    with pytest.raises(KeyError):
        del counters["a"]
