"""The smaller batches of which an effective batch can be made."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from memorymark.analysis.levers.make_it_fit import MakeItFit
from memorymark.records.config import TrainingConfig


@pytest.mark.parametrize(
    ("batch", "parts"),
    [(1, []), (24, [12, 6, 3, 1]), (15, [5, 3, 1]), (7, [1]), (225, [75, 45, 25, 9, 5, 3, 1])],
)
def test_a_batch_is_split_into_equal_parts_whatever_divides_it(batch, parts):
    attempts = SimpleNamespace(batch_size=batch, config=TrainingConfig(gradient_accumulation=2))
    before = SimpleNamespace(needed_bytes=1 << 30)
    found = [option.changes for option in MakeItFit(attempts, before, {})._accumulations()]
    assert [each["batch_size"] for each in found] == parts
    assert all(each["batch_size"] * each["gradient_accumulation"] == 2 * batch for each in found)
