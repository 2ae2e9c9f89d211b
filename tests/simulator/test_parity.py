"""The same step run for real and simulated under the CPU's rules holds the same, to the byte."""

from functools import cache
from itertools import accumulate

import pytest
import torch
from tiny import TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet, tiny_t5

from memorymark.memory.breakdown import breakdown_at, peak_position
from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import Task, TrainingConfig
from memorymark.records.trial import Stage
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.simulate import simulate
from memorymark.units import GIB
from memorymark.workloads import chunked_cross_entropy, resolve
from memorymark.workloads.build import build_model
from memorymark.workloads.trial_spec import TrialSpec

CPU = Rules(Platform.CPU)
WORKLOADS = {
    "bert": tiny_bert,
    "gpt2": tiny_gpt2,
    "gpt2-lm": lambda: tiny_gpt2(Task.CAUSAL_LM),
    "llama": tiny_llama,
    "bert-lm": lambda: tiny_bert(Task.MASKED_LM),
    "t5": tiny_t5,
    "resnet": tiny_resnet,
    "convnet": lambda: resolve("torchvision:squeezenet1_1"),
    "layers": TinyNet,
}


@cache
def workload_of(name):
    return WORKLOADS[name]()


def measured(workload, config, batch_size, stage=Stage.STEP):
    trial = CpuProbe(4 * GIB).run_trial(TrialSpec(workload, config, batch_size, stage=stage))
    assert trial.fits, trial.error
    return trial


def simulated(workload, config, batch_size, stage=Stage.STEP):
    spec = TrialSpec(workload, config, batch_size, stage)
    model = build_model(workload, spec.config, torch.device("meta"))
    return simulate(spec, model, CPU, steps=2).trace


def peak_of(trace):
    return max(accumulate(size for _, size in trace.events))


def assert_same(workload, config, batch_size=3, stage=Stage.STEP):
    trial = measured(workload, config, batch_size, stage)
    trace = simulated(workload, config, batch_size, stage)
    assert peak_of(trace) == trial.peak_allocated_bytes
    return trial, trace


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    "name", [name for name in WORKLOADS if name not in ("layers", "bert-lm", "t5")]
)
def test_peaks_agree(name, optimizer, checkpointing):
    config = TrainingConfig(
        seq_len=16,
        image_size=32,
        num_labels=2,
        optimizer=optimizer,
        gradient_checkpointing=checkpointing,
    )
    assert_same(workload_of(name), config)


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": False},
        {"attention": "eager"},
        {"gradient_accumulation": 2},
        {"zero_grad": "after-step"},
        {"zero_grad": "before-backward"},
        {"optimizer": "adagrad"},
        {"optimizer": "rmsprop"},
        {"optimizer": "adafactor"},
        {"optimizer": "sgd-momentum"},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
def test_settings_agree(changes):
    assert_same(workload_of("bert"), TrainingConfig(seq_len=16, **changes))


CHOSEN = {
    "lora": {"lora_rank": 4},
    "lora-recomputing": {"lora_rank": 4, "gradient_checkpointing": True},
    "lora-amp": {"lora_rank": 4, "precision": "amp-bf16"},
    "frozen": {"freeze": "*0*"},
    "clipped": {"grad_clip": 1.0, "gradient_accumulation": 2},
    "dropped": {"drop_outputs": True, "gradient_accumulation": 2},
}


@pytest.mark.parametrize("chosen", CHOSEN)
@pytest.mark.parametrize("name", ["bert", "gpt2", "gpt2-lm", "llama"])
def test_chosen_parts_of_a_training_agree(name, chosen):
    assert_same(workload_of(name), TrainingConfig(seq_len=16, **CHOSEN[chosen]))


def test_adapters_in_fp32_beside_weights_in_bf16_agree():
    assert_same(workload_of("llama"), TrainingConfig(seq_len=16, lora_rank=4, precision="bf16"))


@pytest.mark.parametrize("more", [{}, {"precision": "amp-bf16"}, {"lora_rank": 4}], ids=str)
@pytest.mark.parametrize("name", ["gpt2-lm", "llama", "bert-lm", "t5"])
def test_cross_entropy_in_chunks_agrees(name, more, monkeypatch):
    monkeypatch.setattr(chunked_cross_entropy, "TOKENS", 20)
    config = TrainingConfig(seq_len=16, chunked_cross_entropy=True, **more)
    assert_same(workload_of(name), config)


@pytest.mark.parametrize("stage", list(Stage))
def test_stages_agree(stage):
    assert_same(workload_of("layers"), TrainingConfig(), batch_size=64, stage=stage)


def test_breakdowns_agree():
    trial, trace = assert_same(workload_of("bert"), TrainingConfig(seq_len=16), 8)
    parts, *_ = breakdown_at(trace, peak_position(trace))
    assert parts == trial.breakdown


def test_the_published_bert_agrees():
    assert_same(resolve("bert"), TrainingConfig(seq_len=8, optimizer="sgd"), batch_size=1)


def test_a_step_holds_more_without_checkpointing():
    plain, recomputing = (
        peak_of(simulated(workload_of("bert"), config, 64))
        for config in (
            TrainingConfig(seq_len=64),
            TrainingConfig(seq_len=64, gradient_checkpointing=True),
        )
    )
    assert recomputing < 0.7 * plain


class MixedNet(TinyNet):
    """The user's own autocast around norm, softmax and a loss, which the CPU casts its own way."""

    def build(self, config):
        width = self.width
        return torch.nn.Sequential(
            torch.nn.Linear(width, width), torch.nn.LayerNorm(width), torch.nn.Softmax(-1),
            torch.nn.Linear(width, 10),
        )  # fmt: skip

    def loss(self, model, batch):
        with torch.autocast(batch["x"].device.type, dtype=torch.bfloat16):
            return super().loss(model, batch)


def test_own_autocast_agrees():
    assert_same(MixedNet(), TrainingConfig(optimizer="sgd"), batch_size=512)


class PackedNet(TinyNet):
    """A recurrent layer over samples of their own lengths."""

    def __init__(self, kind, **options):
        super().__init__(width=32)
        self.kind, self.options = kind, options

    def build(self, config):
        made = getattr(torch.nn, self.kind)(32, 64, batch_first=True, **self.options)
        return torch.nn.ModuleDict({"rnn": made})

    def batch(self, batch_size, config):
        return {
            "x": torch.rand(batch_size, 20, 32),
            "lengths": torch.tensor([20 - 3 * (i % 5) for i in range(batch_size)]),
        }

    def loss(self, model, batch):
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            batch["x"], batch["lengths"].cpu(), batch_first=True, enforce_sorted=False
        )
        output, _ = model["rnn"](packed)
        return torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True)[0].mean()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LSTM", {"bidirectional": True}),
        ("LSTM", {"num_layers": 2, "dropout": 0.1}),
        ("GRU", {"bidirectional": True}),
        ("RNN", {"bias": False}),
    ],
)
def test_packed_sequences_agree(kind, options):
    config, workload = TrainingConfig(optimizer="sgd"), PackedNet(kind, **options)
    measured_bytes = measured(workload, config, 64).peak_allocated_bytes
    assert peak_of(simulated(workload, config, 64)) == pytest.approx(measured_bytes, rel=0.001)
