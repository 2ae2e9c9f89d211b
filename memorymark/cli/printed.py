"""Results as text: the verdict first, then the figures behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memorymark import units
from memorymark.cli.output import print_line, print_table
from memorymark.errors import NothingFits, WorkloadError
from memorymark.records.analysis import Analysis
from memorymark.records.comparison import ComparedGpu, Comparison
from memorymark.records.held_memory import CATEGORIES
from memorymark.records.lever import Lever, LeverReport
from memorymark.records.request import Request
from memorymark.records.session_run import SessionRun
from memorymark.records.trial import Outcome, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation, Verdict
from memorymark.report import sentences
from memorymark.report.comparison_lines import (
    DOMINATED,
    cheapest_sentence,
    is_dominated,
    overlap_sentences,
)
from memorymark.report.lever_lines import (
    cards_sentence,
    fits_words,
    levers_phrase,
    levers_sentence,
)
from memorymark.report.price_words import price_words
from memorymark.report.session_lines import (
    session_figures,
    sessions_phrase,
    sessions_sentence,
)
from memorymark.report.settings_phrase import comparison_phrase, target_phrase, trial_phrase
from memorymark.report.verdict import verdict

_STYLES = {Verdict.PASS: "bold green", Verdict.WARN: "bold yellow", Verdict.FAIL: "bold red"}


def show_analysis(analysis: Analysis) -> None:
    """Print an analysis."""
    _show_lines(sentences.analysis_lines(analysis))


def show_backward(validation: BackwardValidation) -> None:
    """Print a validation of the backward pass."""
    _show_lines(sentences.backward_lines(validation), _STYLES[validation.verdict])


def show_compile(validation: CompileValidation) -> None:
    """Print a validation of torch.compile."""
    _show_lines(sentences.compile_lines(validation), _STYLES[validation.verdict])


def show_trial(trial: Trial, memory_budget_bytes: int | None = None) -> None:
    """Print one trial: memory readings, step time, and the breakdown at the peak."""
    print_line(trial_verdict(trial), style="bold")
    print_line(trial_phrase(trial, memory_budget_bytes))
    rows = [
        ["peak allocated", units.mib_or_gib(trial.peak_allocated_bytes)],
        ["peak reserved", units.mib_or_gib(trial.peak_reserved_bytes)],
        ["process", units.mib_or_gib(trial.process_bytes)],
        ["minimum memory", units.mib_or_gib(trial.minimum_bytes)],
        ["capacity", units.mib_or_gib(trial.capacity_bytes)],
        [
            "step time",
            units.seconds(trial.step_seconds)
            + units.likely_seconds(trial.step_seconds_low, trial.step_seconds_high),
        ],
        ["samples/s", units.rate(trial.samples_per_second) + units.likely_rate(trial.speed_band)],
    ]
    print_table(["reading", "value"], rows, right=["value"])
    if trial.breakdown is not None:
        print_line("")
        parts = {name: getattr(trial.breakdown, name) for name in CATEGORIES}
        named = [[name.replace("_", " "), units.mib_or_gib(size)] for name, size in parts.items()]
        print_table(["memory at the peak", "memory"], named, right=["memory"])
    for note in (*trial.findings, *trial.assumptions):
        print_line(f"Note: {note}")


def show_comparison(comparison: Comparison, asked: Request | None = None) -> None:
    """Print the cost of the training run on each GPU, cheapest first."""
    print_line(cheapest_sentence(comparison), style="bold")
    print_line(comparison_phrase(comparison, asked))
    names = [
        "gpu", "largest", "recommended", "samples/s", "likely", "$/h", "$/million", "h/run",
        "$/run", "",
    ]  # fmt: skip
    rows = [_compared_cells(row) for row in comparison.gpus]
    print_table(names, rows, right=names[1:-1])
    _say_bands(row.speed_band for row in comparison.gpus)
    print_line(price_words(comparison.to_dict()["gpus"], how="give one with --prices"))
    for note in (*overlap_sentences(comparison), *comparison.findings):
        print_line(f"Note: {note}")


def show_levers(report: LeverReport, asked: Request | None = None) -> None:
    """Print what would make room, the best first, and what makes it fit."""
    print_line(levers_sentence(report), style="bold")
    print_line(levers_phrase(report, asked))
    print_line("")
    _show_lever_table("lever", [report.before, *report.levers])
    if report.make_it_fit:
        print_line("")
        _show_lever_table("make it fit, step by step", report.make_it_fit)
    _say_bands(lever.speed_band for lever in report.levers)
    print_line("")
    for lever in report.levers:
        print_line(f"{lever.name}: {lever.notes}")
        for line in lever.snippet.splitlines():
            print_line(f"    {line}")
    for missing in report.unavailable:
        print_line(f"Not taken: {missing.name}: {missing.reason}")
    for note in filter(None, (cards_sentence(report), *report.findings)):
        print_line(f"Note: {note}")


def show_sessions(run: SessionRun, asked: Request | None = None) -> None:
    """Print sessions that took turns: the verdict, the figures, the room at other contexts."""
    style = {"PASS": "bold green", "FAIL": "bold red"}.get(run.verdict, "bold yellow")
    print_line(sessions_sentence(run), style=style)
    print_line(sessions_phrase(run, asked))
    print_line("")
    print_table(["reading", "value"], [list(pair) for pair in session_figures(run)])
    if run.rooms:
        print_line("")
        names = ["context", "cache of a session", "sessions by bytes alone"]
        rows = [
            [
                units.count(room.context_tokens),
                units.mib_or_gib(room.cache_bytes),
                units.count(room.sessions),
            ]
            for room in run.rooms
        ]
        print_table(names, rows, right=names)
    for note in (*run.findings, *run.assumptions):
        print_line(f"Note: {note}")


def trial_verdict(trial: Trial) -> str:
    """Say in one sentence whether a trial fits."""
    where = f"{trial.model} at batch size {trial.batch_size} on {trial.device} ({trial.source})"
    capacity = units.mib_or_gib(trial.capacity_bytes)
    if trial.outcome is Outcome.OOM:
        if trial.memory_bytes is None:
            return f"{where}: out of memory at {capacity}."
        needed = units.mib_or_gib(trial.memory_bytes)
        return f"{where}: out of memory: it needs {needed}, and {capacity} can be used."
    spread = f" ({trial.reserved_range})" if trial.reserved_range else ""
    return f"{where}: fits, {units.mib_or_gib(trial.memory_bytes)}{spread} of {capacity}."


def check_analysis(analysis: Analysis) -> None:
    """Raise if an analysis found no batch size.

    Raises:
        NothingFits: Not even the smallest batch trains.
        WorkloadError: A trial's own error ended it.
    """
    if analysis.nothing_fits:
        place = target_phrase(analysis.target)
        raise NothingFits(f"{analysis.workload} on {place}: {verdict(analysis)}")
    if not analysis.complete:
        raise WorkloadError(analysis.stopped_by or "The analysis stopped early.")


def check_trial(trial: Trial) -> None:
    """Raise if a trial ended in an error; out of memory is a result.

    Raises:
        WorkloadError: The model's own error.
    """
    if trial.outcome is Outcome.ERROR:
        raise WorkloadError(trial.error or "The trial failed without an error message.")


def check_validation(validation: BackwardValidation | CompileValidation) -> None:
    """Raise if a validation failed, so that scripts notice.

    Raises:
        WorkloadError: The verdict is FAIL; gives the reasons.
    """
    if validation.verdict is Verdict.FAIL:
        raise WorkloadError(" ".join(["The validation failed.", *validation.reasons]))


def _show_lines(lines: Sequence[str], style: str = "bold") -> None:
    print_line(lines[0], style=style)
    for line in lines[1:]:
        print_line(line)


def _show_lever_table(title: str, levers: Sequence[Lever]) -> None:
    names = [title, "fits", "memory", "saved", "largest", "samples/s", "likely", "$/million", ""]
    print_table(names, [_lever_cells(lever) for lever in levers], right=names[2:-1])


def _lever_cells(lever: Lever) -> list[str]:
    return [
        lever.name,
        fits_words(lever),
        units.gib(lever.memory_bytes),
        units.gib(lever.saved_bytes),
        units.count(lever.max_batch_size),
        units.rate(lever.samples_per_second),
        _ends(lever.speed_band),
        units.usd(lever.cost_per_million_samples),
        "best trade-off" if lever.efficient else "",
    ]


def _say_bands(bands: Iterable[tuple[float, float] | None]) -> None:
    if any(band is not None for band in bands):
        print_line("Dollars and hours go with samples/s: they are likely to be off by as much.")


def _ends(band: tuple[float, float] | None) -> str:
    return "" if band is None else f"{units.rate(band[0])} to {units.rate(band[1])}"


def _compared_cells(row: ComparedGpu) -> list[str]:
    hours = row.cost.hours_per_run
    return [
        row.gpu,
        units.count(row.max_batch_size),
        units.count(row.optimal_batch_size),
        units.rate(row.samples_per_second),
        _ends(row.speed_band),
        units.usd(row.usd_per_hour),
        units.usd(row.cost.usd_per_million_samples),
        units.UNKNOWN if hours is None else f"{hours:,.2f}",
        units.usd(row.cost.usd_per_run),
        DOMINATED if is_dominated(row) else "",
    ]
