"""Trials on a simulated GPU: the training step's memory, found without running it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from memorymark.gpus.catalogue import Gpu
from memorymark.inference.older_transformers import make_older
from memorymark.memory.breakdown import Held, Timeline, breakdown_at, peak_position, timeline
from memorymark.memory.oom import is_out_of_memory
from memorymark.memory.trace import Trace
from memorymark.placement.collector import collector_off
from memorymark.placement.pretended_gpu import pretended_gpu
from memorymark.probes.common import failed_trial, new_trial, timed_trial
from memorymark.probes.model_keeper import ModelKeeper
from memorymark.probes.probe import Probe
from memorymark.probes.quick_look import BATCH_SIZES, QuickLook, look
from memorymark.probes.simulated_session_runs import context_rooms, simulate_run
from memorymark.probes.simulations import Simulations
from memorymark.probes.span import Span
from memorymark.records.config import Optimizer, Precision, TrainingConfig
from memorymark.records.held_memory import Breakdown
from memorymark.records.session_run import ContextRoom, OnSessionEvent, SessionRun, unheard
from memorymark.records.trial import Outcome, Source, Stage, Target, Trial
from memorymark.simulator.allocator.environment import asked_for
from memorymark.simulator.allocator.least_capacity import minimum_bytes
from memorymark.simulator.allocator.replay import Events, ReplayResult, replay
from memorymark.simulator.cuda.rules import rules_of
from memorymark.simulator.reserved_range import base_events, largest_workspace, reserved_range
from memorymark.simulator.simulate import SimulatedSteps, simulate
from memorymark.simulator.time.bands import Band, band_of
from memorymark.simulator.time.calibration import CALIBRATION
from memorymark.simulator.time.clock import step_time
from memorymark.simulator.time.speeds import speeds_of
from memorymark.workloads.base import Workload
from memorymark.workloads.build import is_own
from memorymark.workloads.served_model import serving_model
from memorymark.workloads.serving_spec import ServingSpec
from memorymark.workloads.trial_spec import TrialSpec

_DERIVED = (
    "This batch size was not simulated itself: its figures follow from simulations of smaller and "
    "larger ones, between which every block grows by the same bytes with each sample."
)


# The fields that say how a model is stepped, which none of ours is built differently for.
_NOT_BUILT = (
    "optimizer", "optimizer_impl", "zero_grad", "gradient_accumulation", "loop", "drop_outputs",
    "grad_clip", "expandable_segments", "cudnn_benchmark",
)  # fmt: skip


@dataclasses.dataclass
class _Readings:
    """What a simulation comes to on any card that shares it."""

    events: Events
    free: ReplayResult
    peak: Held
    timeline: Timeline

    @functools.cached_property
    def minimum_bytes(self) -> int:
        """The least device memory in which it runs; it takes several replays to find."""
        return minimum_bytes(self.events, self.free)


class SimulatedProbe(Probe):
    """Simulates trials for a GPU of the catalogue.

    What CUDA's context takes is not there for tensors: the capacity is the GPU's memory
    without it, or the budget where that is smaller.

    Args:
        gpu: The GPU to simulate.
        budget_bytes: The most that a trial may use; None for all of the GPU.

    Attributes:
        target: What is simulated.
    """

    def __init__(self, gpu: Gpu, *, budget_bytes: int | None = None) -> None:
        self._gpu = gpu
        self._models = ModelKeeper(torch.device("meta"), gpu.capability)
        self._rules = rules_of(gpu)
        self._shared: Simulations | None = None
        self._kept: dict[TrialSpec, SimulatedSteps] = {}
        self._span: tuple[TrialSpec, Span] | None = None
        self._served: tuple[object, nn.Module] | None = None
        self._least_unasked: TrialSpec | None = None
        usable = gpu.usable_bytes
        capacity = usable if budget_bytes is None else min(budget_bytes, usable)
        self.target = Target(
            name=gpu.name,
            kind="simulated",
            source=Source.SIMULATED,
            capacity_bytes=capacity,
            total_bytes=gpu.total_bytes,
            gpu_key=gpu.key,
            memory_budget_bytes=capacity if capacity < usable else None,
        )

    def run_trial(self, spec: TrialSpec) -> Trial:
        """Simulate one trial. Its seconds are an estimate, with a band.

        Python's collector is held back until the trace is gone: it would go through hundreds of
        thousands of objects again and again, and none of them is garbage.
        """
        with self._pretended(spec.config):
            return timed_trial(self._attempt, spec, self._models)

    def share(self, simulations: Simulations) -> None:
        """Take simulations that other probes have run, or that follow from them."""
        self._shared, self._models = simulations, simulations.models

    def quick_look(
        self, workload: Workload, config: TrainingConfig, say: Callable[[str], None]
    ) -> QuickLook | None:
        """Return what says roughly which batches fit, from simulations of two small ones.

        The simulations are kept for trials of the same batch. None where the user's own code runs,
        and where it is not known how memory grows.
        """
        if is_own(workload) or self._shared is not None:
            return None
        say(f"Simulating batches {BATCH_SIZES[0]} and {BATCH_SIZES[1]} to see how memory grows.")
        with self._pretended(config):
            looked, self._kept = look(self.target, workload, config, self._simulate)
        return looked

    def span(self, spec: TrialSpec, *, least: bool = True) -> Span | None:
        """Return what tells the largest batch of a training from few simulations.

        The simulation of the spec's own batch is kept for its trial. None for the user's own code,
        which may do something else each time.
        """
        if is_own(spec.workload) or self._shared is not None:
            return None

        def simulate(batch_size: int, whole: bool) -> SimulatedSteps:
            stage = spec.stage if whole else Stage.BACKWARD
            other = dataclasses.replace(spec, batch_size=batch_size, stage=stage)
            with self._pretended(spec.config):
                return self._simulate(other, steps=None if whole else 1)

        def estimated(steps: SimulatedSteps) -> float:
            return self._timed(steps, spec.config.precision)[0]

        same_steps = _with_the_same_steps(spec)
        if self._span is not None and self._span[0] == same_steps:
            span = self._span[1].alike(spec, estimated)
        else:
            span = Span(self.target, spec, simulate, estimated)
        self._span, self._kept = (same_steps, span), {spec: span.steps}
        self._least_unasked = None if least else spec
        return span

    def simulation(self) -> SimulatedProbe:
        """Return this probe: it simulates already."""
        return self

    def run_sessions(
        self,
        spec: ServingSpec,
        host_bytes: int | None = None,
        on_event: OnSessionEvent = unheard,
    ) -> SessionRun:
        """Simulate sessions that take turns. Their seconds are an estimate, with a band."""
        if self._gpu.is_apple:  # only CUDA's allocator has such segments
            config = dataclasses.replace(spec.config, expandable_segments=False)
            spec = dataclasses.replace(spec, config=config)
        with self._pretended(spec.built_as):
            model = self._serving_model(spec)
            return simulate_run(
                spec, self.target, self._gpu, model, self._rules, host_bytes, on_event
            )

    def session_rooms(self, spec: ServingSpec, contexts: Sequence[int]) -> tuple[ContextRoom, ...]:
        """Return what a session of each context needs, found by simulating one of each."""
        with self._pretended(spec.built_as):
            model = self._serving_model(spec)
            return context_rooms(spec, contexts, model, self._rules, self.target.capacity_bytes)

    def _serving_model(self, spec: ServingSpec) -> nn.Module:
        """Return the model that generates; the one of the last call where it is the same."""
        config = spec.config
        key = spec.workload, spec.built_as, config.weights, config.transformers_version
        if self._served is None or self._served[0] != key:
            self._served = key, make_older(serving_model(spec, torch.device("meta")), config)
        return self._served[1]

    @contextlib.contextmanager
    def _pretended(self, config: TrainingConfig) -> Iterator[None]:
        gpu, segments = self._gpu, asked_for(config.expandable_segments)
        about = {"name": gpu.name, "capability": gpu.capability}
        with collector_off(), segments, pretended_gpu(**about, total_bytes=gpu.total_bytes):
            yield

    def _attempt(self, spec: TrialSpec) -> Trial:
        """Simulate; where the user's own code runs out of memory, no larger batch can be made."""
        try:
            return self._simulated(spec)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return failed_trial(self.target, spec, error)

    def _simulated(self, spec: TrialSpec) -> Trial:
        steps, derived = self._steps(spec)
        benchmark = spec.config.cudnn_benchmark
        found = _readings(steps, benchmark=benchmark)
        free, held = found.free, self._within_capacity(found.events, found.free)
        trial = new_trial(
            self.target, spec, Outcome.OK if held.fits else Outcome.OOM,
            peak_allocated_bytes=free.peak_allocated_bytes,
            minimum_bytes=None if self._leaves_out_least(spec, held) else found.minimum_bytes,
            breakdown=found.peak.breakdown,
            holders=found.peak.holders,
            holder_groups=found.peak.groups,
            timeline=found.timeline,
            gradient_check=steps.gradient_check,
            convolution_workspace_bytes=largest_workspace(steps.convolutions, benchmark=benchmark),
            assumptions=(
                *steps.assumptions,
                *self._assumptions(steps, spec.config),
                *([_DERIVED] if derived else ()),
            ),
        )  # fmt: skip
        if not held.fits:
            return dataclasses.replace(trial, error=self._out_of_memory(trial.minimum_bytes or 0))
        spread = reserved_range(
            steps.trace, steps.convolutions, held, self.target.capacity_bytes, benchmark=benchmark
        )
        seconds, band = self._timed(steps, spec.config.precision)
        reserved = spread.likely_bytes if spread else held.peak_reserved_bytes
        return dataclasses.replace(
            trial,
            peak_reserved_bytes=reserved,
            peak_reserved_low_bytes=spread.low_bytes if spread else None,
            peak_reserved_high_bytes=spread.high_bytes if spread else None,
            process_bytes=self._process_bytes(reserved),
            step_seconds=seconds,
            step_seconds_low=band.low_seconds,
            step_seconds_high=band.high_seconds,
            assumptions=(*trial.assumptions, band.sentence),
            thrashing=held.retries > 0,
        )

    def _process_bytes(self, reserved: int) -> int | None:
        """Return what NVML would show of the process; None where there is no NVML."""
        return None if self._gpu.is_apple else reserved + self._gpu.likely_context_bytes

    def _timed(self, steps: SimulatedSteps, precision: Precision) -> tuple[float, Band]:
        """Return the estimated seconds of a step and their band."""
        speeds = speeds_of(self._gpu, CALIBRATION, tf32=precision is Precision.TF32)
        found = step_time(steps.works, steps.work_marks, speeds)
        return found.seconds, band_of(found, self._gpu, precision)

    def _steps(self, spec: TrialSpec) -> tuple[SimulatedSteps, bool]:
        """Return the steps of a trial, and whether they follow from those of other trials."""
        if self._shared is not None:
            return self._shared.at(spec, self._rules)
        kept = None if is_own(spec.workload) else self._kept.pop(spec, None)
        return kept or self._simulate(spec), False

    def _simulate(self, spec: TrialSpec, steps: int | None = None) -> SimulatedSteps:
        simulated = simulate(spec, self._models.get(_as_built(spec)), self._rules, steps=steps)
        self._models.tidy()
        return simulated

    def _leaves_out_least(self, spec: TrialSpec, held: ReplayResult) -> bool:
        return held.fits and spec == self._least_unasked

    def _within_capacity(self, events: Events, free: ReplayResult) -> ReplayResult:
        capacity = self.target.capacity_bytes
        if capacity is None or free.peak_reserved_bytes <= capacity:
            return free
        return replay(events, capacity)

    def _out_of_memory(self, needed: int) -> str:
        return (
            f"out of memory: the step needs {needed / 1024**3:,.2f} GiB, capacity "
            f"{(self.target.capacity_bytes or 0) / 1024**3:,.2f} GiB"
        )

    def _assumptions(self, steps: SimulatedSteps, config: TrainingConfig) -> list[str]:
        noted = []
        if self._gpu.context_is_assumed:
            noted.append(f"The CUDA context of {self._gpu.name} is not known; one was assumed.")
        if steps.convolutions:
            noted.append(
                "cuDNN workspaces are an estimate by rule: the reserved peak is a range, and the "
                "step fits where it does without those that are optional."
            )
        if config.optimizer is Optimizer.ADAMW_8BIT:
            noted.append("The states of adamw-8bit are counted by bitsandbytes' rules.")
        if not _has_units_for(self._gpu, config.precision):
            noted.append(
                f"{self._gpu.name} has no units for {config.precision}: its step time is "
                "estimated at the fp32 rate."
            )
        return noted


def _as_built(spec: TrialSpec) -> TrialSpec:
    """Return one spec for all that build the same model, so that it is built once."""
    if is_own(spec.workload):
        return spec
    default = TrainingConfig()
    same = {name: getattr(default, name) for name in _NOT_BUILT}
    return dataclasses.replace(spec, config=dataclasses.replace(spec.config, **same))


def _with_the_same_steps(spec: TrialSpec) -> TrialSpec:
    """Return one spec for all whose steps are the same: TF32 changes nothing but the seconds."""
    config = spec.config
    if config.precision is Precision.TF32:
        config = dataclasses.replace(config, precision=Precision.FP32)
    return dataclasses.replace(spec, config=config)


def _readings(steps: SimulatedSteps, *, benchmark: bool) -> _Readings:
    """Read a simulation, or return what was read of it for another card."""
    if benchmark not in steps.readings:
        events = base_events(steps.trace, steps.convolutions, benchmark=benchmark)
        free = replay(events) if benchmark else steps.free_running
        peak = _breakdown(steps.trace, free)
        steps.readings[benchmark] = _Readings(
            events, free, peak, timeline(steps.trace, steps.trace.last_step()),
        )  # fmt: skip
    return steps.readings[benchmark]


def _breakdown(trace: Trace, free: ReplayResult) -> Held:
    """Return what is alive at the peak; the allocator's rounding counts as workspaces."""
    held = breakdown_at(trace, peak_position(trace))
    parts = held.breakdown
    rounding = free.peak_allocated_bytes - parts.total
    values = {**vars(parts), "workspaces": parts.workspaces + rounding}
    return held._replace(breakdown=Breakdown(**values))


def _has_units_for(gpu: Gpu, precision: Precision) -> bool:
    name = str(precision).removeprefix("amp-")
    return gpu.peak_flops[name] is not None
