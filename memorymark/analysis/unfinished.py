"""The records of validations that were stopped: what is known by then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memorymark.analysis.attempt import trial_without_figures
from memorymark.analysis.verdicts import Judged, judge_backward
from memorymark.records.trial import Stage, Target, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation, Verdict

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload


def backward_so_far(ran: list[Trial], workload: Workload, target: Target) -> BackwardValidation:
    """Put together what is known of a validation that has not ended."""
    first, stages = ran[0], list(Stage)
    done = ran[: len(stages)]
    trials = [*done, *(_not_run(first, stage, target) for stage in stages[len(done) :])]
    if len(done) == len(stages):
        judged = judge_backward(dict(zip(stages, done, strict=True)))
        left = "the searches for the largest batches are not finished"
    else:
        judged = Judged(Verdict.WARN, None, ())
        left = f"{len(done)} of {len(stages)} stages are done"
    checks = (trial.gradient_check for trial in done[2:] if trial.gradient_check is not None)
    return BackwardValidation(
        workload=workload.name,
        target=target,
        config=first.config,
        batch_size=first.batch_size,
        trials=tuple(trials),
        ratio=judged.ratio,
        verdict=judged.verdict,
        reasons=(f"Stopped early: {left}.", *judged.reasons),
        gradients=next(checks, None),
        search_trials=tuple(ran[len(stages) :]),
    )


def compile_so_far(ran: list[Trial], workload: Workload, target: Target) -> CompileValidation:
    """Put together what is known of a validation whose compiled step has not ended."""
    eager, compiled = ran[0], ran[1] if len(ran) > 1 else _not_run(ran[0], Stage.STEP, target)
    return CompileValidation(
        workload=workload.name,
        target=target,
        config=eager.config,
        batch_size=eager.batch_size,
        eager=eager,
        compiled=compiled,
        compile_seconds=None,
        break_even_steps=None,
        verdict=Verdict.WARN,
        reasons=("Stopped early: the compiled step is not done.",),
    )


def _not_run(like: Trial, stage: Stage, target: Target) -> Trial:
    return trial_without_figures(
        target, like.model, like.config, like.batch_size, stage, "Not run: stopped before."
    )
