"""What a link carries beside its run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.errors import InvalidValue
from memorymark.gpus.catalogue import load_catalogue
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.inputs import MONEY, Inputs, inputs_from_query, inputs_to_query
from memorymark.records.option import options_of
from memorymark.records.prices import PriceKind, prices_text, read_prices

GPUS = sorted(load_catalogue())
OPTIONS = options_of(AnalysisOptions)
PRICE = st.floats(0, OPTIONS["price_per_hour"].largest)
PRICES = st.dictionaries(st.sampled_from(GPUS), PRICE)


def values(name):
    option = OPTIONS[name]
    kinds = {int: st.integers(option.smallest, option.largest),
             float: st.floats(option.smallest, option.largest)}  # fmt: skip
    numbers = [kinds[kind] for kind in option.types]
    return st.none() | st.one_of(numbers).map(option.check)


INPUTS = st.builds(
    Inputs,
    st.fixed_dictionaries({}, optional={name: values(name) for name in MONEY}),
    PRICES,
    st.none() | st.sampled_from(PriceKind),
)


@given(INPUTS)
def test_a_link_says_the_inputs_as_its_sender_saw_them(inputs):
    assert inputs_from_query(inputs_to_query(inputs), GPUS) == (inputs, ())


@given(PRICES)
def test_prices_are_written_as_they_are_read(prices):
    assert dict(read_prices(prices_text(prices))) == prices


def test_what_is_not_understood_is_said_and_left_out():
    query = {"epochs": "many", "dataset_size": "5000000", "prices": "l4:0.8,abacus:1",
             "price_per_hour": "-1"}  # fmt: skip
    inputs, refused = inputs_from_query(query, GPUS)
    assert inputs == Inputs({"dataset_size": 5_000_000}, {"l4": 0.8})
    assert len(refused) == 3
    assert "'abacus'" in refused[-1]


@pytest.mark.parametrize(
    "text", ["l4", "l4:", ":1", "l4:much", "l4:-1", "l4:nan", "l4:inf", "l4:1e99"]
)
def test_a_bad_price_says_what_is_accepted(text):
    with pytest.raises(InvalidValue, match=r"such as a10:0\.75,l4:0\.8"):
        read_prices(text)
    assert inputs_from_query({"prices": text}, GPUS)[0] == Inputs()


def test_an_address_full_of_unknown_gpus_is_answered_in_a_few_short_sentences():
    text = "l4:0.8," + ",".join(f"{'x' * 50}{number}:1" for number in range(20_000))
    inputs, refused = inputs_from_query({"prices": text}, GPUS)
    assert inputs == Inputs({}, {"l4": 0.8})
    assert refused[-1] == "19,997 more names are of no GPU either."
    assert sum(map(len, refused)) < 500


@pytest.mark.parametrize("kind", PriceKind)
def test_a_kind_of_price_stands_alone_and_beside_edited_prices(kind):
    assert inputs_from_query({"price_kind": kind.value}, GPUS) == (Inputs(price_kind=kind), ())
    both = inputs_from_query({"price_kind": kind.value, "prices": "l4:0.8"}, GPUS)
    assert both == (Inputs({}, {"l4": 0.8}, kind), ())


@pytest.mark.parametrize("text", ["cheap", "on demand", "spot,on-demand", "x" * 9999])
def test_a_bad_kind_of_price_says_what_is_accepted(text):
    inputs, (refused,) = inputs_from_query({"price_kind": text, "epochs": "3"}, GPUS)
    assert inputs == Inputs({"epochs": 3})
    assert "on-demand" in refused and "marketplace" in refused and "spot" in refused
    assert len(refused) < 500


def test_no_price_is_minus_nothing():
    inputs, _ = inputs_from_query({"prices": "l4:-0.0", "price_per_hour": "-0"}, GPUS)
    assert inputs_to_query(inputs) == {"price_per_hour": "0.0", "prices": "l4:0.0"}
