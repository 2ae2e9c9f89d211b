from __future__ import annotations

import json

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target

from memorymark.errors import InvalidValue, UnknownChoice
from memorymark.records.analysis import Analysis
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import Plan, savings
from memorymark.records.mark import Advice, Mark
from memorymark.units import GIB
from memorymark.workloads.trial_spec import TrialSpec

DOCUMENTED = (
    "trials model_name device source gpu_total_gb current_batch_size current_memory_gb "
    "optimal_batch_size optimal_memory_gb max_batch_size max_memory_gb waste_gb waste_percent "
    "headroom_gb speedup batch_ratio cost_savings_per_run cost_savings_annual price_per_hour "
    "objective probes elapsed_seconds run_id"
)


def example() -> Analysis:
    probe = FakeProbe()
    trials = tuple(
        probe.run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), n)) for n in (16, 128, 192, 200)
    )
    current, optimal, largest = (
        Mark(t.batch_size, t, t.memory_bytes, t.samples_per_second, fits=True) for t in trials[:3]
    )
    return Analysis(
        workload="fake", target=measured_target(), config=TrainingConfig(), trials=trials,
        options=AnalysisOptions(price_per_hour=1.29, dataset_size=1000, epochs=3),
        max_batch_size=192, search_granularity=8, current=current, optimal=optimal, max=largest,
        costs=savings(Plan(1.29, 1000, 3), 400.0, 800.0), findings=("One.",),
        advice=(Advice("Use SGD.", {"optimizer": "sgd"}, 1, 5, 6, True),),
        elapsed_seconds=2.5, run_id="ab12cd34", created_at="2026-01-02T03:04:05+00:00",
        software={"torch": "2.15.0"},
    )  # fmt: skip


def test_all_documented_keys_are_there():
    values = example().to_dict()
    assert [key for key in DOCUMENTED.split() if key not in values] == []
    assert values["probes"] == 4


def test_every_gib_key_has_a_twin_in_bytes():
    values = example().to_dict()
    keys = [key for key in values if key.endswith("_gb")]
    assert len(keys) >= 6
    for key in keys:
        assert values[key] * GIB == pytest.approx(values[key[:-3] + "_bytes"])


def test_round_trip_through_json_loses_nothing():
    analysis = example()
    assert Analysis.from_dict(json.loads(json.dumps(analysis.to_dict()))) == analysis


def test_round_trip_keeps_a_mark_with_a_trial_from_elsewhere():
    analysis = example()
    other = FakeProbe().run_trial(TrialSpec(FakeWorkload("elsewhere"), TrainingConfig(), 24))
    changed = Analysis(**{**vars(analysis), "current": Mark(24, other, 7, None, fits=True)})
    assert Analysis.from_dict(json.loads(json.dumps(changed.to_dict()))) == changed


def test_waste_headroom_and_ratios():
    analysis = example()
    assert analysis.waste_bytes == 8 * GIB - analysis.current.memory_bytes
    assert analysis.waste_share == pytest.approx(1 - 2.5 / 8)
    assert analysis.headroom_bytes == 8 * GIB - analysis.optimal.memory_bytes
    assert analysis.batch_ratio == 8
    assert analysis.speedup == pytest.approx((128 / 0.148) / (16 / 0.036))


def test_unknown_figures_are_null():
    analysis = Analysis("fake", measured_target(None), TrainingConfig(), AnalysisOptions(), ())
    values = analysis.to_dict()
    for key in ("gpu_total_gb", "waste_gb", "waste_percent", "speedup", "batch_ratio"):
        assert values[key] is None
    assert Analysis.from_dict(values) == analysis


@pytest.mark.parametrize(
    "wrong",
    [
        {"current_batch_size": 0},
        {"granularity": -8},
        {"headroom": 1.0},
        {"headroom": float("nan")},
        {"price_per_hour": -1},
        {"runs_per_year": float("inf")},
        {"max_batch_size": 65_536},
        {"dataset_size": 0},
        {"epochs": 1.5},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidValue):
        AnalysisOptions(**wrong)


def test_objective_suggests_the_nearest():
    with pytest.raises(UnknownChoice, match="throughput"):
        AnalysisOptions(objective="thruput")


def test_upper_bound_is_the_data_set():
    assert AnalysisOptions(dataset_size=100).upper_bound == 100
    assert AnalysisOptions(max_batch_size=64, dataset_size=100).upper_bound == 64
