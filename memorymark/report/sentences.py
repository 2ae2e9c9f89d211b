"""Records as lines of text: the verdict first, then what it is of, then the figures."""

from __future__ import annotations

from collections.abc import Iterable

from memorymark.records.analysis import Analysis
from memorymark.records.event import trial_line
from memorymark.records.gain import SMALLEST_SIMULATED_GAIN
from memorymark.records.mark import Advice, Mark
from memorymark.records.request import Request
from memorymark.records.trial import Source
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.report.effective_batch_words import effective_batch_lines
from memorymark.report.length_words import length_lines
from memorymark.report.settings_phrase import analysis_phrase, validation_phrase
from memorymark.report.verdict import change_in_speed, largest_words, step_words, verdict
from memorymark.units import (
    count,
    likely_rate,
    likely_usd,
    mib_or_gib,
    percent,
    rate,
    seconds,
    usd,
)


def analysis_lines(analysis: Analysis, asked: Request | None = None) -> list[str]:
    """Write an analysis as lines of text: verdict, settings, figures, costs, notes, advice."""
    lines = [verdict(analysis), analysis_phrase(analysis, asked), ""]
    if analysis.optimal.batch_size is not None:
        lines += [*_figures(analysis), *_cost_lines(analysis)]
    lines += [*effective_batch_lines(analysis), *length_lines(analysis)]
    lines += [f"Note: {text}" for text in (*analysis.findings, *analysis.remarks)]
    lines += [f"Try: {_advice_line(advice)}" for advice in analysis.advice]
    lines.append(_origin(analysis))
    return lines


def backward_lines(validation: BackwardValidation, asked: Request | None = None) -> list[str]:
    """Write a validation of the backward pass as lines of text."""
    lines = [f"{validation.verdict}: {validation_phrase(validation, asked)}"]
    lines += [f"  {reason}" for reason in validation.reasons]
    lines += [f"  {trial.stage}: {trial_line(trial)}" for trial in validation.trials]
    if validation.overestimate is not None:
        lines.append(
            f"Largest batch that trains: {count(validation.max_batch_size)}; a tool that only runs "
            f"the forward pass would say {count(validation.forward_only_max_batch_size)}."
        )
    return [*lines, *(f"Note: {finding}" for finding in validation.findings)]


def compile_lines(validation: CompileValidation, asked: Request | None = None) -> list[str]:
    """Write a validation of torch.compile as lines of text."""
    return [
        f"{validation.verdict}: {validation_phrase(validation, asked)}",
        *(f"  {reason}" for reason in validation.reasons),
        f"  eager: {trial_line(validation.eager)}",
        f"  compiled: {trial_line(validation.compiled)}",
    ]


def _figures(analysis: Analysis) -> list[str]:
    total = mib_or_gib(analysis.capacity_bytes)
    steps = f", {step_words(analysis)}" if analysis.max_step else ""
    lines = [
        _mark_line("Current", analysis.current),
        _mark_line("Recommended", analysis.optimal),
        f"{_mark_line('Largest that fits', analysis.max, largest_words(analysis))}{steps}",
        *_range_line(analysis.optimal),
        _line(
            "Memory",
            f"{total}; idle at the current batch {mib_or_gib(analysis.waste_bytes)} "
            f"({percent(analysis.waste_share)}), free at the recommended batch "
            f"{mib_or_gib(analysis.headroom_bytes)}",
        ),
    ]
    if analysis.speedup is not None:
        is_clear, source = analysis.gain_is_clear is not False, analysis.target.source
        change = change_in_speed(analysis.speedup) if is_clear else "about as fast"
        if not is_clear and source is Source.SIMULATED:
            least = SMALLEST_SIMULATED_GAIN * 100
            change += f": an estimate tells two batches apart from {least:.0f} % on"
        said = f"the recommended batch is {change} ({source} throughput)"
        lines.append(_line("Speed-up", said))
    return lines


def _line(label: str, text: str) -> str:
    return f"{label:<18} {text}"


def _mark_line(label: str, mark: Mark, batch: str | None = None) -> str:
    batch = batch or count(mark.batch_size)
    if mark.fits is False:
        return _line(label, f"batch {batch}: does not fit")
    how = " (interpolated)" if mark.interpolated else ""
    speed = f"{rate(mark.samples_per_second)} samples/s{how}{likely_rate(mark.speed_band)}"
    return _line(label, f"batch {batch}: {mib_or_gib(mark.memory_bytes)}, {speed}")


def _range_line(optimal: Mark) -> Iterable[str]:
    if optimal.trial is not None and optimal.trial.reserved_range is not None:
        yield _line("Range", f"at the recommended batch, {optimal.trial.reserved_range}")


def _cost_lines(analysis: Analysis) -> list[str]:
    costs = analysis.costs
    lines = []
    million = (costs.current.usd_per_million_samples, costs.optimal.usd_per_million_samples)
    if any(value is not None for value in million):
        said = (
            f"per million samples: current {_cost(analysis.current, million[0])}, recommended "
            f"{_cost(analysis.optimal, million[1])}"
        )
        lines.append(_line("Cost", said))
    if costs.current.usd_per_run is not None or costs.optimal.usd_per_run is not None:
        said = (
            f"per run: current {_cost(analysis.current, costs.current.usd_per_run)}, recommended "
            f"{_cost(analysis.optimal, costs.optimal.usd_per_run)}; saved "
            f"{_saved(analysis, costs.usd_per_run)} per run, "
            f"{_saved(analysis, costs.usd_per_year)} per year"
        )
        lines.append(_line("", said))
    return lines


def _cost(mark: Mark, cost: float | None) -> str:
    """Write a cost, and between which dollars it is likely to lie, as its throughput does."""
    return f"{usd(cost)}{likely_usd(mark.likely(cost))}"


def _saved(analysis: Analysis, saved: float | None) -> str:
    return f"{usd(saved)}{likely_usd(analysis.likely_saving(saved))}"


def _advice_line(advice: Advice) -> str:
    if advice.fits is None:
        return advice.text
    outcome = "fits" if advice.fits else "still does not fit"
    saved, verb = advice.saved_bytes, "saves" if (advice.saved_bytes or 0) >= 0 else "adds"
    saves = "" if saved is None else f"{verb} {mib_or_gib(abs(saved))}"
    figures = ", ".join(filter(None, (saves, f"batch size {advice.batch_size} {outcome}")))
    return f"{advice.text} Simulated: {figures}."


def _origin(analysis: Analysis) -> str:
    software = ", ".join(f"{name} {version}" for name, version in analysis.software.items())
    how = "Measured on" if analysis.target.source == "measured" else "Simulated for"
    return (
        f"{how} {analysis.target.name}, {analysis.created_at}, {len(analysis.trials)} trials in "
        f"{seconds(analysis.elapsed_seconds)}{', ' + software if software else ''}. "
        f"Run {analysis.run_id}."
    )
