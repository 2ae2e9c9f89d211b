"""One training: THE training step, one after another, within a limit of memory.

Out of memory in the middle of a step halves the micro-batch and doubles the accumulation, and the
same step is run again from the same state: the samples, the random generators and the weights are
those of before. Only where memory ran out while weights were updated, some of them are new: then
the newest checkpoint is what it goes on from.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memorymark.data.samples import Samples
from memorymark.errors import WorkloadError, quoted
from memorymark.memory.oom import is_out_of_memory
from memorymark.memory.trace import OPTIMIZER, STEP
from memorymark.probes.common import forget_frames
from memorymark.probes.probe import Probe
from memorymark.records.training_run import StepPoint
from memorymark.records.trial import Stage
from memorymark.trainer.evaluate import batch_loss, evaluating, mean_loss, spread
from memorymark.trainer.fed_workload import Arrays, FedWorkload, names_of_batch
from memorymark.trainer.memory_limit import memory_limit
from memorymark.trainer.order import Order
from memorymark.trainer.sampling import can_write, write_sample
from memorymark.trainer.schedule import learning_rate
from memorymark.trainer.training_job import TrainingJob, largest_divisor
from memorymark.training.optimizers import state_tensors
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.step import TrainingStep
from memorymark.workloads.build import build_model, tensors_beside
from memorymark.workloads.trial_spec import TrialSpec


class HalfUpdated(Exception):
    """Memory ran out while weights were updated: they are neither old nor new."""


class NotFinite(WorkloadError):
    """The loss, or a weight, is no number any more."""


class Training:
    """A model, its optimizer and its place in the data, on a real device.

    Args:
        job: What is trained.
        probe: The probe of the device, whose budget holds.
        note: Called with a sentence where something is done otherwise than asked.
        model: A model to train, on the device; None builds the job's own.

    Attributes:
        job: The job, as its steps are split now.
        step: The training step.
        done: Optimizer steps that were done.
        seconds: Seconds of those steps.
    """

    def __init__(
        self,
        job: TrainingJob,
        probe: Probe,
        note: Callable[[str], None] = lambda text: None,
        model: nn.Module | None = None,
    ) -> None:
        self.job, self.done, self.seconds = job, 0, 0.0
        self.note, self._phase = note, STEP
        self.limit = memory_limit(probe, self._live, lambda: None)
        self.runtime = DeviceRuntime(self.limit.device)
        self._cursor = 0
        self._order = Order(len(job.samples), job.plan.seed) if job.samples is not None else None
        feed = self._take if job.samples is not None else None
        self.workload = FedWorkload(job.workload, feed, job.weights_folder)
        names = names_of_batch(job.workload, job.config) if job.samples is not None else None
        self._names = names
        torch.manual_seed(job.plan.seed)
        if model is None:
            model = build_model(self.workload, job.config, self.limit.device)
        spec = TrialSpec(self.workload, job.config, job.batch_size, Stage.STEP)
        self.step = TrainingStep(spec, model, self.runtime, on_phase=self._enter)
        self._tune()

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self.step.model

    @property
    def samples_done(self) -> int:
        """Samples that were trained on."""
        return self.done * self.job.effective_batch

    def run_step(self, total: int | None) -> StepPoint:
        """Run one optimizer step, in smaller micro-batches where memory runs out.

        Args:
            total: How many steps there are, for the schedule; None where only time ends them.

        Raises:
            OutOfMemory: A micro-batch of one sample is too large; elsewhere torch's own error.
            HalfUpdated: Memory ran out while weights were updated.
            NotFinite: The loss is no number.
        """
        rate = learning_rate(self.job.plan, self.done, total)
        for optimizer in self.step.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        while True:
            generators = self._generators()
            self._cursor, self.workload.losses = self.samples_done, []
            began = time.perf_counter()
            try:
                self.limit.run(self._kind, self.step)
                loss = self._loss()
                self.limit.synchronize()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._split_smaller(error, generators)
                continue
            return self._did(loss, rate, time.perf_counter() - began)

    def evaluate(self) -> float:
        """Return the mean loss of the evaluation's samples."""
        samples, job = self.job.evaluation, self.job
        assert samples is not None
        losses: list[float] = []
        sizes: list[int] = []

        def one(batch: range) -> Callable[[], None]:
            def work() -> None:
                arrays = self._named(samples.read(list(batch)))
                losses.append(
                    batch_loss(self.workload, self.model, arrays, job.config, self.runtime)
                )
                sizes.append(len(batch))

            return work

        with evaluating(self.model):
            for batch in spread(len(samples), job.batch_size, job.plan.eval_batches):
                self.limit.run(("evaluation", len(batch)), one(batch))
        self.workload.losses = []
        return mean_loss(losses, sizes)

    def sample(self) -> str | None:
        """Return what the model writes after the evaluation's first words; None if it cannot."""
        job = self.job
        if not job.plan.sample_tokens or job.evaluation is None or not can_write(self.model):
            return None
        first = torch.from_numpy(job.evaluation.read([0])["input_ids"][0])
        written: list[int] = []

        def work() -> None:
            written.extend(
                write_sample(
                    self.model,
                    first,
                    job.plan.sample_tokens,
                    config=job.config,
                    runtime=self.runtime,
                    seed=job.plan.seed,
                )
            )

        with evaluating(self.model):
            self.limit.run("sample", work)
        if job.tokenizer is None:
            return " ".join(map(str, written))
        return job.tokenizer.decode(written)

    def check_weights(self) -> None:
        """Check that weights are numbers, so that no bad checkpoint replaces a good one.

        Raises:
            NotFinite: One is none.
        """
        with torch.no_grad():
            for name, each in self.model.named_parameters():
                if each.requires_grad and not bool(torch.isfinite(each).all()):
                    raise NotFinite(
                        f"After step {self.done:,} the weights of {name} hold NaN or infinity. "
                        f"{_SMALLER}"
                    )

    @property
    def _kind(self) -> object:
        return "step", self.job.batch_size, self.job.config.gradient_accumulation

    @property
    def step_bytes(self) -> int | None:
        """The most bytes that lived in a step as they are split now."""
        return self.limit.peak_of(self._kind)

    def _did(self, loss: float, rate: float, seconds: float) -> StepPoint:
        if not math.isfinite(loss):
            raise NotFinite(f"The loss of step {self.done + 1:,} is {loss}. {_SMALLER}")
        self.done += 1
        self.seconds += seconds
        tokens = self.job.samples.tokens_per_sample if self.job.samples is not None else None
        count = self.job.effective_batch * (tokens or 1)
        return StepPoint(self.done, self.seconds, loss, rate, count / seconds, self.step_bytes)

    def _loss(self) -> float:
        if self.workload.losses:
            return self.workload.take_loss()
        returned = self.step.outputs  # of the user's own step
        first = returned[0] if isinstance(returned, tuple | list) and returned else returned
        if (isinstance(first, Tensor) and first.numel() == 1) or isinstance(first, float):
            return float(first)
        raise WorkloadError(
            f"The step function of {quoted(self.workload.name)} returned no loss. Return it from "
            "the step, so that a training can be followed."
        )

    def _take(self, count: int) -> Arrays:
        assert self._order is not None and self.job.samples is not None
        parts = self._order.by_epoch(self._cursor, count)
        self._cursor += count
        read = [in_epoch(self.job.samples, epoch, part) for epoch, part in parts]
        if len(read) == 1:
            return self._named(read[0])
        return self._named({name: np.concatenate([x[name] for x in read]) for name in read[0]})

    def _named(self, arrays: Arrays) -> Arrays:
        """Return those of a sample's arrays that the model's batches hold."""
        if self._names is None:
            return arrays
        return {name: arrays[name] for name in self._names if name in arrays}

    def _enter(self, phase: str) -> None:
        self._phase = phase

    def _tune(self) -> None:
        plan = self.job.plan
        for optimizer in self.step.optimizers:
            for group in optimizer.param_groups:
                if plan.weight_decay is not None and "weight_decay" in group:
                    group["weight_decay"] = plan.weight_decay
                if plan.beta2 is not None and "betas" in group:
                    group["betas"] = (group["betas"][0], plan.beta2)

    def _generators(self) -> tuple[Tensor, Tensor | None]:
        device = self.limit.device
        on_card = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return torch.get_rng_state(), on_card

    def _split_smaller(self, error: Exception, generators: tuple[Tensor, Tensor | None]) -> None:
        """Halve the micro-batch after memory ran out.

        Raises:
            HalfUpdated: It ran out while weights were updated.
        """
        was_updating = self._phase == OPTIMIZER
        size = self.job.batch_size
        if size == 1 or self.job.samples is None:
            raise error
        forget_frames(error)
        self.step.drop()
        gc.collect()
        self.limit.release()
        smaller = self.job.split(largest_divisor(self.job.effective_batch, size // 2))
        self.note(
            f"Out of memory at step {self.done + 1:,} with a micro-batch of {size}: it goes on "
            f"with {smaller.batch_size} and {smaller.config.gradient_accumulation} accumulation "
            f"steps, the same effective batch of {smaller.effective_batch}."
        )
        self.job = smaller
        self.step.split(smaller.batch_size, smaller.config.gradient_accumulation)
        if was_updating:
            raise HalfUpdated
        torch.set_rng_state(generators[0])
        if generators[1] is not None:
            torch.cuda.set_rng_state(generators[1], self.limit.device)

    def _live(self) -> Iterator[tuple[str, Tensor, str]]:
        """Yield all that lives on between two steps, with what it is for."""
        step = self.step
        for name, parameter in step.model.named_parameters():
            yield name, parameter, "parameters"
            if parameter.grad is not None:
                yield name, parameter.grad, "gradients"
        yield from ((name, each, "temporaries") for name, each in step.model.named_buffers())
        yield from tensors_beside(self.workload, step.model)
        for optimizer in step.optimizers:
            yield from (("", state, "optimizer_states") for _, state in state_tensors(optimizer))
            yield from (("", each, "temporaries") for each in _counts(optimizer))
        yield from (("", each, "inputs") for each in _held([step.batches]))
        yield from (("", each, "activations") for each in _held([step.loss, step.outputs]))


_DEEPEST = 6
_SMALLER = "Try a smaller learning rate, a warm-up, gradient clipping or the precision fp32."


def _counts(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    for values in optimizer.state.values():
        yield from (each for each in values.values() if isinstance(each, Tensor))


def _held(value: Any, depth: int = 0) -> Iterator[Tensor]:
    """Yield the tensors that a value holds: in containers, and in objects such as caches."""
    if isinstance(value, Tensor):
        yield value
    elif depth < _DEEPEST and not isinstance(value, nn.Module | type):
        members: Any = getattr(value, "__dict__", {}).values()
        if isinstance(value, Mapping):
            members = [*value.values(), *members]
        elif isinstance(value, list | tuple):
            members = value
        for each in list(members):
            yield from _held(each, depth + 1)


def in_epoch(samples: Samples, epoch: int, indices: Sequence[int]) -> Arrays:
    """Read samples as they are in an epoch: windows of a text begin elsewhere in each."""
    shift: Any = getattr(samples, "shifted", None)
    if shift is None or not epoch:
        return samples.read(indices)
    shifted = shift(epoch)  # it may have one window fewer
    return shifted.read([index % len(shifted) for index in indices])


def trainable(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters a model has, and how many of them are trained."""
    every: list[Any] = list(model.parameters())
    return sum(x.numel() for x in every), sum(x.numel() for x in every if x.requires_grad)
