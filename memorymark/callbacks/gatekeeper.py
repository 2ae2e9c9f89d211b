"""What the callbacks share: whether a training may begin, and with which batch."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from memorymark.callbacks.first_batch import longest_sample
from memorymark.errors import DoesNotFit, InvalidValue, MemoryMarkError, UsageError, one_sentence
from memorymark.records.config import TrainingConfig
from memorymark.records.fit import Fit
from memorymark.service.live_check import check_live

if TYPE_CHECKING:
    from memorymark.workloads.live.live_workload import LiveTraining

STOP, WARN = "stop", "warn"


def write_to_stderr(sentence: str) -> None:
    """Write a sentence where a training's progress is written."""
    sys.stderr.write(f"MemoryMark: {sentence}\n")


class Gatekeeper:
    """Checks a training before its first step.

    Args:
        gpu: Simulate this GPU of the catalogue.
        device: cuda or cuda:N; with neither, the device that the training uses.
        memory_budget: The most that the training may use, as in "4GiB" or in bytes.
        on_misfit: "stop" ends a training that would not fit, "warn" only says so.
        find: Find the batch: see `batch_to_set`.
        batch: A batch to check, in place of the loader's first.
        longest: True takes the longest samples of the data set, a number sequences of that length.
        say: Is given each sentence.

    Attributes:
        fit: What was found last; None before.

    Raises:
        InvalidValue: on_misfit is none of the two.
    """

    def __init__(
        self,
        *,
        gpu: str | None = None,
        device: str | None = None,
        memory_budget: str | int | None = None,
        on_misfit: str = STOP,
        find: bool = False,
        batch: Any = None,
        longest: bool | int = False,
        say: Callable[[str], None] = write_to_stderr,
    ) -> None:
        if on_misfit not in (STOP, WARN):
            raise InvalidValue("on_misfit", on_misfit, "stop or warn")
        self.fit: Fit | None = None
        self.find, self.batch, self.longest = find, batch, longest
        self._target = {"gpu": gpu, "device": device, "memory_budget": memory_budget}
        self._on_misfit, self._say = on_misfit, say

    @property
    def length(self) -> int | None:
        """Positions that each sample is to have; None leaves them."""
        return None if isinstance(self.longest, bool) else self.longest

    def say(self, sentence: str) -> None:
        """Say a sentence."""
        self._say(sentence)

    def check(
        self, make: Callable[[], LiveTraining], config: TrainingConfig, *, largest: bool = False
    ) -> Fit | None:
        """Check a training; None where that is not possible, which is said.

        Args:
            make: Returns the training; the user's code that gives a batch may run in it.
            config: How it is run.
            largest: Look for the largest batch where this one fits, too.

        Raises:
            UsageError: The callback's own arguments are invalid.
        """
        try:
            self.fit = check_live(make(), config, **self._target, largest=largest)
        except UsageError:
            raise
        except Exception as error:
            sentence = str(error) if isinstance(error, MemoryMarkError) else one_sentence(error)
            self.say(f"The batch was not checked. {sentence}")
            return None
        return self.fit

    def split(
        self,
        make: Callable[[], LiveTraining],
        config: TrainingConfig,
        wanted: tuple[int, int],
        names: tuple[str, str],
    ) -> Split | None:
        """Find the batch to set, and say what it is set to; None where none is found.

        Args:
            make: Returns the training.
            config: How it is run.
            wanted: The batch and the accumulation that were wanted.
            names: What the library calls the two.

        Raises:
            UsageError: The callback's own arguments are invalid.
        """
        fit = self.check(make, config, largest=True)
        split = None if fit is None else split_to_fit(*wanted, fit)
        if fit is None or split is None:
            return None  # what does not fit is said when the training begins
        self.say(
            f"{fit.sentence} {names[0]} was set to {split.batch_size} and {names[1]} to "
            f"{split.accumulation}, which keeps the effective batch of {wanted[0] * wanted[1]}."
        )
        return split

    def say_longest(self, loader: Any, callback: str) -> None:
        """Say what the longest sample of a data set is, where only the first batch was checked."""
        longest = None if self.longest else longest_sample(getattr(loader, "dataset", None))
        if longest is not None:
            self.say(
                f"That is the first batch; the longest sample of the data set has {longest:,} "
                f"positions. {callback}(longest=True) checks with the longest ones."
            )

    def judge(self, fit: Fit, advice: str) -> None:
        """Say whether a batch fits, and stop a training that would not.

        Args:
            fit: What was found.
            advice: How the largest batch that fits is set.

        Raises:
            DoesNotFit: It does not, and the training is to be stopped.
        """
        sentence = " ".join((fit.sentence, *fit.findings))
        if not fit.fits and fit.max_batch_size is not None:
            sentence = f"{sentence} {advice}"
        if fit.fits or self._on_misfit == WARN:
            self.say(sentence)
            return
        raise DoesNotFit(sentence, fit)


@dataclasses.dataclass(frozen=True)
class Split:
    """An effective batch in parts that fit.

    Attributes:
        batch_size: Samples in one forward pass.
        accumulation: How many of them make one update.
    """

    batch_size: int
    accumulation: int


def split_to_fit(batch_size: int, accumulation: int, fit: Fit) -> Split | None:
    """Return the largest batch that fits and divides the effective batch, which stays.

    A larger effective batch would be another training, so that none is made in silence.

    Args:
        batch_size: The batch that was wanted.
        accumulation: The micro-batches that were wanted.
        fit: With the largest batch that fits.

    Returns:
        None where nothing fits.

    Example:
        >>> from memorymark.records.trial import Outcome, Source, Target, Trial
        >>> target = Target("NVIDIA L4", "simulated", Source.SIMULATED, 1)
        >>> trial = Trial("m", 64, TrainingConfig(), target.source, target.name, Outcome.OOM)
        >>> split_to_fit(64, 1, Fit(trial, target, max_batch_size=40))
        Split(batch_size=32, accumulation=2)
    """
    effective, largest = batch_size * accumulation, fit.max_batch_size or 0
    if largest < 1:
        return None
    parts = next(n for n in range(min(largest, effective), 0, -1) if effective % n == 0)
    return Split(parts, effective // parts)
