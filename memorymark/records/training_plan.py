"""What one training reads, how long it goes on, and how its weights are updated. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from memorymark.errors import UsageError
from memorymark.records.codec import Record
from memorymark.records.config import MAX_BATCH_SIZE
from memorymark.records.option import check_options, option
from memorymark.units import parse_seconds

MOST = 10**15
_MOST_STEPS = 10**12


class Schedule(StrEnum):
    """How the learning rate changes after the warm-up."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"


@dataclass(frozen=True)
class TrainingPlan(Record):
    """What a training reads, how long it goes on, and how its weights are updated.

    Without a length it goes once through the data.

    Raises:
        InvalidValue: A number is out of range.
        UsageError: More than one length is given.

    Example:
        >>> TrainingPlan(data="tokens.bin", time_budget="2h").time_budget
        7200.0
    """

    options_panel: ClassVar[str] = "Training run"

    data: str | None = option(
        None, "Data", "A tokens file of `memorymark tokenize`, a text file or a folder of them."
    )
    tokenizer: str | None = option(
        None, "Tokenizer",
        "Of a text: bytes, a folder or a hub id; by default the model's own, else bytes.",
    )  # fmt: skip
    eval_data: str | None = option(
        None, "Evaluation data", "Text or tokens to evaluate on; by default the data's end."
    )
    eval_share: float = option(
        0.1, "Evaluation share", "Share of the data, at its end, that is kept for evaluation.",
        largest=0.9,
    )  # fmt: skip
    effective_batch: int | None = option(
        None, "Effective batch",
        "Samples of an optimizer step, reached by accumulation; by default the batch times it.",
        largest=MAX_BATCH_SIZE * 1000,
    )  # fmt: skip
    time_budget: float | None = option(
        None, "Time budget", "Time in which it ends, saved: 2h, 30m, 90s; by default none.",
        read=parse_seconds,
    )  # fmt: skip
    steps: int | None = option(None, "Steps", "Optimizer steps.", largest=_MOST_STEPS)
    epochs: int | None = option(
        None, "Epochs", "Times through the data; 1 where no length is given.", largest=1_000_000
    )
    tokens: int | None = option(None, "Tokens", "Tokens to train on.", largest=MOST)
    learning_rate: float = option(0.001, "Learning rate", "Learning rate.", largest=1000)
    schedule: Schedule = option(
        Schedule.CONSTANT, "Schedule", "How the learning rate changes after the warm-up."
    )
    final_rate: float = option(
        0.0, "Final rate", "Share of the learning rate at the end of the schedule.", largest=1
    )
    warmup: int = option(
        0, "Warm-up steps", "Steps in which the learning rate grows.", largest=_MOST_STEPS,
        from_zero=True,
    )  # fmt: skip
    weight_decay: float | None = option(
        None, "Weight decay", "Weight decay; by default the optimizer's own.", largest=100
    )
    beta2: float | None = option(
        None, "Second beta", "Second beta of Adam's kind; by default the optimizer's own.",
        largest=1,
    )  # fmt: skip
    eval_every: int | None = option(
        None, "Evaluate every", "Steps between evaluations; by default a tenth of all.",
        largest=_MOST_STEPS,
    )  # fmt: skip
    eval_batches: int = option(
        50, "Evaluation batches", "The most batches of an evaluation, spread over its data.",
        largest=1_000_000_000,
    )  # fmt: skip
    patience: int | None = option(
        None, "Patience",
        "Evaluations without a smaller loss after which it stops; by default it goes on.",
        largest=1_000_000,
    )  # fmt: skip
    checkpoint: str | None = option(
        None, "Checkpoints", "Folder of checkpoints, figures of each step and the trained model."
    )
    checkpoint_every: int | None = option(
        None, "Checkpoint every", "Steps between checkpoints; by default as evaluations.",
        largest=_MOST_STEPS,
    )  # fmt: skip
    keep: int = option(2, "Checkpoints kept", "The newest checkpoints that are kept.", largest=1000)
    resume: bool = option(False, "Resume", "Go on from the newest checkpoint of the folder.")
    sample_tokens: int = option(
        0, "Sample tokens", "Tokens that the model writes at each evaluation.", largest=100_000,
        from_zero=True,
    )  # fmt: skip
    seed: int = option(1, "Seed", "Seed of new weights, order and dropout.", largest=2**31 - 1)
    random_weights: bool = option(
        False, "Random weights", "Begin from random weights even where the model has its own."
    )

    def __post_init__(self) -> None:
        check_options(self)
        lengths = [name for name in ("steps", "epochs", "tokens") if getattr(self, name)]
        if len(lengths) > 1:
            raise UsageError(
                f"More than one length is given: {' and '.join(lengths)}. Give steps, epochs or "
                "tokens; a time budget may stand beside each."
            )
        if self.resume and self.checkpoint is None:
            raise UsageError("To resume, name the folder of the checkpoints: --checkpoint DIR.")
