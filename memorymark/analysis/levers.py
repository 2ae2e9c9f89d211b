"""Changes of the config that reduce memory, and what each saves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from memorymark.errors import MemoryMarkError
from memorymark.records.config import Optimizer, Precision, Task, TrainingConfig, UseCache
from memorymark.records.mark import Advice
from memorymark.records.trial import Outcome, Trial

_SMALLEST = {"seq_len": 16, "image_size": 64, "audio_seconds": 1}
_WITHOUT_STATES = (Optimizer.NONE, Optimizer.SGD)
_DECODING = (Task.CAUSAL_LM, Task.SEQ2SEQ_LM)
_FULL_PRECISION = (Precision.FP32, Precision.TF32)


def possible_changes(config: TrainingConfig) -> tuple[Advice, ...]:
    """List the changes of a config that take less memory, those that cost least first."""
    return tuple(Advice(text, change) for text, change in _changes(config))


def with_gains(
    simulate: Callable[[TrainingConfig], Trial],
    config: TrainingConfig,
    batch_size: int,
    before_bytes: int | None,
    changes: Iterable[Advice],
) -> tuple[Advice, ...]:
    """Try each change and say what it saves.

    A change that cannot be tried keeps its words and has no figures.

    Args:
        simulate: Simulates a trial of a config at that batch size.
        config: The config that does not fit.
        batch_size: Batch size that the trials have.
        before_bytes: What the unchanged config needs there; None where unknown.
        changes: The changes to try.
    """
    return tuple(_tried(simulate, config, batch_size, before_bytes, change) for change in changes)


def needed_bytes(trial: Trial) -> int | None:
    """Return what a trial needs; None where it was abandoned before that was known."""
    needed = trial.minimum_bytes or trial.peak_allocated_bytes
    if needed is None or trial.fits:
        return needed
    return needed if trial.capacity_bytes is not None and needed > trial.capacity_bytes else None


def _tried(
    simulate: Callable[[TrainingConfig], Trial],
    config: TrainingConfig,
    batch_size: int,
    before_bytes: int | None,
    advice: Advice,
) -> Advice:
    if not advice.change:
        return advice
    try:
        trial = simulate(dataclasses.replace(config, **advice.change))
    except MemoryMarkError:
        return advice
    if trial.outcome is Outcome.ERROR:
        return advice
    after = needed_bytes(trial)
    return dataclasses.replace(
        advice,
        batch_size=batch_size,
        memory_bytes=after,
        saved_bytes=None if before_bytes is None or after is None else before_bytes - after,
        fits=trial.fits,
    )


def _changes(config: TrainingConfig) -> Iterable[tuple[str, dict[str, Any]]]:
    if _may_cache(config):
        yield "Do without the generation cache, which training does not use.", {"use_cache": "off"}
    if not config.gradient_checkpointing:
        yield "Turn gradient checkpointing on.", {"gradient_checkpointing": True}
    if config.precision in _FULL_PRECISION:
        yield "Train in mixed precision (amp-bf16).", {"precision": "amp-bf16"}
    if config.precision not in (Precision.BF16, Precision.FP16):
        yield "Keep the weights in bf16.", {"precision": "bf16"}
    yield from _optimizer_changes(config)
    yield from _input_changes(config)
    yield "Use a GPU with more memory, or a smaller model.", {}


def _may_cache(config: TrainingConfig) -> bool:
    """Whether a decoder may make its cache for generation; recomputing layers make none."""
    is_asked = config.use_cache is not UseCache.OFF and not config.gradient_checkpointing
    return is_asked and config.task in _DECODING


def _optimizer_changes(config: TrainingConfig) -> Iterable[tuple[str, dict[str, Any]]]:
    if config.optimizer in _WITHOUT_STATES:
        return
    if config.optimizer is not Optimizer.ADAFACTOR:
        yield "Use Adafactor, which keeps factored states.", {"optimizer": "adafactor"}
    yield "Use SGD without momentum, which keeps no states.", {"optimizer": "sgd"}


def _input_changes(config: TrainingConfig) -> Iterable[tuple[str, dict[str, Any]]]:
    read = config.task.lengths if config.task else ("seq_len",)
    if "seq_len" in read:
        yield from _half("seq_len", config.seq_len, "Train on shorter sequences ({} tokens).")
    elif "audio_seconds" in read:
        yield from _half("audio_seconds", config.audio_seconds, "Train on shorter audio ({} s).")
    else:
        yield from _half("image_size", config.image_size, "Train on smaller images ({} pixels).")


def _half(name: str, value: int | None, text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    half = (value or 0) // 2
    if half >= _SMALLEST[name]:
        yield text.format(half), {name: half}
