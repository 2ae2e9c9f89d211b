"""Micro-batches times accumulation for a wanted effective batch, each of them tried.

With accumulation the gradients live on into the next forward pass: the largest batch that trains
without may not train with it, so a split that runs out of memory is followed by a smaller one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from memorymark.records.analysis import Analysis
from memorymark.records.config import TrainingConfig
from memorymark.records.effective_batch import AccumulatedStep, EffectiveBatch, Split
from memorymark.records.trial import Outcome, Source, Trial

# A divisor is taken where it needs at most this many times as many micro-batches.
_MORE_FOR_A_DIVISOR = 1.25
# A measured step of more micro-batches is measured in part: its memory is the same from two on.
MOST_MEASURED = 8
_MOST_TRIES = 4
_SMALLER = 0.85

Run = Callable[[TrainingConfig, int], Trial]


def split(batch_size: int, largest: int) -> Split:
    """Split an effective batch into micro-batches that do not exceed the largest.

    Equal ones where few more of them make them equal, else as equal as they can be, but the last.

    Example:
        >>> split(256, 40), split(250, 100)
        (Split(micro_batch_size=32, accumulation=8, last_micro_batch_size=32), \
Split(micro_batch_size=84, accumulation=3, last_micro_batch_size=82))
    """
    fewest = -(-batch_size // largest)
    counts = range(fewest, int(fewest * _MORE_FOR_A_DIVISOR) + 1)
    count = next((each for each in counts if batch_size % each == 0), fewest)
    micro = -(-batch_size // count)
    count = -(-batch_size // micro)
    return Split(micro, count, batch_size - micro * (count - 1))


def with_effective_batch(analysis: Analysis, run: Run) -> Analysis:
    """Try the effective batch that was asked for, at the recommended and the largest batch.

    Args:
        analysis: The analysis, with its marks.
        run: Runs a trial of a config at a batch size.
    """
    wanted = analysis.options.effective_batch_size
    marks = {"recommended": analysis.optimal.batch_size, "largest": analysis.max.batch_size}
    known = {mark: size for mark, size in marks.items() if size is not None}
    if wanted is None or not known:
        return analysis
    steps: list[AccumulatedStep] = []
    for mark, largest in known.items():
        alike = next((x for x in steps if x.split == split(wanted, largest)), None)
        found = dataclasses.replace(alike, mark=mark) if alike else None
        steps.append(found or _tried(analysis, run, wanted, mark, largest))
    made = EffectiveBatch(wanted, current_effective(analysis), tuple(steps))
    return priced(dataclasses.replace(analysis, effective_batch=made))


def priced(analysis: Analysis) -> Analysis:
    """Work out what the steps cost at the analysis' price, beside its current batch."""
    found = analysis.effective_batch
    if found is None:
        return analysis
    found = found.at(current_effective(analysis), analysis.options.price_per_hour)
    return dataclasses.replace(analysis, effective_batch=found)


def current_effective(analysis: Analysis) -> int:
    """Return the samples of an optimizer step of today."""
    return analysis.options.current_batch_size * analysis.config.gradient_accumulation


def _tried(analysis: Analysis, run: Run, wanted: int, mark: str, largest: int) -> AccumulatedStep:
    is_measured = analysis.target.source is Source.MEASURED
    for _ in range(_MOST_TRIES):
        parts = split(wanted, largest)
        count = min(parts.accumulation, MOST_MEASURED) if is_measured else parts.accumulation
        config = dataclasses.replace(analysis.config, gradient_accumulation=count)
        trial = run(config, parts.micro_batch_size)
        if trial.outcome is not Outcome.OOM or parts.micro_batch_size == 1:
            break
        largest = max(1, int(parts.micro_batch_size * _SMALLER))
    steps = (trial.step_seconds, trial.step_seconds_low, trial.step_seconds_high)
    seconds, low, high = (each and each * parts.accumulation / count for each in steps)
    return AccumulatedStep(
        mark,
        parts,
        fits=None if trial.outcome is Outcome.ERROR else trial.fits,
        memory_bytes=trial.memory_bytes,
        seconds=seconds,
        seconds_low=low,
        seconds_high=high,
        samples_per_second=wanted / seconds if seconds else None,
        tried_accumulation=count if count != parts.accumulation else None,
        error=trial.error if trial.outcome is Outcome.ERROR else None,
    )
