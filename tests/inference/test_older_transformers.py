"""Older versions of transformers held more while they generated, and are simulated so."""

from __future__ import annotations

import pytest
from tiny import tiny_gpt2, tiny_llama
from transformers import LlamaConfig

from memorymark import ServingConfig, SessionPlan, sessions
from memorymark.errors import InvalidValue, UsageError
from memorymark.inference.inference_step import InferenceStep
from memorymark.inference.older_transformers import OlderStep, make_older, said_of, step_of
from memorymark.records.config import TrainingConfig
from memorymark.records.session_run import Act
from memorymark.workloads.huggingface import HuggingFaceWorkload

ONE = SessionPlan(sessions=1, turns=1)
PROMPT, NEW, VOCABULARY = 500, 4, 4096


def grouped():
    """A decoder whose 4 heads of queries share two of keys and values."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, head_dim=128,
    )  # fmt: skip
    return HuggingFaceWorkload("grouped", config)


def decoding(version):
    """The most bytes while a token is decoded."""
    acts = run_of(version, batch_size=16).timeline
    return max(each.peak_bytes for each in acts if each.act is Act.DECODE)


def run_of(version, workload=None, **options):
    given = {"weights": "fp16", "context_tokens": PROMPT + NEW, "output_tokens": NEW, **options}
    config = ServingConfig(transformers_version=version, **given)
    return sessions(workload or grouped(), config, ONE, gpu="a100-80gb")


def test_logits_of_the_whole_prompt_were_computed_and_kept_in_fp32():
    older, newer = run_of("4.44"), run_of(None)
    # Two tensors of (500, 4096): in fp16, and in fp32 beside them.
    logits = PROMPT * VOCABULARY * (2 + 4)
    more = older.peak_allocated_bytes - newer.peak_allocated_bytes
    assert more == pytest.approx(logits, rel=0.25) and older.source == "simulated"


def test_layers_held_tables_of_their_positions():
    older, newer = run_of("4.44"), run_of(None)
    cosines_and_sines = 2 * 2 * 2048 * 128 * 2
    assert older.weights_bytes - newer.weights_bytes == cosines_and_sines


def test_heads_were_repeated_until_4_48():
    older, newer, installed = (decoding(version) for version in ("4.47", "4.48", None))
    copies = 2 * 16 * 4 * PROMPT * 128 * 2  # of keys and of values, for 4 heads of queries
    assert older - newer == pytest.approx(copies, rel=0.25) and newer == installed


def test_what_the_version_does_is_said_beside_the_figures():
    assert any("transformers 4.44.2 generates: logits" in x for x in run_of("4.44.2").assumptions)
    model = tiny_gpt2().build(TrainingConfig(seq_len=8))

    def said(version, **options):
        return said_of(model, ServingConfig(transformers_version=version, **options))

    for (later,) in (said("4.46"), said("4.44", cache="static")):  # passes are today's in both
        assert "logits" not in later and "copied for all heads" in later
    assert said(None) == said("5.1") == []


def test_a_version_decides_how_tokens_are_made():
    model = tiny_gpt2().build(TrainingConfig(seq_len=8)).eval()

    def kind(version, **options):
        return type(step_of(model, ServingConfig(transformers_version=version, **options)))

    assert kind("4.44") is kind("3.5.1") is OlderStep
    assert kind("4.45") is kind(None) is kind("4.44", cache="static") is InferenceStep


def test_todays_models_stay_as_they_are():
    model = grouped().build(TrainingConfig(seq_len=8))
    before = model.config._attn_implementation, len(list(model.buffers()))
    make_older(model, ServingConfig(transformers_version="4.48"))
    assert before == (model.config._attn_implementation, len(list(model.buffers())))


@pytest.mark.parametrize("text", ["new", "4", "4.", "-4.4", "4.44;rm", "4.44\n", "9" * 50])
def test_what_is_no_version_is_refused(text):
    with pytest.raises(InvalidValue, match=r"accepted: a version such as 4.44 or 4.44.2"):
        ServingConfig(transformers_version=text)


def test_another_version_than_the_installed_one_is_not_measured():
    config = ServingConfig(transformers_version="4.44", context_tokens=20, output_tokens=2)
    with pytest.raises(UsageError, match=r"transformers 4\.44 is not what generates here, so that"):
        sessions(tiny_llama(), config, ONE, device="cpu")
