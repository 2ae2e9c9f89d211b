"""Options: each is declared once, and everything that is made from it agrees."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import pytest
import streamlit
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from memorymark.api import model_calls as api
from memorymark.cli import commands
from memorymark.errors import InvalidRecord, InvalidValue, UsageError
from memorymark.records import option as option_module
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.costs import run_cost
from memorymark.records.inputs import MONEY
from memorymark.records.option import (
    changed,
    changed_words,
    check_options,
    from_query,
    options_of,
    to_query,
)
from memorymark.records.request import DEFAULT_BATCH_SIZE, Request, RequestKind
from memorymark.records.session_run import SessionPlan
from memorymark.service.access import AppService
from memorymark.ui.say import plain
from memorymark.ui.setup.setup_record import BATCH, SEARCH
from memorymark.units import GIB

OPTIONS = [
    (kind, option)
    for kind in (TrainingConfig, AnalysisOptions)
    for option in options_of(kind).values()
]
each_option = pytest.mark.parametrize(
    ("kind", "option"), OPTIONS, ids=lambda value: getattr(value, "name", "")
)


TEXTS = {"freeze": "*.bias", "lengths": "32:5,512:1", "length_range": "16,120.5,512"}


def other_than_default(option: Any) -> Any:
    if option.choices:
        return next(name for name in reversed(option.choices) if name != option.default)
    if option.kind is bool:
        return not option.default
    if option.kind is str:
        return TEXTS[option.name]
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
    wrong = [option.smallest - 1, float("nan"), float("inf"), True, "8", 10**5000, -(10**5000)]
    wrong += [] if option.largest is None else [option.largest * 1.01 + 1]
    for value in wrong:
        with pytest.raises(InvalidValue, match=option.name.replace("_", " ")) as caught:
            kind(**{option.name: value})
        assert len(str(caught.value)) < 200
    ends = [option.smallest] + ([] if option.largest is None else [option.largest])
    for value in ends:
        assert getattr(kind(**{option.name: value}), option.name) == value


@each_option
@pytest.mark.parametrize("text", ["9" * 5000, "nan", "inf", "-Infinity", "1e400", "x" * 10**6])
def test_text_without_end_is_refused_in_a_short_sentence(kind: type, option: Any, text: str):
    if option.name == "freeze" and len(text) < 1000:
        return  # a number is a text like any other
    record, refused = from_query(kind, {option.name: text})
    assert record == kind()
    assert len(refused) == 1 and len(refused[0]) < 1200


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


@pytest.mark.parametrize("kind", [int, float, int | float])
def test_a_number_without_an_end_is_refused_where_it_is_declared(kind):
    declared = option_module.option(1, "Rows", "Rows.")
    counting = dataclasses.make_dataclass("Counting", [("rows", kind, declared)])
    with pytest.raises(TypeError, match="'rows' has no end"):
        options_of(counting)


def test_no_product_of_what_is_accepted_overflows():
    most = {
        name: each.largest
        for name, each in options_of(AnalysisOptions).items()
        if each.largest is not None
    }
    plan = AnalysisOptions(**most).plan
    for samples_per_second in (1e-12, 1e12):
        cost = dataclasses.asdict(run_cost(plan, samples_per_second))
        json.dumps(cost, allow_nan=False)


def test_whole_numbers_stay_whole_where_any_number_is_accepted():
    given = [AnalysisOptions(runs_per_year=runs).runs_per_year for runs in (12.0, 12, 0.5, 1e9)]
    assert [repr(runs) for runs in given] == ["12", "12", "0.5", "1000000000"]
    assert repr(AnalysisOptions(price_per_hour=2.0).price_per_hour) == "2.0"


# ---- a request ---------------------------------------------------------------------------------

REQUEST = options_of(Request)


def test_all_of_a_request_but_its_kind_and_its_records_is_an_option():
    names = (
        "model", "device", "gpu", "memory_budget", "batch_size", "gpus", "prices", "price_kind",
        "host_memory",
    )  # fmt: skip
    assert tuple(REQUEST) == names
    assert all(each.label and each.help.endswith(".") for each in REQUEST.values())


def test_an_option_that_is_text_of_a_form_is_read():
    assert REQUEST["memory_budget"].parse("4GiB") == REQUEST["memory_budget"].check(4 * GIB)
    assert (
        REQUEST["gpus"].parse("a10, l4,") == REQUEST["gpus"].check(["a10", "l4"]) == ("a10", "l4")
    )
    assert REQUEST["gpu"].parse("l4") == "l4" and REQUEST["gpu"].check(None) is None
    with pytest.raises(InvalidValue, match="memory budget is 'lots'"):
        REQUEST["memory_budget"].parse("lots")
    for wrong in (None, 8):
        with pytest.raises(InvalidValue, match=r"model is .*; accepted: text"):
            REQUEST["model"].check(wrong)


def test_a_request_checks_its_options_itself():
    assert all(each.described for each in REQUEST.values())
    asked = Request(RequestKind.BACKWARD, "bert", gpu="l4", memory_budget="2GiB", batch_size=4)
    same = dataclasses.replace(asked)
    check_options(same)
    assert same == asked
    with pytest.raises(InvalidRecord, match="8 is not text"):
        Request.from_dict({**asked.to_dict(), "model": 8})


@pytest.mark.parametrize(
    "command",
    [commands.analyze, commands.estimate, commands.measure, commands.compare,
     commands.validate_backward, commands.validate_compile],
)  # fmt: skip
def test_the_commands_say_of_a_request_what_is_declared(command: Any):
    parameters = inspect.signature(command).parameters
    for name in parameters.keys() & REQUEST.keys():
        (shown,) = parameters[name].annotation.__metadata__
        assert shown.help == REQUEST[name].help
        assert name == "model" or REQUEST[name].flag in _flags(parameters[name])


def test_a_validation_has_one_default_batch_size():
    validations = (
        commands.validate_backward, commands.validate_compile,
        api.validate_backward_pass, api.validate_compilation_benefit,
    )  # fmt: skip
    for each in validations:
        assert inspect.signature(each).parameters["batch_size"].default == DEFAULT_BATCH_SIZE


# ---- the page ----------------------------------------------------------------------------------


def _plan() -> None:
    from memorymark.ui import sidebar
    from memorymark.ui.setup.choices import choices

    sidebar._price()
    sidebar.draw_plan()
    sidebar.st.session_state["worked_out_for"] = choices()


@pytest.mark.parametrize("runs", [0.5, 12, 2.75, 1_234_567])
def test_the_page_shows_and_keeps_runs_that_are_not_whole(runs: float):
    page = AppTest.from_function(_plan)
    page.session_state["chosen"] = {"runs_per_year": runs}
    page.run(timeout=30)
    assert not page.exception
    widget = page.number_input(key="side_runs_per_year")
    assert widget.value == runs
    widget.set_value(float(runs) + 1).run()
    kept = page.session_state["worked_out_for"].runs_per_year
    assert (kept, type(kept)) == (runs + 1, type(runs))


def test_the_page_takes_labels_and_bounds_from_the_options():
    page = AppTest.from_function(_plan).run(timeout=30)
    assert not page.exception
    known = options_of(AnalysisOptions)
    price = page.slider(key="side_price_per_hour")
    assert (price.label, price.min) == (known["price_per_hour"].label, 0)
    for name in ("dataset_size", "epochs", "runs_per_year"):
        number = page.number_input(key=f"side_{name}")
        assert (number.label, number.min) == (known[name].label, known[name].smallest)
        assert known[name].largest is None or number.max == known[name].largest


def _setup() -> None:
    from memorymark.ui.setup.setup_fields import draw_setup

    draw_setup()


def test_the_setup_asks_for_every_option_and_says_what_is_declared(monkeypatch, tmp_path):
    monkeypatch.setenv("MEMORYMARK_HOME", str(tmp_path))
    monkeypatch.setattr(AppService, "estimate", lambda *asked: None)
    streamlit.cache_resource.clear()
    page = AppTest.from_function(_setup)
    page.query_params["model"] = "own:model"  # of which no length is known, so that all are asked
    page.run(timeout=30)
    streamlit.cache_resource.clear()
    assert not page.exception
    kinds = ("selectbox", "number_input", "toggle", "text_input")
    drawn = {each.key: each for kind in kinds for each in getattr(page, kind)}
    options = {**options_of(TrainingConfig), **options_of(AnalysisOptions)}
    options["memory_budget"] = REQUEST["memory_budget"]
    assert {f"setup_{name}" for name in options if name not in MONEY} <= set(drawn)
    for name, option in options.items():
        if name not in MONEY:
            widget = drawn[f"setup_{name}"]
            short = {"current_batch_size": "Current batch"}.get(name, option.label)
            assert widget.label == (f"{short} (%)" if option.is_share else short)
            assert widget.help.startswith(plain(option.help))
    largest = drawn["setup_max_batch_size"]
    assert (largest.min, largest.max) == (1, options["max_batch_size"].largest)


def test_the_pages_offer_every_option_of_an_analysis():
    assert {*MONEY, BATCH, *SEARCH} == set(options_of(AnalysisOptions))


def test_what_is_numbered_begins_at_zero():
    assert SessionPlan(pause_layer=0).pause_layer == 0
    with pytest.raises(InvalidValue, match="pause layer is -1; accepted: a whole number from 0 to"):
        SessionPlan(pause_layer=-1)
    with pytest.raises(InvalidValue, match="sessions is 0; accepted: a whole number from 1 to"):
        SessionPlan(sessions=0)
