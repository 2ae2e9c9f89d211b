"""A pass that was paused before a layer gives the logits of one that was not, bit for bit."""

from __future__ import annotations

import pytest
import torch
from generators import tiny_blip, tiny_blip2
from tiny_models import DECODERS, decoder, prompt, t5
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma3nTextConfig

from memorymark.errors import InvalidValue, UnsupportedOperation
from memorymark.inference.caches import cache_name, make_cache
from memorymark.inference.pause import Pausing
from memorymark.records.config import TrainingConfig
from memorymark.records.serving_config import ServingConfig

# A mask for Bloom and a static cache is made by the inference step.
PAUSABLE = sorted(DECODERS.keys() - {"rwkv", "bloom"})


def config(kind="dynamic"):
    return ServingConfig(weights="fp32", context_tokens=17, output_tokens=5, cache=kind)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@pytest.mark.parametrize("name", PAUSABLE)
@torch.no_grad()
def test_logits_are_those_of_a_pass_without_a_pause(name, kind):
    check_every_layer(decoder(name), kind, range(3))


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@torch.no_grad()
def test_layers_of_two_kinds_of_attention_take_turns(kind):
    check_every_layer(alternating(Gemma2Config), kind, range(4))


def alternating(of, **more):
    kinds = ["sliding_attention", "full_attention"] * 2
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(
        of(
            vocab_size=100, hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=2, intermediate_size=96, head_dim=16, layer_types=kinds,
            sliding_window=8, **more,
        )
    ).eval()  # fmt: skip


def check_every_layer(model, kind, layers):
    taken, pausing = cache_name(model), Pausing(model)
    for layer in layers:
        whole, paused = make_cache(model, config(kind)), make_cache(model, config(kind))
        given, length = prompt(), 12
        for _ in range(3):
            expected = model(**given, **{taken: whole}, use_cache=True).logits
            pause = pausing.run_until(layer, paused, **given, use_cache=True)
            assert pause.hidden.shape == (2, given["input_ids"].shape[1], 64)
            found = pausing.resume(pause, paused, **given, use_cache=True).logits
            assert torch.equal(found, expected)
            length += 1
            ids = expected[:, -1:].argmax(-1)
            mask = torch.ones((2, length), dtype=torch.long)
            given = {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def test_the_hidden_state_may_be_changed():
    model, given = decoder("llama"), prompt()
    pausing, cache = Pausing(model), make_cache(decoder("llama"), config())
    pause = pausing.run_until(1, cache, **given)
    pause.hidden += 1.0
    steered = pausing.resume(pause, cache, **given).logits
    assert not torch.equal(steered, model(**given).logits)


@torch.no_grad()
def test_nothing_is_left_on_the_model():
    model, given = decoder("llama"), prompt()
    before = [(dict(m.__dict__), len(m._forward_pre_hooks)) for m in model.modules()]
    pausing, cache = Pausing(model), make_cache(model, config())
    pausing.resume(pausing.run_until(2, cache, **given), cache, **given)
    with pytest.raises(IndexError):
        pausing.run_until(2, make_cache(model, config()), input_ids=torch.tensor([[1_000]]))
    after = [(dict(m.__dict__), len(m._forward_pre_hooks)) for m in model.modules()]
    assert [list(each) for each, _ in after] == [list(each) for each, _ in before]
    assert [count for _, count in after] == [count for _, count in before]


def test_what_cannot_be_paused_is_said():
    with pytest.raises(InvalidValue, match="a layer from 0 to 2"):
        Pausing(decoder("llama")).run_until(3, make_cache(decoder("llama"), config()), **prompt())
    with pytest.raises(UnsupportedOperation, match="an encoder and a decoder"):
        Pausing(t5())
    with pytest.raises(UnsupportedOperation, match="a form of its own"):
        Pausing(decoder("rwkv"))
    for workload in (tiny_blip(), tiny_blip2()):
        model = workload.build(TrainingConfig(seq_len=16)).eval()
        with pytest.raises(UnsupportedOperation, match="cannot be paused: its text is written by"):
            Pausing(model)
    sharing = {"num_kv_shared_layers": 2, "vocab_size_per_layer_input": 100}
    with pytest.raises(UnsupportedOperation, match="keys and values of earlier ones, so that it"):
        Pausing(alternating(Gemma3nTextConfig, **sharing))
