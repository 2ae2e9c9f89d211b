"""One model is kept for the trials of a search, and let go of when another is needed."""

import gc
import weakref

import torch
from tiny import TinyNet

from memorymark.probes.model_keeper import ModelKeeper
from memorymark.records.config import TrainingConfig
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
