"""A batch of the user's, in any number of samples.

Samples are counted along the leading dimension. A batch of another size repeats the samples of the
one that was given: its shapes are what memory depends on, and its lengths, masks and token ids stay
those of real samples.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from memorymark.errors import UsageError
from memorymark.records.config import check_batch_size
from memorymark.workloads.own_training import describe

Path = tuple[object, ...]

ACCEPTED = (
    "accepted: a tensor, or tensors in a tuple, list, mapping or dataclass, whose leading "
    "dimension counts the samples. Give the first one of your loader: next(iter(loader))."
)

# Of larger tensors a simulation keeps no values either.
_MOST_NUMBERS, _MOST_FLOATS = 2**22, 2**17
_NAMED = 3


class LiveBatch:
    """A batch as the user has it, and the same in other sizes.

    Args:
        batch: The batch; tensors in tuples, lists, mappings and dataclasses, all else stays.
        size: How many samples it holds; None counts them.
        length: Positions of a sequence that each sample is to have; None leaves them.

    Attributes:
        size: How many samples it holds.
        grows: Whether it can be made in other sizes.
        notes: What was assumed, one sentence each.

    Raises:
        UsageError: It is empty, or the number of samples is out of range.
    """

    def __init__(self, batch: Any, size: int | None = None, length: int | None = None) -> None:
        self._batch = batch
        if size is not None:
            check_batch_size(size)
        counted = Counter(count for _, count in _counts(batch))
        found = size or (counted.most_common(1)[0][0] if counted else None)
        if found == 0:
            raise UsageError(
                f"The batch is empty: {describe(batch)}, with a leading dimension of 0; {ACCEPTED}"
            )
        self.size = found or 1
        self.grows = found is not None
        self._positions = None if length is None else _positions_in(batch)
        self._length = length
        if length is not None and self._positions is None:
            raise UsageError(
                f"The batch has no sequence that could be {length} positions long: it holds no "
                "whole numbers in two dimensions. Give a batch of that length."
            )
        self._other: list[str] = []
        self._values: dict[int, Tensor] = {}
        self.of(self.size, torch.device("meta"))
        self.notes = tuple(self._noted())

    def of(self, size: int, device: torch.device) -> Any:
        """Return the batch in a number of samples, on a device without data."""
        self._other.clear()
        return self._remade(self._batch, (), size, device)

    def tensors(self) -> list[Tensor]:
        """Return the tensors of the batch as the user has it."""
        return list(_tensors_in(self._batch))

    def _noted(self) -> Iterator[str]:
        if not self.grows:
            yield "No samples can be counted in the batch: it is taken as a whole, as it is."
        elif self._other:
            more = len(self._other) - _NAMED
            named = ", ".join(self._other[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            yield f"The batch holds {self.size} samples; taken not to grow with it: {named}."

    def _remade(self, value: Any, path: Path, size: int, device: torch.device) -> Any:
        def part(key: object, each: Any) -> Any:
            return self._remade(each, (*path, key), size, device)

        if isinstance(value, Tensor):
            return self._tensor(value, path, size, device)
        if _is_list(value) and path and self._is_of_samples(value):
            noted = list(self._other)
            samples = [
                self._remade(each, (*path, i), self.size, device) for i, each in enumerate(value)
            ]
            self._other = noted
            return type(value)(samples[i % self.size] for i in range(size))
        return with_parts(value, part)

    def _is_of_samples(self, value: Any) -> bool:
        """Return whether a list holds one member for each sample."""
        fields = all(isinstance(x, Tensor) and x.dim() and len(x) == self.size for x in value)
        return self.grows and len(value) == self.size and not fields

    def _tensor(self, tensor: Tensor, path: Path, size: int, device: torch.device) -> Tensor:
        plain = tensor.layout is torch.strided and not tensor.is_nested
        if not plain:
            return tensor.detach().to(device)
        shape = list(tensor.shape)
        if self._positions is not None:
            shape[1:] = [self._length if n == self._positions else n for n in shape[1:]]
        grows = self.grows and shape and shape[0] % self.size == 0
        if grows and (len(shape) > 1 or shape[0] == self.size):
            shape[0] = shape[0] // self.size * size
        elif shape and tensor.numel() > 1:
            self._other.append(f"{'.'.join(map(str, path)) or 'the tensor'} {tuple(tensor.shape)}")
        made = self._with_values(tensor, shape, device)
        return made.requires_grad_() if tensor.requires_grad and tensor.is_leaf else made

    def _with_values(self, tensor: Tensor, shape: list[int], device: torch.device) -> Tensor:
        """Return a tensor of a shape, with values where a simulation keeps them."""
        count = torch.Size(shape).numel()
        is_float = tensor.is_floating_point() or tensor.is_complex()
        if tensor.is_meta or not count or count > (_MOST_FLOATS if is_float else _MOST_NUMBERS):
            made = torch.empty(shape, dtype=tensor.dtype, device=device)
            last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
            return made.contiguous(memory_format=torch.channels_last) if last else made
        host = self._values.get(id(tensor))
        if host is None:
            host = self._values[id(tensor)] = tensor.detach().cpu()
        for dim, wanted in enumerate(shape):
            if host.shape[dim] != wanted:
                host = host.index_select(dim, torch.arange(wanted) % host.shape[dim])
        return host.to(device) if host is not tensor else host.detach().to(device)


def with_parts(value: Any, part: Callable[[object, Any], Any]) -> Any:
    """Return a container with other members; what is none stays the object that it is.

    Args:
        value: The container.
        part: Returns the new member for a key and the old one.
    """
    if isinstance(value, Mapping):
        return _mapping(value, {key: part(key, each) for key, each in value.items()})
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        if type(value).__name__ == "PackedSequence":  # its sizes stay on the host
            return value._replace(data=part("data", value.data))
        return type(value)(*(part(i, each) for i, each in enumerate(value)))
    if _is_list(value):
        return type(value)(part(i, each) for i, each in enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(made, field.name, part(field.name, getattr(value, field.name)))
        return made
    return value


def _mapping(value: Any, members: dict[Any, Any]) -> Any:
    """Return a mapping of the same kind: a dict, a tokenizer's BatchEncoding, a model's output."""
    if type(value) is dict:
        return members
    try:
        made = copy.copy(value)
        if isinstance(getattr(made, "data", None), dict):
            made.data = members
        else:
            for key, each in members.items():
                made[key] = each
    except Exception:
        return members
    return made


def _is_list(value: Any) -> bool:
    return type(value) in (list, tuple)


def _counts(batch: Any) -> Iterator[tuple[Path, int]]:
    """Yield how many samples each field of a batch seems to have; tensors say so, else lists."""
    fields = list(_fields(batch, ()))
    tensors = [(path, len(x)) for path, x in fields if isinstance(x, Tensor) and x.dim()]
    yield from tensors or [(path, len(x)) for path, x in fields if _is_list(x)]


def _fields(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Tensor) or (_is_list(value) and path):
        yield path, value
    elif type(value).__name__ != "PackedSequence":
        members: list[tuple[object, Any]] = []
        with_parts(value, lambda key, each: members.append((key, each)))
        for key, each in members:
            yield from _fields(each, (*path, key))


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    members: list[Any] = []
    with_parts(value, lambda key, each: members.append(each))
    for each in members:
        yield from _tensors_in(each)


def _positions_in(batch: Any) -> int | None:
    """Return how long the sequences of a batch are: the second dimension of its token ids."""
    named = [x for path, x in _fields(batch, ()) if path and path[-1] == "input_ids"]
    others = [
        x for _, x in _fields(batch, ()) if isinstance(x, Tensor) and not x.is_floating_point()
    ]
    found = [x for x in (*named, *others) if isinstance(x, Tensor) and x.dim() == 2]
    return found[0].shape[1] if found else None
