"""The published models whose inference was measured: their configurations, found by name.

Those that come with MemoryMark are taken from there, others from
ground_truth/inference_models.json, whose numbers are written down from the models' public
configurations. Other models can be given as FOLDER/ORGANISATION--NAME.json.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from memorymark.workloads.base import Workload
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.known_models import known_models
from memorymark.workloads.registry import resolve

_FILE = Path(__file__).parent / "ground_truth" / "inference_models.json"
# What names of the same shape end with.
_ENDINGS = re.compile(r"-(instruct|chat|hf|base|pt|it|deduped|beta|v\d(\.\d)?)$")


def find_workload(model: str, folder: Path | None = None) -> Workload | None:
    """Return a published model; None where its configuration is not known.

    Args:
        model: Its name, as a row has it.
        folder: More configurations, one to a file.
    """
    for name in _names(model):
        found = _given(name, folder) or _shipped(name) or _listed(name)
        if found is not None:
            return found
    return None


def _names(model: str) -> list[str]:
    """Return a model's name in lower case, then with less and less of its ending."""
    names = [model.partition(" (")[0].strip().lower()]
    while (shorter := _ENDINGS.sub("", names[-1])) != names[-1]:
        names.append(shorter)
    return [each for name in names for each in (name, name.replace("meta-llama-", "llama-"))]


def _given(name: str, folder: Path | None) -> Workload | None:
    if folder is None:
        return None
    files = {file.stem.lower(): file for file in folder.glob("*.json")}
    file = files.get(name.replace("/", "--"))
    return None if file is None else _built(name, json.loads(file.read_text(encoding="utf-8")))


def _shipped(name: str) -> Workload | None:
    for known in known_models():
        if name in (known.name.lower(), known.short_name):
            return resolve(known.name)
    return None


def _listed(name: str) -> Workload | None:
    listed = _list()
    short = {each.rpartition("/")[2]: each for each in listed}
    found = name if name in listed else short.get(name)
    return None if found is None else _built(found, listed[found])


def _built(name: str, values: dict[str, object]) -> Workload:
    from transformers import AutoConfig

    values = dict(values)
    return HuggingFaceWorkload(name, AutoConfig.for_model(values.pop("model_type"), **values))


@cache
def _list() -> dict[str, dict[str, object]]:
    return json.loads(_FILE.read_text(encoding="utf-8"))
