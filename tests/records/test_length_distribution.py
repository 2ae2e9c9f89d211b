"""Lengths of samples: read from text, numbers and files, and what is assumed of a range."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorymark.errors import InvalidValue, UsageError
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.length_distribution import (
    distribution,
    lengths_in,
    read_lengths,
    read_range,
)


def test_numbers_text_and_files_say_the_same(tmp_path):
    lines, listed = tmp_path / "lines.txt", tmp_path / "list.json"
    lines.write_text("512\n32\n32\n")
    listed.write_text(json.dumps([32, 512, 32]))
    given = ([512, 32, 32], "32:2, 512", "32,32,512", lines, listed)
    assert {read_lengths(each) for each in given} == {"32:2,512:1"}
    assert lengths_in(str(lines)) == lengths_in("512,32:2") == "32:2,512:1"


@pytest.mark.parametrize(
    "wrong", ["", "0", "32:0", "a", "32;64", [0], [1.5], [True], 8, ["32"] * 2 + ["x"], [10**8]]
)
def test_what_is_no_lengths_is_refused(wrong):
    with pytest.raises(InvalidValue, match=r"lengths is .*32:500,512:20"):
        read_lengths(wrong)


@pytest.mark.parametrize("text", ["", '[1, "a"]', "[1.5]", "12\nabc", "[" * 5000])
def test_a_file_without_lengths_is_refused(tmp_path, text):
    path = tmp_path / "lengths.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match="holds no lengths"):
        lengths_in(str(path))
    with pytest.raises(UsageError, match="cannot be read"):
        lengths_in(str(tmp_path / "missing"))


def test_an_address_names_no_file(tmp_path):
    path = tmp_path / "lengths.txt"
    path.write_text("12")
    with pytest.raises(InvalidValue):
        AnalysisOptions(lengths=str(path))


@given(st.lists(st.integers(1, 100_000), min_size=300, max_size=600))
def test_very_many_lengths_are_rounded_up_and_none_is_lost(values):
    found = distribution(read_lengths(values), None)
    assert len(found.counts) <= 257 and found.samples == len(values)
    assert found.longest == max(values)
    assert 0 <= found.mean - sum(values) / len(values) <= max(values) / 256 + 1


@given(st.lists(st.integers(1, 500), min_size=1, max_size=50), st.integers(1, 64))
def test_the_expected_longest_of_a_batch_lies_between_mean_and_longest(values, batch_size):
    found = distribution(read_lengths(values), None)
    expected = found.expected_longest_of(batch_size)
    assert math.floor(found.mean) <= expected <= found.longest
    assert found.expected_longest_of(10**9) == found.longest
    assert found.expected_longest_of(1) == min(found.longest, math.ceil(found.mean - 1e-9))


@given(st.integers(1, 1000), st.floats(0, 1), st.integers(0, 4000))
def test_an_assumed_distribution_has_the_ends_and_nearly_the_mean(low, share, span):
    mean = low + share * span
    found = distribution(None, read_range([low, mean, low + span]))
    assert found.longest == low + span and found.shortest >= low
    counted = sum(length * count for length, count in found.counts) / found.samples
    assert abs(counted - mean) <= 0.03 * span + 2
    assert "Only the shortest, mean and longest length are known" in found.assumed


def test_what_is_assumed_is_said():
    said = {text: distribution(None, text).assumed for text in ("10,120,200", "4,90,512", "8,8,8")}
    assert "triangular distribution between them is assumed, its mode at 150" in said["10,120,200"]
    assert "a power law between them is assumed" in said["4,90,512"]
    assert "taken to be of the mean" in said["8,8,8"]


@pytest.mark.parametrize("wrong", ["1,2", "5,4,6", "0,1,2", "1,2,x", "1,2,3,4", 5, "1,nan,3", [1]])
def test_what_is_no_range_is_refused(wrong):
    with pytest.raises(InvalidValue, match=r"length range is .*16,120\.5,512"):
        read_range(wrong)


def test_one_of_both_is_given():
    with pytest.raises(UsageError, match="Give one of them"):
        AnalysisOptions(lengths="32", length_range="1,2,3")
