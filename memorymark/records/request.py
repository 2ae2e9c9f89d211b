"""Requests: what the engine can be asked for, as data."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from memorymark.errors import UsageError
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.arc_plan import TRAINED_BY, ArcPlan
from memorymark.records.codec import Origin, Record, same
from memorymark.records.config import (
    MAX_BATCH_SIZE,
    TrainingConfig,
    check_batch_size,
    without_filled_in_size,
)  # fmt: skip
from memorymark.records.generation_plan import GenerationPlan
from memorymark.records.option import (
    REQUIRED,
    changed,
    changed_words,
    described,
    options_of,
    split_names,
)
from memorymark.records.prices import LIVE, PriceKind, prices_text, read_prices, without_live
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.records.training_plan import TrainingPlan
from memorymark.units import GIB, MIB, parse_bytes

DEFAULT_BATCH_SIZE = 8  # of a validation

# The options of a comparison: each of its GPUs has a price of its own, and nobody's batch.
COMPARED = (
    "dataset_size", "epochs", "runs_per_year", "objective", "granularity", "headroom",
    "max_batch_size",
)  # fmt: skip
# The options of levers: what is searched, and what a sample costs.
LEVERED = (
    "current_batch_size", "price_per_hour", "dataset_size", "granularity", "max_batch_size",
)  # fmt: skip
# The options of sessions: what a token costs.
SERVED = ("price_per_hour",)
# What only changes figures that are worked out afterwards: it makes no other job.
_MONEY = {"price_per_hour": None, "epochs": None, "runs_per_year": None}


class RequestKind(StrEnum):
    """What is to be done."""

    ANALYSIS = "analysis"
    ESTIMATE = "estimate"
    MEASURE = "measure"
    BACKWARD = "backward"
    COMPILE = "compile"
    COMPARISON = "comparison"
    LEVERS = "levers"
    FITS = "fits"
    SESSIONS = "sessions"
    GENERATE = "generate"
    TRAIN = "train"
    ARC = "arc"
    COMPARE_TRAINING = "compare-training"


_COMMANDS = {
    RequestKind.ANALYSIS: "analyze",
    RequestKind.BACKWARD: "validate backward",
    RequestKind.COMPILE: "validate compile",
    RequestKind.COMPARISON: "compare",
}


MEASURED_ONLY = (
    RequestKind.MEASURE, RequestKind.COMPILE, RequestKind.GENERATE, RequestKind.TRAIN,
    RequestKind.COMPARE_TRAINING, RequestKind.ARC,
)  # fmt: skip
_TAKEN = {
    RequestKind.COMPARISON: COMPARED, RequestKind.LEVERS: LEVERED, RequestKind.SESSIONS: SERVED,
    RequestKind.TRAIN: (), RequestKind.COMPARE_TRAINING: SERVED,
    RequestKind.ARC: (),
}  # fmt: skip
_NEEDED = {RequestKind.ESTIMATE: ("gpu", "batch_size"), RequestKind.MEASURE: ("batch_size",),
           RequestKind.FITS: ("batch_size",),
           RequestKind.COMPARE_TRAINING: ("other_model",)}  # fmt: skip
_REFUSED = {
    RequestKind.ESTIMATE: ("device",),
    RequestKind.COMPARISON: ("device", "gpu"),
    RequestKind.SESSIONS: ("batch_size",),
    RequestKind.GENERATE: ("batch_size",),
    RequestKind.ARC: ("batch_size",),
}

_FILLED_IN: dict[RequestKind, dict[str, type]] = {
    RequestKind.SESSIONS: {"serving": ServingConfig, "plan": SessionPlan},
    RequestKind.GENERATE: {"serving": ServingConfig, "generation": GenerationPlan},
    RequestKind.TRAIN: {"training": TrainingPlan},
    RequestKind.ARC: {"arc": ArcPlan},
    RequestKind.COMPARE_TRAINING: {"training": TrainingPlan},
}


@dataclass(frozen=True)
class Request(Record):
    """One thing to do, for one model on one target.

    Attributes:
        kind: What is to be done.
        model: The model, in a form of the interface.
        config: How it is trained.
        device: cuda, cuda:N, mps or cpu, where it is measured.
        gpu: Key of the GPU catalogue, where it is simulated.
        memory_budget: Bytes that a trial may use, given as bytes or as in "4GiB"; None leaves it
            to the device.
        batch_size: The batch of a single trial or of a validation.
        options: What an analysis or a comparison is to find out.
        gpus: Keys of the GPU catalogue to compare; none of them means all that are rented.
        prices: Dollars per hour of GPUs, where they are not the catalogue's.
        price_kind: The kind of price to take; None takes what is no spot price.
        live_prices: Whether prices of this moment are fetched from the providers.
        largest: Whether the largest batch is looked for where the one that is given fits.
        serving: How the model generates; None where it is trained.
        plan: How many sessions take turns, and how.
        generation: What one generation reads, and how what it writes is chosen.
        training: What one training reads, and how long it goes on; its batch, where none is
            given, is that of an analysis.
        arc: Which ARC tasks are answered, and how the model is trained on each.
        other_model: The model that is trained beside the first, on the same data.
        host_memory: Bytes of the host that swapped caches may take, given as bytes or as in
            "256GiB"; None leaves it to the target.

    Raises:
        InvalidValue: The budget or the batch size is out of range.
        UsageError: Both a device and a GPU are given, or what is given does not suit the kind.
    """

    json_keys: ClassVar[Mapping[str, Origin]] = {
        **same("kind", "model", "config", "device", "gpu", "memory_budget", "batch_size"),
        "options": lambda request: _written_options(request),
        **same("largest", "serving", "plan", "host_memory", "generation", "training"),
        **same("other_model", "arc"),
    }
    json_optional: ClassVar[tuple[str, ...]] = (
        "largest", "serving", "plan", "host_memory", "generation", "training", "other_model",
        "arc",
    )  # fmt: skip

    kind: RequestKind
    model: str = described(
        REQUIRED,
        "Model",
        "bert, gpt2, resnet, bdh, gpt2-bytes, hf:ID, hf:FOLDER, torchvision:NAME, timm:NAME "
        "or package.module:factory.",
    )
    config: TrainingConfig = field(default_factory=TrainingConfig)
    device: str | None = described(None, "Device", "Device to measure on: cuda, mps, cpu.")
    gpu: str | None = described(None, "GPU", "GPU to simulate; `memorymark gpus` lists them.")
    memory_budget: int | None = described(
        None,
        "Memory budget",
        "Memory limit for a trial, e.g. 4GiB or 512MiB. Default: the whole device; on the CPU, "
        "the smaller of 4 GiB and half of the free memory.",
        read=parse_bytes,
    )
    batch_size: int | None = described(
        None, "Batch size", "Samples per forward pass.", largest=MAX_BATCH_SIZE
    )
    options: AnalysisOptions = field(default_factory=AnalysisOptions)
    gpus: tuple[str, ...] = described(
        (), "GPUs", "Comma-separated GPUs, e.g. a10,a100-40gb. Default: all.", read=split_names
    )
    prices: tuple[tuple[str, float], ...] = described(
        (),
        "Prices",
        "Dollars per hour of GPUs, e.g. a10:0.75,l4:0.8; `live` fetches the others from the "
        "providers. Default: the catalogue's.",
        read=read_prices,
    )
    price_kind: PriceKind | None = described(  # noqa: RUF009  (a StrEnum is never changed)
        None,
        "Kind of price",
        "on-demand, marketplace or spot. Default: on demand, else of a marketplace.",
    )
    live_prices: bool = False
    largest: bool | None = None
    serving: ServingConfig | None = None
    plan: SessionPlan | None = None
    host_memory: int | None = described(
        None,
        "Host memory",
        "Memory of the host for swapped caches, e.g. 256GiB. Default: half of what is free where "
        "it is measured, without a limit where it is simulated.",
        read=lambda amount: parse_bytes(amount, "host memory"),
    )
    generation: GenerationPlan | None = None
    training: TrainingPlan | None = None
    arc: ArcPlan | None = None
    other_model: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", RequestKind(self.kind))
        self._check_prices()
        self._read_bytes()
        for name, make in _FILLED_IN.get(self.kind, {}).items():
            object.__setattr__(self, name, getattr(self, name) or make())
        if self.batch_size is not None:
            check_batch_size(self.batch_size)
        if self.device is not None and self.gpu is not None:
            raise UsageError(
                f"Both the device {self.device!r} and the GPU {self.gpu!r} are given. Give the "
                "device to measure on it, or the GPU to simulate it."
            )
        for name in _NEEDED.get(self.kind, ()):
            if getattr(self, name) is None:
                raise UsageError(f"{self.kind} needs the {name.replace('_', ' ')}.")
        for name in _REFUSED.get(self.kind, ()):
            if getattr(self, name) is not None:
                words = name.replace("_", " ")
                raise UsageError(f"{self.kind} takes no {words}: {getattr(self, name)!r} is given.")

    def _read_bytes(self) -> None:
        for name in ("memory_budget", "host_memory"):
            given = getattr(self, name)
            read = None if given is None else parse_bytes(given, name.replace("_", " "))
            object.__setattr__(self, name, read)

    def _check_prices(self) -> None:
        kind = options_of(Request)["price_kind"].check(self.price_kind)
        object.__setattr__(self, "prices", read_prices(self.prices))
        object.__setattr__(self, "price_kind", kind)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it names: one, or two that write one text."""
        second = self.generation and self.generation.blend
        return (self.model, second) if second else (self.model,)

    @property
    def lock_name(self) -> str:
        """Name of the lock of the device that it needs."""
        if self.device is None:
            return "simulated:0"
        return self.device if ":" in self.device else f"{self.device}:0"

    @property
    def is_simulated(self) -> bool:
        """Whether it names no device of this machine, and does not have to be measured."""
        return self.device is None and self.kind not in MEASURED_ONLY

    @property
    def prices_words(self) -> str:
        """Prices as the command line takes them; empty where they are the catalogue's."""
        live = [LIVE] if self.live_prices else []
        return ",".join([*live, *filter(None, [prices_text(self.prices)])])

    @property
    def identity(self) -> dict[str, Any]:
        """What two requests must share to be one job: everything but money."""
        options = dataclasses.replace(self.options, **_MONEY)
        same = dataclasses.replace(
            self, options=options, prices=(), price_kind=None, live_prices=False
        )
        values = same.to_dict()
        return {**values, "device": self.device and self.lock_name}

    @classmethod
    def before_reading(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read `gpus` from the options, where they are written."""
        options = dict(values.get("options") or {})
        gpus, prices = options.pop("gpus", None), options.pop("prices", "")
        prices, live = without_live(str(prices))
        return {
            **values,
            "options": options,
            "gpus": gpus.split(",") if gpus else (),
            "prices": read_prices(prices),
            "price_kind": options.pop("price_kind", None),
            "live_prices": live,
        }

    def command(self) -> str | None:
        """Return the command line that asks for the same; None where there is none.

        What `fits` asks about lives in a running script, where no command line finds it.

        Example:
            >>> Request(RequestKind.ANALYSIS, "bert", gpu="l4").command()
            'memorymark analyze bert --gpu l4'
        """
        if self.kind is RequestKind.FITS:
            return None
        command = _COMMANDS.get(self.kind, str(self.kind))
        words = ["memorymark", *command.split(), *filter(None, [self.model, self.other_model])]
        trained_by = TRAINED_BY if self.kind is RequestKind.ARC else None
        words += [*self._target_words(), *changed_words(self.config, trained_by)]
        for record in (self.serving, self.plan, self.generation, self.training, self.arc):
            words += [] if record is None else changed_words(record)
        if self.batch_size is not None:
            words += ["--batch-size", str(self.batch_size)]
        if self.prices_words:
            words += ["--prices", self.prices_words]
        if self.price_kind is not None:
            words += ["--price-kind", str(self.price_kind)]
        return shlex.join([*words, *changed_words(self.options, _TAKEN.get(self.kind))])

    def _target_words(self) -> list[str]:
        words = ["--gpus", ",".join(self.gpus)] if self.gpus else []
        words += ["--gpu", self.gpu] if self.gpu else []
        if self.device:
            words += ["--device", self.device]
        if self.memory_budget is not None:
            words += ["--memory-budget", amount_words(self.memory_budget)]
        if self.host_memory is not None:
            words += ["--host-memory", amount_words(self.host_memory)]
        return words


def check_levered(device: str | None) -> None:
    """Refuse levers of a device that nothing simulates: they are found in simulations alone.

    Raises:
        UsageError: The device is no CUDA device.
    """
    if device is not None and device.strip().lower().partition(":")[0] != "cuda":
        raise UsageError(
            f"Levers are simulated, and nothing simulates the device {device!r}; accepted: cuda or "
            "cuda:N. Name a GPU of the catalogue with --gpu; `memorymark gpus` lists them."
        )


def why_not_on(kind: RequestKind, *, simulated: bool) -> str | None:
    """Return why a kind of request has no place on a target; None where it has.

    Args:
        kind: What is to be done.
        simulated: Whether the target is a GPU to simulate.
    """
    if not simulated or kind not in MEASURED_ONLY:
        return None
    return "measured, not simulated: choose a device of this machine as the GPU."


def _written_options(request: Request) -> dict[str, Any]:
    gpus = {"gpus": ",".join(request.gpus)} if request.gpus else {}
    prices = {"prices": request.prices_words} if request.prices_words else {}
    kind = {"price_kind": str(request.price_kind)} if request.price_kind else {}
    return {**changed(request.options), **gpus, **prices, **kind}


def amount_words(value: int) -> str:
    """Write bytes as the command line takes them: in whole GiB or MiB, else as a number."""
    for unit, size in (("GiB", GIB), ("MiB", MIB)):
        if value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def command_line(
    analysis: Analysis,
    memory_budget_bytes: int | None = None,
    given: TrainingConfig | None = None,
) -> str:
    """Write the command that runs the same analysis; options at their defaults are left out.

    Args:
        analysis: The analysis to repeat.
        memory_budget_bytes: The budget that was set, if one was; on the CPU it is known.
        given: The settings that were asked for, without what the model filled in, where known.
    """
    target = analysis.target
    is_simulated = target.gpu_key is not None and target.kind == "simulated"
    if target.kind == "cpu":
        memory_budget_bytes = memory_budget_bytes or analysis.capacity_bytes
    return Request(
        RequestKind.ANALYSIS,
        analysis.workload,
        given or without_filled_in_size(analysis.config),
        device=None if is_simulated else f"{target.kind}:{target.index}".removesuffix(":0"),
        gpu=target.gpu_key if is_simulated else None,
        memory_budget=memory_budget_bytes,
        options=analysis.options,
    ).command()
