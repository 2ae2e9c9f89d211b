"""Options as keyword arguments of a function."""

import inspect

import pytest

from memorymark.errors import InvalidValue, UnknownChoice
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.option import options_of
from memorymark.records.option_keywords import naming_options, options_from


def searching(model, *, device=None, **options):
    return model, device, options


def parameters(*names):
    function = naming_options(AnalysisOptions, names or None)(lambda model, **options: options)
    return inspect.signature(function).parameters


def test_help_names_all_options_or_those_that_are_taken_with_their_defaults():
    assert list(parameters()) == ["model", *options_of(AnalysisOptions)]
    taken = parameters("epochs", "granularity")
    assert list(taken) == ["model", "epochs", "granularity"]
    assert [taken[name].default for name in ("epochs", "granularity")] == [None, 8]
    assert all(taken[name].kind is inspect.Parameter.KEYWORD_ONLY for name in list(taken)[1:])


def test_the_function_stays_the_one_that_it_is():
    assert naming_options(AnalysisOptions)(searching) is searching
    assert searching("bert", epochs=3) == ("bert", None, {"epochs": 3})


def test_a_record_is_made_of_what_is_given():
    assert options_from(AnalysisOptions, {"epochs": 3}) == AnalysisOptions(epochs=3)
    assert options_from(AnalysisOptions, {}, ("epochs",)) == AnalysisOptions()


def test_what_is_not_taken_is_refused_by_name():
    with pytest.raises(UnknownChoice, match="Did you mean 'epochs'"):
        options_from(AnalysisOptions, {"epoch": 3})
    with pytest.raises(UnknownChoice, match="'epochs'"):
        options_from(AnalysisOptions, {"epochs": 3}, ("granularity",))
    with pytest.raises(InvalidValue):
        options_from(AnalysisOptions, {"epochs": 0})
