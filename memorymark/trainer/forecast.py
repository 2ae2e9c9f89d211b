"""What a training will take, before its first step: simulated, here and on other cards."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from memorymark.errors import MemoryMarkError, one_sentence
from memorymark.gpus.gpu import Gpu
from memorymark.memory.breakdown import breakdown_at, peak_position
from memorymark.placement.collector import collector_off
from memorymark.probes.choose import share_simulations, simulated_probe
from memorymark.probes.probe import Probe
from memorymark.records.costs import SECONDS_PER_HOUR, usd_for
from memorymark.records.training_run import Forecast
from memorymark.records.trial import Outcome, Trial
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec


def predicted_peak(probe: Probe, spec: TrialSpec) -> tuple[int | None, tuple[str, ...]]:
    """Return the most bytes of live tensors that a training will hold on a device, simulated.

    Args:
        probe: The probe of the device.
        spec: What is trained, at which micro-batch.

    Returns:
        The bytes, None where they are not known; and what was assumed, or why they are not.
    """
    try:
        with collector_off():
            if probe.target.kind == "cpu":
                return _peak_on_cpu(spec)
            simulation = probe.simulation()
            if simulation is None:
                return None, (f"Memory on {probe.target.name} is not predicted.",)
            trial = simulation.run_trial(spec)
    except MemoryMarkError as error:
        return None, (f"Memory could not be predicted: {one_sentence(error)}",)
    return trial.peak_allocated_bytes, trial.assumptions


def _peak_on_cpu(spec: TrialSpec) -> tuple[int, tuple[str, ...]]:
    model = build_model(spec.workload, spec.config, torch.device("meta"))
    steps = simulate(spec, model, Rules(Platform.CPU))
    held = breakdown_at(steps.trace, peak_position(steps.trace))
    return held.breakdown.total, steps.assumptions


def forecasts(spec: TrialSpec, steps: int | None, gpus: Iterable[Gpu]) -> tuple[Forecast, ...]:
    """Return what a training would take on GPUs; those on which it cannot be simulated say so.

    Args:
        spec: What is trained, at which micro-batch.
        steps: Optimizer steps; None where only time ends them: then there are no seconds.
        gpus: The GPUs, with their prices.
    """
    probes = [(gpu, simulated_probe(gpu)) for gpu in gpus]
    share_simulations(probe for _, probe in probes)
    return tuple(_forecast(gpu, _tried(probe, spec), steps) for gpu, probe in probes)


def _tried(probe: Probe, spec: TrialSpec) -> Trial | None:
    try:
        return probe.run_trial(spec)
    except MemoryMarkError:
        return None


def _forecast(gpu: Gpu, trial: Trial | None, steps: int | None) -> Forecast:
    if trial is None or trial.outcome is Outcome.ERROR:
        return Forecast(gpu.key, None)
    if not trial.fits:
        return Forecast(gpu.key, False)
    each = (trial.step_seconds, trial.step_seconds_low, trial.step_seconds_high)
    seconds, low, high = (None if x is None or steps is None else x * steps for x in each)
    usd = None if seconds is None else usd_for(seconds / SECONDS_PER_HOUR, gpu.usd_per_hour)
    return Forecast(gpu.key, True, trial.peak_reserved_bytes, seconds, low, high, usd)
