import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.records.training_plan import Schedule, TrainingPlan
from memorymark.trainer.schedule import learning_rate


@given(st.sampled_from(Schedule), st.integers(0, 20), st.floats(0, 1), st.integers(21, 200))
def test_the_rate_grows_in_the_warm_up_and_then_never_again(kind, warmup, final, total):
    plan = TrainingPlan(learning_rate=0.5, schedule=kind, warmup=warmup, final_rate=final)
    rates = [learning_rate(plan, step, total) for step in range(total)]
    assert max(rates) == pytest.approx(0.5)
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert all(a >= b - 1e-12 for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    assert min(rates[warmup:]) >= 0.5 * final - 1e-12


def test_a_cosine_ends_at_the_final_rate_and_without_an_end_it_stays():
    plan = TrainingPlan(learning_rate=1.0, schedule="cosine", final_rate=0.1)
    assert learning_rate(plan, 100, 100) == pytest.approx(0.1)
    assert learning_rate(plan, 50, 100) == pytest.approx(0.55)
    assert learning_rate(plan, 10**9, None) == 1.0
