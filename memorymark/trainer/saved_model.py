"""The trained model as others open it: transformers' folder, with adapters put into the weights."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memorymark.data.tokens import Tokens
from memorymark.trainer.state import named_tensors
from memorymark.workloads.read_weights import quietly

FOLDER = "model"
_BASE, _SAVED = ".base_layer.", ".modules_to_save.default."
_BESIDE = (".original_module.", ".lora_")


def save_model(model: nn.Module, folder: Path, tokenizer: Tokens | None = None) -> Path:
    """Write a model into `model` in a folder, in the place of an older one.

    A model of transformers is written as `save_pretrained` does, any other as its weights alone.

    Args:
        model: The model.
        folder: Folder of the training.
        tokenizer: What turns its tokens into text.

    Raises:
        OSError: It cannot be written; an older one stays.
    """
    beside, done = folder / f".writing-{os.getpid()}-{FOLDER}", folder / FOLDER
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        _write(model, beside)
        if tokenizer is not None:
            tokenizer.save(beside)
        shutil.rmtree(done, ignore_errors=True)
        os.rename(beside, done)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return done


def _write(model: nn.Module, folder: Path) -> None:
    save: Any = getattr(model, "save_pretrained", None)
    weights = plain_weights(model)
    if callable(save):
        with quietly():
            save(str(folder), state_dict=weights, safe_serialization=True)
        return
    from safetensors.torch import save_file

    save_file({name: each.contiguous().clone() for name, each in weights.items()},
              folder / "model.safetensors")  # fmt: skip


@torch.no_grad()
def plain_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's weights under the names of the model without adapters, adapters added."""
    deltas = {
        f"{path}.weight": part.get_delta_weight("default")
        for path, part in model.named_modules()
        if hasattr(part, "get_delta_weight") and hasattr(part, "base_layer")
    }
    found: dict[str, Tensor] = {}
    for name, each in named_tensors(model).items():
        if any(part in name for part in _BESIDE):
            continue
        plain = name.replace(_BASE, ".").replace(_SAVED, ".")
        delta = deltas.get(plain)
        found[plain] = each.detach() if delta is None else each.detach() + delta.to(each.dtype)
    return found
