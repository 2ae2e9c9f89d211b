"""Charts of the two validations: the backward pass, and torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memorymark.records.held_memory import CATEGORIES
from memorymark.records.trial import Stage, Trial
from memorymark.records.validation import BackwardValidation, CompileValidation
from memorymark.report.charts.palette import (
    CATEGORY_WORDS,
    HEIGHT,
    LIMIT,
    LINE,
    MARK_COLOURS,
    exact,
    in_gib,
)
from memorymark.report.charts.vega import (
    NAME_LINE,
    NAMES_ABOVE_BARS,
    NUMBER,
    Spec,
    across,
    axis,
    by_label,
    category_colour,
    chart,
    layer,
    number,
    words,
)
from memorymark.units import gib, seconds

STAGE_WORDS = {
    Stage.FORWARD_ONLY: "Forward only (no_grad)",
    Stage.FORWARD: "Forward",
    Stage.BACKWARD: "Forward and backward",
    Stage.STEP: "Training step",
}
_WEIGHTS = "Weights"
_STEP, _FORWARD, _EXTENDED = "Training step", "Forward only", "Extrapolated"
_BAR = 42
_AXIS_AND_LEGEND = 175


def stage_bars(validation: BackwardValidation) -> Spec:
    """Draw the peak of each stage by category, from the weights to the training step."""
    rows = [row for trial in validation.trials for row in _stage_rows(trial)]
    weights = validation.weights_bytes
    if weights is not None:
        rows.insert(0, _stage_row(_WEIGHTS, "parameters", weights))
    order = [_WEIGHTS, *STAGE_WORDS.values()]
    title = "Peak allocated (GiB)"
    ticks = {"tickCount": 5, "format": NUMBER, "labelOverlap": True}
    encoding = {
        "x": number("memory", title=title, stack=True, axis=ticks),
        "y": words("stage", title=None, sort=order, axis=NAMES_ABOVE_BARS),
        "color": category_colour(),
        "order": number("order"),
        "tooltip": [
            words("stage", title="Stage"),
            words("category", title="Category"),
            words("text", title="Memory"),
            words("bytes", title="Exactly"),
        ],
    }
    said = "; ".join(
        f"{STAGE_WORDS[t.stage]} {gib(t.peak_allocated_bytes)}" for t in validation.trials
    )
    described = f"Memory of each stage at batch {validation.batch_size}: {said}."
    bars = layer(rows, "bar", encoding, height=_BAR - 24, yOffset=NAME_LINE)
    return chart([bars], described, _BAR * len(order) + _AXIS_AND_LEGEND)


def overreach(validation: BackwardValidation) -> Spec:
    """Draw the training step's memory by batch size, up to what a forward-only tool recommends."""
    capacity = in_gib(validation.target.capacity_bytes)
    whole = _by_stage(validation, Stage.STEP)
    forward = _by_stage(validation, Stage.FORWARD_ONLY)
    recommended = validation.forward_only_max_batch_size
    needed = _needed_at(whole, recommended)
    rows = [_point(trial, _STEP) for trial in whole]
    rows += [_point(trial, _FORWARD) for trial in forward]
    if needed is not None and rows:
        last = max((row for row in rows if row["kind"] == _STEP), key=_batch, default=None)
        end = {"batch": recommended, "memory": needed, "text": f"about {needed:,.2f} GiB"}
        rows += [{**last, "kind": _EXTENDED}, {**end, "kind": _EXTENDED}] if last else []
    top = max([row["memory"] for row in rows] + [capacity or 0.0], default=1.0) or 1.0
    x = across("batch", "Batch size", max([row["batch"] for row in rows], default=1) * 1.06, 8)
    y = axis("memory", "Peak allocated (GiB)", top * 1.08, 6)
    rules = _recommendations(validation)
    colours = {_FORWARD: MARK_COLOURS["current"], _STEP: LINE, _EXTENDED: "#8aa4e0"}
    colours |= {} if capacity is None else {f"Capacity: {capacity:,.2f} GiB": LIMIT}
    colours |= {rule["kind"]: rule["colour"] for rule in rules}
    colour = by_label("kind", colours, symbolType="stroke")
    tooltip = [
        words("kind", title="Memory of"),
        number("batch", title="Batch size", format=NUMBER),
        words("text", title="Peak allocated"),
    ]
    drawn = {"x": x, "y": y, "color": colour}
    limits = [] if capacity is None else [{"memory": capacity}]
    layers = [layer(limits, "rule", {"y": y}, color=LIMIT, strokeWidth=2)]
    for kind, dash in ((_FORWARD, [1, 0]), (_STEP, [1, 0]), (_EXTENDED, [5, 4])):
        its = [row for row in rows if row["kind"] == kind]
        layers += [
            layer(its, "line", drawn, strokeWidth=2, strokeDash=dash),
            layer(its, "point", {**drawn, "tooltip": tooltip}, filled=True, size=50, opacity=1),
        ]
    layers.append(layer(rules, "rule", {"x": x, "color": colour}, strokeDash=[4, 4], strokeWidth=2))
    return chart(layers, _overreach_words(validation), HEIGHT + 12 * len(colours))


def break_even(validation: CompileValidation) -> Spec:
    """Draw time over training steps: eager, and compiled with its compile time."""
    eager, compiled = validation.eager.step_seconds, validation.compiled.step_seconds
    if eager is None or compiled is None or validation.compile_seconds is None:
        raise ValueError("the seconds of a step are not known")
    meet = validation.break_even_steps
    last = 2 * meet if meet else max(100, round(validation.compile_seconds / eager))
    rows = [
        {
            "steps": steps,
            "seconds": start + steps * each,
            "kind": kind,
            "text": seconds(start + steps * each),
        }
        for kind, start, each in (
            ("Eager", 0.0, eager),
            ("Compiled", validation.compile_seconds, compiled),
        )
        for steps in (0, last)
    ]
    colours = {"Eager": MARK_COLOURS["current"], "Compiled": MARK_COLOURS["optimal"]}
    broken_even = f"Break-even: {meet:,} steps" if meet else None
    if broken_even:
        colours[broken_even] = LIMIT
    colour = by_label("kind", colours, symbolType="stroke")
    x = across("steps", "Training steps", last, 5)
    y = axis("seconds", "Total time (s)", max(row["seconds"] for row in rows) * 1.05, 5)
    tooltip = [
        words("kind", title="Step"),
        number("steps", title="After steps", format=NUMBER),
        words("text", title="Total time"),
    ]
    drawn = {"x": x, "y": y, "color": colour, "tooltip": tooltip}
    layers = [layer(rows, "line", drawn, strokeWidth=3)]
    if broken_even:
        marks = [{"steps": meet, "kind": broken_even}]
        layers.append(layer(marks, "rule", {"x": x, "color": colour}, strokeDash=[4, 4]))
    said = f"break-even after {meet:,} steps" if meet else "no break-even"
    return chart(
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
    size = trial.peak_allocated_bytes
    return {"batch": trial.batch_size, "memory": in_gib(size), "kind": kind, "text": gib(size)}


def _batch(row: dict[str, Any]) -> int:
    return row["batch"]


def _recommendations(validation: BackwardValidation) -> list[dict[str, Any]]:
    said = [
        (validation.max_batch_size, "Largest that fits", MARK_COLOURS["optimal"]),
        (validation.forward_only_max_batch_size, "Forward-only tool", "#a8705f"),
    ]
    return [
        {"batch": batch, "kind": f"{text}: {batch:,}", "colour": colour}
        for batch, text, colour in said
        if batch is not None
    ]


def _overreach_words(validation: BackwardValidation) -> str:
    return (
        f"Memory by batch size. The largest batch that fits is {validation.max_batch_size}; "
        f"a tool that only runs the forward pass would recommend "
        f"{validation.forward_only_max_batch_size}, beyond the capacity."
    )
