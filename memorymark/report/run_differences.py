"""What tells analyses apart: the settings in which they differ, and names made of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.option import options_of
from memorymark.units import GIB, UNKNOWN

Setting = str | int | float | None


def settings_of(analysis: Analysis) -> dict[str, Setting]:
    """Return every setting of an analysis by its name for people; None where it is not set."""
    target = analysis.target
    capacity = None if target.capacity_bytes is None else round(target.capacity_bytes / GIB, 2)
    settings: dict[str, Setting] = {
        "Model": analysis.workload,
        "Target": target.name,
        "Source": str(target.source),
        "Capacity (GiB)": capacity,
    }
    for record, kind in ((analysis.config, TrainingConfig), (analysis.options, AnalysisOptions)):
        for name, option in options_of(kind).items():
            settings[option.label] = _as_shown(getattr(record, name))
    return settings


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
    told = {name: values for name, values in differing.items() if name not in _FOLLOWS}
    names = []
    for number, analysis in enumerate(analyses):
        parts = [_part(name, values[number]) for name, values in told.items()]
        names.append(" · ".join(parts[:_MOST_PARTS]) or f"run {analysis.run_id}")
    alike = Counter(names)
    return _unlike(
        [
            name if alike[name] == 1 else f"{name} (run {analysis.run_id})"
            for name, analysis in zip(names, analyses, strict=True)
        ]
    )


_MOST_PARTS = 4
# These follow from the target, or do not change what a step takes: the table has them.
_FOLLOWS = {"Capacity (GiB)", "Source"}
_SAYS_ITSELF = {"Model", "Target", "Precision", "Optimizer", "Task"}


def _part(name: str, value: Setting) -> str:
    if name in _SAYS_ITSELF and value is not None:
        return str(value).removeprefix("NVIDIA ")
    shown = f"{value:,}" if isinstance(value, int | float) else value or UNKNOWN
    return f"{name[0].lower()}{name[1:]} {shown}"


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
