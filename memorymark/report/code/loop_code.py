"""The training loop, in the order of the step that was simulated."""

from __future__ import annotations

from collections.abc import Iterable

from memorymark.records.config import (
    Attention,
    Loop,
    Optimizer,
    Precision,
    Task,
    TrainingConfig,
    ZeroGrad,
)
from memorymark.report.code.model_code import Library, ModelCode

AUTOCAST_FORMATS = {Precision.AMP_BF16: "torch.bfloat16", Precision.AMP_FP16: "torch.float16"}


def loop_code(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the lines of the loop, with functions of its own where the Trainer's is meant."""
    is_trainer = config.loop is Loop.TRAINER
    head = _trainer_functions(code, config) if is_trainer else []
    body = _trainer_step(config) if is_trainer else _plain_step(code, config)
    loop = ["for step in range(STEPS):", *_indented(body)]
    if config.attention is Attention.FLASH:
        loop = ["with sdpa_kernel(SDPBackend.FLASH_ATTENTION):", *_indented(loop)]
    return [*head, *loop]


def _plain_step(code: ModelCode, config: TrainingConfig) -> list[str]:
    count = config.gradient_accumulation
    forward = [*_forward(code, config)]
    if count > 1:
        forward.append("loss = loss / ACCUMULATION")
    first = _zero_grad(config, ZeroGrad.BEFORE_BACKWARD)
    if count > 1 and first:
        first = ["if index == 0:", *_indented(first)]
    if config.drop_outputs and code.library is not Library.OWN:
        forward.append("del outputs")
    last = ["loss = loss.detach()"] if config.drop_outputs else []
    forward = _in_autocast(forward, config)
    micro = ["batch = make_batch()", *forward, *first, *_backward(config), *last]
    if count > 1:
        index = "index" if first else "_"
        micro = [f"for {index} in range(ACCUMULATION):", *_indented(micro)]
    return [*_zero_grad(config, ZeroGrad.BEFORE_FORWARD), *micro, *_update(config)]


def _trainer_functions(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Outputs end with `compute_loss`, as in transformers' Trainer and in Lightning."""
    first = _zero_grad(config, ZeroGrad.BEFORE_BACKWARD)
    count = config.gradient_accumulation
    if first and count > 1:
        first = ["if index == 0:", *_indented(first)]
    arguments = "batch, index" if first and count > 1 else "batch"
    forward = _in_autocast([*_forward(code, config), *_divided(config)], config)
    return [
        "def compute_loss(batch):", *_indented([*forward, "return loss"]), "", "",
        f"def training_step({arguments}):",
        *_indented(["loss = compute_loss(batch)", *first, *_backward(config)]),
        "    return loss.detach()", "", "",
    ]  # fmt: skip


def _trainer_step(config: TrainingConfig) -> list[str]:
    indexed = config.releases_gradients is ZeroGrad.BEFORE_BACKWARD
    if config.gradient_accumulation == 1:
        micro = ["batch = make_batch()", "loss = training_step(batch)"]
    else:
        each = "for index, batch in enumerate(batches):" if indexed else "for batch in batches:"
        call = "training_step(batch, index)" if indexed else "training_step(batch)"
        micro = [
            "batches = [make_batch() for _ in range(ACCUMULATION)]",
            each,
            f"    loss = {call}",
        ]
    return [*_zero_grad(config, ZeroGrad.BEFORE_FORWARD), *micro, *_update(config)]


def _divided(config: TrainingConfig) -> list[str]:
    return ["loss = loss / ACCUMULATION"] if config.gradient_accumulation > 1 else []


def _forward(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the lines from the batch to the loss."""
    if code.library is Library.OWN:
        return ["loss = compute_own_loss(model, batch)"]
    if code.library is Library.TRANSFORMERS:
        return ["outputs = model(**batch)", "loss = outputs.loss"]
    lines = ['outputs = model(batch["images"])']
    if code.task is Task.SEMANTIC_SEGMENTATION:
        return [*lines, 'loss = functional.cross_entropy(outputs["out"], batch["labels"])']
    heads = _HEADS.get(code.name) if config.dropout else None
    if heads is None:
        return [*lines, 'loss = functional.cross_entropy(outputs, batch["labels"])']
    lines.append('loss = functional.cross_entropy(outputs.logits, batch["labels"])')
    return [
        *lines,
        *(
            f'loss = loss + 0.3 * functional.cross_entropy(outputs.{head}, batch["labels"])'
            for head in heads
        ),
    ]


# The auxiliary classifiers of torchvision's models in training mode.
_HEADS = {"googlenet": ("aux_logits2", "aux_logits1"), "inception_v3": ("aux_logits",)}


def _in_autocast(lines: Iterable[str], config: TrainingConfig) -> list[str]:
    kind = AUTOCAST_FORMATS.get(config.precision)
    if kind is None:
        return [*lines]
    return [f"with torch.autocast(device.type, dtype={kind}):", *_indented(lines)]


def _backward(config: TrainingConfig) -> list[str]:
    return ["scaler.scale(loss).backward()" if _is_scaled(config) else "loss.backward()"]


def _update(config: TrainingConfig) -> list[str]:
    if config.optimizer is Optimizer.NONE:
        gone = ["del outputs, loss"] if config.keeps_outputs else []
        return [*gone, *_zero_grad(config, ZeroGrad.AFTER_STEP)]
    scaled = ["scaler.step(optimizer)", "scaler.update()"]
    step = scaled if _is_scaled(config) else ["optimizer.step()"]
    told = ['print(f"step {step}: loss {loss.item():.4f}")']
    return [*_clipped(config), *step, *_zero_grad(config, ZeroGrad.AFTER_STEP), *told]


def _clipped(config: TrainingConfig) -> list[str]:
    if not config.grad_clip:
        return []
    clip = f"torch.nn.utils.clip_grad_norm_(model.parameters(), {config.grad_clip})"
    return [*(["scaler.unscale_(optimizer)"] if _is_scaled(config) else []), clip]


def _is_scaled(config: TrainingConfig) -> bool:
    return config.precision is Precision.AMP_FP16


def _zero_grad(config: TrainingConfig, position: ZeroGrad) -> list[str]:
    if config.releases_gradients is not position:
        return []
    return ["model.zero_grad()" if config.optimizer is Optimizer.NONE else "optimizer.zero_grad()"]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" if line else line for line in lines]
