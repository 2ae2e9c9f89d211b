"""What a result says it is of."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
from fakes import FakeProbe, FakeWorkload, measured_target, simulated_target
from hypothesis import given
from hypothesis import strategies as st

from memorymark.analysis.analyze import analyze_on
from memorymark.analysis.validate import validate_backward_on
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.comparison import Comparison
from memorymark.records.config import Task, TrainingConfig
from memorymark.records.costs import Plan
from memorymark.records.option import Option, options_of
from memorymark.records.request import Request, RequestKind, command_line
from memorymark.report import settings_phrase as phrases
from memorymark.units import GIB, MIB

TEXTS = {
    "freeze": ["*embed*", "*.bias", "*.bias,*embed*"],
    "lengths": ["32:5", "32:5,512:1"],
    "length_range": [],  # of the two, one may be given
}


def values_of(option: Option) -> st.SearchStrategy:
    if option.choices:
        values = st.sampled_from(option.choices)
    elif option.kind is bool:
        values = st.booleans()
    elif option.kind is float:
        values = st.floats(option.smallest, option.largest, allow_nan=False)
    elif option.kind is str:
        values = st.sampled_from(TEXTS[option.name]) if TEXTS[option.name] else st.none()
    else:
        values = st.integers(option.smallest, option.largest)
    return values if option.default is not None else st.none() | values


def records(kind: type) -> st.SearchStrategy:
    options = options_of(kind)
    return st.fixed_dictionaries({name: values_of(each) for name, each in options.items()}).map(
        lambda values: kind(**values)
    )


def asked(config: TrainingConfig) -> str:
    return phrases.request_phrase(Request(RequestKind.ANALYSIS, "bert", config))


@given(records(TrainingConfig), records(TrainingConfig))
def test_two_trainings_that_differ_read_differently(first, second):
    assert (asked(first) == asked(second)) == (first == second)


@given(st.data(), records(TrainingConfig), st.sampled_from(list(options_of(TrainingConfig))))
def test_no_field_of_a_training_is_forgotten(data, config, name):
    value = data.draw(values_of(options_of(TrainingConfig)[name]))
    other = dataclasses.replace(config, **{name: value})
    assert (asked(config) == asked(other)) == (config == other)


@given(st.data(), records(AnalysisOptions), st.sampled_from(list(options_of(AnalysisOptions))))
def test_no_field_of_what_is_asked_is_forgotten(data, options, name):
    value = data.draw(values_of(options_of(AnalysisOptions)[name]))
    other = dataclasses.replace(options, **{name: value})
    first, second = (
        phrases.request_phrase(Request(RequestKind.ANALYSIS, "bert", options=each))
        for each in (options, other)
    )
    assert (first == second) == (options == other)


@given(st.integers(1, 1024 * GIB), st.integers(1, 1024 * GIB))
def test_two_budgets_read_differently(first, second):
    def phrase(budget):
        return phrases.request_phrase(Request("analysis", "bert", memory_budget=budget))

    assert (phrase(first) == phrase(second)) == (first == second)


def test_a_training_names_what_differs():
    assert phrases.training_phrase(TrainingConfig()) == "fp32 · adamw"
    config = TrainingConfig(
        task="image-classification", num_labels=1000, image_size=224, precision="amp-bf16",
        optimizer="none", gradient_checkpointing=True, gradient_accumulation=4, attention="eager",
        dropout=False, loop="trainer",
    )  # fmt: skip
    assert phrases.training_phrase(config) == (
        "image-classification · amp-bf16 · images of 224 x 224 pixels · no optimizer · "
        "1,000 labels · gradient checkpointing · gradient accumulation steps 4 · attention eager"
        " · no dropout · loop trainer"
    )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            TrainingConfig(task="speech-seq2seq", audio_seconds=30, image_size=224),
            "speech-seq2seq · fp32 · 30 s of audio · 128 tokens · adamw",
        ),
        (
            TrainingConfig(task="video-classification", num_frames=8, image_size=112,
                           precision="amp-bf16", optimizer="none"),
            "video-classification · amp-bf16 · 8 frames · images of 112 x 112 pixels · "
            "no optimizer",
        ),
        (
            TrainingConfig(task="contrastive", image_size=224, seq_len=77),
            "contrastive · fp32 · images of 224 x 224 pixels · 77 tokens · adamw",
        ),
        (
            TrainingConfig(task="contrastive", image_size=224, audio_seconds=10),
            "contrastive · fp32 · 10 s of audio · 128 tokens · adamw",
        ),
        (TrainingConfig(image_size=224), "fp32 · adamw"),
    ],
)  # fmt: skip
def test_a_training_is_named_by_task_precision_and_lengths(config, words):
    assert phrases.training_phrase(config) == words


def test_a_size_of_images_that_was_filled_in_is_not_named():
    config = TrainingConfig(task="sequence-classification", image_size=224, seq_len=512)
    assert phrases.training_phrase(config) == "sequence-classification · fp32 · 512 tokens · adamw"
    assert "images of 224" in asked(TrainingConfig(image_size=224))


@pytest.mark.parametrize("task", Task)
def test_the_lengths_of_a_task_are_always_named(task):
    phrase = phrases.training_phrase(TrainingConfig(task=task))
    assert ("128 tokens" in phrase) == ("seq_len" in task.lengths)


def test_an_analysis_names_all_that_it_is_of():
    options = AnalysisOptions(
        current_batch_size=32, price_per_hour=0.7992, dataset_size=5_000_000, epochs=3,
        runs_per_year=1, headroom=0.07, granularity=4,
    )  # fmt: skip
    target = dataclasses.replace(simulated_target(8 * GIB), memory_budget_bytes=8 * GIB)
    probe = FakeProbe(GIB, 80 * MIB, target=target)
    analysis = analyze_on(probe, FakeWorkload("bert"), TrainingConfig(), options)
    head = "bert · NVIDIA A100 40GB (simulated) · fp32 · adamw · memory budget 8 GiB"
    costs = "$0.7992 per hour · 5,000,000 samples · 3 epochs · 1 run per year"
    phrase = phrases.analysis_phrase(analysis)
    assert phrase.startswith(head) and phrase.endswith(costs)
    assert " · headroom 7 % · " in phrase
    assert "current batch size 32" in phrase
    searched = phrases.search_phrase(analysis)
    assert searched.startswith(head) and "headroom 7" in searched
    assert "current batch size" not in searched and "per hour" not in searched


def test_a_validation_and_a_comparison_name_what_they_are_of():
    probe = FakeProbe(target=measured_target())
    validation = validate_backward_on(probe, FakeWorkload("bert"), TrainingConfig(), 16)
    assert phrases.validation_phrase(validation) == (
        "bert · Fake GPU (measured) · batch size 16 · fp32 · adamw"
    )
    plan = Plan(dataset_size=1_000_000, epochs=1, runs_per_year=0.5)
    comparison = Comparison("bert", TrainingConfig(seq_len=512), plan, ())
    asked = Request(RequestKind.COMPARISON, "bert", memory_budget=4 * GIB + 1)
    assert phrases.comparison_phrase(comparison, asked) == (
        "bert · fp32 · 512 tokens · adamw · memory budget 4,294,967,297 bytes · "
        "1,000,000 samples · 1 epoch · 0.5 runs per year"
    )


def test_what_the_model_filled_in_is_named_where_it_was_asked_for():
    config = TrainingConfig(task="sequence-classification", num_labels=2, seq_len=128)
    analysis = analyze_on(FakeProbe(), FakeWorkload("bert"), config)
    asked = Request(RequestKind.ANALYSIS, "bert", gpu="l4")
    assert "128 tokens" in phrases.analysis_phrase(analysis, asked)
    assert not {"sequence-classification", "2 labels"} & set(
        phrases.analysis_phrase(analysis, asked).split(phrases.SEPARATOR)
    )
    labelled = dataclasses.replace(asked, config=TrainingConfig(num_labels=2))
    assert "2 labels" in phrases.search_phrase(analysis, labelled)
    assert command_line(analysis, given=asked.config).count("--num-labels") == 0


def test_a_budget_of_a_measured_card_is_seen_from_its_capacity():
    capped = dataclasses.replace(measured_target(), capacity_bytes=6 * GIB)
    assert capped.budget_bytes == 6 * GIB
    assert measured_target().budget_bytes is None
    assert dataclasses.replace(measured_target(), kind="cpu").budget_bytes == 8 * GIB


def test_it_needs_neither_torch_nor_streamlit():
    script = (
        "import sys, memorymark.report.settings_phrase\n"
        "assert not {'torch', 'transformers', 'streamlit', 'altair'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
