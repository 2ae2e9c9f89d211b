"""What is put away comes back bit for bit, and is no tensor meanwhile."""

import pytest
import torch

from memorymark.errors import OutOfHostMemory
from memorymark.inference.host_store import ArrayStore
from memorymark.memory.tracker import MemoryTracker

KINDS = [torch.float32, torch.bfloat16, torch.float16, torch.int8, torch.int64, torch.bool]


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_bits_are_kept(dtype):
    given = [(torch.randn(3, 5, 2) * 9).to(dtype), torch.tensor(7).to(dtype)]
    store = ArrayStore()
    moved = store.put(given)
    assert moved.moved_bytes == store.held_bytes == sum(x.nbytes for x in given)
    back = store.get(moved.items)
    assert store.held_bytes == 0 and back.moved_bytes == moved.moved_bytes
    for one, two in zip(given, back.items, strict=True):
        assert one.dtype is two.dtype and torch.equal(one, two)


def test_a_part_of_a_tensor_comes_back_by_itself():
    whole = torch.arange(12.0).view(3, 4)
    moved = ArrayStore().put([whole[:, 1:3]])
    assert moved.moved_bytes == 3 * 2 * 4


def test_what_is_away_is_not_counted_as_a_tensor():
    with MemoryTracker("cpu") as tracker:
        tensor = torch.zeros(10_000)
        moved = ArrayStore().put([tensor])
        del tensor
        assert tracker.live_bytes == 0
        assert moved.items


def test_the_hosts_memory_is_a_limit():
    store = ArrayStore(100)
    kept = store.put([torch.zeros(20)])
    with pytest.raises(OutOfHostMemory):
        store.put([torch.zeros(20)])
    store.get(kept.items)
    store.put([torch.zeros(25)])
