"""What benchmarks/measured.py measures: models by size and kind, each trained in several ways.

The models that MemoryMark does not bring are named "benchmark:NAME" and built here from their
configuration, so that a file of results can be scored on a machine that has only this code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from memorymark.errors import UnknownChoice
from memorymark.records.config import Task, TrainingConfig
from memorymark.units import GIB
from memorymark.workloads import Workload, resolve

PREFIX = "benchmark:"


@dataclass(frozen=True)
class Setting:
    """One model, trained in one way, at rising batch sizes.

    Attributes:
        model: The workload's name.
        config: How it is trained.
        batch_sizes: What is measured, the smallest first.
        budget_bytes: The allocator's limit; None for the whole device.
    """

    model: str
    config: TrainingConfig
    batch_sizes: tuple[int, ...]
    budget_bytes: int | None = None


def build_workload(name: str) -> Workload:
    """Return the workload of a name, those of this file included.

    Raises:
        UnknownChoice: There is no such model here.
    """
    if not name.startswith(PREFIX):
        return resolve(name)
    from memorymark.workloads.huggingface import HuggingFaceWorkload

    try:
        make_config, task, num_labels = _MODELS[name.removeprefix(PREFIX)]
    except KeyError:
        raise UnknownChoice("benchmark model", name, [PREFIX + m for m in _MODELS]) from None
    return HuggingFaceWorkload(name, make_config(), task, num_labels)


def benchmark_set() -> list[Setting]:
    """Return all settings, the models taking turns: a run that is cut short has some of each."""
    by_model = [_settings(model, sizes, rows) for model, sizes, rows in _SETTINGS]
    turns = zip_longest(*by_model)
    return [setting for turn in turns for setting in turn if setting is not None] + _budgeted()


def _settings(
    model: str, batch_sizes: tuple[int, ...], rows: Iterable[dict[str, Any]]
) -> Iterator[Setting]:
    return (Setting(model, TrainingConfig(**row), batch_sizes) for row in rows)


def _budgeted() -> list[Setting]:
    """Return settings that end near a limit: does the step run out of memory or not?"""
    bert, resnet = TrainingConfig(), TrainingConfig(optimizer="sgd-momentum")
    return [
        Setting("bert", bert, (24, 32, 40, 48), budget_bytes=4 * GIB),
        Setting("resnet", resnet, (32, 40, 48, 56), budget_bytes=4 * GIB),
    ]


def _vit() -> Any:
    """google/vit-base-patch16-224: the defaults of its class."""
    from transformers import ViTConfig

    return ViTConfig()


def _t5() -> Any:
    """google-t5/t5-base, 223 million parameters."""
    from transformers import T5Config

    return T5Config(
        d_model=768, d_ff=3072, num_layers=12, num_heads=12, d_kv=64, decoder_start_token_id=0
    )


def _llama() -> Any:
    """meta-llama/Llama-3.2-1B by its shape, 1.24 billion parameters."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
        num_attention_heads=32, num_key_value_heads=8, head_dim=64, tie_word_embeddings=True,
        max_position_embeddings=131072,
    )  # fmt: skip


_MODELS: dict[str, tuple[Callable[[], Any], Task, int | None]] = {
    "vit": (_vit, Task.IMAGE_CLASSIFICATION, 1000),
    "t5": (_t5, Task.SEQ2SEQ_LM, None),
    "llama-1b": (_llama, Task.CAUSAL_LM, None),
}

_FUSED = {"optimizer": "adamw", "optimizer_impl": "fused"}
_FOREACH = {"optimizer": "adamw", "optimizer_impl": "foreach"}
_CHECKPOINTED = {"gradient_checkpointing": True}

_SETTINGS: tuple[tuple[str, tuple[int, ...], tuple[dict[str, Any], ...]], ...] = (
    (
        "bert",
        (8, 32, 128),
        (
            {"precision": "fp32", **_FOREACH},
            {"precision": "amp-bf16", **_FUSED},
            {"precision": "tf32", "optimizer": "sgd", "attention": "eager"},
            {"precision": "amp-fp16", **_FOREACH, **_CHECKPOINTED},
            {"precision": "bf16", "optimizer": "none"},
        ),
    ),
    (
        "gpt2",
        (4, 16, 48),
        (
            {"precision": "amp-bf16", **_FOREACH, "task": "causal-lm", "seq_len": 512},
            {"precision": "fp32", "optimizer": "adafactor"},
            {"precision": "bf16", **_FUSED, "attention": "eager", "seq_len": 512},
            {"precision": "tf32", **_FUSED, **_CHECKPOINTED, "seq_len": 512},
        ),
    ),
    (
        "resnet",
        (16, 64, 192),
        (
            {"precision": "fp32", "optimizer": "sgd"},
            {"precision": "amp-fp16", **_FUSED},
            {"precision": "amp-bf16", **_FOREACH, "channels_last": True},
            {"precision": "tf32", **_FOREACH, **_CHECKPOINTED},
        ),
    ),
    (
        "benchmark:vit",
        (8, 32, 128),
        (
            {"precision": "tf32", **_FOREACH},
            {"precision": "amp-bf16", **_FUSED, "attention": "eager"},
            {"precision": "fp32", "optimizer": "none", **_CHECKPOINTED},
            {"precision": "bf16", "optimizer": "sgd"},
        ),
    ),
    (
        "benchmark:t5",
        (4, 16, 64),
        (
            {"precision": "fp32", "optimizer": "adafactor"},
            {"precision": "amp-bf16", **_FOREACH},
            {"precision": "bf16", **_FUSED, **_CHECKPOINTED},
            {"precision": "amp-fp16", "optimizer": "sgd", "attention": "eager"},
        ),
    ),
    (
        "benchmark:llama-1b",
        (1, 4, 8),
        (
            {"precision": "bf16", **_FUSED, "seq_len": 512},
            {"precision": "amp-bf16", **_FOREACH, **_CHECKPOINTED, "seq_len": 512},
            {"precision": "bf16", "optimizer": "adafactor", "attention": "eager", "seq_len": 512},
            {"precision": "tf32", "optimizer": "sgd", "seq_len": 512},
        ),
    ),
)
