"""The first batch of a loader is the one that the training gets, and the loader does not notice."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from memorymark.callbacks.first_batch import first_batch, longest_sample
from memorymark.errors import WorkloadError


class Samples(Dataset):
    """Draws from every generator, and opens something when it is first read."""

    def __init__(self, count=20):
        self.count, self.file = count, None

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.file = self.file or object()
        random.random()
        np.random.rand()
        torch.rand(1)
        return torch.tensor(index)


def states():
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


@pytest.mark.parametrize("options", [
    {"shuffle": False}, {"shuffle": True}, {"shuffle": True, "generator": torch.Generator()},
    {"batch_size": None}, {"shuffle": True, "num_workers": 1},
], ids=["in order", "shuffled", "own generator", "no batches", "one worker"])  # fmt: skip
def test_it_is_the_one_that_comes_first_and_nothing_moves_on(options):
    dataset = Samples()
    loader = DataLoader(dataset, **{"batch_size": 4} | options)
    before = states()
    found = first_batch(loader)
    assert states() == before and dataset.file is None
    if options.get("generator") is not None or not options.get("shuffle"):
        assert torch.equal(found, next(iter(loader)))
    assert found.shape == ((4,) if loader.batch_size else ())


def test_an_iterable_data_set_is_not_used_up():
    class Stream(IterableDataset):
        def __init__(self):
            self.left = iter(range(3))

        def __iter__(self):
            return self.left

    stream = Stream()
    with pytest.raises(WorkloadError, match="batch=…"):
        first_batch(DataLoader(stream, 2))
    assert list(stream) == [0, 1, 2]


class Texts(Dataset):
    column_names = ("input_ids", "length")

    def __init__(self, with_column):
        self.column_names = self.column_names if with_column else ("input_ids",)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index == "length":
            return [3, 9, 1, 7, 2]
        return {"input_ids": [0] * [3, 9, 1, 7, 2][index]}


@pytest.mark.parametrize("with_column", [True, False])
@pytest.mark.parametrize("batches", [{"batch_size": 2}, {"batch_sampler": [[0, 1], [2, 3], [4]]}])
def test_the_longest_samples_are_found(with_column, batches):
    loader = DataLoader(Texts(with_column), collate_fn=list, **batches)
    found = first_batch(loader, longest=True)
    assert [len(sample["input_ids"]) for sample in found] == [9, 7]
    assert longest_sample(loader.dataset) == (9 if with_column else None)


def test_samples_without_a_length_need_one():
    with pytest.raises(WorkloadError, match="longest=N"):
        first_batch(DataLoader([3, 4, 5], 2), longest=True)
