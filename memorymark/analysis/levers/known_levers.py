"""The levers that are known: what each changes, what theory says of it, and what it may cost.

A lever is one entry of `LEVERS`. Its theory says what the change does to the memory and the time of
a step at the same batch; tests hold the simulation to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memorymark.analysis.levers.lever_kinds import Changes, Effect, KnownLever, Theory
from memorymark.records.config import (
    Attention,
    Optimizer,
    OptimizerImpl,
    Precision,
    TrainingConfig,
    UseCache,
)

SMALLEST = {"seq_len": 16, "image_size": 64, "audio_seconds": 1}
_FULL = (Precision.FP32, Precision.TF32)
_HALF = (Precision.BF16, Precision.FP16)
_STATEFUL = (
    Optimizer.SGD_MOMENTUM, Optimizer.ADAM, Optimizer.ADAMW, Optimizer.RMSPROP, Optimizer.ADAGRAD,
)  # fmt: skip
_ADAMS = (Optimizer.ADAM, Optimizer.ADAMW)
_FUSED = (*_ADAMS, Optimizer.SGD, Optimizer.SGD_MOMENTUM, Optimizer.ADAGRAD)
LORA_RANK = 16
_EMBEDDINGS = ("*embed*", "*wte*,*wpe*", "*shared*")  # as models name them


def _set(when: Callable[[TrainingConfig], bool] = lambda _: True, **changes: Any) -> Any:
    """Return the changes where a training satisfies a condition."""
    return lambda config, _: changes if when(config) else None


def _half(name: str) -> Any:
    def change(config: TrainingConfig, _: int) -> Changes | None:
        half = (getattr(config, name) or 0) // 2
        return {name: half} if name in lengths(config) and half >= SMALLEST[name] else None

    return change


def _accumulated(config: TrainingConfig, batch_size: int) -> Changes | None:
    """Halve the batch of a forward pass and take twice as many of them for a step."""
    if batch_size % 2:
        return None
    twice = config.gradient_accumulation * 2
    return {"batch_size": batch_size // 2, "gradient_accumulation": twice}


def lengths(config: TrainingConfig) -> tuple[str, ...]:
    """Return the fields that say how long or large a sample of a training is."""
    return config.task.lengths if config.task else ("seq_len",)


def _reads_text(config: TrainingConfig) -> bool:
    return "seq_len" in lengths(config)


def _reads_images(config: TrainingConfig) -> bool:
    return "image_size" in lengths(config)


LEVERS = (
    KnownLever(
        "tf32", "TF32 matrix products", "precision",
        _set(lambda c: c.precision is Precision.FP32, precision="tf32"),
        Theory.SAME, Theory.NOT_UP, Effect.ROUNDING,
        "Matrix products read 10 bits of the mantissa instead of 23; trainings are rarely touched "
        "(PyTorch, CUDA semantics: TensorFloat-32).",
    ),
    KnownLever(
        "amp-bf16", "Mixed precision (amp-bf16)", "precision",
        _set(lambda c: c.precision in _FULL, precision="amp-bf16"),
        Theory.EITHER, Theory.DOWN, Effect.ROUNDING,
        "Weights and optimizer stay in fp32; accuracy is usually kept without loss scaling "
        "(Kalamkar et al. 2019, A Study of BFLOAT16 for Deep Learning Training).",
    ),
    KnownLever(
        "amp-fp16", "Mixed precision (amp-fp16)", "precision",
        _set(lambda c: c.precision in _FULL, precision="amp-fp16"),
        Theory.EITHER, Theory.DOWN, Effect.ROUNDING,
        "Weights stay in fp32; small gradients vanish without loss scaling (Micikevicius et al. "
        "2018, Mixed Precision Training).",
    ),
    KnownLever(
        "bf16", "Weights and states in bf16", "precision",
        _set(lambda c: c.precision not in _HALF, precision="bf16"),
        Theory.DOWN, Theory.DOWN, Effect.LEARNING,
        "Updates smaller than 1/256 of a weight are rounded away, which can cost accuracy (Zamirai "
        "et al. 2020, Revisiting BFloat16 Training).",
    ),
    KnownLever(
        "gradient-checkpointing", "Gradient checkpointing", "checkpointing",
        _set(gradient_checkpointing=True),
        Theory.NOT_UP, Theory.UP, Effect.NONE,
        "The same gradients: activations are computed once more in the backward pass (Chen et al. "
        "2016, Training Deep Nets with Sublinear Memory Cost).",
    ),
    KnownLever(
        "sdpa", "Fused attention (SDPA)", "attention",
        _set(lambda c: c.attention is Attention.EAGER, attention="sdpa"),
        Theory.NOT_UP, Theory.NOT_UP, Effect.ROUNDING,
        "The same attention without its matrix of scores; its backward pass may differ from run to "
        "run (PyTorch, scaled_dot_product_attention).",
    ),
    KnownLever(
        "flash", "FlashAttention", "attention",
        _set(lambda c: c.precision not in _FULL and _reads_text(c), attention="flash"),
        Theory.NOT_UP, Theory.NOT_UP, Effect.ROUNDING,
        "Exact attention; its backward pass adds up in an order that differs from run to run (Dao "
        "et al. 2022, FlashAttention).",
    ),
    KnownLever(
        "fused", "Fused optimizer", "optimizer implementation",
        _set(lambda c: c.optimizer in _FUSED and c.optimizer_impl is not OptimizerImpl.FUSED,
             optimizer_impl="fused"),
        Theory.NOT_UP, Theory.NOT_UP, Effect.ROUNDING,
        "The same update in one kernel, without the temporaries of foreach (PyTorch, torch.optim: "
        "foreach and fused implementations).",
    ),
    KnownLever(
        "adamw-8bit", "8-bit AdamW", "optimizer",
        _set(lambda c: c.optimizer in _ADAMS, optimizer="adamw-8bit", optimizer_impl="default"),
        Theory.NOT_UP, Theory.EITHER, Effect.LEARNING,
        "States in blocks of 8 bits; tasks that were tried kept their accuracy (Dettmers et al. "
        "2022, 8-bit Optimizers via Block-wise Quantization).",
    ),
    KnownLever(
        "adafactor", "Adafactor", "optimizer",
        _set(lambda c: c.optimizer in _STATEFUL, optimizer="adafactor", optimizer_impl="default"),
        Theory.NOT_UP, Theory.EITHER, Effect.LEARNING,
        "Second moments by row and column, no first moment: another optimizer, with another "
        "learning rate (Shazeer and Stern 2018, Adafactor).",
    ),
    KnownLever(
        "sgd", "SGD without momentum", "optimizer",
        _set(lambda c: c.optimizer in (*_STATEFUL, Optimizer.ADAMW_8BIT, Optimizer.ADAFACTOR),
             optimizer="sgd", optimizer_impl="default"),
        Theory.NOT_UP, Theory.NOT_UP, Effect.LEARNING,
        "No states at all; transformers train markedly worse with it (Zhang et al. 2020, Why are "
        "Adaptive Methods Good for Attention Models?).",
    ),
    KnownLever(
        "use-cache-off", "No generation cache", "cache",
        _set(lambda c: _reads_text(c) and c.use_cache is not UseCache.OFF
             and not c.gradient_checkpointing, use_cache="off"),
        Theory.NOT_UP, Theory.NOT_UP, Effect.NONE,
        "The same training: keys and values are kept for generation only (transformers, "
        "Trainer sets use_cache to false).",
    ),
    KnownLever(
        "drop-outputs", "Outputs dropped before the next step", "outputs",
        _set(lambda c: c.keeps_outputs, drop_outputs=True),
        Theory.NOT_UP, Theory.SAME, Effect.NONE,
        "The same training: outputs and loss end with their step, not with the next one's "
        "(PyTorch, FAQ: my model reports out of memory).",
    ),
    KnownLever(
        "zero-grad-before-backward", "Gradients released before the backward pass", "gradients",
        _set(zero_grad="before-backward"),
        Theory.EITHER, Theory.SAME, Effect.NONE,
        "The same training (PyTorch, Optimizer.zero_grad).",
    ),
    KnownLever(
        "zero-grad-after-step", "Gradients released after the step", "gradients",
        _set(zero_grad="after-step"),
        Theory.NOT_UP, Theory.SAME, Effect.NONE,
        "The same training; gradients cannot be read after the step (PyTorch, "
        "Optimizer.zero_grad).",
    ),
    KnownLever(
        "accumulation", "Half the batch, twice accumulated", "accumulation",
        _accumulated, Theory.NOT_UP, Theory.NOT_DOWN, Effect.ROUNDING,
        "The same effective batch; batch norm sees smaller batches, and mean losses of unequal "
        "lengths weigh differently (Ioffe and Szegedy 2015, Batch Normalization).",
    ),
    KnownLever(
        "channels-last", "Channels last", "memory format",
        _set(_reads_images, channels_last=True),
        Theory.EITHER, Theory.EITHER, Effect.ROUNDING,
        "The same operations in another order of memory (PyTorch, Channels Last Memory Format).",
    ),
    KnownLever(
        "lora", f"LoRA of rank {LORA_RANK}", "trained weights",
        _set(lambda c: c.lora_rank is None, lora_rank=LORA_RANK),
        Theory.DOWN, Theory.EITHER, Effect.LEARNING,
        "Only low-rank updates are trained: enough for many fine-tunings, behind full training on "
        "hard ones (Hu et al. 2021, LoRA; Biderman et al. 2024, LoRA Learns Less and Forgets "
        "Less).",
    ),
    *(
        KnownLever(
            f"freeze-embeddings {names}", "Frozen embeddings", "frozen weights",
            _set(lambda c: _reads_text(c) and not c.freeze and not c.lora_rank, freeze=names),
            Theory.NOT_UP, Theory.NOT_UP, Effect.LEARNING,
            "The table of tokens is not trained; fine-tuning often loses little (Lee et al. 2019, "
            "What Would Elsa Do? Freezing Layers During Transformer Fine-Tuning).",
        )
        for names in _EMBEDDINGS
    ),
    KnownLever(
        "chunked-cross-entropy", "Cross entropy in chunks", "loss",
        _set(lambda c: c.task is not None and c.task.is_language_model,
             chunked_cross_entropy=True),
        Theory.NOT_UP, Theory.UP, Effect.ROUNDING,
        "The same loss, computed for some tokens at a time, and once more in the backward pass "
        "(Wijmans et al. 2024, Cut Your Losses in Large-Vocabulary Language Models).",
    ),
    KnownLever(
        "expandable-segments", "Expandable segments", "allocator",
        _set(expandable_segments=True),
        Theory.EITHER, Theory.SAME, Effect.NONE,
        "The same training: the allocator grows its segments instead of leaving gaps (PyTorch, "
        "CUDA semantics: PYTORCH_ALLOC_CONF).",
    ),
    KnownLever(
        "half-seq-len", "Shorter sequences (half as long)", "sequence length",
        _half("seq_len"), Theory.NOT_UP, Theory.DOWN, Effect.SAMPLES,
        "Texts are cut: what lies further apart is not learned (Beltagy et al. 2020, Longformer).",
    ),
    KnownLever(
        "half-image-size", "Smaller images (half the side)", "image size",
        _half("image_size"), Theory.NOT_UP, Theory.DOWN, Effect.SAMPLES,
        "A quarter of the pixels: small objects are lost (Touvron et al. 2019, Fixing the "
        "train-test resolution discrepancy).",
    ),
    KnownLever(
        "half-audio", "Shorter audio (half as long)", "audio length",
        _half("audio_seconds"), Theory.NOT_UP, Theory.DOWN, Effect.SAMPLES,
        "Recordings are cut; transcriptions have to be cut with them.",
    ),
)  # fmt: skip
"""All levers, in the order in which they are tried."""

BY_KEY = {lever.key: lever for lever in LEVERS}
