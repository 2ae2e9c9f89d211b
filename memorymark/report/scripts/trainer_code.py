"""A script with transformers' Trainer: TrainingArguments, and lines for what has no argument."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from memorymark.errors import UsageError, quoted
from memorymark.records.config import (
    Attention,
    Optimizer,
    OptimizerImpl,
    Precision,
    TrainingConfig,
    UseCache,
    ZeroGrad,
)
from memorymark.report.scripts.batch_code import WEIGHT_FORMATS, batch_code
from memorymark.report.scripts.model_code import model_code
from memorymark.report.scripts.optimizer_code import optimizer_line
from memorymark.report.scripts.script import (
    EXPANDABLE,
    constants_of,
    environment_of,
    functions_of,
    imports_of,
    model_lines,
    parts_as_text,
    switches_of,
)
from memorymark.report.visible import visible
from memorymark.workloads.naming import CODE, VISION_LIBRARIES, form_of

_OPTIMIZERS = {
    Optimizer.SGD: "sgd",
    Optimizer.SGD_MOMENTUM: "sgd",
    Optimizer.ADAMW: "adamw_torch",
    Optimizer.RMSPROP: "rmsprop",
    Optimizer.ADAGRAD: "adagrad",
    Optimizer.ADAMW_8BIT: "adamw_bnb_8bit",
}
_DATASET = """\
class Samples(torch.utils.data.Dataset):
    \"\"\"Random samples in the shapes of the training; put your data set here.\"\"\"

    def __len__(self):
        return BATCH_SIZE * {each}STEPS

    def __getitem__(self, index):
        return {{name: value[0] for name, value in make_batch().items()}}"""
_OF_SCRIPT = (
    "max_steps=STEPS,",
    "use_cpu=not torch.cuda.is_available(),",
)
_DEVICE = 'device = torch.device("cpu")  # of the samples: the Trainer moves each batch'


def trainer_script(
    model: str, config: TrainingConfig, batch_size: int, told: Sequence[str] = ()
) -> str:
    """Return the script; what is given is told in `memorymark.report.snippets`.

    Raises:
        UsageError: The Trainer has no loss for such a model, or no update without an optimizer.
    """
    check_trainer(model)
    code = model_code(model, config)
    one = [line.replace("BATCH_SIZE", "1") for line in batch_code(code, config)]
    each = "ACCUMULATION * " if config.gradient_accumulation > 1 else ""
    loop = [
        *one, "", "", *_DATASET.format(each=each).splitlines(), "", "",
        *arguments_code(config, "BATCH_SIZE", _OF_SCRIPT), "",
        *_trainer(config), *_trained(config),
    ]  # fmt: skip
    return parts_as_text(
        told,
        environment_of(config),
        imports_of(code, config, ["Trainer", "TrainingArguments"]),
        constants_of(code, config, batch_size),
        [_DEVICE, *switches_of(config, with_tf32=False)],
        *functions_of(code, config),
        model_lines(code, _without_own_arguments(config), placed=False),
        loop=loop,
    )


def check_trainer(model: str) -> None:
    """Check that transformers' Trainer takes a model, by its name.

    Raises:
        UsageError: It does not.
    """
    form, _ = form_of(model)
    if form in (CODE, *VISION_LIBRARIES):
        raise UsageError(
            f"The Trainer takes models that return their loss, as those of transformers do, and "
            f"{quoted(model)} is none. Take the script in plain PyTorch."
        )


def arguments_code(config: TrainingConfig, batch_size: str, more: Sequence[str] = ()) -> list[str]:
    """Return the lines that make the TrainingArguments, after what they cannot say."""
    return [
        *(f"# {line}" for line in _unsaid(config)),
        "arguments = TrainingArguments(",
        *(f"    {line}" for line in [*_arguments(config, batch_size), *more]),
        ")",
    ]


def code_beside(config: TrainingConfig) -> list[str]:
    """Return as comments the lines that do what has no argument."""
    is_own_optimizer = config.optimizer is not Optimizer.NONE and _needs_own_optimizer(config)
    kind = WEIGHT_FORMATS.get(config.precision)
    lines = {
        f"{EXPANDABLE}  # before importing torch": config.expandable_segments,
        f"model = model.to({kind})": kind is not None,
        "model = model.to(memory_format=torch.channels_last)": config.channels_last,
        "torch.backends.cudnn.benchmark = True": config.cudnn_benchmark,
        'AutoModel.from_config(config, attn_implementation="eager")': (
            config.attention is Attention.EAGER
        ),
        "with sdpa_kernel(SDPBackend.FLASH_ATTENTION): trainer.train()": (
            config.attention is Attention.FLASH
        ),
        f"model = get_peft_model(model, LoraConfig(r={config.lora_rank}))": (
            config.lora_rank is not None
        ),
        f"parameter.requires_grad_(False)  # of {visible(config.freeze)}": bool(config.freeze),
        optimizer_line(config.optimizer, config.optimizer_impl): is_own_optimizer,
        "trainer = Trainer(model, arguments, optimizers=(optimizer, None))": is_own_optimizer,
    }
    found = [line for line, holds in lines.items() if holds]
    return [f"# {line}" for line in (["What has no argument:", *found] if found else [])]


def _unsaid(config: TrainingConfig) -> Iterator[str]:
    """Yield what the Trainer does in its own way."""
    if not config.dropout:
        yield "The Trainer calls model.train(): without dropout, set the configuration's to 0.0."
    if config.releases_gradients is ZeroGrad.BEFORE_BACKWARD:
        yield "The Trainer releases gradients after the optimizer step, not before the backward."
    if config.chunked_cross_entropy:
        yield "The Trainer computes the loss with the model's own function, not in chunks."


def _arguments(config: TrainingConfig, batch_size: str) -> Iterator[str]:
    yield 'output_dir="out",'
    yield f"per_device_train_batch_size={batch_size},"
    if config.gradient_accumulation > 1:
        yield f"gradient_accumulation_steps={config.gradient_accumulation},"
    yield "learning_rate=5e-5,"
    if config.optimizer in _OPTIMIZERS:
        yield f'optim="{_optimizer_name(config)}",'
    if config.optimizer is Optimizer.SGD_MOMENTUM:
        yield 'optim_args="momentum=0.9",'
    yield f"max_grad_norm={config.grad_clip or 0.0},  # 0.0: no clipping; the default is 1.0"
    if config.precision in _PRECISIONS:
        yield f"{_PRECISIONS[config.precision]},"
    if config.gradient_checkpointing:
        yield "gradient_checkpointing=True,"
        yield 'gradient_checkpointing_kwargs={"use_reentrant": False},'
    if config.use_cache is UseCache.ON:
        yield "use_cache=True,"
    yield 'save_strategy="no",'


_PRECISIONS = {
    Precision.TF32: "tf32=True",
    Precision.AMP_BF16: "bf16=True",
    Precision.AMP_FP16: "fp16=True",
}


def _optimizer_name(config: TrainingConfig) -> str:
    is_fused = config.optimizer_impl is OptimizerImpl.FUSED
    name = _OPTIMIZERS[config.optimizer]
    return f"{name}_fused" if is_fused and config.optimizer is Optimizer.ADAMW else name


def _trained(config: TrainingConfig) -> list[str]:
    if config.attention is not Attention.FLASH:
        return ["trainer.train()"]
    return ["with sdpa_kernel(SDPBackend.FLASH_ATTENTION):", "    trainer.train()"]


def _needs_own_optimizer(config: TrainingConfig) -> bool:
    """Whether the arguments have no name for the optimizer in this implementation."""
    if config.optimizer not in _OPTIMIZERS:
        return True
    is_adamw = config.optimizer in (Optimizer.ADAMW, Optimizer.ADAMW_8BIT)
    taken = (OptimizerImpl.DEFAULT, *((OptimizerImpl.FUSED,) if is_adamw else ()))
    return config.optimizer_impl not in taken


def _trainer(config: TrainingConfig) -> list[str]:
    given = "model=model, args=arguments, train_dataset=Samples()"
    if config.optimizer is Optimizer.NONE or not _needs_own_optimizer(config):
        return [f"trainer = Trainer({given})"]
    line = optimizer_line(config.optimizer, config.optimizer_impl)
    return [line, f"trainer = Trainer({given}, optimizers=(optimizer, None))"]


def _without_own_arguments(config: TrainingConfig) -> TrainingConfig:
    """Return the config with what the Trainer does by itself left out of the model's lines."""
    return dataclasses.replace(config, gradient_checkpointing=False, chunked_cross_entropy=False)
