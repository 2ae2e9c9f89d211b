"""The command that answers ARC tasks with test-time training."""

from __future__ import annotations

from typing import Annotated, Any

from memorymark.cli import options
from memorymark.cli.commands import keep
from memorymark.cli.generate_command import ending_early
from memorymark.cli.live import work
from memorymark.cli.output import print_line, print_table, show
from memorymark.errors import Cancelled
from memorymark.records.arc_plan import TRAINED_BY, ArcPlan
from memorymark.records.arc_report import ArcReport
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.records.request import Request, RequestKind
from memorymark.records.session_run import Verdict
from memorymark.report.arc_lines import (
    TASK_COLUMNS,
    arc_figures,
    arc_sentence,
    task_cells,
    task_notes,
    verdict_lines,
)

_STYLES = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.NOT_PROVEN: "yellow"}


@options.with_options
def arc(
    model: options.Model,
    config: Annotated[TrainingConfig, TRAINED_BY],
    plan: ArcPlan,
    device: options.Device = None,
    memory_budget: options.MemoryBudget = None,
    as_json: options.AsJson = False,
) -> None:
    """Answer ARC tasks, without and with training on each task's own examples.

    LoRA of rank 8 by default. Budgets of memory and time hold over all tasks; each task may take
    its share of the time that is left. Ctrl-C ends it with the report of what was done.
    """
    request = Request(
        RequestKind.ARC, model, config, device=device, memory_budget=memory_budget, arc=plan
    )
    try:
        report = _done(request)
    except Cancelled as stop:
        if isinstance(stop.partial, ArcReport):
            show(stop.partial, as_json, show_arc)
        raise
    keep(request, report)
    show(report, as_json, show_arc)


def show_arc(report: ArcReport) -> None:
    """Print a report: how many were right, the verdicts, the figures, the table of tasks."""
    print_line(arc_sentence(report), style="bold")
    for line, each in zip(verdict_lines(report), report.verdicts.values(), strict=True):
        print_line(line, style=_STYLES[each.verdict])
    print_line("")
    print_table(["reading", "value"], [list(pair) for pair in arc_figures(report)])
    print_line("")
    numbers = TASK_COLUMNS[1:-1]
    print_table(TASK_COLUMNS, map(task_cells, report.tasks), right=numbers)
    for note in (*report.findings, *task_notes(report)):
        print_line(f"Note: {note}")


def _done(request: Request) -> Any:
    cancel = CancelToken()
    with work() as progress, ending_early(cancel):
        from memorymark.service.execute import execute

        return execute(request, on_event=progress, cancel=cancel)
