"""Levers in sentences."""

import dataclasses

import pytest
from made_levers import BEFORE, CHEAP, FASTER, LESS, SMALL, TOO_LARGE, report

from memorymark.records.request import Request, RequestKind
from memorymark.report.lever_lines import (
    cards_sentence,
    fits_words,
    lever_lines,
    levers_phrase,
    levers_sentence,
)
from memorymark.units import GIB, UNKNOWN

MISFIT = dataclasses.replace(BEFORE, fits=False, peak_reserved_bytes=None, memory_bytes=50 * GIB)


def test_the_best_lever_is_named_with_what_it_gains():
    said = levers_sentence(report())
    assert said == (
        "bert at batch size 16 on NVIDIA A100 40GB (simulated) takes 16.00 GiB. Best: "
        "Checkpointing, 50.0 % less memory and 0.90 times as fast."
    )
    dearer = levers_sentence(report(levers=(FASTER,)))
    assert dearer.endswith("Half precision, 6.2 % more memory and 2.00 times as fast.")


def test_where_nothing_helps_that_is_said():
    assert levers_sentence(report(levers=())).endswith(
        "takes 16.00 GiB. No change of the list saves memory or money."
    )


def test_a_gain_that_is_not_known_is_not_said():
    unknown = dataclasses.replace(LESS, saved_bytes=None, samples_per_second=None)
    assert levers_sentence(report(levers=(unknown,))).endswith("Best: Checkpointing.")


def test_what_does_not_fit_gets_the_cheapest_way_with_its_band():
    said = levers_sentence(report(before=MISFIT, make_it_fit=(MISFIT, TOO_LARGE, LESS)))
    assert "does not fit. Cheapest way to make it fit: SGD, Checkpointing: 8.00 GiB, " in said
    assert said.endswith(
        "90 samples/s (likely 80 to 100), $1.50 per million samples (likely $1.35 to $1.69)."
    )
    ended = report(before=MISFIT, make_it_fit=(MISFIT, LESS), make_it_fit_ended=True)
    assert "Cheapest way found to make it fit: Checkpointing" in levers_sentence(ended)
    free = dataclasses.replace(LESS, cost_per_million_samples=None)
    assert "$" not in levers_sentence(report(before=MISFIT, make_it_fit=(MISFIT, free)))
    assert levers_sentence(report(before=MISFIT)).endswith("No set of the levers makes it fit.")


@pytest.mark.parametrize(
    ("smallest", "cheapest", "said"),
    [
        (SMALL, CHEAP, "as it is: NVIDIA L4 (24.00 GiB, $0.80 per hour); cheapest: NVIDIA A40 "),
        (SMALL, SMALL, "NVIDIA L4 (24.00 GiB, $0.80 per hour), also the cheapest."),
        (dataclasses.replace(SMALL, usd_per_hour=None), None, ": NVIDIA L4 (24.00 GiB)."),
        (None, None, "No card of the catalogue holds batch size 16 of this training as it is."),
    ],
)
def test_the_smallest_card_and_the_cheapest(smallest, cheapest, said):
    cards = tuple(each for each in (smallest, cheapest) if each) or (
        dataclasses.replace(SMALL, fits=False),
    )
    found = report(smallest_card=smallest, cheapest_card=cheapest, cards=cards)
    assert said in cards_sentence(found)


def test_where_no_card_was_looked_for_nothing_is_said_of_cards():
    assert cards_sentence(report()) is None
    assert not any("card" in line for line in lever_lines(report()))


def test_the_text_has_a_line_for_each_lever_and_step():
    found = report(
        make_it_fit=(BEFORE, LESS), cards=(SMALL,), smallest_card=SMALL, cheapest_card=SMALL,
        findings=("The price is a guess.",),
    )  # fmt: skip
    lines = lever_lines(found)
    assert lines[0] == levers_sentence(found) and lines[1] == levers_phrase(found)
    assert (
        "Checkpointing: 8.00 GiB, saves 8.00 GiB, largest batch 64, 90 samples/s (likely 80 to "
        "100), $1.50 per million samples (likely $1.35 to $1.69). The same gradients."
    ) in lines
    assert any(line.startswith("SGD: 50.00 GiB, does not fit, saves 1.00 GiB, ") for line in lines)
    assert "saves" not in next(line for line in lines if line.startswith("Half precision: "))
    assert next(line for line in lines if line.startswith("Make it fit: ")).startswith(
        "Make it fit: As it is: 16.00 GiB, "
    )
    assert lines[-2:] == [cards_sentence(found), "Note: The price is a guess."]


def test_what_is_not_known_is_a_dash():
    unknown = dataclasses.replace(
        BEFORE, memory_bytes=None, max_batch_size=None, samples_per_second=None,
        cost_per_million_samples=None,
    )  # fmt: skip
    (line,) = [line for line in lever_lines(report(levers=(unknown,))) if "largest" in line]
    assert line == (
        f"As it is: {UNKNOWN}, largest batch {UNKNOWN}, {UNKNOWN} samples/s, {UNKNOWN} per million "
        "samples."
    )


def test_the_phrase_names_the_budget_that_was_asked_for():
    asked = Request(RequestKind.LEVERS, "bert", gpu="a100-40gb", memory_budget=8 * GIB)
    said = levers_phrase(report(), asked)
    assert said.startswith("bert · NVIDIA A100 40GB (simulated) · batch size 16 · ")
    assert said.endswith("memory budget 8 GiB") and "budget" not in levers_phrase(report())


def test_whether_it_fits_in_a_word():
    words = [fits_words(dataclasses.replace(SMALL, fits=each)) for each in (True, False, None)]
    assert words == ["yes", "no", "not tried"]
