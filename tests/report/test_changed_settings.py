"""A result of other settings says which ones."""

import dataclasses

import pytest

from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import TrainingConfig
from memorymark.records.option import options_of
from memorymark.records.request import Request, RequestKind
from memorymark.report.changed_settings import changed_settings

TRAINING = tuple(options_of(TrainingConfig))
SEARCH = ("granularity", "headroom")
BASE = Request(RequestKind.ANALYSIS, "bert", gpu="l4")


def changes(now, was=BASE, targets=("L4", "L4"), training=TRAINING):
    return changed_settings(was, now, targets=targets, training=training, search=SEARCH)


def with_options(**options):
    return dataclasses.replace(BASE, options=AnalysisOptions(**options))


def test_equal_requests_differ_in_nothing():
    assert changes(BASE) == ()


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (dataclasses.replace(BASE, model="gpt2"), "model bert (now gpt2)"),
        (dataclasses.replace(BASE, memory_budget="4GiB"), "memory budget whole device (now 4GiB)"),
        (dataclasses.replace(BASE, batch_size=4), "batch None (now 4)"),
        (dataclasses.replace(BASE, config=TrainingConfig(seq_len=512)),
         "sequence length 128 (now 512)"),
        (dataclasses.replace(BASE, config=TrainingConfig(dropout=False)), "dropout on (now off)"),
        (dataclasses.replace(BASE, config=TrainingConfig(task="ctc")), "task by default (now ctc)"),
        (with_options(headroom=0.125), "headroom 5 % (now 12.5 %)"),
        (with_options(headroom=0.051), "headroom 5 % (now 5.1 %)"),
    ],
)  # fmt: skip
def test_each_setting_is_named_with_both_values(now, words):
    assert changes(now) == (words,)


def test_a_target_counts_but_for_a_comparison_of_many():
    assert changes(BASE, targets=("L4", "T4")) == ("GPU L4 (now T4)",)
    many = Request(RequestKind.COMPARISON, "bert")
    assert changes(many, many, targets=("L4", "T4")) == ()


def test_what_the_model_does_not_take_and_money_do_not_count():
    now = dataclasses.replace(BASE, config=TrainingConfig(seq_len=512))
    assert changes(now, training=("precision",)) == ()
    assert changes(with_options(price_per_hour=2.0, current_batch_size=77)) == ()
