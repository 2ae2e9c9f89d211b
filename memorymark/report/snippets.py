"""Training code to paste: plain PyTorch, TrainingArguments, and the lines of one change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memorymark.records.config import TrainingConfig
from memorymark.report.scripts.change_code import lines_of_change
from memorymark.report.scripts.script import plain_script
from memorymark.report.scripts.trainer_code import (
    arguments_code,
    code_beside,
    trainer_script,
)


def snippet(model: str, config: TrainingConfig, batch_size: int, told: Sequence[str] = ()) -> str:
    """Return a script in plain PyTorch that trains as a configuration says.

    Args:
        model: The model's name in a form of the interface.
        config: How it is trained.
        batch_size: Samples of one forward pass.
        told: What stands above it as comments, one sentence a line.

    Raises:
        UsageError: There is no name by which a script could make the model.
    """
    return plain_script(model, config, batch_size, told)


def trainer_snippet(
    model: str, config: TrainingConfig, batch_size: int, told: Sequence[str] = ()
) -> str:
    """Return a script in which transformers' Trainer trains; arguments as in `snippet`.

    Raises:
        UsageError: The Trainer cannot train it.
    """
    return trainer_script(model, config, batch_size, told)


def training_arguments(config: TrainingConfig, batch_size: int) -> str:
    """Return the arguments with which transformers' Trainer trains as a configuration says.

    Args:
        config: How it is trained.
        batch_size: Samples of one forward pass.
    """
    return "\n".join([*arguments_code(config, str(batch_size)), *code_beside(config)])


def lines_for(change: Mapping[str, Any]) -> str:
    """Return the lines of code that make one change.

    Args:
        change: Values by fields of TrainingConfig, and `batch_size`.

    Example:
        >>> lines_for({"precision": "tf32"})
        'torch.set_float32_matmul_precision("high")'
    """
    return lines_of_change(change)
