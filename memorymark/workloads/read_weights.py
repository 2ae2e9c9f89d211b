"""Reads a model's weights from safetensors, in the form in which it is used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from memorymark.errors import WorkloadError, quoted
from memorymark.memory.oom import is_out_of_memory

_NAMED = 3
_missing: WeakKeyDictionary[nn.Module, tuple[str, ...]] = WeakKeyDictionary()


def load_weights(auto: Any, folder: Path, **about: Any) -> nn.Module:
    """Return a model with the weights of a folder: safetensors alone, and no code.

    Args:
        auto: transformers' Auto class.
        folder: The folder.
        about: The model's configuration, the format of its weights, and how it attends.

    Raises:
        WorkloadError: The weights cannot be read, or are not this model's.
    """
    try:
        with quietly():
            model, told = auto.from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True,
                trust_remote_code=False, output_loading_info=True, **about,
            )  # fmt: skip
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WorkloadError(
            f"The weights in {quoted(str(folder))} cannot be read: {reason[:300]}"
        ) from error
    missing = sorted(told.get("missing_keys") or ())
    count = len(list(model.parameters()))
    if 2 * len(missing) > count:  # a head may be new, but not most of a model
        raise WorkloadError(
            f"The weights in {quoted(str(folder))} are of another model: {len(missing)} of "
            f"{type(model).__name__}'s {count} weights are not among them."
        )
    _missing[model] = tuple(missing)
    return model


def missing_weights(model: nn.Module) -> str | None:
    """Say which of a model's weights its folder lacks, so that they are random; None: none."""
    names = _missing.get(model, ())
    if not names:
        return None
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (
        f"Random, since the folder has no weights for them: {', '.join(names[:_NAMED])}{more}. "
        "The words may mean nothing."
    )


def keep_in_fp32(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Give a new model in 16 bits fp32 where loading its weights would.

    transformers, modeling_utils.py, `_keep_in_fp32_modules`: for fp16 alone, those of `_strict`
    for bf16 too.
    """
    kept: set[str] = set()
    if dtype is torch.float16:
        kept |= set(getattr(model, "_keep_in_fp32_modules", None) or ())
    if dtype in (torch.float16, torch.bfloat16):
        kept |= set(getattr(model, "_keep_in_fp32_modules_strict", None) or ())
    if kept:
        pattern = _pattern(kept)
        for name, parameter in model.named_parameters():
            if pattern.search(name):
                parameter.data = parameter.data.float()
    return model


@contextmanager
def quietly() -> Iterator[None]:
    """Let transformers show no progress, and no table of weights: what is missing is said."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Return what finds names of modules in names of weights; a star stands for anything."""
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in sorted(names)))
