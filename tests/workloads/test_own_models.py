"""Factories as people write them: simulated and measured they hold the same."""

import numpy
import pytest
import torch
from own import assert_same_peak, measured, simulated, simulated_peak, spec_of
from torch import nn
from torch.nn import functional

from memorymark.errors import WorkloadError
from memorymark.placement.moving import FILLED
from memorymark.workloads.build import build_model

WIDTH, WORDS = 16, 300


class Words(nn.Module):
    """A language model of one layer whose head is its table of words."""

    def __init__(self, device=None):
        super().__init__()
        self.wte = nn.Embedding(WORDS, WIDTH, device=device)
        self.layer = nn.Linear(WIDTH, WIDTH, device=device)
        self.lm_head = nn.Linear(WIDTH, WORDS, bias=False, device=device)
        self.wte.weight = self.lm_head.weight

    def forward(self, x):
        return self.lm_head(self.layer(self.wte(x)))


def words(batch_size):
    return torch.randint(WORDS, (batch_size, 8))


def language_loss(model, x):
    return functional.cross_entropy(model(x).flatten(0, 1), x.flatten())


def pixels(batch_size):
    return torch.rand(batch_size, WIDTH)


def mean(model, x):
    return model(x).square().mean()


def default():
    return Words(), words, language_loss


def explicitly_on_the_host():
    return Words("cpu"), words, language_loss


def without_data():
    with torch.device("meta"):
        return Words(), words, language_loss


def tied_by_data():
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH))
    model[1].weight = nn.Parameter(model[0].weight.data)
    return model, pixels, mean


def from_numpy():
    model = nn.Linear(WIDTH, WIDTH)
    model.weight = nn.Parameter(torch.from_numpy(numpy.ones((WIDTH, WIDTH), "float32")))
    model.register_buffer("same", model.weight.detach())
    return model, pixels, mean


def with_values_in_init():
    model = nn.Linear(WIDTH, WIDTH)
    kept = torch.tensor([True, False] * 8)
    assert kept.sum() == 8 and kept.tolist()[0]
    model.register_buffer("kept", kept.nonzero())
    return model, pixels, mean


def with_values_of_parameters():
    model = nn.Linear(WIDTH, WIDTH)
    assert model.weight.abs().max() < 1
    return model, pixels, mean


FACTORIES = [
    default, explicitly_on_the_host, without_data, tied_by_data, from_numpy, with_values_in_init,
    with_values_of_parameters,
]  # fmt: skip


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
def test_simulated_as_measured(factory):
    trial = assert_same_peak(factory)
    assert (FILLED in trial.assumptions) is (factory is without_data)


@pytest.mark.parametrize("factory", [default, explicitly_on_the_host, without_data])
def test_a_tied_table_counts_once(factory):
    parts = measured(factory).breakdown
    parameters = 4 * (WORDS * WIDTH + WIDTH * WIDTH + WIDTH)
    assert parts.parameters == parameters
    assert parts.optimizer_states == 2 * parameters


def test_a_large_model_takes_no_memory():
    def factory():
        return nn.Linear(1_000_000, 1_000_000), lambda n: torch.rand(n, 1_000_000), mean

    assert simulated_peak(factory) > 4 * 10**12


def test_hooks_of_parameters_run():
    called = []

    def factory():
        model = nn.Linear(WIDTH, WIDTH, device="cpu")
        states = {model.weight: "the user's own"}
        model.weight.register_post_accumulate_grad_hook(lambda p: called.append(states[p]))
        return model, pixels, mean

    simulated(factory)
    assert called == ["the user's own"] * 2


def test_a_teacher_is_simulated_and_counted():
    def factory():
        teacher = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH))
        teacher.requires_grad_(False).register_buffer("scale", torch.ones(7))
        weights = torch.ones(WIDTH)

        def loss(model, x):
            return ((model(x) - teacher(x)) * weights).square().mean()

        return nn.Linear(WIDTH, WIDTH), pixels, loss

    trial = assert_same_peak(factory)
    teacher = 4 * (WIDTH * 4 * WIDTH * 2 + 4 * WIDTH + WIDTH)
    assert trial.breakdown.parameters == teacher + 4 * (WIDTH * WIDTH + WIDTH)


def test_data_to_take_batches_from_keeps_its_values():
    def factory():
        data = torch.arange(100)

        def make_batch(batch_size):
            assert data.sum() == 4950
            return torch.rand(batch_size, WIDTH)

        return nn.Linear(WIDTH, WIDTH), make_batch, mean

    assert_same_peak(factory)


def test_a_factory_that_keeps_its_model():
    """What was built without data for one is given data for the other."""
    kept = []

    def factory():
        kept.append(nn.Linear(WIDTH, WIDTH)) if not kept else None
        return kept[0], pixels, mean

    assert simulated_peak(factory) > 0
    spec = spec_of(factory)
    model = build_model(spec.workload, spec.config, torch.device("cpu"))
    assert model is kept[0] and model.weight.isfinite().all()


def test_a_model_whose_shapes_are_open_gets_a_sentence():
    def factory():
        return nn.LazyLinear(4), pixels, mean

    for run in (simulated, measured):
        with pytest.raises(WorkloadError, match="shapes are not known yet"):
            run(factory)
