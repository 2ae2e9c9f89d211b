"""The inference step chooses what the model's whole pass over all tokens would."""

from __future__ import annotations

import pytest
import torch
from tiny_models import DECODERS, decoder, prompt, t5, whisper
from transformers import BertConfig, BertModel

from memorymark.errors import UnsupportedOperation
from memorymark.inference.inference_step import InferenceStep, likeliest, sampled
from memorymark.records.serving_config import ServingConfig

NEW = 5


def config(**given):
    return ServingConfig(weights="fp32", context_tokens=12 + NEW, output_tokens=NEW, **given)


def generated(step, inputs):
    generation = step.prefill(inputs)
    tokens = [generation.token]
    for _ in range(NEW - 1):
        tokens.append(step.decode(generation).token)
    return torch.cat(tokens, dim=1)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
# RWKV's own code gives other logits with its state than without (transformers 5.23).
@pytest.mark.parametrize("name", sorted(DECODERS.keys() - {"rwkv"}))
def test_tokens_are_those_of_a_pass_without_a_cache(name, cache):
    model, inputs = decoder(name), prompt()
    tokens = generated(InferenceStep(model, config(cache=cache)), inputs)
    whole = torch.cat([inputs["input_ids"], tokens], dim=1)
    with torch.no_grad():
        expected = model(whole[:, :-1]).logits[:, 11:].argmax(-1)
    assert torch.equal(tokens, expected)


def test_a_state_of_the_models_own_form_is_handed_on():
    model, inputs = decoder("rwkv"), prompt()
    tokens = generated(InferenceStep(model, config()), inputs)
    told = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(tokens, model.generate(**inputs, **told)[:, 12:])


def test_a_decoder_with_an_encoder_reads_what_was_encoded():
    model, inputs = t5(), prompt()
    tokens = generated(InferenceStep(model, config()), inputs)
    start = torch.zeros((2, 1), dtype=torch.long)
    with torch.no_grad():
        given = torch.cat([start, tokens[:, :-1]], dim=1)
        expected = model(**inputs, decoder_input_ids=given).logits.argmax(-1)
    assert torch.equal(tokens, expected)


def test_a_sound_is_written_down():
    model, sound = whisper(), {"input_features": torch.randn(2, 20, 100)}
    tokens = generated(InferenceStep(model, config()), sound)
    start = torch.ones((2, 1), dtype=torch.long)
    with torch.no_grad():
        given = torch.cat([start, tokens[:, :-1]], dim=1)
        expected = model(**sound, decoder_input_ids=given).logits.argmax(-1)
    assert torch.equal(tokens, expected)


def test_a_model_without_a_cache_is_refused():
    model = BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    with pytest.raises(UnsupportedOperation, match="keeps no cache of the tokens"):
        model.forward = lambda input_ids: None
        InferenceStep(model, config())


def test_a_temperature_draws_and_zero_takes_the_likeliest():
    logits = torch.tensor([[0.0, 1.0, 0.5]])
    assert sampled(0) is likeliest and likeliest(logits).tolist() == [[1]]
    draw = sampled(2.0, torch.Generator().manual_seed(1))
    drawn = {int(draw(logits)) for _ in range(200)}
    assert drawn == {0, 1, 2}
    cold = sampled(0.01, torch.Generator().manual_seed(1))
    assert {int(cold(logits)) for _ in range(50)} == {1}
