"""Values that repeat: views of a table give the elements that the whole tensor would."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.simulator.tensors.tables import Table


def made(keys=3, queries=4):
    """Return a mask of every query and key without data, its few values, and the real mask."""
    values = torch.arange(keys, dtype=torch.float32)[None, :]
    real = values.expand(queries, keys).contiguous()
    return torch.empty(queries, keys, device="meta"), values, real


views = st.lists(
    st.tuples(st.sampled_from(["rows", "columns", "transpose", "step"]), st.integers(0, 3)),
    max_size=4,
)


def viewed(tensor, actions):
    for action, number in actions:
        if action == "transpose":
            tensor = tensor.t()
        elif action == "step":
            tensor = tensor[:: number + 1]
        else:
            dimension = int(action == "columns")
            start = min(number, tensor.size(dimension) - 1)
            tensor = tensor.narrow(dimension, start, tensor.size(dimension) - start)
    return tensor


@settings(max_examples=100, deadline=None)
@given(views, st.integers(1, 6), st.integers(1, 6))
def test_every_view_has_the_elements_of_the_whole(actions, keys, queries):
    tensor, values, real = made(keys, queries)
    copy = Table(tensor, values).copy_of(viewed(tensor, actions))
    assert torch.equal(copy, viewed(real, actions))


def test_the_few_values_are_those_of_the_same_view_alone():
    tensor, values, _ = made()
    table = Table(tensor, values)
    assert table.compact(tensor) is values
    assert table.compact(tensor[1:]) is None


def test_of_a_part_only_that_part_is_known():
    tensor, values, real = made()
    table = Table(tensor[1:], values)
    assert torch.equal(table.copy_of(tensor[1:]), real[1:])
    assert table.copy_of(tensor) is None


@pytest.mark.parametrize("stride", [1, 5])
def test_the_stride_of_one_element_says_nothing(stride):
    tensor = torch.empty(10, device="meta")
    table = Table(tensor.as_strided((1, 2), (stride, 1)), torch.ones(1, 1))
    assert table.compact(tensor.as_strided((1, 2), (9, 1))) is not None
