"""Test-time training over all tasks: one after the other, within one budget of memory and time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from memorymark.data.arc.generated_tasks import GeneratedSamples
from memorymark.errors import Cancelled, one_sentence
from memorymark.memory.oom import is_out_of_memory
from memorymark.probes.common import forget_frames, software
from memorymark.probes.probe import Probe
from memorymark.records.arc_report import ArcReport, ArcTaskResult, TaskEnd
from memorymark.records.event import CancelToken
from memorymark.trainer.arc.arc_files import ArcFiles
from memorymark.trainer.arc.arc_job import ArcJob
from memorymark.trainer.arc.decoder import Decoder, adapted
from memorymark.trainer.arc.one_task import OneTask, held_bytes, not_run
from memorymark.trainer.arc.share_of_time import SharedTime
from memorymark.trainer.memory_limit import budget_held
from memorymark.trainer.training import Training
from memorymark.units import count, seconds

# A note for who waits, and the share of the work that is done.
Note = Callable[[str, float | None], None]

_PRETRAINING_SHARE = 0.5  # of the time budget, so that there is some left for the tasks
_TOLD_EVERY = 50
_SHOWN = 3  # examples of a generated task in pretraining: short sequences are many


def run_arc(
    probe: Probe,
    job: ArcJob,
    *,
    note: Note = lambda text, progress: None,
    cancel: CancelToken | None = None,
) -> ArcReport:
    """Answer tasks without and with training on each of them.

    Args:
        probe: The device.
        job: The model and the tasks.
        note: Called with a sentence for who waits, and the share that is done.
        cancel: Ends the work; what is known by then comes along with the exception.

    Raises:
        Cancelled: It was asked for; carries the report of the tasks that were done.
        NotAvailable: The probe is of no real device.
        MemoryMarkError: The model cannot be built, or trains nothing.
    """
    return _ArcRun(probe, job, note, cancel or CancelToken()).run()


class _ArcRun:
    """A run while it goes on."""

    def __init__(self, probe: Probe, job: ArcJob, note: Note, cancel: CancelToken) -> None:
        self._probe, self._job, self._note, self._cancel = probe, job, note, cancel
        self._time = SharedTime(job.plan.time_budget, time.monotonic())
        self._files = ArcFiles(Path(job.plan.checkpoint) if job.plan.checkpoint else None)
        self._report = ArcReport(
            model=job.workload.name,
            config=job.config,
            plan=job.plan,
            target=probe.target,
            weights_from=job.checkpoint.comes_from,
            memory_budget_bytes=job.memory_budget_bytes,
            findings=tuple(filter(None, [job.checkpoint.note])),
            software=software(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def run(self) -> ArcReport:
        try:
            self._read()
            with budget_held(self._probe):
                decoder = self._decoder_within_budget()
                for number in range(len(self._job.tasks) if decoder is not None else 0):
                    self._one(decoder, number)
        except Cancelled as stop:
            done = len(self._report.tasks)
            of = f"Stopped after {done:,} of {len(self._job.tasks):,} tasks."
            raise Cancelled(of, self._ended()) from stop
        return self._ended()

    def _read(self) -> None:
        self._files.begin()
        read, tasks = self._job.read, len(self._job.tasks)
        if read is None:
            self._note(f"{tasks:,} tasks were generated", None)
            return
        self._keep(read_tasks=len(read.tasks), read_seconds=read.seconds)
        self._note(
            f"Read, parsed and checked {tasks:,} tasks in {seconds(read.seconds)}: "
            f"{read.tasks_per_second:,.0f} a second",
            None,
        )

    def _decoder_within_budget(self) -> Decoder | None:
        """Return the model; None where it has no room, and so no task has."""
        try:
            return self._decoder()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            sentence = f"The model itself: {one_sentence(error)}"
            forget_frames(error)
        ended = [
            dataclasses.replace(
                not_run(each), stopped_by=TaskEnd.OUT_OF_MEMORY, error=sentence
            )
            for each in self._job.tasks
        ]  # fmt: skip
        self._keep(tasks=tuple(ended))
        self._note(sentence, None)
        return None

    def _decoder(self) -> Decoder:
        """Return the model, pretrained where that is asked for, with what each task trains."""
        job = self._job
        samples = GeneratedSamples(
            max(1, job.plan.pretrain_steps * job.plan.pretrain_batch), job.plan.seed + 1,
            sides=(job.plan.grid_side, job.plan.grid_side), shown=_SHOWN,
        )  # fmt: skip
        training = Training(job.pretraining(samples), self._probe, self._tell)
        with training.limit.held(), training.runtime.settings(job.whole):
            self._pretrain(training)
            base, device = training.model, training.limit.device
            self._keep(peak_allocated_bytes=held_bytes(training, self._probe))
        if self._report.pretraining_steps:
            self._say(self._files.save_base(base))
        del training
        decoder = self._adapted(base, device)
        self._keep(parameters=decoder.parameters)
        words = (
            f"Trained on each task: {count(decoder.trainable)} of {count(decoder.parameters)} "
            "parameters."
        )
        self._note(words, None)
        self._say(*(decoder.findings or (words,)))
        return decoder

    def _adapted(self, base: nn.Module, device: torch.device) -> Decoder:
        torch.manual_seed(self._job.plan.seed)
        return adapted(base, self._job.workload, self._job.config, device)

    def _pretrain(self, training: Training) -> None:
        """Train all weights on generated tasks, in half of the time at the most."""
        wanted, began, longest = self._job.plan.pretrain_steps, time.perf_counter(), 0.0
        part = self._time.part(1 / _PRETRAINING_SHARE)
        loss = None
        while training.done < wanted and part.has_room(longest):
            self._cancel.check()
            before = time.perf_counter()
            loss = training.run_step(wanted).loss
            longest = max(longest, time.perf_counter() - before)
            if training.done % _TOLD_EVERY == 0:
                share = training.done / wanted
                self._note(f"Pretraining: step {training.done:,}, loss {loss:.3f}", share)
        training.step.drop()
        if not wanted:
            return
        if training.done < wanted:
            self._say(
                f"Pretraining ended after {training.done:,} of {wanted:,} steps: half of the time "
                "budget is for the tasks."
            )
        self._keep(
            pretraining_steps=training.done, pretraining_loss=loss,
            pretraining_seconds=time.perf_counter() - began,
        )  # fmt: skip

    def _one(self, decoder: Decoder, number: int) -> None:
        job = self._job
        task, left = job.tasks[number], len(job.tasks) - number
        if self._time.is_over:
            self._add(not_run(task), number)
            return
        self._cancel.check()
        one = OneTask(job, task, decoder, self._probe, self._time.part(left), self._cancel.check)
        result = one.run()
        if result.steps and not job.plan.all_weights:
            self._say(self._files.save_adapter(task.name, decoder.trained()))
        decoder.reset()
        self._add(result, number)

    def _add(self, result: ArcTaskResult, number: int) -> None:
        peaks = [self._report.peak_allocated_bytes or 0, result.peak_bytes or 0]
        tasks = (*self._report.tasks, result)
        self._keep(tasks=tasks, peak_allocated_bytes=max(peaks) or None)
        of = len(self._job.tasks)
        self._note(f"Task {number + 1:,} of {of:,}, {_words(result)}", (number + 1) / of)
        self._say(self._files.save_report(self._ended()))

    def _ended(self) -> ArcReport:
        return dataclasses.replace(self._report, seconds=self._time.elapsed)

    def _keep(self, **values: object) -> None:
        self._report = dataclasses.replace(self._report, **values)

    def _say(self, *sentences: str | None) -> None:
        known = dict.fromkeys((*self._report.findings, *filter(None, sentences)))
        self._keep(findings=tuple(known))

    def _tell(self, text: str) -> None:
        self._note(text, None)
        self._say(text)


def _words(result: ArcTaskResult) -> str:
    """Say what a task came to, as one line of the log."""
    if result.error is not None:
        return f"{result.name}: {result.stopped_by}: {result.error}"
    if result.correct_after is None:
        return f"{result.name}: {result.stopped_by}"
    return (
        f"{result.name}: {result.correct_before} right before and {result.correct_after} after "
        f"{result.steps:,} steps, of {result.grids}, {seconds(result.seconds)}"
    )
