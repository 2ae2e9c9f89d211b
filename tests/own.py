"""Runs factories of the user's kind: simulated under the CPU's rules, and for real."""

from __future__ import annotations

from itertools import accumulate

import torch

from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.units import GIB
from memorymark.workloads.build import build_model
from memorymark.workloads.custom import workload_of
from memorymark.workloads.trial_spec import TrialSpec


def spec_of(factory, batch_size=3, stage=Stage.STEP, **options):
    workload = workload_of("users:factory", factory)
    return TrialSpec(workload, TrainingConfig(**options), batch_size, stage)


def simulated(factory, batch_size=3, *, cuda=False, **options):
    """The simulated steps of a factory's training."""
    spec = spec_of(factory, batch_size, **options)
    model = build_model(spec.workload, spec.config, torch.device("meta"))
    rules = Rules(Platform.CUDA if cuda else Platform.CPU)
    return simulate(spec, model, rules, steps=2)


def simulated_peak(factory, batch_size=3, **options):
    events = simulated(factory, batch_size, **options).trace.events
    return max(accumulate(size for _, size in events))


def measured(factory, batch_size=3, **options):
    """The measured trial of a factory's training on the CPU."""
    return CpuProbe(GIB).run_trial(spec_of(factory, batch_size, **options))


def assert_same_peak(factory, batch_size=3, **options):
    trial = measured(factory, batch_size, **options)
    assert trial.error is None
    assert simulated_peak(factory, batch_size, **options) == trial.peak_allocated_bytes
    return trial
