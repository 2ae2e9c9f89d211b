"""Answers to questions that a model asks of its data, where there is no data.

What follows from the model's code alone is known (`values.py`) and answered as it is. Any
other question gets the answer that a full batch would give, which is noted as an assumption:
every element of an unknown mask is selected, and elements that are compared are alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memorymark.errors import UnsupportedOperation
from memorymark.simulator.session import Session
from memorymark.simulator.tensors.known_values import MOST_ELEMENTS, Scalar
from memorymark.simulator.tensors.values import Values
from memorymark.simulator.torch_compat import operation

_INDEX = operation("aten::index.Tensor")
_MASKS = (torch.bool, torch.uint8)
# A copy on the host is made for real: what is larger is no question but a computation.
_MOST_HOST_ELEMENTS = 1_000_000

NOT_A_QUESTION = object()
# Guarded by the lock of `simulating`; what is known lives as long as the tensors do.
_values = Values()


class Answers:
    """Answers questions about tensors without data.

    Args:
        session: Where assumptions are noted.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._values = _values
        self.note = self._values.note

    def answer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the answer, or NOT_A_QUESTION where the operation asks nothing of the data.

        Raises:
            UnsupportedOperation: The question has no sensible answer.
        """
        rule = _RULES.get(func)
        if rule is None or not args[0].is_meta:
            return NOT_A_QUESTION
        return rule(self, *args, **kwargs)

    def item(self, tensor: Tensor) -> Scalar:
        """Answer what the one element of a tensor is."""
        known = self._values.value_of(tensor)
        if known is not None:
            return known
        answer: Scalar = True if tensor.dtype is torch.bool else 0
        if tensor.is_floating_point():
            answer = 0.0
        self._session.assume(
            f"The model reads the value of a {_name(tensor.dtype)} tensor on the host; "
            f"{answer} is assumed."
        )
        return answer

    def equal(self, first: Tensor, second: Tensor) -> bool:
        """Answer whether two tensors are equal."""
        if first.shape != second.shape:
            return False
        known, other = self._values.value_of(first), self._values.value_of(second)
        if known is not None and other is not None:
            return known == other
        copies = self._values.copy_of(first), self._values.copy_of(second)
        if copies[0] is not None and copies[1] is not None:
            return torch.equal(*copies)
        self._session.assume("The model compares two tensors; they are assumed equal.")
        return True

    def _to_host(self, tensor: Tensor, **kwargs: Any) -> Any:
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "cpu":
            return NOT_A_QUESTION
        dtype = kwargs.get("dtype") or tensor.dtype
        known, value = self._values.copy_of(tensor), self._values.value_of(tensor)
        if known is not None:
            return known.to(dtype, copy=True)
        if tensor.numel() > _MOST_HOST_ELEMENTS:
            raise UnsupportedOperation(
                f"The model copies {tensor.numel():,} elements to the host to compute with them "
                "there, and a simulation has no data. Measure this model on a real device instead."
            )
        if value is None:
            self._session.assume(
                f"The model copies {_name(tensor.dtype)} values to the host; zeros are assumed."
            )
        return torch.full(tensor.shape, value or 0, dtype=dtype)

    def _nonzero(self, tensor: Tensor) -> Tensor:
        known, value = self._values.copy_of(tensor), self._values.value_of(tensor)
        if known is None and value is None:
            self._session.assume("The model calls nonzero(); all elements are assumed nonzero.")
        if known is None and tensor.numel() <= MOST_ELEMENTS:
            known = torch.ones(tensor.shape, dtype=torch.bool)
        if known is not None:
            found = known.nonzero()
            answer = torch.empty(found.shape, dtype=torch.long, device="meta")
            self._values.set_copy(answer, found)
            return answer
        count = tensor.numel() if value is None or value else 0
        return torch.empty((count, tensor.dim()), dtype=torch.long, device="meta")

    def _index(self, tensor: Tensor, indices: list[Tensor | None]) -> Any:
        if not any(index is not None and index.dtype in _MASKS for index in indices):
            return NOT_A_QUESTION
        positions: list[Tensor | None] = []
        for index in indices:
            if index is not None and index.dtype in _MASKS:
                positions += self._nonzero(index).unbind(1)
            else:
                positions.append(index)
        return _INDEX(tensor, positions)

    def _masked_select(self, tensor: Tensor, mask: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(tensor.shape, mask.shape)
        count = self._nonzero(mask).size(0) * math.prod(shape) // max(1, mask.numel())
        return tensor.new_empty((count,))

    def _unique_consecutive(
        self, tensor: Tensor, inverse: bool = False, counts: bool = False, dim: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        known = self._values.copy_of(tensor)
        if known is not None and dim is None:
            found = torch.unique_consecutive(known, True, True)
            return self._known_uniques(found, inverse, counts)
        self._session.assume("The model calls unique(); one distinct value is assumed.")
        if dim is None:
            shape: list[int] = [min(1, tensor.numel())]
        else:
            shape = list(tensor.shape)
            shape[dim] = min(1, shape[dim])
        places = tensor.shape if dim is None else (tensor.size(dim),)
        inverse_shape = places if inverse else (0,)
        return (
            tensor.new_empty(shape),
            tensor.new_empty(inverse_shape, dtype=torch.long),
            tensor.new_empty((1,) if counts else (0,), dtype=torch.long),
        )

    def _known_uniques(
        self, found: tuple[Tensor, Tensor, Tensor], inverse: bool, counts: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what was found on the host as tensors without data, whose values are known."""
        asked = (True, inverse, counts)
        parts = [part if wanted else part[:0] for part, wanted in zip(found, asked, strict=True)]
        answers = [torch.empty(part.shape, dtype=part.dtype, device="meta") for part in parts]
        for answer, part in zip(answers, parts, strict=True):
            self._values.set_copy(answer, part)
        return answers[0], answers[1], answers[2]

    def _unique(
        self, tensor: Tensor, is_sorted: bool = True, inverse: bool = False, counts: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        known = self._values.copy_of(tensor)
        if known is not None:
            return self._known_uniques(torch.unique(known, True, True, True), inverse, counts)
        return self._unique_consecutive(tensor, inverse, counts)

    def _repeat_interleave(self, repeats: Tensor, *, output_size: int | None = None) -> Tensor:
        known = self._values.copy_of(repeats)
        if known is None and output_size is None:
            self._session.assume(
                "The model repeats elements by its data; each is assumed to be taken once."
            )
        count = repeats.numel() if known is None else int(known.sum())
        answer = repeats.new_empty((count if output_size is None else output_size,))
        if known is not None:
            self._values.set_copy(answer, torch.repeat_interleave(known))
        return answer

    def _bincount(
        self, tensor: Tensor, weights: Tensor | None = None, minlength: int = 0
    ) -> Tensor:
        known = self._values.copy_of(tensor)
        if known is None and not minlength:
            self._session.assume("The model counts values (bincount, histc); zeros are assumed.")
        largest = int(known.max()) if known is not None and known.numel() else 0
        like = tensor if weights is None else weights
        dtype = torch.long if weights is None else weights.dtype
        return like.new_empty((max(minlength, largest + 1),), dtype=dtype)


def is_question(func: Any) -> bool:
    """Return whether calls of an operation may ask something of the data."""
    return func in _RULES


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# Named when the file is loaded, so that an operation that torch lacks is known before any use.
_RULES: dict[Any, Callable[..., Any]] = {
    operation("aten::_local_scalar_dense"): Answers.item,
    operation("aten::equal"): Answers.equal,
    operation("aten::_to_copy"): Answers._to_host,
    operation("aten::nonzero"): Answers._nonzero,
    _INDEX: Answers._index,
    operation("aten::masked_select"): Answers._masked_select,
    operation("aten::unique_consecutive"): Answers._unique_consecutive,
    operation("aten::_unique2"): Answers._unique,
    operation("aten::repeat_interleave.Tensor"): Answers._repeat_interleave,
    operation("aten::bincount"): Answers._bincount,
}
