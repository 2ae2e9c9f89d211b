"""Values followed through operations are those that the operations give with data."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.session import simulating
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.simulator.tensors.values import Values

ACTIONS = {
    "arange": lambda held, n, device: torch.arange(n + 1, device=device).float(),
    "ones": lambda held, n, device: torch.ones(n + 1, 2, device=device),
    "full": lambda held, n, device: torch.full((n + 1,), float(n), device=device),
    "add": lambda held, n, device: held + n,
    "double": lambda held, n, device: held + held,
    "compare": lambda held, n, device: (held > n).float(),
    "sum": lambda held, n, device: held.sum(0, keepdim=True),
    "mean": lambda held, n, device: held.mean(),
    "cumsum": lambda held, n, device: held.reshape(-1).cumsum(0),
    "flip": lambda held, n, device: held.reshape(-1).flip(0),
    "narrow": lambda held, n, device: held.reshape(-1)[n % held.numel() :],
    "cat": lambda held, n, device: torch.cat([held.reshape(-1), held.reshape(-1)[:n]]),
    "in-place": lambda held, n, device: held.clone().add_(n),
    "write-part": lambda held, n, device: written(held, n),
    "write-view": lambda held, n, device: filled(held, n),
    "copy": lambda held, n, device: torch.empty_like(held).copy_(held),
    "half": lambda held, n, device: held.to(torch.float16).float(),
    "where": lambda held, n, device: torch.where(held > n, held, -1.0),
}


def written(held, n):
    copy = held.clone().reshape(-1)
    copy[: n % copy.numel() + 1] = 7
    return copy


def filled(held, n):
    copy = held.clone()
    copy.view(-1)[n % copy.numel()].zero_()
    return copy


def played(actions, device):
    held = torch.ones(3, device=device)
    for name, number in actions:
        held = ACTIONS[name](held, number, device)
    return held


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 5)), max_size=8))
def test_known_values_are_the_real_ones(actions):
    real = played(actions, "cpu")
    with simulating(Rules(Platform.CUDA)) as session, SimulatedDevice(session, ShapeCache()):
        found = played(actions, "meta").cpu()
    assert torch.equal(found, real)
    assert not session.assumptions


@pytest.fixture
def follow():
    """Run operations without data, followed by values that the test can ask."""
    values = Values()

    def run(func, *args, **kwargs):
        output = func(*args, **kwargs)
        values.note(func, args, kwargs, output)
        return output

    run.values = values
    return run


aten = torch.ops.aten
META = torch.device("meta")


def test_random_writes_replace_values(follow):
    x = follow(aten.ones.default, [3], device=META)
    assert follow.values.value_of(x) == 1
    follow(aten.uniform_.default, x)
    assert len(set(follow.values.copy_of(x).tolist())) == 3
    large = follow(aten.ones.default, [2**18], device=META)
    follow(aten.normal_.default, large)
    assert not follow.values.has(large)


def test_random_numbers_follow_what_they_depend_on(follow):
    share = follow(aten.zeros.default, [5], device=META)
    assert follow.values.copy_of(follow(aten.bernoulli.default, share)).tolist() == [0.0] * 5
    assert not follow.values.has(follow(aten.bernoulli.default, torch.empty(5, device=META)))


def test_what_is_computed_with_the_unknown_is_unknown(follow):
    known = follow(aten.ones.default, [3], device=META)
    unknown = torch.empty(3, device=META)
    assert not follow.values.has(follow(aten.add.Tensor, known, unknown))
    follow(aten.add_.Tensor, known, unknown)
    assert not follow.values.has(known)


def test_an_unknown_source_overwrites_what_was_known(follow):
    known = follow(aten.ones.default, [3], device=META)
    follow(aten.copy_.default, known, torch.empty(3, device=META))
    assert not follow.values.has(known)


def test_several_outputs_are_known_each(follow):
    x = follow(aten.arange.default, 4, device=META)
    values, indices = follow(aten.sort.default, follow(aten.neg.default, x))
    assert follow.values.copy_of(values).tolist() == [-3, -2, -1, 0]
    assert follow.values.copy_of(indices).tolist() == [3, 2, 1, 0]


def test_an_operation_that_fails_on_the_values_leaves_them_unknown(follow):
    index = follow(aten.arange.default, 5, device=META)
    table = follow(aten.ones.default, [3, 2], device=META)
    assert not follow.values.has(follow(aten.embedding.default, table, index))


def test_a_mask_of_any_size_is_counted(follow):
    mask = follow(aten.ones.default, [40, 3, 300, 300], dtype=torch.bool, device=META)
    counts = follow(aten.sum.dim_IntList, mask, [-1, -2, -3])
    assert follow.values.copy_of(counts).tolist() == [270_000] * 40
    assert follow.values.value_of(follow(aten.sum.default, mask)) == 40 * 270_000
