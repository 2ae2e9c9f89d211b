"""What can be asked for as a background job: data that goes into JSON and back."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.codec import Record
from memorymark.records.config import TrainingConfig
from memorymark.records.option import changed_words
from memorymark.units import GIB, MIB

# What only changes figures that are worked out afterwards: it makes no other job.
_MONEY = ("price_per_hour", "epochs", "runs_per_year")
_COMMANDS = {
    "analysis": "analyze",
    "backward": "validate backward",
    "compile": "validate compile",
    "comparison": "compare",
}


class RequestKind(StrEnum):
    """What is to be done."""

    ANALYSIS = "analysis"
    BACKWARD = "backward"
    COMPILE = "compile"
    COMPARISON = "comparison"


@dataclass(frozen=True)
class Request(Record):
    """One thing to do, for one model on one target.

    Attributes:
        kind: What is to be done.
        model: The model, in a form of the interface.
        config: How it is trained.
        device: cuda, cuda:N, mps or cpu, where it is measured.
        gpu: Key of the GPU catalogue, where it is simulated.
        memory_budget: Bytes that a trial may use; None leaves it to the device.
        batch_size: The batch of a validation.
        options: Fields of AnalysisOptions that differ from their defaults.
    """

    kind: RequestKind
    model: str
    config: TrainingConfig = field(default_factory=TrainingConfig)
    device: str | None = None
    gpu: str | None = None
    memory_budget: int | None = None
    batch_size: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def lock_name(self) -> str:
        """Name of the lock of the device that it needs."""
        if self.device is None:
            return "simulated:0"
        return self.device if ":" in self.device else f"{self.device}:0"

    @property
    def identity(self) -> dict[str, Any]:
        """What two requests must share to be one job: everything but money."""
        options = {name: value for name, value in self.options.items() if name not in _MONEY}
        return {**self.to_dict(), "options": options}

    def command(self) -> str:
        """Return the command line that asks for the same.

        Example:
            >>> Request(RequestKind.ANALYSIS, "bert", gpu="l4").command()
            'memorymark analyze bert --gpu l4'
        """
        words = ["memorymark", *_COMMANDS[self.kind].split(), self.model]
        words += [*self._target_words(), *changed_words(self.config)]
        if self.batch_size is not None:
            words += ["--batch-size", str(self.batch_size)]
        options = dict(self.options)
        gpus = options.pop("gpus", None)
        words += ["--gpus", gpus] if gpus else []
        return shlex.join([*words, *changed_words(AnalysisOptions(**options))])

    def _target_words(self) -> list[str]:
        words = ["--gpu", self.gpu] if self.gpu else []
        if self.device:
            words += ["--device", self.device]
        if self.memory_budget is not None:
            words += ["--memory-budget", _amount(self.memory_budget)]
        return words


def _amount(value: int) -> str:
    for unit, size in (("GiB", GIB), ("MiB", MIB)):
        if value % size == 0:
            return f"{value // size}{unit}"
    return str(value)
