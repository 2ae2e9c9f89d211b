"""Simulate training steps and keep their trace.

Where a model asks of its data what is not known, the steps are simulated with either answer: if
that does not change the memory, it does not matter; if it does, the larger one is the figure and
both are told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import clear_frames
from typing import Any

from torch import nn

from memorymark.bounds import Meter, new_meter
from memorymark.errors import MemoryMarkError, quoted
from memorymark.memory.trace import Trace
from memorymark.placement.pretended_cuda import COMPILED, pretending
from memorymark.placement.pretended_gpu import pretended_gpu
from memorymark.records.trial import GradientCheck
from memorymark.simulator.allocator.replay import ReplayResult
from memorymark.simulator.cuda import replacements  # noqa: F401  (registers CUDA's kernels)
from memorymark.simulator.cuda.convolutions import ConvolutionKernel
from memorymark.simulator.cuda.recurrent import flatten_weights
from memorymark.simulator.cuda.rules import Rules
from memorymark.simulator.device import SimulatedDevice
from memorymark.simulator.lbfgs import full_histories
from memorymark.simulator.micro_batches import (
    are_alike,
    are_repeated,
    told_of,
    with_all_works,
    with_few_micro_batches,
)
from memorymark.simulator.questions import Questions
from memorymark.simulator.repetition import (
    MOST_STEPS,
    SteadyPeak,
    can_repeat,
    with_repeated_kernels,
)
from memorymark.simulator.session import Session, simulating
from memorymark.simulator.simulated_runtime import SimulatedRuntime
from memorymark.simulator.step_errors import told_error, unknown_number
from memorymark.simulator.tensors.shapes import ShapeCache
from memorymark.simulator.time.kernels import Work
from memorymark.training.tracked import run_tracked_steps
from memorymark.units import GIB
from memorymark.workloads.build import is_own, tensors_beside
from memorymark.workloads.trial_spec import TrialSpec

_TIMED_STEP = 2
# More conditions than this are all answered alike.
_MOST_CONDITIONS = 4
# Peaks that differ by less are the same.
_SAME_SHARE = 0.001
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
        work_marks: (phase, number of works before it) for each phase of that step.
        assumptions: What was answered or allowed for, one sentence each.
        convolutions: The convolutions' kernels, whose workspaces are not in the trace.
        gradient_check: What the backward pass left, where the stage is `backward`.
        readings: What a probe has found in the trace, for the next card that shares it; by
            whether cuDNN tries its kernels.
    """

    trace: Trace
    free_running: ReplayResult
    steps_run: int
    works: list[Work]
    work_marks: list[tuple[str, int]]
    assumptions: tuple[str, ...]
    convolutions: tuple[ConvolutionKernel, ...]
    gradient_check: GradientCheck | None
    readings: dict[bool, Any] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )


_Attempt = tuple[SimulatedSteps | MemoryMarkError, Questions]


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
        UnsupportedOperation: An operation cannot be run without data, or the memory depends on
            a number that is not known.
        WorkloadError: The model or its own code fails.
        BoundReached: All of it takes too many operations, or too long.
    """
    meter = new_meter(f"The simulation of {quoted(spec.workload.name)}")
    few = with_few_micro_batches(spec)
    more = spec.config.gradient_accumulation - few.config.gradient_accumulation
    found = _answered(few, model, rules, steps, meter, more)
    if not more:
        return found
    if not (are_alike(found.trace) and are_repeated(found.trace)):
        return _answered(spec, model, rules, steps, meter)
    told = told_of(few.config, spec.config)
    return dataclasses.replace(
        found,
        works=with_all_works(found.works, found.work_marks, more),
        assumptions=(*found.assumptions, told),
    )


def _answered(
    spec: TrialSpec,
    model: nn.Module,
    rules: Rules,
    steps: int | None,
    meter: Meter,
    more_micro_batches: int = 0,
) -> SimulatedSteps:
    """Simulate with every answer to what a model asks and is not known."""

    def attempt(contrary: bool = False, except_at: str | None = None) -> _Attempt:
        questions = Questions(contrary, except_at, spec.batch_size)
        _drop_gradients(spec, model)
        outcome = _attempt(spec, model, rules, steps, questions, meter, more_micro_batches)
        if questions.endless is not None:
            raise questions.endless
        return outcome, questions

    given, questions = attempt()
    if questions.asked:
        other, more = attempt(contrary=True)
        others = [other]
        conditions = {**questions.conditions, **more.conditions}
        own = is_own(spec.workload)
        # Each condition by itself: where two stand in a row, what is alike skips one of them.
        if own and 1 < len(conditions) <= _MOST_CONDITIONS:
            others += [attempt(except_at=line)[0] for line in conditions]
        given = _settled(given, others, questions, is_own_code=own)
    if isinstance(given, MemoryMarkError):
        raise given
    return given


def _attempt(
    spec: TrialSpec,
    model: nn.Module,
    rules: Rules,
    steps: int | None,
    questions: Questions,
    meter: Meter,
    more_micro_batches: int,
) -> SimulatedSteps | MemoryMarkError:
    with simulating(rules, questions) as session:
        device = SimulatedDevice(
            session, _shapes, steps or _TIMED_STEP,
            meter=meter, keeps_values=is_own(spec.workload),
            more_micro_batches=more_micro_batches,
        )  # fmt: skip
        peak = SteadyPeak(device.trace)
        # The user's own code may do something else in a later step: it is run.
        repeats = can_repeat if not is_own(spec.workload) else lambda trace: False
        if rules.is_cuda:
            flatten_weights(model)
        try:
            with _seen_by_own_code(spec, model, session, device), full_histories():
                tracked = run_tracked_steps(
                    spec, model, SimulatedRuntime(rules), device,
                    steps=steps or MOST_STEPS,
                    is_steady=lambda: (
                        (peak.is_steady() or repeats(device.trace)) and steps is None
                    ),
                )  # fmt: skip
        except BaseException as error:
            _tidy(spec, model, error)
            if meter.reached is not None:
                raise meter.reached from None  # also where code of the model's has caught it
            if not isinstance(error, Exception):
                raise
            return told_error(spec, error)
        if steps is None:
            peak.repeat_until_steady()
        peak.replay.close()
        ran = len(tracked.seconds)
        return SimulatedSteps(
            trace=device.trace,
            free_running=peak.replay.result(),
            steps_run=ran,
            works=device.works,
            work_marks=device.work_marks,
            assumptions=session.assumptions,
            convolutions=with_repeated_kernels(device.convolutions.kernels, device.trace, ran),
            gradient_check=tracked.gradient_check,
        )


def _settled(
    given: SimulatedSteps | MemoryMarkError,
    others: list[SimulatedSteps | MemoryMarkError],
    questions: Questions,
    *,
    is_own_code: bool,
) -> SimulatedSteps | MemoryMarkError:
    """Return what simulations come to that answered unknown questions differently."""
    done = [steps for steps in (given, *others) if isinstance(steps, SimulatedSteps)]
    if not done:
        return given
    if isinstance(given, MemoryMarkError) and questions.number is not None:
        return unknown_number(questions.number)
    if questions.number is not None and is_own_code and _differ(done):
        # No answer says how large the number is: none or one of something may hardly show where
        # thousands would.
        return unknown_number(questions.number)
    # Where one fails, another answer is the one that the model expects.
    peaks = [steps.free_running.peak_allocated_bytes for steps in done]
    least, most = min(peaks), max(peaks)
    if most - least <= _SAME_SHARE * most:
        return done[0]
    if questions.number is not None:
        return unknown_number(questions.number)
    between = f"{least / GIB:,.3g} and {most / GIB:,.3g} GiB"
    larger = done[peaks.index(most)]
    told = (
        f"The step's memory depends on values that a simulation does not know: its peak lies "
        f"between {between}; the larger is given."
    )
    return dataclasses.replace(larger, assumptions=(*larger.assumptions, told))


def _sizes(steps: SimulatedSteps) -> list[int]:
    return [block.size_bytes for block in steps.trace.blocks]


def _drop_gradients(spec: TrialSpec, model: nn.Module) -> None:
    model.zero_grad(set_to_none=True)
    for _, tensor, _ in tensors_beside(spec.workload, model):
        tensor.grad = None


@contextmanager
def _seen_by_own_code(
    spec: TrialSpec, model: nn.Module, session: Session, device: SimulatedDevice
) -> Iterator[None]:
    """Let the user's code find the device that is simulated."""
    if not is_own(spec.workload):
        yield
        return
    if any(hasattr(part, "_orig_mod") for part in model.modules()):
        session.assume(COMPILED)
    about = {"allocated_bytes": lambda: device.live_bytes, "assume": session.assume}
    with pretended_gpu(**about), pretending():
        yield


def _differ(done: list[SimulatedSteps]) -> bool:
    return any(_sizes(steps) != _sizes(done[0]) for steps in done[1:])


def _tidy(spec: TrialSpec, model: nn.Module, error: BaseException) -> None:
    """Leave nothing behind of a step that was broken off."""
    # In PyTorch 2.11 a checkpointed part that failed leaves its hooks in place, which see all that
    # is saved for any backward pass, until nobody holds its variables.
    clear_frames(error.__traceback__)
    _drop_gradients(spec, model)
