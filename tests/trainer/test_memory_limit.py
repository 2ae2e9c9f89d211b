import pytest
import torch

from memorymark.errors import NotAvailable, OutOfMemory
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.trainer.memory_limit import CountedLimit, memory_limit


def limit_of(budget=None, live=lambda: ()):
    return CountedLimit(budget, live, lambda: None)


def test_work_is_followed_until_it_repeats_itself():
    limit, followed = limit_of(), []

    def work():
        followed.append(torch.utils._python_dispatch._get_current_dispatch_mode() is not None)
        torch.zeros(1000)

    for _ in range(6):
        limit.run("step", work)
    assert followed == [True, True, False, False, False, False]
    assert limit.peak_of("step") == 4000 == limit.peak_bytes()[0]


def test_work_that_takes_something_else_each_time_is_followed_for_ever():
    limit, sizes = limit_of(budget=5000), [100, 200, 300, 400, 500]
    for size in sizes:
        limit.run("step", lambda size=size: torch.zeros(size))
    assert limit.peak_of("step") == 2000
    with pytest.raises(OutOfMemory):
        limit.run("step", lambda: torch.zeros(2000))


def test_what_lives_already_counts():
    held = torch.zeros(500)
    limit = limit_of(live=lambda: [("held", held, "parameters")])
    limit.run("step", lambda: torch.zeros(100))
    assert limit.peak_of("step") == 2400


def test_a_change_after_it_was_steady_is_found(monkeypatch):
    monkeypatch.setattr("memorymark.trainer.memory_limit._FOLLOWED_AGAIN", 3)
    limit, size = limit_of(budget=8000), [100]
    for _ in range(4):
        limit.run("step", lambda: torch.zeros(size[0]))
    size[0] = 1500
    for _ in range(3):
        limit.run("step", lambda: torch.zeros(size[0]))
    assert limit.peak_of("step") == 6000
    size[0] = 3000
    with pytest.raises(OutOfMemory):  # it varies: it is followed for good
        limit.run("step", lambda: torch.zeros(size[0]))


def test_nothing_is_trained_on_a_simulated_gpu():
    with pytest.raises(NotAvailable, match="trains nothing"):
        memory_limit(SimulatedProbe(find_gpu("t4")), lambda: (), lambda: None)
