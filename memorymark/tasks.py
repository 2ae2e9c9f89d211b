"""Does the work of a request: the engine's functions, called for a background job."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from memorymark.analysis import AnalysisOptions, analyze_on
from memorymark.errors import InvalidValue
from memorymark.events import CancelToken, OnEvent
from memorymark.probes.base import Probe
from memorymark.requests import Request, RequestKind
from memorymark.settings import Settings


def run_request(
    request: Request, settings: Settings, on_event: OnEvent, cancel: CancelToken
) -> dict[str, Any]:
    """Do what a request asks for and return its record, as JSON.

    Args:
        request: What is asked for.
        settings: The owner's settings; a probe factory in them takes the engine's place.
        on_event: Is told what happens.
        cancel: Looked at between trials.

    Raises:
        MemoryMarkError: The work could not be done; carries a sentence for the user.
    """
    tasks = {
        RequestKind.ANALYSIS: _analyze,
    }
    return tasks[request.kind](request, settings, on_event, cancel)


def _analyze(
    request: Request, settings: Settings, on_event: OnEvent, cancel: CancelToken
) -> dict[str, Any]:
    if settings.probe_factory:
        probe, workload = _own_probe(request, settings)
        options = AnalysisOptions(**request.options)
        analysis = analyze_on(
            probe, workload, request.config, options, on_event=on_event, cancel=cancel
        )
    else:
        from memorymark import api

        analysis = api.analyze(
            request.model,
            request.config,
            device=request.device,
            gpu=request.gpu,
            memory_budget=request.memory_budget,
            on_event=on_event,
            cancel=cancel,
            **request.options,
        )
    return analysis.to_dict()


def _own_probe(request: Request, settings: Settings) -> tuple[Probe, Any]:
    """Make the probe of the settings' factory, and the workload that it wants or the usual one."""
    factory = load_factory(settings.probe_factory or "")
    probe = factory(device=request.device, gpu=request.gpu, memory_budget=request.memory_budget)
    make_workload = getattr(probe, "workload", None)
    if make_workload is None:
        from memorymark.workloads.registry import resolve as make_workload
    return probe, make_workload(request.model)


def load_factory(name: str) -> Callable[..., Probe]:
    """Return the function that MEMORYMARK_PROBE_FACTORY names.

    Raises:
        InvalidValue: There is no such function.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidValue(
            "MEMORYMARK_PROBE_FACTORY", name, f"package.module:function that exists ({error})"
        ) from error
