"""The facade: what it checks, which probe it takes, what it adds to the engine's answers."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target

from memorymark import api
from memorymark.errors import (
    Cancelled,
    InvalidValue,
    NotAvailable,
    UnknownChoice,
    UsageError,
)
from memorymark.gpus.catalogue import find_gpu
from memorymark.probes import choose
from memorymark.probes.lease import device_lock, is_locked
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken
from memorymark.records.trial import Source, Target
from memorymark.units import GIB

GPU = "a100-40gb"


class Workload(FakeWorkload):
    runs_own_code = False


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def simulated(monkeypatch):
    """A stand-in for the simulated probe, and the list of those that were made."""
    made = []

    def make(gpu, *, budget_bytes=None):
        capacity = budget_bytes or gpu.total_bytes
        target = Target(gpu.name, "simulated", Source.SIMULATED, capacity, gpu.total_bytes, gpu.key)
        made.append(FakeProbe(target=target))
        return made[-1]

    module = ModuleType("memorymark.probes.simulated")
    module.SimulatedProbe = make
    monkeypatch.setitem(sys.modules, "memorymark.probes.simulated", module)
    return made


def take(monkeypatch, probe):
    monkeypatch.setattr(api, "resolve_probe", lambda *words: probe)
    monkeypatch.setattr(api, "measuring_probe", lambda *words: probe)
    return probe


@pytest.mark.parametrize(
    "words",
    [
        {"current_batch_size": 0},
        {"current_batch_size": -3},
        {"current_batch_size": 2.5},
        {"granularity": 0},
        {"granularity": True},
        {"headroom": -0.1},
        {"headroom": 0.95},
        {"headroom": "much"},
        {"max_batch_size": 65_536},
        {"dataset_size": 0},
        {"epochs": 0},
        {"runs_per_year": -1},
        {"price_per_hour": float("inf")},
        {"memory_budget": "lots"},
        {"memory_budget": 0},
        {"memory_budget": -5},
    ],
)
def test_numbers_out_of_range_are_refused(words):
    with pytest.raises(InvalidValue):
        api.analyze(Workload(), device="cpu", **words)


def test_unknown_words_are_refused_with_the_nearest():
    with pytest.raises(UnknownChoice, match="Did you mean 'throughput'"):
        api.analyze(Workload(), device="cpu", objective="troughput")
    with pytest.raises(UnknownChoice, match="Did you mean 'cuda'"):
        api.analyze(Workload(), device="cuda0")
    with pytest.raises(UnknownChoice, match="Did you mean 'a100-40gb'"):
        api.analyze(Workload(), gpu="a100-40")
    with pytest.raises(UnknownChoice, match="Did you mean 'bert'"):
        api.analyze("bertt", device="cpu")


@pytest.mark.parametrize("batch_size", [0, -1, 65_536, 1.0, "8"])
def test_batch_sizes_out_of_range_are_refused(batch_size):
    for call in (
        lambda: api.measure(Workload(), batch_size=batch_size, device="cpu"),
        lambda: api.estimate(Workload(), batch_size=batch_size, gpu=GPU),
        lambda: api.validate_backward_pass(Workload(), batch_size=batch_size, device="cpu"),
        lambda: api.validate_compilation_benefit(Workload(), batch_size=batch_size),
    ):
        with pytest.raises(InvalidValue):
            call()


def test_device_and_gpu_together_are_refused():
    with pytest.raises(UsageError, match="Both the device 'cpu' and the GPU"):
        api.resolve_probe("cpu", GPU)


def test_neither_device_nor_gpu_simulates_the_default(no_cuda, simulated):
    assert api.resolve_probe(memory_budget=GIB).target.gpu_key == "a100-40gb"
    events = []
    analysis = api.analyze(Workload(), on_event=events.append)
    assert "No CUDA device is here" in analysis.findings[0]
    assert analysis.findings[0] == events[0].text
    named = api.analyze(Workload(), gpu=GPU)
    assert not any("No CUDA device" in finding for finding in named.findings)


def test_without_a_simulator_it_says_so(monkeypatch, no_cuda):
    monkeypatch.setitem(sys.modules, "memorymark.probes.simulated", None)
    with pytest.raises(NotAvailable, match="not available yet"):
        api.estimate(Workload(), batch_size=8, gpu=GPU)


def test_estimate_runs_one_simulated_trial(simulated):
    trial = api.estimate(Workload(), batch_size=8, gpu="A10")
    assert (trial.batch_size, trial.source) == (8, "simulated")
    assert simulated[0].target.gpu_key == "a10"


def test_measure_takes_the_best_device(monkeypatch, no_cuda):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose.measuring_probe().target.kind == "cpu"
    probe = take(monkeypatch, FakeProbe())
    assert api.measure(Workload(), batch_size=4).fits
    assert probe.batch_sizes == [4]


def test_price_is_the_catalogues_unless_it_is_given(simulated):
    price = find_gpu("a10").usd_per_hour
    assert api.analyze(Workload(), gpu="a10").options.price_per_hour == price
    given = api.analyze(Workload(), gpu="a10", price_per_hour=9.0)
    assert given.options.price_per_hour == 9.0


def test_price_of_an_unknown_device_stays_unknown(monkeypatch):
    take(monkeypatch, FakeProbe())
    assert api.analyze(Workload(), device="cuda").options.price_per_hour is None


def test_a_measurement_holds_its_device(monkeypatch):
    seen = []

    class Watching(FakeProbe):
        def run(self, *args, **kwargs):
            seen.append(is_locked("cuda:0"))
            return super().run(*args, **kwargs)

    take(monkeypatch, Watching())
    api.measure(Workload(), batch_size=4)
    api.analyze(Workload(), device="cuda")
    api.validate_backward_pass(Workload(), device="cuda", batch_size=4)
    api.validate_compilation_benefit(Workload(), device="cuda", batch_size=4)
    assert all(seen) and len(seen) > 8
    assert not is_locked("cuda:0")


def test_a_simulation_holds_nothing(monkeypatch):
    class Watching(FakeProbe):
        def run(self, *args, **kwargs):
            assert not is_locked("simulated:0")
            return super().run(*args, **kwargs)

    take(monkeypatch, Watching(target=simulated_target()))
    assert api.analyze(Workload(), gpu=GPU).max_batch_size


def test_waiting_for_a_held_device_is_said_and_can_be_cancelled(monkeypatch):
    import threading

    take(monkeypatch, FakeProbe())
    held, done = threading.Event(), threading.Event()

    def hold():
        with device_lock("cuda:0"):
            held.set()
            done.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    token, events = CancelToken(), []

    def on_event(event):
        events.append(event)
        token.cancel()

    with pytest.raises(Cancelled):
        api.analyze(Workload(), device="cuda", on_event=on_event, cancel=token)
    done.set()
    other.join()
    assert "Another measurement holds cuda:0" in events[0].text


def test_a_measured_search_starts_from_a_simulation(monkeypatch, simulated):
    probe = take(
        monkeypatch, FakeProbe(target=card(gpu_key="a10", total=find_gpu("a10").total_bytes))
    )
    events = []
    analysis = api.analyze(Workload(), device="cuda", on_event=events.append)
    assert len(simulated) == 1
    expected = probe.batch_sizes[0]
    assert abs(expected - analysis.max_batch_size) <= 8
    assert any(f"near {expected}" in event.text for event in events)


def test_a_card_that_is_not_in_the_catalogue_is_simulated_by_its_generation(monkeypatch, simulated):
    probe = take(monkeypatch, FakeProbe(target=card(total=10 * GIB)))
    probe.compute_capability = (8, 6)
    api.analyze(Workload(), device="cuda")
    assert simulated[0].target.total_bytes == 10 * GIB
    probe.compute_capability = (1, 0)
    api.analyze(Workload(), device="cuda")
    assert len(simulated) == 1


def test_a_prediction_that_fails_changes_nothing(monkeypatch):
    def broken(gpu, *, budget_bytes=None):
        raise RuntimeError("no kernel")

    monkeypatch.setitem(
        sys.modules, "memorymark.probes.simulated", SimpleNamespace(SimulatedProbe=broken)
    )
    take(monkeypatch, FakeProbe(target=card(gpu_key="a10", total=24 * GIB)))
    assert api.analyze(Workload(), device="cuda").complete


def test_what_runs_its_users_code_is_not_simulated_first(monkeypatch, simulated):
    take(monkeypatch, FakeProbe(target=card(gpu_key="a10", total=24 * GIB)))
    workload = Workload()
    workload.runs_own_code = True
    api.analyze(workload, device="cuda")
    api.analyze(Workload(), TrainingConfig(compile=True), device="cuda")
    assert not simulated


def test_costs_on_several_gpus(simulated):
    result = api.compare_costs(Workload(), gpus=["a10", "A100-40GB"], dataset_size=1000)
    assert {row.gpu for row in result.gpus} == {"a10", "a100-40gb"}
    costs = [row.cost.usd_per_run for row in result.gpus]
    assert costs == sorted(costs)
    row = result.to_dict()["gpus"][0]
    assert row["usd_per_hour"] and row["price_source"] and row["optimal_batch_size"]


def test_costs_of_all_gpus_or_none(simulated):
    assert len(api.compare_costs(Workload()).gpus) >= 16
    with pytest.raises(UsageError, match="no GPU to compare"):
        api.compare_costs(Workload(), gpus=[])


def test_the_first_versions_entry_point(monkeypatch):
    words = []

    def resolve(*given):
        words.append(given)
        return FakeProbe(target=measured_target())

    monkeypatch.setattr(api, "resolve_probe", resolve)
    analysis = api.find_optimal_batch_size("bert", device=torch.device("cpu"))
    assert words[0][0] == "cpu"
    assert analysis.workload == "bert"
    assert analysis == type(analysis).from_dict(analysis.to_dict())


def card(*, total, gpu_key=None):
    return Target("NVIDIA card", "cuda", Source.MEASURED, total, total, gpu_key)
