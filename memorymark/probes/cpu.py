"""Trials on the CPU: real steps on real tensors, memory counted by the tracker.

What is counted is the memory of tensors, as a GPU would hold them; the budget stands for the
GPU's memory. Reserved memory and a context do not exist here and stay unknown.
"""

from __future__ import annotations

import dataclasses
import gc
import platform
import statistics
from collections.abc import Sequence

import torch

from memorymark.bounds import cancel_check
from memorymark.errors import InvalidValue, MemoryMarkError, OutOfMemory
from memorymark.memory.breakdown import breakdown_at, peak_position, timeline
from memorymark.memory.oom import is_out_of_memory
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.common import check_segments, failed_trial, new_trial, timed_trial
from memorymark.probes.host_memory import default_host_bytes, free_memory_bytes
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.probes.probe import Probe
from memorymark.probes.session_runs import run_on_cpu
from memorymark.probes.simulated_session_runs import context_rooms
from memorymark.records.config import Attention
from memorymark.records.session_run import ContextRoom, OnSessionEvent, SessionRun, unheard
from memorymark.records.trial import Outcome, Source, Target, Trial
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.step import TrainingStep
from memorymark.training.tracked import TrackedSteps, live_bytes_of, run_tracked_steps, seconds_of
from memorymark.units import GIB
from memorymark.workloads.build import build_model
from memorymark.workloads.served_model import serving_model
from memorymark.workloads.serving_spec import ServingSpec
from memorymark.workloads.trial_spec import TrialSpec

_DEFAULT_BUDGET = 4 * GIB
_CPU = torch.device("cpu")
_COMPILED = (
    "Compiled steps are not followed on the CPU: their memory is unknown, and whether the batch "
    "fits the budget was found with an eager step."
)


def default_budget() -> int:
    """Return the smaller of 4 GiB and half of the free memory, in bytes."""
    free = free_memory_bytes()
    return _DEFAULT_BUDGET if free is None else min(_DEFAULT_BUDGET, free // 2)


class CpuProbe(Probe):
    """Runs real training steps on the CPU under a budget.

    Args:
        budget_bytes: What a trial may use; None takes `default_budget`.
    """

    warmup_steps = 1

    def __init__(self, budget_bytes: int | None = None) -> None:
        budget = budget_bytes or default_budget()
        name = platform.processor() or platform.machine() or "CPU"
        self._models = ModelKeeper(_CPU)
        self._checked: object = None
        self.target = Target(
            name=f"CPU ({name})", kind="cpu", source=Source.MEASURED, capacity_bytes=budget
        )

    def run_trial(self, spec: TrialSpec) -> Trial:
        """Run one warm-up step and one timed step, or as many timed ones as asked for."""
        if spec.config.attention is Attention.FLASH:
            raise InvalidValue(
                "attention", "flash", "sdpa or eager on the CPU; flash needs a CUDA device"
            )
        check_segments(spec.config, self.target)
        trial = timed_trial(self._attempt, spec, self._models)
        self._models.tidy()
        gc.collect()
        return trial

    def run_sessions(
        self,
        spec: ServingSpec,
        host_bytes: int | None = None,
        on_event: OnSessionEvent = unheard,
    ) -> SessionRun:
        """Let sessions take their turns under the budget; caches are swapped beside it."""
        return run_on_cpu(spec, self.target, host_bytes or default_host_bytes(), on_event)

    def session_rooms(self, spec: ServingSpec, contexts: Sequence[int]) -> tuple[ContextRoom, ...]:
        """Return what a session of each context needs, found by simulating one of each."""
        model = serving_model(spec, torch.device("meta"))
        return context_rooms(spec, contexts, model, Rules(Platform.CPU), self.target.capacity_bytes)

    def _attempt(self, spec: TrialSpec) -> Trial:
        try:
            return self._compiled(spec) if spec.config.compile else self._followed(spec)
        except Exception as error:
            if isinstance(error, MemoryMarkError) and not is_out_of_memory(error):
                raise
            return failed_trial(self.target, spec, error)

    def _followed(self, spec: TrialSpec) -> Trial:
        """Run steps with every storage followed."""
        self._check_model(spec)
        model = self._models.get(spec)
        budget = self.target.capacity_bytes
        tracker = MemoryTracker("cpu", budget_bytes=budget, on_operation=cancel_check())
        count = self.warmup_steps + (spec.timed_steps or 1)
        steps = run_tracked_steps(spec, model, DeviceRuntime(_CPU), tracker, steps=count)
        return self._trial(spec, tracker, steps)

    def _compiled(self, spec: TrialSpec) -> Trial:
        """Time compiled steps. A step that is followed is not compiled, so memory stays unknown.

        The eager step has to fit first: without the tracker nothing holds the budget.
        """
        eager = dataclasses.replace(spec.config, compile=False)
        self._followed(dataclasses.replace(spec, config=eager))
        self._models.tidy()
        torch.compiler.reset()
        model = self._models.get(spec)
        runtime = DeviceRuntime(_CPU)
        with runtime.settings(spec.config):
            step = TrainingStep(spec, model, runtime)
            count = self.warmup_steps + (spec.timed_steps or 1)
            seconds = [seconds_of(step) for _ in range(count)]
        return new_trial(
            self.target, spec, Outcome.OK,
            step_seconds=statistics.median(seconds[self.warmup_steps :]),
            first_step_seconds=seconds[0],
            assumptions=(_COMPILED,),
        )  # fmt: skip

    def _check_model(self, spec: TrialSpec) -> None:
        """Refuse a model that is larger than the budget before it takes the host's memory."""
        key = (spec.workload, spec.config)
        if spec.workload.runs_own_code or self._checked == key:
            return
        needed = live_bytes_of(build_model(*key, torch.device("meta")))
        budget = self.target.capacity_bytes
        if budget is not None and needed > budget:
            raise OutOfMemory(needed, 0, budget)
        self._checked = key

    def _trial(self, spec: TrialSpec, tracker: MemoryTracker, steps: TrackedSteps) -> Trial:
        trace = tracker.trace
        held = breakdown_at(trace, peak_position(trace))
        return new_trial(
            self.target, spec, Outcome.OK,
            peak_allocated_bytes=tracker.peak_bytes,
            minimum_bytes=tracker.peak_bytes,
            breakdown=held.breakdown,
            holders=held.holders,
            holder_groups=held.groups,
            timeline=timeline(trace, trace.last_step()),
            step_seconds=statistics.median(steps.seconds[self.warmup_steps :]),
            first_step_seconds=steps.seconds[0],
            gradient_check=steps.gradient_check,
        )  # fmt: skip
