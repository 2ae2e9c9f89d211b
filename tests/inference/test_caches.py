"""What caches hold is found, whatever their kind."""

from __future__ import annotations

import pytest
import torch
from tiny_models import DECODERS, decoder, prompt, whisper

from memorymark.errors import MissingPackage, UnsupportedOperation
from memorymark.inference.caches import cache_name, held_bytes, make_cache, slots
from memorymark.inference.inference_step import InferenceStep
from memorymark.records.serving_config import ServingConfig


def config(**given):
    return ServingConfig(weights="fp32", context_tokens=16, output_tokens=4, **given)


def filled(name, **given):
    return InferenceStep(decoder(name), config(**given)).prefill(prompt()).cache


def test_keys_and_values_of_grouped_heads_are_counted_by_the_familys_formula():
    # batch 2, tokens 12, layers 3, heads of keys 2, size 16, keys and values, 4 bytes
    assert held_bytes(filled("llama")) == 2 * 12 * 3 * 2 * 16 * 2 * 4


def test_one_head_of_keys_serves_all():
    assert held_bytes(filled("falcon")) == 2 * 12 * 3 * 1 * 16 * 2 * 4


def test_a_sliding_window_looks_into_the_tokens_of_the_newest_pass():
    step = InferenceStep(decoder("mistral"), config())
    generation = step.prefill(prompt())
    token, counters = 2 * 3 * 2 * 16 * 2 * 4, 3 * 8
    # The window shows 7 tokens; the tensor that it is cut from has all that were read.
    assert held_bytes(generation.cache) == 12 * token + counters
    step.decode(generation)
    assert held_bytes(generation.cache) == 8 * token + counters


@pytest.mark.parametrize("name", DECODERS)
def test_every_place_can_be_emptied_and_filled_again(name):
    cache = filled(name)
    before = held_bytes(cache)
    places = list(slots(cache))
    kept = [slot.tensor for slot in places]
    for slot in places:
        slot.put(None)
    assert before > 0 and held_bytes(cache) == 0
    for slot, tensor in zip(places, kept, strict=True):
        slot.put(tensor)
    assert held_bytes(cache) == before


def test_a_decoder_beside_an_encoder_has_two_caches():
    sound = {"input_features": torch.randn(2, 20, 100)}
    cache = InferenceStep(whisper(), config()).prefill(sound).cache
    # One token of the decoder and 50 positions of the encoder, width 64, keys and values.
    assert held_bytes(cache) == 2 * (1 + 50) * 2 * 64 * 2 * 4


def test_a_model_says_how_it_takes_its_cache():
    assert [cache_name(decoder(name)) for name in ("llama", "mamba", "rwkv")] == [
        "past_key_values", "cache_params", "state",
    ]  # fmt: skip
    assert make_cache(decoder("rwkv"), config()) is None


def test_a_quantized_cache_names_the_package_that_it_needs():
    with pytest.raises((MissingPackage, UnsupportedOperation), match="quant"):
        make_cache(decoder("mistral"), config(cache="quantized"))


def test_a_model_that_keeps_its_state_in_its_layers_is_refused():
    from transformers import RecurrentGemmaConfig, RecurrentGemmaForCausalLM

    sizes = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 96}
    model = RecurrentGemmaForCausalLM(RecurrentGemmaConfig(**sizes, num_attention_heads=4))
    with pytest.raises(UnsupportedOperation, match="sessions would mix"):
        InferenceStep(model, config())


@pytest.mark.parametrize(("device", "where"), [("cpu", "on the device cpu"), ("meta", "simul")])
def test_layers_are_offloaded_from_cuda_alone(device, where):
    model = decoder("llama").to(device)
    config = ServingConfig(weights="fp32", cache="offloaded")
    with pytest.raises(UnsupportedOperation, match=f"not to be had .*{where}.* Take the cache dyn"):
        make_cache(model, config)
