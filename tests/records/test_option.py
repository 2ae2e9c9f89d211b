"""Options: each is declared once, and everything that is made from it agrees."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark import api
from memorymark.cli import commands
from memorymark.errors import InvalidValue, UsageError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.option import changed, changed_words, from_query, options_of, to_query

OPTIONS = [
    (kind, option)
    for kind in (TrainingConfig, AnalysisOptions)
    for option in options_of(kind).values()
]
each_option = pytest.mark.parametrize(
    ("kind", "option"), OPTIONS, ids=lambda value: getattr(value, "name", "")
)


def other_than_default(option: Any) -> Any:
    if option.choices:
        return next(name for name in reversed(option.choices) if name != option.default)
    if option.kind is bool:
        return not option.default
    return 0.25 if option.kind is float else 77


def test_all_fields_but_compile_are_options():
    for kind in (TrainingConfig, AnalysisOptions):
        fields = {field.name for field in dataclasses.fields(kind)}
        assert fields - set(options_of(kind)) <= {"compile"}


@each_option
def test_an_option_has_its_words(kind: type, option: Any):
    assert option.label[0].isupper() and not option.label.endswith(".")
    assert option.help[0].isupper() and option.help.endswith(".")
    assert option.flag.startswith("--")


@each_option
def test_bounds_hold_in_the_record(kind: type, option: Any):
    if option.kind not in (int, float):
        return
    wrong = [option.smallest - 1, float("nan"), float("inf"), True, "8"]
    wrong += [] if option.largest is None else [option.largest * 1.01 + 1]
    for value in wrong:
        with pytest.raises(InvalidValue, match=option.name.replace("_", " ")):
            kind(**{option.name: value})
    ends = [option.smallest] + ([] if option.largest is None else [option.largest])
    for value in ends:
        assert getattr(kind(**{option.name: value}), option.name) == value


@each_option
def test_a_switch_is_true_or_false(kind: type, option: Any):
    if option.kind is bool:
        for value in ("yes", 1, None):
            with pytest.raises(InvalidValue, match="true or false"):
                kind(**{option.name: value})


def test_the_bounds_that_people_meet():
    assert options_of(TrainingConfig)["seq_len"].largest == 10_000_000
    assert options_of(AnalysisOptions)["headroom"].largest == 0.9
    with pytest.raises(InvalidValue, match=r"from 0 to 0\.9"):
        AnalysisOptions(headroom=0.95)


@each_option
def test_every_option_has_its_flag_and_its_words(kind: type, option: Any):
    record = kind(**{option.name: other_than_default(option)})
    words = changed_words(record)
    assert list(changed(record)) == [option.name]
    assert words[0] == option.flag and len(words) == (1 if option.kind is bool else 2)
    parameters = inspect.signature(commands.analyze).parameters
    flags = [flag for each in parameters.values() for flag in _flags(each)]
    assert flags.count(option.flag) == 1
    assert changed_words(kind()) == []


def _flags(parameter: inspect.Parameter) -> tuple[str, ...]:
    (shown,) = parameter.annotation.__metadata__
    return (shown.default, *(shown.param_decls or ()))


@each_option
def test_every_option_survives_the_address(kind: type, option: Any):
    record = kind(**{option.name: other_than_default(option)})
    query = to_query(record)
    assert list(query) == [option.name]
    assert from_query(kind, query) == (record, [])
    assert from_query(kind, {**query, "run": "ab12"}) == (record, [])


@given(st.sampled_from(OPTIONS), st.text(max_size=12))
def test_whatever_the_address_says_gives_a_record(given_option: Any, text: str):
    kind, option = given_option
    record, refused = from_query(kind, {option.name: text})
    assert (record == kind()) or not refused
    assert all(sentence.count("\n") == 0 for sentence in refused)


def test_the_library_takes_the_same_options_with_the_same_defaults():
    given = inspect.signature(api.analyze).parameters
    for name, option in options_of(AnalysisOptions).items():
        assert given[name].default == option.default


def test_a_number_from_the_address_keeps_its_kind():
    record, _ = from_query(AnalysisOptions, {"runs_per_year": "12", "price_per_hour": "2"})
    assert (repr(record.runs_per_year), repr(record.price_per_hour)) == ("12", "2.0")
    halves, _ = from_query(AnalysisOptions, {"runs_per_year": "0.5"})
    assert halves.runs_per_year == 0.5


def test_an_error_of_an_option_is_an_error_of_usage():
    for wrong in ({"precision": "fp33"}, {"seq_len": 0}, {"dropout": "no"}):
        with pytest.raises(UsageError):
            TrainingConfig(**wrong)
