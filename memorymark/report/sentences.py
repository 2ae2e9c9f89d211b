"""Records as sentences and lines of text."""

from __future__ import annotations

from collections.abc import Iterable

from memorymark.records.analysis import Advice, Analysis, Mark
from memorymark.records.event import trial_line
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.report.settings_phrase import (
    analysis_phrase,
    target_phrase,
    validation_phrase,
)
from memorymark.units import gib, mib_or_gib, percent, rate, seconds, usd


def verdict(analysis: Analysis) -> str:
    """Say in one sentence what the analysis found."""
    place = target_phrase(analysis.target)
    if analysis.optimal.batch_size is None:
        return _without_result(analysis, place)
    start = f"{analysis.workload} on {place}: optimal batch size {analysis.optimal.batch_size}"
    clauses = [start, *_about_current(analysis), *_about_gain(analysis)]
    end = "" if analysis.complete else f" Stopped early: {analysis.stopped_by}"
    return f"{'; '.join(clauses)}.{end}"


def analysis_lines(analysis: Analysis) -> list[str]:
    """Write an analysis as lines of text: verdict, figures, costs, notes, advice."""
    lines = [verdict(analysis), analysis_phrase(analysis), ""]
    if analysis.optimal.batch_size is not None:
        lines += [*_figures(analysis), *_cost_lines(analysis)]
    lines += [f"Note: {text}" for text in (*analysis.findings, *analysis.remarks)]
    lines += [f"Try: {_advice_line(advice)}" for advice in analysis.advice]
    lines.append(_origin(analysis))
    return lines


def backward_lines(validation: BackwardValidation) -> list[str]:
    """Write a validation of the backward pass as lines of text."""
    lines = [f"{validation.verdict}: {validation_phrase(validation)}"]
    lines += [f"  {reason}" for reason in validation.reasons]
    lines += [f"  {trial.stage}: {trial_line(trial)}" for trial in validation.trials]
    if validation.overestimate is not None:
        lines.append(
            f"Max batch size of a training step: {validation.max_batch_size}; a forward-only tool "
            f"would recommend {validation.forward_only_max_batch_size}."
        )
    return [*lines, *(f"Note: {finding}" for finding in validation.findings)]


def compile_lines(validation: CompileValidation) -> list[str]:
    """Write a validation of torch.compile as lines of text."""
    return [
        f"{validation.verdict}: {validation_phrase(validation)}",
        *(f"  {reason}" for reason in validation.reasons),
        f"  eager: {trial_line(validation.eager)}",
        f"  compiled: {trial_line(validation.compiled)}",
    ]


def _without_result(analysis: Analysis, place: str) -> str:
    if not analysis.complete:
        return f"{analysis.workload} on {place}: no batch size found. {analysis.stopped_by}"
    tried = min((trial.batch_size for trial in analysis.trials), default=1)
    return (
        f"{analysis.workload} on {place}: out of memory even at batch size {tried}; capacity "
        f"{mib_or_gib(analysis.capacity_bytes)}."
    )


def _about_current(analysis: Analysis) -> Iterable[str]:
    current, optimal = analysis.current, analysis.optimal
    if current.batch_size == optimal.batch_size:
        yield "same as the current one"
    elif current.fits is False:
        yield f"current batch size {current.batch_size} does not fit"
    elif analysis.waste_share is None:
        yield f"current batch size {current.batch_size}"
    else:
        yield (
            f"current batch size {current.batch_size} leaves "
            f"{_whole_percent(analysis.waste_share)} of the memory unused"
        )


def _about_gain(analysis: Analysis) -> Iterable[str]:
    current, optimal = analysis.current, analysis.optimal
    if current.batch_size == optimal.batch_size or analysis.speedup is None:
        return
    which = "larger" if optimal.batch_size > current.batch_size else "smaller"
    yield f"the {which} batch has {analysis.speedup:.2g} times the throughput{_saving(analysis)}"


def _saving(analysis: Analysis) -> str:
    saved = analysis.costs.usd_per_run
    if saved is None:
        return ""
    return f" and {'saves' if saved >= 0 else 'costs an extra'} {usd(abs(saved))} per run"


def _whole_percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _figures(analysis: Analysis) -> list[str]:
    total = gib(analysis.capacity_bytes)
    lines = [
        _mark_line("Current", analysis.current),
        _mark_line("Optimal", analysis.optimal),
        _mark_line("Max", analysis.max),
        *_range_line(analysis.optimal),
        f"Capacity   {total}; unused at the current batch size {gib(analysis.waste_bytes)} "
        f"({percent(analysis.waste_share)}), free at the optimal {gib(analysis.headroom_bytes)}",
    ]
    if analysis.speedup is not None:
        source = "measured" if analysis.target.source == "measured" else "simulated"
        lines.append(
            f"Speed-up   {analysis.speedup:.2f} ({source} throughput); "
            f"batch size ratio {analysis.batch_ratio:.1f}"
        )
    return lines


def _mark_line(label: str, mark: Mark) -> str:
    if mark.fits is False:
        return f"{label:<10} batch size {mark.batch_size}: does not fit"
    how = " (interpolated)" if mark.interpolated else ""
    return (
        f"{label:<10} batch size {mark.batch_size}: {mib_or_gib(mark.memory_bytes)}, "
        f"{rate(mark.samples_per_second)} samples/s{how}"
    )


def _range_line(optimal: Mark) -> Iterable[str]:
    if optimal.trial is not None and optimal.trial.reserved_range is not None:
        yield f"Range      at the optimal batch size, {optimal.trial.reserved_range}"


def _cost_lines(analysis: Analysis) -> list[str]:
    costs = analysis.costs
    lines = []
    million = (costs.current.usd_per_million_samples, costs.optimal.usd_per_million_samples)
    if any(value is not None for value in million):
        lines.append(
            f"Cost       per million samples: current {usd(million[0])}, optimal {usd(million[1])}"
        )
    if costs.current.usd_per_run is not None or costs.optimal.usd_per_run is not None:
        lines.append(
            f"           per run: current {usd(costs.current.usd_per_run)}, optimal "
            f"{usd(costs.optimal.usd_per_run)}; savings {usd(costs.usd_per_run)} per run, "
            f"{usd(costs.usd_per_year)} per year"
        )
    return lines


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
