"""The inference step chooses what the model's whole pass over all tokens would."""

from __future__ import annotations

import pytest
import torch
from generators import tiny_llava
from tiny_configs import tiny_workload
from tiny_models import DECODERS, decoder, prompt, t5, whisper
from transformers import BertConfig, BertModel, GitConfig, GitForCausalLM

from memorymark.errors import OutOfMemory, UnsupportedOperation
from memorymark.inference import caches
from memorymark.inference.inference_step import InferenceStep, likeliest, sampled
from memorymark.records.serving_config import ServingConfig
from memorymark.records.session_run import SessionPlan
from memorymark.workloads.served_model import serving_model
from memorymark.workloads.serving_spec import ServingSpec

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


def test_a_static_cache_of_a_decoder_beside_an_encoder_holds_what_it_writes():
    sound = {"input_features": torch.randn(2, 20, 100)}
    step = InferenceStep(whisper(), config(cache="static"))
    cache = step.prefill(sound).cache
    # The beginning and what is written, width 64; the sound's positions are in the other cache.
    assert cache.self_attention_cache.layers[0].keys.shape == (2, 4, 1 + NEW, 16)
    assert torch.equal(
        generated(step, sound), generated(InferenceStep(step.model, config()), sound)
    )


def test_a_static_cache_has_room_for_the_tokens_of_an_image():
    workload = tiny_llava()
    serving = ServingConfig(
        weights="fp32", context_tokens=12, output_tokens=NEW, cache="static",
        task="image-text-to-text",
    )  # fmt: skip
    spec = ServingSpec(workload, serving, SessionPlan(sessions=1))
    step = InferenceStep(serving_model(spec, torch.device("cpu")), spec.config)
    generation = step.prefill(spec.make_prompt(torch.device("cpu")))
    layer = generation.cache.layers[0]
    assert layer.keys.shape[2] == 12 + 16  # 4 x 4 patches of an image beside the context
    for _ in range(NEW - 1):
        step.decode(generation)


def test_a_static_cache_has_room_for_an_image_before_the_text():
    seen = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    model = GitForCausalLM(
        GitConfig(
            vision_config=seen, vocab_size=100, hidden_size=32, intermediate_size=64,
            num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
        )
    ).eval()  # fmt: skip
    given = {**prompt(), "pixel_values": torch.rand(2, 3, 32, 32)}
    step = InferenceStep(model, config(cache="static"))
    written = generated(step, given)
    assert torch.equal(written, generated(InferenceStep(model, config()), given))
    context = step.config.context_tokens
    assert step.prefill(given).cache.layers[0].keys.shape[2] == 1 + 4 * 4 + context


def run_from_spec(name, task, **given):
    """Generate with a tiny model of many kinds of input, in bf16; return the step and its state."""
    serving = ServingConfig(
        weights="bf16", context_tokens=12, output_tokens=NEW, task=task, **given
    )
    spec = ServingSpec(tiny_workload(name), serving, SessionPlan(sessions=1))
    step = InferenceStep(serving_model(spec, torch.device("cpu")), spec.config)
    generation = step.prefill(spec.make_prompt(torch.device("cpu")))
    for _ in range(NEW - 1):
        step.decode(generation)
    return step, generation


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "glm4v"])
def test_positions_in_time_height_and_width_are_those_of_the_newest_token(name):
    _, generation = run_from_spec(name, "image-text-to-text", image_size=32)
    read = generation.mask.shape[1]  # the newest token is not read yet
    assert generation.cache.get_seq_length() == read - 1 == generation.length - 1


@pytest.mark.parametrize("name", ["idefics", "kosmos-2"])
def test_what_was_seen_is_there_for_every_token(name):
    _, generation = run_from_spec(name, "image-text-to-text")
    assert generation.cache.get_seq_length() == generation.length - 1


@pytest.mark.parametrize("name", ["whisper", "speech_to_text", "moonshine"])
def test_a_sound_is_heard_in_the_format_of_the_weights(name):
    seconds = None if name == "whisper" else 1
    _, generation = run_from_spec(name, "speech-seq2seq", audio_seconds=seconds)
    assert generation.length == 1 + NEW


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_what_a_models_own_code_raises_is_a_sentence(cache):
    step = InferenceStep(decoder("llama"), config(cache=cache))
    step.model.lm_head = torch.nn.Linear(3, 100)
    said = {
        "dynamic": "cannot generate: RuntimeError: .* Give another task, or another model",
        "static": "cannot generate with a static cache: RuntimeError: .* made for, dynamic",
    }
    with pytest.raises(UnsupportedOperation, match="'LlamaForCausalLM' " + said[cache]):
        step.prefill(prompt())


def test_what_memory_and_devices_raise_is_left_to_those_who_know():
    step = InferenceStep(decoder("llama"), config())
    for error in (OutOfMemory(1, 1, 1), RuntimeError("CUDA error: unspecified launch failure")):

        def fail(*args, raised=error, **kwargs):
            raise raised

        step.model.model.forward = fail
        with pytest.raises(type(error)) as found:
            step.prefill(prompt())
        assert found.value is error


def test_a_model_whose_configuration_does_not_say_its_layers_makes_its_cache(monkeypatch):
    def fail(**_):
        raise AttributeError("'BltConfig' object has no attribute 'num_hidden_layers'")

    monkeypatch.setattr(caches.cache_utils, "DynamicCache", fail)
    monkeypatch.setattr(caches.cache_utils, "StaticCache", fail)
    model = decoder("llama")
    generation = InferenceStep(model, config()).prefill(prompt())
    assert generation.cache.get_seq_length() == 12
    with pytest.raises(UnsupportedOperation, match="takes no static cache"):
        InferenceStep(model, config(cache="static")).prefill(prompt())


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
