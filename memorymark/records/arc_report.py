"""Test-time training on ARC tasks: what each came to, and a verdict for each criterion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from memorymark.records.arc_plan import ArcPlan
from memorymark.records.codec import Origin, Record, same
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.session_run import Verdict
from memorymark.records.trial import Target
from memorymark.units import mib_or_gib, percent, seconds


class TaskEnd(StrEnum):
    """Why a task's training ended."""

    STEPS = "steps"
    TIME = "time-budget"
    OUT_OF_MEMORY = "out-of-memory"
    ERROR = "error"
    NOT_RUN = "not-run"


@dataclass(frozen=True)
class ArcTaskResult(Record):
    """One task.

    A test grid counts as right where it is answered with all its cells right, in one attempt; one
    that could not be asked counts as wrong.

    Attributes:
        name: The task's name.
        grids: How many test grids it has.
        stopped_by: Why its training ended.
        input_size: Rows and columns of its largest input.
        output_size: Rows and columns of its largest output.
        correct_before: Test grids that were right before it was trained on; None where they were
            not asked.
        correct_after: Those that were right afterwards; None where they were not asked.
        trainable_parameters: How many parameters were trained; None where none was.
        steps: Optimizer steps that were done.
        train_loss: Loss of the last step; None without one.
        peak_bytes: Most bytes of live tensors, measured, without what the budget refused; None
            where nothing ran.
        seconds: All that the task took, both times of answering included.
        error: The sentence of what ended it early.
        findings: What to know of it, one sentence each.
    """

    name: str
    grids: int
    stopped_by: TaskEnd
    input_size: tuple[int, ...] = ()
    output_size: tuple[int, ...] = ()
    correct_before: int | None = None
    correct_after: int | None = None
    trainable_parameters: int | None = None
    steps: int = 0
    train_loss: float | None = None
    peak_bytes: int | None = None
    seconds: float | None = None
    error: str | None = None
    findings: tuple[str, ...] = ()

    @property
    def is_solved(self) -> bool:
        """Whether all its test grids are right after training."""
        return self.correct_after == self.grids


@dataclass(frozen=True)
class Criterion(Record):
    """One thing that a run was to show.

    Attributes:
        verdict: Whether it does.
        reason: Why, in a sentence.
    """

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class ArcReport(Record):
    """Test-time training on some tasks, run on one device.

    Attributes:
        model: The workload's name.
        config: How the model was trained on each task.
        plan: Which tasks, and how.
        target: What it ran on.
        weights_from: Where the weights came from, before any pretraining here.
        tasks: What each task came to.
        parameters: How many parameters the model has, adapters included.
        read_tasks: How many tasks were read from files; None where they were generated.
        read_seconds: Wall-clock seconds of listing, reading, parsing and checking them.
        pretraining_steps: Steps of all weights that were done before the first task.
        pretraining_seconds: What they took; None without any.
        pretraining_loss: Loss of the last of them; None without any.
        peak_allocated_bytes: Most bytes of live tensors over all of it, measured.
        memory_budget_bytes: The most that might be used of the device; None where none was given.
        seconds: All that it took, loading and pretraining included.
        findings: What to know of the result, one sentence each.
        software: Versions of what ran.
        created_at: When it began, in ISO 8601, UTC.
    """

    json_keys: ClassVar[Mapping[str, Origin]] = {
        **same("model", "config", "plan", "target"),
        "device": "target.name",
        "source": "target.source",
        **same(
            "weights_from", "tasks", "parameters", "trainable_parameters", "read_tasks",
            "read_seconds", "tasks_per_second", "pretraining_steps", "pretraining_seconds",
            "pretraining_loss", "grids", "correct_before", "correct_after", "accuracy_before",
            "accuracy_after", "tasks_solved", "peak_allocated_bytes", "memory_budget_bytes",
        ),
        "time_budget_seconds": "plan.time_budget",
        **same("seconds", "verdicts", "findings", "software", "created_at"),
    }  # fmt: skip

    model: str
    config: TrainingConfig
    plan: ArcPlan
    target: Target
    weights_from: WeightsFrom
    tasks: tuple[ArcTaskResult, ...] = ()
    parameters: int | None = None
    read_tasks: int | None = None
    read_seconds: float | None = None
    pretraining_steps: int = 0
    pretraining_seconds: float | None = None
    pretraining_loss: float | None = None
    peak_allocated_bytes: int | None = None
    memory_budget_bytes: int | None = None
    seconds: float | None = None
    findings: tuple[str, ...] = ()
    software: dict[str, str] = field(default_factory=dict)
    created_at: str = ""

    @property
    def tasks_per_second(self) -> float | None:
        """Tasks that were read, parsed and checked in a second; None where none was read."""
        return (
            self.read_tasks / self.read_seconds if self.read_tasks and self.read_seconds else None
        )

    @property
    def trainable_parameters(self) -> int | None:
        """How many parameters were trained on each task; None where none was trained."""
        return max((x.trainable_parameters or 0 for x in self.tasks), default=0) or None

    @property
    def grids(self) -> int:
        """How many test grids all tasks have."""
        return sum(each.grids for each in self.tasks)

    @property
    def correct_before(self) -> int:
        """Test grids that were right without training on their task."""
        return sum(each.correct_before or 0 for each in self.tasks)

    @property
    def correct_after(self) -> int:
        """Test grids that were right with it."""
        return sum(each.correct_after or 0 for each in self.tasks)

    @property
    def accuracy_before(self) -> float | None:
        """Share of grids right without training, of those asked; None where none was."""
        return _share(self.correct_before, sum(
            each.grids for each in self.tasks if each.correct_before is not None
        ))  # fmt: skip

    @property
    def accuracy_after(self) -> float | None:
        """Share of all grids that were right after training; what was not asked counts as wrong."""
        return _share(self.correct_after, self.grids)

    @property
    def tasks_solved(self) -> int:
        """Tasks of which all test grids were right after training."""
        return sum(each.is_solved for each in self.tasks)

    @property
    def verdicts(self) -> dict[str, Criterion]:
        """A verdict for each criterion: memory, time, accuracy."""
        return {
            "memory": memory_verdict(self), "time": time_verdict(self),
            "accuracy": accuracy_verdict(self),
        }  # fmt: skip


def memory_verdict(report: ArcReport) -> Criterion:
    """Say whether the memory budget was held and sufficed."""
    budget, peak = report.memory_budget_bytes, report.peak_allocated_bytes
    ended = sum(each.stopped_by is TaskEnd.OUT_OF_MEMORY for each in report.tasks)
    held = f"{mib_or_gib(peak)} at the most, of {mib_or_gib(budget)}"
    if ended:
        return Criterion(Verdict.FAIL, f"{_tasks(ended)} ran out of memory ({held}).")
    if budget is None or peak is None:
        what = "No memory budget was given" if budget is None else "The memory was not measured"
        return Criterion(Verdict.NOT_PROVEN, f"{what}.")
    if peak > budget:
        return Criterion(Verdict.FAIL, f"It held {held}.")
    return Criterion(Verdict.PASS, f"It held {held}.")


def time_verdict(report: ArcReport) -> Criterion:
    """Say whether all tasks were done within the time budget."""
    budget, taken = report.plan.time_budget, report.seconds
    if budget is None or taken is None:
        return Criterion(Verdict.NOT_PROVEN, "No time budget was given.")
    took = f"{seconds(taken)} of {seconds(budget)}"
    cut = [x for x in report.tasks if x.stopped_by in (TaskEnd.TIME, TaskEnd.NOT_RUN)]
    if taken > budget:
        return Criterion(Verdict.FAIL, f"It took {took}.")
    if cut:
        reason = f"Within it {_tasks(len(cut))} had fewer steps than asked for, or none ({took})."
        return Criterion(Verdict.FAIL, reason)
    return Criterion(Verdict.PASS, f"It took {took}.")


def accuracy_verdict(report: ArcReport) -> Criterion:
    """Say whether the accuracy after training reaches the target."""
    goal, reached = report.plan.target_accuracy, report.accuracy_after
    if goal is None or reached is None:
        what = "No target accuracy was given" if goal is None else "No test grid was asked"
        return Criterion(Verdict.NOT_PROVEN, f"{what}.")
    right = f"{report.correct_after:,} of {report.grids:,} grids are right ({percent(reached)})"
    against = f"the target is {percent(goal)}"
    if reached >= goal:
        return Criterion(Verdict.PASS, f"{right}; {against}.")
    unasked = sum(x.grids for x in report.tasks if _may_still_be_asked(x))
    if (report.correct_after + unasked) / report.grids >= goal:
        reason = f"{right}, and {unasked:,} were not asked; {against}."
        return Criterion(Verdict.NOT_PROVEN, reason)
    return Criterion(Verdict.FAIL, f"{right}; {against}.")


def _may_still_be_asked(result: ArcTaskResult) -> bool:
    """Return whether a task ended for want of time or memory, before it was answered."""
    return result.correct_after is None and result.stopped_by is not TaskEnd.ERROR


def _tasks(count: int) -> str:
    return f"{count:,} task{'s' if count > 1 else ''}"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
