"""Low-rank adapters in place of the weights, by peft: what `get_peft_model` makes of a model.

LoRA (Hu et al. 2021, arXiv 2106.09685) keeps the weights as they are and trains two thin matrices
beside each: gradients and optimizer states are those of the thin ones, while the activations that
the frozen layers' inputs need stay. Adapted is every nn.Linear and every Conv1D of transformers,
which GPT-2 has in place of nn.Linear, but the output head. The head of a classifier is new to the
task: it trains whole, in a copy, as peft's task types have it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from memorymark.errors import MissingPackage, WorkloadError, quoted

# In the names of peft's parameters: before it the layer, after it which of the two matrices.
_ADAPTER, _FIRST = ".lora_", ".lora_A.default.weight"
_KINDS_NAMED = 8
# Over the rank: the scale at which the adapters' result is added.
ALPHA = 2
# What transformers, torchvision and timm call the head that a new task brings with it.
_HEADS = ("classifier", "score", "qa_outputs", "fc", "head", "heads")


def add_adapters(model: nn.Module, rank: int, device: torch.device, name: str) -> None:
    """Give a model adapters, in place, and freeze all but them and a classifier's head.

    Args:
        model: The model, on the device, in the format of its weights.
        rank: Rank of the adapters; their scale is twice as large, over it.
        device: Where they are made; their weights are in fp32, as peft has them.
        name: The model's name, for errors.

    Raises:
        MissingPackage: peft is not installed.
        WorkloadError: The model has no layer to adapt, or peft refuses one.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingPackage("peft", "LoRA") from error
    heads = [child for child, _ in model.named_children() if child in _HEADS]
    targets = [path for path, _ in _linear_layers(model, heads)]
    if not targets:
        raise WorkloadError(
            f"LoRA would train nothing of {quoted(name)}: beside its head it has no nn.Linear and "
            f"no Conv1D of transformers to adapt. {_layers_words(model)} Leave the LoRA rank out, "
            "or freeze parameters by name."
        )
    config = LoraConfig(
        r=rank,
        lora_alpha=ALPHA * rank,
        target_modules="|".join(map(re.escape, targets)),
        modules_to_save=heads or None,
    )
    with warnings.catch_warnings(), torch.device(device):
        warnings.simplefilter("ignore")  # that Conv1D keeps its weights transposed
        try:
            get_peft_model(model, config)
        except ValueError as error:
            raise WorkloadError(
                f"LoRA cannot be put on {quoted(name)}: {str(error).partition('. ')[0]} (peft). "
                "Leave the LoRA rank out, or freeze parameters by name."
            ) from error


def adapters_train(model: nn.Module) -> bool:
    """Return whether any of a model's adapters is left to train."""
    return any(x.requires_grad for path, x in model.named_parameters() if _ADAPTER in path)


def idle_adapters(model: nn.Module, name: str) -> list[str]:
    """Return the layers whose adapters a backward pass has left without a gradient.

    A model may read the weights of a layer by itself, past the layer and its adapter, as
    torchvision's Swin does in its attention; or not use the layer at all.

    Args:
        model: The model, after a backward pass.
        name: The model's name, for errors.

    Raises:
        WorkloadError: No adapter has a gradient.
    """
    trains: dict[str, bool] = {}
    for path, parameter in model.named_parameters():
        layer, found, _ = path.partition(_ADAPTER)
        if found and parameter.requires_grad:
            trains[layer] = trains.get(layer, False) or parameter.grad is not None
    idle = [layer for layer, has_gradient in trains.items() if not has_gradient]
    if idle and len(idle) == len(trains):
        raise WorkloadError(
            f"LoRA would train nothing of {quoted(name)}: of {len(idle):,} adapters, such as that "
            f"of {idle[0]}, none gets a gradient. The model reads the weights of these layers past "
            "their adapters. Leave the LoRA rank out, or freeze parameters by name."
        )
    return idle


def idle_words(model: nn.Module, idle: list[str]) -> str:
    """Say how many of a model's adapters train, where some do not."""
    count = sum(path.endswith(_FIRST) for path, _ in model.named_parameters())
    return (
        f"Only {count - len(idle):,} of the {count:,} adapters train. The others get no gradient, "
        f"such as that of {idle[0]}: the model reads the weights of these layers past their "
        "adapters, or does not use them."
    )


def trained_words(model: nn.Module, rank: int, idle: Sequence[str] = ()) -> str:
    """Say how many of a model's parameters its adapters train, the head of a classifier included.

    Args:
        model: The model.
        rank: Rank of the adapters.
        idle: Layers whose adapters train nothing.

    Example:
        >>> trained_words(nn.Linear(9, 1), 8)
        'LoRA of rank 8 trains 10 of 10 parameters (100 %).'
    """
    every = list(model.parameters())
    trained = sum(each.numel() for each in every if each.requires_grad) - sum(
        each.numel()
        for path, each in model.named_parameters()
        if each.requires_grad and path.partition(_ADAPTER)[0] in idle
    )
    total = sum(each.numel() for each in every)
    share = f"{100 * trained / max(total, 1):.2g}"
    share = "100" if trained == total else share
    return f"LoRA of rank {rank:,} trains {trained:,} of {total:,} parameters ({share} %)."


def _linear_layers(model: nn.Module, heads: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that are adapted, with their paths.

    nn.MultiheadAttention reads the weights of its output layer by itself, past the layer.
    """
    left_out = {id(_output_embeddings(model))}
    left_out |= {id(part) for head in heads for part in getattr(model, head).modules()}
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            left_out |= {id(part) for part in module.modules()}
    for path, module in model.named_modules():
        if path and id(module) not in left_out and isinstance(module, _kinds()):
            yield path, module


def _layers_words(model: nn.Module) -> str:
    """Say which kinds of layers with weights a model has, and where one of each is."""
    found: dict[str, list[str]] = {}
    for path, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            found.setdefault(type(module).__name__, []).append(path or "the model itself")
    kinds = sorted(found.items(), key=lambda each: -len(each[1]))
    named = [f"{len(paths):,} {kind} ({paths[0]})" for kind, paths in kinds[:_KINDS_NAMED]]
    more = f" and {len(kinds) - _KINDS_NAMED} more kinds" if len(kinds) > _KINDS_NAMED else ""
    return (
        f"Its layers with weights are {', '.join(named)}{more}." if named else "It has no layers."
    )


def _output_embeddings(model: nn.Module) -> nn.Module | None:
    """Return the head over the vocabulary, where the model has one."""
    get: Any = getattr(model, "get_output_embeddings", None)
    return get() if callable(get) else None


def _kinds() -> tuple[type[nn.Module], ...]:
    from transformers.pytorch_utils import Conv1D

    return nn.Linear, Conv1D
