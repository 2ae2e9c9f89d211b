"""The library: each function makes a request, and what it checks before anything runs."""

import pytest
import torch
from fakes import FakeProbe, FakeWorkload
from stand_in_engine import install

from memorymark.api import model_calls as api
from memorymark.errors import InvalidValue, UnknownChoice, UsageError, WorkloadError
from memorymark.gpus.catalogue import rentable_gpus
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.event import CancelToken, EventKind
from memorymark.records.request import Request, RequestKind
from memorymark.units import GIB

CONFIG = TrainingConfig(seq_len=64)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))


@pytest.fixture
def engine(monkeypatch):
    return install(monkeypatch)


@pytest.mark.parametrize(
    "options",
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
def test_numbers_out_of_range_are_refused(engine, options):
    with pytest.raises(InvalidValue):
        api.analyze("bert", device="cpu", **options)
    assert not engine.requests


def test_unknown_choices_and_options_are_refused_with_the_nearest(engine):
    with pytest.raises(UnknownChoice, match="Did you mean 'throughput'"):
        api.analyze("bert", device="cpu", objective="troughput")
    with pytest.raises(UnknownChoice, match="Did you mean 'current_batch_size'"):
        api.analyze("bert", device="cpu", curent_batch_size=8)
    assert not engine.requests


@pytest.mark.parametrize("batch_size", [0, -1, 65_536, 1.0, "8"])
def test_batch_sizes_out_of_range_are_refused(engine, batch_size):
    for call in (
        lambda: api.measure("bert", batch_size=batch_size, device="cpu"),
        lambda: api.estimate("bert", batch_size=batch_size, gpu="l4"),
        lambda: api.validate_backward_pass("bert", batch_size=batch_size, device="cpu"),
        lambda: api.validate_compilation_benefit("bert", batch_size=batch_size),
    ):
        with pytest.raises(InvalidValue):
            call()


def test_device_and_gpu_together_are_refused():
    with pytest.raises(UsageError, match="Both the device 'cpu' and the GPU"):
        api.analyze("bert", device="cpu", gpu="l4")


def test_each_function_makes_its_request(engine):
    api.analyze("bert", CONFIG, gpu="l4", memory_budget="20GiB", epochs=3, headroom=0.1)
    api.estimate("bert", CONFIG, batch_size=4, gpu="l4")
    api.measure("bert", CONFIG, batch_size=4, device="cpu", memory_budget=4 * GIB)
    api.validate_backward_pass("bert", CONFIG, gpu="l4")
    api.validate_compilation_benefit("bert", CONFIG, device="cpu", batch_size=2)
    api.compare_costs("bert", CONFIG, gpus=["l4"], dataset_size=10, runs_per_year=2)
    options = AnalysisOptions(epochs=3, headroom=0.1)
    costs = AnalysisOptions(dataset_size=10, runs_per_year=2)
    assert engine.requests == [
        Request(RequestKind.ANALYSIS, "bert", CONFIG, None, "l4", 20 * GIB, options=options),
        Request(RequestKind.ESTIMATE, "bert", CONFIG, gpu="l4", batch_size=4),
        Request(RequestKind.MEASURE, "bert", CONFIG, "cpu", None, 4 * GIB, 4),
        Request(RequestKind.BACKWARD, "bert", CONFIG, gpu="l4", batch_size=8),
        Request(RequestKind.COMPILE, "bert", CONFIG, "cpu", batch_size=2),
        Request(RequestKind.COMPARISON, "bert", CONFIG, options=costs, gpus=("l4",)),
    ]


def test_a_workload_is_taken_as_it_is(engine):
    events, workload = [], FakeWorkload("mine")
    engine.probe = FakeProbe()
    engine.probe.workload = None
    found = api.analyze(workload, on_event=events.append, cancel=CancelToken())
    assert (found.workload, engine.requests[0].model) == ("mine", "mine")
    told = [event.trial for event in events if event.kind is EventKind.TRIAL_FINISHED]
    assert told == list(found.trials) != []


def test_costs_of_all_gpus_or_none(engine):
    assert {row.gpu for row in api.compare_costs("bert").gpus} == set(rentable_gpus())
    with pytest.raises(UsageError, match="list of GPUs is empty"):
        api.compare_costs("bert", gpus=[])


def test_the_first_versions_entry_point(engine):
    found = api.find_optimal_batch_size("bert", device=torch.device("cpu"))
    assert engine.requests == [Request(RequestKind.ANALYSIS, "bert", device="cpu")]
    assert found.workload == "bert"
    assert found == type(found).from_dict(found.to_dict())


# ---- what stands for a model -----------------------------------------------------------------


def linear():
    return torch.nn.Linear(8, 8), lambda n: torch.rand(n, 8), lambda model, x: model(x).mean()


def test_a_factory_in_place_of_a_name(monkeypatch):
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)
    trial = api.estimate(linear, batch_size=4, gpu="l4")
    assert trial.fits and trial.model == f"{__name__}:linear"
    assert api.measure(linear, batch_size=4, device="cpu", memory_budget="64MiB").fits


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (torch.nn.Linear(8, 8), "The model is a module .Linear. alone; accepted: a model's name,"),
        (linear(), "The model is a tuple; accepted: "),
        (3, "The model is a int; accepted: "),
    ],
)
def test_what_is_no_model_gets_a_sentence(model, said):
    with pytest.raises(UsageError, match=said):
        api.estimate(model, batch_size=4, gpu="l4")


@pytest.mark.parametrize("factory", [torch.nn.Identity, lambda: None, lambda: (1, 2, 3)])
def test_what_is_no_factory_gets_a_sentence(monkeypatch, factory):
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)
    with pytest.raises(WorkloadError, match=r"returned .*; accepted: a memorymark\.Training, "):
        api.estimate(factory, batch_size=4, gpu="l4")


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda model, x: model(x).sum().detach(), "has no gradient: it is detached"),
        (lambda model, x: model(x).sum().item(), "returned a float"),
        (lambda model, x: model(x), "returned a tensor of shape"),
        (lambda model, x: None, "returned None"),
        (lambda model, x: (model(x) > 0).sum(), "has no gradient: it is of type int64"),
        (lambda model, x: model.requires_grad_(False)(x).sum(), "No parameter of .* gradient"),
    ],
)
def test_what_is_no_loss_gets_a_sentence(monkeypatch, loss, said):
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)
    factory = lambda: (torch.nn.Linear(8, 8), lambda n: torch.rand(n, 8), loss)  # noqa: E731
    for call in (
        lambda: api.estimate(factory, batch_size=4, gpu="l4"),
        lambda: api.measure(factory, batch_size=4, device="cpu", memory_budget="64MiB"),
    ):
        with pytest.raises(WorkloadError, match=said):
            call()


def test_a_module_that_chooses_its_device_when_it_is_imported(monkeypatch, tmp_path):
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "users_script.py").write_text(
        "import torch\n"
        "DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')\n"
        "if DEVICE.type == 'cuda':\n"
        "    torch.set_default_device(DEVICE)\n"
        "teacher = torch.nn.Linear(8, 8).to(DEVICE)\n"
        "@torch.autocast(DEVICE.type, dtype=torch.bfloat16)\n"
        "def forward(model, x):\n"
        "    return model(x) - teacher(x)\n"
        "def factory():\n"
        "    model = torch.nn.Linear(8, 8).to(DEVICE)\n"
        "    batch = lambda n: torch.rand(n, 8)\n"
        "    return model, batch, lambda model, x: forward(model, x).float().mean()\n"
    )
    name = "users_script:factory"
    for _ in range(2):
        estimated = api.estimate(name, batch_size=4, gpu="l4")
        assert estimated.fits and estimated.breakdown.parameters == 2 * 4 * 72
        if not torch.cuda.is_available():
            measured = api.measure(name, batch_size=4, device="cpu", memory_budget="64MiB")
            assert measured.fits and measured.breakdown.parameters == 2 * 4 * 72
