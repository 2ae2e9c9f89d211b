"""A report of ARC tasks: its totals, its verdicts, and the way to JSON and back."""

from __future__ import annotations

import dataclasses
import json

import pytest

from memorymark.errors import InvalidValue, UnknownChoice, UsageError
from memorymark.records.arc_plan import ARC_OPTIONS, TRAINED_BY, ArcPlan, Augment
from memorymark.records.arc_report import ArcReport, ArcTaskResult, TaskEnd
from memorymark.records.codec import to_json
from memorymark.records.config import TrainingConfig
from memorymark.records.generation_run import WeightsFrom
from memorymark.records.option import options_of
from memorymark.records.session_run import Verdict
from memorymark.records.trial import Source, Target
from memorymark.units import GIB

CPU = Target("CPU", "cpu", Source.MEASURED, 4 * GIB)


def task(before=0, after=1, grids=1, stopped_by=TaskEnd.STEPS, **more):
    return ArcTaskResult("a", grids, stopped_by, (3, 3), (2, 2), before, after, 64, 8, **more)


def report(*tasks, plan=None, **more):
    values = {"peak_allocated_bytes": GIB, "memory_budget_bytes": 2 * GIB, "seconds": 50.0}
    return ArcReport(
        "tiny", TrainingConfig(lora_rank=8), plan or ArcPlan(time_budget=60, target_accuracy=0.5),
        CPU, WeightsFrom.RANDOM, tasks, **{**values, **more},
    )  # fmt: skip


NOT_RUN = ArcTaskResult("b", 2, TaskEnd.NOT_RUN)


def test_totals_count_what_was_not_asked_as_wrong():
    found = report(task(0, 1), task(1, 1, grids=2), NOT_RUN, read_tasks=3, read_seconds=0.5)
    assert (found.grids, found.correct_before, found.correct_after) == (5, 1, 2)
    assert found.accuracy_before == 1 / 3 and found.accuracy_after == 2 / 5
    assert found.tasks_solved == 1 and found.tasks_per_second == 6
    assert found.trainable_parameters == 64


def test_of_nothing_there_are_no_shares():
    found = report()
    assert found.accuracy_before is None and found.accuracy_after is None
    assert found.tasks_per_second is None and found.trainable_parameters is None
    assert found.verdicts["accuracy"].verdict is Verdict.NOT_PROVEN


def verdicts(*tasks, **more):
    return {name: str(each.verdict) for name, each in report(*tasks, **more).verdicts.items()}


def test_a_run_within_its_budgets_passes():
    assert verdicts(task(), task()) == {"memory": "PASS", "time": "PASS", "accuracy": "PASS"}


@pytest.mark.parametrize(
    ("tasks", "more", "name", "verdict", "said"),
    [
        ([task(stopped_by=TaskEnd.OUT_OF_MEMORY)], {}, "memory", "FAIL", "1 task ran out"),
        ([task(stopped_by=TaskEnd.OUT_OF_MEMORY)], {"memory_budget_bytes": None}, "memory", "FAIL",
         "1 task ran out"),
        ([task()], {"peak_allocated_bytes": 3 * GIB}, "memory", "FAIL", "It held 3.00 GiB"),
        ([task()], {"memory_budget_bytes": None}, "memory", "NOT PROVEN", "No memory budget"),
        ([task()], {"peak_allocated_bytes": None}, "memory", "NOT PROVEN", "not measured"),
        ([task()], {"seconds": 61.0}, "time", "FAIL", "It took 61 s of 60 s"),
        ([task(), NOT_RUN], {}, "time", "FAIL", "1 task had fewer steps"),
        ([task(stopped_by=TaskEnd.TIME)], {}, "time", "FAIL", "1 task had fewer steps"),
        ([task()], {"plan": ArcPlan()}, "time", "NOT PROVEN", "No time budget"),
        ([task()], {"plan": ArcPlan()}, "accuracy", "NOT PROVEN", "No target accuracy"),
        ([task(), task(after=0), task(after=0)], {}, "accuracy", "FAIL", "1 of 3 grids are right"),
        ([task(), NOT_RUN], {}, "accuracy", "NOT PROVEN", "and 2 were not asked"),
        ([task(), task(after=None, stopped_by=TaskEnd.ERROR), task(after=0)], {}, "accuracy",
         "FAIL", "the target"),
        ([task(after=0)] * 3 + [NOT_RUN], {}, "accuracy", "FAIL", "the target is 50 %"),
    ],
)  # fmt: skip
def test_each_criterion_has_its_verdict_and_a_reason(tasks, more, name, verdict, said):
    found = report(*tasks, **more).verdicts[name]
    assert found.verdict == verdict and said in found.reason


def test_it_goes_to_json_and_back():
    found = report(task(train_loss=0.5, findings=("So it is.",)), NOT_RUN, read_tasks=2,
                   read_seconds=0.25, software={"torch": "2"})  # fmt: skip
    values = json.loads(to_json(found))
    assert ArcReport.from_dict(values) == found
    assert values["tasks_per_second"] == 8 and values["accuracy_after"] == 1 / 3
    assert values["verdicts"]["memory"]["verdict"] == "PASS"
    assert values["time_budget_seconds"] == 60 and values["device"] == "CPU"
    assert values["tasks"][0]["correct_after"] == 1


def test_numbers_that_are_none_are_null():
    found = report(task(train_loss=float("nan")))
    assert json.loads(to_json(found))["tasks"][0]["train_loss"] is None


def test_a_plan_reads_times_and_names():
    plan = ArcPlan(data="folder", time_budget="1h 30m", augment="colours")
    assert plan.time_budget == 5400 and plan.augment is Augment.COLOURS
    assert ArcPlan.from_dict(plan.to_dict()) == plan
    assert {"data", *ARC_OPTIONS} == set(options_of(ArcPlan))
    assert set(TRAINED_BY) <= set(options_of(TrainingConfig))
    assert {each.turns for each in Augment} == {True, False}


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"steps": 0}, InvalidValue, "steps is 0"),
        ({"time_budget": "soon"}, InvalidValue, "a span of time such as"),
        ({"target_accuracy": 1.5}, InvalidValue, "target accuracy is 1.5"),
        ({"augment": "colour"}, UnknownChoice, "Did you mean 'colours'"),
        ({"grid_side": 31}, InvalidValue, "from 1 to 30"),
        ({"data": "a", "generated": 3}, UsageError, "Give --data or --generated"),
    ],
)
def test_what_a_plan_does_not_accept_is_said(options, kind, said):
    with pytest.raises(kind, match=said):
        ArcPlan(**options)


def test_verdicts_follow_the_tasks():
    good = report(task())
    worse = dataclasses.replace(good, tasks=(task(after=0),))
    assert str(worse.verdicts["accuracy"].verdict) == "FAIL"
