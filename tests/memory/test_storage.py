"""Identities of storages."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memorymark.memory.storage import storage_key, storage_of
from memorymark.memory.torch_parts import key_of

AT_HAND = ["cpu", "meta"]


@pytest.mark.parametrize("device", AT_HAND)
def test_views_share_a_key_and_copies_do_not(device):
    x = torch.empty(4, 4, device=device)
    assert storage_key(x) == storage_key(x[1:]) == storage_key(x.t()) == key_of(storage_of(x))
    assert storage_key(x.clone()) != storage_key(x)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.sampled_from(AT_HAND))
def test_live_storages_have_keys_of_their_own(sizes, device):
    tensors = [torch.empty(size, device=device) for size in sizes]
    assert len({storage_key(x) for x in tensors}) == len(tensors)


def test_a_sparse_tensor_has_no_storage():
    sparse = torch.eye(3).to_sparse()
    assert storage_of(sparse) is None
    assert storage_key(sparse) is None
