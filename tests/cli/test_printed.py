"""Results as text."""

import dataclasses

from fakes import FakeProbe, FakeWorkload

from memorymark.cli.printed import trial_verdict
from memorymark.records.config import TrainingConfig
from memorymark.units import GIB
from memorymark.workloads.trial_spec import TrialSpec


def test_the_range_of_a_trial_is_said_with_its_verdict():
    trial = FakeProbe(2 * GIB, 0).run_trial(TrialSpec(FakeWorkload(), TrainingConfig(), 8))
    assert trial_verdict(trial).endswith("fits, 2.00 GiB of 8.00 GiB.")
    ranged = dataclasses.replace(
        trial, peak_reserved_low_bytes=GIB, peak_reserved_high_bytes=3 * GIB
    )
    assert trial_verdict(ranged).endswith(
        "fits, 2.00 GiB (1.00 to 3.00 GiB, depending on which cuDNN workspaces find room) of "
        "8.00 GiB."
    )
