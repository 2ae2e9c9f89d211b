"""Results in words: the verdict first, then the figures that it rests on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from memorymark import units
from memorymark.analysis_record import Analysis, Mark
from memorymark.cli.output import print_line, print_table
from memorymark.errors import NothingFits, WorkloadError
from memorymark.trial import CATEGORIES, Outcome, Trial


def show_analysis(analysis: Analysis) -> None:
    """Print an analysis; where nothing fits, only what could make room."""
    if not analysis.nothing_fits:
        print_line(analysis_verdict(analysis), style="bold")
        _show_marks(analysis)
        print_line("")
        print_table(["figure", "value"], _figures(analysis), right=["value"])
    show_notes([*analysis.findings, *(advice.text for advice in analysis.advice)])
    print_line(_origin(analysis), style="dim")


def show_trial(trial: Trial) -> None:
    """Print one trial."""
    print_line(trial_verdict(trial), style="bold")
    rows = [
        ["peak allocated", units.mib_or_gib(trial.peak_allocated_bytes)],
        ["peak reserved", units.mib_or_gib(trial.peak_reserved_bytes)],
        ["process", units.mib_or_gib(trial.process_bytes)],
        ["capacity", units.mib_or_gib(trial.capacity_bytes)],
        ["step", units.seconds(trial.step_seconds)],
        ["samples/s", units.rate(trial.samples_per_second)],
    ]
    print_table(["reading", "value"], rows, right=["value"])
    if trial.breakdown is not None:
        print_line("")
        parts = [[name, getattr(trial.breakdown, name)] for name in CATEGORIES]
        named = [[name.replace("_", " "), units.mib_or_gib(size)] for name, size in parts]
        print_table(["alive at the peak", "memory"], named, right=["memory"])
    show_notes([*trial.findings, *trial.assumptions])


def show_record(record: Any) -> None:
    """Print a record's plain figures, name by name."""
    values = record.to_dict()
    plain = {
        name: value
        for name, value in values.items()
        if value is None or isinstance(value, str | int | float)
    }
    rows = [[name.replace("_", " "), _plain(name, value)] for name, value in plain.items()]
    print_table(["figure", "value"], rows)
    show_notes(values.get("findings") or ())


def check_analysis(analysis: Analysis) -> None:
    """Raise if an analysis did not come to a batch size.

    Raises:
        NothingFits: Not even the smallest batch trains.
        WorkloadError: A trial's own error ended it.
    """
    if analysis.nothing_fits:
        raise NothingFits(analysis_verdict(analysis))
    if not analysis.complete:
        raise WorkloadError(analysis.stopped_by or "The analysis ended before its end.")


def check_trial(trial: Trial) -> None:
    """Raise if a trial ended in an error; out of memory is a result.

    Raises:
        WorkloadError: The model's own error.
    """
    if trial.outcome is Outcome.ERROR:
        raise WorkloadError(trial.error or "The trial ended in an error that says nothing.")


def analysis_verdict(analysis: Analysis) -> str:
    """Say in one sentence what an analysis found."""
    where = f"{analysis.workload} on {analysis.target.name} ({analysis.target.source})"
    if analysis.nothing_fits:
        return f"{where}: not even batch 1 trains within {units.gib(analysis.capacity_bytes)}."
    if analysis.max_batch_size is None:
        return f"{where}: no largest batch is known."
    sentence = f"{where}: the largest batch is {analysis.max_batch_size}"
    if analysis.optimal.batch_size is not None:
        sentence += f", the optimal batch {analysis.optimal.batch_size}"
    if analysis.speedup is not None:
        current = analysis.current.batch_size
        sentence += f", {analysis.speedup:.2f} times the samples per second of batch {current}"
    return sentence + "."


def trial_verdict(trial: Trial) -> str:
    """Say in one sentence whether a trial fits."""
    where = f"{trial.model} at batch {trial.batch_size} on {trial.device} ({trial.source})"
    capacity = units.mib_or_gib(trial.capacity_bytes)
    if trial.outcome is Outcome.OOM:
        return f"{where} is out of memory: it does not fit in {capacity}."
    return f"{where} fits: {units.mib_or_gib(trial.memory_bytes)} of {capacity}."


def _show_marks(analysis: Analysis) -> None:
    marks = {"current": analysis.current, "optimal": analysis.optimal, "max": analysis.max}
    print_table(
        ["mark", "batch", "memory", "samples/s"],
        [[name, *_mark_cells(mark)] for name, mark in marks.items()],
        right=["batch", "memory", "samples/s"],
    )


def _mark_cells(mark: Mark) -> list[str]:
    batch = units.UNKNOWN if mark.batch_size is None else str(mark.batch_size)
    return [batch, units.gib(mark.memory_bytes), units.rate(mark.samples_per_second)]


def _figures(analysis: Analysis) -> list[list[str]]:
    left = f"{units.gib(analysis.waste_bytes)} ({units.percent(analysis.waste_share)})"
    return [
        ["capacity", units.gib(analysis.capacity_bytes)],
        ["unused at the current batch", left],
        ["left at the optimal batch", units.gib(analysis.headroom_bytes)],
        ["speed-up, optimal over current", times(analysis.speedup)],
        ["batch ratio", times(analysis.batch_ratio)],
        ["saved per run", units.usd(analysis.costs.usd_per_run)],
        ["saved per year", units.usd(analysis.costs.usd_per_year)],
        ["trials", str(len(analysis.trials))],
        ["time taken", units.seconds(analysis.elapsed_seconds)],
    ]


def _origin(analysis: Analysis) -> str:
    software = ", ".join(f"{name} {version}" for name, version in analysis.software.items())
    parts = [str(analysis.target.source), analysis.target.name, analysis.created_at, software]
    return " · ".join(part for part in parts if part)


def show_notes(notes: Iterable[str]) -> None:
    """Print sentences, one a line."""
    for note in notes:
        print_line(f"- {note}")


def times(value: float | None) -> str:
    """Write a ratio, a dash where unknown."""
    return units.UNKNOWN if value is None else f"{value:.2f}"


def _plain(name: str, value: Any) -> str:
    if value is None:
        return units.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        return units.mib_or_gib(value)
    if name.endswith("_seconds"):
        return units.seconds(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
