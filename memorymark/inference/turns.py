"""What one session does in its turns, and what it holds between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from memorymark.inference.caches import Slot, slots, stored_bytes
from memorymark.inference.inference_step import Generation, InferenceStep
from memorymark.inference.pause import Pause, Pausing, Steer


class State(Protocol):
    """What a session holds between two acts."""

    @property
    def is_paused(self) -> bool:
        """Whether it waits inside the model."""

    def slots(self) -> list[Slot]:
        """Return the places of all that it holds on the device, each tensor once."""

    def held_bytes(self) -> int:
        """Return the bytes of the storages that it keeps on the device."""


class Turns(Protocol):
    """Does what sessions do."""

    def begin(self) -> State:
        """Read a new session's prompt, all of it or up to the pause."""

    def resume(self, state: State) -> None:
        """Go on from a pause to the first token."""

    def decode(self, state: State) -> None:
        """Generate the next token."""


@dataclass
class ModelState:
    """What a session of a model holds.

    Attributes:
        cache: Keys and values of the tokens so far.
        generation: Where its text ends; None before the first token.
        pause: Where it waits inside the model; None where it does not.
        inputs: The prompt, for as long as it is not read to the end.
    """

    cache: Any
    generation: Generation | None = None
    pause: Pause | None = None
    inputs: Mapping[str, Tensor] | None = None

    @property
    def is_paused(self) -> bool:
        """Whether it waits inside the model."""
        return self.pause is not None

    def slots(self) -> list[Slot]:
        """Return the places of all that is large: masks and tokens stay where they are."""
        encoded = None if self.generation is None else self.generation.encoded
        return list(slots([self.cache, encoded, self.pause]))

    def held_bytes(self) -> int:
        """Return the bytes of the storages that it keeps: a window may be cut from a longer one."""
        return stored_bytes(self.slots())


class ModelTurns:
    """Runs the turns of a model's sessions.

    Args:
        step: The model that generates.
        make_prompt: Returns a new session's inputs, on the device.
        pause_layer: Layer before which prompts pause; None lets them run through.
        steer: Given the hidden state of each pause, (batch_size, tokens, width), returns what goes
            on in its place; it may be the same, only read.

    Raises:
        UnsupportedOperation: The model cannot be paused inside.
        InvalidValue: It has no such layer.
    """

    def __init__(
        self,
        step: InferenceStep,
        make_prompt: Callable[[], Mapping[str, Tensor]],
        pause_layer: int | None = None,
        steer: Steer | None = None,
    ) -> None:
        self._step, self._make_prompt, self._layer = step, make_prompt, pause_layer
        self._steer = steer
        self._pausing = None if pause_layer is None else Pausing(step.model)

    def begin(self) -> ModelState:
        """Read a new session's prompt, all of it or up to the pause."""
        inputs = self._make_prompt()
        if self._pausing is None:
            generation = self._step.prefill(inputs)
            return ModelState(generation.cache, generation)
        cache, pause = self._step.pause_prefill(self._pausing, self._layer, inputs)
        return ModelState(cache, pause=pause, inputs=inputs)

    def resume(self, state: ModelState) -> None:
        """Go on from a pause to the first token."""
        assert self._pausing is not None and state.pause is not None and state.inputs is not None
        if self._steer is not None:
            state.pause.steer(self._steer)
        state.generation = self._step.resume_prefill(
            self._pausing, state.pause, state.cache, state.inputs
        )
        state.cache, state.pause, state.inputs = state.generation.cache, None, None

    def decode(self, state: ModelState) -> None:
        """Generate the next token."""
        assert state.generation is not None
        self._step.decode(state.generation)
        state.cache = state.generation.cache
