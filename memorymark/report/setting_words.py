"""One setting and its value in words, as in "512 tokens" or "no dropout".

Words come from the option as it is declared: one that is added is named with its label, by
nobody's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from memorymark.records.length_distribution import distribution
from memorymark.records.option import Option
from memorymark.units import GIB, MIB

_LONGEST_LENGTHS = 60


def setting_words(option: Option, value: Any) -> str:
    """Name a setting and its value."""
    label = label_words(option)
    if value is None:
        return f"{label} not set"
    if option.name in _OWN_WORDS:
        return _OWN_WORDS[option.name](value)
    if isinstance(value, bool):
        return label if value else f"no {label}"
    if option.is_share:
        return f"{label} {share_words(value)}"
    return f"{label} {value}" if isinstance(value, str) else f"{label} {value:,}"


def label_words(option: Option) -> str:
    """Return an option's label as it stands within a sentence."""
    label = option.label
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def share_words(value: float) -> str:
    """Write a share of one exactly, in percent: two of them that differ read differently."""
    return f"{(Decimal(str(value)) * 100).normalize():f} %"


def budget_words(size: int | None) -> str:
    """Name a memory budget exactly: two of them that differ read differently."""
    if size is None:
        return ""
    for unit, unit_bytes in (("GiB", GIB), ("MiB", MIB)):
        if size % unit_bytes == 0:
            return f"memory budget {size // unit_bytes:,} {unit}"
    return f"memory budget {size:,} bytes"


def _counted(one: str, more: str) -> Callable[[float], str]:
    return lambda value: f"{value:,} {one if value == 1 else more}"


def _price(usd: float) -> str:
    return f"${usd:,.2f} per hour" if usd == round(usd, 2) else f"${usd:,} per hour"


def _lengths(text: str) -> str:
    if len(text) <= _LONGEST_LENGTHS:
        return f"lengths {text}"
    found = distribution(text, None)
    return f"lengths of {found.samples:,} samples up to {found.longest:,} tokens" if found else ""


_OWN_WORDS: dict[str, Callable[[Any], str]] = {
    "task": str,
    "precision": str,
    "optimizer": lambda name: "no optimizer" if name == "none" else str(name),
    "seq_len": _counted("token", "tokens"),
    "image_size": lambda pixels: f"images of {pixels:,} x {pixels:,} pixels",
    "audio_seconds": lambda seconds: f"{seconds:,} s of audio",
    "num_frames": _counted("frame", "frames"),
    "num_labels": _counted("label", "labels"),
    "lora_rank": lambda rank: f"LoRA of rank {rank:,}",
    "freeze": lambda patterns: f"frozen: {patterns}",
    "grad_clip": lambda norm: f"gradients clipped at norm {norm:,}",
    "drop_outputs": lambda on: "outputs dropped early" if on else "outputs kept",
    "lengths": _lengths,
    "length_range": lambda text: f"lengths {text} (shortest, mean, longest)",
    "weights": str,
    "context_tokens": lambda tokens: f"context of {tokens:,} tokens",
    "output_tokens": _counted("new token", "new tokens"),
    "max_new_tokens": _counted("new token", "new tokens"),
    "prompt_tokens": lambda tokens: f"random prompt of {tokens:,} tokens",
    "policy": lambda name: "caches held" if name == "hold" else "caches swapped",
    "sessions": _counted("session", "sessions"),
    "active": lambda count: f"{count:,} active at once",
    "turns": _counted("turn", "turns"),
    "pause_layer": lambda layer: f"paused before layer {layer:,}",
    "price_per_hour": _price,
    "dataset_size": _counted("sample", "samples"),
    "epochs": _counted("epoch", "epochs"),
    "runs_per_year": _counted("run per year", "runs per year"),
}
