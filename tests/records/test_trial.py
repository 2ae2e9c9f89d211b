from __future__ import annotations

import dataclasses
import json

import pytest
from fakes import FakeProbe, FakeWorkload

from memorymark.records.config import TrainingConfig
from memorymark.records.held_memory import Holder, Timeline
from memorymark.records.trial import GradientCheck, Outcome, Source, Stage, Trial
from memorymark.units import GIB
from memorymark.workloads.trial_spec import TrialSpec


def trial(**changes) -> Trial:
    made = FakeProbe().run_trial(
        TrialSpec(FakeWorkload(), TrainingConfig(gradient_accumulation=2), 8)
    )
    return dataclasses.replace(made, **changes)


def test_a_trial_survives_json():
    whole = trial(
        holders=(Holder("encoder.layer.0", "activations", 10),),
        timeline=Timeline((0, 1), (5, 6), (("forward", 0),)),
        gradient_check=GradientCheck(2, 1, None, 8, 4, ("head.bias",)),
        stage=Stage.BACKWARD,
        assumptions=("one",),
        findings=("two",),
    )
    assert Trial.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole


def test_samples_of_an_accumulated_step_are_all_counted():
    assert trial(step_seconds=0.5).samples_per_second == pytest.approx(8 * 2 / 0.5)
    assert trial(step_seconds=None).samples_per_second is None


def test_memory_is_what_is_reserved_else_what_is_allocated():
    held = trial(peak_allocated_bytes=3 * GIB, peak_reserved_bytes=4 * GIB)
    assert held.memory_bytes == 4 * GIB
    assert dataclasses.replace(held, peak_reserved_bytes=None).memory_bytes == 3 * GIB


def test_a_range_is_said_with_both_ends():
    held = trial(peak_allocated_bytes=3 * GIB, peak_reserved_bytes=4 * GIB)
    assert held.reserved_range is None and held.most_memory_bytes == 4 * GIB
    ranged = dataclasses.replace(
        held, peak_reserved_low_bytes=3 * GIB, peak_reserved_high_bytes=5 * GIB
    )
    assert ranged.memory_bytes == 4 * GIB and ranged.most_memory_bytes == 5 * GIB
    assert ranged.reserved_range == (
        "3.00 to 5.00 GiB, depending on which cuDNN workspaces find room"
    )
    narrow = dataclasses.replace(ranged, peak_reserved_high_bytes=3 * GIB + 1)
    assert narrow.reserved_range is None, "both ends read alike"


@pytest.mark.parametrize("needed", [9 * GIB, None])
def test_memory_out_of_memory_is_what_it_would_take(needed):
    failed = trial(
        outcome=Outcome.OOM,
        peak_allocated_bytes=3 * GIB,
        peak_reserved_bytes=None,
        minimum_bytes=needed,
    )
    assert failed.memory_bytes == needed


def test_the_share_of_the_capacity_is_above_one_where_it_does_not_fit_and_unknown_without_either():
    def share(memory, capacity):
        trial = Trial(
            model="any", batch_size=1, config=TrainingConfig(), source=Source.MEASURED,
            device="any", outcome=Outcome.OK, peak_allocated_bytes=memory, capacity_bytes=capacity,
        )  # fmt: skip
        return trial.capacity_share

    assert share(50, 200) == 0.25
    assert share(300, 200) == 1.5
    assert share(None, 200) is None
    assert share(50, None) is None
