"""`in_threads`: a function over many items with few of them in memory."""

import threading

import pytest

from cnnzoo import limits
from cnnzoo.limits import in_threads


def test_results_come_in_order_and_threads_are_never_far_ahead(monkeypatch):
    monkeypatch.setattr(limits, "usable_cores", lambda: 4)
    begun = []

    def square(item):
        begun.append(item)
        return item * item

    furthest = 0
    for number, result in enumerate(in_threads(square, iter(range(5000)))):
        assert result == number**2
        furthest = max(furthest, len(begun) - number)
    assert len(begun) == 5000
    assert furthest <= limits._AHEAD + 1


def test_all_cores_work_at_the_same_time(monkeypatch):
    monkeypatch.setattr(limits, "usable_cores", lambda: 3)
    together = threading.Barrier(3, timeout=10)
    assert [*in_threads(lambda _: together.wait() >= 0, range(6))] == [True] * 6


def test_an_error_ends_it_and_what_has_not_begun_is_left(monkeypatch):
    monkeypatch.setattr(limits, "usable_cores", lambda: 1)
    before, done = set(threading.enumerate()), []

    def fail_at_ten(item):
        if item == 10:
            raise ValueError("ten")
        done.append(item)

    with pytest.raises(ValueError, match="ten"):
        for _ in in_threads(fail_at_ten, range(100_000)):
            pass
    assert len(done) < 2000
    assert not set(threading.enumerate()) - before
