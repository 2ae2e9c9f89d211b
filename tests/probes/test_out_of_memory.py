"""Out of memory in the user's own code is an out-of-memory trial, wherever it happens."""

import pytest
import torch
from tiny import TinyNet
from torch import nn

import memorymark
from memorymark import Training
from memorymark.errors import OutOfMemory, WorkloadError
from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Outcome
from memorymark.units import GIB, MIB
from memorymark.workloads.custom import workload_of
from memorymark.workloads.trial_spec import TrialSpec

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
    MemoryError("of Python"),
    OutOfMemory(3 * GIB, 0, 2 * GIB),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"
    ),
]
FITTING = 24


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)


def factory_failing_in(place, error, beyond=0):
    size = [0]

    def at(where):
        if where == place and (size[0] > beyond or where == "factory"):
            raise error

    def make_batch(n):
        size[0] = n
        at("make_batch")
        return torch.rand(n, 8)

    def loss(model, x):
        at("loss")
        return model(x).square().mean()

    def optimizer(model):
        at("optimizer")
        return torch.optim.SGD(model.parameters())

    def step(model, batch, optimizer):
        at("step")
        loss(model, batch).backward()
        optimizer.step()

    def factory(config):
        at("factory")
        own = step if place == "step" else None
        return Training(nn.Linear(8, 8), make_batch, loss, optimizer, own)

    return factory


def trial_of(call, factory):
    if call == "estimate":
        return memorymark.estimate(factory, batch_size=2, gpu="l4")
    return memorymark.measure(factory, batch_size=2, device="cpu", memory_budget=GIB)


CASES = [
    (call, place, error)
    for call in ("measure", "estimate")
    for place in ("factory", "make_batch", "loss", "optimizer", "step")
    for error in ERRORS
    # It is how a build without data says that it reached the bound on this machine's memory.
    if not (call == "estimate" and place == "factory" and isinstance(error, OutOfMemory))
]


@pytest.mark.parametrize(("call", "place", "error"), CASES)
def test_it_is_an_outcome(call, place, error):
    beyond = -1 if place == "optimizer" else 0
    trial = trial_of(call, factory_failing_in(place, error, beyond))
    assert trial.outcome is Outcome.OOM
    assert trial.error and "\n" not in trial.error


@pytest.mark.parametrize("place", ["factory", "make_batch", "optimizer"])
def test_any_other_error_is_the_users(place):
    beyond = -1 if place == "optimizer" else 0
    with pytest.raises(WorkloadError, match="wrong"):
        trial_of("measure", factory_failing_in(place, ValueError("wrong"), beyond))


@pytest.mark.parametrize("place", ["make_batch", "loss", "step"])
@pytest.mark.parametrize("call", ["measure", "estimate"])
def test_an_analysis_goes_on_to_what_fits(call, place):
    where = {"gpu": "l4"} if call == "estimate" else {"device": "cpu", "memory_budget": GIB}
    factory = factory_failing_in(place, ERRORS[0], beyond=FITTING)
    found = memorymark.analyze(factory, max_batch_size=64, **where)
    assert found.complete and found.max_batch_size == FITTING
    assert {trial.outcome for trial in found.trials} == {Outcome.OK, Outcome.OOM}


def test_a_batch_that_is_larger_than_the_budget():
    def factory():
        loss = lambda model, x: model(x).square().mean()  # noqa: E731
        return nn.Linear(1024, 1), lambda n: torch.rand(n, 1024 * 1024).view(-1, 1024), loss

    found = memorymark.analyze(factory, device="cpu", memory_budget=64 * MIB, max_batch_size=64)
    assert found.complete and 1 <= found.max_batch_size < 16
    assert any(trial.outcome is Outcome.OOM for trial in found.trials)


def test_a_look_at_how_batches_grow_is_no_trial():
    class Small(TinyNet):
        def batch(self, batch_size, config):
            if batch_size > 4:
                raise MemoryError
            return super().batch(batch_size, config)

    trial = CpuProbe(GIB).run_trial(TrialSpec(Small(8), TrainingConfig(), 4))
    assert trial.fits


def test_what_is_beside_the_model():
    class Teaching(TinyNet):
        def beside(self, model):
            raise MemoryError("of the teacher")

    trial = CpuProbe(GIB).run_trial(TrialSpec(Teaching(8), TrainingConfig(), 4))
    assert trial.outcome is Outcome.OOM


def test_its_frames_are_forgotten():
    workload = workload_of("users:factory", factory_failing_in("make_batch", ERRORS[1]))
    assert CpuProbe(GIB).run_trial(TrialSpec(workload, TrainingConfig(), 4)).outcome is Outcome.OOM
