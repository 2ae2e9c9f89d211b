"""One task: answered, trained on, answered again; whatever ends it, the model is as before."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

from memorymark.data.arc.arc_tasks import Grid, Task
from memorymark.data.arc.grid_tokens import grid_count
from memorymark.data.arc.leave_one_out import LeaveOneOut, Prompt, prompt_of
from memorymark.errors import DeviceError, MemoryMarkError, one_sentence
from memorymark.memory.oom import is_out_of_memory
from memorymark.probes.common import forget_frames
from memorymark.probes.probe import Probe
from memorymark.records.arc_plan import Shown
from memorymark.records.arc_report import ArcTaskResult, TaskEnd
from memorymark.trainer.arc.answering import answer, is_right
from memorymark.trainer.arc.arc_job import ArcJob
from memorymark.trainer.arc.decoder import Decoder
from memorymark.trainer.arc.share_of_time import SharedTime
from memorymark.trainer.training import Training


class OneTask:
    """Test-time training on one task, and what it came to.

    Args:
        job: The run.
        task: The task.
        decoder: The model; it is reset when the task begins.
        probe: The probe of the device, whose budget holds.
        time: The task's share of the time.
        check: Raises where the work is to end.

    Attributes:
        decoder: The model, trained on the task until it is reset.
    """

    def __init__(
        self,
        job: ArcJob,
        task: Task,
        decoder: Decoder,
        probe: Probe,
        time: SharedTime,
        check: Callable[[], None],
    ) -> None:
        self.decoder = decoder
        self._job, self._task, self._probe = job, task, probe
        self._time, self._check = time, check
        most = _most_shown(task, job.plan.shown)
        self._prompts = [
            prompt_of(task, each.input, job.config.seq_len, most) for each in task.test
        ]
        self._training: Training | None = None
        self._written = 0  # tokens
        self._notes: list[str] = []
        self._before: int | None = None
        self._after: int | None = None
        self._loss: float | None = None
        self._error: str | None = None

    def run(self) -> ArcTaskResult:
        """Return what the task came to; out of memory and errors of its own are results.

        Raises:
            DeviceError: The device can run nothing more.
        """
        self.decoder.reset()
        ended = TaskEnd.ERROR
        try:
            ended = self._run()
        except Exception as error:
            if isinstance(error, DeviceError):
                raise
            if not is_out_of_memory(error) and not isinstance(error, MemoryMarkError):
                raise
            ended = TaskEnd.OUT_OF_MEMORY if is_out_of_memory(error) else TaskEnd.ERROR
            self._error = one_sentence(error)
            forget_frames(error)
        return self._result(ended)

    def _run(self) -> TaskEnd:
        job = self._job
        training = self._training = self._begun()
        with training.limit.held(), training.runtime.settings(job.config):
            return self._trained(training)

    def _trained(self, training: Training) -> TaskEnd:
        job, began = self._job, time.perf_counter()
        self._before = self._right()
        answering = self._answering_seconds(time.perf_counter() - began)
        longest = 0.0
        while training.done < job.plan.steps:
            if not self._time.has_room(longest + answering):
                break
            self._check()
            before = time.perf_counter()
            self._loss = training.run_step(job.plan.steps).loss
            longest = max(longest, time.perf_counter() - before)
        training.step.drop()
        self._after = self._right()
        return TaskEnd.STEPS if training.done == job.plan.steps else TaskEnd.TIME

    def _answering_seconds(self, taken: float) -> float:
        """Return how long answers take that are grids: before training, most end early."""
        outputs = max(grid_count(each.output) for each in self._task.train)
        whole = outputs * sum(each is not None for each in self._prompts)
        return taken * max(1.0, whole / max(1, self._written))

    def _begun(self) -> Training:
        """Return a training with an optimizer of its own, on the task's own examples."""
        job, plan = self._job, self._job.plan
        size = plan.steps * plan.batch_size * job.config.gradient_accumulation
        samples = LeaveOneOut(
            self._task, size, job.config.seq_len, plan.seed,
            symmetries=plan.augment.turns, colours=plan.augment.recolours,
        )  # fmt: skip
        self._notes += filter(None, [samples.left_out, *self._unasked()])
        return Training(job.training(samples), self._probe, self._notes.append, self.decoder.model)

    def _unasked(self) -> Iterator[str]:
        missing = sum(each is None for each in self._prompts)
        if missing:
            yield (
                f"{missing} of {len(self._prompts)} test grids could not be asked: with one "
                f"example before them they are longer than {self._job.config.seq_len:,} tokens."
            )

    def _right(self) -> int:
        """Return how many test grids are answered right, in one attempt each."""
        pairs = zip(self._prompts, self._task.test, strict=True)
        return sum(
            self._is_right(index, prompt, example.output)
            for index, (prompt, example) in enumerate(pairs)
            if prompt is not None
        )

    def _is_right(self, index: int, prompt: Prompt, expected: Grid) -> bool:
        training, found = self._training, []
        assert training is not None
        self._check()

        def work() -> None:
            runtime, config = training.runtime, self._job.config
            found.append(answer(training.model, prompt, config, runtime, self._is_stopped))

        training.limit.run(("answer", index), work)
        self._written += found[0].tokens
        return is_right(found[0], expected)

    def _is_stopped(self) -> bool:
        self._check()
        if self._time.is_over:
            self._notes.append(
                "Its time was over while it answered: what it wrote counts as wrong."
            )
        return self._time.is_over

    def _result(self, ended: TaskEnd) -> ArcTaskResult:
        task, training, shown = self._task, self._training, (*self._task.train, *self._task.test)
        self._training = None
        peak = held_bytes(training, self._probe) if training is not None else None
        done = training.done if training is not None else 0
        if training is not None:
            training.step.drop()
        gc.collect()
        if training is not None:
            training.limit.release()
        return ArcTaskResult(
            name=task.name,
            grids=len(task.test),
            stopped_by=ended,
            input_size=_largest(each.input.shape for each in shown),
            output_size=_largest(each.output.shape for each in shown),
            correct_before=self._before,
            correct_after=self._after,
            trainable_parameters=self.decoder.trainable if done else None,
            steps=done,
            train_loss=self._loss,
            peak_bytes=peak,
            seconds=self._time.elapsed,
            error=self._error,
            findings=tuple(dict.fromkeys(self._notes)),
        )


def _most_shown(task: Task, shown: Shown) -> int | None:
    """Return how many examples may stand before a test grid; None for all."""
    return None if shown is Shown.ALL else max(1, len(task.train) - 1)


def held_bytes(training: Training, probe: Probe) -> int | None:
    """Return the most bytes that lived in a training; None where nothing was counted.

    What went beyond the budget was refused: on the CPU it is counted before that is seen.
    """
    peak = training.limit.peak_bytes()[0]
    capacity = probe.target.capacity_bytes
    return min(peak, capacity or peak) or None


def not_run(task: Task) -> ArcTaskResult:
    """Return the result of a task for which no time was left."""
    shown = (*task.train, *task.test)
    return ArcTaskResult(
        task.name, len(task.test), TaskEnd.NOT_RUN,
        input_size=_largest(each.input.shape for each in shown),
        output_size=_largest(each.output.shape for each in shown),
    )  # fmt: skip


def _largest(shapes: Iterator[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape with the most cells."""
    return max(((int(rows), int(columns)) for rows, columns in shapes), key=lambda x: x[0] * x[1])
