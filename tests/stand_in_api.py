"""Stands in for memorymark.api: notes the calls and answers from a FakeProbe at once."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from fakes import FakeProbe, FakeWorkload, simulated_target

import memorymark
from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.validate import (
    BackwardValidation,
    CompileValidation,
    validate_backward_on,
    validate_compile_on,
)
from memorymark.records.analysis import Analysis, Mark
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison, comparison_of
from memorymark.records.config import TrainingConfig
from memorymark.records.event import Event, EventKind, ignore
from memorymark.records.trial import Trial

_OPTIONS = {field.name for field in fields(AnalysisOptions)}


class StandInApi(types.ModuleType):
    """Has the functions of memorymark.api; notes the calls and answers from a FakeProbe."""

    def __init__(self) -> None:
        super().__init__("memorymark.api")
        self.calls: list[tuple[str, str, TrainingConfig, dict[str, Any]]] = []
        self.probe = FakeProbe()
        self.raises: BaseException | None = None
        self.raises_after = 0
        self.before: Callable[[], None] = lambda: None
        self.result: Any = None

    def _begin(self, name: str, model: str, config: TrainingConfig, options: dict) -> None:
        self.calls.append((name, model, config, options))
        self.before()
        if self.raises is not None and not self.raises_after:
            raise self.raises

    def analyze(self, model: str, config: TrainingConfig, **options: Any) -> Analysis:
        self._begin("analyze", model, config, options)
        trials = self._trials(config, options.get("on_event", ignore))
        marks = {"optimal": trials[1], "max": trials[1], "current": trials[0]}
        return self.result or Analysis(
            model,
            self.probe.target,
            config,
            AnalysisOptions(
                **{f.name: options[f.name] for f in fields(AnalysisOptions) if f.name in options}
            ),
            tuple(trials),
            max_batch_size=trials[1].batch_size,
            **{name: _mark(trial) for name, trial in marks.items()},
        )

    def estimate(self, model: str, config: TrainingConfig, **options: Any) -> Trial:
        return self._one("estimate", model, config, options)

    def measure(self, model: str, config: TrainingConfig, **options: Any) -> Trial:
        return self._one("measure", model, config, options)

    def validate_backward_pass(
        self, model: str, config: TrainingConfig, **options: Any
    ) -> BackwardValidation:
        self._begin("validate_backward_pass", model, config, options)
        told = {"on_event": options["on_event"], "search": False}
        return validate_backward_on(
            self.probe, FakeWorkload(model), config, options["batch_size"], **told
        )

    def validate_compilation_benefit(
        self, model: str, config: TrainingConfig, **options: Any
    ) -> CompileValidation:
        self._begin("validate_compilation_benefit", model, config, options)
        told = {"on_event": options["on_event"]}
        return validate_compile_on(
            self.probe, FakeWorkload(model), config, options["batch_size"], **told
        )

    def compare_costs(self, model: str, config: TrainingConfig, **options: Any) -> Comparison:
        self._begin("compare_costs", model, config, options)
        probe = FakeProbe(target=simulated_target())
        analysis = analyze_on(probe, FakeWorkload(model), config, on_event=options["on_event"])
        return comparison_of([analysis], AnalysisOptions().plan)

    def _one(self, name: str, model: str, config: TrainingConfig, options: dict) -> Trial:
        self._begin(name, model, config, options)
        return self.probe.run(FakeWorkload(model), config, options["batch_size"])

    def _trials(self, config: TrainingConfig, on_event: Callable[[Event], None]) -> list[Trial]:
        on_event(Event(EventKind.PHASE, "Searching"))
        trials: list[Trial] = []
        for batch_size in (16, 128, 4096):
            on_event(Event(EventKind.TRIAL_STARTED, f"Batch {batch_size}"))
            trial = self.probe.run(FakeWorkload(), config, batch_size)
            trials.append(trial)
            on_event(Event(EventKind.TRIAL_FINISHED, "done", trial=trial))
            if self.raises is not None and self.raises_after == len(trials):
                raise self.raises
        on_event(Event(EventKind.NOTE, "A note"))
        return trials


def _mark(trial: Trial) -> Mark:
    return Mark(trial.batch_size, trial, trial.memory_bytes, trial.samples_per_second)


def install(monkeypatch: pytest.MonkeyPatch) -> StandInApi:
    """Put a stand-in where `memorymark.api` is looked for."""
    stand_in = StandInApi()
    monkeypatch.setitem(sys.modules, "memorymark.api", stand_in)
    monkeypatch.setattr(memorymark, "api", stand_in, raising=False)
    return stand_in
