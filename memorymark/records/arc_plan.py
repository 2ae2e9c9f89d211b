"""What test-time training does on ARC tasks: its options. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from memorymark.errors import UsageError
from memorymark.records.codec import Record
from memorymark.records.config import MAX_BATCH_SIZE
from memorymark.records.option import check_options, option
from memorymark.units import parse_seconds

DEFAULT_LORA_RANK = 8

TRAINED_BY = (
    "precision", "optimizer", "gradient_checkpointing", "gradient_accumulation", "attention",
    "dropout", "lora_rank", "grad_clip", "drop_outputs", "chunked_cross_entropy",
)  # fmt: skip
"""The fields of TrainingConfig that test-time training takes; lengths come from the tasks."""

ARC_OPTIONS = (
    "generated", "tasks", "steps", "batch_size", "learning_rate", "all_weights", "augment",
    "shown", "seq_len", "time_budget", "target_accuracy", "pretrain_steps", "pretrain_batch",
    "pretrain_rate", "grid_side", "checkpoint", "seed", "random_weights",
)  # fmt: skip
"""All of a plan but the folder of tasks."""

_MOST_STEPS = 1_000_000


class Augment(StrEnum):
    """How a task's own examples are changed: turned and mirrored, with colours exchanged."""

    ALL = "all"
    SYMMETRIES = "symmetries"
    COLOURS = "colours"
    NONE = "none"

    @property
    def turns(self) -> bool:
        """Whether grids are turned and mirrored."""
        return self in (Augment.ALL, Augment.SYMMETRIES)

    @property
    def recolours(self) -> bool:
        """Whether colours are exchanged."""
        return self in (Augment.ALL, Augment.COLOURS)


class Shown(StrEnum):
    """How many of a task's examples stand before a test grid.

    Training leaves one out, so that its sequences are shorter by one example than those of all
    examples and a test grid: of the places beyond, a model with a table of positions has learned
    nothing.
    """

    ALL = "all"
    AS_TRAINED = "as-trained"


@dataclass(frozen=True)
class ArcPlan(Record):
    """Which tasks are answered, and how the model is trained on each of them before.

    Raises:
        InvalidValue: A number is out of range.
        UsageError: Both a folder and generated tasks are asked for.

    Example:
        >>> ArcPlan(data="training", time_budget="2h").time_budget
        7200.0
    """

    options_panel: ClassVar[str] = "Tasks and test-time training"

    data: str | None = option(None, "Tasks", "Folder of ARC tasks, one JSON file each.")
    generated: int | None = option(
        None, "Generated tasks", "Make so many simple tasks in place of a folder.",
        largest=_MOST_STEPS,
    )  # fmt: skip
    tasks: int | None = option(
        None, "Number of tasks", "Tasks that are answered, the first by name; by default all.",
        largest=_MOST_STEPS,
    )  # fmt: skip
    steps: int = option(64, "Steps", "Optimizer steps on each task.", largest=_MOST_STEPS)
    batch_size: int = option(
        2, "Batch size", "Sequences in one forward pass.", largest=MAX_BATCH_SIZE
    )
    learning_rate: float = option(0.001, "Learning rate", "Of each task's steps.", largest=1000)
    all_weights: bool = option(
        False, "Train all weights", "Train all weights of the model on each task, without LoRA."
    )
    augment: Augment = option(
        Augment.ALL, "Augmentation", "How a task's own examples are changed to train on."
    )
    shown: Shown = option(
        Shown.ALL, "Examples shown", "Examples before a test grid: all, or one less as in training."
    )
    seq_len: int | None = option(
        None, "Sequence length",
        "Tokens of the longest sequence; by default the model's positions, at most 4,096.",
        largest=10_000_000,
    )  # fmt: skip
    time_budget: float | None = option(
        None, "Time budget", "Time for all tasks together: 2h, 30m, 90s; by default none.",
        read=parse_seconds,
    )  # fmt: skip
    target_accuracy: float | None = option(
        None, "Target accuracy", "Share of test grids that is to be right to the last cell.",
        largest=1,
    )  # fmt: skip
    pretrain_steps: int = option(
        0, "Steps of pretraining", "Steps of all weights on generated tasks before the first task.",
        largest=_MOST_STEPS, from_zero=True,
    )  # fmt: skip
    pretrain_batch: int = option(
        16, "Batch of pretraining", "Sequences in one forward pass of the pretraining.",
        largest=MAX_BATCH_SIZE,
    )  # fmt: skip
    pretrain_rate: float = option(
        0.003, "Rate of pretraining", "Learning rate of the pretraining.", largest=1000
    )
    grid_side: int = option(
        3, "Side of generated grids", "Cells of a generated input each way.", largest=30
    )
    checkpoint: str | None = option(
        None, "Checkpoints", "Folder for each task's adapter, the pretrained model and the report."
    )
    seed: int = option(1, "Seed", "Seed of weights, tasks and order.", largest=2**31 - 1)
    random_weights: bool = option(
        False, "Random weights", "Take random weights even where the model comes with its own."
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.data is not None and self.generated is not None:
            raise UsageError(
                f"Both a folder of tasks ({self.data!r}) and {self.generated:,} generated ones are "
                "asked for. Give --data or --generated."
            )
