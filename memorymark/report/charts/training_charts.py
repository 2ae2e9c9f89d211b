"""Trainings: loss over steps or time, memory against the budget, throughput."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from memorymark.records.training_run import EvalPoint, StepPoint, TrainingRun
from memorymark.report.charts.palette import GROUND, HEIGHT, LIMIT, LINE, RUN_COLOURS, exact
from memorymark.report.charts.vega import (
    NUMBER,
    Rows,
    Spec,
    across,
    axis,
    by_label,
    chart,
    layer,
    number,
    words,
)
from memorymark.units import GIB, MIB, mib_or_gib, seconds

_LINE = 20  # pixels of a line of the legend on a telephone
_LETTER, _SYMBOL = 7.5, 44  # pixels of a letter of a legend, and around its name
_SMALL = HEIGHT - 140


class Over(StrEnum):
    """What a loss is drawn over."""

    STEPS = "Steps"
    SECONDS = "Seconds"


class Curve(NamedTuple):
    """A training with the name that it has in a chart.

    Attributes:
        name: The name; empty where it stands alone.
        run: The training.
    """

    name: str
    run: TrainingRun


def loss_curves(curves: Sequence[Curve], over: Over = Over.STEPS) -> Spec:
    """Draw the losses of trainings over one another: each step a line, evaluations as points.

    Args:
        curves: The trainings.
        over: Steps, or seconds of training, without evaluations and checkpoints.
    """
    training = [row for each in curves for row in _rows(each, over, each.run.curve)]
    evaluated = [row for each in curves for row in _rows(each, over, each.run.evaluations)]
    colours = _colours(curves, {row["kind"] for row in (*training, *evaluated)})
    most = max((row["at"] for row in (*training, *evaluated)), default=1)
    drawn = {
        "x": across("at", _titles(over), most or 1, 8),
        "y": number("loss", title="Loss", scale={"zero": False}, axis={"format": NUMBER}),
        "color": by_label("kind", colours, columns=_columns(colours)),
        "tooltip": [
            words("kind", title="Loss of"), number("step", title="Step", format=NUMBER),
            words("when", title="Trained for"), words("text", title="Loss"),
        ],
    }  # fmt: skip
    layers = [
        layer(training, "line", drawn, strokeWidth=1.5, opacity=0.8),
        layer(evaluated, "line", drawn, strokeWidth=1, strokeDash=[4, 3]),
        layer(evaluated, "point", drawn, filled=True, size=50, opacity=1),
    ]
    return chart(layers, _described(curves), HEIGHT + _LINE * len(colours))


def training_memory(run: TrainingRun) -> Spec:
    """Draw the memory of each step, with the prediction and the budget."""
    known = [point for point in run.curve if point.memory_bytes is not None]
    limits = [
        (f"Budget: {mib_or_gib(run.memory_budget_bytes)}", run.memory_budget_bytes, LIMIT),
        (f"Predicted: {mib_or_gib(run.predicted_peak_bytes)}", run.predicted_peak_bytes, GROUND),
    ]
    shown = [each for each in limits if each[1] is not None]
    most = max([*(point.memory_bytes or 0 for point in known), *(each[1] or 0 for each in shown)],
               default=0)  # fmt: skip
    name, size = ("GiB", GIB) if most >= GIB else ("MiB", MIB)
    colours = {"Measured": LINE} if known else {}
    colours |= {label: colour for label, _, colour in shown}
    colour = by_label("kind", colours)
    y = axis("memory", f"Memory ({name})", (most / size or 1.0) * 1.08, 5)
    rows = [
        {"at": point.step, "memory": (point.memory_bytes or 0) / size, "kind": "Measured",
         "text": exact(point.memory_bytes)}
        for point in known
    ]  # fmt: skip
    tooltip = [number("at", title="Step", format=NUMBER), words("text", title="Memory")]
    x = across("at", "Steps", _last_step(run), 8)
    layers = [
        layer([{"memory": (value or 0) / size, "kind": label}], "rule", {"y": y, "color": colour},
              strokeWidth=2, strokeDash=[] if label.startswith("Budget") else [6, 4])
        for label, value, _ in shown
    ]  # fmt: skip
    drawn = {"x": x, "y": y, "color": colour, "tooltip": tooltip}
    layers.append(layer(rows, "line", drawn, interpolate="step-after", strokeWidth=2))
    layers.append(layer(rows[-1:], "point", drawn, filled=True, size=40, opacity=1))
    peak = max((point.memory_bytes or 0 for point in known), default=None)
    told = ", ".join(label.lower() for label, _, _ in shown)
    described = f"Memory of the steps: at most {mib_or_gib(peak)}; {told or 'no budget'}."
    return chart(layers, described, _SMALL + _LINE * len(colours))


def training_throughput(run: TrainingRun) -> Spec:
    """Draw what each step trained on in a second."""
    unit = "Samples" if run.tokens is None else "Tokens"
    rows = [
        {"at": point.step, "rate": point.per_second, "text": f"{point.per_second:,.0f}"}
        for point in run.curve
        if math.isfinite(point.per_second)
    ]
    most = max((row["rate"] for row in rows), default=1.0)
    drawn = {
        "x": across("at", "Steps", _last_step(run), 8),
        "y": axis("rate", f"{unit} a second", (most or 1.0) * 1.08, 5),
        "tooltip": [
            number("at", title="Step", format=NUMBER), words("text", title=f"{unit} a second")
        ],
    }  # fmt: skip
    layers = [
        layer(rows, "line", drawn, strokeWidth=1.5, color=LINE),
        layer(rows[-1:], "point", drawn, filled=True, size=40, opacity=1, color=LINE),
    ]
    last = f"{rows[-1]['text']} in the last step" if rows else "none yet"
    return chart(layers, f"{unit} a second: {last}.", _SMALL)


def _rows(curve: Curve, over: Over, points: Sequence[StepPoint | EvalPoint]) -> Rows:
    found: list[dict[str, Any]] = []
    for point in points:
        if not math.isfinite(point.loss):
            continue  # it ended there, and the page says so
        found.append(
            {
                "at": point.step if over is Over.STEPS else point.seconds,
                "loss": point.loss,
                "kind": _kind(curve.name, isinstance(point, EvalPoint)),
                "step": point.step,
                "when": seconds(point.seconds),
                "text": f"{point.loss:.4f}",
            }
        )
    return found


def _kind(name: str, is_evaluation: bool) -> str:
    what = "evaluation" if is_evaluation else "training"
    return f"{name}, {what}" if name else what.capitalize()


def _colours(curves: Sequence[Curve], drawn: set[str]) -> dict[str, str]:
    """Return a colour for each line that is drawn: two neighbours of the palette for a run."""
    kinds = [_kind(each.name, last) for each in curves for last in (False, True)]
    pairs = {kind: RUN_COLOURS[n % len(RUN_COLOURS)] for n, kind in enumerate(dict.fromkeys(kinds))}
    return {kind: colour for kind, colour in pairs.items() if kind in drawn}


def _columns(labels: Collection[str]) -> Spec:
    """Return as many columns of a legend as its width has room for: names of runs are long."""
    widest = _LETTER * max(map(len, labels), default=0) + _SYMBOL
    return {"expr": f"max(1, floor(width / {widest}))"}


def _titles(over: Over) -> str:
    return "Steps" if over is Over.STEPS else "Seconds of training"


def _last_step(run: TrainingRun) -> int:
    return max((point.step for point in run.curve), default=1)


def _described(curves: Sequence[Curve]) -> str:
    told = []
    for each in curves:
        name = f"{each.name}: " if each.name else ""
        first, last = each.run.curve[:1], each.run.curve[-1:]
        words_of = "no step yet"
        if first and last:
            words_of = (
                f"training loss {first[0].loss:.4f} at step {first[0].step:,}, "
                f"{last[0].loss:.4f} at step {last[0].step:,}"
            )
        if each.run.evaluations:
            words_of += f", evaluation loss {each.run.evaluations[-1].loss:.4f} at the end"
        told.append(f"{name}{words_of}")
    return f"{'; '.join(told)}."
