"""Charts of the two validations: the backward pass, and torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from memorymark.records.trial import CATEGORIES, Stage, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.report.charts.altair_layers import category_colour, data, finish
from memorymark.report.charts.palette import (
    CATEGORY_WORDS,
    GROUND,
    LIMIT,
    LINE,
    MARK_COLOURS,
    exact,
    in_gib,
)
from memorymark.units import gib, seconds

STAGE_WORDS = {
    Stage.FORWARD_ONLY: "Forward only (no_grad)",
    Stage.FORWARD: "Forward",
    Stage.BACKWARD: "Forward and backward",
    Stage.STEP: "Training step",
}
_WEIGHTS = "Weights"
_BAR = 38
_AXIS_AND_LEGEND = 175


def stage_bars(validation: BackwardValidation) -> alt.LayerChart:
    """Draw the peak of each stage by category, from the weights to the training step."""
    rows = [row for trial in validation.trials for row in _stage_rows(trial)]
    weights = validation.weights_bytes
    if weights is not None:
        rows.insert(0, _stage_row(_WEIGHTS, "parameters", weights))
    order = [_WEIGHTS, *STAGE_WORDS.values()]
    bars = (
        alt.Chart(data(rows))
        .mark_bar(height=_BAR - 10)
        .encode(
            x=alt.X("memory:Q", title="Peak allocated (GiB)", stack=True),
            y=alt.Y("stage:N", title=None, sort=order, axis=alt.Axis(labelLimit=220)),
            color=category_colour(),
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("stage:N", title="Stage"),
                alt.Tooltip("category:N", title="Category"),
                alt.Tooltip("text:N", title="Memory"),
                alt.Tooltip("bytes:N", title="Bytes"),
            ],
        )
    )
    said = "; ".join(
        f"{STAGE_WORDS[t.stage]} {gib(t.peak_allocated_bytes)}" for t in validation.trials
    )
    described = f"Memory of each stage at batch {validation.batch_size}: {said}."
    return finish([bars], described, _BAR * len(order) + _AXIS_AND_LEGEND)


def overreach(validation: BackwardValidation) -> alt.LayerChart:
    """Draw the training step's memory by batch size, up to what a forward-only tool recommends."""
    capacity = in_gib(validation.target.capacity_bytes)
    whole = _by_stage(validation, Stage.STEP)
    forward = _by_stage(validation, Stage.FORWARD_ONLY)
    recommended = validation.forward_only_max_batch_size
    needed = _needed_at(whole, recommended)
    rows = [_point(trial, "training step") for trial in whole]
    rows += [_point(trial, "forward only") for trial in forward]
    end = [{"batch": recommended, "memory": needed, "kind": "extrapolated"}]
    if needed is not None and rows:
        last = max((r for r in rows if r["kind"] == "training step"), key=_batch, default=None)
        rows += [{**last, "kind": "extrapolated"}, *end] if last else []
    top = max([row["memory"] for row in rows] + [capacity or 0.0], default=1.0)
    axes = _axes(max([row["batch"] for row in rows], default=1), top)
    layers = [_limit(capacity), _lines(rows, axes), *_recommendations(validation, needed, axes)]
    return finish([layer for layer in layers if layer is not None], _overreach_words(validation))


def break_even(validation: CompileValidation) -> alt.LayerChart:
    """Draw time over training steps: eager, and compiled with its compile time."""
    eager, compiled = validation.eager.step_seconds, validation.compiled.step_seconds
    if eager is None or compiled is None or validation.compile_seconds is None:
        raise ValueError("the seconds of a step are not known")
    meet = validation.break_even_steps
    last = 2 * meet if meet else max(100, round(validation.compile_seconds / eager))
    rows = [
        {"steps": steps, "seconds": start + steps * each, "kind": kind}
        for kind, start, each in (
            ("eager", 0.0, eager),
            ("compiled", validation.compile_seconds, compiled),
        )
        for steps in (0, last)
    ]
    scale = alt.Scale(
        domain=["eager", "compiled"], range=[MARK_COLOURS["current"], MARK_COLOURS["optimal"]]
    )
    x = alt.X("steps:Q", title="Training steps", axis=alt.Axis(tickCount=6))
    layers: list[alt.Chart] = [
        alt.Chart(data(rows))
        .mark_line(strokeWidth=3)
        .encode(
            x=x,
            y=alt.Y("seconds:Q", title="Total time (s)"),
            color=alt.Color("kind:N", title=None, scale=scale, legend=alt.Legend(orient="bottom")),
        )
    ]
    if meet:
        mark = alt.Chart(data([{"steps": meet, "text": f"break-even: {meet:,} steps"}]))
        layers += [
            mark.mark_rule(color=GROUND, strokeDash=[4, 4]).encode(x=x),
            mark.mark_text(color=GROUND, align="left", dx=5, fontWeight="bold").encode(
                x=x, y=alt.value(10), text="text:N"
            ),
        ]
    said = f"break-even after {meet:,} steps" if meet else "no break-even"
    return finish(
        layers, f"Eager steps take {seconds(eager)}, compiled {seconds(compiled)}; {said}."
    )


def _stage_rows(trial: Trial) -> list[dict[str, Any]]:
    label = STAGE_WORDS[trial.stage]
    if trial.breakdown is None:
        return []
    return [
        _stage_row(label, name, value)
        for name in CATEGORIES
        if (value := getattr(trial.breakdown, name))
    ]


def _stage_row(stage: str, category: str, value: int) -> dict[str, Any]:
    return {
        "stage": stage,
        "category": CATEGORY_WORDS[category],
        "order": CATEGORIES.index(category),
        "memory": in_gib(value),
        "text": gib(value),
        "bytes": exact(value),
    }


def _by_stage(validation: BackwardValidation, stage: Stage) -> list[Trial]:
    trials = (*validation.trials, *validation.search_trials)
    fitting = [t for t in trials if t.stage is stage and t.fits and t.peak_allocated_bytes]
    return sorted(fitting, key=lambda trial: trial.batch_size)


def _needed_at(trials: Sequence[Trial], batch_size: int | None) -> float | None:
    """Extend the memory of the two largest trials to a batch, in GiB."""
    if batch_size is None or len(trials) < 2:
        return None
    first, last = trials[-2:]
    each = (last.peak_allocated_bytes - first.peak_allocated_bytes) / (
        last.batch_size - first.batch_size
    )
    return in_gib(round(last.peak_allocated_bytes + each * (batch_size - last.batch_size)))


def _point(trial: Trial, kind: str) -> dict[str, Any]:
    memory = in_gib(trial.peak_allocated_bytes)
    return {"batch": trial.batch_size, "memory": memory, "kind": kind}


def _batch(row: dict[str, Any]) -> int:
    return row["batch"]


def _axes(largest: int, top: float) -> dict[str, Any]:
    return {
        "x": alt.X(
            "batch:Q",
            title="Batch size",
            scale=alt.Scale(domain=[0, largest * 1.06], nice=False),
            axis=alt.Axis(tickCount=8),
        ),
        "y": alt.Y(
            "memory:Q",
            title="Peak allocated (GiB)",
            scale=alt.Scale(domain=[0, top * 1.15], nice=False),
        ),
    }


def _limit(capacity: float | None) -> alt.LayerChart | None:
    if capacity is None:
        return None
    base = alt.Chart(data([{"memory": capacity, "text": f"capacity {capacity:,.2f} GiB"}]))
    rule = base.mark_rule(color=LIMIT, strokeWidth=2).encode(y="memory:Q")
    text = base.mark_text(color=LIMIT, align="left", dx=4, dy=-8, fontWeight="bold")
    return rule + text.encode(y="memory:Q", x=alt.value(0), text="text:N")


def _lines(rows: Sequence[dict[str, Any]], axes: dict[str, Any]) -> alt.Chart:
    kinds = ["forward only", "training step", "extrapolated"]
    colour = alt.Scale(domain=kinds, range=[MARK_COLOURS["current"], LINE, LIMIT])
    dash = alt.Scale(domain=kinds, range=[[1, 0], [1, 0], [5, 4]])
    legend = alt.Legend(orient="bottom", columns=2)  # the same twice: they become one
    return (
        alt.Chart(data(rows))
        .mark_line(point=True, strokeWidth=2)
        .encode(
            **axes,
            color=alt.Color("kind:N", title=None, scale=colour, legend=legend),
            strokeDash=alt.StrokeDash("kind:N", title=None, scale=dash, legend=legend),
        )
    )


def _recommendations(
    validation: BackwardValidation, needed: float | None, axes: dict[str, Any]
) -> list[alt.Chart]:
    said = [
        (validation.max_batch_size, "max batch size", MARK_COLOURS["optimal"]),
        (validation.forward_only_max_batch_size, "forward-only tool", LIMIT),
    ]
    layers = []
    for number, (batch, text, colour) in enumerate(said):
        if batch is None:
            continue
        base = alt.Chart(data([{"batch": batch, "text": f"{text}: {batch:,}", "memory": needed}]))
        right = number == 1
        layers += [
            base.mark_rule(color=colour, strokeDash=[4, 4]).encode(x=axes["x"]),
            base.mark_text(
                color=colour, align="right" if right else "left", dx=-5 if right else 5,
                fontWeight="bold",
            ).encode(x=axes["x"], y=alt.value(8 + 16 * number), text="text:N"),
        ]  # fmt: skip
    return layers


def _overreach_words(validation: BackwardValidation) -> str:
    return (
        f"Memory by batch size. The max batch size is {validation.max_batch_size}; "
        f"a tool that only runs the forward pass would recommend "
        f"{validation.forward_only_max_batch_size}, beyond the capacity."
    )
