"""Whole simulated steps under CUDA's rules."""

import threading
from itertools import accumulate

import own
import pytest
import torch
from tiny import Raising, TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from memorymark.errors import UnsupportedOperation, WorkloadError
from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.units import MIB
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

A100, H100 = Rules(Platform.CUDA, (8, 0)), Rules(Platform.CUDA, (9, 0))
SMALL = TrainingConfig(seq_len=16, image_size=32)


def config(**changes):
    return TrainingConfig(**{"seq_len": 16, "image_size": 32, **changes})


def run(workload, training=SMALL, batch_size=4, rules=A100, stage=Stage.STEP, **options):
    spec = TrialSpec(workload, training, batch_size, stage)
    model = build_model(workload, spec.config, torch.device("meta"))
    return simulate(spec, model, rules, **options)


def peak_of(run):
    return max(accumulate(size for _, size in run.trace.events))


def blocks_named(run, text):
    return [block for block in run.trace.blocks if text in str(block.operation)]


class Deep(TinyNet):
    """A row of blocks, recomputed or not."""

    def __init__(self, use_reentrant=None):
        super().__init__()
        self.use_reentrant = use_reentrant

    def build(self, config):
        width = self.width
        blocks = [
            nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
            for _ in range(4)
        ]
        parts = {
            "first": nn.Linear(width, width),
            "blocks": nn.ModuleList(blocks),
            "head": nn.Linear(width, 10),
        }
        return nn.ModuleDict(parts)

    def loss(self, model, batch):
        x = model["first"](batch["x"])
        for block in model["blocks"]:
            if self.use_reentrant is None:
                x = block(x)
            else:
                x = checkpoint(block, x, use_reentrant=self.use_reentrant)
        return functional.cross_entropy(model["head"](x), batch["labels"])


@pytest.mark.parametrize("make", [tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet, TinyNet])
@pytest.mark.parametrize("precision", ["fp32", "amp-bf16", "amp-fp16", "bf16"])
def test_models_simulate_in_every_precision(make, precision):
    found = run(make(), config(precision=precision))
    assert peak_of(found) > 0 and found.works


@pytest.mark.parametrize(
    "optimizer",
    [
        "none",
        "sgd",
        "sgd-momentum",
        "adam",
        "adamw",
        "rmsprop",
        "adagrad",
        "adafactor",
        "adamw-8bit",
    ],
)
def test_every_optimizer_simulates(optimizer):
    workload = TinyNet()
    found = run(workload, config(optimizer=optimizer))
    states = sum(b.size_bytes for b in found.trace.blocks if b.category == "optimizer_states")
    copies = {"none": 0, "sgd": 0, "sgd-momentum": 1, "rmsprop": 1, "adagrad": 1}
    parameters = 4 * (256 * 256 + 256 + 256 * 10 + 10)
    if optimizer == "adamw-8bit":
        assert 0.5 * parameters < states < 0.6 * parameters
    elif optimizer == "adafactor":
        assert 0 < states < 0.05 * parameters
    else:
        assert states == copies.get(optimizer, 2) * parameters


def test_temporaries_of_the_implementations_differ():
    peaks = {
        impl: peak_of(run(Deep(), config(optimizer_impl=impl), 1))
        for impl in ("default", "foreach", "fused", "for-loop")
    }
    largest = 4 * 256 * 256
    assert peaks["default"] == peaks["foreach"]
    assert peaks["foreach"] - peaks["fused"] > 8 * largest  # one temporary of every parameter
    assert largest < peaks["for-loop"] - peaks["fused"] < 3 * largest  # two of one at a time


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "amp-bf16"])
def test_both_kinds_of_checkpointing_recompute(use_reentrant, precision):
    training = config(precision=precision, optimizer="sgd")
    recomputing, plain = (
        run(Deep(kind), training, 4096, steps=2) for kind in (use_reentrant, None)
    )
    assert peak_of(recomputing) < peak_of(plain)
    for found, expected in ((recomputing, True), (plain, False)):
        again = [b for b in found.trace.blocks if b.phase == "backward" and "blocks" in b.path]
        assert bool(again) is expected


def test_the_number_of_events_does_not_depend_on_the_batch():
    small, large = (run(tiny_bert(), batch_size=n, steps=2) for n in (256, 16_384))
    assert len(small.trace.events) == len(large.trace.events)
    assert peak_of(large) > peak_of(small)


def test_cublas_workspaces_by_generation():
    for rules, size in ((A100, 8_519_680), (H100, 32 * MIB)):
        workspaces = blocks_named(run(TinyNet(), rules=rules), "cuBLAS")
        assert [block.size_bytes for block in workspaces] == [size] * 2
        assert {block.phase for block in workspaces} == {"forward", "backward"}
    assert not blocks_named(run(TinyNet(), rules=Rules(Platform.CPU)), "cuBLAS")


def test_convolutions_are_noted_and_their_workspaces_left_out_of_the_trace():
    found = run(tiny_resnet())
    assert found.convolutions and not blocks_named(found, "cuDNN")
    positions = [kernel.position for kernel in found.convolutions]
    assert positions == sorted(positions) and positions[-1] <= len(found.trace.events)
    assert run(tiny_bert()).convolutions == ()


def test_every_step_of_the_trace_has_its_convolutions():
    found = run(tiny_resnet())
    starts = [at for phase, at in found.trace.marks if phase == "step"]
    ends = [*starts[1:], len(found.trace.events) + 1]
    counts = [
        sum(start < kernel.position <= end for kernel in found.convolutions)
        for start, end in zip(starts, ends, strict=True)
    ]
    assert len(counts) > 1 and counts == [counts[0]] * len(counts) != [0] * len(counts)


def test_two_threads_answer_as_one_after_the_other():
    workloads = [tiny_bert(), tiny_resnet(), tiny_gpt2(), TinyNet()]
    trainings = [config(precision=p) for p in ("amp-bf16", "fp32", "amp-fp16", "bf16")]
    pairs = list(zip(workloads, trainings, strict=True))
    alone = [run(*pair).trace.events for pair in pairs]
    together: dict[int, list] = {}

    def work(index):
        together[index] = run(*pairs[index]).trace.events

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(pairs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[index] for index in range(len(pairs))] == alone


def test_nothing_is_left_behind():
    before = (torch.is_autocast_enabled, torch.get_autocast_dtype, torch.amp.autocast.__init__)
    with pytest.raises(WorkloadError):
        run(Raising(ValueError("shapes do not match")), config(precision="amp-bf16"))
    after = (torch.is_autocast_enabled, torch.get_autocast_dtype, torch.amp.autocast.__init__)
    assert before == after
    with pytest.raises(RuntimeError):
        torch.autocast("meta")


def test_an_operation_that_needs_data_is_one_error_that_names_it():
    class Unsupported(TinyNet):
        def loss(self, model, batch):
            return super().loss(model, batch) + torch.geqrf(batch["x"])[0].sum()

    with pytest.raises(UnsupportedOperation, match="geqrf") as caught:
        run(Unsupported())
    assert "\n" not in str(caught.value)
    assert "test_simulate.py" in str(caught.value) and "on a device instead" in str(caught.value)


def test_a_models_own_error_is_one_sentence():
    with pytest.raises(
        WorkloadError, match=r"'tiny-net'.*ValueError: shapes do not match"
    ) as caught:
        run(Raising(ValueError("shapes do not match\nand more")))
    assert "and more" not in str(caught.value)


def test_a_question_about_data_is_answered_and_told():
    class Asking(TinyNet):
        def loss(self, model, batch):
            loss = super().loss(model, batch)
            return loss * 2 if loss.item() > 1e9 else loss

    assert any("reads the value" in sentence for sentence in run(Asking()).assumptions)
    assert run(TinyNet()).assumptions == ()


def test_gradient_accumulation_keeps_gradients_over_forward_passes():
    once, twice = (run(tiny_bert(), config(gradient_accumulation=n), steps=2) for n in (1, 2))
    assert len(blocks_named(twice, "addmm")) == 2 * len(blocks_named(once, "addmm"))
    assert peak_of(twice) >= peak_of(once)


def test_flash_attention_keeps_less_than_eager():
    flash, eager = (
        peak_of(run(tiny_llama(), config(precision="bf16", attention=kind, seq_len=128), 16))
        for kind in ("sdpa", "eager")
    )
    assert flash < eager


class LeavingHooks(TinyNet):
    """Fails within a region of hooks that stays open as long as its variables are held."""

    def __init__(self):
        super().__init__()
        self.packed = []

    def forward(self, model, batch):
        part = self.region()
        next(part)
        raise ValueError("within the region")

    def region(self):
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda x: x):
            yield

    def pack(self, tensor):
        self.packed.append(tensor.shape)
        return tensor


def test_a_step_that_failed_leaves_no_hooks_behind():
    workload = LeavingHooks()
    with pytest.raises(WorkloadError, match="within the region") as held:
        run(workload)
    torch.ones(3, requires_grad=True).exp().sum().backward()
    assert held.value.__cause__ is not None and not workload.packed


class FailingAtTheEnd(TinyNet):
    """Fails in the first simulation, after the backward pass."""

    failed = False

    def own_step(self, model):
        def step(model, batch, optimizer):
            self.forward(model, batch)[0].backward()
            if not self.failed:
                self.failed = True
                raise ValueError("at the end")
            optimizer.step()

        return step


def test_a_step_that_failed_leaves_no_gradients_behind():
    workload = FailingAtTheEnd()
    model = build_model(workload, SMALL, torch.device("meta"))
    spec = TrialSpec(workload, SMALL, 4)
    with pytest.raises(WorkloadError, match="at the end"):
        simulate(spec, model, A100)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert blocks_named(simulate(spec, model, A100), "mm")


def test_a_number_of_steps_has_a_peak_too():
    assert run(TinyNet(), steps=2).free_running.peak_allocated_bytes > 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda model, x: model(x + torch.randn(x.shape)).mean(),
        lambda model, x: torch.mm(model(x).T, torch.randn(len(x), 5)).mean(),
        lambda model, x: functional.cross_entropy(model(x), torch.zeros(len(x)).long()),
    ],
)
def test_tensors_left_on_the_cpu_are_told_as_what_they_are(loss):
    def factory():
        return torch.nn.Linear(64, 10), lambda n: torch.rand(n, 64), loss

    with pytest.raises(WorkloadError, match=r"meets one on the simulated device.*x\.device"):
        own.simulated(factory, cuda=True)


@pytest.mark.parametrize(
    "layer", [nn.Linear(4, 4), nn.Conv1d(4, 4, 1), nn.Linear(4, 4, bias=False)]
)
@pytest.mark.parametrize("dtype", [torch.long, torch.float64, torch.bfloat16])
def test_products_of_different_types_fail_as_on_a_device(layer, dtype):
    def factory():
        return layer, lambda n: torch.ones(n, 4, 4, dtype=dtype), lambda model, x: model(x).mean()

    assert own.measured(factory).error is not None
    with pytest.raises(WorkloadError, match=r"type.*test_simulate.py"):
        own.simulated(factory)


def test_an_optimizer_that_is_none_is_refused():
    def factory():
        model, loss = nn.Linear(4, 4), lambda model, x: model(x).mean()
        return model, lambda n: torch.ones(n, 4), loss, lambda model: 5

    with pytest.raises(WorkloadError, match=r"returned an int; accepted: a torch.optim.Optimizer"):
        own.simulated(factory)
