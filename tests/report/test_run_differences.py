"""Runs are named by what sets them apart."""

import dataclasses

import pytest
from fakes import FakeProbe, FakeWorkload
from hypothesis import given
from hypothesis import strategies as st

from memorymark.analysis.analyze import analyze_on
from memorymark.records.analysis_options import AnalysisOptions
from memorymark.records.config import Precision, TrainingConfig
from memorymark.report.run_differences import differing_settings, run_names

BASE = dataclasses.replace(
    analyze_on(FakeProbe(), FakeWorkload("bert"), TrainingConfig(), AnalysisOptions()), run_id="a1"
)


def changed(run_id, target=None, **config):
    target = dataclasses.replace(BASE.target, **(target or {}))
    config = dataclasses.replace(BASE.config, **config)
    return dataclasses.replace(BASE, run_id=run_id, target=target, config=config)


def test_only_what_differs_is_told_and_numbers_stay_numbers():
    runs = [BASE, changed("b2", seq_len=512), changed("c3", precision=Precision.AMP_BF16)]
    assert differing_settings(runs) == {
        "Precision": ["fp32", "fp32", "amp-bf16"],
        "Sequence length": [128, 512, 128],
    }
    assert run_names(runs) == [
        "128 tokens · fp32",
        "512 tokens · fp32",
        "128 tokens · amp-bf16",
    ]


def test_a_run_on_another_gpu_is_named_by_it():
    names = run_names([BASE, changed("b2", target={"name": "NVIDIA A10"})])
    assert names == ["Fake GPU", "A10"]


def test_runs_that_differ_in_nothing_are_named_by_their_ids():
    assert run_names([BASE, changed("b2")]) == ["run a1", "run b2"]


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from([64, 128]), st.booleans()),
             min_size=1, max_size=6)
)  # fmt: skip
def test_no_two_runs_have_one_name(settings):
    runs = [changed(name, seq_len=length, dropout=on) for name, length, on in settings]
    assert len(set(run_names(runs))) == len(runs)


@pytest.mark.parametrize("runs", [[], [BASE]])
def test_fewer_than_two_runs_differ_in_nothing(runs):
    assert differing_settings(runs) == {}


def test_a_setting_that_one_run_leaves_open_reads_as_not_set():
    runs = [BASE, changed("b2", task="masked-lm"), changed("c3", num_labels=3)]
    assert run_names(runs) == [
        "task not set · labels not set",
        "masked-lm · labels not set",
        "task not set · 3 labels",
    ]


def test_other_models_are_told_apart_by_name_not_by_what_they_fill_in():
    other = dataclasses.replace(changed("b2", task="causal-lm", num_labels=7), workload="gpt2")
    assert run_names([BASE, other]) == ["bert", "gpt2"]
    assert "7 labels" in run_names([BASE, changed("b2", num_labels=7)])[1]
