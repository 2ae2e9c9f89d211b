"""The probe of the app's tests: named by MEMORYMARK_PROBE_FACTORY, answers by a memory model.

FAKE_DELAY_SECONDS is how long each trial takes. The model's name chooses what happens:
own:too_big does not fit, own:broken fails, own:held waits in each trial
for the file `go` in MEMORYMARK_HOME, others train.
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target

from memorymark.errors import WorkloadError
from memorymark.memory.holder_groups import group_holders
from memorymark.records.held_memory import Holder, Timeline
from memorymark.records.trial import Source, Target, Trial
from memorymark.units import GIB
from memorymark.workloads.trial_spec import TrialSpec


class AppProbe(FakeProbe):
    def workload(self, model: str) -> FakeWorkload:
        if model.endswith("broken"):
            raise WorkloadError("The model 'broken' cannot be built: it is broken.")
        if model.endswith("too_big"):
            self.fixed_bytes = 100 * GIB
        return FakeWorkload(model)

    def run_trial(self, spec: TrialSpec) -> Trial:
        if spec.workload.name.endswith("held"):
            _wait_for_go()
        trial = super().run_trial(spec)
        holders = _holders(trial)
        return dataclasses.replace(
            trial,
            holders=holders,
            holder_groups=group_holders(holders),
            timeline=_timeline(trial) if trial.fits else None,
        )


def make_probe(device: str | None, gpu: str | None, memory_budget: int | None) -> AppProbe:
    delay = float(os.environ.get("FAKE_DELAY_SECONDS", "0"))
    return AppProbe(target=_target(device, gpu, memory_budget), delay_seconds=delay)


def _wait_for_go() -> None:
    end = time.monotonic() + 120
    while not (Path(os.environ["MEMORYMARK_HOME"]) / "go").exists():
        assert time.monotonic() < end, "nobody let the trial go"
        time.sleep(0.02)


def _target(device: str | None, gpu: str | None, memory_budget: int | None) -> Target:
    if gpu is not None:
        return dataclasses.replace(simulated_target(), gpu_key=gpu)
    target = measured_target(memory_budget or 8 * GIB, name="Test device")
    return dataclasses.replace(
        target, kind=(device or "cpu").partition(":")[0], source=Source.MEASURED
    )


def _holders(trial: Trial) -> tuple[Holder, ...]:
    if trial.breakdown is None:
        return ()
    share = trial.breakdown.activations // 12
    layers = [Holder(f"encoder.layer.{n}.attention", "activations", share) for n in range(8)]
    embedding = Holder("embeddings.word_embeddings", "parameters", trial.breakdown.parameters // 4)
    states = Holder("optimizer states", "optimizer_states", trial.breakdown.optimizer_states)
    return tuple(sorted([states, embedding, *layers], key=lambda holder: -holder.bytes))


def _timeline(trial: Trial) -> Timeline:
    fixed = trial.breakdown.total - trial.breakdown.activations
    rise = [fixed + trial.breakdown.activations * n // 100 for n in range(101)]
    values = (*rise, *rise[::-1])
    phases = (("forward", 0), ("backward", 101), ("optimizer", 195))
    return Timeline(tuple(range(len(values))), values, phases)
