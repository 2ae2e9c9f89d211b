"""What the code around has set changes no figure, and is the caller's again afterwards."""

import contextlib
import gc
import sys
import threading
import warnings

import pytest
import torch
from test_process_state import state
from tiny import TinyNet, tiny_bert
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import memorymark
from memorymark import TrainingConfig
from memorymark.errors import UsageError
from memorymark.placement.process_state import clean_state

GIB = 1024**3
AMP = TrainingConfig(precision="amp-bf16", seq_len=16)
PLAIN = TrainingConfig(seq_len=16)

pytestmark = pytest.mark.usefixtures("home")


class Refusing(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise AssertionError("an operation of the engine is no affair of the code around")


class RefusingFunctions(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise AssertionError("a function of the engine is no affair of the code around")


@contextlib.contextmanager
def setting(get, put, value):
    before = get()
    put(value)
    try:
        yield
        assert get() == value
    finally:
        put(before)


@contextlib.contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
        assert torch.empty(0).device == torch.get_default_device() == torch.device(device)
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def warnings_as_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        with pytest.raises(UserWarning):
            warnings.warn("as before", stacklevel=1)


@contextlib.contextmanager
def collector_off():
    gc.disable()
    try:
        yield
        assert not gc.isenabled()
    finally:
        gc.enable()


def refuse(tensor):
    raise AssertionError("what the engine saves is no affair of the code around")


AROUND = {
    "autocast to bf16": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast to fp16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "autocast without cache": lambda: torch.autocast("cpu", cache_enabled=False),
    "float64": lambda: setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "bfloat16": lambda: setting(torch.get_default_dtype, torch.set_default_dtype, torch.bfloat16),
    "default device": lambda: default_device("meta"),
    "device": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "anomalies": torch.autograd.detect_anomaly,
    "fake mode": FakeTensorMode,
    "dispatch mode": Refusing,
    "function mode": RefusingFunctions,
    "no functions": torch._C.DisableTorchFunction,
    "deterministic": lambda: setting(
        torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 2
    ),
    "tf32": lambda: setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "attention": lambda: sdpa_kernel(SDPBackend.MATH),
    "saving hooks": lambda: torch.autograd.graph.saved_tensors_hooks(refuse, refuse),
    "no saving hooks": lambda: torch.autograd.graph.disable_saved_tensors_hooks("none here"),
    "saved on the host": torch.autograd.graph.save_on_cpu,
    "profiler": torch.autograd.profiler.profile,
    "warnings": warnings_as_errors,
    "collector": collector_off,
    "recursion": lambda: setting(sys.getrecursionlimit, sys.setrecursionlimit, 600),
}  # fmt: skip


def figures(trial):
    return trial.peak_allocated_bytes, trial.peak_reserved_bytes, trial.breakdown, trial.error


def estimate(config):
    return figures(memorymark.estimate(tiny_bert(), config, batch_size=4, gpu="l4"))


def measure(config):
    return figures(
        memorymark.measure(TinyNet(16), config, batch_size=4, device="cpu", memory_budget=GIB)
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORYMARK_HOME", str(tmp_path_factory.mktemp("home")))
        found = {(call, config): call(config) for call in (estimate, measure) for config in
                 (PLAIN, AMP)}  # fmt: skip
    assert all(error is None for *_, error in found.values())
    return found


@pytest.mark.parametrize("config", [PLAIN, AMP], ids=["fp32", "amp"])
@pytest.mark.parametrize("call", [estimate, measure])
@pytest.mark.parametrize("around", AROUND)
def test_figures_are_those_of_a_clean_call(around, call, config, clean):
    with AROUND[around]():
        outer = state() if "mode" not in around else None
        found = call(config)
        assert outer is None or state() == outer
    assert found == clean[call, config]


@pytest.mark.parametrize("around", AROUND)
def test_own_code_is_run_in_a_clean_state_too(around):
    def loss(model, x):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() is torch.float32
        return model(x).square().mean()

    def factory():
        return nn.Linear(8, 8), lambda n: torch.rand(n, 8), loss

    bare = memorymark.estimate(factory, batch_size=2, gpu="l4")
    with AROUND[around]():
        assert figures(memorymark.estimate(factory, batch_size=2, gpu="l4")) == figures(bare)


@pytest.mark.parametrize("transform", [torch.vmap, lambda f: torch.func.grad(lambda x: f(x).sum())])
def test_within_a_transform(transform, clean):
    seen = []

    def function(x):
        seen.append(estimate(PLAIN))
        return x * 2

    assert transform(function)(torch.ones(3)).tolist() == [2.0] * 3
    assert seen == [clean[estimate, PLAIN]]


def test_within_tracing_it_is_refused():
    def traced(x):
        estimate(PLAIN)
        return x

    with pytest.raises(UsageError, match="Call it outside"):
        torch.jit.trace(traced, torch.ones(2))


def test_a_default_of_the_factorys_own_holds():
    def factory():
        torch.set_default_dtype(torch.float64)
        return nn.Linear(64, 64), lambda n: torch.rand(n, 64), lambda m, x: m(x).square().mean()

    trial = memorymark.estimate(factory, batch_size=2, gpu="l4")
    assert trial.breakdown.parameters == (64 * 64 + 64) * 8
    assert torch.get_default_dtype() is torch.float32


def test_a_seeded_training_after_a_measurement_is_the_same():
    import random

    import numpy

    def drawn(between):
        torch.manual_seed(3)
        random.seed(3)
        numpy.random.seed(3)
        first = torch.rand(2).tolist()
        between()
        return first, torch.rand(2).tolist(), random.random(), numpy.random.rand()

    assert drawn(lambda: (measure(PLAIN), estimate(AMP))) == drawn(lambda: None)


def test_the_last_of_several_threads_gives_the_state_back():
    first, second = threading.Event(), threading.Event()

    def other():
        with clean_state():
            first.set()
            second.wait(10)
            assert torch.get_default_dtype() is torch.float32 and gc.isenabled()

    thread = threading.Thread(target=other)
    torch.set_default_dtype(torch.float64)
    try:
        thread.start()
        first.wait(10)
        with clean_state():
            assert torch.get_default_dtype() is torch.float32
        assert torch.get_default_dtype() is torch.float32
        second.set()
        thread.join(10)
        assert torch.get_default_dtype() is torch.float64
    finally:
        second.set()
        torch.set_default_dtype(torch.float32)


def test_an_estimate_within_a_loss():
    def inner():
        return nn.Linear(4, 4), lambda n: torch.rand(n, 4), lambda m, x: m(x).sum()

    found = []

    def loss(model, x):
        found.append(memorymark.estimate(inner, batch_size=2, gpu="l4").peak_allocated_bytes)
        return model(x).square().mean()

    def outer():
        return nn.Linear(8, 8), lambda n: torch.rand(n, 8), loss

    plain = memorymark.estimate(inner, batch_size=2, gpu="l4").peak_allocated_bytes
    trial = memorymark.estimate(outer, batch_size=2, gpu="l4")
    assert trial.error is None and set(found) == {plain}


def test_threads_that_estimate_at_once(clean):
    found = []
    threads = [
        threading.Thread(target=lambda config=config: found.append((config, estimate(config))))
        for config in (PLAIN, AMP) * 3
    ]
    before = state()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(figure == clean[estimate, config] for config, figure in found) and len(found) == 6
    assert state() == before
