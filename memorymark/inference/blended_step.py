"""Two models that write one text: each reads it, and the tokens are chosen from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.inference.choosing import BlendedChooser
from memorymark.inference.generation_tensors import GenerationTensors
from memorymark.inference.inference_step import Choose, Generation, InferenceStep
from memorymark.workloads.generation_spec import GenerationSpec


@dataclass
class BlendedGeneration(Generation):
    """The state of both models between two tokens.

    Attributes:
        parts: The states of the two.
        share: The share of the second model in the newest token's probability, (batch_size, 1).
    """

    parts: tuple[Generation, ...] = ()
    share: Tensor | None = None


class BlendedStep:
    """Two inference steps that choose their tokens together.

    Args:
        first: The model whose logits wait.
        second: The model at whose logits the token is chosen.
        chooser: Chooses it.
    """

    def __init__(
        self, first: InferenceStep, second: InferenceStep, chooser: BlendedChooser
    ) -> None:
        self._first, self._second, self._chooser = first, second, chooser

    def prefill(self, inputs: Mapping[str, Tensor]) -> BlendedGeneration:
        """Let both read a prompt, and choose the first token."""
        parts = self._first.prefill(inputs), self._second.prefill(inputs)
        return self._taken(BlendedGeneration(None, parts[1].token, None, parts=parts))

    def decode(self, generation: BlendedGeneration) -> BlendedGeneration:
        """Let both read the newest token, and choose the next one."""
        first, second = generation.parts
        self._first.decode(first)
        self._second.decode(second)
        return self._taken(generation)

    def _taken(self, generation: BlendedGeneration) -> BlendedGeneration:
        """Return the state with the token that was chosen last as the newest of both."""
        first, second = generation.parts
        first.token = generation.token = second.token
        generation.cache = [first.cache, second.cache]
        generation.length, generation.share = second.length, self._chooser.share
        return generation


def step_for(
    spec: GenerationSpec,
    model: nn.Module,
    tensors: GenerationTensors,
    generator: torch.Generator | None = None,
    around: Callable[[Choose], Choose] = lambda choose: choose,
) -> Any:
    """Return what a generation runs: an InferenceStep, or a BlendedStep of two.

    Args:
        spec: The generation.
        model: The model, or the list of both.
        tensors: What the tokens are chosen by.
        generator: Draws; None takes torch's own.
        around: Returns what calls the chooser.
    """
    chooser = tensors.chooser(spec.plan, generator)
    if spec.blend is None or tensors.blend is None:
        return InferenceStep(model, spec.run_as, around(chooser))
    blended = BlendedChooser(spec.plan, chooser, tensors.blend.chooser(spec.plan, generator))
    first, second = model.children()
    return BlendedStep(
        InferenceStep(first, spec.run_as, blended.keep),
        InferenceStep(second, spec.blend.run_as, around(blended)),
        blended,
    )
