"""Runs a training within its budgets, from the forecast to the last checkpoint."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memorymark.errors import OutOfMemory, WorkloadError, one_sentence, quoted
from memorymark.memory.oom import is_out_of_memory
from memorymark.placement.collector import collector_off
from memorymark.probes.common import forget_frames, software
from memorymark.probes.probe import Probe
from memorymark.records.event import CancelToken
from memorymark.records.session_run import Verdict
from memorymark.records.training_run import EvalPoint, Kept, StoppedBy, TrainingRun, thinned
from memorymark.trainer.checkpoint_files import (
    drop_older,
    newest_checkpoint,
    steps_in,
    write_checkpoint,
)
from memorymark.trainer.forecast import predicted_peak
from memorymark.trainer.memory_limit import budget_held
from memorymark.trainer.saved_model import save_model
from memorymark.trainer.state import restore, state_of
from memorymark.trainer.step_log import StepLog
from memorymark.trainer.time_budget import TimeBudget
from memorymark.trainer.training import HalfUpdated, NotFinite, Training, trainable
from memorymark.trainer.training_job import TrainingJob, largest_divisor
from memorymark.units import mib_or_gib, seconds
from memorymark.workloads.build import findings_on, notes_on
from memorymark.workloads.trial_spec import TrialSpec

_TOLD_EVERY = 1.0  # seconds
_EVALUATIONS = 10
OnProgress = Callable[[str, float | None, Callable[[], TrainingRun]], None]


def train_on(
    probe: Probe,
    job: TrainingJob,
    *,
    run: TrainingRun | None = None,
    note: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress = lambda text, share, known: None,
    cancel: CancelToken | None = None,
    began: float | None = None,
) -> TrainingRun:
    """Train for real within the probe's budget of memory and the plan's of time.

    Args:
        probe: The probe of the device.
        job: What is trained.
        run: A record that holds what is known before, such as forecasts.
        note: Called with a sentence for who waits.
        on_progress: Called every second with a line, the share that is done, and what puts
            together the record of what is known by then.
        cancel: Ends it after the step that runs, saved.
        began: When its time began, on time.monotonic's clock; None for now.

    Raises:
        WorkloadError: It cannot be trained so, its checkpoint is of another training, or one
            sample a step does not fit the budget.
        NotAvailable: The probe is of no real device.
    """
    began = time.monotonic() if began is None else began
    folder = None if job.plan.checkpoint is None else Path(job.plan.checkpoint).expanduser()
    saved = _resumed(job, folder)
    if saved is not None:
        job = _as_saved(job, saved.state)
    note("Simulating what it will hold")
    job, predicted, told = fitting(probe, job, note)
    run = run or empty_run(probe, job)
    run = dataclasses.replace(
        run, config=job.config, batch_size=job.batch_size, predicted_peak_bytes=predicted,
        assumptions=(*run.assumptions, *told), total_steps=job.total_steps,
        checkpoint=None if folder is None else str(folder),
    )  # fmt: skip
    with budget_held(probe):
        training = Training(job, probe, note)
        cancel = cancel or CancelToken()
        budgeted = _Budgeted(training, run, folder, note, on_progress, cancel, began)
        with training.limit.held(), collector_off(), training.runtime.settings(job.config):
            found = budgeted.run(saved)
        limit = training.limit
        del training, budgeted
        gc.collect()
        limit.release()
    return dataclasses.replace(found, elapsed_seconds=time.monotonic() - began)


def fitting(
    probe: Probe, job: TrainingJob, note: Callable[[str], None]
) -> tuple[TrainingJob, int | None, tuple[str, ...]]:
    """Return a job whose micro-batch is predicted to fit, what it will hold, and what was assumed.

    Raises:
        WorkloadError: One sample a step does not fit.
    """
    capacity = probe.target.capacity_bytes
    while True:
        spec = TrialSpec(job.workload, job.config, job.batch_size)
        predicted, told = predicted_peak(probe, spec)
        if predicted is None or capacity is None or predicted <= capacity:
            return job, predicted, told
        needs = (
            f"A micro-batch of {job.batch_size} needs {mib_or_gib(predicted)}, and "
            f"{mib_or_gib(capacity)} can be used"
        )
        if job.batch_size == 1 or job.samples is None:
            raise WorkloadError(
                f"{needs}: {quoted(job.workload.name)} cannot be trained within it. Raise the "
                "memory budget, or take gradient checkpointing, a LoRA rank or a shorter sample."
            )
        job = job.split(largest_divisor(job.effective_batch, job.batch_size // 2))
        note(
            f"{needs}: it begins with {job.batch_size} and {job.config.gradient_accumulation} "
            f"accumulation steps, the same effective batch of {job.effective_batch}."
        )


def empty_run(probe: Probe, job: TrainingJob) -> TrainingRun:
    """Return the record of a training that has not begun."""
    return TrainingRun(
        model=job.workload.name,
        config=job.config,
        plan=job.plan,
        target=probe.target,
        batch_size=job.batch_size,
        stopped_by=StoppedBy.USER,
        weights_from=job.checkpoint.comes_from,
        memory_budget_bytes=probe.target.capacity_bytes,
        bytes_per_token=job.bytes_per_token,
        findings=job.notes,
        software=software(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class _Budgeted:
    """A training while it runs within its budgets."""

    def __init__(
        self,
        training: Training,
        run: TrainingRun,
        folder: Path | None,
        note: Callable[[str], None],
        on_progress: OnProgress,
        cancel: CancelToken,
        began: float,
    ) -> None:
        self._training, self._record, self._folder = training, run, folder
        self._note, self._on_progress, self._cancel = note, on_progress, cancel
        self._plan = training.job.plan
        self._time = TimeBudget(self._plan.time_budget, began)
        self._total = training.job.total_steps
        self._log = StepLog(None)
        self._told_at, self._saved_at = 0.0, -1
        self._stopped_by, self._error = StoppedBy.USER, None
        training.note = self._remember

    def run(self, saved: Any) -> TrainingRun:
        """Train, and return the record."""
        try:
            self._begin(saved)
            self._stopped_by = self._loop()
            self._finish()
        except NotFinite as error:
            self._stopped_by, self._error = StoppedBy.NOT_FINITE, _with_last(error, self._folder)
        except OSError as error:
            self._stopped_by, self._error = StoppedBy.DISK, self._of_disk(error)
        except Exception as error:
            if not is_out_of_memory(error) and not isinstance(error, HalfUpdated):
                raise
            self._stopped_by = StoppedBy.OUT_OF_MEMORY
            self._error = _with_last(error, self._folder)
            forget_frames(error)
        finally:
            self._log.close()
        return self._known()

    def _begin(self, saved: Any) -> None:
        training, folder = self._training, self._folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        if saved is not None:
            self._restore(saved)
            self._record = dataclasses.replace(self._record, resumed_from=training.done)
            self._note(f"Going on from step {training.done:,}.")
        self._log = StepLog(folder, training.done)
        total, trained = trainable(training.model)
        told = dict.fromkeys([*findings_on(training.model), *notes_on(training.model)])
        self._record = dataclasses.replace(
            self._record, parameters=total, trainable_parameters=trained,
            findings=(*self._record.findings, *told),
        )  # fmt: skip
        self._note(f"Training {trained:,} of {total:,} parameters.")
        if saved is None:
            self._evaluate()
            self._save()

    def _restore(self, saved: Any) -> None:
        training, state = self._training, saved.state
        tensors = {part: saved.tensors(part) for part in ("weights", "training")}
        restore(training.step, tensors, state["random"])
        training.done, training.seconds = state["done"], state["seconds"]
        self._saved_at = training.done

    def _loop(self) -> StoppedBy:
        training = self._training
        while True:
            why = self._why_to_end()
            if why is not None:
                return why
            began = time.monotonic()
            try:
                point = training.run_step(self._total)
            except HalfUpdated:
                self._go_back()
                continue
            self._log.add(point)
            self._time.note_step(time.monotonic() - began)
            if self._is_due(self._plan.eval_every):
                self._evaluate()
            if self._is_due(self._plan.checkpoint_every or self._plan.eval_every):
                self._save()
            self._tell()

    def _why_to_end(self) -> StoppedBy | None:
        if self._total is not None and self._training.done >= self._total:
            return StoppedBy.LENGTH
        if self._cancel.cancelled:
            return StoppedBy.USER
        if not self._time.has_room():
            return StoppedBy.TIME_BUDGET
        if self._is_worse_for_long():
            return StoppedBy.EARLY
        return None

    def _is_worse_for_long(self) -> bool:
        losses = [each.loss for each in self._log.evaluations]
        patience = self._plan.patience
        return patience is not None and len(losses) - 1 - _best(losses) >= patience

    def _is_due(self, every: int | None) -> bool:
        every = every or max(1, (self._total or 10_000) // _EVALUATIONS)
        return self._training.done % every == 0

    def _go_back(self) -> None:
        """Go on from the newest checkpoint: weights are neither old nor new."""
        found = newest_checkpoint(self._folder) if self._folder is not None else None
        if found is None:
            raise OutOfMemory(0, 0, self._record.memory_budget_bytes or 0)
        self._restore(found)
        self._log.close()
        self._log = StepLog(self._folder, self._training.done)
        self._remember(
            f"Memory ran out while weights were updated: it goes on from the checkpoint of step "
            f"{self._training.done:,}."
        )

    def _evaluate(self) -> None:
        training, last = self._training, self._log.evaluations
        if training.job.evaluation is None or (last and last[-1].step == training.done):
            return
        began = time.monotonic()
        loss = training.evaluate()
        point = EvalPoint(training.done, training.seconds, loss, training.sample())
        self._log.add_evaluation(point)
        took = time.monotonic() - began
        self._time.evaluation_seconds = max(self._time.evaluation_seconds, took)
        if self._plan.patience is not None and self._is_best_now():
            self._save_model()

    def _save(self) -> None:
        training, folder = self._training, self._folder
        if folder is None or self._saved_at == training.done:
            return
        training.check_weights()
        began = time.monotonic()
        parts, random = state_of(training.step)
        state = {"done": training.done, "seconds": training.seconds, "random": random}
        write_checkpoint(folder, training.done, parts, {**state, **described(training.job)})
        drop_older(folder, self._plan.keep)
        self._saved_at = training.done
        took = time.monotonic() - began
        self._time.checkpoint_seconds = max(self._time.checkpoint_seconds, took)

    def _finish(self) -> None:
        """Evaluate, save and write the model, whatever ended it."""
        self._evaluate()
        self._save()
        if self._plan.patience is None or self._is_best_now():
            self._save_model()
        elif self._folder is not None:
            best = self._log.evaluations[_best([x.loss for x in self._log.evaluations])].step
            self._remember(
                f"The model is that of step {best:,}, with the smallest evaluation loss."
            )

    def _is_best_now(self) -> bool:
        losses = [each.loss for each in self._log.evaluations]
        return not losses or _best(losses) == len(losses) - 1

    def _save_model(self) -> None:
        if self._folder is None:
            return
        began = time.monotonic()
        model = save_model(self._training.model, self._folder, self._training.job.tokenizer)
        self._record = dataclasses.replace(self._record, model_folder=str(model))
        took = time.monotonic() - began
        self._time.checkpoint_seconds = max(self._time.checkpoint_seconds, took)

    def _remember(self, text: str) -> None:
        self._note(text)
        self._record = dataclasses.replace(self._record, findings=(*self._record.findings, text))

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at < _TOLD_EVERY:
            return
        self._told_at = now
        self._on_progress(self._line(), self._share(), self._known)

    def _share(self) -> float | None:
        """Return the share that is done: of the steps or of the time, whichever ends first."""
        shares = [self._training.done / self._total] if self._total else []
        budget = self._plan.time_budget
        shares += [self._time.elapsed / budget] if budget is not None else []
        return min(max(shares), 1.0) if shares else None

    def _line(self) -> str:
        point, total = self._log.steps[-1], self._total
        of = f" of {total:,}" if total else ""
        unit = "tokens/s" if self._has_tokens else "samples/s"
        words = [f"step {point.step:,}{of}", f"loss {point.loss:.4g}",
                 f"{point.per_second:,.0f} {unit}"]  # fmt: skip
        if point.memory_bytes:
            budget = self._record.memory_budget_bytes
            words.append(
                mib_or_gib(point.memory_bytes) + (f" of {mib_or_gib(budget)}" if budget else "")
            )
        if total:
            each = self._training.seconds / max(1, self._training.done)
            words.append(f"{seconds(each * (total - point.step))} left")
        if self._time.left is not None:
            words.append(f"{seconds(max(0.0, self._time.left))} of the time budget left")
        return " · ".join(words)

    @property
    def _has_tokens(self) -> bool:
        samples = self._training.job.samples
        return samples is not None and samples.tokens_per_sample is not None

    def _known(self) -> TrainingRun:
        """Return the record of what is known by now."""
        training, log = self._training, self._log
        losses = [each.loss for each in log.evaluations]
        best = log.evaluations[_best(losses)] if losses else None
        samples = training.samples_done
        per_sample = training.job.samples.tokens_per_sample if training.job.samples else None
        allocated, reserved = training.limit.peak_bytes()
        every = self._plan.eval_every or max(1, (self._total or 100) // _EVALUATIONS)
        found = dataclasses.replace(
            self._record,
            config=training.job.config,
            batch_size=training.job.batch_size,
            stopped_by=self._stopped_by,
            steps=training.done,
            samples=samples,
            tokens=None if per_sample is None else samples * per_sample,
            seconds=training.seconds,
            train_loss=log.mean_loss(every),
            eval_loss=losses[-1] if losses else None,
            best_eval_loss=best and best.loss,
            best_step=best and best.step,
            peak_memory_bytes=allocated or None,
            peak_reserved_bytes=reserved,
            curve=thinned(log.steps),
            evaluations=tuple(log.evaluations),
            error=self._error,
        )
        return dataclasses.replace(found, verdicts=verdicts(found, self._time.elapsed))

    def _of_disk(self, error: OSError) -> str:
        return _with_last(
            WorkloadError(f"The checkpoint or the figures cannot be written: {error}."),
            self._folder,
        )


def described(job: TrainingJob) -> dict[str, Any]:
    """Return what a checkpoint says of its training, to be compared when it goes on."""
    return {
        "model": job.workload.name,
        "batch_size": job.batch_size,
        "gradient_accumulation": job.config.gradient_accumulation,
        "seed": job.plan.seed,
        "data": job.fingerprint,
    }


def verdicts(run: TrainingRun, elapsed: float) -> dict[str, Kept]:
    """Return whether the budgets were kept."""
    found = {}
    budget, peak = run.memory_budget_bytes, run.peak_memory_bytes
    held = run.peak_reserved_bytes or peak
    if budget is None or held is None:
        found["memory"] = Kept(Verdict.NOT_PROVEN, "There was no budget, or memory is not known.")
    else:
        reason = f"{mib_or_gib(held)} were held of {mib_or_gib(budget)}."
        found["memory"] = Kept(Verdict.PASS if held <= budget else Verdict.FAIL, reason)
    if run.plan.time_budget is not None:
        kept = elapsed <= run.plan.time_budget
        reason = f"It took {seconds(elapsed)} of {seconds(run.plan.time_budget)}."
        found["time"] = Kept(Verdict.PASS if kept else Verdict.FAIL, reason)
    return found


def _best(losses: list[float]) -> int:
    return min(range(len(losses)), key=losses.__getitem__, default=-1)


def _with_last(error: BaseException, folder: Path | None) -> str:
    """Return an error's sentence, and what is left to go on from."""
    steps = steps_in(folder) if folder is not None else []
    sentence = one_sentence(error) if str(error) else "Out of memory while weights were updated."
    if not steps:
        return f"{sentence} There is no checkpoint to go on from."
    return f"{sentence} The checkpoint of step {steps[-1]:,} in {quoted(str(folder))} is whole."


def _resumed(job: TrainingJob, folder: Path | None) -> Any:
    """Return the checkpoint to go on from; None for a new training.

    Raises:
        WorkloadError: There is none, or the folder holds those of another training.
    """
    if folder is None:
        return None
    if not job.plan.resume:
        if steps_in(folder):
            raise WorkloadError(
                f"The folder {quoted(str(folder))} holds checkpoints of a training already. Go on "
                "from them with --resume, or name another folder."
            )
        return None
    found = newest_checkpoint(folder)
    if found is None:
        raise WorkloadError(f"There is no checkpoint in {quoted(str(folder))} to go on from.")
    return found


def _as_saved(job: TrainingJob, state: dict[str, Any]) -> TrainingJob:
    """Return the job as its checkpoint has split it.

    Raises:
        WorkloadError: The checkpoint is of another training.
    """
    own = described(job)
    for name, words in (("model", "model"), ("data", "data"), ("seed", "seed")):
        if state[name] != own[name]:
            raise WorkloadError(
                f"The checkpoint is of another {words}: {quoted(state[name])}; given: "
                f"{quoted(own[name])}. Resume with what it was made with, or begin in another "
                "folder."
            )
    size, count = state["batch_size"], state["gradient_accumulation"]
    config = dataclasses.replace(job.config, gradient_accumulation=count)
    return dataclasses.replace(job, config=config, batch_size=size)
