"""Simulate training steps and keep their trace."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from memorymark.errors import MemoryMarkError, WorkloadError
from memorymark.memory.trace import Trace
from memorymark.records.trial import GradientCheck
from memorymark.simulator.allocator.replay import ReplayResult
from memorymark.simulator.cuda import replacements  # noqa: F401  (registers CUDA's kernels)
from memorymark.simulator.cuda.recurrent import flatten_weights
from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.repetition import MOST_STEPS, SteadyPeak, can_repeat
from memorymark.simulator.session import simulating
from memorymark.simulator.simulated_runtime import SimulatedRuntime
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.simulator.time.clock import Work
from memorymark.training.tracked import run_tracked_steps
from memorymark.workloads.trial_spec import TrialSpec

_TIMED_STEP = 2
# Guarded by the lock of `simulating`.
_shapes = ShapeCache()


@dataclass(frozen=True)
class SimulatedSteps:
    """A trace of simulated steps and what was noted on the way.

    Attributes:
        trace: Every allocation and release.
        free_running: What the trace comes to in a caching allocator without limit.
        steps_run: How many steps were run; those after them in the trace repeat the last.
        works: What each operation of a step does, for an estimate of its time.
        assumptions: What was answered or allowed for, one sentence each.
        convolution_workspace_bytes: The largest allowance for a convolution's workspace.
        gradient_check: What the backward pass left, where the stage is `backward`.
    """

    trace: Trace
    free_running: ReplayResult
    steps_run: int
    works: list[Work]
    assumptions: tuple[str, ...]
    convolution_workspace_bytes: int
    gradient_check: GradientCheck | None


def simulate(
    spec: TrialSpec,
    model: nn.Module,
    rules: Rules,
    *,
    steps: int | None = None,
) -> SimulatedSteps:
    """Run training steps on tensors without data, until one takes no more than those before.

    Args:
        spec: What is trained, how, at which batch size and how far.
        model: The workload's model without data, as `build_model` gives it.
        rules: The simulated device.
        steps: Run just that many steps.

    Raises:
        UnsupportedOperation: An operation cannot be run without data.
        WorkloadError: The model or its own code fails.
    """
    with simulating(rules) as session:
        device = SimulatedDevice(session, _shapes, steps or _TIMED_STEP)
        peak = SteadyPeak(device.trace)
        # The user's own code may do something else in a later step: it is run.
        repeats = can_repeat if not spec.workload.runs_own_code else lambda trace: False
        if rules.is_cuda:
            flatten_weights(model)
        try:
            tracked = run_tracked_steps(
                spec, model, SimulatedRuntime(rules), device,
                steps=steps or MOST_STEPS,
                is_steady=lambda: steps is None and (peak.is_steady() or repeats(device.trace)),
            )  # fmt: skip
        except MemoryMarkError:
            raise
        except Exception as error:
            raise WorkloadError(_sentence(spec.workload.name, error)) from error
        if steps is None:
            peak.repeat_until_steady()
        peak.replay.close()
        return SimulatedSteps(
            trace=device.trace,
            free_running=peak.replay.result(),
            steps_run=len(tracked.seconds),
            works=device.works,
            assumptions=session.assumptions,
            convolution_workspace_bytes=device.convolution_workspace_bytes,
            gradient_check=tracked.gradient_check,
        )


def _sentence(name: str, error: Exception) -> str:
    reason = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
    return f"The model {name!r} cannot be simulated: {reason}"
