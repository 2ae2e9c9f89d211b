"""Verdicts of the validations, with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from memorymark.records.costs import ratio
from memorymark.records.trial import GradientCheck, Outcome, Stage, Trial
from memorymark.records.validation import Verdict
from memorymark.units import mib_or_gib, seconds

USUAL_RATIO = (2.0, 3.0)
"""Where backward over forward-only usually lies; outside of it is a warning, not a fault."""

STAGE_TEXT = {
    Stage.FORWARD_ONLY: "forward only, under no_grad",
    Stage.FORWARD: "forward with activations kept",
    Stage.BACKWARD: "forward and backward",
    Stage.STEP: "training step",
}


@dataclass(frozen=True)
class Judged:
    """A verdict with its figure and its reasons."""

    verdict: Verdict
    ratio: float | None
    reasons: tuple[str, ...]


def judge_backward(trials: Mapping[Stage, Trial]) -> Judged:
    """Judge one batch run in all stages: failures first, then warnings."""
    backward, step = trials[Stage.BACKWARD], trials[Stage.STEP]
    check = backward.gradient_check or step.gradient_check
    times = backward_ratio(trials)
    failures = [*_failed_trials(trials.values()), *gradient_failures(check)]
    warnings = [*_unfinished(trials.values()), *_unusual_ratio(times)]
    notes = [*_gradient_notes(check), *_usual_ratio(times)]
    verdict = Verdict.FAIL if failures else Verdict.WARN if warnings else Verdict.PASS
    return Judged(verdict, times, (*failures, *warnings, *notes))


def backward_ratio(trials: Mapping[Stage, Trial]) -> float | None:
    """Peak of forward and backward over peak of forward only, weights included in both.

    Both are peaks of allocated bytes. The forward-only peak is taken under no_grad; neither
    holds optimizer states. None where one of the two did not complete.
    """
    forward, backward = trials[Stage.FORWARD_ONLY], trials[Stage.BACKWARD]
    if not (forward.fits and backward.fits):
        return None
    return ratio(backward.peak_allocated_bytes, forward.peak_allocated_bytes)


def gradient_failures(check: GradientCheck | None) -> Iterable[str]:
    """Say what is wrong with the gradients: missing, not finite, or of the wrong size."""
    if check is None:
        return
    missing = check.trainable_parameters - check.with_gradient
    if check.trainable_parameters == 0:
        yield "The model has no trainable parameter."
    if missing > 0:
        names = f", such as {', '.join(check.missing[:3])}" if check.missing else ""
        total = check.trainable_parameters
        yield f"{missing} of {total} trainable parameters have no gradient{names}."
    if check.finite is False:
        yield "Some gradients are not finite (inf or nan)."
    if check.gradient_bytes != check.trainable_bytes:
        yield (
            f"Gradients take {mib_or_gib(check.gradient_bytes)}, the trainable parameters "
            f"{mib_or_gib(check.trainable_bytes)}; the two should be equal."
        )


def judge_compile(
    eager: Trial, compiled: Trial, compile_seconds: float | None, break_even: int | None
) -> tuple[Verdict, tuple[str, ...]]:
    """Judge an eager and a compiled trial of the same batch."""
    failed = [_failure("eager", eager), _failure("compiled", compiled)]
    if any(failed):
        return Verdict.FAIL, tuple(text for text in failed if text)
    if eager.step_seconds is None or compiled.step_seconds is None:
        return Verdict.WARN, ("Step times are unknown, so compiling cannot be judged.",)
    times = eager.step_seconds / compiled.step_seconds
    speeds = (
        f"A step takes {seconds(eager.step_seconds)} eagerly and "
        f"{seconds(compiled.step_seconds)} compiled ({times:.2f} times as fast)."
    )
    if times <= 1:
        return Verdict.WARN, (speeds, "No break-even: the compiled step is not faster.")
    if break_even is None:
        return Verdict.WARN, (speeds, "The compile time is unknown.")
    pays = f"Compiling takes {seconds(compile_seconds)}; break-even after {break_even:,} steps."
    return Verdict.PASS, (speeds, pays)


def _failed_trials(trials: Iterable[Trial]) -> Iterable[str]:
    for trial in trials:
        if trial.outcome is Outcome.ERROR:
            yield f"In {STAGE_TEXT[trial.stage]}: {trial.error}"


def _unfinished(trials: Iterable[Trial]) -> Iterable[str]:
    out = [STAGE_TEXT[trial.stage] for trial in trials if trial.outcome is Outcome.OOM]
    if out:
        yield f"Out of memory in: {'; '.join(out)}. Try a smaller batch."


def _unusual_ratio(times: float | None) -> Iterable[str]:
    low, high = USUAL_RATIO
    if times is None:
        return
    if times > high:
        yield (
            f"Forward and backward need {times:.2f} times the memory of forward alone, above the "
            f"typical {low:g} to {high:g}: activations dominate here. This is not an error."
        )
    elif times < low:
        yield (
            f"Forward and backward need {times:.2f} times the memory of forward alone, below the "
            f"typical {low:g} to {high:g}: few activations are kept, as with gradient "
            "checkpointing or frozen weights, or the forward-only peak is itself high."
        )


def _usual_ratio(times: float | None) -> Iterable[str]:
    low, high = USUAL_RATIO
    if times is not None and low <= times <= high:
        yield f"Forward and backward need {times:.1f} times the memory of forward alone (typical)."


def _gradient_notes(check: GradientCheck | None) -> Iterable[str]:
    if check is None:
        yield "No backward pass completed, so gradients could not be checked."
    elif check.finite is None:
        yield "Whether gradients are finite is unknown: a simulation has no values to look at."
    elif not list(gradient_failures(check)):
        yield f"All {check.trainable_parameters} trainable parameters have a finite gradient."


def _failure(label: str, trial: Trial) -> str | None:
    if trial.fits:
        return None
    if trial.outcome is Outcome.OOM:
        return f"The {label} step is out of memory; try a smaller batch."
    return f"The {label} step failed: {trial.error}"
