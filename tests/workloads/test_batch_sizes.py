"""A batch has as many samples as were asked for, whatever its form."""

from types import SimpleNamespace

import pytest
import torch
from own import measured

from memorymark.errors import WorkloadError
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.workloads.batch_sizes import check_batch, learn_growth
from memorymark.workloads.custom import workload_of
from memorymark.workloads.trial_spec import TrialSpec

CONFIG = TrainingConfig()


class Named:
    """A workload as far as the check knows it."""

    name = "users:factory"


def check(make, batch_size):
    workload = Named()
    learn_growth(workload, CONFIG, make)
    check_batch(workload, CONFIG, batch_size, make(batch_size))


def boxes(n):
    return [{"boxes": torch.zeros(1 + index, 4)} for index in range(n)]


def graph(n):
    nodes = int(torch.randint(3 * n, 9 * n, ()))
    return SimpleNamespace(x=torch.zeros(nodes, 4), edges=torch.zeros(2, 3 * nodes), num_graphs=n)


def packed(n):
    return {"tokens": torch.zeros(17 + n * n), "count": 1.5}


def views(n):
    return [torch.zeros(2 * n, 3), torch.zeros(6 * n, 3)]


def even(n):
    assert n % 2 == 0
    return torch.zeros(n, 2)


def in_tiles(n):
    return torch.zeros(-(-n // 8) * 8, 2)


def last(n):
    return torch.zeros(10, 4, n)


@pytest.mark.parametrize("make", [
    lambda n: torch.zeros(n, 3), lambda n: {"x": torch.zeros(n, 3), "scale": 2}, lambda n: n,
    lambda n: ([torch.zeros(3)] * n, boxes(n)), graph, packed, views, in_tiles, last,
])  # fmt: skip
@pytest.mark.parametrize("batch_size", [1, 5, 8, 257])
def test_batches_that_follow(make, batch_size):
    check(make, batch_size)


@pytest.mark.parametrize("make", [
    lambda n: torch.zeros(min(n, 256), 3),
    lambda n: {"x": torch.zeros(4, min(n, 256)), "count": 2},
    lambda n: [torch.zeros(3)] * min(n, 256),
    lambda n: (torch.zeros(min(n, 256), 3), torch.zeros(min(n, 256))),
])  # fmt: skip
def test_data_that_ends(make):
    check(make, 256)
    with pytest.raises(WorkloadError, match=r"make_batch\(65528\).*a batch of 256 samples") as told:
        check(make, 65_528)
    assert "--max-batch-size 256" in str(told.value)


@pytest.mark.parametrize("make", [lambda n: torch.zeros(8, 3), lambda n: [torch.zeros(2)] * 4])
def test_batches_of_a_size_of_their_own(make):
    with pytest.raises(WorkloadError, match="the same sizes whatever batch size"):
        check(make, 8)


def test_what_cannot_be_seen_is_not_refused():
    check(lambda n: None, 8)
    check(lambda n: {"text": "words"}, 8)


def linear(make_batch):
    return lambda: (torch.nn.Linear(3, 3), make_batch, lambda model, x: model(x).mean())


def test_measured_and_simulated_trials_refuse_alike():
    factory = linear(lambda n: torch.rand(min(n, 256), 3))
    simulated = SimulatedProbe(find_gpu("l4"))
    assert measured(factory, 256).fits
    for run in (
        lambda: measured(factory, 300),
        lambda: simulated.run_trial(TrialSpec(workload_of("a:b", factory), CONFIG, 300)),
    ):
        with pytest.raises(WorkloadError, match="256 samples"):
            run()
