"""Checks that a batch has as many samples as were asked for.

Which dimension counts the samples is not known: of images it is the first, of a list its length,
of a graph none. So batches of two small sizes are compared, and what grew in proportion has to
go on so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from memorymark.errors import WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.workloads.base import Batch, Workload

Sizes = dict[tuple[object, ...], int]

# Pairs to compare: a batch may have to be even, or be filled up to a whole number of tiles.
_PAIRS = ((2, 3), (16, 64))
_LONGEST = 4  # members of a list that are looked at
_DEEPEST = 6

_growth: WeakKeyDictionary[Workload, dict[TrainingConfig, Sizes]] = WeakKeyDictionary()


def learn_growth(workload: Workload, config: TrainingConfig, make: Callable[[int], Batch]) -> None:
    """Find which sizes of a batch grow in proportion to it, once for a workload and config.

    Args:
        workload: Whose batches they are.
        config: How it is trained.
        make: Makes a batch of a size.

    Raises:
        WorkloadError: Nothing grows with the batch size.
    """
    known = _growth.setdefault(workload, {})
    if config not in known:
        known[config] = _growing(workload.name, make)


def check_batch(workload: Workload, config: TrainingConfig, batch_size: int, batch: Batch) -> None:
    """Refuse a batch that has fewer samples than were asked for.

    Raises:
        WorkloadError: It has.
    """
    growth = _growth.get(workload, {}).get(config)
    if not growth:
        return
    sizes = sizes_of(batch)
    held = {path: sizes[path] for path in growth if path in sizes}
    if any(size >= growth[path] * batch_size for path, size in held.items()):
        return
    found = max((size // growth[path] for path, size in held.items()), default=0)
    raise WorkloadError(
        f"make_batch({batch_size}) of {workload.name!r} returned a batch of {found} samples. "
        "Return as many samples as are asked for, repeating the data where it ends, or look for "
        f"no batch above {max(1, found)} (--max-batch-size {max(1, found)})."
    )


def sizes_of(batch: Batch) -> Sizes:
    """Return every size in a batch by its place: dimensions, lengths of lists, whole numbers."""
    sizes: Sizes = {}
    _walk(batch, (), sizes)
    return sizes


def _growing(name: str, make: Callable[[int], Batch]) -> Sizes:
    grown: list[bool] = []
    for small, large in _PAIRS:
        try:
            first, second = sizes_of(make(small)), sizes_of(make(large))
        except Exception:
            continue  # such sizes are not for this workload: the one that is asked for may be
        in_proportion = {
            path: size // small
            for path, size in first.items()
            if size and size % small == 0 and second.get(path) == size // small * large
        }
        if in_proportion:
            return in_proportion
        grown.append(first != second or not first)
    if grown and not any(grown):
        raise WorkloadError(
            f"make_batch of {name!r} returns the same sizes whatever batch size is asked for. "
            "make_batch(batch_size) must return batch_size samples."
        )
    return {}


def _walk(value: Any, path: tuple[object, ...], sizes: Sizes) -> None:
    if isinstance(value, Tensor):
        sizes.update({(*path, index): size for index, size in enumerate(value.shape)})
    elif isinstance(value, int) and not isinstance(value, bool):
        sizes[path] = value
    elif len(path) < _DEEPEST:
        if isinstance(value, list | tuple):
            sizes[(*path, "length")] = len(value)
        for key, each in _members(value):
            _walk(each, (*path, key), sizes)


def _members(value: Any) -> Iterable[tuple[object, Any]]:
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, list | tuple):
        return enumerate(value[:_LONGEST])
    return () if isinstance(value, type) else getattr(value, "__dict__", {}).items()
