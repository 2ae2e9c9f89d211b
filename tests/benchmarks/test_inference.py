"""Published inference: what rows say, and a few of them, each within its bound."""

from __future__ import annotations

import pytest
from inference import Scored, score, summaries
from inference_models import find_workload
from inference_rows import Figure, load

from memorymark.records.config import Attention

ROWS = list(load())


def row(metric, **values):
    """Return the first row with some values."""
    found = (
        each
        for each in ROWS
        if each.metric == metric and all(each.values[k] == v for k, v in values.items())
    )
    return next(found)


def test_a_row_says_how_it_was_run():
    figure = row("peak_allocated", model="EleutherAI/pythia-410m-deduped", attention="eager")
    assert figure.is_strict and figure.new_tokens == 100
    assert figure.transformers_version == "4.44"
    assert figure.attention is Attention.EAGER and figure.published == 974_831_000
    assert figure.gpu is None and figure.simulated_gpu.compute_capability == (8, 6)
    qwen = row("peak_allocated", model="Qwen/Qwen2.5-7B-Instruct", quantization="none")
    assert not qwen.is_strict and qwen.transformers_version == "4.46"
    assert qwen.published == pytest.approx(14.38 * 2**30)


def test_every_row_can_be_expressed_or_says_why_not():
    reasons = [figure.why_not() for figure in ROWS]
    assert len(ROWS) == 2271 and sum(why is None for why in reasons) > 800
    assert all(why for why in reasons if why is not None)
    assert row("kv_cache_tokens").why_not() == "what an engine leaves for its cache"


def test_models_are_found_by_their_names_without_their_endings():
    for name in ("meta-llama/Meta-Llama-3.1-8B-Instruct", "gpt2", "mistralai/Mistral-7B-v0.1"):
        assert find_workload(name) is not None
    assert find_workload("nobody/nothing-1b") is None


def test_a_model_can_be_given_as_a_file(tmp_path):
    values = '{"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2}'
    (tmp_path / "Nobody--Nothing-1b.json").write_text(values, encoding="utf-8")
    assert find_workload("nobody/nothing-1b", tmp_path) is not None


MEMORY = [
    ("EleutherAI/pythia-410m-deduped", {"attention": "sdpa", "batch_size": "4"}),
    ("openai-community/gpt2-large", {"attention": "eager", "batch_size": "4"}),
    ("Qwen/Qwen1.5-0.5B", {"dtype": "float16", "quantization": "none"}),
    ("Qwen/Qwen2.5-0.5B-Instruct", {"prompt_tokens": "6144", "quantization": "none"}),
]


@pytest.mark.parametrize(("model", "values"), MEMORY, ids=lambda each: str(each)[:40])
def test_peak_memory_is_near_the_published_one(model, values):
    found = score(row("peak_allocated", model=model, **values))
    assert isinstance(found, Scored) and abs(found.error) < 0.01


def test_older_versions_held_more():
    figure = row("peak_allocated", model="EleutherAI/pythia-410m-deduped", attention="sdpa")
    installed = Figure(figure.values, is_installed=True)
    assert score(installed).found < 0.9 * score(figure).found


@pytest.mark.parametrize("metric", ["first_token_seconds", "decode_tokens_per_second"])
@pytest.mark.parametrize("model", ["microsoft/phi-1_5", "EleutherAI/pythia-1.4b"])
def test_seconds_are_within_their_band(model, metric):
    found = score(row(metric, model=model, quantization="none"))
    assert found.low < found.found < found.high and found.is_within


@pytest.mark.parametrize("metric", ["first_token_seconds", "decode_tokens_per_second"])
@pytest.mark.parametrize("model", ["EleutherAI/pythia-2.7b", "Qwen/Qwen1.5-4B"])
def test_seconds_of_4_bits_are_within_the_band_of_families_that_were_kept_apart(model, metric):
    figure = row(metric, model=model, quantization="BnB.4bit")
    assert figure.is_apart and score(figure).is_within


def test_weights_of_4_bits_take_what_bitsandbytes_makes_of_them():
    found = score(row("peak_allocated", model="EleutherAI/pythia-2.7b", quantization="BnB.4bit"))
    assert isinstance(found, Scored) and abs(found.error) < 0.03
    other = row("peak_allocated", quantization="BnB.8bit")
    assert other.why_not() == "weights quantized in another format"


def test_a_rate_that_counts_the_prompt_is_below_the_one_that_does_not():
    figure = row("decode_tokens_per_second", model="microsoft/phi-1_5", quantization="none")
    with_prompt = Figure({**figure.values, "notes": "prefill INCLUDED"})
    assert score(with_prompt).found < score(figure).found


def test_an_encoder_is_one_pass():
    found = score(row("peak_allocated", task="encoder forward", batch_size="8", attention="sdpa"))
    assert abs(found.error) < 0.1
    timed = score(row("first_token_seconds", task="encoder forward"))
    assert timed.is_within


def test_copies_are_those_of_the_catalogue():
    found = score(row("h2d_gb_per_s", gpu="A100-SXM4-40GB", value="26.1"))
    assert isinstance(found, Scored) and found.low < found.found < found.high


def test_scores_are_summed_up_strict_and_inferred_apart():
    figure = row("decode_tokens_per_second", model="microsoft/phi-1_5", quantization="none")
    strict = Figure({**figure.values, "notes": ""})
    published = figure.published
    found = summaries([
        Scored(figure, published * 1.1, published * 0.9, published * 1.2),
        Scored(strict, published * 0.8, published * 0.7, published * 0.9),
    ])  # fmt: skip
    inferred = found["inferred, decode_tokens_per_second"]
    assert inferred["median_error"] == pytest.approx(0.1) and inferred["within_band"] == 1.0
    assert found["strict, decode_tokens_per_second"]["within_band"] == 0.0
    assert "inferred, decode_tokens_per_second, fitted on" in found


def test_formats_of_weights_are_simulated_apart():
    given = {"model": "EleutherAI/pythia-410m", "metric": "first_token_seconds"}
    plain, packed = (
        score(row(quantization=name, **given)) for name in ("none", "BnB.4bit")
    )  # one after the other, as a table is scored
    assert packed.found > 1.5 * plain.found
