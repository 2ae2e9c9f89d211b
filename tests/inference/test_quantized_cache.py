"""Caches of 4 bits take what optimum-quanto's format says, and hold what was put into them."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_models import DECODERS
from transformers import AutoModelForCausalLM

from memorymark.errors import UnsupportedOperation
from memorymark.inference.caches import held_bytes, make_cache
from memorymark.inference.inference_step import InferenceStep
from memorymark.inference.quantized_cache import PackedLayer
from memorymark.records.serving_config import ServingConfig

TOKENS = 64


def config():
    return ServingConfig(context_tokens=TOKENS + 4, output_tokens=4, cache="quantized")


def on_meta(name):
    with torch.device("meta"):
        config = copy.deepcopy(DECODERS[name])  # it would keep the format
        return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()


def test_values_come_back_as_near_as_4_bits_are():
    layer, keys = PackedLayer(), torch.randn(1, 2, TOKENS, 16)
    found = layer._dequantize(layer._quantize(keys, 0))
    step = (keys.reshape(-1, 64).amax(1) - keys.reshape(-1, 64).amin(1)) / 15
    off = (found - keys).abs().reshape(-1, 64).amax(1)
    assert bool((off <= step / 2 + 1e-6).all()) and float(off.max()) > 0


def test_bytes_are_half_of_one_a_value_with_a_scale_and_a_shift_for_64():
    step = InferenceStep(on_meta("llama"), config())
    ids = torch.ones(1, TOKENS, dtype=torch.long, device="meta")
    generation = step.prefill({"input_ids": ids})
    # 3 layers, keys and values, 2 heads of 16; in bf16
    values = 3 * 2 * TOKENS * 2 * 16
    assert held_bytes(generation.cache) == values // 2 + 2 * 2 * values // 64
    step.decode(generation)
    newest = 3 * 2 * 2 * 16 * 2  # one token as it is
    assert held_bytes(generation.cache) == values // 2 + 2 * 2 * values // 64 + newest


def test_what_transformers_refuses_is_refused():
    with pytest.raises(UnsupportedOperation, match="takes no quantized cache: only layers of full"):
        make_cache(on_meta("mistral"), config())
    step = InferenceStep(on_meta("llama"), config())
    odd = torch.ones(1, 13, dtype=torch.long, device="meta")
    with pytest.raises(UnsupportedOperation, match="416 keys of a sequence do not fall into gr"):
        step.prefill({"input_ids": odd})
