"""The command that trains within budgets, on what the analysis found."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument, Option

from memorymark.cli import options
from memorymark.cli.commands import keep
from memorymark.cli.generate_command import ending_early
from memorymark.cli.live import work
from memorymark.cli.output import print_line, print_table, show
from memorymark.errors import Cancelled, InvalidValue, WorkloadError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.records.request import Request, RequestKind
from memorymark.records.training_comparison import TrainingComparison
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import StoppedBy, TrainingRun
from memorymark.report.training_lines import (
    comparison_rows,
    comparison_sentence,
    forecast_rows,
    training_figures,
    training_notes,
    training_sentence,
    verdict_lines,
)

AUTO = "auto"

AutoBatchSize = Annotated[
    str,
    Option(
        "--batch-size",
        help="Samples per forward pass, or auto: what an analysis on this device recommends.",
    ),
]


@options.with_options
def train(
    model: options.Model,
    config: TrainingConfig,
    plan: TrainingPlan,
    batch_size: AutoBatchSize = AUTO,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    as_json: options.AsJson = False,
) -> None:
    """Train for real within budgets of memory and time, with checkpoints to go on from.

    What it will hold is simulated before, here and on the cards of the catalogue. Ctrl-C ends it
    after the step that runs, saved.
    """
    request = Request(
        RequestKind.TRAIN, model, config, device=device, memory_budget=memory_budget,
        batch_size=read_batch_size(batch_size), training=plan,
    )  # fmt: skip
    run = _done(request)
    keep(request, run)
    show(run, as_json, _show)
    if run.stopped_by is StoppedBy.USER:
        raise Cancelled(f"Stopped after {run.steps:,} steps.")
    if run.error is not None:
        raise WorkloadError(run.error)


@options.with_options
def compare_training(
    model: options.Model,
    other: Annotated[str, Argument(help="The model that is trained beside it.")],
    config: TrainingConfig,
    plan: TrainingPlan,
    batch_size: AutoBatchSize = AUTO,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    price: Annotated[
        float | None, Option("--price", help="Dollars per hour of the device.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Train two models on the same tokens, one after the other, and compare what came of it.

    Both have the same effective batch and half of the time budget. Ctrl-C ends the one that
    trains, saved.
    """
    request = Request(
        RequestKind.COMPARE_TRAINING, model, config, device=device, memory_budget=memory_budget,
        batch_size=read_batch_size(batch_size), training=plan, other_model=other,
        options=AnalysisOptions(price_per_hour=price),
    )  # fmt: skip
    found = _done(request)
    keep(request, found)
    show(found, as_json, _show_comparison)
    failed = [run.error for run in found.runs if run.error is not None]
    if failed:
        raise WorkloadError(failed[0])


def _show_comparison(found: TrainingComparison) -> None:
    """Print two trainings side by side."""
    print_line(comparison_sentence(found), style="bold")
    print_table(["reading", *found.models], comparison_rows(found), found.models)
    if found.csv is not None:
        print_line(f"Every step: {found.csv}")
    for note in dict.fromkeys(note for run in found.runs for note in training_notes(run)):
        print_line(f"Note: {note}")


def read_batch_size(given: str) -> int | None:
    """Return a batch size as a request takes it: None for auto.

    Raises:
        InvalidValue: It is neither auto nor a whole number.
    """
    if given.strip().lower() == AUTO:
        return None
    try:
        return int(given)
    except ValueError:
        raise InvalidValue("batch size", given, "auto, or a whole number from 1 to 65535") from None


def _done(request: Request) -> Any:
    """Train; Ctrl-C ends it after the step that runs, and a second one at once."""
    cancel = CancelToken()
    with work() as progress, ending_early(cancel):
        from memorymark.service.execute import execute

        return execute(request, on_event=progress, cancel=cancel)


def _show(run: TrainingRun) -> None:
    """Print a training: the answer, the figures, the budgets."""
    print_line(training_sentence(run), style="bold")
    print_table(["reading", "value"], [list(pair) for pair in training_figures(run)])
    for line in verdict_lines(run):
        print_line(line)
    rows = forecast_rows(run)
    if rows:
        print_line("")
        print_line("The same training elsewhere, simulated:")
        print_table(["GPU", "fits", "memory", "time", "cost"], rows, ["memory", "time", "cost"])
    for note in training_notes(run):
        print_line(f"Note: {note}")
