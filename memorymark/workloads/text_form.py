"""How a model's text begins and ends: what its configuration and generation_config.json say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memorymark.workloads.inputs.batch_spec import text_config, vocabulary_size

_FILE = "generation_config.json"
_MOST_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class TextForm:
    """What stands around a model's text.

    Attributes:
        opening: Tokens before it, which are not part of it: each one token, or several of which
            the model takes the likeliest, such as Whisper's languages.
        refused: Tokens that are never written.
        refused_first: Tokens with which it does not begin.
        ends: Tokens that end it.
    """

    opening: tuple[int | frozenset[int], ...] = ()
    refused: frozenset[int] = frozenset()
    refused_first: frozenset[int] = frozenset()
    ends: frozenset[int] = frozenset()


def text_form(config: Any, folder: Path | None = None) -> TextForm:
    """Return how a model's text begins and ends.

    Args:
        config: The model's configuration.
        folder: Where its generation_config.json may lie.
    """
    told = _told(folder)
    words = range(vocabulary_size(config))
    return TextForm(
        opening=_opening(config, told, words),
        refused=_tokens(told.get("suppress_tokens"), words),
        refused_first=_tokens(told.get("begin_suppress_tokens"), words),
        ends=_ends(config, told, words),
    )


def _told(folder: Path | None) -> Mapping[str, Any]:
    file = None if folder is None else folder / _FILE
    try:
        if file is None or file.stat().st_size > _MOST_BYTES:
            return {}
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _opening(
    config: Any, told: Mapping[str, Any], words: range
) -> tuple[int | frozenset[int], ...]:
    if config.model_type == "whisper":
        return _opening_of_whisper(told, words)
    forced = told.get("forced_bos_token_id", getattr(config, "forced_bos_token_id", None))
    return (forced,) if _is_token(forced, words) else ()


def _opening_of_whisper(told: Mapping[str, Any], words: range) -> tuple[int | frozenset[int], ...]:
    """Return language, task and the mark for no time stamps, as in generation_whisper.py."""
    languages, tasks = told.get("lang_to_id"), told.get("task_to_id")
    named = languages.values() if isinstance(languages, dict) else ()
    opening: list[int | frozenset[int]] = []
    spoken = _tokens(named, words)
    if spoken and told.get("is_multilingual", True):
        opening.append(spoken)
        task = tasks.get("transcribe") if isinstance(tasks, dict) else None
        opening += [task] if _is_token(task, words) else []
    plain = told.get("no_timestamps_token_id")
    return (*opening, *([plain] if _is_token(plain, words) else []))


def _ends(config: Any, told: Mapping[str, Any], words: range) -> frozenset[int]:
    text = text_config(config)
    if config.model_type == "blip":  # modeling_blip.py, generate
        return _tokens([getattr(text, "sep_token_id", None)], words)
    found = told.get("eos_token_id")
    for part in (config, text):
        found = getattr(part, "eos_token_id", None) if found is None else found
    return _tokens(found if isinstance(found, list | tuple) else [found], words)


def _tokens(given: Any, words: range) -> frozenset[int]:
    if not isinstance(given, Iterable):
        return frozenset()
    return frozenset(each for each in given if _is_token(each, words))


def _is_token(value: Any, words: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in words
