"""What the setup is: a model, what it runs on, and what each kind of page asks for beside them.

Pages of analyses ask how it is trained and what is to be found, that of sessions how it generates
and how sessions take turns, that of generation what it reads and how it writes, that of trainings
what is read, how long it goes on and how weights are updated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import LENGTHS, Task, TrainingConfig
from memorymark.records.generation_plan import GENERATION_OPTIONS, GenerationPlan
from memorymark.records.generation_plan import SERVED as GENERATION_SERVED
from memorymark.records.inputs import PRICE
from memorymark.records.option import Option, options_of
from memorymark.records.request import Request, RequestKind
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.records.training_plan import TrainingPlan
from memorymark.service.first_run import FIRST_MODEL
from memorymark.ui.setup.model_facts import FIRST_WRITER, lengths_here, task_here
from memorymark.workloads.known_models import lengths_of, task_of

BATCH, CONTEXT = "current_batch_size", "context_tokens"
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
WRITTEN = options_of(GenerationPlan)
PROMPT = WRITTEN["prompt"]  # in no address: what people write is theirs
BLEND, BLEND_SHARE = WRITTEN["blend"], WRITTEN["blend_share"]
GENERATED: Mapping[str, Option] = {
    **{name: SERVING[name] for name in GENERATION_SERVED},
    **{name: WRITTEN[name] for name in GENERATION_OPTIONS},
}
_CHOOSING = ("max_new_tokens", "temperature", "top_k", "top_p")
MEDIA = ("image", "audio")
_READS = {"seq_len": "prompt", "image_size": "image", "audio_seconds": "audio"}
# Of a training: what it reads is in no address, where it is kept is the app's own.
TRAINING_PLAN = options_of(TrainingPlan)
_NOT_ASKED = ("data", "eval_data", "tokenizer", "checkpoint", "checkpoint_every", "keep", "resume")
_OF_TEXTS = ("task", "num_labels", "image_size", "audio_seconds", "num_frames", "channels_last",
             "gradient_accumulation", "loop")  # fmt: skip
_SAID = {"epochs": "data_epochs"}  # in an address, epochs are those of a cost
TIME_BUDGET, DATA, UPLOAD = TRAINING_PLAN["time_budget"], "data", ""
TRAIN_PLANNED = {name: _SAID.get(name, name) for name in TRAINING_PLAN if name not in _NOT_ASKED}
TRAIN_CONFIG = tuple(name for name in TRAINING if name not in _OF_TEXTS)
TRAIN_BATCH = "batch_size"
_FIRST_TRAINED = "gpt2-bytes-small"  # trains in minutes on a CPU
TRAINED: Mapping[str, Option] = {
    TRAIN_BATCH: options_of(Request)[TRAIN_BATCH],
    **{name: TRAINING[name] for name in TRAIN_CONFIG},
    **{said: TRAINING_PLAN[name] for name, said in TRAIN_PLANNED.items()},
}
VALIDATIONS = (RequestKind.BACKWARD, RequestKind.COMPILE)


@dataclass(frozen=True)
class Form:
    """What a page asks for beside the model, what it runs on and the memory budget.

    Attributes:
        key: Where its values are among those of the setup; empty where they are those themselves.
        options: Its options by name, as an address says them.
        asked: Returns the names of those that count for a model and the form's own task.
        kind: What is asked for with it.
        first_model: The model that it opens on, until somebody chooses one.
        is_measured: Whether it runs on devices of this machine alone.
    """

    key: str
    options: Mapping[str, Option]
    asked: Callable[[str, Task | None], Collection[str]]
    kind: RequestKind
    first_model: str = FIRST_MODEL
    is_measured: bool = False


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
        generated: What a generation reads and how it writes, by the names of GENERATED.
        trained: How a training runs, by the names of TRAINED; the time budget as entered.
        own_device: Device of this machine for what is measured alone.
    """

    model: str
    config: TrainingConfig
    device: str | None
    gpu: str | None
    memory_budget: int | None
    options: AnalysisOptions
    served: Mapping[str, Any]
    generated: Mapping[str, Any]
    trained: Mapping[str, Any]
    own_device: str

    @property
    def batch(self) -> int:
        """The current batch size."""
        return self.options.current_batch_size

    def request(self, kind: RequestKind, **money: Any) -> Request:
        """Return what one kind of job is asked for.

        Args:
            kind: The kind.
            money: What its options say beside these; of a generation, what it reads beside them.

        Raises:
            UsageError: What is set does not go together.
        """
        if kind is RequestKind.SESSIONS:
            return self._sessions(**money)
        if kind is RequestKind.GENERATE:
            return self._generation(**money)
        if kind is RequestKind.TRAIN:
            return self._training(**money)
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

    def _generation(self, **media: str) -> Request:
        """Return what a generation is asked for; media are the names of what it reads."""
        plan = {name: value for name, value in self.generated.items() if name in WRITTEN}
        if not plan.get(BLEND.name):
            plan = {name: plan[name] for name in plan if name not in (BLEND.name, BLEND_SHARE.name)}
        serving = {name: value for name, value in self.generated.items() if name in SERVING}
        return Request(
            RequestKind.GENERATE,
            self.model,
            device=self.own_device,
            memory_budget=self.memory_budget,
            serving=ServingConfig(**serving),
            generation=GenerationPlan(**{**plan, **media}),
        )

    def _training(self, **named: str) -> Request:
        """Return what a training is asked for; named is the text that it reads."""
        values = self.trained
        plan = {name: values[said] for name, said in TRAIN_PLANNED.items()}
        plan[TIME_BUDGET.name] = plan[TIME_BUDGET.name] or None
        return Request(
            RequestKind.TRAIN,
            self.model,
            TrainingConfig(**{name: values[name] for name in TRAIN_CONFIG}),
            device=self.own_device,
            memory_budget=self.memory_budget,
            batch_size=values[TRAIN_BATCH],
            training=TrainingPlan(**{**plan, **named}),
        )


def training_options(model: str, task: Task | None) -> set[str]:
    """Return the options of a training that a model takes: of the lengths, those of a sample."""
    lengths = lengths_of(model, task) or (LENGTHS if task is None else task.lengths)
    left_out = {name for name in LENGTHS if name not in lengths}
    task = task or task_of(model)
    if "seq_len" not in lengths or not (task is None or task.is_language_model):
        left_out.add("chunked_cross_entropy")
    return TRAINING.keys() - left_out


def serving_options(model: str, task: Task | None) -> set[str]:
    """Return the options of sessions that a model takes: of the lengths, those of what it reads."""
    lengths = lengths_here(model, task)
    return {name for name in SERVED if name not in LENGTHS or lengths is None or name in lengths}


def generation_options(model: str, task: Task | None) -> set[str]:
    """Return the options of a generation that a model takes: a prompt only where it reads one.

    What classifies images chooses no token, and only what reads text alone writes with another.
    """
    left_out = set() if "prompt" in read_by(model) else {"prompt_tokens"}
    task = task or task_here(model)
    if task is Task.IMAGE_CLASSIFICATION:
        left_out |= {*_CHOOSING, "cache"}
    if task not in (Task.CAUSAL_LM, None):
        left_out |= {BLEND.name, BLEND_SHARE.name}
    return GENERATED.keys() - left_out


def read_by(model: str) -> set[str]:
    """Return what a model may read: all, where that is not known without loading it."""
    lengths = lengths_here(model)
    if lengths is None:
        return set(_READS.values())
    reads = {_READS[name] for name in lengths if name in _READS}
    return reads - {"prompt"} if "audio" in reads else reads


TRAINED_FORM = Form(
    "",
    OPTIONS,
    lambda model, task: training_options(model, task) | SEARCHED.keys(),
    RequestKind.ANALYSIS,
)
SESSIONS_FORM = Form("served", SERVED, serving_options, RequestKind.SESSIONS, FIRST_WRITER)
GENERATION_FORM = Form(
    "generated", GENERATED, generation_options, RequestKind.GENERATE, FIRST_WRITER, is_measured=True
)
TRAIN_FORM = Form(
    "trained", TRAINED, lambda model, task: TRAINED.keys(), RequestKind.TRAIN, _FIRST_TRAINED,
    is_measured=True,
)  # fmt: skip
FORMS: Mapping[str, Form] = {
    "sessions": SESSIONS_FORM, "generate": GENERATION_FORM, "training": TRAIN_FORM,
}  # fmt: skip
"""The forms by the addresses of their pages; all other pages ask for an analysis."""
