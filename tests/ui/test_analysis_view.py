"""What the analysis page says beside its charts."""

import dataclasses

from app_probe import AppProbe
from fakes import FakeWorkload

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.marks import with_options
from memorymark.records.config import TrainingConfig
from memorymark.ui.analysis_view import _legend as legend
from memorymark.ui.analysis_view import trial_rows
from memorymark.units import MIB, UNKNOWN


def ranged(analysis):
    trials = [
        dataclasses.replace(
            trial,
            peak_reserved_low_bytes=trial.memory_bytes - 256 * MIB,
            peak_reserved_high_bytes=trial.memory_bytes + 256 * MIB,
        )
        if trial.fits
        else trial
        for trial in analysis.trials
    ]
    return with_options(dataclasses.replace(analysis, trials=tuple(trials)))


def test_the_range_is_explained_where_there_is_one():
    plain = analyze_on(AppProbe(), FakeWorkload(), TrainingConfig())
    assert "cuDNN" not in legend(plain)
    assert {row["Range"] for row in trial_rows(plain)} == {UNKNOWN}
    found = ranged(plain)
    said = legend(found)
    assert "the band along the line is where the peak lies" in said
    assert said.endswith(f"At the recommended batch: {found.optimal.trial.reserved_range}.")
    assert any(" to " in row["Range"] for row in trial_rows(found))
