"""The training step: gradients, phases, precision, dropout, stages."""

import dataclasses
import weakref

import pytest
import torch
from tiny import TinyNet, tiny_bert
from torch import nn
from torch.nn import functional

from memorymark.records.config import TrainingConfig
from memorymark.records.trial import Stage
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.step import TrainingStep
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

CPU = torch.device("cpu")


def step_of(workload, config=None, batch_size=4, **options):
    stage = options.pop("stage", Stage.STEP)
    spec = TrialSpec(workload, config or TrainingConfig(), batch_size, stage)
    model = build_model(workload, spec.config, CPU)
    return TrainingStep(spec, model, DeviceRuntime(CPU), **options)


class Fixed(TinyNet):
    """Gives parts of one batch, in turn."""

    def __init__(self, count):
        super().__init__()
        torch.manual_seed(0)
        self.parts = torch.rand(count, 8, self.width)
        self.calls = 0

    def batch(self, batch_size, config):
        self.calls += 1
        x = self.parts[: batch_size // 8] if batch_size > 8 else self.parts[self.calls - 1]
        return {"x": x.reshape(-1, self.width), "labels": torch.zeros(batch_size).long()}


@pytest.mark.parametrize(
    ("position", "alive"),
    [
        ("before-forward", ["optimizer", "step-end"]),
        ("before-backward", ["forward", "optimizer", "step-end"]),
        ("after-step", ["optimizer"]),
    ],
)
def test_where_gradients_are_released(position, alive):
    seen = {}

    def look(phase):
        seen[phase] = any(parameter.grad is not None for parameter in step.model.parameters())

    step = step_of(TinyNet(), TrainingConfig(zero_grad=position), on_phase=look)
    step()
    step()
    phases = ("forward", "backward", "optimizer", "step-end")
    assert [phase for phase in phases if seen[phase]] == alive


def test_accumulation_gives_the_gradients_of_one_large_batch():
    config = TrainingConfig(optimizer="none")
    torch.manual_seed(1)
    whole = step_of(Fixed(3), config, 24)
    parts = step_of(Fixed(3), dataclasses.replace(config, gradient_accumulation=3), 8)
    parts.model.load_state_dict(whole.model.state_dict())
    whole()
    parts()
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_step_changes_the_weights_and_none_does_not():
    for optimizer, changes in (("adamw", True), ("none", False)):
        step = step_of(TinyNet(), TrainingConfig(optimizer=optimizer))
        before = [parameter.clone() for parameter in step.model.parameters()]
        step()
        same = [torch.equal(a, b) for a, b in zip(before, step.model.parameters(), strict=True)]
        assert same == [not changes] * 4


@pytest.mark.parametrize(
    ("stage", "gradients", "optimizer"),
    [
        (Stage.FORWARD_ONLY, False, False),
        (Stage.FORWARD, False, False),
        (Stage.BACKWARD, True, False),
        (Stage.STEP, True, True),
    ],
)
def test_stages(stage, gradients, optimizer):
    seen = []

    class Watching(TinyNet):
        def forward(self, model, batch):
            loss, outputs = super().forward(model, batch)
            seen.append(loss.requires_grad)
            return loss, outputs

    step = step_of(Watching(), stage=stage)
    step()
    assert seen == [stage is not Stage.FORWARD_ONLY]
    assert [p.grad is not None for p in step.model.parameters()] == [gradients] * 4
    assert (step.optimizer is not None) == optimizer


@pytest.mark.parametrize(
    ("precision", "weights", "output"),
    [
        ("fp32", torch.float32, torch.float32),
        ("amp-bf16", torch.float32, torch.bfloat16),
        ("bf16", torch.bfloat16, torch.bfloat16),
    ],
)
def test_precisions(precision, weights, output):
    class Keeping(TinyNet):
        def forward(self, model, batch):
            outputs = model(batch["x"])
            return functional.cross_entropy(outputs.float(), batch["labels"]), outputs

    step = step_of(Keeping(), TrainingConfig(precision=precision))
    step()
    parameters = list(step.model.parameters())
    assert {p.dtype for p in parameters} == {p.grad.dtype for p in parameters} == {weights}
    assert step.outputs.dtype is output and step.batch["labels"].dtype is torch.long


def test_without_dropout_it_is_eval_mode_with_gradients():
    step = step_of(tiny_bert(), TrainingConfig(dropout=False, seq_len=8))
    step()
    assert not step.model.training
    assert {parameter.grad is not None for parameter in step.model.parameters()} == {True}
    assert step_of(tiny_bert(), TrainingConfig(seq_len=8)).model.training


def test_outputs_live_until_the_next_forward_has_its_own():
    alive = []

    class Watching(TinyNet):
        def forward(self, model, batch):
            alive.append(step.outputs)
            outputs = model(batch["x"])
            return functional.cross_entropy(outputs, batch["labels"]), outputs

    step = step_of(Watching())
    step()
    first = step.outputs
    step()
    assert alive[0] is None and alive[1] is first and step.outputs is not first


def test_phases_in_order():
    phases = []
    step_of(TinyNet(), TrainingConfig(gradient_accumulation=2), on_phase=phases.append)()
    assert phases == ["step", *["forward", "backward"] * 2, "optimizer", "step-end"]


class Watching(TinyNet):
    """Notes what is alive when the model runs, and when the backward pass begins."""

    def __init__(self):
        super().__init__()
        self.made = []
        self.at_forward, self.at_backward = [], []

    def alive(self):
        return [index for index, made in enumerate(self.made) if made() is not None]

    def forward(self, model, batch):
        self.at_forward.append(self.alive())
        outputs = model(batch["x"])
        loss = functional.cross_entropy(outputs, batch["labels"])
        outputs.register_hook(lambda _: self.at_backward.append(self.alive()))
        self.made.append(weakref.ref(outputs))
        return loss, {"logits": outputs}


@pytest.mark.parametrize(
    ("loop", "at_forward", "at_backward"),
    [("plain", [[], [0], [1]], [[0], [1], [2]]), ("trainer", [[], [], []], [[], [], []])],
)
def test_outputs_live_as_long_as_in_the_loop(loop, at_forward, at_backward):
    workload = Watching()
    step = step_of(workload, TrainingConfig(loop=loop))
    for _ in range(3):
        step()
    assert (workload.at_forward, workload.at_backward) == (at_forward, at_backward)


def test_steps_without_an_optimizer_stand_alone():
    workload = Watching()
    step = step_of(workload, TrainingConfig(optimizer="none"))
    for _ in range(2):
        step()
    assert (workload.at_forward, workload.at_backward) == ([[], []], [[0], [1]])


@pytest.mark.parametrize(("loop", "has_graph"), [("plain", True), ("trainer", False)])
def test_the_loss_lives_to_the_next_one(loop, has_graph):
    step = step_of(TinyNet(), TrainingConfig(loop=loop))
    step()
    first = step.loss
    assert first.isfinite() and (first.grad_fn is not None) is has_graph
    step()
    assert step.loss is not first


@pytest.mark.parametrize(("loop", "loaded"), [("plain", [1, 1, 1]), ("trainer", [3, 3, 3])])
def test_batches_of_accumulation_steps(loop, loaded):
    seen = []

    def look(phase):
        if phase == "backward":
            seen.append(len(step.batches))

    config = TrainingConfig(loop=loop, gradient_accumulation=3)
    step = step_of(TinyNet(), config, on_phase=look)
    step()
    assert seen == loaded and step.batch is step.batches[-1]


@pytest.mark.parametrize(
    ("given", "released"),
    [("before-forward", "after-step"), ("before-backward", "before-backward")],
)
def test_the_trainer_releases_gradients_after_the_step(given, released):
    config = TrainingConfig(loop="trainer", zero_grad=given)
    assert config.releases_gradients == released and config.zero_grad == given
    assert TrainingConfig(zero_grad=given).releases_gradients == given


def test_channels_last_reaches_weights_and_images():
    class Convolving(TinyNet):
        def build(self, config):
            return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

        def batch(self, batch_size, config):
            return {"x": torch.rand(batch_size, 3, 8, 8), "labels": torch.zeros(batch_size).long()}

    step = step_of(Convolving(), TrainingConfig(channels_last=True))
    step()
    assert step.batch["x"].is_contiguous(memory_format=torch.channels_last)
    assert step.model[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("precision", ["fp32", "amp-fp16"])
def test_gradients_are_clipped_before_the_update(precision):
    norms = []

    def look(phase):
        if phase == "optimizer":
            step.optimizers[0].register_step_pre_hook(note)

    def note(optimizer, args, kwargs):
        gradients = [p.grad for p in step.model.parameters()]
        norms.append(torch.stack([g.norm() for g in gradients]).norm().item())

    config = TrainingConfig(grad_clip=0.01, precision=precision, optimizer="sgd")
    step = step_of(TinyNet(), config, batch_size=64, on_phase=look)
    step()
    assert norms == [pytest.approx(0.01, rel=1e-3)]


@pytest.mark.parametrize("norm", [None, 0.0])
def test_without_a_norm_gradients_stay_as_they_are(norm, monkeypatch):
    monkeypatch.delattr(nn.utils, "clip_grad_norm_")
    step_of(TinyNet(), TrainingConfig(grad_clip=norm))()


def test_dropped_outputs_are_gone_before_the_backward_pass():
    kept = []

    def look(phase):
        kept.append(step.outputs)

    step = step_of(tiny_bert(), TrainingConfig(seq_len=16, drop_outputs=True), on_phase=look)
    step()
    assert kept and all(outputs is None for outputs in kept)
    assert step.loss.isfinite()
