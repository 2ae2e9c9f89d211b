"""Reads the config.json of a model, and refuses one that asks for work without bound.

A configuration's own class may make a list with an entry for each of its layers or labels, before
any of them is built: so counts are checked in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memorymark.errors import WorkloadError, quoted
from memorymark.records.config import TrainingConfig
from memorymark.records.option import options_of
from memorymark.units import MIB, mib_or_gib

# The largest published ones, with the names of 21,841 classes, have about one MiB.
_MOST_BYTES = 16 * MIB
# What a model is made of many of, one after the other; the deepest published have some hundreds.
_MOST_REPEATED = 10_000
_REPEATED = re.compile(r"(^|_)(layers?|depths?|blocks?|stages?|block_sizes|repeats?)$")
_MOST_LABELS = int(options_of(TrainingConfig)["num_labels"].largest or 0)
_DEEPEST = 50


def read_config_file(file: Path) -> Any:
    """Return what a config.json holds.

    Raises:
        WorkloadError: It is too large, no JSON, nested too deeply, or has too many of something.
    """
    values = _read(file)
    for key, value in _numbers_in(values):
        most = _MOST_LABELS if key == "num_labels" else _MOST_REPEATED
        if (key == "num_labels" or _REPEATED.search(key)) and value > most:
            raise WorkloadError(
                f"The configuration {quoted(str(file))} has {key} {quoted(value)}; accepted: up "
                f"to {most:,}."
            )
    return values


def _read(file: Path) -> Any:
    try:
        size = file.stat().st_size
        if size > _MOST_BYTES:
            raise WorkloadError(
                f"The file {quoted(str(file))} has {mib_or_gib(size)}, and a config.json that is "
                f"read up to {mib_or_gib(_MOST_BYTES)}. Is it the model's weights?"
            )
        return json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        reason = "it is nested too deeply"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise WorkloadError(f"The file {quoted(str(file))} is not readable JSON: {reason}.")


def _numbers_in(values: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, float]]:
    """Yield every number with the key that it stands under."""
    if depth > _DEEPEST:
        raise WorkloadError(f"The configuration is nested too deeply, under {quoted(key)}.")
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _numbers_in(value, name, depth + 1)
    elif isinstance(values, list):
        for value in values:
            yield from _numbers_in(value, key, depth + 1)
    elif isinstance(values, int | float):
        yield key, values
