"""Levers that are tried: each alone, then those that are worth trying together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memorymark.analysis.levers.known_levers import BY_KEY, LEVERS
from memorymark.analysis.levers.lever_kinds import Changes, Effect, KnownLever
from memorymark.records.config import TrainingConfig

COMBINATIONS = (
    ("amp-bf16", "gradient-checkpointing"),
    ("amp-bf16", "fused", "zero-grad-after-step"),
    ("amp-bf16", "gradient-checkpointing", "adamw-8bit"),
    ("bf16", "gradient-checkpointing", "adamw-8bit"),
    ("bf16", "lora"),
    ("bf16", "lora", "gradient-checkpointing"),
    ("amp-bf16", "channels-last"),
    ("amp-fp16", "gradient-checkpointing"),
    ("amp-fp16", "gradient-checkpointing", "adamw-8bit"),
)
"""Sets of levers that are worth trying together, by key."""

INSTEAD = {"amp-fp16": "amp-bf16"}
"""Levers that are combined only where a card does not take the better one."""


@dataclass(frozen=True)
class Combined:
    """Levers that are taken together; one alone is a combination of one.

    Attributes:
        levers: The levers, of different dimensions.
        changes: What they change.
    """

    levers: tuple[KnownLever, ...]
    changes: Changes

    @property
    def name(self) -> str:
        """Their names, joined."""
        return " + ".join(lever.name for lever in self.levers)

    @property
    def notes(self) -> str:
        """What is to be said of all of them."""
        return " ".join(lever.notes for lever in self.levers)

    @property
    def effect(self) -> Effect:
        """What the one that touches most touches."""
        return max(lever.effect for lever in self.levers)


def combined(
    levers: tuple[KnownLever, ...], config: TrainingConfig, batch_size: int
) -> Combined | None:
    """Put levers together; None where one of them changes nothing."""
    changes: dict[str, Any] = {}
    for lever in levers:
        found = lever.changes(config, batch_size)
        if found is None:
            return None
        changes |= found
    return Combined(levers, changes)


def possible(config: TrainingConfig, batch_size: int) -> list[Combined]:
    """Return each lever that a training leaves to be pulled, then the useful combinations."""
    alone = [(lever,) for lever in LEVERS]
    together = [tuple(BY_KEY[key] for key in keys) for keys in COMBINATIONS]
    found = (combined(levers, config, batch_size) for levers in (*alone, *together))
    return [each for each in found if each is not None]
