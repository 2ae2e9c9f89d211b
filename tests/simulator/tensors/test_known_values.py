"""What is kept of the values of tensors without data, and for how long."""

import gc

import pytest
import torch

from memorymark.simulator.tensors.known_values import MOST_ELEMENTS, KnownValues


@pytest.fixture
def known():
    return KnownValues()


def meta(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


def test_nothing_is_known_at_first(known):
    x = meta(2)
    assert not known.has(x)
    assert known.value_of(x) is None and known.copy_of(x) is None and known.uniform(x) is None


@pytest.mark.parametrize(
    ("dtype", "value"), [(torch.float16, 2.0), (torch.int64, 2), (torch.bool, True)]
)
def test_one_value_stands_for_a_tensor_of_any_size(known, dtype, value):
    x = meta(1000, 1000, dtype=dtype)
    known.set_uniform(x, 2)
    assert known.value_of(x) == value and type(known.value_of(x)) is type(value)
    assert known.value_of(x[5]) == value
    assert known.copy_of(x) is None
    assert known.copy_of(x[0, :3]).tolist() == [value] * 3


def test_a_copy_is_seen_through_views(known):
    x = meta(2, 3)
    known.set_copy(x, torch.arange(6.0).view(2, 3))
    assert known.copy_of(x.t()[1:]).tolist() == [[1, 4], [2, 5]]
    assert known.value_of(x[1, 2]) == 5 and known.value_of(x) is None


def test_a_copy_keeps_the_order_of_the_tensors_memory(known):
    x = torch.empty_strided((2, 3), (1, 2), device="meta")
    real = torch.arange(6.0).view(2, 3)
    known.set_copy(x, real)
    assert torch.equal(known.copy_of(x), real)


def test_elements_that_are_alike_become_one_value(known):
    x = meta(4)
    known.set_copy(x, torch.full((4,), 3.0))
    assert known.uniform(x) == 3


@pytest.mark.parametrize("shape", [(MOST_ELEMENTS + 1,), (2, 2)])
def test_what_cannot_be_copied_is_forgotten(known, shape):
    x = meta(*shape)
    known.set_uniform(x, 1)
    target = x if x.numel() > MOST_ELEMENTS else x[1:]
    known.set_copy(target, torch.zeros(target.shape))
    assert not known.has(x)


def test_a_uniform_storage_is_spread_once_it_is_small(known):
    small, large = meta(3), meta(MOST_ELEMENTS + 1)
    for x in (small, large):
        known.set_uniform(x, 1)
    assert known.spread(small) and known.uniform(small) is None
    assert known.copy_of(small).tolist() == [1, 1, 1]
    assert not known.spread(large) and known.uniform(large) == 1
    assert not known.spread(meta(3))


def test_values_go_with_their_storage(known):
    x = meta(3)
    known.set_uniform(x, 1)
    view = x[1:]
    del x
    assert known.value_of(view) == 1
    del view
    gc.collect()
    assert known._known == {}


def test_tensors_with_data_are_known_as_they_are(known):
    x = torch.tensor([1.0, 2.0])
    assert known.has(x) and known.copy_of(x) is x
    assert known.uniform(x) is None and known.uniform(x[0]) == 1


def test_of_complex_numbers_only_copies_are_kept(known):
    x = meta(2, dtype=torch.complex64)
    known.set_uniform(x, 1)
    assert not known.has(x)
    known.set_copy(x, torch.tensor([1j, 2j]))
    assert known.copy_of(x).tolist() == [1j, 2j]
