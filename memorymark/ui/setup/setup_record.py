"""What the setup is: a model, how it is trained, on what, and what an analysis is to find."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import LENGTHS, Task, TrainingConfig
from memorymark.records.inputs import PRICE
from memorymark.records.option import Option, options_of
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.workloads.known_models import lengths_of, task_of

BATCH = "current_batch_size"
SEARCH = (
    "granularity", "headroom", "objective", "max_batch_size", "effective_batch_size", "lengths",
    "length_range",
)  # fmt: skip
TRAINING = options_of(TrainingConfig)
SEARCHED = {name: options_of(AnalysisOptions)[name] for name in (BATCH, *SEARCH)}
OPTIONS: Mapping[str, Option] = {**TRAINING, **SEARCHED}
SERVING = options_of(ServingConfig)
PLANNED = options_of(SessionPlan)
HOST_MEMORY = options_of(Request)["host_memory"]
SERVED: Mapping[str, Option] = {**SERVING, **PLANNED, HOST_MEMORY.name: HOST_MEMORY}
VALIDATIONS = (RequestKind.BACKWARD, RequestKind.COMPILE)


@dataclass(frozen=True)
class Setup:
    """What a job or an estimate is asked for.

    Attributes:
        model: The model's name.
        config: How it is trained.
        device: Device of this machine to measure on, where it is measured.
        gpu: Key of the GPU catalogue, where it is simulated.
        memory_budget: Bytes that a trial may use, where it was given.
        options: The options of an analysis, without money: the current batch among them.
        served: How the model generates and its sessions take turns, by the names of SERVED.
    """

    model: str
    config: TrainingConfig
    device: str | None
    gpu: str | None
    memory_budget: int | None
    options: AnalysisOptions
    served: Mapping[str, Any]

    @property
    def batch(self) -> int:
        """The current batch size."""
        return self.options.current_batch_size

    def request(self, kind: RequestKind, **money: Any) -> Request:
        """Return what one kind of job is asked for; money is what its options say beside these.

        Raises:
            UsageError: What is set does not go together.
        """
        if kind is RequestKind.SESSIONS:
            return self._sessions(**money)
        parts: dict[str, Any] = {"memory_budget": self.memory_budget}
        if kind is not RequestKind.COMPARISON:
            parts |= {"device": self.device, "gpu": self.gpu}
        if kind in VALIDATIONS:
            parts["batch_size"] = self.batch
        else:
            parts["options"] = dataclasses.replace(self.options, **money)
        return Request(kind, self.model, self.config, **parts)

    def _sessions(self, **money: Any) -> Request:
        """Return what sessions are asked for; of money, the price counts alone."""
        host_memory = self.served[HOST_MEMORY.name]
        return Request(
            RequestKind.SESSIONS,
            self.model,
            device=self.device,
            gpu=self.gpu,
            memory_budget=self.memory_budget,
            options=AnalysisOptions(price_per_hour=money.get(PRICE)),
            serving=ServingConfig(**{name: self.served[name] for name in SERVING}),
            plan=SessionPlan(**{name: self.served[name] for name in PLANNED}),
            host_memory=host_memory or None,
        )


def training_options(model: str, task: Task | None) -> set[str]:
    """Return the options of a training that a model takes: of the lengths, those of a sample."""
    lengths = lengths_of(model, task) or (LENGTHS if task is None else task.lengths)
    left_out = {name for name in LENGTHS if name not in lengths}
    task = task or task_of(model)
    if "seq_len" not in lengths or not (task is None or task.is_language_model):
        left_out.add("chunked_cross_entropy")
    return TRAINING.keys() - left_out
