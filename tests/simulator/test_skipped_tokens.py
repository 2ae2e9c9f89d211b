"""Tokens that are skipped leave the cache as they would have left it."""

import sys
from pathlib import Path

import pytest
import torch

from memorymark.inference.caches import held_bytes, slots
from memorymark.inference.inference_step import InferenceStep
from memorymark.records.serving_config import ServingConfig
from memorymark.simulator.skipped_tokens import Sizes, skip

sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
from tiny_models import decoder, prompt

SERVING = ServingConfig(weights="fp32", context_tokens=40, output_tokens=8)


def begun(name):
    step = InferenceStep(decoder(name), SERVING)
    return step, step.prefill(prompt())


def shapes(generation):
    return [tuple(slot.tensor.shape) for slot in slots(generation.cache)]


@pytest.mark.parametrize("name", ["llama", "deepseek", "jamba", "mamba", "mistral"])
def test_a_generation_goes_on_as_if_the_tokens_had_been_generated(name):
    (step, ran), (other, skipped) = begun(name), begun(name)
    for _ in range(8):
        step.decode(ran)
    # The first token cuts a window to its size: growth is steady from the second one on.
    other.decode(skipped)
    before = Sizes(skipped)
    other.decode(skipped)
    skip(skipped, before.growth(skipped), 5)
    other.decode(skipped)
    assert shapes(skipped) == shapes(ran) and held_bytes(skipped.cache) == held_bytes(ran.cache)
    assert skipped.length == ran.length
    assert torch.equal(skipped.mask, ran.mask)


def test_a_cache_that_shrinks_is_no_steady_growth():
    step, generation = begun("mistral")
    before = Sizes(generation)
    for slot in slots(generation.cache):
        if slot.key == "keys":
            slot.put(slot.tensor[:, :, :3])
    assert before.growth(generation) is None
    assert step is not None
