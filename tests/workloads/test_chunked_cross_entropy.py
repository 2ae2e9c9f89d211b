"""Head and loss in chunks give what the model's own loss gives, or are refused."""

import copy

import pytest
import torch
import transformers
from tiny import TinyNet, tiny_bert, tiny_gpt2, tiny_llama, tiny_resnet, tiny_t5
from torch.nn import functional

from memorymark.errors import InvalidValue
from memorymark.probes.cpu import CpuProbe
from memorymark.records.config import Task, TrainingConfig
from memorymark.workloads import chunked_cross_entropy
from memorymark.workloads.chunked_cross_entropy import LogitsInChunks, compute_in_chunks
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.trial_spec import TrialSpec

SMALL = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 32, "head_dim": 16, "pad_token_id": 0,
}  # fmt: skip
BART = {
    "vocab_size": 100, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}  # fmt: skip


def made(kind, task="causal-lm", **values):
    hf_config = getattr(transformers, f"{kind}Config")(**{**SMALL, **values})
    return HuggingFaceWorkload(f"tiny-{kind}", hf_config, Task(task))


WORKLOADS = {
    "gpt2": lambda: tiny_gpt2(Task.CAUSAL_LM),
    "llama": tiny_llama,
    "gemma2, whose logits are capped": lambda: made("Gemma2", final_logit_softcapping=1.0),
    "cohere, whose logits are scaled": lambda: made("Cohere", logit_scale=0.3),
    "bert": lambda: tiny_bert(Task.MASKED_LM),
    "t5": tiny_t5,
    "bart, whose logits get a bias": lambda: HuggingFaceWorkload(
        "tiny-bart", transformers.BartConfig(**BART), Task.SEQ2SEQ_LM
    ),
}


def with_ignored(workload, config, samples=3):
    batch = workload.batch(samples, config)
    labels = batch["labels"].clone()
    labels[0, :5] = -100
    return {**batch, "labels": labels}


def differs_by(first, second):
    return max(
        (p.grad - q.grad).abs().max() / (p.grad.abs().max() + 1e-6)
        for p, q in zip(first.parameters(), second.parameters(), strict=True)
        if p.grad is not None
    )


@pytest.mark.parametrize("name", WORKLOADS)
def test_loss_and_gradients_are_those_of_the_whole(name, monkeypatch):
    monkeypatch.setattr(chunked_cross_entropy, "TOKENS", 7)
    workload = WORKLOADS[name]()
    config = workload.describe(TrainingConfig(seq_len=10))
    whole = workload.build(config).eval()
    chunked = copy.deepcopy(whole)
    compute_in_chunks(chunked, workload.name)
    batch = with_ignored(workload, config)
    (loss, _), (other, outputs) = (workload.forward(model, batch) for model in (whole, chunked))
    torch.testing.assert_close(other, loss, rtol=1e-5, atol=1e-6)
    loss.backward()
    other.backward()
    assert differs_by(whole, chunked) < 1e-4
    assert outputs.logits is None and outputs["logits"] is None


def test_the_logits_of_a_batch_never_exist(monkeypatch):
    monkeypatch.setattr(chunked_cross_entropy, "TOKENS", 32)
    hf_config = transformers.GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=5_000)
    workload = HuggingFaceWorkload("wide", hf_config, Task.CAUSAL_LM)
    peaks = []
    for chosen in (False, True):
        config = TrainingConfig(seq_len=64, chunked_cross_entropy=chosen, optimizer="none")
        trial = CpuProbe(2**30).run_trial(TrialSpec(workload, config, 8))
        peaks.append(trial.peak_allocated_bytes)
    logits = 8 * 64 * 5_000 * 4
    assert peaks[0] > 2 * logits and peaks[1] < 0.7 * logits


@pytest.mark.parametrize("workload", [tiny_bert(), tiny_resnet()], ids=lambda each: each.name)
def test_a_task_without_a_loss_over_a_vocabulary_is_refused(workload):
    with pytest.raises(InvalidValue, match="no loss over a vocabulary"):
        workload.describe(TrainingConfig(chunked_cross_entropy=True))


def test_own_workloads_are_refused():
    with pytest.raises(InvalidValue, match="'tiny-net' is no language model"):
        CpuProbe(2**30).run_trial(
            TrialSpec(TinyNet(), TrainingConfig(chunked_cross_entropy=True), 2)
        )


class Odd(torch.nn.Module):
    """A language model that does something of its own with its logits."""

    def __init__(self, loss):
        super().__init__()
        self.head, self.loss = torch.nn.Linear(4, 9), loss

    def get_output_embeddings(self):
        return self.head

    def forward(self, hidden, labels):
        logits = self.head(hidden)
        return transformers.modeling_outputs.CausalLMOutput(
            loss=self.loss(logits, labels), logits=logits
        )


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda logits, labels: functional.log_softmax(logits, -1).mean(), "calls log_softmax()"),
        (lambda logits, labels: logits.softmax(-1).sum(), "calls softmax() of its logits"),
        (lambda logits, labels: torch.zeros(()), "does not compute its loss"),
        (lambda logits, labels: (logits + logits.float()).sum(), "logits of several tokens"),
        (lambda logits, labels: logits.view(-1), "shape without the vocabulary"),
        (lambda logits, labels: logits[..., 3:], "a part of the vocabulary"),
        (
            lambda logits, labels: functional.cross_entropy(logits, labels, torch.ones(9)),
            "weighs the losses",
        ),
    ],
)
def test_what_cannot_be_done_in_chunks_is_refused(loss, said):
    model = Odd(loss)
    compute_in_chunks(model, "odd")
    with pytest.raises(
        InvalidValue, match="chunked cross entropy is 'on'; accepted: off"
    ) as caught:
        model(torch.rand(6, 4), torch.zeros(6, dtype=torch.long))
    assert said in str(caught.value)


def test_the_beginning_of_a_padded_vocabulary_can_be_taken():
    def loss(logits, labels):
        assert logits.shape == (6, 9) and logits.size(-1) == 9 and logits.dim() == logits.ndim == 2
        return functional.cross_entropy(logits[..., :5].float(), labels, reduction="sum")

    model = Odd(loss)
    hidden, labels = torch.rand(6, 4), torch.tensor([0, 1, 2, 3, 4, 0])
    expected = model(hidden, labels).loss
    compute_in_chunks(model, "odd")
    torch.testing.assert_close(model(hidden, labels).loss, expected)


def test_what_no_tensor_has_these_have_not_either():
    logits = LogitsInChunks(None, torch.rand(2, 3), 5)
    assert not hasattr(logits, "never_heard_of")
