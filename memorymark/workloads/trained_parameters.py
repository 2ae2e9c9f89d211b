"""Which parameters of a model train: all, those that no pattern freezes, or LoRA's adapters."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import torch
from torch import nn

from memorymark.errors import UnknownChoice, WorkloadError, quoted
from memorymark.records.config import TrainingConfig
from memorymark.workloads.lora import adapters_train, add_adapters, trained_words


def choose_trained(
    model: nn.Module, config: TrainingConfig, device: torch.device, name: str
) -> Iterator[str]:
    """Add adapters and freeze parameters as a config says; yield what to tell of it.

    Args:
        model: The model, on the device, in the format of its weights, checkpointing chosen.
        config: How it is trained.
        device: Where it is.
        name: The model's name, for errors.

    Raises:
        MissingPackage: peft is not installed.
        UnknownChoice: A pattern is the name of no parameter.
        WorkloadError: There is nothing left to train, or no adapter.
    """
    if config.lora_rank is not None:
        add_adapters(model, config.lora_rank, device, name)
    for pattern in config.frozen_patterns:
        _freeze(model, pattern, name)
    if config.lora_rank is not None:
        yield trained_words(model, config.lora_rank)
    if not config.frozen_patterns:
        return
    parameters = list(model.parameters())
    if not any(each.requires_grad for each in parameters):
        raise WorkloadError(
            f"All parameters of {quoted(name)} are frozen by {quoted(config.freeze)}: there is "
            "nothing to train. Freeze fewer of them."
        )
    if config.lora_rank is not None and not adapters_train(model):
        raise WorkloadError(
            f"All of LoRA's adapters of {quoted(name)} are frozen by {quoted(config.freeze)}, so "
            "that none would train. LoRA freezes the weights by itself: leave the pattern out."
        )
    if config.lora_rank is None:
        frozen = sum(each.numel() for each in parameters if not each.requires_grad)
        total = sum(each.numel() for each in parameters)
        yield f"Frozen are {frozen:,} of {total:,} parameters ({100 * frozen / total:.3g} %)."


def _freeze(model: nn.Module, pattern: str, name: str) -> None:
    """Freeze the parameters that a pattern names; a tied one has several names."""
    every = list(model.named_parameters(remove_duplicate=False))
    found = [each for path, each in every if fnmatchcase(path, pattern)]
    if not found:
        names = [path for path, _ in every]
        hint = (
            f"A * stands for any part of a name. {quoted(name)} has {len(names):,} of them, such "
            f"as {', '.join(names[:2])}."
        )
        raise UnknownChoice("parameter to freeze", pattern, (), hint, others=_patterns(names))
    for parameter in found:
        parameter.requires_grad_(False)


def _patterns(names: list[str]) -> list[str]:
    """Return a pattern for each part of the names between dots, and for each run of such parts."""
    split = [name.split(".") for name in names]
    runs = {
        ".".join(parts[start:end])
        for parts in split
        for start in range(len(parts))
        for end in range(start + 1, len(parts) + 1)
    }
    return [f"*{run}*" for run in sorted(runs) if not run.isdigit()]
