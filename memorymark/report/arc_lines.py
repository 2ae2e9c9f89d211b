"""Test-time training on ARC tasks as lines of text: verdicts, figures, and the table of tasks."""

from __future__ import annotations

from memorymark.records.arc_report import ArcReport, ArcTaskResult, TaskEnd
from memorymark.units import UNKNOWN, count, mib_or_gib, percent, seconds

TASK_COLUMNS = (
    "task", "input", "output", "grids", "before", "after", "trained", "steps", "loss", "peak",
    "time", "",
)  # fmt: skip
_ENDINGS = {
    TaskEnd.STEPS: "",
    TaskEnd.TIME: "its share of the time was over",
    TaskEnd.OUT_OF_MEMORY: "out of memory",
    TaskEnd.ERROR: "error",
    TaskEnd.NOT_RUN: "not run: the time was over",
}


def arc_sentence(report: ArcReport) -> str:
    """Say in one sentence how many grids were right without training and with it.

    Example:
        >>> from memorymark.records.arc_plan import ArcPlan
        >>> from memorymark.records.config import TrainingConfig
        >>> from memorymark.records.generation_run import WeightsFrom
        >>> from memorymark.records.trial import Source, Target
        >>> cpu = Target("CPU", "cpu", Source.MEASURED, None)
        >>> done = ArcTaskResult("a", 2, TaskEnd.STEPS, correct_before=0, correct_after=1)
        >>> arc_sentence(ArcReport(
        ...     "gpt2", TrainingConfig(), ArcPlan(), cpu, WeightsFrom.RANDOM, tasks=(done,),
        ... ))
        'gpt2 on CPU (measured): 1 of 2 test grids right after training (50 %), 0 without it (0 %).'
    """
    place = f"{report.model} on {report.target.name} ({report.target.source})"
    before = "not asked" if report.accuracy_before is None else f"{report.correct_before:,}"
    return (
        f"{place}: {report.correct_after:,} of {report.grids:,} test grids right after training "
        f"({percent(report.accuracy_after)}), {before} without it "
        f"({percent(report.accuracy_before)})."
    )


def verdict_lines(report: ArcReport) -> list[str]:
    """Write the verdict for each criterion and its reason."""
    return [f"{x.verdict}: {name}. {x.reason}" for name, x in report.verdicts.items()]


def arc_figures(report: ArcReport) -> list[tuple[str, str]]:
    """Return the figures over all tasks as pairs of name and value."""
    return [
        ("tasks read, parsed and checked a second", _speed(report)),
        ("tasks solved", f"{report.tasks_solved:,} of {len(report.tasks):,}"),
        ("parameters", count(report.parameters)),
        ("trained on each task", count(report.trainable_parameters)),
        ("steps of pretraining", count(report.pretraining_steps)),
        ("loss of pretraining", _loss(report.pretraining_loss)),
        ("time of pretraining", seconds(report.pretraining_seconds)),
        ("peak allocated, measured", mib_or_gib(report.peak_allocated_bytes)),
        ("memory budget", mib_or_gib(report.memory_budget_bytes)),
        ("time", seconds(report.seconds)),
        ("time budget", seconds(report.plan.time_budget)),
    ]


def task_cells(result: ArcTaskResult) -> list[str]:
    """Return a task's cells of the table."""
    return [
        result.name,
        _size(result.input_size),
        _size(result.output_size),
        count(result.grids),
        count(result.correct_before),
        count(result.correct_after),
        count(result.trainable_parameters),
        count(result.steps),
        _loss(result.train_loss),
        mib_or_gib(result.peak_bytes),
        seconds(result.seconds),
        _ENDINGS[result.stopped_by],
    ]


def task_notes(report: ArcReport) -> list[str]:
    """Return what to know of single tasks, one sentence each."""
    return [
        f"{each.name}: {sentence}"
        for each in report.tasks
        for sentence in (*filter(None, [each.error]), *each.findings)
    ]


def arc_lines(report: ArcReport) -> list[str]:
    """Write a report as lines of text, the table's cells with a bar between them."""
    lines = [arc_sentence(report), *verdict_lines(report)]
    lines += [f"{name}: {value}" for name, value in arc_figures(report)]
    rows = [list(TASK_COLUMNS), *(task_cells(each) for each in report.tasks)]
    lines += [" | ".join(row).removesuffix(" | ") for row in rows]
    return lines + [f"Note: {each}" for each in (*report.findings, *task_notes(report))]


def _speed(report: ArcReport) -> str:
    if report.tasks_per_second is None:
        return UNKNOWN
    return (
        f"{report.tasks_per_second:,.0f} ({report.read_tasks:,} in {seconds(report.read_seconds)})"
    )


def _size(size: tuple[int, ...]) -> str:
    return " × ".join(map(str, size)) or UNKNOWN


def _loss(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"
