"""Does the work of a request: the engine's functions, called for a background job."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from memorymark.analysis.analyze import Analysis, AnalysisOptions
from memorymark.errors import InvalidValue, NotAvailable
from memorymark.records.event import CancelToken, Event, EventKind, OnEvent, ignore
from memorymark.records.request import Request, RequestKind
from memorymark.records.trial import Source, Trial
from memorymark.service.history import RunHistory, RunStatus
from memorymark.settings import Settings

if TYPE_CHECKING:
    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload

KEPT_WORKLOADS = 8


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
    return _Task(request, settings, on_event, cancel).run()


def simulate(request: Request, settings: Settings, batch_size: int) -> Trial:
    """Simulate one batch of a request on its GPU.

    Raises:
        MemoryMarkError: The work could not be done.
    """
    task = _Task(request, settings, ignore, CancelToken())
    probe = task.probe()
    return probe.run(task.workload(probe), request.config, batch_size)


class _Task:
    """One request while it is worked on."""

    def __init__(
        self, request: Request, settings: Settings, on_event: OnEvent, cancel: CancelToken
    ) -> None:
        self.request, self.settings = request, settings
        self.on_event, self.cancel = on_event, cancel

    def run(self) -> dict[str, Any]:
        """Do the work and return its record."""
        tasks = {
            RequestKind.ANALYSIS: self.analyze,
            RequestKind.BACKWARD: self.validate_backward,
            RequestKind.COMPILE: self.validate_compile,
            RequestKind.COMPARISON: self.compare,
        }
        return tasks[self.request.kind]()

    def analyze(self) -> dict[str, Any]:
        """Find the largest batch and what the current one wastes."""
        probe = self.probe()
        options = AnalysisOptions(**self.request.options)
        return self.analyze_on(probe, self.workload(probe), options, self.on_event).to_dict()

    def analyze_on(
        self,
        probe: Probe,
        workload: Workload,
        options: AnalysisOptions,
        on_event: OnEvent,
        guess: int | None = None,
    ) -> Analysis:
        """Run an analysis on a probe."""
        from memorymark.api import analyze_with

        return analyze_with(
            probe, workload, self.request.config, options,
            on_event=on_event, cancel=self.cancel, guess=guess,
        )  # fmt: skip

    def validate_backward(self) -> dict[str, Any]:
        """Run one batch four ways and check the gradients."""
        from memorymark.analysis.validate import validate_backward_on

        return self._validated(validate_backward_on)

    def validate_compile(self) -> dict[str, Any]:
        """Run one batch eagerly and compiled."""
        from memorymark.analysis.validate import validate_compile_on

        if self.request.gpu is not None:
            raise NotAvailable(
                "torch.compile is measured, not simulated. Choose a device of this machine as "
                "the target."
            )
        return self._validated(validate_compile_on)

    def compare(self) -> dict[str, Any]:
        """Analyze the same training on every GPU of the catalogue."""
        from memorymark.analysis.prediction import expected_max_batch
        from memorymark.gpus.catalogue import load_catalogue
        from memorymark.records.comparison import comparison_of

        options = AnalysisOptions(**self.request.options)
        keys, workload, analyses = list(load_catalogue()), None, []
        for number, key in enumerate(keys):
            analysis = self.measured_on(key)
            if analysis is None:
                probe = self.probe(key)
                workload = workload or self.workload(probe)
                analysis = self.analyze_on(
                    probe, workload, options, self._part(number, len(keys)),
                    expected_max_batch(analyses, probe.target, options),
                )  # fmt: skip
            else:
                self._note(f"{key}: measured in run {analysis.run_id}", number / len(keys))
            analyses.append(analysis)
        return _comparison_record(comparison_of(analyses, options.plan).to_dict(), analyses)

    def measured_on(self, gpu_key: str) -> Analysis | None:
        """Return the newest measured analysis of the same training on a GPU, where there is one."""
        history = RunHistory(self.settings.history_path)
        for run in history.find(kinds=[RequestKind.ANALYSIS], statuses=[RunStatus.DONE]):
            if run.source != Source.MEASURED or run.model != self.request.model:
                continue
            analysis = Analysis.from_dict(history.open(run.run_id).record or {})
            if analysis.target.gpu_key == gpu_key and self._is_same_training(analysis):
                return analysis
        return None

    def probe(self, gpu: str | None = None) -> Probe:
        """Return the probe for the request's target, or for another GPU."""
        from memorymark.api import resolve_probe

        make = load_factory(self.settings.probe_factory or "") or resolve_probe
        device = None if gpu else self.request.device
        return make(
            device=device, gpu=gpu or self.request.gpu, memory_budget=self.request.memory_budget
        )

    def workload(self, probe: Probe) -> Workload:
        """Return the workload that the request names, or what the user's own probe makes of it."""
        make = getattr(probe, "workload", None)
        if make is not None:
            return make(self.request.model)
        return _resolved(self.request.model, self.request.model in self.settings.workloads)

    def _validated(self, validate: Callable[..., Any]) -> dict[str, Any]:
        probe = self.probe()
        result = validate(
            probe,
            self.workload(probe),
            self.request.config,
            self.request.batch_size or 8,
            on_event=self.on_event,
            cancel=self.cancel,
        )
        return result.to_dict()

    def _is_same_training(self, analysis: Analysis) -> bool:
        asked = self.request.config
        described = dataclasses.replace(
            asked,
            task=asked.task or analysis.config.task,
            num_labels=asked.num_labels or analysis.config.num_labels,
        )
        return analysis.config == described and analysis.complete

    def _part(self, number: int, of: int) -> OnEvent:
        """Pass events of one analysis among several on, its progress as a part of the whole."""

        def on_event(event: Event) -> None:
            share = None if event.progress is None else (number + event.progress) / of
            self.on_event(dataclasses.replace(event, progress=share))

        return on_event

    def _note(self, text: str, progress: float) -> None:
        self.on_event(Event(EventKind.NOTE, text, progress=progress))


@lru_cache(maxsize=KEPT_WORKLOADS)
def _resolved(model: str, allow_code: bool) -> Workload:
    """Return a workload; the last few stay, so that a rerun does not read them again.

    A workload holds a configuration. The model itself belongs to its probe, which lets go of it
    with the job, so that the next measurement finds the memory free.
    """
    from memorymark.workloads import resolve

    return resolve(model, allow_code=allow_code)


def load_factory(name: str) -> Callable[..., Probe] | None:
    """Return the function that MEMORYMARK_PROBE_FACTORY names; None where it names none.

    Raises:
        InvalidValue: There is no such function.
    """
    if not name:
        return None
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidValue(
            "MEMORYMARK_PROBE_FACTORY", name, f"package.module:function that exists ({error})"
        ) from error


def _comparison_record(record: dict[str, Any], analyses: Sequence[Analysis]) -> dict[str, Any]:
    """Add what the run history lists: the device, the source of all and the seconds it took."""
    sources = {row["source"] for row in record["gpus"]}
    seconds = sum(analysis.elapsed_seconds or 0.0 for analysis in analyses)
    source = "simulated" if "simulated" in sources else "measured"
    return {**record, "device": "GPU catalogue", "source": source, "elapsed_seconds": seconds}
