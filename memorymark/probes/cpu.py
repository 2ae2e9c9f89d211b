"""Trials on the CPU: real steps on real tensors, memory counted by the tracker.

What is counted is the memory of tensors, as a GPU would hold them; the budget stands for the
GPU's memory. Reserved memory and a context do not exist here and stay unknown.
"""

from __future__ import annotations

import gc
import platform
import statistics
import time
from typing import Any

import torch

from memorymark.config import TrainingConfig, check_batch_size
from memorymark.errors import MemoryMarkError, OutOfMemory
from memorymark.memory.breakdown import breakdown_at, peak_position, timeline
from memorymark.memory.oom import is_out_of_memory
from memorymark.memory.tracked import TrackedSteps, live_bytes_of, run_tracked_steps
from memorymark.memory.tracker import MemoryTracker
from memorymark.probes.common import one_sentence, software
from memorymark.probes.models import ModelKeeper
from memorymark.runtime import DeviceRuntime
from memorymark.trial import Outcome, Source, Stage, Target, Trial
from memorymark.units import GIB
from memorymark.workloads.base import Workload, build_model

_DEFAULT_BUDGET = 4 * GIB
_CPU = torch.device("cpu")


def free_memory_bytes() -> int | None:
    """Return the host memory that is free to take, None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        return int(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None


def default_budget() -> int:
    """Return the smaller of 4 GiB and half of the free memory, in bytes."""
    free = free_memory_bytes()
    return _DEFAULT_BUDGET if free is None else min(_DEFAULT_BUDGET, free // 2)


class CpuProbe:
    """Runs real training steps on the CPU under a budget.

    Args:
        budget_bytes: What a trial may use; None takes `default_budget`.
    """

    warmup_steps = 1

    def __init__(self, budget_bytes: int | None = None) -> None:
        budget = budget_bytes or default_budget()
        name = platform.processor() or platform.machine() or "CPU"
        self._models = ModelKeeper(_CPU)
        self._checked: tuple[Workload, TrainingConfig] | None = None
        self.target = Target(
            name=f"CPU ({name})", kind="cpu", source=Source.MEASURED, capacity_bytes=budget
        )

    def run(
        self,
        workload: Workload,
        config: TrainingConfig,
        batch_size: int,
        *,
        stage: Stage = Stage.STEP,
        timed_steps: int | None = None,
    ) -> Trial:
        """Run one warm-up step and one timed step, or as many timed ones as asked for."""
        check_batch_size(batch_size)
        config = workload.describe(config)
        start = time.perf_counter()
        tracker = MemoryTracker("cpu", budget_bytes=self.target.capacity_bytes)
        try:
            self._check_model(workload, config)
            model = self._models.get(workload, config)
            steps = run_tracked_steps(
                workload, model, config, batch_size, DeviceRuntime(_CPU), tracker,
                steps=self.warmup_steps + (timed_steps or 1), stage=stage,
            )  # fmt: skip
            found = self._found(tracker, steps)
        except MemoryMarkError:
            raise
        except Exception as error:
            found = _failure(error)
        self._models.tidy()
        gc.collect()
        return Trial(
            model=workload.name,
            batch_size=batch_size,
            config=config,
            source=Source.MEASURED,
            device=self.target.name,
            capacity_bytes=self.target.capacity_bytes,
            stage=stage,
            elapsed_seconds=time.perf_counter() - start,
            software=software(),
            **found,
        )

    def _check_model(self, workload: Workload, config: TrainingConfig) -> None:
        """Refuse a model that is larger than the budget before it takes the host's memory."""
        if workload.runs_own_code or self._checked == (workload, config):
            return
        needed = live_bytes_of(build_model(workload, config, torch.device("meta")))
        budget = self.target.capacity_bytes
        if budget is not None and needed > budget:
            raise OutOfMemory(needed, 0, budget)
        self._checked = (workload, config)

    def _found(self, tracker: MemoryTracker, steps: TrackedSteps) -> dict[str, Any]:
        trace = tracker.trace
        parts, holders = breakdown_at(trace, peak_position(trace))
        return {
            "outcome": Outcome.OK,
            "peak_allocated_bytes": tracker.peak_bytes,
            "minimum_bytes": tracker.peak_bytes,
            "breakdown": parts,
            "holders": holders,
            "timeline": timeline(trace, trace.last_step()),
            "step_seconds": statistics.median(steps.seconds[self.warmup_steps :]),
            "first_step_seconds": steps.seconds[0],
            "gradient_check": steps.gradient_check,
        }


def _failure(error: Exception) -> dict[str, Any]:
    """Return the outcome of a trial that raised. The error's frames keep tensors: drop them."""
    error.__traceback__ = None
    outcome = Outcome.OOM if is_out_of_memory(error) else Outcome.ERROR
    return {"outcome": outcome, "error": one_sentence(error)}
