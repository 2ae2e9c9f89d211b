"""The batch that survives the longest samples, and what batching by length would buy.

A shuffled batch is padded to its longest sample and may draw the longest of all, so the analysis
runs at that length. Everything else here is tried beside it, each batch at its length: the largest
batch at the mean length, which is what a run on typical samples would have promised; batches as
large as recommended, of samples of similar lengths; and batches of as many tokens as that one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from memorymark.analysis.search import find_max_batch
from memorymark.errors import InvalidValue
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import MAX_BATCH_SIZE, TrainingConfig
from memorymark.records.length_distribution import Lengths
from memorymark.records.length_report import Batching, LengthReport, LengthTrial
from memorymark.records.trial import Outcome, Trial

BUCKETS = 5
"""Buckets of samples of similar lengths, each with as many samples."""

_MULTIPLE = 8  # what collators pad to
_MOST_TRIES = 4
_SMALLER = 0.85

Run = Callable[[TrainingConfig, int], Trial]


def at_longest(config: TrainingConfig, options: AnalysisOptions) -> TrainingConfig:
    """Return the config at the longest length that was given, as it is where none was."""
    found = options.distribution
    return config if found is None else dataclasses.replace(config, seq_len=found.longest)


def check_reads_text(config: TrainingConfig, options: AnalysisOptions, name: str) -> None:
    """Refuse lengths for a model whose samples have none in tokens.

    Raises:
        InvalidValue: It reads no text.
    """
    asked = options.lengths or options.length_range
    if asked and config.task is not None and "seq_len" not in config.task.lengths:
        raise InvalidValue("lengths", asked, f"nothing: {name!r} reads no text")


def with_lengths(analysis: Analysis, run: Run) -> Analysis:
    """Add what the distribution of lengths means, from trials at the lengths concerned.

    Args:
        analysis: The analysis at the longest length, with its marks.
        run: Runs a trial of a config at a batch size.
    """
    found = analysis.options.distribution
    if found is None:
        return analysis
    report = LengthReport(
        longest=found.longest,
        mean=found.mean,
        samples=None if found.assumed else found.samples,
        assumed=found.assumed,
        surviving_batch_size=analysis.max_batch_size,
        promised_batch_size=_promised(analysis, found, run),
        batchings=_Batchings(analysis, found, run).all() if analysis.optimal.batch_size else (),
    )
    return dataclasses.replace(analysis, lengths=report)


def buckets(found: Lengths, count: int = BUCKETS) -> list[tuple[int, float]]:
    """Return (length to pad to, share of samples) of buckets with about as many samples each."""
    made: list[tuple[int, float]] = []
    taken, shares = 0.0, list(found.shares())
    for number in range(1, count + 1):
        length, share = next(x for x in shares if x[1] >= number / count - 1e-9)
        padded = min(found.longest, -(-length // _MULTIPLE) * _MULTIPLE)
        share = max(below for each, below in shares if each <= padded)
        if share > taken:
            made.append((padded, share - taken))
            taken = share
    return made


def _promised(analysis: Analysis, found: Lengths, run: Run) -> int | None:
    """Return the largest batch at the mean length, within the analysis' own limits."""
    mean, options = math.ceil(found.mean), analysis.options
    if mean >= found.longest:
        return analysis.max_batch_size
    config = dataclasses.replace(analysis.config, seq_len=mean)
    largest = analysis.max_batch_size
    return find_max_batch(
        lambda batch_size: run(config, batch_size),
        granularity=options.granularity,
        upper=options.upper_bound,
        capacity_bytes=analysis.capacity_bytes,
        guess=None if largest is None else int(largest * found.longest / mean),
    ).max_batch_size


class _Batchings:
    """Tries ways to make batches, each batch size and length once."""

    def __init__(self, analysis: Analysis, found: Lengths, run: Run) -> None:
        self.config, self.found, self._run = analysis.config, found, run
        self.batch_size = analysis.optimal.batch_size or 1
        self.tokens = self.batch_size * found.longest
        self.most = min(MAX_BATCH_SIZE, analysis.options.dataset_size or MAX_BATCH_SIZE)
        self._known = {(trial.config.seq_len, trial.batch_size): trial for trial in analysis.trials}

    def all(self) -> tuple[Batching, ...]:
        """Return them, the usual one first."""
        made = self.shuffled(), self.by_length(), self.by_tokens()
        return tuple(self.with_range(each) if self.found.assumed else each for each in made)

    def shuffled(self) -> Batching:
        """Return batches of random samples, padded to the expected longest of each."""
        length = self.found.expected_longest_of(self.batch_size)
        return _batching("shuffled", [self.tried(length, self.batch_size, 1.0)])

    def by_length(self) -> Batching:
        """Return batches as large as recommended, of samples of similar lengths."""
        tried = [
            self.tried(length, self.batch_size, share) for length, share in buckets(self.found)
        ]
        return _batching("by length", tried)

    def by_tokens(self) -> Batching:
        """Return batches of as many tokens as the recommended one at the longest length."""
        tried = [self.with_tokens(length, share) for length, share in buckets(self.found)]
        return _batching("token budget", tried, tokens=self.tokens)

    def with_range(self, made: Batching) -> Batching:
        """Say what other distributions with the same shortest, mean and longest would give.

        Where a sample's seconds grow faster with its length than in proportion, they are the least
        where all samples are of the mean, and the most where each is the shortest or the longest.
        """
        low, mean, high = self.found.shortest, math.ceil(self.found.mean), self.found.longest
        share = (self.found.mean - low) / (high - low) if high > low else 0.0
        ends = [(low, 1 - share), (high, share)]
        if made.name == "shuffled":  # the longest of each batch may be the longest of all
            worst = [self.tried(high, self.batch_size, 1.0)]
        elif made.tokens:
            worst = [self.with_tokens(length, part) for length, part in ends if part]
        else:
            worst = [self.tried(length, self.batch_size, part) for length, part in ends if part]
        best = self.with_tokens(mean, 1.0) if made.tokens else self.tried(mean, self.batch_size, 1)
        speeds = [made.samples_per_second, _speed(worst), _speed([best])]
        known = [speed for speed in speeds if speed is not None]
        if len(known) < len(speeds):
            return made
        return dataclasses.replace(
            made, samples_per_second_low=min(known), samples_per_second_high=max(known)
        )

    def with_tokens(self, length: int, share: float) -> LengthTrial:
        """Try as many samples as the tokens allow; fewer where they do not fit."""
        batch_size = max(1, min(self.tokens // length, self.most))
        for _ in range(_MOST_TRIES):
            tried = self.tried(length, batch_size, share)
            if tried.fits is not False or batch_size == 1:
                break
            batch_size = max(1, int(batch_size * _SMALLER))
        return tried

    def tried(self, length: int, batch_size: int, share: float) -> LengthTrial:
        """Try a batch at a length."""
        trial = self._known.get((length, batch_size))
        if trial is None:
            config = dataclasses.replace(self.config, seq_len=length)
            trial = self._known[length, batch_size] = self._run(config, batch_size)
        return LengthTrial(
            length,
            batch_size,
            share,
            fits=None if trial.outcome is Outcome.ERROR else trial.fits,
            memory_bytes=trial.memory_bytes,
            step_seconds=trial.step_seconds if trial.fits else None,
            samples_per_second=trial.samples_per_second if trial.fits else None,
            speed_band=trial.speed_band if trial.fits else None,
        )


def _batching(name: str, trials: Sequence[LengthTrial], tokens: int | None = None) -> Batching:
    batches = sum(trial.share / trial.batch_size for trial in trials)
    return Batching(
        name,
        tuple(trials),
        batch_size=1 / batches if batches else None,
        samples_per_second=_speed(trials),
        speed_band=_band(trials),
        tokens=tokens,
    )


def _speed(trials: Iterable[LengthTrial]) -> float | None:
    """Return samples of the data set over the seconds that all of its batches take."""
    return _mean_speed((trial.share, trial.samples_per_second) for trial in trials)


def _band(trials: Sequence[LengthTrial]) -> tuple[float, float] | None:
    """Return the same at both ends of the estimates' bands: they err together, if they err."""
    bands = [(trial.share, trial.speed_band) for trial in trials]
    low, high = (
        _mean_speed((share, band and band[end]) for share, band in bands) for end in (0, 1)
    )
    return None if low is None or high is None else (low, high)


def _mean_speed(speeds: Iterable[tuple[float, float | None]]) -> float | None:
    seconds = 0.0
    for share, samples_per_second in speeds:
        if not samples_per_second:
            return None
        seconds += share / samples_per_second
    return 1 / seconds if seconds else None
