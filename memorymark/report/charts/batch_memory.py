"""One batch's memory as one bar: what it takes, what the device has, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass

from memorymark.records.held_memory import CATEGORIES
from memorymark.records.trial import Trial
from memorymark.report.charts.palette import CATEGORY_COLOURS, CATEGORY_WORDS
from memorymark.units import gib, gib_at_most, percent

_CACHED = "Held by the allocator, unused"
_REST_COLOUR = "#b4bdc6"


@dataclass(frozen=True)
class Part:
    """A part of the bar.

    Attributes:
        words: What it is.
        colour: Its colour, the same in all charts.
        bytes: How much it takes.
    """

    words: str
    colour: str
    bytes: int


@dataclass(frozen=True)
class MemoryBar:
    """What the bar shows; all of its figures stand in words beside it too.

    Attributes:
        batch_size: Samples in the batch.
        fits: Whether it fits.
        parts: What takes memory at the peak, in the order in which it is drawn.
        used_bytes: What the batch takes, at most where that is a range; None where not known.
        capacity_bytes: What it may take.
        headroom_bytes: What of it should stay free.
        is_budget: Whether a budget limits it, and not the device.
        likely_bytes: Of a range, the best single figure; else what the batch takes.
    """

    batch_size: int
    fits: bool
    parts: tuple[Part, ...]
    used_bytes: int | None
    capacity_bytes: int
    headroom_bytes: int
    is_budget: bool = False
    likely_bytes: int | None = None

    @property
    def end_bytes(self) -> int:
        """The whole length of the bar: the capacity, or what is needed where that is more."""
        return max(self.capacity_bytes, sum(part.bytes for part in self.parts))

    @property
    def has_headroom(self) -> bool:
        """Whether it fits and leaves the headroom free."""
        return self.fits and (self.used_bytes or 0) <= self.capacity_bytes - self.headroom_bytes

    @property
    def sentence(self) -> str:
        """Say whether it fits, and by how much."""
        capacity, used = gib(self.capacity_bytes), gib(self.used_bytes)
        if not self.fits:
            limit = f"{'the memory budget is' if self.is_budget else 'this GPU has'} {capacity}"
            needs = f"more than {capacity}" if self.used_bytes is None else used
            return f"Does not fit: batch {self.batch_size:,} needs {needs}; {limit} (simulated)."
        if self.used_bytes is None:
            return f"Batch {self.batch_size:,} fits into {capacity} (simulated)."
        free = self.capacity_bytes - self.used_bytes
        one = self.used_bytes if self.likely_bytes is None else self.likely_bytes
        most = gib_at_most(one, self.used_bytes)
        least = "at least " if most else ""
        said = (
            f"{gib(one).removesuffix(' GiB')}{most} of {capacity}, {least}{gib(free)} free "
            "(simulated)."
        )
        if self.has_headroom:
            return f"Fits: {said}"
        return f"Fits with only {percent(free / self.capacity_bytes)} to spare: {said}"

    @property
    def described(self) -> str:
        """Say what the bar shows to who does not see it."""
        parts = ", ".join(f"{part.words} {gib(part.bytes)}" for part in self.parts)
        return f"{self.sentence} {parts}." if parts else self.sentence


def memory_bar(trial: Trial, headroom: float, usable_bytes: int | None = None) -> MemoryBar:
    """Return the bar of a trial.

    Args:
        trial: A trial on a device whose capacity is known.
        headroom: Share of the capacity that should stay free.
        usable_bytes: What the device has without a budget, where that is known.
    """
    used, capacity = trial.most_memory_bytes, trial.capacity_bytes or 0
    return MemoryBar(
        trial.batch_size,
        trial.fits,
        _parts(trial, used),
        used,
        capacity,
        round(headroom * capacity),
        is_budget=usable_bytes is not None and capacity < usable_bytes,
        likely_bytes=trial.memory_bytes,
    )


def _parts(trial: Trial, used_bytes: int | None) -> tuple[Part, ...]:
    broken = trial.breakdown
    known = [] if broken is None else [(name, getattr(broken, name)) for name in CATEGORIES]
    parts = [
        Part(CATEGORY_WORDS[name], CATEGORY_COLOURS[name], held) for name, held in known if held > 0
    ]
    rest = (used_bytes or 0) - sum(part.bytes for part in parts)
    if rest > 0:
        parts.append(Part(_CACHED if parts else "In use", _REST_COLOUR, rest))
    return tuple(parts)
