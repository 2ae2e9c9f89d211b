import time

from memorymark.trainer.time_budget import TimeBudget


def test_it_keeps_free_what_follows_the_last_step():
    now = time.monotonic()
    assert TimeBudget(None, now - 1e6).has_room()
    budget = TimeBudget(100.0, now - 90.0)
    assert budget.has_room()
    budget.note_step(1.0)
    assert budget.has_room()
    budget.checkpoint_seconds = 3.0
    budget.evaluation_seconds = 2.0
    assert not budget.has_room()  # 1.25 times 1 + 2 + 6 s are more than the 10 s left


def test_the_slowest_of_the_last_steps_counts():
    budget = TimeBudget(100.0, time.monotonic() - 95.0)
    budget.note_step(10.0)
    assert not budget.has_room()
    for _ in range(20):
        budget.note_step(0.1)
    assert budget.has_room()
