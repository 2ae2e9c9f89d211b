"""The levers of an analysis: what they are asked for, and the run of the history that has them."""

from __future__ import annotations

import contextlib
import dataclasses

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.request import LEVERED, Request, RequestKind
from memorymark.service.first_run import is_made_with_this
from memorymark.service.history import RunHistory
from memorymark.service.run import RunStatus

_MOST_RUNS = 200


def levers_request(analysis: Analysis, asked: Request | None) -> Request | None:
    """Return what the levers of an analysis are asked for; None where nothing can simulate them.

    Args:
        analysis: The analysis.
        asked: What it was asked for, where that is known.
    """
    target = analysis.target
    if target.gpu_key is None:
        return None
    options = {name: getattr(analysis.options, name) for name in LEVERED}
    config, budget = analysis.config, target.memory_budget_bytes
    if asked is not None:
        config, budget = asked.config, asked.memory_budget
        options["dataset_size"] = asked.options.dataset_size  # another one only changes costs
    return Request(
        RequestKind.LEVERS,
        analysis.workload,
        config,
        gpu=target.gpu_key,
        memory_budget=budget,
        options=dataclasses.replace(type(analysis.options)(), **options),
    )


def found_levers(history: RunHistory, request: Request, analysis: Analysis) -> str | None:
    """Return the newest finished run of the levers of an analysis.

    Made by this software, or by that which made the analysis: an old result keeps its levers.
    """
    done = history.find(
        text=request.model, kinds=[request.kind], statuses=[RunStatus.DONE], limit=_MOST_RUNS
    )
    for run in done:
        with contextlib.suppress(MemoryMarkError):  # a damaged run is passed over
            if run.request is not None and not _is_of(run.request, request):
                continue
            kept = history.open(run.run_id)
            made = (kept.record or {}).get("software")
            is_current = isinstance(made, dict) and (
                made == analysis.software or is_made_with_this(made)
            )
            if is_current and _is_of(kept.request or {}, request):
                return run.run_id
    return None


def wanted_levers(history: RunHistory, run_id: str | None) -> Request | None:
    """Return what the levers of a run are asked for, where it is an analysis and has none yet."""
    with contextlib.suppress(MemoryMarkError):  # there is no such run, or it has no result
        run = history.open(run_id or "")
        analysis = Analysis.from_dict(run.record or {})
        request = levers_request(analysis, Request.from_dict(run.request or {}))
        if request is not None and found_levers(history, request, analysis) is None:
            return request
    return None


def _is_of(asked: dict[str, object], request: Request) -> bool:
    return Request.from_dict(asked).identity == request.identity
