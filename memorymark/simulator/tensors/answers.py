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
from memorymark.simulator.lbfgs import SearchValues
from memorymark.simulator.session import Session
from memorymark.simulator.source_lines import is_packing, running_line
from memorymark.simulator.tensors.known_values import Scalar, as_python, is_small
from memorymark.simulator.tensors.values import Values
from memorymark.simulator.torch_compat import operation, schema_of

_INDEX = operation("aten::index.Tensor")
_COPY = operation("aten::copy_")
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
        keeps_values: Whether larger tensors' values are kept too.
    """

    def __init__(self, session: Session, *, keeps_values: bool = False) -> None:
        self._session = session
        self._values = _values
        self._search = SearchValues(session)
        self._values.begin(self._tell_choice, self._tell_finite, keeps_values=keeps_values)
        self.note = self._values.note

    def answer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the answer, or NOT_A_QUESTION where the operation asks nothing of the data.

        Raises:
            UnsupportedOperation: The question has no sensible answer.
        """
        rule = _rule_of(func)
        if rule is None or not (args[0].is_meta or func is _COPY):
            return NOT_A_QUESTION
        return rule(self, *args, **kwargs)

    def _ask(self, sentence: str, **kind: bool) -> bool:
        """Note a question and its answer; return whether it gets the contrary one."""
        questions = self._session.questions
        self._session.assume(questions.ask(sentence, **kind))
        return questions.contrary

    def _tell_choice(self, func: Any) -> None:
        name = schema_of(func).name.partition("::")[2]
        line = running_line()
        self._session.assume(
            f"{f'{line}: ' if line else ''}The model chooses by values that a simulation does not "
            f"have ({name}); every place is assumed to be chosen equally often."
        )

    def _tell_finite(self) -> None:
        line = running_line()
        self._session.assume(
            f"{f'{line}: ' if line else ''}The model looks for values that are not finite; none is "
            "assumed to be."
        )

    def item(self, tensor: Tensor) -> Scalar:
        """Answer what the one element of a tensor is."""
        known = self._values.value_of(tensor)
        if known is not None:
            return known
        if (found := self._search.answer(tensor)) is not None:
            return found
        is_bool = tensor.dtype is torch.bool
        is_number = not is_bool and not tensor.is_floating_point()
        contrary = self._session.questions.contrary
        answer = as_python(tensor.dtype, contrary != is_bool)
        self._ask(
            f"The model reads the value of a {_name(tensor.dtype)} tensor on the host; "
            f"{answer} is assumed.",
            number=is_number,
            condition=is_bool,
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
        return not self._ask("The model compares two tensors; they are assumed equal.")

    def _to_host(self, tensor: Tensor, **kwargs: Any) -> Any:
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "cpu":
            return NOT_A_QUESTION
        dtype = kwargs.get("dtype") or tensor.dtype
        known, value = self._values.copy_of(tensor), self._values.value_of(tensor)
        if known is not None:
            return known.to(dtype, copy=True)
        if known is None and value is None and is_packing():
            return torch.zeros(tensor.shape, dtype=dtype)
        if tensor.numel() > _MOST_HOST_ELEMENTS:
            raise UnsupportedOperation(
                f"The model copies {tensor.numel():,} elements to the host to compute with them "
                "there, and a simulation has no data. Measure it on a device instead."
            )
        if value is None:
            value = self._ask(
                f"The model copies {_name(tensor.dtype)} values to the host; zeros are assumed.",
                number=not tensor.is_floating_point() and tensor.dtype is not torch.bool,
            )
        return torch.full(tensor.shape, value, dtype=dtype)

    def _copy_to_host(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> Any:
        if target.is_meta or not source.is_meta:
            return NOT_A_QUESTION
        return target.copy_(self._to_host(source, device="cpu"))

    def _nonzero(self, tensor: Tensor) -> Tensor:
        known, value = self._values.copy_of(tensor), self._values.value_of(tensor)
        if known is None and value is None:
            value = not self._ask("The model calls nonzero(); all elements are assumed nonzero.")
        if known is None and is_small(tensor):
            known = torch.full(tensor.shape, bool(value))
        if known is not None:
            return self._without_data(known.nonzero())
        count = tensor.numel() if value else 0
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
        values, selected = self._values.copy_of(tensor), self._values.copy_of(mask)
        if values is not None and selected is not None:
            return self._without_data(torch.masked_select(values, selected))
        shape = torch.broadcast_shapes(tensor.shape, mask.shape)
        count = self._nonzero(mask).size(0) * math.prod(shape) // max(1, mask.numel())
        return tensor.new_empty((count,))

    def _unique_consecutive(
        self, tensor: Tensor, inverse: bool = False, counts: bool = False, dim: int | None = None
    ) -> tuple[Tensor, ...]:
        known = self._values.copy_of(tensor)
        if known is not None:
            found = torch.unique_consecutive(known, inverse, counts, dim)
            return self._known_parts(found, inverse, counts)
        return self._all_distinct(tensor, inverse, counts, dim)

    def _unique(
        self, tensor: Tensor, is_sorted: bool = True, inverse: bool = False, counts: bool = False
    ) -> tuple[Tensor, ...]:
        known = self._values.copy_of(tensor)
        if known is not None:
            found = torch.unique(known, is_sorted, inverse, counts)
            return self._known_parts(found, inverse, counts)
        return self._all_distinct(tensor, inverse, counts, None)

    def _unique_rows(
        self, tensor: Tensor, dim: int, is_sorted: bool = True, inverse: bool = False,
        counts: bool = False,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        known = self._values.copy_of(tensor)
        if known is not None:
            found = torch.unique(known, is_sorted, inverse, counts, dim)
            return self._known_parts(found, inverse, counts)
        return self._all_distinct(tensor, inverse, counts, dim)

    def _known_parts(self, found: Any, inverse: bool, counts: bool) -> tuple[Tensor, ...]:
        """Return what `unique` found, as the operation does: three tensors, or empty ones."""
        given = iter(found if isinstance(found, tuple) else (found,))
        empty = torch.empty(0, dtype=torch.long)
        parts = (next(given), next(given) if inverse else empty, next(given) if counts else empty)
        return tuple(self._without_data(part) for part in parts)

    def _all_distinct(
        self, tensor: Tensor, inverse: bool, counts: bool, dim: int | None
    ) -> tuple[Tensor, ...]:
        alike = self._ask("The model calls unique(); all values are assumed distinct.")
        places = tensor.shape if dim is None else (tensor.size(dim),)
        distinct = min(1, math.prod(places)) if alike else math.prod(places)
        shape = [distinct]
        if dim is not None:
            shape = list(tensor.shape)
            shape[dim] = distinct
        return (
            tensor.new_empty(shape),
            tensor.new_empty(places if inverse else (0,), dtype=torch.long),
            tensor.new_empty((distinct,) if counts else (0,), dtype=torch.long),
        )

    def _without_data(self, values: Tensor) -> Tensor:
        """Return a tensor without data whose values are known."""
        answer = torch.empty(values.shape, dtype=values.dtype, device="meta")
        self._values.set_copy(answer, values, is_data=True)
        return answer

    def _repeat_interleave(self, repeats: Tensor, *, output_size: int | None = None) -> Tensor:
        known = self._values.copy_of(repeats)
        if known is not None:
            return self._without_data(torch.repeat_interleave(known))
        if output_size is None:
            twice = self._ask(
                "The model repeats elements by its data; each is assumed to be taken once.",
                number=True,
            )
            output_size = repeats.numel() * (2 if twice else 1)
        return repeats.new_empty((output_size,))

    def _nms(self, boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        known, rated = self._values.copy_of(boxes), self._values.copy_of(scores)
        if known is not None and rated is not None:
            from torchvision.ops import nms

            return self._without_data(nms(known, rated, iou_threshold))
        few = self._ask("The model calls nms(); no boxes are assumed to overlap: all are kept.")
        count = min(1, len(boxes)) if few else len(boxes)
        return boxes.new_empty((count,), dtype=torch.long)

    def _ctc_loss(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Tensor,
        target_lengths: Tensor,
        blank: int = 0,
        zero_infinity: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return the losses and the table of alphas: one row a frame, two places a label.

        Longer than the longest transcription is none of them (native/cuda/LossCTC.cu).
        """
        known = self._values.copy_of(target_lengths)
        longest = targets.size(-1) if known is None else int(known.max())
        if known is None and targets.dim() == 1:
            self._session.assume("The loss of CTC is assumed to have one target as long as all.")
        frames, batch_size = log_probs.shape[:2]
        places = 2 * longest + 1
        return log_probs.new_empty((batch_size,)), log_probs.new_empty((batch_size, frames, places))

    def _bincount(
        self, tensor: Tensor, weights: Tensor | None = None, minlength: int = 0
    ) -> Tensor:
        known = self._values.copy_of(tensor)
        if known is not None and weights is None:
            return self._without_data(torch.bincount(known, minlength=minlength))
        largest = int(known.max()) if known is not None and known.numel() else 0
        if known is None and not minlength:
            sentence = "The model counts values (bincount); zeros are assumed."
            largest += self._ask(sentence, number=True)
        like = tensor if weights is None else weights
        dtype = torch.long if weights is None else weights.dtype
        return like.new_empty((max(minlength, largest + 1),), dtype=dtype)


def is_question(func: Any) -> bool:
    """Return whether calls of an operation may ask something of the data."""
    return _rule_of(func) is not None


def _rule_of(func: Any) -> Callable[..., Any] | None:
    # The operations of torchvision are there once a model of it is loaded.
    return _RULES.get(func) or _TORCHVISION.get(schema_of(func).name)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_TORCHVISION: dict[str, Callable[..., Any]] = {"torchvision::nms": Answers._nms}

# Named when the file is loaded, so that an operation that torch lacks is known before any use.
_RULES: dict[Any, Callable[..., Any]] = {
    operation("aten::_local_scalar_dense"): Answers.item,
    operation("aten::equal"): Answers.equal,
    operation("aten::_to_copy"): Answers._to_host,
    operation("aten::nonzero"): Answers._nonzero,
    _COPY: Answers._copy_to_host,
    _INDEX: Answers._index,
    operation("aten::masked_select"): Answers._masked_select,
    operation("aten::unique_consecutive"): Answers._unique_consecutive,
    operation("aten::_unique2"): Answers._unique,
    operation("aten::unique_dim"): Answers._unique_rows,
    operation("aten::repeat_interleave.Tensor"): Answers._repeat_interleave,
    operation("aten::bincount"): Answers._bincount,
    operation("aten::_ctc_loss.Tensor"): Answers._ctc_loss,
}
