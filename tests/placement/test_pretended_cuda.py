"""The user's code finds a CUDA device while it is simulated, and only then."""

import threading

import pytest
import torch
from own import simulated, simulated_peak
from torch import nn
from torch.utils.checkpoint import checkpoint

import memorymark
from memorymark.bounds import new_meter
from memorymark.placement.pretended_cuda import COMPILED, pretending
from memorymark.placement.pretended_gpu import PretendedGpu, pretended_gpu
from memorymark.placement.without_data import make_without_data

WIDTH = 16


@pytest.fixture
def device():
    with pretending():
        yield "cuda" if torch.cuda.is_available() else "cpu"


def test_what_torch_tells_of_the_device(device):
    assert device == "cuda" and torch.cuda.device_count() == 1
    assert torch.cuda.current_device() == 0
    with pretended_gpu(name="NVIDIA L4", capability=(8, 9), total_bytes=100):
        assert torch.cuda.get_device_name() == "NVIDIA L4"
        assert torch.cuda.get_device_capability(0) == (8, 9)
        assert torch.cuda.get_device_properties("cuda").total_memory == 100
        assert torch.cuda.mem_get_info() == (100, 100)
    assert torch.cuda.get_device_properties(0).total_memory == PretendedGpu().total_bytes
    assert torch.cuda.memory_allocated() == torch.cuda.max_memory_allocated() == 0
    assert torch.cuda.is_bf16_supported()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.manual_seed_all(0)
    torch.cuda.set_device(0)


@pytest.mark.parametrize("make", [
    lambda: torch.zeros(2, device="cuda"),
    lambda: torch.zeros(2, device="cuda:0"),
    lambda: torch.zeros(2, device=0),
    lambda: torch.zeros(2, device=torch.device("cuda", 0)),
    lambda: torch.zeros(2).cuda(),
    lambda: torch.zeros(2).cuda(0, non_blocking=True),
    lambda: torch.zeros(2).to("cuda"),
    lambda: torch.zeros(2).to(torch.device("cuda"), torch.float16),
    lambda: torch.zeros(2).to(device="cuda", non_blocking=True),
    lambda: torch.zeros(2).pin_memory().to("cuda", non_blocking=True),
    lambda: torch.empty(2, pin_memory=True).cuda(),
    lambda: torch.zeros(2).to(torch.zeros(1, device="cuda")),
    lambda: torch.randn(2, device="cuda", generator=torch.Generator("cuda").manual_seed(3)),
    lambda: torch.zeros(3, device="cuda")[1:],
    lambda: torch.zeros_like(torch.zeros(2), device="cuda"),
    lambda: torch.zeros(2, device=torch.zeros(1, device="cuda").device),
    lambda: nn.Linear(2, 2).cuda().weight,
    lambda: nn.Linear(2, 2).to("cuda", torch.bfloat16).weight,
    lambda: nn.Linear(2, 2, device="cuda").weight.data,
])  # fmt: skip
def test_tensors_of_the_device(device, make):
    made = make()
    assert made.is_cuda and made.device == torch.device("cuda", 0)
    assert made.device.type == "cuda" and made.get_device() == 0 and not made.is_meta


def test_the_default_device(device):
    with torch.device("cuda"):
        assert torch.zeros(2).is_cuda and nn.Linear(2, 2).weight.is_cuda
    assert not torch.zeros(2).is_cuda and torch.zeros(2).device.type == "cpu"


def test_streams_and_events(device):
    side = torch.cuda.Stream()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        x = torch.zeros(2, device="cuda")
        x.record_stream(side)
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) == 0


def test_ties_stay_when_a_model_is_moved(device):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    model.cuda()
    assert model[1].weight is model[0].weight and model[0].weight.is_cuda


def test_only_then_and_only_there():
    seen = []
    with pretending():
        thread = threading.Thread(target=lambda: seen.append(torch.cuda.device_count()))
        thread.start()
        thread.join()
    assert seen == [torch.cuda.device_count()]
    x = torch.zeros(2, device="meta")
    assert x.is_meta and not x.is_cuda and x.device.type == "meta"
    assert torch.cuda.Stream.__module__.startswith("torch")


def as_written(use_reentrant=False):
    """A loop as people write it: everything names its device."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert torch.cuda.is_available()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

        def inner(self, x):
            assert x.is_cuda
            return self.first(x) + torch.zeros(WIDTH, device="cuda")

        def forward(self, x):
            scale = torch.ones(WIDTH, device=x.device)
            return self.second(checkpoint(self.inner, x * scale, use_reentrant=use_reentrant))

    model = Net().to(device)
    assert next(model.parameters()).device.type == "cuda"

    def make_batch(batch_size):
        x = torch.rand(batch_size, WIDTH, pin_memory=True)
        return {"x": x.to(device, non_blocking=True)}

    def loss(model, batch):
        x = batch["x"].cuda()
        seen.append((x.is_cuda, torch.cuda.memory_allocated() > 0))
        weights = torch.tensor([1.0] * WIDTH, device=device)
        return (model(x) * weights).square().mean()

    seen = []
    as_written.seen = seen
    return model, make_batch, loss


def bare():
    return nn.Linear(WIDTH, WIDTH), lambda n: torch.rand(n, WIDTH), lambda m, x: m(x).mean()


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_loop_that_names_its_device_is_simulated_with_what_it_takes(use_reentrant):
    factory = lambda: as_written(use_reentrant)  # noqa: E731
    assert simulated_peak(factory, cuda=True) > simulated_peak(bare, cuda=True) > 0
    assert as_written.seen == [(True, True)] * len(as_written.seen)


def test_it_is_the_device_that_is_simulated(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)
    seen = set()

    def factory():
        seen.add(torch.cuda.get_device_capability())

        def loss(model, x):
            seen.add(torch.cuda.get_device_name())
            return model(x).mean()

        return nn.Linear(4, 4).cuda(), lambda n: torch.rand(n, 4), loss

    assert memorymark.estimate(factory, batch_size=2, gpu="t4").fits
    assert seen == {(7, 5), "NVIDIA T4"} or seen == {(7, 5), "Tesla T4"}


def test_the_scaler_of_the_users():
    def factory():
        scaler = torch.amp.GradScaler("cuda")
        assert scaler.is_enabled()

        def loss(model, x):
            with torch.autocast("cuda"):
                y = model(x)
            return scaler.scale(y.float().mean())

        return nn.Linear(WIDTH, WIDTH), lambda n: torch.rand(n, WIDTH), loss

    assert simulated(factory, cuda=True).trace.events


def compiled_model():
    return torch.compile(nn.Linear(WIDTH, WIDTH)), pixels, mean


def compiled_in_place():
    model = nn.Linear(WIDTH, WIDTH)
    model.compile(mode="max-autotune")
    return model, pixels, mean


def compiled_loss():
    return nn.Linear(WIDTH, WIDTH), pixels, torch.compile(mean, fullgraph=True)


def compiled_by_a_decorator():
    @torch.compile(dynamic=True)
    def loss(model, x):
        return mean(model, x)

    return nn.Linear(WIDTH, WIDTH), pixels, loss


def pixels(batch_size):
    return torch.rand(batch_size, WIDTH)


def mean(model, x):
    return model(x).square().mean()


@pytest.mark.parametrize(
    "factory", [compiled_model, compiled_in_place, compiled_loss, compiled_by_a_decorator]
)
def test_what_the_user_compiles_is_simulated_eagerly_and_said(factory):
    steps = simulated(factory)
    assert COMPILED in steps.assumptions
    plain = simulated(lambda: (nn.Linear(WIDTH, WIDTH), pixels, mean))
    assert COMPILED not in plain.assumptions
    assert steps.free_running == plain.free_running


def test_what_was_compiled_before_is_simulated_eagerly_and_said():
    model = torch.compile(nn.Linear(WIDTH, WIDTH))
    assert COMPILED in simulated(lambda: (model, pixels, mean)).assumptions


def test_a_default_device_of_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.delenv("MEMORYMARK_PROBE_FACTORY", raising=False)

    def factory():
        torch.set_default_device("cuda")
        model = nn.Linear(WIDTH, WIDTH)
        assert model.weight.is_cuda and torch.zeros(2).is_cuda
        assert torch.get_default_device().type == "cuda"
        return model, pixels, lambda model, x: (model(x) * torch.ones(WIDTH)).mean()

    for _ in range(2):
        assert memorymark.estimate(factory, batch_size=2, gpu="l4").fits
        assert torch.get_default_device().type == torch.zeros(1).device.type == "cpu"


def test_other_threads_find_and_leave_all_as_it_is():
    """Two that pretend take turns, and whoever does not sees nothing of it."""
    inside, go_on, seen = threading.Event(), threading.Event(), []
    before = (torch.cuda.Stream, torch.compile, torch.Generator, nn.Module.to, nn.Parameter.__new__)

    def pretend():
        def build():
            inside.set()
            go_on.wait(10)
            return nn.Linear(2, 2).cuda().weight.is_cuda

        seen.append(make_without_data(build, new_meter("The build")))

    threads = [threading.Thread(target=pretend) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert inside.wait(10)
    assert nn.Linear(2, 2).weight.device.type == "cpu"
    assert nn.Linear(2, 2).to("cpu").weight.device.type == "cpu"
    assert isinstance(torch.Generator(), torch.Generator)
    go_on.set()
    for thread in threads:
        thread.join()
    assert seen == [True, True]
    after = (torch.cuda.Stream, torch.compile, torch.Generator, nn.Module.to, nn.Parameter.__new__)
    assert after == before
