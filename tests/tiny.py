"""Workloads that train in milliseconds: a small BERT, and a network of two layers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from memorymark.records.config import Task
from memorymark.workloads.base import Workload


def tiny_bert(task: Task = Task.SEQUENCE_CLASSIFICATION) -> Workload:
    from transformers import BertConfig

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    config = BertConfig(
        vocab_size=500, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-bert", config, task, 2)


def tiny_gpt2(task: Task = Task.SEQUENCE_CLASSIFICATION) -> Workload:
    from transformers import GPT2Config

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    config = GPT2Config(
        vocab_size=500, n_embd=32, n_layer=2, n_head=2, n_positions=64,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-gpt2", config, task, 2)


def tiny_llama() -> Workload:
    """Four heads of queries share two of keys."""
    from transformers import LlamaConfig

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    config = LlamaConfig(
        vocab_size=500, hidden_size=64, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-llama", config, Task.CAUSAL_LM)


def tiny_t5() -> Workload:
    """The result of the decoder is scaled before its head, which is the table of embeddings."""
    from transformers import T5Config

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    config = T5Config(
        vocab_size=500, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    return HuggingFaceWorkload("tiny-t5", config, Task.SEQ2SEQ_LM)


def tiny_resnet() -> Workload:
    from transformers import ResNetConfig

    from memorymark.workloads.huggingface import HuggingFaceWorkload

    config = ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[2, 2])
    return HuggingFaceWorkload("tiny-resnet", config, Task.IMAGE_CLASSIFICATION, 10)


class TinyNet(Workload):
    """Two linear layers; what happens in the loss can be replaced.

    Args:
        width: Features of each layer: a sample holds some kilobytes for a width of 256.
    """

    name = "tiny-net"

    def __init__(self, width: int = 256) -> None:
        self.width = width
        self.built = 0

    def build(self, config):
        self.built += 1
        width = self.width
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))

    def batch(self, batch_size, config):
        return {
            "x": torch.rand(batch_size, self.width),
            "labels": torch.randint(10, (batch_size,)),
        }

    def forward(self, model, batch):
        return self.loss(model, batch), None

    def loss(self, model, batch):
        return functional.cross_entropy(model(batch["x"]), batch["labels"])


class Raising(TinyNet):
    """Raises in the loss, from a given call on."""

    def __init__(self, error: BaseException, at: int = 1) -> None:
        super().__init__()
        self.error = error
        self.at = at
        self.calls = 0

    def loss(self, model, batch):
        self.calls += 1
        if self.calls >= self.at:
            raise self.error
        return super().loss(model, batch)


class Leaking(TinyNet):
    """Keeps tensors of every batch beyond its trial."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self.size_bytes = size_bytes
        self.kept: list[torch.Tensor] = []

    def loss(self, model, batch):
        like = batch["x"]
        self.kept.append(like.new_zeros(self.size_bytes, dtype=torch.uint8))
        return super().loss(model, batch)


class Recurrent(TinyNet):
    """A recurrent layer over short sequences.

    Args:
        kind: nn.LSTM, nn.GRU or nn.RNN.
        packed: Whether sequences of several lengths are packed.
        options: Of the layer.
    """

    name = "recurrent"

    def __init__(self, kind: type[nn.RNNBase], packed: bool = False, **options) -> None:
        super().__init__(8)
        self.kind = kind
        self.packed = packed
        self.options = options

    def build(self, config):
        return nn.ModuleDict({"layer": self.kind(self.width, 12, **self.options)})

    def batch(self, batch_size, config):
        return torch.rand(9, batch_size, self.width)

    def loss(self, model, batch):
        if self.packed:
            lengths = [1 + index % len(batch) for index in range(batch.size(1))]
            batch = nn.utils.rnn.pack_padded_sequence(batch, lengths, enforce_sorted=False)
        output = model["layer"](batch)[0]
        return (output.data if self.packed else output).logsumexp(-1).mean()
