"""What a generation has on its device before it begins, beside the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memorymark.inference.choosing import Chooser
from memorymark.records.generation_plan import GenerationPlan
from memorymark.workloads.generation_spec import GenerationSpec
from memorymark.workloads.inputs.batch_spec import vocabulary_size


@dataclass(frozen=True)
class GenerationTensors:
    """What a generation reads and chooses by, on one device.

    Attributes:
        inputs: What the model reads.
        opening: What stands before the text: a token, or a mask of those that may not.
        refused: A mask of the tokens that are never written.
        refused_first: A mask of those with which the text does not begin.
        blend: The masks of a second model, which reads the same.
    """

    inputs: dict[str, Tensor]
    opening: tuple[int | Tensor, ...] = ()
    refused: Tensor | None = None
    refused_first: Tensor | None = None
    blend: GenerationTensors | None = None

    def named(self) -> Iterator[tuple[str, Tensor]]:
        """Yield all tensors with their names."""
        yield from self.inputs.items()
        for each in (*self.opening, self.refused, self.refused_first):
            if isinstance(each, Tensor):
                yield "mask of tokens", each
        if self.blend is not None:
            yield from self.blend.named()

    def on(self, device: torch.device) -> GenerationTensors:
        """Return them on a device."""
        return GenerationTensors(
            {name: x.to(device) for name, x in self.inputs.items()},
            tuple(_moved(each, device) for each in self.opening),
            _moved(self.refused, device),
            _moved(self.refused_first, device),
            None if self.blend is None else self.blend.on(device),
        )

    def chooser(self, plan: GenerationPlan, generator: torch.Generator | None = None) -> Chooser:
        """Return what chooses the tokens of one generation."""
        return Chooser(plan, generator, self.opening, self.refused, self.refused_first)


def tensors_of(spec: GenerationSpec) -> GenerationTensors:
    """Return what a generation has before it begins, on the host."""
    blend = None
    if spec.blend is not None:
        blend = dataclasses.replace(tensors_of(spec.blend), inputs={})
    form, size = spec.form, vocabulary_size(spec.workload.hf_config)

    def mask(tokens: frozenset[int], *, others: bool = False) -> Tensor | None:
        if not tokens:
            return None
        made = torch.full((size,), others)
        made[sorted(tokens)] = not others
        return made

    return GenerationTensors(
        {name: _in_format(x, spec.dtype) for name, x in spec.inputs.tensors.items()},
        tuple(each if isinstance(each, int) else mask(each, others=True) for each in form.opening),
        mask(form.refused),
        mask(form.refused_first),
        blend,
    )


def _in_format(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _moved(given: Any, device: torch.device) -> Any:
    return given.to(device) if isinstance(given, Tensor) else given
