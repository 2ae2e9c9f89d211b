"""What is kept between requests changes no figure: a kept model is as it was when it was built."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_bert, tiny_gpt2, tiny_resnet
from torch import nn

from memorymark.bounds import Bounds, working_within
from memorymark.errors import Cancelled
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes import kept_models as module
from memorymark.probes.cpu import CpuProbe
from memorymark.probes.kept_models import KeptModels, keeping
from memorymark.probes.simulated import SimulatedProbe
from memorymark.records.config import TrainingConfig
from memorymark.units import GIB, MIB
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.trial_spec import TrialSpec

BERT, GPT2, RESNET = tiny_bert(), tiny_gpt2(), tiny_resnet()
_SECONDS = ("elapsed_seconds", "step_seconds", "first_step_seconds")


def simulated():
    return SimulatedProbe(find_gpu("a10"))


def measured():
    return CpuProbe(GIB)


def trial_of(make, spec, kept=None, say=str):
    with keeping(kept, say):
        return make().run_trial(spec)


def figures(trial):
    """All but how long it took, and what random weights and batches come to."""
    same = dataclasses.replace(trial, **dict.fromkeys(_SECONDS), gradient_check=None)
    checked = trial.gradient_check and sorted(trial.gradient_check.to_dict())
    return same.to_dict(), checked


CONFIGS = st.builds(
    TrainingConfig,
    seq_len=st.sampled_from([8, 16]),
    precision=st.sampled_from(["fp32", "bf16", "amp-bf16"]),
    optimizer=st.sampled_from(["adamw", "sgd", "none"]),
    gradient_checkpointing=st.booleans(),
    dropout=st.booleans(),
)


def check_same(make, spec):
    kept, said = KeptModels(64 * MIB), []
    alone = figures(trial_of(make, spec))
    for _ in range(2):
        assert figures(trial_of(make, spec, kept, said.append)) == alone
    assert f"{spec.workload.name} is loaded already." in said


@settings(max_examples=8, deadline=None)
@given(config=CONFIGS, workload=st.sampled_from([BERT, GPT2, RESNET]), size=st.integers(1, 3))
def test_simulated_records_are_the_same_with_and_without_kept_models(config, workload, size):
    check_same(simulated, TrialSpec(workload, config, size))


@pytest.mark.parametrize(
    ("workload", "config"),
    [(BERT, TrainingConfig(seq_len=8)), (RESNET, TrainingConfig(image_size=32))],
)
def test_measured_records_are_the_same_with_and_without_kept_models(workload, config):
    check_same(measured, TrialSpec(workload, config, 2))


def test_the_values_of_a_measured_model_are_those_that_it_was_built_with():
    kept, spec = KeptModels(64 * MIB), TrialSpec(BERT, TrainingConfig(seq_len=8), 2)
    trial_of(measured, spec, kept)
    (entry,) = (each for each in kept._kept.values() if each.values)
    tensors = list(module._tensors_of(entry.model))
    assert not all(torch.equal(a, b) for a, b in zip(tensors, entry.values, strict=True))
    (key,) = (key for key, each in kept._kept.items() if each is entry)
    assert kept.take(key, "bert") is entry.model
    assert all(torch.equal(a, b) for a, b in zip(tensors, entry.values, strict=True))
    assert all(parameter.grad is None for parameter in entry.model.parameters())


@pytest.mark.parametrize("steps", [400, 800, 1600])
def test_a_request_that_was_stopped_leaves_no_gradients_on_a_kept_model(steps):
    kept, left = KeptModels(64 * MIB), iter(range(steps))

    def check():
        if next(left, None) is None:
            raise Cancelled

    spec = TrialSpec(BERT, TrainingConfig(seq_len=8), 2)
    with pytest.raises(Cancelled), working_within(Bounds(), check):
        trial_of(measured, spec, kept)
    held = [
        parameter.grad for entry in kept._kept.values() for parameter in entry.model.parameters()
    ]
    assert held and all(gradient is None for gradient in held)


def _hook(model):
    model.register_forward_hook(lambda *_: None)


def _mode(model):
    model.eval()


def _frozen(model):
    model[0].weight.requires_grad_(False)


def _replaced(model):
    model[0] = nn.Linear(4, 4)


def _patched(model):
    model.forward = lambda x: x


@pytest.mark.parametrize("change", [_hook, _mode, _frozen, _replaced, _patched])
def test_a_model_that_was_changed_is_not_given_out_again(change):
    kept, model = KeptModels(MIB), nn.Sequential(nn.Linear(4, 4))
    kept.keep("key", model)
    assert kept.take("key", "it") is model
    change(model)
    assert kept.take("key", "it") is None
    assert kept.host_bytes == 0


def test_a_model_that_was_changed_is_let_go_of_as_soon_as_the_request_ends():
    kept = KeptModels(MIB)
    with keeping(kept, str):
        for name in "ab":
            kept.keep(name, nn.Sequential(nn.Linear(4, 4)))
        _hook(kept._kept["a"].model)
    assert list(kept._kept) == ["b"]


def test_only_as_many_are_kept_as_the_bound_allows():
    kept, size = KeptModels(5 * 4 * 1024), nn.Linear(32, 32, bias=False)
    for name in "abc":  # 4 KiB each, and as much again for its values
        kept.keep(name, nn.Linear(32, 32, bias=False))
    assert [name for name in "abc" if kept.take(name, name)] == ["b", "c"]
    assert kept.host_bytes == 4 * 4 * 1024 <= kept.most_bytes
    KeptModels(0).keep("none", size)
    nothing = KeptModels(0)
    nothing.keep("none", size)
    assert nothing.take("none", "none") is None


def test_models_without_data_take_no_host_memory_and_only_a_few_stay():
    kept = KeptModels(0)
    with torch.device("meta"):
        for number in range(module.MOST_MODELS + 1):
            kept.keep(number, nn.Linear(10_000, 10_000))
    assert kept.take(0, "the first") is None
    assert kept.take(1, "the second") is not None
    assert kept.host_bytes == 0


def test_what_the_users_own_code_makes_is_not_kept():
    class Own(HuggingFaceWorkload):
        pass

    kept = KeptModels(64 * MIB)
    own = Own("own", BERT._hf_config)
    trial_of(simulated, TrialSpec(own, TrainingConfig(seq_len=8), 1), kept)
    assert not kept._kept


def test_nothing_is_kept_where_nobody_asked_for_it():
    assert module.kept_models() is None
