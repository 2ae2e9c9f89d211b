"""What trials on a real accelerator have in common: the flow of a trial, and its recovery.

A trial is: build the model, warm-up steps that are thrown away, timed steps whose peak is read,
then two steps more with every storage followed, for the breakdown. Whatever happens, the device
is as it was before when the trial ends, or the trial says what stayed behind.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from memorymark.errors import MemoryMarkError
from memorymark.memory.breakdown import breakdown_at, peak_position, timeline
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.back_end import AcceleratorDevice, Peak
from memorymark.probes.common import failure, forget_frames, one_sentence, record
from memorymark.probes.exclusive import check_usable, give_up, only_user
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.probes.reconcile import with_remainder
from memorymark.records.config import TrainingConfig, check_batch_size
from memorymark.records.trial import Outcome, Stage, Target, Trial
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.step import TrainingStep
from memorymark.training.tracked import live_bytes_of, run_tracked_steps
from memorymark.units import MIB, mib_or_gib
from memorymark.workloads.base import Workload

# Handles and workspaces that libraries keep for themselves after a first step are no leak.
_LEAK_BYTES = 64 * MIB
_TRACKED_STEPS = 2  # the first one makes the optimizer's states, the second one is the usual one


class AcceleratorProbe:
    """Runs real training steps on an accelerator.

    Args:
        device: The back end's calls.
        target: What the trials run on.
    """

    warmup_steps = 3
    timed_steps = 5

    def __init__(self, device: AcceleratorDevice, target: Target) -> None:
        self.target = target
        self._device = device
        self._models = ModelKeeper(device.device)
        self._runtime = DeviceRuntime(device.device)

    def run(
        self,
        workload: Workload,
        config: TrainingConfig,
        batch_size: int,
        *,
        stage: Stage = Stage.STEP,
        timed_steps: int | None = None,
    ) -> Trial:
        """Run one trial; the device is left as it was found.

        Raises:
            PoisonedDevice: The device can run nothing more in this process.
            MemoryMarkError: The workload cannot be built or fed.
        """
        check_batch_size(batch_size)
        config = workload.describe(config)
        check_usable(self.target)
        start = time.perf_counter()
        work = _Work(workload, config, batch_size, stage, timed_steps or self.timed_steps)
        with only_user(self.target), self._device.selected(), self._device.limited():
            found = self._attempt(work)
        return record(self.target, workload, config, batch_size, stage, start, found)

    def _attempt(self, work: _Work) -> dict[str, Any]:
        before = self._bytes_beside_model()
        found: dict[str, Any] = {}
        try:
            found = self._measure(work)
        except MemoryMarkError:
            self._models.release()
            raise
        except Exception as error:
            self._stop_if_poisoned(error)
            found = failure(error)
        # Only here, outside of the except block, are the failed frames and their tensors gone.
        try:
            left = self._clean_up(before, keep_model=found["outcome"] is Outcome.OK)
        except RuntimeError as error:
            self._stop_if_poisoned(error)
            raise
        return {**found, "findings": (*found.get("findings", ()), *left)}

    def _measure(self, work: _Work) -> dict[str, Any]:
        if not self._models.holds(work.workload, work.config):
            # What the former model held would count as reserved by the new one.
            self._models.release()
            gc.collect()
            self._device.release_cache()
        model = self._models.get(work.workload, work.config)
        found, peak = self._timed(work, model)
        if work.config.compile:
            note = "The model is compiled: what is alive at the peak is not told apart."
            sampled = "Memory was read at changes of phase only." if peak.is_sampled else ""
            return {**found, "assumptions": tuple(filter(None, (note, sampled)))}
        return {**found, **self._followed(work, model, peak, found["findings"])}

    def _timed(self, work: _Work, model: nn.Module) -> tuple[dict[str, Any], Peak]:
        """Warm up, then run timed steps; the step and its optimizer are gone on return."""
        device = self._device
        if work.config.compile:
            torch.compiler.reset()
        with self._runtime.settings(work.config):
            step = TrainingStep(
                work.workload, model, work.config, work.batch_size, self._runtime,
                stage=work.stage, on_phase=device.sample,
            )  # fmt: skip
            first_seconds = self._warm_up(step)
            device.reset_peak()
            retries = device.retries()
            seconds = device.time_steps(step.run, work.timed_steps)
            peak, usage = device.peak(), device.usage()
        return {
            "outcome": Outcome.OK,
            "peak_allocated_bytes": peak.allocated_bytes,
            "peak_reserved_bytes": peak.reserved_bytes,
            "process_bytes": _at_peak(usage.process_bytes, device.reserved_bytes(), peak),
            "step_seconds": statistics.median(seconds),
            "first_step_seconds": first_seconds,
            "thrashing": None if retries is None else device.retries() > retries,
            "findings": () if usage.others is None else (usage.others,),
        }, peak

    def _warm_up(self, step: TrainingStep) -> float:
        """Return the seconds of the first step, with all that is done only once."""
        self._device.synchronize()
        start = time.perf_counter()
        step.run()
        self._device.synchronize()
        seconds = time.perf_counter() - start
        for _ in range(self.warmup_steps - 1):
            step.run()
        self._device.synchronize()
        return seconds

    def _followed(
        self, work: _Work, model: nn.Module, peak: Peak, findings: tuple[str, ...]
    ) -> dict[str, Any]:
        """Run two steps with every storage followed; without them the trial stands all the same."""
        self._models.tidy()
        gc.collect()
        self._device.release_cache()
        tracker = MemoryTracker(self._device.device.type)
        try:
            steps = run_tracked_steps(
                work.workload, model, work.config, work.batch_size, self._runtime, tracker,
                steps=_TRACKED_STEPS, stage=work.stage, synchronize=self._device.synchronize,
            )  # fmt: skip
        except Exception as error:
            self._stop_if_poisoned(error)
            forget_frames(error)
            why = f"The breakdown could not be taken: {one_sentence(error)}"
            return {"findings": (*findings, why)}
        trace = tracker.trace
        parts, holders = breakdown_at(trace, peak_position(trace, trace.last_step()))
        allocated = peak.allocated_bytes
        if peak.is_sampled:
            allocated = max(allocated, parts.total)
        breakdown, notes = with_remainder(parts, allocated)
        return {
            "peak_allocated_bytes": allocated,
            "breakdown": breakdown,
            "holders": holders,
            "timeline": timeline(trace, trace.last_step()),
            "gradient_check": steps.gradient_check,
            "assumptions": notes,
        }

    def _clean_up(self, before_bytes: int, *, keep_model: bool) -> tuple[str, ...]:
        """Free all that the trial took, and say what could not be freed."""
        if keep_model:
            self._models.tidy()
        else:
            self._models.release()
        gc.collect()
        self._device.release_cache()
        left = self._bytes_beside_model() - before_bytes
        if left <= _LEAK_BYTES:
            return ()
        return (
            f"Memory leaks: {mib_or_gib(left)} stayed allocated on {self.target.lock_name} after "
            "a trial, so later trials have that much less. The model or its batches keep tensors.",
        )

    def _bytes_beside_model(self) -> int:
        model = self._models.model
        held = 0 if model is None else live_bytes_of(model)
        return self._device.allocated_bytes() - held

    def _stop_if_poisoned(self, error: Exception) -> None:
        if self._device.is_poisoned(error):
            sentence = one_sentence(error)
            forget_frames(error)
            raise give_up(self.target, sentence) from None


@dataclass(frozen=True)
class _Work:
    """What one trial runs."""

    workload: Workload
    config: TrainingConfig
    batch_size: int
    stage: Stage
    timed_steps: int


def _at_peak(process_bytes: int | None, reserved_bytes: int, peak: Peak) -> int | None:
    """What the process held at the peak: what it holds beside the allocator does not change."""
    if process_bytes is None or process_bytes < reserved_bytes:
        return None
    return process_bytes - reserved_bytes + peak.reserved_bytes
