"""What is accepted as a batch of a running script: one that is there, not what gives batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset

from memorymark.errors import UsageError
from memorymark.workloads.live.batch_growth import ACCEPTED, with_parts
from memorymark.workloads.own_training import describe

_GIVE_BATCHES = (Iterator, DataLoader, Dataset)


def check_batch(batch: Any, *, needed: bool) -> None:
    """Refuse what no step can be tried with.

    Args:
        batch: What was given.
        needed: Whether the step reads it; one of the user's own may not.

    Raises:
        UsageError: It is used up by being read, or holds nothing, or itself.
    """
    leaves = list(_leaves(batch))
    for leaf in leaves:
        if isinstance(leaf, _GIVE_BATCHES):
            what = "is" if leaf is batch else "holds"
            raise UsageError(f"The batch {what} {describe(leaf)}, not one batch; {ACCEPTED}")
    if needed and all(leaf is None for leaf in leaves):
        raise UsageError(f"The batch holds nothing: {_empty(batch)} is given; {ACCEPTED}")


def _leaves(value: Any, above: tuple[int, ...] = ()) -> Iterator[Any]:
    """Yield what a batch holds that is no container."""
    if id(value) in above:
        raise UsageError(f"The batch holds itself, in {describe(value)}; {ACCEPTED}")
    members: list[Any] = []
    made = with_parts(value, lambda key, each: members.append(each))
    if made is value and type(value) is not tuple:  # an empty one has no copy
        yield value
        return
    for each in members:
        yield from _leaves(each, (*above, id(value)))


def _empty(batch: Any) -> str:
    return str(batch) if len(str(batch)) < 30 else describe(batch)
