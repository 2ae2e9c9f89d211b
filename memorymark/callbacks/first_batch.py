"""The first batch of a data loader, taken without the loader noticing.

Its samples are read in this process, from copies of samplers and data set, so that no generator
moves on, no worker starts, and no file that the data set opens lazily is shared with workers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from memorymark.errors import WorkloadError
from memorymark.placement.process_switches import same_random_state

_MOST_LOOKED_AT = 100_000
_LENGTHS = ("length", "lengths")
_TEXTS = ("input_ids", "input_features", "input_values")
_NESTED = ("sampler", "batch_sampler")


def first_batch(loader: DataLoader[Any], *, longest: bool = False) -> Any:
    """Return the first batch that a loader will give, or one of its data set's longest samples.

    Args:
        loader: The data loader.
        longest: Take as many of the longest samples in the place of the first.

    Raises:
        WorkloadError: The batch cannot be taken without using it up.
    """
    dataset = loader.dataset
    if isinstance(dataset, IterableDataset):
        raise WorkloadError(
            "The data set is iterable: what is taken from it is gone. Give a batch like those of "
            "the training: batch=…"
        )
    with same_random_state():
        chosen = _first(loader)
        if longest:
            chosen = _longest(dataset, len(chosen) if isinstance(chosen, Sequence) else 1)
        return _collated(loader, copy.copy(dataset), chosen)


def longest_sample(dataset: Any) -> int | None:
    """Return how long the longest sample is, where the data set has a column that says so."""
    lengths = _column(dataset)
    return max(lengths, default=None) if lengths is not None else None


def _first(loader: DataLoader[Any]) -> Any:
    copies: dict[int, torch.Generator] = {}
    sampler = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    # A loader draws the seed of its workers first, without workers too.
    torch.empty((), dtype=torch.int64).random_(generator=_alike(loader.generator, copies))
    return next(iter(_apart(sampler, copies)))


def _apart(sampler: Any, copies: dict[int, torch.Generator]) -> Any:
    """Return a copy of a sampler that draws from copies of its generators."""
    made = copy.copy(sampler)
    for name in _NESTED:
        if hasattr(made, name):
            setattr(made, name, _apart(getattr(made, name), copies))
    if isinstance(getattr(made, "generator", None), torch.Generator):
        made.generator = _alike(made.generator, copies)
    return made


def _alike(
    generator: torch.Generator | None, copies: dict[int, torch.Generator]
) -> torch.Generator | None:
    """Return the copy of a generator; None stands for the one of the process."""
    if generator is not None and id(generator) not in copies:
        made = copies[id(generator)] = torch.Generator(generator.device)
        made.set_state(generator.get_state())
    return None if generator is None else copies[id(generator)]


def _collated(loader: DataLoader[Any], dataset: Any, chosen: Any) -> Any:
    if loader.batch_sampler is None and not isinstance(chosen, Sequence):
        return loader.collate_fn(dataset[chosen])
    if hasattr(dataset, "__getitems__"):
        return loader.collate_fn(dataset.__getitems__(list(chosen)))
    return loader.collate_fn([dataset[index] for index in chosen])


def _column(dataset: Any) -> list[int] | None:
    for name in _LENGTHS:
        if name in (getattr(dataset, "column_names", None) or ()):
            return [int(each) for each in dataset[name]]
    return None


def _longest(dataset: Any, count: int) -> list[int]:
    """Return the places of the longest samples.

    Raises:
        WorkloadError: The samples have no length.
    """
    lengths = _column(dataset)
    if lengths is None:
        lengths = [_length(dataset[i]) for i in range(min(len(dataset), _MOST_LOOKED_AT))]
    return sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)[:count]


def _length(sample: Any) -> int:
    members = [sample[name] for name in _TEXTS if name in sample] if _is_table(sample) else [sample]
    first = members[0] if members else None
    first = first[0] if isinstance(first, tuple) and first else first
    if not hasattr(first, "__len__"):
        raise WorkloadError(
            "The samples of the data set have no input_ids and no length, so that the longest are "
            "not known. Give longest=N, the positions of the longest."
        )
    return len(first)


def _is_table(sample: Any) -> bool:
    return isinstance(sample, Mapping) or hasattr(sample, "keys")
