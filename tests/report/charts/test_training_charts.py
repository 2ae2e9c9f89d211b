"""Charts of trainings: losses over one another, memory against the budget, nothing made up."""

from __future__ import annotations

import dataclasses
import math

from memorymark.records.config import TrainingConfig
from memorymark.records.training_plan import TrainingPlan
from memorymark.records.training_run import EvalPoint, StepPoint, StoppedBy, TrainingRun
from memorymark.records.trial import Source, Target
from memorymark.report.charts.training_charts import (
    Curve,
    Over,
    loss_curves,
    training_memory,
    training_throughput,
)
from memorymark.units import GIB, MIB

RUN = TrainingRun(
    "gpt2", TrainingConfig(), TrainingPlan(data="a.txt"),
    Target("CPU", "cpu", Source.MEASURED, None), 2, StoppedBy.LENGTH, tokens=100,
    memory_budget_bytes=4 * GIB, predicted_peak_bytes=2 * GIB,
    curve=tuple(StepPoint(n, n / 2, 5 - n / 10, 0.1, 100.0 * n, GIB) for n in range(1, 11)),
    evaluations=(EvalPoint(0, 0, 5.5), EvalPoint(10, 5, 4.2)),
)  # fmt: skip


def rows(spec, **like):
    return [
        row
        for layer in spec["layer"]
        for row in layer["data"]["values"]
        if all(row.get(name) == value for name, value in like.items())
    ]


def test_losses_stand_over_steps_or_over_seconds():
    over = {each: loss_curves([Curve("", RUN)], each) for each in Over}
    at = {each: [row["at"] for row in rows(spec, kind="Training")] for each, spec in over.items()}
    assert at[Over.STEPS] == list(range(1, 11))
    assert at[Over.SECONDS] == [n / 2 for n in range(1, 11)]
    assert [row["loss"] for row in rows(over[Over.STEPS], kind="Evaluation")][:2] == [5.5, 4.2]
    assert "4.2000" in over[Over.STEPS]["description"]


def test_two_runs_have_names_and_colours_of_their_own():
    other = dataclasses.replace(RUN, evaluations=())
    spec = loss_curves([Curve("a1 gpt2", RUN), Curve("b2 bdh", other)])
    colours = spec["layer"][0]["encoding"]["color"]["scale"]
    names = ["a1 gpt2, training", "a1 gpt2, evaluation", "b2 bdh, training"]
    assert colours["domain"] == names and len(set(colours["range"])) == 3


def test_what_is_no_number_is_not_drawn():
    broken = StepPoint(11, 6, math.nan, 0.1, math.inf)
    run = dataclasses.replace(RUN, curve=(*RUN.curve, broken))
    assert len(rows(loss_curves([Curve("", run)]), kind="Training")) == 10
    assert all(math.isfinite(row["rate"]) for row in rows(training_throughput(run)))


def test_memory_stands_against_budget_and_prediction():
    spec = training_memory(RUN)
    assert [row["memory"] for row in rows(spec, kind="Budget: 4.00 GiB")] == [4.0]
    assert [row["memory"] for row in rows(spec, kind="Predicted: 2.00 GiB")] == [2.0]
    assert {row["memory"] for row in rows(spec, kind="Measured")} == {1.0}
    small = dataclasses.replace(
        RUN, memory_budget_bytes=None, predicted_peak_bytes=None,
        curve=(StepPoint(1, 1, 1, 1, 1, MIB),),
    )  # fmt: skip
    assert {row["memory"] for row in rows(training_memory(small))} == {1.0}


def test_a_run_without_steps_is_drawn_as_such():
    empty = dataclasses.replace(RUN, curve=(), evaluations=(), tokens=None)
    for spec in (loss_curves([Curve("", empty)]), training_memory(empty)):
        assert spec["layer"] and spec["description"]
    assert training_throughput(empty)["description"] == "Samples a second: none yet."
