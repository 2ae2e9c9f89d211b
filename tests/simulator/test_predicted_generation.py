"""A few simulated tokens tell what all of them hold."""

import pytest
import torch
from generators import READING_IMAGES, READING_TEXT, image_bytes, spec_of

from memorymark.records.serving_config import ServingConfig
from memorymark.simulator import predicted_generation
from memorymark.simulator.cuda.rules import Platform, Rules
from memorymark.simulator.predicted_generation import predict_generation
from memorymark.workloads.huggingface import HuggingFaceWorkload
from memorymark.workloads.served_model import build_served

CPU, CUDA = Rules(Platform.CPU), Rules(Platform.CUDA, (8, 0))
MODELS = {**READING_TEXT, **{name: READING_IMAGES[name] for name in ("blip", "llava", "captioner")}}


def predicted(spec, rules=CPU):
    model = build_served(spec.workload, spec.built_as, torch.device("meta"))
    return predict_generation(spec, model, rules)


@pytest.fixture
def runs(monkeypatch):
    """How many tokens each simulation ran."""
    ran, run = [], predicted_generation._run

    def noted(spec, model, rules, host, most):
        ran.append(most)
        return run(spec, model, rules, host, most)

    monkeypatch.setattr(predicted_generation, "_run", noted)
    return ran


@pytest.mark.parametrize("rules", [CPU, CUDA], ids=["cpu", "cuda"])
@pytest.mark.parametrize("name", MODELS)
def test_tokens_that_are_not_simulated_hold_what_simulated_ones_do(
    tmp_path, monkeypatch, runs, name, rules
):
    (tmp_path / "a.png").write_bytes(image_bytes())
    given = {"image": str(tmp_path / "a.png")} if name in READING_IMAGES else {}
    # Caches that outgrow all else: the peak moves from the prompt to the last tokens.
    spec = spec_of(MODELS[name](), max_new_tokens=30, prompt_tokens=2, **given)
    few = predicted(spec, rules)
    assert runs == [5] and len(few.peaks) == 30
    monkeypatch.setattr(predicted_generation, "_COMPARED", 100)
    assert few == predicted(spec, rules)


def test_the_peak_moves_to_the_last_tokens_where_the_cache_outgrows_the_prompt():
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2,
    )  # fmt: skip
    spec = spec_of(HuggingFaceWorkload("narrow", config), max_new_tokens=200, prompt_tokens=4)
    peaks = predicted(spec).peaks
    assert peaks[-1] > peaks[0] and list(peaks) == sorted(peaks)


@pytest.mark.parametrize(("window", "expected"), [(8, [5]), (10, [5, 20]), (25, [5, 20])])
def test_tokens_are_simulated_to_the_end_where_a_sliding_window_ends_among_them(
    monkeypatch, runs, window, expected
):
    from transformers import MistralConfig

    config = MistralConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, sliding_window=window,
    )  # fmt: skip
    spec = spec_of(HuggingFaceWorkload("sliding", config), max_new_tokens=20)
    found = predicted(spec)
    assert runs == expected
    monkeypatch.setattr(predicted_generation, "_COMPARED", 100)
    assert found == predicted(spec)


def test_drawing_and_its_values_are_no_assumption():
    spec = spec_of(READING_TEXT["llama"](), temperature=1, top_k=3, top_p=0.5)
    assert predicted(spec).assumptions == ()
    assert isinstance(spec.config, ServingConfig)
