"""What lives in the user's process is the same after a check as before it, whatever happens."""

import contextlib
import hashlib
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import memorymark
from memorymark.errors import Cancelled, MemoryMarkError
from memorymark.records.event import CancelToken
from memorymark.service.live_check import check_live
from memorymark.workloads.live.live_workload import LiveTraining

pytestmark = pytest.mark.usefixtures("home")
GPU = {"gpu": "l4"}


class Net(nn.Module):
    """Ties, a frozen part, buffers that a step writes to, a plain tensor, hooks, dropout."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(32, 16)
        self.frozen = nn.Linear(16, 16).requires_grad_(False)
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 32, bias=False)
        self.head.weight = self.embedding.weight
        self.scale = torch.ones(16)
        self.calls = []
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, tokens, labels=None):
        self.calls.append(tokens.shape)
        x = self.frozen(self.embedding(tokens)) + self.scale
        self.scale += 1
        x = self.norm(x.flatten(0, 1)).view_as(x)
        x = functional.dropout(x, 0.1, self.training) + torch.rand(1, generator=self.generator)
        logits = self.head(x)
        return functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), logits


def trained():
    """A model in the middle of a training: gradients, states and a schedule."""
    torch.manual_seed(1)
    model = Net()
    model.norm.eval()
    model.register_forward_hook(lambda module, args, output: module.calls.append("hook"))
    model.embedding.weight.register_hook(lambda gradient: gradient * 2)
    groups = [{"params": [model.embedding.weight]}, {"params": model.norm.parameters(), "lr": 0.01}]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    model(*batch())[0].backward()
    optimizer.step()
    scheduler.step()
    return model, optimizer, scheduler


def batch():
    tokens = torch.arange(24).view(4, 6)
    return tokens, tokens.clone()


def checksum(tensor):
    data = tensor.detach().cpu().contiguous()
    return hashlib.sha256(data.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()


def seen(model, optimizer, scheduler):
    """All that somebody who goes on to train can see."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers()), "s": model.scale}
    gradients = {name: x.grad for name, x in tensors.items() if x.grad is not None}
    states = {
        (number, name): value
        for number, state in enumerate(optimizer.state.values()) for name, value in state.items()
    }  # fmt: skip
    facts = [
        [(name, id(x), x.data_ptr(), x.dtype, x.device, x._version, x.requires_grad, checksum(x))
         for name, x in [*tensors.items(), *gradients.items(), *states.items()]],
        [(id(x), x.training, sorted(vars(x)), len(x._forward_hooks)) for x in model.modules()],
        [{name: value if name != "params" else list(map(id, value))
          for name, value in group.items()} for group in optimizer.param_groups],
        [len(x._backward_hooks or ()) for x in model.parameters()],
        list(model.calls), model.generator.get_state().tolist(),
        scheduler.last_epoch, scheduler.get_last_lr(), sorted(vars(optimizer)),
    ]  # fmt: skip
    return facts


def around():
    """What belongs to the thread and to the process."""
    return [
        random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist(),
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype(),
        torch.get_default_device(), torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cpu"),
        torch.get_deterministic_debug_mode(), torch.is_anomaly_enabled(), torch.get_num_threads(),
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic,
        torch.backends.cudnn.enabled, torch.get_float32_matmul_precision(),
        *(id(f) for f in (
            torch.tensor, torch.compile, nn.Module.to, nn.Module.__init__, nn.Parameter.__new__,
            torch.cuda.is_available, torch.optim.AdamW.step, torch.Tensor.backward,
            torch.autograd.backward, torch.is_autocast_enabled, torch.Generator,
        )),
    ]  # fmt: skip


def failing(outputs, batch):
    raise ZeroDivisionError("the user's")


def interrupting(outputs, batch):
    raise KeyboardInterrupt


def ending(outputs, batch):
    raise SystemExit(3)


def switching(outputs, batch):
    """Change all that a loss could change for good."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("medium")
    return outputs[0]


def cancelled():
    token = CancelToken()
    token.cancel()
    return token


CALLS = {
    "fits": {},
    "searched": {"memory_budget": "21MiB"},
    "largest": {"largest": True, "memory_budget": "40MiB"},
    "an error": {"loss": failing},
    "ctrl-c": {"loss": interrupting},
    "sys.exit": {"loss": ending},
    "switches": {"loss": switching},
    "a bad gpu": {"gpu": "l44"},
    "cancelled": {"cancel": cancelled()},
    "the user's step": {
        "step": lambda model, batch, optimizer: (
            optimizer.zero_grad(), model(*batch)[0].backward(), optimizer.step())
    },
    "a config": {"config": memorymark.TrainingConfig(
        precision="amp-fp16", gradient_accumulation=2, gradient_checkpointing=False)},
}  # fmt: skip


@pytest.mark.parametrize("options", CALLS.values(), ids=CALLS)
def test_nothing_is_changed(options):
    model, optimizer, scheduler = trained()
    before, outside = seen(model, optimizer, scheduler), around()
    with contextlib.suppress(MemoryMarkError, Cancelled, KeyboardInterrupt):
        memorymark.fits(model, batch(), optimizer=optimizer, **GPU | options)
    assert seen(model, optimizer, scheduler) == before
    assert around() == outside


def test_a_step_that_would_write_to_what_is_live_is_refused(monkeypatch):
    model, optimizer, scheduler = trained()
    holder = type("Holder", (), {"__slots__": ("model",)})()
    holder.model = model  # no copy is made of what has no table of attributes

    def step(copied, batch, optimizer):
        holder.model.embedding.weight.data.zero_()
        copied(*batch)[0].backward()
        optimizer.step()

    before = seen(model, optimizer, scheduler)
    with contextlib.suppress(MemoryMarkError):
        memorymark.fits(model, batch(), optimizer=optimizer, step=step, **GPU)
    assert seen(model, optimizer, scheduler) == before


@pytest.mark.parametrize("region", [
    torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    lambda: torch.device("cpu"), lambda: torch.autograd.set_detect_anomaly(True),
], ids=["no_grad", "inference", "autocast", "device", "anomaly"])  # fmt: skip
def test_the_region_around_the_call_goes_on(region):
    model, optimizer, scheduler = trained()
    before = seen(model, optimizer, scheduler)
    with region():
        outside = around()
        fit = memorymark.fits(model, batch(), optimizer=optimizer, **GPU)
        assert around() == outside
    assert fit and seen(model, optimizer, scheduler) == before


def test_the_training_goes_on_as_if_nothing_had_been():
    plain, checked = trained(), trained()
    for check, (model, optimizer, scheduler) in ((False, plain), (True, checked)):
        torch.manual_seed(5)
        for _ in range(3):
            if check:
                assert memorymark.fits(model, batch(), optimizer=optimizer, **GPU)
            optimizer.zero_grad()
            model(*batch())[0].backward()
            optimizer.step()
            scheduler.step()
    pairs = zip(plain[0].parameters(), checked[0].parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_another_thread_sees_the_model_as_it_is_all_the_time():
    model, optimizer, scheduler = trained()
    before, wrong, done = seen(model, optimizer, scheduler), [], threading.Event()

    def look():
        while not done.is_set():
            if seen(model, optimizer, scheduler) != before or torch.cuda.is_available():
                wrong.append(True)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        memorymark.fits(model, batch(), optimizer=optimizer, largest=True, **GPU)
    finally:
        done.set()
        watcher.join()
    assert not wrong


def test_a_check_within_a_check_is_one_of_its_own():
    model, optimizer, scheduler = trained()
    before, inner = seen(model, optimizer, scheduler), []

    def loss(outputs, batch):
        inner.append(memorymark.fits(nn.Linear(4, 4), (torch.rand(2, 4), torch.rand(2, 4)), **GPU))
        return outputs[0]

    assert check_live(LiveTraining(model, batch(), optimizer, loss), gpu="l4")
    assert seen(model, optimizer, scheduler) == before
    assert inner == []  # the loss works on a copy of the list
