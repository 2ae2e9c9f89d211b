"""Scripts that train with what a result found, and what was promised of them."""

from __future__ import annotations

from memorymark.errors import UsageError
from memorymark.records.analysis import Analysis
from memorymark.records.trial import Source, Target, Trial
from memorymark.report.settings_phrase import training_phrase
from memorymark.report.snippets import snippet, trainer_snippet
from memorymark.units import mib_or_gib

_NAMED = ("torch", "transformers", "torchvision", "timm", "peft", "memorymark")


def script_of(result: Analysis | Trial, *, trainer: bool = False) -> str:
    """Return a script that trains with the recommended batch of an analysis, or as a trial did.

    Args:
        result: An analysis, or one trial.
        trainer: Whether transformers' Trainer runs the loop, in place of plain PyTorch.

    Raises:
        UsageError: There is no batch to train with, or no name to make the model by.
    """
    write = trainer_snippet if trainer else snippet
    if isinstance(result, Analysis):
        best = result.optimal.batch_size
        if best is None:
            raise UsageError("There is no script: the analysis found no batch that fits.")
        return write(result.workload, result.config, best, _promise(result))
    if not result.fits:
        raise UsageError(f"There is no script: batch size {result.batch_size:,} does not fit.")
    return write(result.model, result.config, result.batch_size, _trial_promise(result))


def _promise(analysis: Analysis) -> list[str]:
    best, when = analysis.optimal, analysis.created_at[:10]
    return [
        f"Trains {analysis.workload} at batch size {best.batch_size:,}, as MemoryMark recommends.",
        _memory(analysis.target, best.memory_bytes, analysis.capacity_bytes, when),
        *_settings(analysis),
    ]


def _settings(of: Analysis | Trial) -> list[str]:
    versions = ", ".join(f"{each} {of.software[each]}" for each in _NAMED if each in of.software)
    return [
        f"Settings: {training_phrase(of.config)}.",
        *([f"With {versions}."] if versions else []),
    ]


def _trial_promise(trial: Trial) -> list[str]:
    how = "Simulated for" if trial.source is Source.SIMULATED else "Measured on"
    needed, capacity = mib_or_gib(trial.memory_bytes), mib_or_gib(trial.capacity_bytes)
    return [
        f"Trains {trial.model} at batch size {trial.batch_size:,}.",
        f"{how} {trial.device}: {needed} of {capacity}.",
        *_settings(trial),
    ]


def _memory(target: Target, needed: int | None, capacity: int | None, when: str) -> str:
    how = "Simulated for" if target.source is Source.SIMULATED else "Measured on"
    kind = "of tensors" if target.kind == "cpu" else "reserved"
    return f"{how} {target.name}, {when}: {mib_or_gib(needed)} {kind} of {mib_or_gib(capacity)}."
