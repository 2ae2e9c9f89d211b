import dataclasses

import pytest
from small_trainings import small_job

from memorymark.errors import InvalidValue, UsageError
from memorymark.trainer.training_job import check_length


def test_the_length_is_counted_in_steps_epochs_or_tokens():
    assert small_job(4, steps=7).total_steps == 7
    assert small_job(4, 2, samples=64).total_steps == 8  # once through
    assert small_job(4, 2, samples=60, epochs=3).total_steps == 23
    assert small_job(4, 2, tokens=16 * 8 * 5 + 1).total_steps == 6
    assert small_job(4, time_budget="1h").total_steps is None
    assert small_job(4, time_budget="1h", epochs=1).total_steps == 16


def test_the_effective_batch_is_kept_when_it_is_split():
    job = small_job(8, 3).split(4)
    assert (job.batch_size, job.config.gradient_accumulation) == (4, 6)
    with pytest.raises(UsageError, match="no multiple"):
        small_job(8).split(3)


def test_a_workload_that_makes_its_own_batches_needs_a_length():
    own = dataclasses.replace(small_job(4), samples=None)
    with pytest.raises(UsageError, match="--steps"):
        check_length(own)
    for plan, error in (({"epochs": 2}, InvalidValue), ({"tokens": 5}, InvalidValue)):
        with pytest.raises(error):
            check_length(dataclasses.replace(small_job(4, **plan), samples=None))
    check_length(dataclasses.replace(small_job(4, steps=2), samples=None))
