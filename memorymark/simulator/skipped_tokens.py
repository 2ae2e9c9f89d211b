"""Skips tokens of a simulated generation: the cache grows as if they had been generated.

A token is like the one before it, with a cache that is longer by one: between two of them some
tensors of the cache grow by one along one side, and counters go up by one. So tokens need not be
simulated one by one: tensors and counters grow by as many as are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from memorymark.inference.caches import Slot, slots
from memorymark.inference.inference_step import Generation
from memorymark.records.serving_config import CacheKind
from memorymark.workloads.lengths import windows_of


def may_change(hf_config: Any, cache: CacheKind, first: int, last: int) -> bool:
    """Return whether a cache may come to grow in another way than by its first new tokens.

    Args:
        hf_config: The model's configuration.
        cache: The kind of cache.
        first: Tokens in it before they are made.
        last: Tokens in it at the end.
    """
    if cache in (CacheKind.QUANTIZED, CacheKind.OFFLOADED):
        return True
    return any(first <= each + 1 and each <= last + 1 for each in windows_of(hf_config))


class Growing(NamedTuple):
    """A place whose tensor grows by one along a side with each token; a counter has no side."""

    slot: Slot
    side: int | None


class Sizes:
    """How large a generation's cache is, to be compared with one token later.

    Args:
        generation: The generation.
    """

    def __init__(self, generation: Generation) -> None:
        self._shapes = {_key(slot): tuple(slot.tensor.shape) for slot in _slots(generation)}
        self._counts = {_key(slot): _value(slot) for slot in _counters(generation)}

    def growth(self, later: Generation) -> list[Growing] | None:
        """Return what has grown one token later; None where it is no steady growth."""
        found = []
        tensors = list(_slots(later))
        if {_key(slot) for slot in tensors} != set(self._shapes):
            return None
        for slot in tensors:
            before, after = self._shapes[_key(slot)], tuple(slot.tensor.shape)
            if before == after:
                continue
            more = [b - a for a, b in zip(before, after, strict=False)]
            if len(before) != len(after) or sorted(more)[-1] != 1 or sum(more) != 1:
                return None
            found.append(Growing(slot, more.index(1)))
        for slot in _counters(later):
            if _value(slot) == self._counts.get(_key(slot), 0) + 1:
                found.append(Growing(slot, None))
        return found


def skip(generation: Generation, growth: list[Growing], tokens: int) -> None:
    """Let a generation be as it is some tokens later.

    Args:
        generation: The generation.
        growth: What grows with each token.
        tokens: How many are skipped.
    """
    for slot, side in growth:
        _grow(slot, side, tokens)
    generation.length += tokens
    # What an encoder returned has a mask of its own, which does not grow.
    if generation.mask is not None and type(generation.encoded) in (dict, type(None)):
        read = generation.mask.new_ones((generation.mask.shape[0], tokens))  # its values are known
        generation.mask = torch.cat([generation.mask, read], dim=-1)


def _grow(slot: Slot, side: int | None, more: int) -> None:
    if side is None:
        slot.put(_value(slot) + more)
    else:
        slot.put(_longer(slot.tensor, side, more))


def _longer(tensor: torch.Tensor, side: int, more: int) -> torch.Tensor:
    shape = list(tensor.shape)
    shape[side] += more
    return tensor.new_empty(shape)


def _slots(generation: Generation) -> Iterator[Slot]:
    return slots(generation.cache)


def _counters(generation: Generation) -> Iterator[Slot]:
    holders = {id(slot.holder): slot.holder for slot in _slots(generation)}
    for holder in holders.values():
        for name, value in vars(holder).items() if hasattr(holder, "__dict__") else ():
            if type(value) is int:
                yield Slot(holder, name)


def _value(slot: Slot) -> Any:
    return vars(slot.holder)[slot.key]


def _key(slot: Slot) -> tuple[int, Any]:
    return id(slot.holder), slot.key
