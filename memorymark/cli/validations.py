"""Validations in words."""

from __future__ import annotations

from memorymark import units
from memorymark.cli.output import print_line, print_table
from memorymark.cli.results import show_notes, times
from memorymark.errors import WorkloadError
from memorymark.trial import Trial
from memorymark.validation_record import BackwardValidation, CompileValidation, Verdict

_STYLES = {Verdict.PASS: "bold green", Verdict.WARN: "bold yellow", Verdict.FAIL: "bold red"}


def show_backward(validation: BackwardValidation) -> None:
    """Print a validation of the backward pass."""
    _show_verdict(validation, "backward pass")
    names = ["step goes as far as", "peak allocated", "step", "outcome"]
    rows = [[str(trial.stage), *_cells(trial)] for trial in validation.trials]
    print_table(names, rows, right=names[1:3])
    print_line("")
    figures = [
        ["backward over forward-only", times(validation.ratio)],
        ["batch a forward-only tool recommends", _count(validation.forward_only_max_batch_size)],
        ["largest batch that trains", _count(validation.max_batch_size)],
    ]
    print_table(["figure", "value"], figures, right=["value"])
    show_notes(validation.findings)


def show_compile(validation: CompileValidation) -> None:
    """Print a validation of torch.compile."""
    _show_verdict(validation, "torch.compile")
    names = ["steps", "peak allocated", "step", "outcome"]
    rows = [["eager", *_cells(validation.eager)], ["compiled", *_cells(validation.compiled)]]
    print_table(names, rows, right=names[1:3])
    print_line("")
    figures = [
        ["speed-up", times(validation.speedup)],
        ["memory, compiled over eager", times(validation.memory_ratio)],
        ["compiling takes", units.seconds(validation.compile_seconds)],
        ["steps until it has paid", _count(validation.break_even_steps)],
    ]
    print_table(["figure", "value"], figures, right=["value"])


def check_validation(validation: BackwardValidation | CompileValidation) -> None:
    """Raise if a validation failed, so that scripts notice.

    Raises:
        WorkloadError: The verdict is FAIL; gives the reasons.
    """
    if validation.verdict is Verdict.FAIL:
        raise WorkloadError(" ".join(["The validation failed.", *validation.reasons]))


def _show_verdict(validation: BackwardValidation | CompileValidation, what: str) -> None:
    target = validation.target
    where = f"{validation.workload} at batch {validation.batch_size} on {target.name}"
    verdict = validation.verdict
    print_line(f"{verdict}: {what} of {where} ({target.source})", style=_STYLES[verdict])
    show_notes(validation.reasons)


def _cells(trial: Trial) -> list[str]:
    peak = units.mib_or_gib(trial.peak_allocated_bytes)
    return [peak, units.seconds(trial.step_seconds), str(trial.outcome)]


def _count(value: int | None) -> str:
    return units.UNKNOWN if value is None else f"{value:,}"
