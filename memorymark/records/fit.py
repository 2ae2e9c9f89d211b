"""Whether a training of the user's own process fits, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from memorymark.records.codec import Origin, Record, same
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome, Target, Trial
from memorymark.units import mib_or_gib


@dataclass(frozen=True)
class Fit(Record):
    """Whether one batch of a training fits on a device; true in a condition where it does.

    Attributes:
        trial: The batch that was asked about, with its memory and breakdown.
        target: The device: its capacity is what this training can have of it.
        max_batch_size: The largest batch that fits; None where it was not looked for, or where
            none fits.
        max_is_lower_bound: Whether larger batches may fit, that were not tried.
        searched: Whether the largest batch was looked for.
        held_bytes: What this process and others hold on the device beside this training; None
            where the device is simulated as a whole.
        tried: The batch sizes that were tried.
        findings: What the user should know, one sentence each.
        elapsed_seconds: Seconds that it took.

    Example:
        >>> from memorymark.records.trial import Source
        >>> target = Target("NVIDIA L4", "simulated", Source.SIMULATED, 4 * 1024**3)
        >>> trial = Trial("Net", 8, TrainingConfig(), target.source, target.name, Outcome.OK,
        ...               peak_reserved_bytes=1024**3, capacity_bytes=target.capacity_bytes)
        >>> print(Fit(trial, target))
        Batch 8 of Net fits on NVIDIA L4 with 3.00 GiB to spare: it needs 1.00 of 4.00 GiB. \
Simulated.
    """

    json_keys: ClassVar[Mapping[str, Origin]] = {
        "model": "trial.model",
        "batch_size": "trial.batch_size",
        **same("fits", "needed_bytes", "capacity_bytes", "spare_bytes", "held_bytes"),
        **same("max_batch_size", "max_is_lower_bound", "searched", "tried", "sentence"),
        "source": "trial.source",
        "device": "target.name",
        **same("findings", "elapsed_seconds", "target", "trial"),
    }

    trial: Trial
    target: Target
    max_batch_size: int | None = None
    max_is_lower_bound: bool = False
    searched: bool = False
    held_bytes: int | None = None
    tried: tuple[int, ...] = ()
    findings: tuple[str, ...] = ()
    elapsed_seconds: float | None = None

    def __bool__(self) -> bool:
        return self.fits

    def __str__(self) -> str:
        return self.sentence

    @property
    def fits(self) -> bool:
        """Whether the batch that was asked about fits."""
        return self.trial.fits

    @property
    def batch_size(self) -> int:
        """The batch size that was asked about."""
        return self.trial.batch_size

    @property
    def config(self) -> TrainingConfig:
        """How it was trained, as far as its own code does not say so."""
        return self.trial.config

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted, one sentence each."""
        return self.trial.assumptions

    @property
    def needed_bytes(self) -> int | None:
        """What the step may take, at the most where it is a range; None where unknown."""
        return self.trial.most_memory_bytes

    @property
    def capacity_bytes(self) -> int | None:
        """What this training can have of the device's memory."""
        return self.target.capacity_bytes

    @property
    def spare_bytes(self) -> int | None:
        """What is left of it; negative where the step needs more than there is."""
        if self.needed_bytes is None or self.capacity_bytes is None:
            return None
        return self.capacity_bytes - self.needed_bytes

    @property
    def sentence(self) -> str:
        """By how much it fits or does not, the largest batch, and whether it was simulated."""
        if self.trial.outcome is Outcome.ERROR:
            return f"Batch {self.batch_size:,} of {self.trial.model} failed: {self.trial.error}"
        parts = [self._verdict(), *self._largest(), f"{self.trial.source.capitalize()}."]
        return " ".join(parts)

    def _verdict(self) -> str:
        what = f"Batch {self.batch_size:,} of {self.trial.model}"
        verb, spare = "fits" if self.fits else "does not fit", self.spare_bytes
        if spare is None or self.needed_bytes is None or (spare < 0) == self.fits:
            return f"{what} {verb} on {self.target.name}."
        amounts = f"it needs {_of(self.needed_bytes, self.capacity_bytes or 0)}"
        if self.fits:
            return (
                f"{what} fits on {self.target.name} with {mib_or_gib(spare)} to spare: {amounts}."
            )
        return (
            f"{what} does not fit on {self.target.name}: {amounts}, {mib_or_gib(-spare)} too much."
        )

    def _largest(self) -> tuple[str, ...]:
        if not self.searched:
            return ()
        if self.max_batch_size is None:
            return ("Not even one sample fits.",) if not self.max_is_lower_bound else ()
        bound = "at least " if self.max_is_lower_bound else ""
        return (f"The largest batch that fits is {bound}{self.max_batch_size:,}.",)


def _of(part: int, whole: int) -> str:
    """Write a part of an amount, its unit only once where both have the same."""
    number, _, unit = mib_or_gib(part).partition(" ")
    of, _, units = mib_or_gib(whole).partition(" ")
    return f"{number} of {of} {unit}" if unit == units else f"{number} {unit} of {of} {units}"
