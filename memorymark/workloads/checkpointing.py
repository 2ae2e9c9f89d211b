"""Gradient checkpointing for models without their own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps

from torch import nn
from torch.utils.checkpoint import checkpoint

from memorymark.errors import WorkloadError


def checkpoint_blocks(model: nn.Module, name: str) -> None:
    """Make each repeated block recompute its activations in the backward pass.

    A block is a member, with parameters and parts of its own, of an outermost nn.Sequential
    or nn.ModuleList: the stages of a ResNet, the layers of an encoder.

    Raises:
        WorkloadError: There is no such block.
    """
    blocks = list(_blocks(model))
    if not blocks:
        raise WorkloadError(
            f"The model {name!r} has no repeated blocks to checkpoint. "
            "Leave gradient checkpointing off for it."
        )
    for block in blocks:
        _recompute(block)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential | nn.ModuleList) and len(module) > 1:
        members = [m for m in module if any(m.children()) and any(True for _ in m.parameters())]
        if members:
            yield from members
            return
    for child in module.children():
        yield from _blocks(child)


def _recompute(block: nn.Module) -> None:
    forward = block.forward

    @wraps(forward)
    def recomputing(*args: object, **kwargs: object) -> object:
        if not block.training and not _any_grad(block):
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    block.forward = recomputing


def _any_grad(block: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in block.parameters())
