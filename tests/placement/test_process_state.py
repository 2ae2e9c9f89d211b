"""The process is as it was before, after success, an error and an interrupt."""

import contextlib
import gc
import random

import numpy
import pytest
import torch
from torch import nn

import memorymark
from memorymark.errors import MemoryMarkError

GIB = 1024**3


class Stop(KeyboardInterrupt):
    pass


pytestmark = pytest.mark.usefixtures("home")


def change_everything():
    torch.manual_seed(1)
    random.seed(1)
    numpy.random.seed(1)
    torch.set_float32_matmul_precision("high")
    torch.set_autocast_enabled("cpu", True)
    torch.set_autocast_dtype("cpu", torch.float16)
    torch.backends.cudnn.benchmark = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.autograd.set_detect_anomaly(True)
    gc.enable()


def state():
    return {
        "random": random.getstate(),
        "numpy": [str(part) for part in numpy.random.get_state()],
        "torch": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "autocast": [
            (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
            for kind in ("cpu", "cuda", "xpu")
        ],
        "cache": torch.is_autocast_cache_enabled(),
        "cudnn": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "collector": gc.isenabled(),
        "patched": [
            (owner, name, getattr(owner, name))
            for owner, name in (
                (torch, "tensor"), (torch, "is_autocast_enabled"), (torch.Tensor, "__format__"),
                (torch.Tensor, "to"), (torch.Tensor, "device"), (torch.cuda, "is_available"),
                (nn.Parameter, "__new__"), (torch.autograd, "backward"), (torch, "compile"),
                (nn.Module, "train"), (torch, "Generator"),
            )
        ],
        "modes": torch._C._len_torch_function_stack(),
    }  # fmt: skip


def ending(how):
    def loss(model, x):
        change_everything()
        if how is not None:
            torch.set_default_dtype(torch.float64)
            torch.set_default_device("meta")
            torch.set_grad_enabled(False)
            raise how
        return model(x).square().mean()

    return lambda: (nn.Linear(8, 8), lambda n: torch.rand(n, 8), loss)


ESTIMATE = {"gpu": "l4"}
MEASURE = {"device": "cpu", "memory_budget": GIB}


@pytest.mark.parametrize("how", [None, ValueError("wrong"), Stop(), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("call", [memorymark.estimate, memorymark.measure])
@pytest.mark.parametrize("no_grad", [False, True])
def test_the_process_is_as_it_was(call, how, no_grad):
    about = ESTIMATE if call is memorymark.estimate else MEASURE
    with contextlib.ExitStack() as stack:
        if no_grad:
            gc.disable()
            stack.callback(gc.enable)
        torch.manual_seed(7)
        before = state()
        with contextlib.suppress(MemoryMarkError, Stop, SystemExit):
            call(ending(how), batch_size=2, **about)
        after = state()
    assert after == before


@pytest.mark.parametrize("how", [None, ValueError("wrong"), Stop()], ids=repr)
def test_a_model_of_the_users_keeps_its_values(how):
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8).eval(), nn.Dropout())
    model[0].tie = nn.Parameter(model[0].weight.data.view(64))
    teacher = nn.Linear(8, 8)
    called = []
    model[0].weight.register_hook(lambda gradient: called.append(gradient.is_meta))
    values = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [part.training for part in model.modules()]

    def loss(model, x):
        if how is not None:
            raise how
        return (model(x) - teacher(x)).square().mean()

    with contextlib.suppress(MemoryMarkError, Stop):
        memorymark.estimate(
            lambda: (model, lambda n: torch.rand(n, 8), loss), batch_size=2, **ESTIMATE
        )
    gc.collect()
    assert all(torch.equal(values[name], now) for name, now in model.state_dict().items())
    assert model[0].tie.data_ptr() == model[0].weight.data_ptr()
    assert [part.training for part in model.modules()] == modes
    assert not teacher.weight.is_meta
    assert all(p.grad is None for p in model.parameters())
    called.clear()
    model(torch.rand(2, 8)).sum().backward()
    assert called == [False]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
