"""The time budget is dealt out in equal shares of what is left."""

from __future__ import annotations

import time

import pytest

from memorymark.trainer.arc.share_of_time import SharedTime


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_each_task_may_take_its_share_of_what_is_left(clock):
    whole = SharedTime(60, began=100.0)
    clock[0] = 110.0
    share = whole.part(5)
    assert (whole.elapsed, whole.left, share.elapsed, share.left) == (10, 50, 0, 10)
    clock[0] = 112.0
    assert share.left == 8 and whole.part(4).left == 12
    assert share.has_room(6) and not share.has_room(7)


def test_nothing_is_left_of_a_budget_that_is_over(clock):
    whole = SharedTime(5, began=100.0)
    clock[0] = 107.0
    assert whole.is_over and whole.part(3).left == 0 and not whole.part(3).has_room(0)


def test_without_a_budget_there_is_always_room(clock):
    whole = SharedTime(None, began=0.0)
    assert whole.left is None and not whole.is_over and whole.part(3).has_room(1e9)
