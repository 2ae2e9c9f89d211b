"""Trials on a real accelerator: the flow of a trial, and recovery after errors.

A trial is: build the model, warm-up steps that are thrown away, timed steps whose peak is read,
then two steps more with every storage followed, for the breakdown. Whatever happens, the device
is as it was before when the trial ends, or the trial says what stayed behind.
"""

from __future__ import annotations

import dataclasses
import gc
import statistics

import torch
from torch import nn

from memorymark.errors import MemoryMarkError, one_sentence
from memorymark.memory.breakdown import breakdown_at, peak_position, timeline
from memorymark.memory.oom import is_out_of_memory
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.back_end import AcceleratorDevice, Peak
from memorymark.probes.common import (
    check_segments,
    failed_trial,
    forget_frames,
    new_trial,
    spread_of,
    timed_trial,
)
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.probes.poisoned import check_usable, mark_poisoned
from memorymark.probes.probe import Probe
from memorymark.probes.reconcile import with_remainder
from memorymark.records.trial import Outcome, Target, Trial
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.step import TrainingStep
from memorymark.training.tracked import run_tracked_steps, seconds_of
from memorymark.units import MIB, mib_or_gib
from memorymark.workloads.trial_spec import TrialSpec

# Handles and workspaces that libraries keep for themselves after a first step are no leak.
_LEAK_BYTES = 64 * MIB
_TRACKED_STEPS = 2  # the first one makes the optimizer's states, the second one is the usual one


class AcceleratorProbe(Probe):
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

    @property
    def device(self) -> AcceleratorDevice:
        """The back end's calls."""
        return self._device

    def run_trial(self, spec: TrialSpec) -> Trial:
        """Run one trial; the device is left as it was found.

        Whoever calls it holds the device's lease: peak statistics belong to the whole process.

        Raises:
            PoisonedDevice: The device can run nothing more in this process.
            MemoryMarkError: The workload cannot be built or fed.
        """
        check_usable(self.target)
        check_segments(spec.config, self.target)
        with self._device.selected(), self._device.limited():
            return timed_trial(self._attempt, spec, self._models)

    def _attempt(self, spec: TrialSpec) -> Trial:
        before = self._bytes_beside_model()
        try:
            trial = self._measure(spec)
        except Exception as error:
            if isinstance(error, MemoryMarkError) and not is_out_of_memory(error):
                self._models.release()
                raise
            self._stop_if_poisoned(error)
            trial = failed_trial(self.target, spec, error)
        # Only here, outside of the except block, are the failed frames and their tensors gone.
        try:
            left = self._clean_up(before, keep_model=trial.fits)
        except RuntimeError as error:
            self._stop_if_poisoned(error)
            raise
        return dataclasses.replace(trial, findings=(*trial.findings, *left))

    def _measure(self, spec: TrialSpec) -> Trial:
        if not self._models.holds(spec):
            # What the former model held would count as reserved by the new one.
            self._models.release()
            gc.collect()
            self._device.release_cache()
        model = self._models.get(spec)
        trial, peak = self._timed(spec, model)
        if spec.config.compile:
            note = "The model is compiled: no breakdown of the peak is available."
            sampled = "Memory was read only between phases of the step." if peak.is_sampled else ""
            return dataclasses.replace(trial, assumptions=tuple(filter(None, (note, sampled))))
        return self._followed(spec, model, trial, peak)

    def _timed(self, spec: TrialSpec, model: nn.Module) -> tuple[Trial, Peak]:
        """Warm up, then run timed steps; the step and its optimizer are gone on return."""
        device = self._device
        if spec.config.compile:
            torch.compiler.reset()
        with self._runtime.settings(spec.config):
            step = TrainingStep(spec, model, self._runtime, on_phase=device.sample)
            first_seconds = self._warm_up(step)
            device.reset_peak()
            retries = device.retries()
            seconds = device.time_steps(step, spec.timed_steps or self.timed_steps)
            peak, usage = device.peak(), device.usage()
        return new_trial(
            self.target, spec, Outcome.OK,
            peak_allocated_bytes=peak.allocated_bytes,
            peak_reserved_bytes=peak.reserved_bytes,
            process_bytes=_at_peak(usage.process_bytes, device.reserved_bytes(), peak),
            step_seconds=statistics.median(seconds),
            step_seconds_spread=spread_of(seconds),
            first_step_seconds=first_seconds,
            thrashing=None if retries is None else device.retries() > retries,
            findings=() if usage.others is None else (usage.others,),
        ), peak  # fmt: skip

    def _warm_up(self, step: TrainingStep) -> float:
        """Return the seconds of the first step, with all that is done only once."""
        seconds = seconds_of(step, self._device.synchronize)
        for _ in range(self.warmup_steps - 1):
            step()
        self._device.synchronize()
        return seconds

    def _followed(self, spec: TrialSpec, model: nn.Module, trial: Trial, peak: Peak) -> Trial:
        """Run two steps with every storage followed; without them the trial stands all the same."""
        self._models.tidy()
        gc.collect()
        self._device.release_cache()
        tracker = MemoryTracker(self._device.device.type)
        try:
            steps = run_tracked_steps(
                spec, model, self._runtime, tracker,
                steps=_TRACKED_STEPS, synchronize=self._device.synchronize,
            )  # fmt: skip
        except Exception as error:
            self._stop_if_poisoned(error)
            forget_frames(error)
            why = f"The breakdown could not be recorded: {one_sentence(error)}"
            return dataclasses.replace(trial, findings=(*trial.findings, why))
        trace = tracker.trace
        held = breakdown_at(trace, peak_position(trace, trace.last_step()))
        allocated = peak.allocated_bytes
        if peak.is_sampled:
            allocated = max(allocated, held.breakdown.total)
        breakdown, notes = with_remainder(held.breakdown, allocated)
        return dataclasses.replace(
            trial,
            peak_allocated_bytes=allocated,
            breakdown=breakdown,
            holders=held.holders,
            holder_groups=held.groups,
            timeline=timeline(trace, trace.last_step()),
            gradient_check=steps.gradient_check,
            assumptions=notes,
        )

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
            f"Memory leak: {mib_or_gib(left)} stayed allocated on {self.target.lock_name} after a "
            "trial and is missing in later ones. The model or its batches keep tensors alive.",
        )

    def _bytes_beside_model(self) -> int:
        return self._device.allocated_bytes() - self._models.live_bytes

    def _stop_if_poisoned(self, error: Exception) -> None:
        if self._device.is_poisoned(error):
            sentence = one_sentence(error)
            forget_frames(error)
            raise mark_poisoned(self.target, sentence) from None


def _at_peak(process_bytes: int | None, reserved_bytes: int, peak: Peak) -> int | None:
    """What the process held at the peak: what it holds beside the allocator does not change."""
    if process_bytes is None or process_bytes < reserved_bytes:
        return None
    return process_bytes - reserved_bytes + peak.reserved_bytes
