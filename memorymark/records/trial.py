"""One trial: a workload trained at one batch size, and its readings. Data only.

Bytes are integers. None means unknown, never 0 or -1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from memorymark.records.codec import Record
from memorymark.records.config import TrainingConfig
from memorymark.records.held_memory import Breakdown, Holder, HolderGroup, Timeline
from memorymark.units import gib_range


class Source(StrEnum):
    """Where a number comes from."""

    MEASURED = "measured"
    SIMULATED = "simulated"


class Outcome(StrEnum):
    """How a trial ended. Out of memory is a normal result."""

    OK = "ok"
    OOM = "oom"
    ERROR = "error"


class Stage(StrEnum):
    """How far a training step goes. Everything but validations runs the whole step."""

    FORWARD_ONLY = "forward-only"
    FORWARD = "forward"
    BACKWARD = "backward"
    STEP = "step"


# Under this name the `software` of a trial keeps the settings of the caching allocator, if any.
ALLOCATOR_SETTINGS = "PYTORCH_ALLOC_CONF"


@dataclass(frozen=True)
class Target:
    """What trials run on.

    Attributes:
        name: As people call it, as in "NVIDIA A100 40GB".
        kind: cuda, mps, cpu or simulated.
        source: Whether its trials are measured or simulated.
        capacity_bytes: What a trial may use: the device's memory or the budget, the smaller.
        total_bytes: The device's whole memory, where known.
        gpu_key: Key in the GPU catalogue, where it is one of its rows.
        index: Number of the device among its kind.
        memory_budget_bytes: The budget that a simulated GPU was given, where it is below what
            trials could use; measured, capacity and total say it.
    """

    json_optional: ClassVar[tuple[str, ...]] = ("memory_budget_bytes",)

    name: str
    kind: str
    source: Source
    capacity_bytes: int | None
    total_bytes: int | None = None
    gpu_key: str | None = None
    index: int = 0
    memory_budget_bytes: int | None = None

    @property
    def budget_bytes(self) -> int | None:
        """The budget that its trials had to keep to; None where they could use all of it."""
        is_capped = self.kind == "cpu" or (self.total_bytes or 0) > (self.capacity_bytes or 0)
        if self.source is Source.MEASURED:
            return self.capacity_bytes if is_capped else None
        return self.memory_budget_bytes

    @property
    def lock_name(self) -> str:
        """Name of the lock that trials on this device share."""
        return f"{self.kind}:{self.index}"


@dataclass(frozen=True)
class GradientCheck:
    """What a backward pass left in `.grad`.

    Attributes:
        trainable_parameters: Parameters that require a gradient.
        with_gradient: Those of them that have one.
        finite: Whether all gradients are finite; None where there are no values to look at.
        trainable_bytes: Bytes of the parameters that require a gradient.
        gradient_bytes: Bytes of their gradients.
        missing: Names of the first parameters without a gradient, at most ten.
    """

    trainable_parameters: int
    with_gradient: int
    finite: bool | None
    trainable_bytes: int
    gradient_bytes: int
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial(Record):
    """One workload, one config, one batch size, run once on one target.

    Attributes:
        model: The workload's name.
        batch_size: Samples in one forward pass.
        config: How it was trained.
        source: Measured or simulated.
        device: Name of the device, measured or simulated.
        outcome: ok, oom or error.
        peak_allocated_bytes: Most bytes that live tensors held.
        peak_reserved_bytes: Most bytes that the caching allocator held; of a range, the best
            single figure.
        peak_reserved_low_bytes: Where the peak is a range, since libraries may or may not take
            optional workspaces, its lower end.
        peak_reserved_high_bytes: Its higher end.
        process_bytes: Reserved plus context: what nvidia-smi shows for the process.
        capacity_bytes: What the trial could use.
        minimum_bytes: Least device memory in which the step still runs.
        breakdown: What was alive at the peak.
        holders: The ten largest holders at the peak.
        holder_groups: The ten largest groups of holders of one kind, of all holders.
        timeline: Live bytes over the last step.
        step_seconds: Median seconds of one optimizer step.
        step_seconds_low: Where they are estimated, the least that is likely.
        step_seconds_high: The most that is likely.
        step_seconds_spread: What timed steps differ by: their interquartile range over their
            median; None where too few were timed.
        first_step_seconds: Seconds of the first step, with all that is done only once.
        elapsed_seconds: Seconds that the trial took, all included.
        stage: How far each step went.
        gradient_check: What the backward pass left, where one ran.
        thrashing: Whether the allocator had to give back its cache and retry.
        convolution_workspace_bytes: The largest optional workspace of a convolution that the
            range of the reserved peak allows for.
        assumptions: What was answered or allowed for without knowing, one sentence each.
        findings: What the user should know, such as a leak.
        error: The sentence of the error, where the outcome is error or oom.
        software: Versions of what ran.
    """

    json_extra: ClassVar[tuple[str, ...]] = ("fits", "samples_per_second")
    json_optional: ClassVar[tuple[str, ...]] = (
        "step_seconds_low", "step_seconds_high", "step_seconds_spread",
    )  # fmt: skip

    model: str
    batch_size: int
    config: TrainingConfig
    source: Source
    device: str
    outcome: Outcome
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    peak_reserved_low_bytes: int | None = None
    peak_reserved_high_bytes: int | None = None
    process_bytes: int | None = None
    capacity_bytes: int | None = None
    minimum_bytes: int | None = None
    breakdown: Breakdown | None = None
    holders: tuple[Holder, ...] = ()
    holder_groups: tuple[HolderGroup, ...] = ()
    timeline: Timeline | None = None
    step_seconds: float | None = None
    step_seconds_low: float | None = None
    step_seconds_high: float | None = None
    step_seconds_spread: float | None = None
    first_step_seconds: float | None = None
    elapsed_seconds: float | None = None
    stage: Stage = Stage.STEP
    gradient_check: GradientCheck | None = None
    thrashing: bool | None = None
    convolution_workspace_bytes: int | None = None
    assumptions: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    error: str | None = None
    software: dict[str, str] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether the step completed within the capacity."""
        return self.outcome is Outcome.OK

    @property
    def samples_per_second(self) -> float | None:
        """Samples through one optimizer step, over its seconds."""
        if not self.step_seconds:
            return None
        return self.batch_size * self.config.gradient_accumulation / self.step_seconds

    @property
    def speed_band(self) -> tuple[float, float] | None:
        """The least and the most samples a second that are likely; None where there is no band."""
        if not self.step_seconds_low or not self.step_seconds_high:
            return None
        samples = self.batch_size * self.config.gradient_accumulation
        return samples / self.step_seconds_high, samples / self.step_seconds_low

    @property
    def memory_bytes(self) -> int | None:
        """The reading that people compare with a device's memory: reserved, else allocated.

        Out of memory: the least that the step would run in, None if unknown. What was
        alive when the allocator gave up may be far below the capacity.
        """
        if self.outcome is Outcome.OOM:
            return self.minimum_bytes
        if self.peak_reserved_bytes is not None:
            return self.peak_reserved_bytes
        return self.peak_allocated_bytes

    @property
    def most_memory_bytes(self) -> int | None:
        """The memory that it may take: the higher end of a range, else `memory_bytes`."""
        if self.fits and self.peak_reserved_high_bytes is not None:
            return self.peak_reserved_high_bytes
        return self.memory_bytes

    @property
    def reserved_range(self) -> str | None:
        """The range of the reserved peak in words; None where it reads as one figure."""
        low, high = self.peak_reserved_low_bytes, self.peak_reserved_high_bytes
        ends = gib_range(low, high)
        if " to " not in ends:
            return None
        return f"{ends}, depending on which cuDNN workspaces find room"

    @property
    def capacity_share(self) -> float | None:
        """Memory over capacity: above 1 where it does not fit, None where unknown."""
        if self.memory_bytes is None or not self.capacity_bytes:
            return None
        return self.memory_bytes / self.capacity_bytes
