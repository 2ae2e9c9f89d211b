"""The options that commands share, and the training options as one TrainingConfig.

Names of choices stay plain strings here: the records read them and suggest the nearest.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated

from typer import Argument, Option

from memorymark.records.config import (
    Attention,
    Optimizer,
    OptimizerImpl,
    Precision,
    Task,
    TrainingConfig,
    ZeroGrad,
)

_PANEL = "How the model is trained"


def _choices(words: str, names: Iterable[str]) -> str:
    return f"{words}: {', '.join(names)}."


Model = Annotated[
    str,
    Argument(
        help="bert, gpt2, resnet, hf:ID, hf:FOLDER, torchvision:NAME, timm:NAME "
        "or package.module:factory.",
        show_default=False,
    ),
]
BatchSize = Annotated[int, Option("--batch-size", help="Samples that one forward pass sees.")]
Gpu = Annotated[
    str | None, Option("--gpu", help="Simulate this GPU; `memorymark gpus` lists the names.")
]
Device = Annotated[str | None, Option("--device", help="Measure on this device: cuda, mps, cpu.")]
MemoryBudget = Annotated[
    str | None,
    Option("--memory-budget", help="Most memory that a trial may use, as in 4GiB or 512MiB."),
]
Price = Annotated[
    float | None, Option("--price", help="Dollars per hour of the GPU; by default the catalogue's.")
]
DatasetSize = Annotated[int | None, Option("--dataset-size", help="Samples in the data set.")]
Epochs = Annotated[int | None, Option("--epochs", help="Passes over the data set in one run.")]
RunsPerYear = Annotated[int | None, Option("--runs-per-year", help="Training runs in a year.")]
Library = Annotated[
    str | None, Option(help="List the models of this library instead: torchvision or timm.")
]
AsJson = Annotated[
    bool, Option("--json", help="Print one JSON document on standard output, nothing else.")
]


def training_config(
    task: Annotated[
        str | None,
        Option(help=_choices("What for; by default the model's own", Task), rich_help_panel=_PANEL),
    ] = None,
    num_labels: Annotated[
        int | None, Option(help="Classes of a classification head.", rich_help_panel=_PANEL)
    ] = None,
    seq_len: Annotated[
        int, Option(help="Tokens per sample of text models.", rich_help_panel=_PANEL)
    ] = TrainingConfig.seq_len,
    image_size: Annotated[
        int, Option(help="Height and width of images in pixels.", rich_help_panel=_PANEL)
    ] = TrainingConfig.image_size,
    precision: Annotated[
        str, Option(help=_choices("Number formats", Precision), rich_help_panel=_PANEL)
    ] = TrainingConfig.precision.value,
    optimizer: Annotated[
        str, Option(help=_choices("The optimizer", Optimizer), rich_help_panel=_PANEL)
    ] = TrainingConfig.optimizer.value,
    optimizer_impl: Annotated[
        str, Option(help=_choices("Its implementation", OptimizerImpl), rich_help_panel=_PANEL)
    ] = TrainingConfig.optimizer_impl.value,
    zero_grad: Annotated[
        str, Option(help=_choices("When gradients are freed", ZeroGrad), rich_help_panel=_PANEL)
    ] = TrainingConfig.zero_grad.value,
    gradient_checkpointing: Annotated[
        bool,
        Option(
            "--gradient-checkpointing",
            help="Recompute activations in the backward pass.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
    gradient_accumulation: Annotated[
        int,
        Option(
            help="Forward passes per optimizer step; the effective batch grows as many times.",
            rich_help_panel=_PANEL,
        ),
    ] = TrainingConfig.gradient_accumulation,
    attention: Annotated[
        str, Option(help=_choices("Attention implementation", Attention), rich_help_panel=_PANEL)
    ] = TrainingConfig.attention.value,
    no_dropout: Annotated[
        bool,
        Option("--no-dropout", help="Train in eval mode, with gradients.", rich_help_panel=_PANEL),
    ] = False,
    channels_last: Annotated[
        bool,
        Option("--channels-last", help="Keep images in NHWC order.", rich_help_panel=_PANEL),
    ] = False,
) -> TrainingConfig:
    """Make the TrainingConfig that the training options describe."""
    return TrainingConfig(
        task=task,
        num_labels=num_labels,
        seq_len=seq_len,
        image_size=image_size,
        precision=precision,
        optimizer=optimizer,
        optimizer_impl=optimizer_impl,
        zero_grad=zero_grad,
        gradient_checkpointing=gradient_checkpointing,
        gradient_accumulation=gradient_accumulation,
        attention=attention,
        dropout=not no_dropout,
        channels_last=channels_last,
    )


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the training options; its parameter `config` receives what they make."""
    own = _parameters(command)
    del own["config"]
    shared = _parameters(training_config)

    @functools.wraps(command)
    def run(**values: object) -> None:
        training = {name: values.pop(name) for name in shared}
        command(config=training_config(**training), **values)

    everything = [*own.values(), *shared.values()]
    run.__signature__ = inspect.Signature(
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in everything]
    )
    return run


def _parameters(function: Callable[..., object]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function, eval_str=True).parameters)
