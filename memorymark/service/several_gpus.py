"""One training on several GPUs: each is simulated, or its measured run is taken."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from memorymark.analysis.compare import comparison_of
from memorymark.analysis.prediction import expected_max_batch
from memorymark.errors import Cancelled, HistoryUnusable, UsageError, one_sentence
from memorymark.gpus.catalogue import Gpu
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.event import GPUS_DONE, Event, EventKind, OnEvent
from memorymark.service.call import Call
from memorymark.service.measured_runs import measured_analyses, measured_on
from memorymark.units import mib_or_gib
from memorymark.workloads.naming import is_folder

if TYPE_CHECKING:
    from memorymark.probes.probe import Probe
    from memorymark.workloads.base import Workload


class SeveralGpus:
    """Compares the GPUs that a call names.

    Args:
        call: What is asked for.
        probes: The GPUs, with what simulates each.
    """

    def __init__(self, call: Call, probes: Sequence[tuple[Gpu, Probe]]) -> None:
        self._call, self._probes, self._of = call, probes, len(probes)
        self._done: list[tuple[Gpu, Analysis]] = []
        self._failed: Exception | None = None

    def record(self) -> Comparison:
        """Analyze the same training on each GPU and compare.

        A whole card that was measured with the same training and the same search is not
        simulated again: its newest run in the history is taken.
        """
        workload = self._call.workload(self._probes[0][1])
        measured = self._measured(workload)
        for number, (gpu, probe) in enumerate(self._probes):
            options = dataclasses.replace(
                self._call.request.options, price_per_hour=gpu.usd_per_hour
            )
            analysis = self._reused(number, gpu, workload, options, measured)
            if analysis is None:
                analysis = self._simulated(number, probe, workload, options)
            self._done.append((gpu, analysis))
            self._tell(tuple(self._done))
        if not any(analysis.trials for _, analysis in self._done) and self._failed is not None:
            raise self._failed
        return self._comparison(self._done)

    def _reused(
        self,
        number: int,
        gpu: Gpu,
        workload: Workload,
        options: AnalysisOptions,
        measured: Sequence[Analysis],
    ) -> Analysis | None:
        """Return the measured run that stands for a GPU; None where there is none."""
        from memorymark.probes.common import software  # loads torch, as the probes did

        config = workload.describe(self._call.request.config)
        analysis = measured_on(gpu.key, measured, config, options, software())
        if analysis is not None:
            self._call.note(f"{gpu.key}: measured in run {analysis.run_id}", number / self._of)
        return analysis

    def _simulated(
        self, number: int, probe: Probe, workload: Workload, options: AnalysisOptions
    ) -> Analysis:
        """Analyze on one GPU; what it raises ends its own analysis, not the others'."""
        known = [analysis for _, analysis in self._done]
        guess = expected_max_batch(known, probe.target, options)
        try:
            return self._call.analyze(probe, workload, options, self._part(number), guess)
        except Cancelled as stop:
            self._stop(stop)
        except UsageError:
            raise
        except Exception as error:
            self._failed = error
            return Analysis(
                workload.name, probe.target, self._call.request.config, options, trials=(),
                complete=False, stopped_by=one_sentence(error),
            )  # fmt: skip

    def _comparison(self, done: Sequence[tuple[Gpu, Analysis]]) -> Comparison:
        """Put together what the analyses say, and how many are missing."""
        comparison = comparison_of(done, self._call.request.options.plan)
        said, left = [*self._call.prices.told([gpu for gpu, _ in done])], self._of - len(done)
        if left:
            said.append(f"Stopped early: {left} of {self._of} GPUs are missing.")
        if self._call.request.memory_budget is not None:
            budget = mib_or_gib(self._call.request.memory_budget)
            said.append(f"Each GPU has a memory budget of {budget}.")
        return dataclasses.replace(comparison, findings=(*said, *comparison.findings))

    def _tell(self, done: Sequence[tuple[Gpu, Analysis]]) -> None:
        """Say how many GPUs are done, with what is known by then."""
        text, share = f"{len(done)} of {self._of} GPUs done", len(done) / self._of
        known = functools.partial(self._comparison, done)
        self._call.on_event(Event(EventKind.NOTE, text, GPUS_DONE, progress=share, known=known))

    def _stop(self, stop: Cancelled) -> NoReturn:
        """End with the analyses that are done, of which there may be none."""
        if not self._done:
            raise Cancelled(str(stop)) from stop
        raise Cancelled(partial=self._comparison(self._done)) from stop

    def _measured(self, workload: Workload) -> list[Analysis]:
        """Return what the history has measured of a workload, as far as it may be taken again."""
        own = self._call.given is not None or workload.runs_own_code or is_folder(workload.name)
        if own or self._call.request.memory_budget is not None:
            return []  # code or a folder may have changed since; a budget is not the whole GPU
        try:
            return measured_analyses(self._call.settings.history_path, workload.name)
        except HistoryUnusable as error:
            self._call.note(f"{error} Every GPU is simulated.")
            return []

    def _part(self, number: int) -> OnEvent:
        """Pass events of one analysis among several on, its progress as a part of the whole."""

        def on_event(event: Event) -> None:
            share = None if event.progress is None else (number + event.progress) / self._of
            self._call.on_event(dataclasses.replace(event, progress=share, known=None))

        return on_event
