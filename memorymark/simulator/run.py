"""Simulate training steps and keep their trace."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from memorymark.config import TrainingConfig
from memorymark.errors import MemoryMarkError, WorkloadError
from memorymark.memory.trace import Trace
from memorymark.memory.tracked import run_tracked_steps
from memorymark.simulator import replacements  # noqa: F401  (registers CUDA's kernels)
from memorymark.simulator.clock import Clock, Rates
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.rules import Rules
from memorymark.simulator.runtime import SimulatedRuntime
from memorymark.simulator.session import simulating
from memorymark.simulator.shapes import ShapeCache
from memorymark.trial import GradientCheck, Stage
from memorymark.workloads.base import Workload, build_model

# The first step allocates the optimizer's states among its activations; from the third on,
# the allocator finds every block where the step before left it.
STEPS = 3
# Guarded by the lock of `simulating`.
_shapes = ShapeCache()


@dataclass(frozen=True)
class SimulatedRun:
    """A trace of simulated steps and what was noted on the way.

    Attributes:
        trace: Every allocation and release.
        peak_bytes: The most that live blocks held.
        step_seconds: Estimated seconds of the last step; None where no rates were given.
        assumptions: What was answered or allowed for, one sentence each.
        convolution_workspace_bytes: The largest allowance for a convolution's workspace.
        gradient_check: What the backward pass left, where the stage is `backward`.
    """

    trace: Trace
    peak_bytes: int
    step_seconds: float | None
    assumptions: tuple[str, ...]
    convolution_workspace_bytes: int
    gradient_check: GradientCheck | None


def simulate(
    workload: Workload,
    config: TrainingConfig,
    batch_size: int,
    rules: Rules,
    *,
    stage: Stage = Stage.STEP,
    rates: Rates | None = None,
    steps: int = STEPS,
) -> SimulatedRun:
    """Run training steps on tensors without data.

    Raises:
        UnsupportedOperation: An operation cannot be run without data.
        WorkloadError: The model or its own code fails.
    """
    config = workload.describe(config)
    clock = Clock(rates) if rates else None
    with simulating(rules) as session:
        device = SimulatedDevice(session, _shapes, clock)
        try:
            model = build_model(workload, config, torch.device("meta"))
            tracked = run_tracked_steps(
                workload, model, config, batch_size, SimulatedRuntime(rules), device,
                steps=steps, stage=stage,
            )  # fmt: skip
        except MemoryMarkError:
            raise
        except Exception as error:
            raise WorkloadError(_sentence(workload, error)) from error
        return SimulatedRun(
            trace=device.trace,
            peak_bytes=device.peak_bytes,
            step_seconds=clock.seconds / steps if clock else None,
            assumptions=tuple(session.assumptions),
            convolution_workspace_bytes=device.convolution_workspace_bytes,
            gradient_check=tracked.gradient_check,
        )


def _sentence(workload: Workload, error: Exception) -> str:
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return f"The model {workload.name!r} cannot be simulated: {reason}"
