"""LoRA trains what peft's users train, of every model that has linear layers."""

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from tiny import TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet
from torch import nn
from torch.nn import functional
from transformers import MambaConfig
from transformers.pytorch_utils import Conv1D

import memorymark
from memorymark.errors import WorkloadError
from memorymark.memory.tracker import MemoryTracker
from memorymark.placement.process_state import clean_state
from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import Task, TrainingConfig
from memorymark.training.runtime import DeviceRuntime
from memorymark.training.tracked import run_tracked_steps
from memorymark.workloads import resolve
from memorymark.workloads.build import build_model, findings_on
from memorymark.workloads.custom import workload_of
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.trial_spec import TrialSpec

CPU, META = torch.device("cpu"), torch.device("meta")


def built(workload, device=META, **options):
    config = workload.describe(TrainingConfig(seq_len=16, lora_rank=4, **options))
    return build_model(workload, config, device)


def trained(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def adapted(model):
    names = (name.partition(".lora_A") for name, _ in model.named_parameters())
    return {before for before, found, _ in names if found}


def test_of_gpt2_every_matrix_is_adapted():
    """Its layers are Conv1D, and a list of nn.Linear alone would train nothing."""
    model = build_model(resolve("gpt2"), TrainingConfig(task="causal-lm", lora_rank=8), META)
    rows = 768 + 2304 + 768 + 768 + 768 + 3072 + 3072 + 768
    assert trained(model) == 12 * 8 * rows == 1_179_648
    assert all(isinstance(model.get_submodule(name).base_layer, Conv1D) for name in adapted(model))
    assert findings_on(model) == (
        "LoRA of rank 8 trains 1,179,648 of 125,619,456 parameters (0.94 %).",
    )


@pytest.mark.parametrize("task", [Task.CAUSAL_LM, Task.SEQUENCE_CLASSIFICATION])
@pytest.mark.parametrize("make", [tiny_gpt2, tiny_bert])
def test_it_is_what_peft_makes(make, task):
    task = Task.MASKED_LM if make is tiny_bert and task is Task.CAUSAL_LM else task
    workload = make(task)
    spec = TrialSpec(workload, TrainingConfig(seq_len=16, lora_rank=4), 3)
    own = build_model(workload, spec.config, CPU)
    plain = build_model(workload, TrainingConfig(seq_len=16), CPU)
    names = {path.rpartition(".")[2] for path, m in plain.named_modules()
             if isinstance(m, nn.Linear | Conv1D)}  # fmt: skip
    names -= {"score", "classifier", "lm_head", "decoder"}
    is_classifier = task is Task.SEQUENCE_CLASSIFICATION
    users = get_peft_model(
        plain,
        LoraConfig(
            r=4, lora_alpha=8, target_modules=sorted(names), fan_in_fan_out=make is tiny_gpt2,
            task_type=TaskType.SEQ_CLS if is_classifier else None,
        ),
    )  # fmt: skip
    expected = {n.removeprefix("base_model.model."): p.shape for n, p in users.named_parameters()
                if p.requires_grad}  # fmt: skip
    found = {name: p.shape for name, p in own.named_parameters() if p.requires_grad}
    assert found == expected
    assert peak_of(spec, own) == peak_of(spec, users.base_model.model)


def peak_of(spec, model):
    tracker = MemoryTracker("cpu")
    run_tracked_steps(spec, model, DeviceRuntime(CPU), tracker, steps=2)
    return tracker.peak_bytes


def test_the_head_of_a_language_model_stays_as_it_is():
    model = built(tiny_llama())
    assert "lm_head" not in adapted(model) and len(adapted(model)) == 2 * 7
    assert not model.lm_head.weight.requires_grad


def test_the_head_of_a_classifier_trains_whole():
    model = built(tiny_bert())
    heads = [p for name, p in model.named_parameters() if name.startswith("classifier")]
    assert [p.requires_grad for p in heads] == [False, False, True, True]
    assert not any(name.startswith("classifier") for name in adapted(model))


def test_adapters_are_in_fp32_beside_weights_of_half_the_bits():
    for device in (CPU, META):
        model = built(tiny_llama(), device, precision="bf16")
        formats = {p.requires_grad: p.dtype for p in model.parameters()}
        assert formats == {False: torch.bfloat16, True: torch.float32}
        assert {p.device.type for p in model.parameters()} == {device.type}


def test_with_checkpointing_the_gradients_reach_the_first_adapters():
    model = built(tiny_llama(), CPU, gradient_checkpointing=True)
    config = TrainingConfig(seq_len=16)
    loss, _ = tiny_llama().forward(model, tiny_llama().batch(2, config))
    loss.backward()
    trained = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(gradient is not None for gradient in trained.values())


def test_a_model_without_linear_layers_is_refused_and_its_layers_are_named():
    """Where nothing can be adapted, what the model has in its place is said."""
    said = (
        r"LoRA would train nothing of 'tiny-resnet': .*Its layers with weights are \d+ Conv2d "
        r"\(resnet\..*\), \d+ BatchNorm2d \(.*\), 1 Linear \(classifier\.1\)\. Leave the LoRA"
    )
    with pytest.raises(WorkloadError, match=said):
        built(tiny_resnet())


def test_layers_of_torch_are_adapted_but_not_inside_its_attention():
    """nn.MultiheadAttention reads the weights of its output layer past the layer."""
    model = built(resolve("torchvision:vit_b_16"))
    assert len(adapted(model)) == 24  # two matrices in each of twelve blocks
    assert not any("out_proj" in name for name in adapted(model))


def test_of_own_models_every_linear_layer_is_adapted():
    model = built(TinyNet())
    assert adapted(model) == {"0", "2"}
    trial = CpuProbe(2**30).run_trial(TrialSpec(TinyNet(), TrainingConfig(lora_rank=2), 4))
    assert trial.fits and trial.gradient_check is None
    assert trial.findings[0].startswith("LoRA of rank 2 trains 1,556 of 69,918 parameters")


def test_a_model_of_the_users_is_given_back_without_adapters():
    live = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    before = {name: id(p) for name, p in live.named_parameters()}

    def factory():
        return live, lambda n: torch.rand(n, 8), lambda model, batch: live(batch).sum()

    with clean_state():
        workload = workload_of("own:factory", factory)
        trial = CpuProbe(2**30).run_trial(TrialSpec(workload, TrainingConfig(lora_rank=2), 4))
    assert trial.fits and "LoRA of rank 2" in trial.findings[0]
    assert {name: id(p) for name, p in live.named_parameters()} == before
    assert all(p.requires_grad and p.grad is None for p in live.parameters())


class ReadsPast(nn.Module):
    """Attention as torchvision's Swin has it: the weights of a layer, not the layer."""

    def __init__(self, own_layers=1):
        super().__init__()
        self.past = nn.Linear(8, 8)
        self.called = nn.ModuleList(nn.Linear(8, 8) for _ in range(own_layers))

    def forward(self, x):
        x = functional.linear(x, self.past.weight, self.past.bias)
        for layer in self.called:
            x = layer(x)
        return x


def reads_past(own_layers):
    return lambda: (
        ReadsPast(own_layers), lambda n: torch.rand(n, 8), lambda model, x: model(x).sum()
    )  # fmt: skip


@pytest.mark.parametrize("optimizer", ["adamw", "none"])
def test_adapters_that_nothing_reads_are_counted_out_measured_and_simulated(optimizer):
    config = TrainingConfig(lora_rank=2, optimizer=optimizer)
    with clean_state():
        spec = TrialSpec(workload_of("own:net", reads_past(2)), config, 4)
        measured = CpuProbe(2**30).run_trial(spec)
    simulated = memorymark.estimate(reads_past(2), config, batch_size=4, gpu="l4")
    for trial in (measured, simulated):
        assert trial.findings[:2] == (
            "LoRA of rank 2 trains 64 of 312 parameters (21 %).",
            "Only 2 of the 3 adapters train. The others get no gradient, such as that of past: the "
            "model reads the weights of these layers past their adapters, or does not use them.",
        )


def test_where_no_adapter_trains_it_is_an_error():
    """A head trains whole beside them, so that the loss has a gradient all the same."""

    class WithHead(ReadsPast):
        def __init__(self):
            super().__init__(own_layers=0)
            self.head = nn.Linear(8, 2)

        def forward(self, x):
            return self.head(super().forward(x))

    def with_head():
        return WithHead(), *reads_past(0)()[1:]

    config = TrainingConfig(lora_rank=2)
    with pytest.raises(WorkloadError, match=r"of 1 adapters, such as that of past, none"):
        memorymark.estimate(with_head, config, batch_size=4, gpu="l4")


@pytest.mark.parametrize("pattern", ["transformer.h.*", "*lora*"])
def test_adapters_that_are_all_frozen_are_an_error(pattern):
    """The head of a classifier would still train, and nobody would see that nothing else does."""
    with pytest.raises(WorkloadError, match=r"LoRA's adapters .* LoRA freezes the weights by"):
        built(tiny_gpt2(), freeze=pattern)


@pytest.mark.usefixtures("home")
def test_of_torchvisions_swin_only_the_layers_beside_attention_train():
    trial = memorymark.estimate(
        "torchvision:swin_t", TrainingConfig(lora_rank=2), batch_size=1, gpu="l4"
    )
    assert trial.findings[1].startswith("Only 27 of the 51 adapters train.")
    assert "attn.qkv" in trial.findings[1]


def test_a_model_that_peft_refuses_is_an_error_in_words():
    """A kernel of Mamba's reads the weights of a layer past its adapter, and peft says so."""
    config = MambaConfig(vocab_size=100, hidden_size=16, state_size=4, num_hidden_layers=1)
    workload = HuggingFaceWorkload("mamba", config)
    with pytest.raises(WorkloadError, match=r"LoRA cannot be put on 'mamba': .*out_proj.* Leave"):
        built(workload)
