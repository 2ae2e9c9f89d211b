"""What is known of a lever before it is tried: what it changes, and what theory says of it.

`Theory.NOT_UP` and `Theory.NOT_DOWN` stand where it depends on the model whether there is anything
to gain or lose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from memorymark.records.config import TrainingConfig

Changes = Mapping[str, Any]


class Theory(StrEnum):
    """What a change does to a figure, by the theory behind it."""

    DOWN = "down"
    NOT_UP = "not up"
    SAME = "same"
    NOT_DOWN = "not down"
    UP = "up"
    EITHER = "either"


class Effect(IntEnum):
    """How much of the training a change touches, the least first."""

    NONE = 0
    ROUNDING = 1
    LEARNING = 2
    SAMPLES = 3


@dataclass(frozen=True)
class KnownLever:
    """A lever before it is tried.

    Attributes:
        key: Its short name, unique.
        name: Its name for people.
        dimension: What it turns: of one dimension only one lever can be taken.
        change: Returns the fields to change, for a training and the batch of one forward pass;
            None where it is set so already, or there is nothing to change.
        memory: What theory says of the peak of memory at the same batch.
        time: What theory says of the seconds of a sample.
        effect: What it touches of the training.
        notes: What it may do to accuracy or reproducibility, with a source by name.
    """

    key: str
    name: str
    dimension: str
    change: Callable[[TrainingConfig, int], Changes | None]
    memory: Theory
    time: Theory
    effect: Effect
    notes: str

    @property
    def saves_memory(self) -> bool:
        """Whether it may save memory at the same batch."""
        return self.memory is not Theory.SAME

    def changes(self, config: TrainingConfig, batch_size: int) -> Changes | None:
        """Return what it changes of a training, and None where it changes nothing."""
        found = self.change(config, batch_size)
        if not found:
            return None
        now = {
            name: batch_size if name == "batch_size" else getattr(config, name) for name in found
        }
        return {name: value for name, value in found.items() if value != now[name]} or None
