"""Live trainings are simulated as factories that make the same are, whatever they consist of."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

import memorymark
from memorymark import Training, TrainingConfig
from memorymark.errors import MemoryMarkError, UsageError, WorkloadError

pytestmark = pytest.mark.usefixtures("home")
GPU = {"gpu": "l4"}
README = Path(__file__).parents[3] / "README.md"


def network():
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 8))


def batch(n=16):
    return torch.rand(n, 64), torch.arange(n) % 8


def loss(outputs, batch):
    return functional.cross_entropy(outputs, batch[1])


def by_factory(make_optimizer=None, config=None, size=16):
    def factory():
        return Training(
            network(), batch, lambda model, batch: (lambda x: (loss(x, batch), x))(model(batch[0])),
            make_optimizer,
        )  # fmt: skip

    return memorymark.estimate(factory, config, batch_size=size, **GPU)


def same(fit, trial):
    assert fit.trial.breakdown == trial.breakdown
    assert fit.trial.peak_reserved_bytes == trial.peak_reserved_bytes


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "adamw": torch.optim.AdamW,
    "fused": lambda p: torch.optim.AdamW(p, fused=True),
    "foreach": lambda p: torch.optim.Adam(p, foreach=True, amsgrad=True),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adafactor": torch.optim.Adafactor,
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_it_is_what_a_factory_of_the_same_is(make):
    model = network()
    optimizer = make(model.parameters())
    trial = by_factory(lambda model: make(model.parameters()))
    same(memorymark.fits(model, batch(), optimizer=optimizer, loss=loss, **GPU), trial)


def test_states_that_are_there_count_once():
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    before = memorymark.fits(model, batch(), optimizer=optimizer, **GPU)
    loss(model(batch()[0]), batch()).backward()
    optimizer.step()
    after = memorymark.fits(model, batch(), optimizer=optimizer, **GPU)
    states = [fit.trial.breakdown.optimizer_states for fit in (before, after)]
    sizes = sum(p.numel() * p.element_size() for p in model.parameters())
    assert states == [2 * sizes, 2 * sizes]
    assert before.trial.peak_allocated_bytes == after.trial.peak_allocated_bytes


def test_the_largest_batch_fits_and_the_next_does_not():
    options = {"loss": loss, "memory_budget": "32MiB", **GPU}
    fit = memorymark.fits(network(), batch(), largest=True, **options)
    largest = fit.max_batch_size
    step = next(n - largest for n in sorted(fit.tried) if n > largest)
    assert fit and largest > 16 and step <= 8
    assert memorymark.fits(network(), batch(largest), **options)
    too_large = memorymark.fits(network(), batch(largest + step), **options)
    assert not too_large and 0 < too_large.max_batch_size < largest + step


@pytest.mark.parametrize("given", [
    loss, nn.CrossEntropyLoss(), nn.CrossEntropyLoss(weight=torch.ones(8)), None,
    functional.cross_entropy,
])  # fmt: skip
def test_losses(given):
    fit = memorymark.fits(network(), batch(), loss=given, **GPU)
    assert fit
    assert ("No loss was given: cross entropy was taken." in fit.assumptions) == (given is None)


def test_a_loss_may_use_the_live_model_and_modules_of_its_own():
    model, teacher = network(), network()
    fit = memorymark.fits(model, batch(), loss=lambda outputs, batch: (
        (outputs - teacher(batch[0])).square().mean()
        + sum(p.norm() for p in model.parameters())), **GPU)  # fmt: skip
    sizes = sum(p.numel() * p.element_size() for p in model.parameters())
    assert fit.trial.breakdown.parameters == 2 * sizes


def test_the_users_step_is_run_with_what_it_refers_to():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    device = torch.device("cpu")

    def step(network, batch, given):
        x, y = (each.to(device) for each in batch)
        optimizer.zero_grad()
        functional.cross_entropy(model(x) + torch.zeros(8), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()

    assert memorymark.fits(model, batch(), optimizer=optimizer, step=step, **GPU)
    assert (scheduler.last_epoch, optimizer.param_groups[0]["lr"]) == (0, 0.1)


def test_autocast_around_the_call_is_taken():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fit = memorymark.fits(network(), batch(), loss=loss, **GPU)
    same(fit, by_factory(config=TrainingConfig(precision="amp-bf16")))
    assert any("amp-bf16" in text for text in fit.assumptions)


def test_the_mode_stays_as_it_is():
    trained = memorymark.fits(network(), batch(16_000), loss=loss, **GPU)
    still = memorymark.fits(network().eval(), batch(16_000), loss=loss, **GPU)
    assert still.trial.breakdown.total < trained.trial.breakdown.total
    assert any("eval mode" in text for text in still.assumptions)


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_wrappers_are_taken_off(wrap):
    plain = memorymark.fits(network(), batch(), loss=loss, **GPU)
    same(memorymark.fits(wrap(network()), batch(), loss=loss, **GPU), plain.trial)


def test_the_buckets_of_ddp_are_counted():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = network()
        wrapped = nn.parallel.DistributedDataParallel(model)
        fit = memorymark.fits(wrapped, batch(), loss=loss, **GPU)
    finally:
        torch.distributed.destroy_process_group()
    sizes = sum(p.numel() * p.element_size() for p in model.parameters())
    plain = memorymark.fits(network(), batch(), loss=loss, **GPU)
    assert plain.capacity_bytes - fit.capacity_bytes == sizes
    assert any("buckets" in text for text in fit.assumptions)


class Counting(nn.Module):
    """Runs as many layers as its data say, and keeps what it has seen."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(64, 64), []

    def forward(self, x, y=None):
        for _ in range(int(y[0]) + 1):
            x = self.layer(x)
        if x.mean() > 0:
            x = x * 2
        self.seen.append(x.detach())
        return x.sum()


def test_control_flow_that_depends_on_data():
    model = Counting()
    fit = memorymark.fits(model, batch(), **GPU)
    assert fit and model.seen == []
    assert any("is assumed" in text for text in fit.assumptions)


ODD = {
    "parametrized": lambda: parametrizations.weight_norm(nn.Linear(64, 8)),
    "fx": lambda: torch.fx.symbolic_trace(network()),
    "without data": lambda: nn.Linear(64, 8, device="meta"),
    "bf16": lambda: nn.Sequential(nn.Linear(64, 8)),
    "hooked": lambda: _hooked(nn.Linear(64, 8)),
}


def _hooked(model):
    model.register_forward_hook(lambda module, args, output: output + module.bias)
    return model


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_modules_of_other_kinds(make):
    assert memorymark.fits(make(), batch(), **GPU)


REFUSED = {
    "scripted": (lambda: torch.jit.script(network()), "TorchScript"),
    "lazy": (lambda: nn.LazyLinear(8), "not known yet"),
    "frozen": (lambda: network().requires_grad_(False), "nothing to train"),
    "a name": (lambda: "bert", "is a str; accepted: the torch.nn.Module"),
    "a function": (lambda: network, "accepted: the torch.nn.Module"),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_simulated_gets_a_sentence(make, said):
    with pytest.raises(MemoryMarkError, match=re.escape(said)):
        memorymark.fits(make(), batch(), **GPU)


@pytest.mark.parametrize(("options", "error", "said"), [
    ({"loss": "mse"}, UsageError, "loss is a str; accepted: a function."),
    ({"optimizer": "adamw"}, UsageError, "The optimizer is a str; accepted"),
    ({"loss": loss, "step": loss}, UsageError, "Both a loss and a step"),
    ({"optimizer": torch.optim.SGD(network().parameters())}, WorkloadError, "updates none of"),
    ({"batch_size": 5, "gpu": "l44"}, UsageError, "Did you mean 'l4'?"),
    ({"memory_budget": "much"}, UsageError, "memory budget"),
])  # fmt: skip
def test_bad_arguments_get_a_sentence(options, error, said):
    with pytest.raises(error, match=re.escape(said)):
        memorymark.fits(network(), batch(), **GPU | options)


def test_a_batch_without_targets_needs_a_loss():
    with pytest.raises(WorkloadError, match=re.escape("Give loss=function(outputs, batch)")):
        memorymark.fits(network(), torch.rand(4, 64), **GPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_gpu_the_catalogues_default_is_taken_and_said():
    fit = memorymark.fits(network(), batch())
    assert "A100" in fit.target.name and any("default" in text for text in fit.findings)


def test_the_sentence_of_the_readme_is_true(capsys):
    text = README.read_text()
    (snippet,) = re.findall(r"```python\n(import memorymark\nimport torch\n.*?fits.*?)```", text,
                            flags=re.DOTALL)  # fmt: skip
    exec(compile(snippet, "README.md", "exec"), {})
    said = re.search(r'This prints "(.*?)"', text, flags=re.DOTALL)
    assert capsys.readouterr().out.strip() == " ".join(said[1].split())
