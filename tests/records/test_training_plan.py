import pytest

from memorymark.errors import InvalidValue, UsageError
from memorymark.records.option import changed_words
from memorymark.records.training_plan import TrainingPlan
from memorymark.units import parse_seconds


def test_spans_of_time_are_read():
    given = {"90": 90, "90s": 90, "2h": 7200, "1h 30m": 5400, "1.5h": 5400, "1d": 86400, 12: 12}
    assert {text: parse_seconds(text) for text in given} == given


@pytest.mark.parametrize("text", ["", "h", "0", "-5s", "2 hours", "1 2", "1e9d", "nan", "9999d9h"])
def test_what_is_no_span_is_refused(text):
    with pytest.raises(InvalidValue, match="span of time"):
        parse_seconds(text)


def test_a_plan_comes_back_from_words_and_json():
    plan = TrainingPlan(data="a.txt", time_budget="2h", steps=5, schedule="cosine")
    assert TrainingPlan.from_dict(plan.to_dict()) == plan
    words = changed_words(plan)
    assert words[words.index("--time-budget") + 1] == "7200.0"
    assert TrainingPlan(time_budget="7200.0") == TrainingPlan(time_budget=7200)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(UsageError, match="More than one length"):
        TrainingPlan(steps=5, epochs=1)
    with pytest.raises(UsageError, match="--checkpoint"):
        TrainingPlan(resume=True)
    for wrong in ({"steps": 0}, {"learning_rate": -1}, {"eval_share": 1.5}, {"schedule": "cos"}):
        with pytest.raises(UsageError):
            TrainingPlan(**wrong)
