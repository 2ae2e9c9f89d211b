"""What an effective batch takes, in sentences: its split, its step, rules for learning rates."""

from __future__ import annotations

import math

from memorymark.records.analysis import Analysis
from memorymark.records.effective_batch import AccumulatedStep, EffectiveBatch
from memorymark.units import likely_rate, likely_seconds, likely_usd, mib_or_gib, rate, seconds, usd


def effective_batch_lines(analysis: Analysis) -> list[str]:
    """Say how the wanted effective batch is reached, and what it means for the learning rate."""
    found = analysis.effective_batch
    if found is None:
        return []
    source = str(analysis.target.source)
    lines = [
        f"Effective batch {found.batch_size:,} at the {step_words(x, source)}" for x in found.steps
    ]
    return [*lines, learning_rate_words(found)]


def step_words(step: AccumulatedStep, source: str) -> str:
    """Say how a step is split, and what it takes.

    Args:
        step: The step.
        source: Where its figures come from: measured or simulated.
    """
    parts = step.split
    plural = "micro-batch" if parts.accumulation == 1 else "micro-batches"
    last = ""
    if parts.last_micro_batch_size != parts.micro_batch_size:
        last = f", the last of {parts.last_micro_batch_size:,}"
    said = f"{step.mark} batch: {parts.accumulation:,} {plural} of {parts.micro_batch_size:,}{last}"
    if step.fits is None:
        return f"{said}; it could not be tried: {step.error}"
    if not step.fits:
        return f"{said}, which does not fit: gradients live on from one micro-batch to the next."
    thousand = None if step.usd is None else step.usd * 1000
    likely = likely_usd(step.likely(thousand))
    cost = "" if thousand is None else f", {usd(thousand)} for a thousand{likely}"
    band = likely_seconds(step.seconds_low, step.seconds_high)
    part = f", from {step.tried_accumulation} micro-batches" if step.tried_accumulation else ""
    return (
        f"{said}; a step takes {seconds(step.seconds)}{band}{cost}, "
        f"{mib_or_gib(step.memory_bytes)}, {rate(step.samples_per_second)} samples/s"
        f"{likely_rate(step.speed_band)} ({source}{part})."
    )


def learning_rate_words(found: EffectiveBatch) -> str:
    """Name the usual rules for the learning rate, and what each comes to; none is applied.

    Sources: Goyal et al. 2017, arXiv 1706.02677; Hoffer et al. 2017, arXiv 1705.08741; Malladi et
    al. 2022, arXiv 2205.10287.
    """
    if found.ratio == 1:
        return "The effective batch stays as it is today: so does the learning rate."
    return (
        f"From today's effective batch of {found.current_batch_size:,} to {found.batch_size:,} the "
        f"learning rate is usually scaled by {found.ratio:.3g} (linear: Goyal et al. 2017 for SGD) "
        f"or by {math.sqrt(found.ratio):.3g} (square root: Hoffer et al. 2017 for SGD, Malladi et "
        "al. 2022 for Adam). Neither is applied here."
    )
