"""A whole script in plain PyTorch: settings, model, optimizer, batches, loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memorymark.records.config import Attention, Optimizer, Precision, Task, TrainingConfig
from memorymark.report.scripts.adapter_code import adapter_lines
from memorymark.report.scripts.batch_code import WEIGHT_FORMATS, batch_code
from memorymark.report.scripts.chunked_code import head_lines, loss_lines
from memorymark.report.scripts.loop_code import loop_code
from memorymark.report.scripts.model_code import Checkpointing, Library, ModelCode, model_code
from memorymark.report.scripts.optimizer_code import optimizer_import, optimizer_line
from memorymark.report.visible import visible

_STEPS = 3
EXPANDABLE = 'os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"'
_CHECKPOINT_BLOCKS = """\
def checkpoint_blocks(module):
    \"\"\"Recompute the activations of repeated blocks in the backward pass.\"\"\"
    blocks = []
    if isinstance(module, (torch.nn.Sequential, torch.nn.ModuleList)) and len(module) > 1:
        blocks = [each for each in module if [*each.children()] and [*each.parameters()]]
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    for child in [] if blocks else module.children():
        checkpoint_blocks(child)"""
_OWN_CHECKPOINTING = 'model.gradient_checkpointing_enable({"use_reentrant": False})'


def plain_script(
    model: str, config: TrainingConfig, batch_size: int, told: Sequence[str] = ()
) -> str:
    """Return the script; what is given is told in `memorymark.report.snippets`."""
    code = model_code(model, config)
    return parts_as_text(
        told,
        environment_of(config),
        imports_of(code, config),
        constants_of(code, config, batch_size),
        [_DEVICE, *switches_of(config)],
        *functions_of(code, config),
        model_lines(code, config),
        _optimizer(config),
        loop=[
            *batch_code(code, config),
            "",
            "",
            *loss_lines(code, config),
            *loop_code(code, config),
            "",
            *_PEAK.splitlines(),
        ],
    )


def parts_as_text(told: Sequence[str], *parts: Sequence[str], loop: Sequence[str]) -> str:
    """Return a script: comments, parts with an empty line between them, functions and loop."""
    comments = [f"# {visible(line)}" for line in told]
    text = "\n\n".join("\n".join(part) for part in (comments, *parts) if part)
    return text + "\n\n\n" + "\n".join(loop) + "\n"


_DEVICE = 'device = torch.device("cuda" if torch.cuda.is_available() else "cpu")'
_PEAK = """\
if device.type == "cuda":
    print(f"peak: {torch.cuda.max_memory_reserved() / 2**30:.2f} GiB reserved")"""


def environment_of(config: TrainingConfig) -> list[str]:
    """Return what is set before torch is imported."""
    if not config.expandable_segments:
        return []
    return ["import os", "", f"{EXPANDABLE}  # before importing torch"]


def imports_of(code: ModelCode, config: TrainingConfig, more: Sequence[str] = ()) -> list[str]:
    """Return the imports: of Python, then of packages; `more` comes from the model's library."""
    blocks = _by_blocks(code, config)
    python = ["from fnmatch import fnmatchcase"] if config.freeze else []
    tools = ["partial"] * blocks + ["reduce"] * config.chunked_cross_entropy
    python += [f"from functools import {', '.join(tools)}"] if tools else []
    own = [", ".join((line, *more)) for line in code.imports]
    packages = ["import torch", *own, optimizer_import(config.optimizer)]
    if code.library in (Library.TORCHVISION, Library.TIMM) or config.chunked_cross_entropy:
        packages.append("from torch.nn import functional")
    if config.attention is Attention.FLASH:
        packages.append("from torch.nn.attention import SDPBackend, sdpa_kernel")
    if config.lora_rank is not None:
        packages.append("from peft import LoraConfig, get_peft_model")
    if blocks or config.chunked_cross_entropy:
        packages.append("from torch.utils.checkpoint import checkpoint")
    packages = sorted(filter(None, packages), key=lambda line: (line.split()[0] == "from", line))
    return [*python, *([""] if python else []), *packages]


def constants_of(code: ModelCode, config: TrainingConfig, batch_size: int) -> list[str]:
    """Return the names of numbers that the script speaks of."""
    named = [f"MODEL = {_quoted(code.name)}"] if code.library is Library.TRANSFORMERS else []
    accumulation = config.gradient_accumulation
    lengths = [f"SEQ_LEN = {config.seq_len}"] if _has_text(code) else []
    counts = [f"ACCUMULATION = {accumulation}"] if accumulation > 1 else []
    counts += ["CHUNK = 1024"] if config.chunked_cross_entropy else []
    patterns = ", ".join(map(_quoted, config.frozen_patterns))
    counts += [f"FROZEN = [{patterns}]"] if config.freeze else []
    return [*named, f"BATCH_SIZE = {batch_size}", *counts, *lengths, f"STEPS = {_STEPS}"]


def _has_text(code: ModelCode) -> bool:
    is_task_of_text = "seq_len" in code.task.lengths or code.task is Task.CONTRASTIVE
    return code.library is Library.TRANSFORMERS and is_task_of_text and code.task is not Task.CTC


def _quoted(text: str) -> str:
    """Return text as Python's, in double quotes where it needs no escapes."""
    is_plain = text.isprintable() and not {'"', "\\"} & {*text}
    return f'"{text}"' if is_plain else repr(text)


def switches_of(config: TrainingConfig, *, with_tf32: bool = True) -> list[str]:
    """Return what is set for the whole process."""
    tf32 = 'torch.set_float32_matmul_precision("high")  # TF32'
    lines = [tf32] if with_tf32 and config.precision is Precision.TF32 else []
    return [*lines, *(["torch.backends.cudnn.benchmark = True"] if config.cudnn_benchmark else [])]


def functions_of(code: ModelCode, config: TrainingConfig) -> Iterable[list[str]]:
    """Yield the functions that the lines of the model call."""
    if _by_blocks(code, config):
        yield ["", *_CHECKPOINT_BLOCKS.splitlines(), ""]


def _by_blocks(code: ModelCode, config: TrainingConfig) -> bool:
    return config.gradient_checkpointing and code.checkpointing is not Checkpointing.OWN


def model_lines(code: ModelCode, config: TrainingConfig, *, placed: bool = True) -> list[str]:
    """Return the lines from the configuration to the model that is ready to train.

    Args:
        code: How it is made.
        config: How it is trained.
        placed: Whether it is brought to the device here.
    """
    # A published checkpoint may be kept in another format; those of the other libraries are not.
    usual = "torch.float32" if code.library is Library.TRANSFORMERS else None
    kind = WEIGHT_FORMATS.get(config.precision, usual)
    where = ", ".join(filter(None, ("device" if placed else None, kind)))
    lines = [*code.build, *([f"model = model.to({where})"] if where else [])]
    if config.channels_last:
        lines.append("model = model.to(memory_format=torch.channels_last)")
    lines += head_lines(code, config)
    if config.gradient_checkpointing:
        lines += _CHECKPOINTING[code.checkpointing]
    if config.lora_rank is not None:
        lines += adapter_lines(
            config.lora_rank,
            has_head=not code.task.is_language_model,
            has_attention=code.library is not Library.TRANSFORMERS
            or "image_size" in code.task.lengths,
        )
    lines += _frozen(config)
    lines.append("model.train()" if config.dropout else "model.eval()  # no dropout")
    return lines


def _frozen(config: TrainingConfig) -> list[str]:
    if not config.freeze:
        return []
    trained = "model.get_base_model()" if config.lora_rank is not None else "model"
    return [
        f"for name, parameter in {trained}.named_parameters(remove_duplicate=False):",
        "    if any(fnmatchcase(name, pattern) for pattern in FROZEN):",
        "        parameter.requires_grad_(False)",
    ]


_CHECKPOINTING = {
    Checkpointing.OWN: [_OWN_CHECKPOINTING],
    Checkpointing.BLOCKS: ["checkpoint_blocks(model)"],
    Checkpointing.EITHER: [
        "if model.supports_gradient_checkpointing:",
        f"    {_OWN_CHECKPOINTING}",
        "else:",
        "    checkpoint_blocks(model)",
    ],
}


def _optimizer(config: TrainingConfig) -> list[str]:
    scaler = ["scaler = torch.amp.GradScaler(device.type)"]
    if config.optimizer is Optimizer.NONE:
        return scaler if config.precision is Precision.AMP_FP16 else []
    is_part = config.lora_rank is not None or config.freeze
    every = "[each for each in model.parameters() if each.requires_grad]"
    parameters = ["parameters = " + every] if is_part else []
    name = "parameters" if is_part else "model.parameters()"
    line = optimizer_line(config.optimizer, config.optimizer_impl, name)
    return [*parameters, line, *(scaler if config.precision is Precision.AMP_FP16 else [])]
