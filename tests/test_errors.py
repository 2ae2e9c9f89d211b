from __future__ import annotations

import inspect
import re

import pytest

from memorymark import errors
from memorymark.errors import (
    InvalidValue,
    MemoryMarkError,
    MissingPackage,
    UnknownChoice,
    WorkloadError,
    one_sentence,
    quoted,
)


def classes() -> list[type]:
    return [
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if value.__module__ == errors.__name__
    ]


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_the_tree_names_every_error(kind: type):
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")


def test_words_that_are_off_end_with_two():
    codes = {
        kind.__name__: kind.exit_code for kind in classes() if issubclass(kind, MemoryMarkError)
    }
    off = {name for name, code in codes.items() if code == 2}
    assert off == {"UsageError", "UnknownChoice", "InvalidValue", "BatchTooLong"}
    assert set(codes.values()) == {1, 2}


def test_an_unknown_choice_names_what_was_given_what_is_accepted_and_the_nearest():
    error = UnknownChoice("optimizer", "AdamV", ["adam", "sgd"], "More follow.")
    assert error.nearest == "adam"
    assert str(error) == (
        "Unknown optimizer 'AdamV'. Did you mean 'adam'? Accepted: adam, sgd. More follow."
    )
    assert "mean" not in str(UnknownChoice("optimizer", "zzzz", ["adam"]))


def test_an_invalid_value_says_what_is_accepted():
    assert (
        str(InvalidValue("batch size", 0, "1 or more")) == "batch size is 0; accepted: 1 or more."
    )


def test_a_missing_package_says_how_to_install_it():
    assert "pip install timm" in str(MissingPackage("timm", "timm:NAME"))


def test_out_of_memory_is_an_outcome():
    assert not issubclass(errors.OutOfMemory, MemoryMarkError)
    assert "tried to allocate 3.0 MiB" in str(errors.OutOfMemory(3 * 1024**2, 0, 1024**2))


class Ugly:
    def __repr__(self):
        raise RuntimeError("no words")


QUOTES = {
    "text": ("sgd", "'sgd'"),
    "a number": (-(10**30), str(-(10**30))),
    "a long number": (10**5000, "a number of about 5001 digits"),
    "a long number below zero": (-(10**5000), "a number of about 5001 digits"),
    "one in a list": ([10**5000], "[a number of about 5001 digits]"),
    "no number": (float("nan"), "nan"),
    "nothing": (None, "None"),
}


@pytest.mark.parametrize(("value", "words"), QUOTES.values(), ids=QUOTES)
def test_values_are_quoted_as_people_know_them(value, words):
    assert quoted(value) == words


@pytest.mark.parametrize(
    "value", ["x" * 10**6, ["y" * 10**6] * 1000, {10**5000: "z" * 10**6}, Ugly(), b"b" * 10**6],
    ids=["text", "list", "dictionary", "ugly", "bytes"],
)  # fmt: skip
def test_long_values_are_quoted_shortly(value):
    assert len(quoted(value)) < 1000
    assert len(str(InvalidValue("size", value, "a number"))) < 1100
    assert len(str(MemoryMarkError(f"It is {'x' * 10**6}."))) < 5000


def test_a_name_of_a_megabyte_is_compared_with_no_other():
    error = UnknownChoice("model", "x" * 10**6, ["bert", "gpt2"])
    assert error.nearest is None and len(str(error)) < 300


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("first\nsecond"), "ValueError: first"),
        (KeyError(), "KeyError: no message"),
        (WorkloadError("One\nsentence."), "One sentence."),
    ],
)
def test_errors_in_one_line(error: BaseException, sentence: str):
    assert one_sentence(error) == sentence
