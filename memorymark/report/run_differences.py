"""What tells analyses apart: the settings in which they differ, and names made of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.option import options_of
from memorymark.report.setting_words import setting_words
from memorymark.report.settings_phrase import join_settings
from memorymark.units import GIB, gib

Setting = str | int | float | None
_MOST_PARTS = 4
_CAPACITY = "Capacity (GiB)"
# These follow from the target, or do not change what a step takes: the table has them.
_FOLLOWS = {"Source", _CAPACITY}
# These are mostly the model's own: where models differ, their names tell more.
_OF_MODEL = {options_of(TrainingConfig)[name].label for name in ("task", "num_labels")}


def settings_of(analysis: Analysis) -> dict[str, Setting]:
    """Return every setting of an analysis by its name for people; None where it is not set."""
    return {name: value for name, (value, _) in _settings(analysis).items()}


def differing_settings(analyses: Sequence[Analysis]) -> dict[str, list[Setting]]:
    """Return the settings that are not the same in all analyses, with the value in each."""
    settings = [settings_of(analysis) for analysis in analyses]
    names = settings[0] if settings else {}
    values = {name: [each[name] for each in settings] for name in names}
    return {name: each for name, each in values.items() if len(set(map(repr, each))) > 1}


def run_names(analyses: Sequence[Analysis]) -> list[str]:
    """Name each analysis by what sets it apart, and by its run where nothing does.

    No two names are alike.
    """
    differing = differing_settings(analyses)
    untold = _FOLLOWS | _OF_MODEL if "Model" in differing else _FOLLOWS
    telling = [name for name in differing if name not in untold]
    names = []
    for analysis in analyses:
        settings = _settings(analysis)
        parts = [settings[name][1] for name in telling[:_MOST_PARTS]]
        names.append(join_settings(parts) or f"run {analysis.run_id}")
    alike = Counter(names)
    return _unlike(
        [
            name if alike[name] == 1 else f"{name} (run {analysis.run_id})"
            for name, analysis in zip(names, analyses, strict=True)
        ]
    )


def _settings(analysis: Analysis) -> dict[str, tuple[Setting, str]]:
    """Return each setting's value, and the words that name it with its value."""
    target = analysis.target
    capacity = None if target.capacity_bytes is None else round(target.capacity_bytes / GIB, 2)
    settings: dict[str, tuple[Setting, str]] = {
        "Model": (analysis.workload, analysis.workload),
        "Target": (target.name, target.name.removeprefix("NVIDIA ")),
        "Source": (str(target.source), str(target.source)),
        _CAPACITY: (capacity, gib(target.capacity_bytes)),
    }
    for record, kind in ((analysis.config, TrainingConfig), (analysis.options, AnalysisOptions)):
        for name, option in options_of(kind).items():
            value = getattr(record, name)
            settings[option.label] = _as_shown(value), setting_words(option, value)
    return settings


def _as_shown(value: Any) -> Setting:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)


def _unlike(names: list[str]) -> list[str]:
    """Number names that are still alike."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return made
