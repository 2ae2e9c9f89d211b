"""A Fit is true where the batch fits, says by how much, and goes through JSON."""

import json

import pytest

from memorymark.records.config import TrainingConfig
from memorymark.records.fit import Fit
from memorymark.records.trial import Outcome, Source, Target, Trial
from memorymark.units import GIB

TARGET = Target("NVIDIA L4", "simulated", Source.SIMULATED, 4 * GIB)


def fit(needed=GIB, outcome=Outcome.OK, high=None, **known):
    trial = Trial(
        "Net", 8, TrainingConfig(), Source.SIMULATED, TARGET.name, outcome,
        peak_reserved_bytes=needed, peak_reserved_high_bytes=high, minimum_bytes=needed,
        capacity_bytes=4 * GIB, error="an error" if outcome is Outcome.ERROR else None,
    )  # fmt: skip
    return Fit(trial, TARGET, **known)


@pytest.mark.parametrize(("found", "sentence"), [
    (fit(), "Batch 8 of Net fits on NVIDIA L4 with 3.00 GiB to spare: it needs 1.00 of 4.00 GiB. "
            "Simulated."),
    (fit(high=2 * GIB), "Batch 8 of Net fits on NVIDIA L4 with 2.00 GiB to spare: it needs 2.00 "
                        "of 4.00 GiB. Simulated."),
    (fit(searched=True, max_batch_size=12, max_is_lower_bound=True),
     "Batch 8 of Net fits on NVIDIA L4 with 3.00 GiB to spare: it needs 1.00 of 4.00 GiB. "
     "The largest batch that fits is at least 12. Simulated."),
    (fit(5 * GIB, Outcome.OOM, searched=True, max_batch_size=6),
     "Batch 8 of Net does not fit on NVIDIA L4: it needs 5.00 of 4.00 GiB, 1.00 GiB too much. "
     "The largest batch that fits is 6. Simulated."),
    (fit(5 * GIB, Outcome.OOM, searched=True),
     "Batch 8 of Net does not fit on NVIDIA L4: it needs 5.00 of 4.00 GiB, 1.00 GiB too much. "
     "Not even one sample fits. Simulated."),
    (fit(None, Outcome.OOM), "Batch 8 of Net does not fit on NVIDIA L4. Simulated."),
    (fit(None, Outcome.ERROR), "Batch 8 of Net failed: an error"),
    (fit(100 * 1024**2), "Batch 8 of Net fits on NVIDIA L4 with 3.90 GiB to spare: it needs "
                         "100.0 MiB of 4.00 GiB. Simulated."),
])  # fmt: skip
def test_it_says_by_how_much(found, sentence):
    assert str(found) == sentence
    assert bool(found) is found.fits is (found.trial.outcome is Outcome.OK)


def test_it_goes_through_json():
    found = fit(searched=True, max_batch_size=12, tried=(8, 12), findings=("a",), held_bytes=3)
    document = json.loads(json.dumps(found.to_dict()))
    assert Fit.from_dict(document) == found
    assert document["fits"] is True and document["source"] == "simulated"
    assert document["spare_bytes"] == 3 * GIB and document["sentence"] == str(found)
