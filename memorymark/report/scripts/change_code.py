"""The lines of code that make one change of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memorymark.records.config import Optimizer, OptimizerImpl, Precision
from memorymark.report.scripts.adapter_code import adapter_lines
from memorymark.report.scripts.optimizer_code import optimizer_import, optimizer_line

_AUTOCAST = """\
with torch.autocast("cuda", dtype=torch.bfloat16):
    loss = model(**batch).loss
loss.backward()"""
_SCALED = """\
scaler = torch.amp.GradScaler("cuda")
with torch.autocast("cuda", dtype=torch.float16):
    loss = model(**batch).loss
scaler.scale(loss).backward()
scaler.step(optimizer)
scaler.update()"""
_PRECISIONS = {
    Precision.FP32: "model = model.to(torch.float32)",
    Precision.TF32: 'torch.set_float32_matmul_precision("high")',
    Precision.AMP_BF16: _AUTOCAST,
    Precision.AMP_FP16: _SCALED,
    Precision.BF16: "model = model.to(torch.bfloat16)  # and images and audio of each batch",
    Precision.FP16: "model = model.to(torch.float16)  # and images and audio of each batch",
}
_ATTENTION = {
    "sdpa": 'model.set_attn_implementation("sdpa")',
    "eager": 'model.set_attn_implementation("eager")',
    "flash": """\
from torch.nn.attention import SDPBackend, sdpa_kernel
with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
    loss = model(**batch).loss
    loss.backward()""",
}
_DROPPED = """\
loss = model(**batch).loss  # no name holds the outputs
loss.backward()"""
_CHUNKED = """\
head = model.get_output_embeddings()
project, head.forward = head.forward, lambda hidden: hidden  # the loss runs the head

def loss_of_chunk(hidden, labels):
    logits = project(hidden).float()
    return functional.cross_entropy(logits, labels, reduction="sum")

# of a causal language model; what it does to its logits after the head belongs into the loss too
# tokens in chunks, each recomputed in the backward pass
labels = functional.pad(labels, (0, 1), value=-100)[:, 1:].contiguous()
hidden = model(**inputs).logits.flatten(0, 1)
chunks = zip(hidden.split(1024), labels.flatten().split(1024))
loss = sum(checkpoint(loss_of_chunk, *each, use_reentrant=False) for each in chunks)
loss = loss / (labels != -100).sum()"""
_EXPANDABLE = """\
import os
os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"  # before importing torch"""
_ZERO_GRAD = {
    "before-forward": """\
optimizer.zero_grad()
loss = model(**batch).loss
loss.backward()""",
    "before-backward": """\
loss = model(**batch).loss
optimizer.zero_grad()
loss.backward()""",
    "after-step": """\
optimizer.step()
optimizer.zero_grad()""",
}

_IN_THE_LOOP = (
    "gradient_accumulation", "drop_outputs", "chunked_cross_entropy", "zero_grad", "grad_clip",
)  # fmt: skip


def lines_of_change(change: Mapping[str, Any]) -> str:
    """Return the lines for fields of TrainingConfig and `batch_size`, in the order of a script."""
    given = {name: value for name, value in change.items() if value is not None}
    if "optimizer" in given or "optimizer_impl" in given:
        given = {**given, "optimizer": _optimizer(given)}
        given.pop("optimizer_impl", None)
    ordered = sorted(given, key=lambda name: _is_of_the_loop(name, given[name]))
    return "\n".join(_CODE.get(name, _setting(name))(given[name]) for name in ordered)


def _is_of_the_loop(name: str, value: Any) -> bool:
    """Whether a change stands in the loop, after all that is made before it."""
    return name in _IN_THE_LOOP or (name == "precision" and Precision(value).is_amp)


def _optimizer(given: Mapping[str, Any]) -> str:
    optimizer = Optimizer(given.get("optimizer", Optimizer.ADAMW))
    line = optimizer_line(optimizer, OptimizerImpl(given.get("optimizer_impl", "default")))
    return "\n".join(filter(None, (optimizer_import(optimizer), line)))


def _setting(name: str) -> Callable[[Any], str]:
    return lambda value: (
        f"{name} = {value!r}" if not isinstance(value, str) else f"{name} = {value}"
    )


def _switch(on: str, off: str) -> Callable[[Any], str]:
    return lambda value: on if value else off


def _accumulation(steps: int) -> str:
    if steps == 1:
        return "loss = model(**batch).loss\nloss.backward()\noptimizer.step()"
    return f"""\
for batch in micro_batches:  # {steps} of them
    loss = model(**batch).loss / {steps}
    loss.backward()
optimizer.step()
optimizer.zero_grad()"""


def _lora(rank: int) -> str:
    return "\n".join(["from peft import LoraConfig, get_peft_model", *adapter_lines(rank)])


def _freeze(patterns: str) -> str:
    wanted = tuple(part.strip() for part in patterns.split(",") if part.strip())
    return f"""\
from fnmatch import fnmatch
for name, parameter in model.named_parameters():
    if any(fnmatch(name, pattern) for pattern in {wanted!r}):
        parameter.requires_grad_(False)"""


def _clip(norm: float) -> str:
    return f"torch.nn.utils.clip_grad_norm_(model.parameters(), {norm})  # before optimizer.step()"


_CODE: dict[str, Callable[[Any], str]] = {
    "precision": lambda value: _PRECISIONS[Precision(value)],
    "attention": lambda value: _ATTENTION[str(value)],
    "optimizer": str,
    "zero_grad": lambda value: _ZERO_GRAD[str(value)],
    "gradient_checkpointing": _switch(
        'model.gradient_checkpointing_enable({"use_reentrant": False})',
        "model.gradient_checkpointing_disable()",
    ),
    "gradient_accumulation": _accumulation,
    "use_cache": lambda value: f"model.config.use_cache = {str(value) == 'on'}",
    "channels_last": _switch(
        "model = model.to(memory_format=torch.channels_last)\n"
        "images = images.to(memory_format=torch.channels_last)",
        "model = model.to(memory_format=torch.contiguous_format)",
    ),
    "dropout": _switch("model.train()", "model.eval()  # no dropout; gradients as before"),
    "lora_rank": _lora,
    "freeze": _freeze,
    "grad_clip": _clip,
    "drop_outputs": _switch(_DROPPED, "outputs = model(**batch)\nloss = outputs.loss"),
    "chunked_cross_entropy": _switch(_CHUNKED, "loss = model(**batch).loss"),
    "expandable_segments": _switch(_EXPANDABLE, ""),
    "cudnn_benchmark": lambda value: f"torch.backends.cudnn.benchmark = {bool(value)}",
}
