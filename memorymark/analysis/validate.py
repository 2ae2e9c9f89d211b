"""The two validations: the backward pass, and torch.compile."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from memorymark.analysis.attempt import attempt
from memorymark.analysis.search import SearchResult, find_max_batch
from memorymark.analysis.unfinished import backward_so_far, compile_so_far
from memorymark.analysis.verdicts import STAGE_TEXT, judge_backward, judge_compile
from memorymark.errors import Cancelled
from memorymark.probes.probe import Probe
from memorymark.records.codec import Record
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent, ignore, trial_line
from memorymark.records.trial import Stage, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.workloads.trial_spec import TrialSpec

if TYPE_CHECKING:
    from memorymark.workloads.base import Workload


def validate_backward_on(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig,
    batch_size: int,
    *,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> BackwardValidation:
    """Run one batch four ways, each going further, and compare what they hold.

    The largest batch that a forward-only tool would recommend is searched, and the largest one
    that trains.

    Args:
        probe: Runs the trials.
        workload: What is trained.
        config: How it is trained.
        batch_size: Samples in one forward pass.
        on_event: Called with each event.
        cancel: Checked before each trial.

    Raises:
        InvalidValue: The batch size is out of range.
        Cancelled: The user stopped the work; carries what was known by then.
    """
    config = workload.describe(config)
    ran: list[Trial] = []

    def known() -> BackwardValidation:
        return backward_so_far(ran, workload, probe.target)

    run = _runner(probe, workload, on_event, cancel or CancelToken(), ran, known)
    with _keeping_what_is_known(ran, known):
        trials = {stage: run(config, batch_size, stage) for stage in Stage}
        forward_only = _search(run, config, Stage.FORWARD_ONLY, trials, probe)
        whole = _search(run, config, Stage.STEP, trials, probe)
    judged = judge_backward(trials)
    return BackwardValidation(
        workload=workload.name,
        target=probe.target,
        config=config,
        batch_size=batch_size,
        trials=tuple(trials.values()),
        ratio=judged.ratio,
        verdict=judged.verdict,
        reasons=judged.reasons,
        gradients=trials[Stage.BACKWARD].gradient_check or trials[Stage.STEP].gradient_check,
        forward_only_max_batch_size=forward_only.max_batch_size,
        max_batch_size=whole.max_batch_size,
        search_trials=(*_kept(forward_only, batch_size), *_kept(whole, batch_size)),
        findings=_search_findings(forward_only, whole),
    )


def validate_compile_on(
    probe: Probe,
    workload: Workload,
    config: TrainingConfig,
    batch_size: int,
    *,
    on_event: OnEvent = ignore,
    cancel: CancelToken | None = None,
) -> CompileValidation:
    """Run one batch eagerly and compiled, and compare seconds and memory.

    Args:
        probe: Runs the trials.
        workload: What is trained.
        config: How it is trained; its `compile` is set to both values in turn.
        batch_size: Samples in one forward pass.
        on_event: Called with each event.
        cancel: Checked before each trial.

    Raises:
        InvalidValue: The batch size is out of range.
        Cancelled: The user stopped the work; carries what was known by then.
    """
    config = workload.describe(config)
    ran: list[Trial] = []

    def known() -> CompileValidation:
        return compile_so_far(ran, workload, probe.target)

    run = _runner(probe, workload, on_event, cancel or CancelToken(), ran, known)
    with _keeping_what_is_known(ran, known):
        eager = run(dataclasses.replace(config, compile=False), batch_size, Stage.STEP, "eager")
        compiled = run(
            dataclasses.replace(config, compile=True), batch_size, Stage.STEP, "compiled"
        )
    seconds = compile_seconds(eager, compiled)
    steps = break_even_steps(eager, compiled)
    verdict, reasons = judge_compile(eager, compiled, seconds, steps)
    return CompileValidation(
        workload=workload.name,
        target=probe.target,
        config=config,
        batch_size=batch_size,
        eager=eager,
        compiled=compiled,
        compile_seconds=seconds,
        break_even_steps=steps,
        verdict=verdict,
        reasons=reasons,
    )


def compile_seconds(eager: Trial, compiled: Trial) -> float | None:
    """Seconds that compiling takes: the first compiled step less a later compiled step.

    What an eager first step takes longer than a later one (libraries that load, memory that is
    claimed) is subtracted, since a compiled first step pays that as well.
    """
    if compiled.first_step_seconds is None or compiled.step_seconds is None:
        return None
    once = 0.0
    if eager.first_step_seconds is not None and eager.step_seconds is not None:
        once = max(0.0, eager.first_step_seconds - eager.step_seconds)
    return max(0.0, compiled.first_step_seconds - compiled.step_seconds - once)


def break_even_steps(eager: Trial, compiled: Trial) -> int | None:
    """Steps after which compiling has paid: compile seconds over seconds saved in a step.

    None where a compiled step saves nothing, or where a figure is unknown.
    """
    seconds = compile_seconds(eager, compiled)
    if seconds is None or eager.step_seconds is None or compiled.step_seconds is None:
        return None
    saved = eager.step_seconds - compiled.step_seconds
    return math.ceil(seconds / saved) if saved > 0 else None


_RunTrial = Callable[..., Trial]


def _runner(
    probe: Probe,
    workload: Workload,
    on_event: OnEvent,
    cancel: CancelToken,
    ran: list[Trial],
    known: Callable[[], Record],
) -> _RunTrial:
    """Make a function that runs a trial, adds it to those that ran, and tells of it."""

    def run(config: TrainingConfig, batch_size: int, stage: Stage, label: str = "") -> Trial:
        cancel.check()
        what = label or STAGE_TEXT[stage]
        about = {"phase": "validation", "batch_size": batch_size}
        on_event(Event(EventKind.TRIAL_STARTED, f"{what}, batch {batch_size}: running", **about))
        trial = attempt(probe, TrialSpec(workload, config, batch_size, stage), ran)
        ran.append(trial)
        text = f"{what}, {trial_line(trial)}"
        on_event(Event(EventKind.TRIAL_FINISHED, text, trial=trial, known=known, **about))
        return trial

    return run


@contextlib.contextmanager
def _keeping_what_is_known(ran: list[Trial], known: Callable[[], Record]) -> Iterator[None]:
    """Let a stop carry the record of the trials that ran until then."""
    try:
        yield
    except (Cancelled, KeyboardInterrupt) as stop:
        raise Cancelled(partial=known() if ran else None) from stop


def _search(
    run: _RunTrial,
    config: TrainingConfig,
    stage: Stage,
    trials: dict[Stage, Trial],
    probe: Probe,
) -> SearchResult:
    """Find the largest batch for a stage, without repeating the trial that exists."""

    def once(batch_size: int) -> Trial:
        known = trials[stage]
        return known if known.batch_size == batch_size else run(config, batch_size, stage)

    return find_max_batch(once, capacity_bytes=probe.target.capacity_bytes)


def _kept(found: SearchResult, batch_size: int) -> tuple[Trial, ...]:
    return tuple(trial for trial in found.trials if trial.batch_size != batch_size)


def _search_findings(*searches: SearchResult) -> tuple[str, ...]:
    stopped = [found.error for found in searches if found.error]
    return tuple(f"A search stopped early: {error}" for error in dict.fromkeys(stopped))
