"""Several runs beside one another: charts laid over one another, and a table of differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.records.analysis import Analysis
from memorymark.records.request import RequestKind
from memorymark.records.trial import Stage
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.report.charts.compare_charts import (
    MOST_RUNS,
    memory_of_runs,
    throughput_of_runs,
)
from memorymark.report.run_differences import differing_settings, run_names
from memorymark.report.validation_words import verdict_words
from memorymark.service.history import Run
from memorymark.ui import columns, say
from memorymark.ui.charting import draw_spec
from memorymark.ui.columns import Column
from memorymark.ui.kept_runs import analysis_of, open_run

_NAMES = {
    RequestKind.ANALYSIS: "analyses",
    RequestKind.BACKWARD: "backward validations",
    RequestKind.COMPILE: "torch.compile validations",
}


def draw_compared(chosen: Sequence[Run]) -> None:
    """Draw two or more runs together, those of each kind by themselves."""
    if len(chosen) > MOST_RUNS:
        say.info("The first {} of the {} selected runs are compared.", MOST_RUNS, len(chosen))
    kinds: dict[str, list[Run]] = {}
    for run in chosen[:MOST_RUNS]:
        kinds.setdefault(run.kind, []).append(run)
    for kind, runs in kinds.items():
        _draw_kind(kind, runs)


def _draw_kind(kind: str, runs: Sequence[Run]) -> None:
    draw = _DRAWN.get(kind)
    if draw is None:
        for run in runs:
            say.info("Run {} ({}) has a page of its own: open it alone.", run.run_id, kind)
        return
    finished = [run for run in map(_opened, runs) if run is not None]
    if len(finished) > 1:
        say.heading("{} {} compared", len(finished), _NAMES[RequestKind(kind)])
        draw(finished)
    elif finished:
        say.info(
            "Run {} is the only finished one of its kind ({}) here: select another to compare.",
            finished[0].run_id,
            kind,
        )


def _opened(run: Run) -> Run | None:
    """Return a run with a record that can be read; say so where it has none."""
    opened = open_run(run.run_id)
    if opened is None or opened.record is None:
        say.info("Run {} has no result to compare.", run.run_id)
        return None
    try:
        _READ[RequestKind(opened.kind)](opened)
    except MemoryMarkError as error:
        say.error("Run {} cannot be compared. {}", run.run_id, error)
        return None
    return opened


def _draw_analyses(runs: Sequence[Run]) -> None:
    analyses = [analysis_of(run.run_id) for run in runs]
    named = dict(zip(run_names(analyses), analyses, strict=True))
    st.markdown("**Memory vs. batch size**")
    draw_spec(memory_of_runs(named), "compared_memory")
    st.caption(
        "Each batch tried that fits; dashed lines are capacities, ringed points are recommended."
    )
    st.markdown("**Throughput vs. batch size**")
    if any(analysis.optimal.samples_per_second is not None for analysis in analyses):
        draw_spec(throughput_of_runs(named), "compared_throughput")
    else:
        st.caption("None of these runs has a throughput.")
    st.markdown("**What differs**")
    columns.draw_table(
        analysis_columns(analyses),
        list(enumerate(named.items())),
        "What the compared runs differ in",
    )


def analysis_columns(analyses: Sequence[Analysis]) -> list[Column]:
    """Return the columns of a comparison: a row is of a number, a name and its analysis."""
    differing = differing_settings(analyses)
    settings = [_setting(name, values) for name, values in differing.items()]
    return [
        columns.text("Run", lambda row: row[1][0], pinned=True, width="large"),
        columns.count("Largest that fits", _figure("max_batch_size")),
        columns.count("Recommended", _figure("optimal.batch_size")),
        columns.memory("Memory at recommended", _figure("optimal.memory_bytes")),
        *_speed("Samples/s at recommended", "optimal"),
        *_speed("Samples/s at current", "current"),
        *_cost("$/million samples", "usd_per_million_samples"),
        *(column.where_known() for column in _cost("$/run", "usd_per_run")),
        *settings,
        columns.text("Id", _figure("run_id")),
    ]


def _figure(path: str) -> Callable[[Any], Any]:
    read = attrgetter(path)
    return lambda row: read(row[1][1])


def _speed(title: str, mark: str) -> tuple[Column, ...]:
    """Make the columns of a mark's throughput and its band."""
    speed = columns.figure(title, _figure(f"{mark}.samples_per_second"))
    return columns.with_band(speed, _figure(f"{mark}.speed_band"))


def _cost(title: str, name: str) -> tuple[Column, ...]:
    """Make the columns of a cost at the recommended batch and its band."""
    cost = columns.money(title, _figure(f"costs.optimal.{name}"))
    return columns.with_band(cost, lambda row: row[1][1].optimal.likely(cost.value(row)))


def _setting(name: str, values: Sequence[Any]) -> Column:
    """Make a column of a setting: numbers where all are, else words."""
    if all(value is None or isinstance(value, int | float) for value in values):
        return columns.figure(name, lambda row: values[row[0]])
    return columns.text(name, lambda row: values[row[0]])


def _draw_backward(runs: Sequence[Run]) -> None:
    columns.draw_table(_BACKWARD, _records(runs), "The compared backward validations")


def _draw_compiles(runs: Sequence[Run]) -> None:
    columns.draw_table(_COMPILE, _records(runs), "The compared validations of torch.compile")


def _records(runs: Sequence[Run]) -> list[tuple[str, Any]]:
    return [(run.run_id, _READ[RequestKind(run.kind)](run)) for run in runs]


def _of(path: str) -> Callable[[Any], Any]:
    read = attrgetter(path)
    return lambda row: read(row[1])


def _peak(stage: Stage) -> Callable[[Any], Any]:
    return lambda row: row[1].trial(stage).peak_allocated_bytes


_HEAD = (
    columns.text("Run", lambda row: row[0], pinned=True),
    columns.text("Model", _of("workload"), pinned=True),
    columns.text("Target", _of("target.name")),
    columns.text("Precision", _of("config.precision")),
    columns.count("Batch size", _of("batch_size")),
    columns.text("Verdict", lambda row: verdict_words(row[1]), width="large"),
)
_BACKWARD = (
    *_HEAD,
    columns.figure("Backward over forward only", _of("ratio")),
    columns.memory("Forward only", _peak(Stage.FORWARD_ONLY)),
    columns.memory("Forward", _peak(Stage.FORWARD)),
    columns.memory("Forward and backward", _peak(Stage.BACKWARD)),
    columns.memory("Training step", _peak(Stage.STEP)),
    columns.count("Largest that fits", _of("max_batch_size")),
    columns.count("A forward-only tool's batch", _of("forward_only_max_batch_size")),
)
_COMPILE = (
    *_HEAD,
    columns.figure("Eager step (s)", _of("eager.step_seconds")),
    columns.figure("Compiled step (s)", _of("compiled.step_seconds")),
    columns.figure("Speed-up", _of("speedup")),
    columns.figure("Compile time (s)", _of("compile_seconds")),
    columns.count("Pays off after (steps)", _of("break_even_steps")),
    columns.memory("Eager memory", _of("eager.peak_allocated_bytes")),
    columns.memory("Compiled memory", _of("compiled.peak_allocated_bytes")),
)
_READ: dict[RequestKind, Callable[[Run], Any]] = {
    RequestKind.ANALYSIS: lambda run: analysis_of(run.run_id),
    RequestKind.BACKWARD: lambda run: BackwardValidation.from_dict(run.record or {}),
    RequestKind.COMPILE: lambda run: CompileValidation.from_dict(run.record or {}),
}
_DRAWN: dict[str, Callable[[Sequence[Run]], None]] = {
    RequestKind.ANALYSIS: _draw_analyses,
    RequestKind.BACKWARD: _draw_backward,
    RequestKind.COMPILE: _draw_compiles,
}
