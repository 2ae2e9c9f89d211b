"""One model is kept for the trials of a search, and let go of when another is needed."""

import gc
import weakref

import pytest
import torch
from tiny import TinyNet

from memorymark.errors import WorkloadError
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.records.config import TrainingConfig
from memorymark.workloads.custom import workload_of
from memorymark.workloads.trial_spec import TrialSpec

CONFIG, OTHER = TrainingConfig(), TrainingConfig(precision="bf16")


def test_a_model_is_built_once_for_all_batch_sizes():
    keeper, workload = ModelKeeper(torch.device("cpu")), TinyNet()
    first = keeper.get(TrialSpec(workload, CONFIG, 8))
    assert keeper.get(TrialSpec(workload, CONFIG, 64)) is first is keeper.model
    assert workload.built == 1


def test_another_config_or_workload_takes_another_model():
    keeper, workload = ModelKeeper(torch.device("cpu")), TinyNet()
    first = weakref.ref(keeper.get(TrialSpec(workload, CONFIG, 8)))
    assert not keeper.holds(TrialSpec(workload, OTHER, 8))
    assert not keeper.holds(TrialSpec(TinyNet(), CONFIG, 8))
    weights = keeper.get(TrialSpec(workload, OTHER, 8))[0].weight
    assert (weights.dtype, workload.built) == (torch.bfloat16, 2)
    gc.collect()
    assert first() is None


def test_gradients_are_dropped_and_the_model_stays():
    keeper, spec = ModelKeeper(torch.device("cpu")), TrialSpec(TinyNet(), CONFIG, 8)
    keeper.tidy()  # nothing is there yet
    model = keeper.get(spec)
    model(torch.rand(2, 256)).sum().backward()
    assert model[0].weight.grad is not None
    keeper.tidy()
    assert model[0].weight.grad is None and keeper.holds(spec)
    keeper.release()
    assert keeper.model is None and not keeper.holds(spec)


def own_factory(built):
    """Return a factory whose functions refer to the model, as a loop's do."""

    def factory():
        model = torch.nn.Linear(8, 8)
        built.append(weakref.ref(model))
        return model, lambda n: torch.rand(n, 8), lambda _, x: model(x).mean()

    return factory


def test_models_of_the_users_code_are_let_go_of_too():
    built = []
    keeper, workload = ModelKeeper(torch.device("cpu")), workload_of("x:own", own_factory(built))
    for config in (CONFIG, OTHER, CONFIG):
        keeper.get(TrialSpec(workload, config, 8))
        gc.collect()
        assert [model() is not None for model in built] == [False] * (len(built) - 1) + [True]
    keeper.release()
    gc.collect()
    assert not any(model() for model in built)


def test_a_model_of_the_users_code_that_cannot_be_made_ready_is_let_go_of():
    built = []
    keeper, workload = ModelKeeper(torch.device("cpu")), workload_of("x:own", own_factory(built))
    with pytest.raises(WorkloadError, match="checkpoint"):
        keeper.get(TrialSpec(workload, TrainingConfig(gradient_checkpointing=True), 8))
    gc.collect()
    assert not any(model() for model in built)
