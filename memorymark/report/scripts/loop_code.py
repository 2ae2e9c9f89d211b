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
from memorymark.report.scripts.model_code import Library, ModelCode

AUTOCAST_FORMATS = {Precision.AMP_BF16: "torch.bfloat16", Precision.AMP_FP16: "torch.float16"}


def loop_code(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the lines of the loop, after functions in which outputs end early where they do."""
    head = [] if config.keeps_outputs else _compute_loss(code, config)
    if config.loop is Loop.TRAINER:
        head, micro = [*head, *_training_step(config)], _called(config)
    else:
        micro = _plain(code, config)
    body = [
        *_zero_grad(config, ZeroGrad.BEFORE_FORWARD),
        *_accumulated(micro, config),
        *_update(code, config),
    ]
    loop = ["for step in range(STEPS):", *_indented(body)]
    if config.attention is Attention.FLASH:
        loop = ["with sdpa_kernel(SDPBackend.FLASH_ATTENTION):", *_indented(loop)]
    return [*head, *loop]


def _accumulated(micro: list[str], config: TrainingConfig) -> list[str]:
    """Return what is done with each batch of a step, after the line that takes it."""
    batch = "batch = make_batch()"
    if config.gradient_accumulation == 1:
        return [batch, *micro]
    counted = any("index" in line for line in micro)
    if config.loop.loads_ahead:
        each = "for index, batch in enumerate(batches):" if counted else "for batch in batches:"
        loaded = "batches = [make_batch() for _ in range(ACCUMULATION)]"
        return [loaded, each, *_indented(micro)]
    index = "index" if counted else "_"
    return [f"for {index} in range(ACCUMULATION):", *_indented([batch, *micro])]


def _plain(code: ModelCode, config: TrainingConfig) -> list[str]:
    """All in one place: the loss, and the outputs if they are kept, live until the next are there.

    Outputs that are not kept end with `compute_loss`.
    """
    loss = _in_autocast([*_forward(code, config), *_divided(config)], config)
    if not config.keeps_outputs:
        loss = ["loss = compute_loss(batch)"]
    return [*loss, *_released(config), *_backward(config)]


def _compute_loss(code: ModelCode, config: TrainingConfig) -> list[str]:
    forward = [*_forward(code, config), *_divided(config)]
    lines = [*_in_autocast(forward, config), "return loss"]
    return ["def compute_loss(batch):", *_indented(lines), "", ""]


def _training_step(config: TrainingConfig) -> list[str]:
    """Return the function after which a loss has no graph, as in transformers' Trainer."""
    released = _released(config)
    arguments = "batch, index" if any("index" in line for line in released) else "batch"
    return [
        f"def training_step({arguments}):",
        *_indented(["loss = compute_loss(batch)", *released, *_backward(config)]),
        "    return loss.detach()", "", "",
    ]  # fmt: skip


def _called(config: TrainingConfig) -> list[str]:
    index = ", index" if any("index" in line for line in _released(config)) else ""
    return [f"loss = training_step(batch{index})"]


def _released(config: TrainingConfig) -> list[str]:
    """Return what releases the gradients of the step before, between forward and backward pass."""
    lines = _zero_grad(config, ZeroGrad.BEFORE_BACKWARD)
    is_counted = lines and config.gradient_accumulation > 1
    return ["if index == 0:", *_indented(lines)] if is_counted else lines


def _divided(config: TrainingConfig) -> list[str]:
    return ["loss = loss / ACCUMULATION"] if config.gradient_accumulation > 1 else []


def _forward(code: ModelCode, config: TrainingConfig) -> list[str]:
    """Return the lines from the batch to the loss."""
    if code.library is Library.OWN:
        return ["loss = compute_own_loss(model, batch)"]
    if config.chunked_cross_entropy:
        return ["loss, outputs = forward(batch)"]
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


def _update(code: ModelCode, config: TrainingConfig) -> list[str]:
    if config.optimizer is Optimizer.NONE:
        has_outputs = config.keeps_outputs and code.library is not Library.OWN
        kept = "outputs, loss" if has_outputs else "loss"
        gone = [f"del {kept}"] if config.loop is Loop.PLAIN else []
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
