"""Steps under a tracker: what they hold is let go of, whatever happens."""

import gc
import weakref

import pytest
import torch
from tiny import TinyNet

from memorymark.memory.tracker import MemoryTracker
from memorymark.records.config import TrainingConfig
from memorymark.training import tracked
from memorymark.training.runtime import DeviceRuntime
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

CPU, CONFIG = torch.device("cpu"), TrainingConfig()


@pytest.mark.parametrize("fails", [False, True])
def test_nobody_holds_the_step_afterwards(fails, monkeypatch):
    steps = []

    class Step(tracked.TrainingStep):
        def __call__(self):
            steps.append(weakref.ref(self))
            super().__call__()
            if fails:
                raise KeyError

    monkeypatch.setattr(tracked, "TrainingStep", Step)
    workload = TinyNet()
    spec, model = TrialSpec(workload, CONFIG, 4), build_model(workload, CONFIG, CPU)
    tracker, runtime = MemoryTracker("cpu"), DeviceRuntime(CPU)
    gc.disable()
    try:
        try:
            tracked.run_tracked_steps(spec, model, runtime, tracker, steps=1)
        except KeyError as error:
            error.__traceback__ = None
        assert steps and steps[0]() is None
    finally:
        gc.enable()
