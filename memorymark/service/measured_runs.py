"""Measured runs of the history that a comparison can reuse."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.request import RequestKind
from memorymark.records.trial import ALLOCATOR_SETTINGS, Source
from memorymark.service.history import RunHistory, RunStatus

_SEARCHED = ("granularity", "upper_bound", "headroom", "objective")
_SOFTWARE = ("torch", "transformers", "cuda", ALLOCATOR_SETTINGS)
_MOST_RUNS = 10_000


def measured_analyses(path: Path, model: str) -> list[Analysis]:
    """Return the finished measured analyses of a model, newest first.

    Args:
        path: The file of the run history; it need not be there.
        model: Name of the workload.

    Raises:
        HistoryUnusable: The file cannot be read.
    """
    history = RunHistory(path)
    done = history.find(kinds=[RequestKind.ANALYSIS], statuses=[RunStatus.DONE], limit=_MOST_RUNS)
    alike = [run for run in done if run.source == Source.MEASURED and run.model == model]
    found = []
    for run in alike:
        with contextlib.suppress(MemoryMarkError):  # a damaged run is passed over
            found.append(Analysis.from_dict(history.open(run.run_id).record or {}))
    return found


def measured_on(
    gpu_key: str,
    measured: Iterable[Analysis],
    config: TrainingConfig,
    options: AnalysisOptions,
    software: Mapping[str, str],
) -> Analysis | None:
    """Return the first analysis of the same training on a whole GPU; None where none is.

    Everything that changes a figure has to be alike: the training, the search, the memory that
    trials could use, and the versions of what ran. Money is not: the comparison works it out.

    Args:
        gpu_key: Key of the GPU catalogue.
        measured: The analyses to choose from.
        config: How it is trained, with all that the workload fills in.
        options: What is searched.
        software: Versions of what would run now.
    """
    for analysis in measured:
        target, searched = analysis.target, analysis.options
        is_whole = target.gpu_key == gpu_key and target.capacity_bytes == (target.total_bytes or -1)
        is_same = all(getattr(searched, name) == getattr(options, name) for name in _SEARCHED)
        is_same = is_same and analysis.config == config and _is_of(analysis, software)
        if is_whole and is_same and analysis.complete:
            return analysis
    return None


def _is_of(analysis: Analysis, software: Mapping[str, str]) -> bool:
    """Whether the versions are those of now; builds of one version count as alike."""
    kept = {name: analysis.software.get(name, "").partition("+")[0] for name in _SOFTWARE}
    return all(text == software.get(name, "").partition("+")[0] for name, text in kept.items())
